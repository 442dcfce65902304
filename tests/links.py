#!/usr/bin/env python3
"""Checks the links of all Markdown files: files and headings exist, and includes of the book, too.

Links to other hosts are not called. Prose stays within 100 columns, README.md within 150 lines."""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LINK = re.compile(r"(?<!!)\[(?:[^\[\]]|\[[^\[\]]*\])*\]\(([^()\s]+)\)")
INCLUDE = re.compile(r"\{\{#include ([^}]+)\}\}")


def files():
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).exists()]


def lines_outside_code(text):
    fence = None
    for number, line in enumerate(text.splitlines(), 1):
        mark = re.match(r"\s*(```+|~~~+)", line)
        if mark and fence is None:
            fence = mark.group(1)
        elif mark and mark.group(1).startswith(fence):
            fence = None
        elif fence is None:
            yield number, line


def slug(heading):
    heading = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    heading = re.sub(r"[`*]", "", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", heading).replace(" ", "-")


def anchors(path):
    found = set()
    for _, line in lines_outside_code(path.read_text()):
        heading = re.match(r"#{1,6} (.*)", line)
        if heading:
            name, number = slug(heading.group(1)), 1
            while name in found:
                name, number = f"{slug(heading.group(1))}-{number}", number + 1
            found.add(name)
    return found


def check(path):
    text = path.read_text()
    name = path.relative_to(ROOT)
    for include in INCLUDE.findall(text):
        if not (path.parent / include.split(":")[0]).is_file():
            yield f"{name}: the included file {include} does not exist"
    for number, line in lines_outside_code(text):
        for target in LINK.findall(line):
            if re.match(r"[a-z+]+:", target):
                continue
            file, _, anchor = target.partition("#")
            there = (path.parent / file).resolve() if file else path
            if not there.exists():
                yield f"{name}:{number}: {target} does not exist"
            elif anchor and there.suffix == ".md" and anchor not in anchors(there):
                yield f"{name}:{number}: {file or name} has no heading #{anchor}"
        if len(line) > 120 and not line.startswith("|") and "://" not in line:
            yield f"{name}:{number}: a line of {len(line)} characters"
    if str(name) == "README.md" and len(text.splitlines()) > 150:
        yield f"{name}: more than 150 lines"


def unlisted():
    """Pages of the book that SUMMARY.md does not list, and that no reader finds."""
    docs = ROOT / "docs"
    summary = (docs / "SUMMARY.md").read_text()
    for page in sorted(docs.rglob("*.md")):
        name = page.relative_to(docs).as_posix()
        if name != "SUMMARY.md" and f"({name})" not in summary:
            yield f"docs/{name} is not in docs/SUMMARY.md"


problems = [problem for path in files() for problem in check(path)] + list(unlisted())
print("\n".join(problems) or "all links lead somewhere")
sys.exit(bool(problems))
