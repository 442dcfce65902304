"""Exports the demo's tables in every form, has each catalog's library check the files, and then breaks the files in many
ways, one at a time: each of them must be found. Then it compares the requests of each catalog's sink with those of the
catalog's own client: for the demo's tables, and for tables that change, disappear and return. At the end it walks through
the guides.

usage: check.py BINARY VENVS
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import guides
from changing import record

HERE = Path(__file__).parent


def run(*command, cwd=None):
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
    command = [str(part) for part in command]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600, cwd=cwd)


class Catalog:
    """A catalog's library, in a venv of its own, and a file that dynacrawl exported."""

    def __init__(self, venvs, name, crawl, exported, *more):
        self.name, self.exported = name, exported
        self.command = [venvs / name / "bin/python", HERE / f"check_{name}.py", crawl, exported, *more]
        # Atlan's library keeps temporary files in the working directory.
        self.place = crawl.parent

    def check(self):
        checked = run(*self.command, cwd=self.place)
        if checked.returncode != 0:
            sys.exit(f"{self.name} refuses the export:\n{checked.stdout}{checked.stderr[-4000:]}")
        print(checked.stdout, end="")

    def must_refuse(self, file, way, before, after):
        """Replaces text in a file: the check must find it."""
        file = self.exported / file if file else self.exported
        whole = file.read_text()
        assert before in whole, f"{self.name}: {before!r} is not in {file}"
        file.write_text(whole.replace(before, after, 1))
        checked = run(*self.command, cwd=self.place)
        file.write_text(whole)
        if checked.returncode == 0:
            sys.exit(f"{self.name}: the check does not find {way}")
        if not any(error in checked.stderr for error in ("AssertionError", "KeyError", "ValidationError")):
            sys.exit(f"{self.name}: {way} ends the check in another way:\n{checked.stderr[-2000:]}")


def main(binary, venvs):
    binary, venvs = Path(binary).resolve(), Path(venvs).resolve()
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        crawl = place / "tables.jsonl"
        crawled = run(binary, "crawl", "--demo", "--output", crawl)
        assert crawled.returncode == 0, crawled.stderr
        scopes = [
            f"{record['scope']['account_id']}/{record['scope']['region']}"
            for record in map(json.loads, crawl.read_text().splitlines())
            if record["type"] == "scope_completed"
        ]
        connections = [f"{scope}=default/dynamodb/{1735689600 + at}" for at, scope in enumerate(sorted(scopes))]

        def export(form, name, *more):
            path = place / name
            exported = run(binary, "export", "--to", form, "--input", crawl, "-o", path, *more)
            assert exported.returncode == 0, exported.stderr
            return path

        datahub = Catalog(venvs, "datahub", crawl, export("datahub", "datahub.json"))
        file_source = run(venvs / "datahub/bin/datahub", "check", "metadata-file", datahub.exported)
        assert file_source.returncode == 0 and "all valid" in file_source.stdout + file_source.stderr, file_source
        openmetadata = Catalog(venvs, "openmetadata", crawl, export("openmetadata", "requests.jsonl"))
        connector = export("openmetadata", "connector.jsonl", "--names", "connector")
        named = [part for connection in connections for part in ("--connection", connection)]
        atlan = Catalog(venvs, "atlan", crawl, export("atlan", "atlan", *named), ",".join(connections))
        for catalog in (datahub, openmetadata, Catalog(venvs, "openmetadata", crawl, connector, "connector"), atlan):
            catalog.check()

        datahub.must_refuse("", "an unknown aspect", '"aspectName":"status"', '"aspectName":"state"')
        datahub.must_refuse("", "an unknown field", '"recursive":false', '"recurs":false')
        datahub.must_refuse("", "another count", '"rowCount":', '"rowCount":1')
        openmetadata.must_refuse("", "an unknown member", '"tableType":"Regular"', '"tableKind":"Regular"')
        openmetadata.must_refuse("", "an unknown type", '"dataType":"NUMBER"', '"dataType":"DIGITS"')
        openmetadata.must_refuse("", "a schema that is not there", '"name":"us-east-1"', '"name":"us-east-9"')
        table, index = "transformed/table/entities.json", "transformed/global_secondary_index/entities.json"
        atlan.must_refuse(table, "an unknown attribute", '"rowCount":', '"rowsCount":')
        atlan.must_refuse(table, "an unknown status", '"dynamoDBStatus":"ACTIVE"', '"dynamoDBStatus":"SLEEPING"')
        reference = '"uniqueAttributes":{"qualifiedName":"' + json.loads(
            (atlan.exported / index).read_text().splitlines()[0]
        )["attributes"]["tableQualifiedName"]
        atlan.must_refuse(index, "a table that is not there", reference, reference + "-elsewhere")
        atlan.must_refuse(index, "an unknown projection", '"dynamoDBSecondaryIndexProjectionType":"', '"dynamoDBSecondaryIndexProjectionType":"X')
        print("each check can fail")

        changes = place / "changes.json"
        changes.write_text(json.dumps(record(binary, place, venvs.parent / "venv/bin/python")))
        comparisons = {
            "requests_datahub": [binary, datahub.exported, place],
            "requests_openmetadata": [binary, openmetadata.exported, place],
            "requests_atlan": [binary, crawl, ",".join(connections), place],
            "changes_datahub": [changes],
            "changes_openmetadata": [changes],
            "changes_atlan": [changes],
        }
        for name, arguments in comparisons.items():
            _, catalog = name.split("_")
            compared = run(venvs / catalog / "bin/python", HERE / f"{name}.py", *arguments, cwd=place)
            if compared.returncode != 0:
                sys.exit(f"{name}: the sink's requests are not those of the client:\n{compared.stderr[-4000:]}")
            print(compared.stdout, end="")
        guides.walk(binary, place, venvs, venvs.parent / "venv/bin/python")


if __name__ == "__main__":
    main(*sys.argv[1:])
