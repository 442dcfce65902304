"""Validates lines by the JSON Schema with python-jsonschema and with Ajv."""

import copy
import json
import subprocess
from pathlib import Path

from jsonschema import Draft202012Validator

import files

HERE = Path(__file__).resolve().parent
NODE = HERE.parent / ".servers/consumers/node"
SCHEMA = HERE.parents[1] / "schema/dynacrawl-1.schema.json"
# Keywords whose errors say that one of several alternatives has to match, and not what is wrong.
BRANCHES = {"oneOf", "anyOf", "allOf"}


def types():
    """The record types."""
    return json.loads(SCHEMA.read_text())["properties"]["type"]["enum"]


def spoiled(one_of_each):
    """Lines with one fault each, and the field that the error has to name."""
    faults = [
        ("table_failed", "table_name", lambda record: record.update(table_name=7)),
        ("scope_completed", "outcome", lambda record: record.update(outcome="finished")),
        ("run_completed", "outcome", lambda record: record.update(outcome="finished")),
        ("scope_completed", "listing", lambda record: record.update(listing="most")),
        ("table_failed", "reason", lambda record: record.update(reason="tired")),
        ("table", "run_id", lambda record: record.pop("run_id")),
        ("table", "type", lambda record: record.update(type="tabel")),
        ("table", "schema", lambda record: record.update(schema="dynacrawl/9")),
        ("table", "observed_at", lambda record: record.update(observed_at="2026-02-31T00:00:00.000Z")),
        ("table", "table", lambda record: record.update(table="orders")),
        ("table", "table/size_bytes", lambda record: record["table"].update(size_bytes="12")),
        ("table", "table/extra", lambda record: record["table"].update(extra={})),
        ("table", "table/billing_mode", lambda record: record["table"].pop("billing_mode")),
    ]
    for name, field, spoil in faults:
        record = copy.deepcopy(json.loads(one_of_each[name]))
        spoil(record)
        yield f"a {name} record with a wrong {field}", field, record


def judge(what, field, errors):
    """`errors` has the path of the field at fault and the keyword of each error."""
    if not errors:
        yield f"{what} is valid"
    elif any(keyword in BRANCHES for _, keyword in errors):
        yield f"{what}: the errors list alternatives instead of one fault: {errors}"
    elif errors != [(field, errors[0][1])]:
        yield f"{what}: the errors do not name the field alone: {errors}"


def path_of(error):
    """The path of the field, which is the missing one if one is missing."""
    steps = [str(step) for step in error.absolute_path]
    if error.validator == "required":
        steps += [key for key in error.validator_value if key not in error.instance]
    return "/".join(steps)


def python_jsonschema_accepts(paths, one_of_each):
    schema = json.loads(SCHEMA.read_text())
    Draft202012Validator.check_schema(schema)
    checker = Draft202012Validator.FORMAT_CHECKER
    if "date-time" not in checker.checkers:
        yield "jsonschema does not check date-time; rfc3339-validator is missing"
    validator = Draft202012Validator(schema, format_checker=checker)
    for path in paths:
        for number, line in enumerate(files.lines(path), 1):
            for error in validator.iter_errors(json.loads(line)):
                yield f"jsonschema: {path.name}:{number}: {path_of(error)}: {error.message[:200]}"
    for what, field, record in spoiled(one_of_each):
        errors = [(path_of(error), error.validator) for error in validator.iter_errors(record)]
        for problem in judge(what, field, errors):
            yield f"jsonschema: {problem}"


def ajv_accepts(paths, one_of_each, directory):
    whats, fields, records = zip(*spoiled(one_of_each))
    faulty = directory / "spoiled.jsonl"
    files.write(faulty, map(files.compact, records))
    command = [NODE / "node", HERE / "validate.mjs", NODE, SCHEMA, *paths, faulty]
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode:
        yield f"ajv: {ended.stderr.strip()}"
        return
    report = json.loads(ended.stdout)
    for warning in report["warnings"]:
        yield f"ajv, while compiling the schema: {warning}"
    for path in paths:
        judged = report["files"][str(path)]
        lines = sum(1 for _ in files.lines(path))
        if judged["lines"] != lines:
            yield f"ajv: read {judged['lines']} lines of {path.name} instead of {lines}"
        for invalid in judged["invalid"]:
            yield f"ajv: {path.name}:{invalid['line']}: {invalid['errors']}"
    invalid = {found["line"]: found["errors"] for found in report["files"][str(faulty)]["invalid"]}
    for number, (what, field) in enumerate(zip(whats, fields), 1):
        # `if` only repeats that the definition of this record type does not match.
        errors = [error for error in invalid.get(number, []) if error["keyword"] != "if"]
        for problem in judge(what, field, [(error["path"], error["keyword"]) for error in errors]):
            yield f"ajv: {problem}"
