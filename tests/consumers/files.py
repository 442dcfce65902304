"""The files that the checks read: what dynacrawl writes, and one large file made from it."""

import json
import os
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

LARGE = 50_000
EXAMPLES = "examples.jsonl"


class FileError(Exception):
    """A file cannot be made."""


def environment():
    """The environment without what configures dynacrawl."""
    return {key: value for key, value in os.environ.items() if not key.startswith("DYNACRAWL_")}


def crawl(binary, directory, *arguments, code=0):
    command = [binary, "crawl", "--quiet", *arguments]
    ended = subprocess.run(command, cwd=directory, env=environment(), capture_output=True, text=True)
    if ended.returncode != code:
        words = " ".join(map(str, command[1:]))
        raise FileError(f"dynacrawl {words} exited with {ended.returncode} instead of {code}:\n{ended.stderr.strip()}")


def make(binary, directory, examples):
    """Makes all files in `directory`, and returns their paths.

    `examples` is the directory with an example of each record type. They make up a file of their
    own, and give the large file those types that no demo writes.
    """
    one_of_each = read_examples(examples)
    arguments = {
        "demo-faults.jsonl": ["--demo-faults"],
        "demo.jsonl": ["--demo"],
        "entities.jsonl": ["--demo", "--layout", "entities"],
        "dry-run.jsonl": ["--demo", "--dry-run"],
    }

    def snapshot(name):
        code = 3 if "--demo-faults" in arguments[name] else 0
        crawl(binary, directory, *arguments[name], "--output", name, code=code)
        return directory / name

    # Crawls of the demo mostly wait for the rate limit.
    with ThreadPoolExecutor() as pool:
        changes = pool.submit(two_runs, binary, directory, directory / "changes.jsonl")
        paths = [*pool.map(snapshot, arguments), changes.result()]

    crawled = [line for path in paths for line in lines(path)]
    for name, content in (EXAMPLES, one_of_each.values()), ("large.jsonl", large(crawled, one_of_each)):
        paths.append(directory / name)
        write(paths[-1], content)
    return paths


def two_runs(binary, directory, path):
    """What two runs on one state write, one after the other."""
    for _ in range(2):
        crawl(binary, directory, "--demo", "--state", "state.db", "--emit", "both", "--output", "run-{run_id}.jsonl")
    # Run ids sort by time.
    write(path, [line for run in sorted(directory.glob("run-*.jsonl")) for line in lines(run)])
    return path


def read_examples(directory):
    """An example of each record type, as a line."""
    found = {}
    for path in sorted(directory.glob("record-*.json")):
        record = json.loads(path.read_text())
        found[record["type"]] = compact(record)
    if not found:
        raise FileError(f"{directory} has no record-*.json; `BLESS=1 cargo test --test e2e book` writes them")
    return found


def large(crawled, one_of_each):
    """The lines of the large file. Each rarer type follows all more frequent ones."""
    of_type = {}
    for line in crawled:
        of_type.setdefault(json.loads(line)["type"], []).append(line)
    for name, line in one_of_each.items():
        of_type.setdefault(name, [line])
    counts = Counter({name: len(found) for name, found in of_type.items() if name != "table"})
    rarer = [line for name, _ in counts.most_common() for line in of_type[name]]
    tables = [json.loads(line) for line in of_type["table"]]
    for number in range(LARGE - len(rarer)):
        record = tables[number % len(tables)]
        table = dict(record["table"])
        table["name"] = f"{table['name']}-{number}"
        table["size_bytes"] = (number * 7_919_999_999) % 10 ** (1 + number % 13)
        yield compact({**record, "table": table})
    yield from rarer


def compact(record):
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False)


def lines(path):
    """Yields the lines of a file without their ends."""
    with path.open(encoding="utf-8", newline="\n") as file:
        for line in file:
            yield line.removesuffix("\n")


def write(path, all_lines):
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in all_lines)
