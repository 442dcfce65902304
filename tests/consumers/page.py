"""Executes the code blocks of a page, and compares what they print with the page.

A block of `sql`, `sh` or `python` that prints something is followed by a block of `text` with its
output. The blocks are executed from top to bottom, in one directory that is empty at first, except
for the files that the page refers to. DuckDB executes all `sql` blocks on one connection.
"""

import contextlib
import io
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import polars

import files
import readers

WIDTH = 100
BLOCK = re.compile(
    r"^```(?P<language>sql|sh|python)\n(?P<code>.*?)^```\n(?:\n*```text\n(?P<output>.*?)^```\n)?", re.MULTILINE | re.DOTALL
)
EXITS_WITH = re.compile(r"# exits with (\d+)$")


class BlockError(Exception):
    """A block cannot be executed."""


class Executor:
    """Executes blocks in a directory."""

    def __init__(self, binary, directory):
        self.directory = directory
        self.binary = binary
        self.duckdb = readers.connect()
        self.environment = files.environment() | {"LC_ALL": "C.UTF-8"}
        commands = directory / ".bin"
        commands.mkdir()
        (commands / "dynacrawl").symlink_to(binary)
        self.environment["PATH"] = f"{commands}{os.pathsep}{self.environment['PATH']}"

    def output_of(self, language, code):
        """What the block prints, without spaces at the end of lines."""
        try:
            with contextlib.chdir(self.directory):
                printed = getattr(self, f"_{language}")(code)
        except Exception as error:
            raise BlockError(f"{type(error).__name__}: {error}\nin\n{code}") from error
        return "".join(f"{line.rstrip()}\n" for line in printed.splitlines()).strip("\n")

    def _sql(self, code):
        relation = self.duckdb.sql(code)
        # Of statements that create or set something, DuckDB shows an empty relation.
        if relation is None or relation.columns in (["Count"], ["Success"]):
            return ""
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            relation.show(max_width=WIDTH, max_rows=WIDTH)
        return printed.getvalue()

    def _sh(self, code):
        expected = EXITS_WITH.search(code.rstrip())
        expected = int(expected[1]) if expected else 0
        command = ["bash", "-euo", "pipefail", "-c", code]
        ended = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        if ended.returncode != expected:
            raise BlockError(f"exited with {ended.returncode} instead of {expected}: {ended.stderr.strip()}")
        return ended.stdout

    def _python(self, code):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), polars.Config(tbl_width_chars=WIDTH):
            exec(compile(code, "the page", "exec"), {"__name__": "__main__"})
        return printed.getvalue()


def execute(page, binary, supplies):
    """The page with the output that its blocks have now. `supplies` are files that it refers to."""
    with tempfile.TemporaryDirectory() as directory:
        directory = Path(directory)
        for name, path in supplies.items():
            shutil.copy(path, directory / name)
        executor = Executor(binary, directory)

        def with_output(block):
            output = executor.output_of(block["language"], block["code"])
            code = f"```{block['language']}\n{block['code']}```\n"
            return f"{code}\n```text\n{output}\n```\n" if output else code

        return BLOCK.sub(with_output, page)
