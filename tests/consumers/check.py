"""Reads dynacrawl's output with the tools that analysts use.

usage: check.py [--bless] [--examples DIRECTORY] [BINARY]

A check yields problems; none means that it passes. --bless instead writes the output of the code blocks
in docs/guides/querying.md and lake.md, provided that two executions give the same.
"""

import argparse
import difflib
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import files
import lake
import page
import readers
import shapes
import validators

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLES = REPOSITORY / "docs/reference/generated"
PAGES = [REPOSITORY / f"docs/guides/{name}.md" for name in ("querying", "lake")]
BUILDS = [REPOSITORY / f"target/{profile}/dynacrawl" for profile in ("debug", "release")]
# Problems of one check that are printed.
SHOWN = 20


def run(name, check, *arguments):
    """Runs a check, prints its problems, and returns whether it passed."""
    started = time.monotonic()
    try:
        problems = list(check(*arguments))
    except Exception as error:  # a tool that cannot read a file at all
        problems = [f"{type(error).__name__}: {error}"]
    print(f"{'FAIL' if problems else 'ok'}\t{name} ({time.monotonic() - started:.1f} s)", flush=True)
    for problem in problems[:SHOWN]:
        print("\t" + problem.replace("\n", "\n\t"))
    if len(problems) > SHOWN:
        print(f"\tand {len(problems) - SHOWN} more")
    return not problems


def large_file_has_each_type(paths):
    """And the rarest one on its last line only."""
    types = [json.loads(line)["type"] for line in files.lines(paths[-1])]
    missing = set(validators.types()) - set(types)
    if missing:
        yield f"{paths[-1].name} has no {sorted(missing)}; is there an example of each?"
    if types.count(types[-1]) != 1:
        yield f"the type of the last line, {types[-1]}, is on other lines too"


def executed(path, binary, examples):
    """The page as it is, and with the outputs that its blocks have now."""
    text = path.read_text(encoding="utf-8")
    return text, page.execute(text, binary, {"changed.json": examples / "record-table_changed.json"})


def page_shows_what_its_queries_print(path, binary, examples):
    before, after = executed(path, binary, examples)
    if before != after:
        difference = difflib.unified_diff(before.splitlines(), after.splitlines(), "the page", "now", lineterm="", n=1)
        yield "\n".join([f"{path.name} is not up to date; `tests/consumers/run --bless` writes it", *difference])


def bless(path, binary, examples):
    _, first = executed(path, binary, examples)
    before, second = executed(path, binary, examples)
    if first != second:
        difference = "\n".join(difflib.unified_diff(first.splitlines(), second.splitlines(), lineterm="", n=1))
        sys.exit(f"two executions give different outputs:\n{difference}")
    if before != second:
        path.write_text(second, encoding="utf-8")
        print(f"wrote {path.relative_to(REPOSITORY)}")


def check(binary, examples):
    passed = []
    with tempfile.TemporaryDirectory() as directory:
        directory = Path(directory)
        started = time.monotonic()
        paths = files.make(binary, directory, examples)
        print(f"\tmade {len(paths)} files ({time.monotonic() - started:.1f} s)")
        passed.append(run("large_file_has_each_type", large_file_has_each_type, paths))

        together = shapes.Shapes()
        for path in paths:
            of_file = shapes.Shapes().read(path)
            together.include(of_file)
            passed.append(run(f"every_tool_reads {path.name}", readers.every_tool_reads, path, of_file))
        keeps = readers.pandas_keeps_account_ids
        passed.append(run(keeps.__name__, keeps, directory / files.EXAMPLES))
        passed.append(run("every_form_of_a_lake_is_read", lake.every_form_is_read, binary, directory))
        for function in (
            shapes.one_key_has_one_type,
            shapes.one_key_has_one_shape,
            shapes.records_begin_with_the_envelope,
        ):
            passed.append(run(function.__name__, function, together))

        one_of_each = files.read_examples(examples)
        # All but the large file, whose lines are theirs with other names and sizes. Ajv reads that one too.
        small = paths[:-1]
        accepts = validators.python_jsonschema_accepts
        passed.append(run(accepts.__name__, accepts, small, one_of_each))
        passed.append(run("ajv_accepts", validators.ajv_accepts, paths, one_of_each, directory))
    name = page_shows_what_its_queries_print.__name__
    for path in PAGES:
        passed.append(run(f"{name} {path.name}", page_shows_what_its_queries_print, path, binary, examples))
    print(f"{sum(passed)} passed, {len(passed) - sum(passed)} failed")
    return 0 if all(passed) else 1


def main():
    parser = argparse.ArgumentParser(prog="tests/consumers/run", description="Reads dynacrawl's output with other tools.")
    parser.add_argument("binary", nargs="?", type=Path, metavar="BINARY", help="dynacrawl [default: the build in target/]")
    parser.add_argument("--bless", action="store_true", help="write the outputs in docs/guides/querying.md")
    parser.add_argument("--examples", type=Path, default=EXAMPLES, metavar="DIRECTORY", help="has record-TYPE.json files")
    arguments = parser.parse_args()
    binary = arguments.binary or next(filter(Path.exists, BUILDS), BUILDS[0])
    if not os.access(binary, os.X_OK):
        parser.error(f"{binary} is not a program; build dynacrawl first, or name it")
    binary, examples = binary.resolve(), arguments.examples.resolve()
    try:
        if not arguments.bless:
            return check(binary, examples)
        for path in PAGES:
            bless(path, binary, examples)
        return 0
    except (files.FileError, page.BlockError) as error:
        sys.exit(f"{error}")


if __name__ == "__main__":
    sys.exit(main())
