#!/usr/bin/env python3
"""Finds files of a crate that import each other in a circle. Prints each circle, and exits with 1 if there is one.

An import is a path that begins with `crate`, `super`, `self` or a module of the file. It leads to the file
of the module that it names. If it names an item that a `pub use` of that module re-exports, it leads to
the file that defines the item. Tests are left out, because they may use everything.
"""

import re
import sys
from pathlib import Path

USE = re.compile(r"^\s*(pub(?:\([^)]*\))?\s+)?use\s+([^;]+);", re.MULTILINE)
PATH = re.compile(r"(?<![\w:])\w+(?:::\w+)+")
MODULE = re.compile(r"^\s*(?:pub(?:\([^)]*\))?\s+)?mod\s+(\w+)\s*;", re.MULTILINE)
TEST_MODULE = re.compile(r"#\[cfg\(test\)\]\s*(?:pub(?:\([^)]*\))?\s+)?mod\s+(\w+)\s*;")


def without_tests(text):
    text = re.sub(r"//[^\n]*", "", text)
    inline = re.search(r"^#\[cfg\([^\n]*\btest\b[^\n]*\)\]\n(?:#\[[^\n]*\n)*mod \w+ \{", text, re.MULTILINE)
    return text[: inline.start()] if inline else text


def expand(tree):
    """`a::{b, c::{d, e}}` as a::b, a::c::d and a::c::e, each with the name that it has in the file."""
    tree = " ".join(tree.split())
    at = tree.find("{")
    if at < 0:
        path, _, name = tree.partition(" as ")
        parts = path.strip().split("::")
        if parts[-1] == "self" and len(parts) > 1:
            parts.pop()
        return [(parts, name.strip() or parts[-1])]
    before, inside = tree[:at], tree[at + 1 : tree.rfind("}")]
    parts, depth, part = [], 0, ""
    for char in inside:
        depth += (char == "{") - (char == "}")
        if char == "," and depth == 0:
            parts.append(part)
            part = ""
        else:
            part += char
    parts.append(part)
    return [one for part in parts if part.strip() for one in expand(before + part.strip())]


class Crate:
    def __init__(self, source):
        self.files, self.texts, self.passed_on = {}, {}, {}
        root = source / ("lib.rs" if (source / "lib.rs").exists() else "main.rs")
        self.read((), root)
        for module, text in self.texts.items():
            for public, tree in USE.findall(text):
                if public:
                    for path, name in expand(tree):
                        self.passed_on[(module, name)] = path

    def read(self, module, file):
        text = without_tests(file.read_text())
        self.files[module], self.texts[module] = file, text
        tests = set(TEST_MODULE.findall(text))
        folder = file.parent if file.name in ("lib.rs", "main.rs", "mod.rs") else file.with_suffix("")
        for name in MODULE.findall(text):
            child = next((c for c in (folder / f"{name}.rs", folder / name / "mod.rs") if c.exists()), None)
            if name not in tests and child:
                self.read((*module, name), child)

    def resolve(self, module, path, seen=()):
        """The module that defines the item that a path in a module names."""
        here, rest = list(module), list(path)
        if rest[0] == "crate":
            here, rest = [], rest[1:]
        elif rest[0] == "self":
            rest = rest[1:]
        elif rest[0] == "super":
            while rest and rest[0] == "super":
                here, rest = here[:-1], rest[1:]
        elif (*module, rest[0]) not in self.files:
            # Another crate, or a type.
            return None
        while rest and (*here, rest[0]) in self.files:
            here.append(rest.pop(0))
        here = tuple(here)
        if rest and (here, rest[0]) in self.passed_on and (here, rest[0]) not in seen:
            return self.resolve(here, self.passed_on[(here, rest[0])], (*seen, (here, rest[0]))) or here
        return here

    def imports(self):
        graph = {}
        for module, text in self.texts.items():
            paths, passes_on = [], set()
            for public, tree in USE.findall(text):
                # A re-export does not depend on the other file.
                if not public:
                    paths += [path for path, _ in expand(tree)]
            code = USE.sub("", text)
            paths += [found.split("::") for found in PATH.findall(code)]
            graph[module] = {to for path in paths if (to := self.resolve(module, path)) is not None and to != module}
        return graph


def circles(graph):
    """The strongly connected components with more than one member."""
    index, low, stack, found = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph[node]):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            members = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(members) > 1:
                found.append(members)

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return found


def main():
    failed = False
    for source in sorted(Path(__file__).resolve().parent.parent.glob("crates/*/src")):
        crate = Crate(source)
        graph = crate.imports()
        for members in circles(graph):
            failed = True
            print(f"{source.parent.name}: {len(members)} files import each other in a circle")
            for member in sorted(members):
                to = sorted(str(crate.files[m].relative_to(source)) for m in graph[member] if m in members)
                print(f"  {crate.files[member].relative_to(source)} -> {', '.join(to)}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
