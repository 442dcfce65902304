"""One key, one type: the types and keys of all values in a file."""

import json

import files

TYPES = {str: "string", int: "number", float: "number", bool: "boolean", dict: "object", list: "array"}
ENVELOPE = ["type", "schema", "run_id"]
SCOPE = ["scope", "account_name"]


class Shapes:
    """What one or more files have at each path, such as `table.indexes[].name`.

    The path of a record itself is its type in parentheses. Everything maps to the place where it was
    first seen. `null` is no type.
    """

    def __init__(self):
        self.types = {}  # (path, type)
        self.keys = {}  # (path of an object, its keys)
        self._seen = set()
        self._children = {}
        self._place = None

    def read(self, path):
        for number, line in enumerate(files.lines(path), 1):
            record = json.loads(line)
            self._place = f"{path.name}:{number}"
            self._object(record, f"({record['type']})", "")
        return self

    def include(self, other):
        for mine, theirs in ((self.types, other.types), (self.keys, other.keys)):
            for key, place in theirs.items():
                mine.setdefault(key, place)

    def has_values(self, path):
        """Whether any value at the path is not `null`."""
        return any(seen == path for seen, _ in self.types)

    def _object(self, value, path, prefix):
        layout = (path, *value)
        children = self._children.get(layout)
        if children is None:
            children = self._children[layout] = [prefix + key for key in value]
            self.keys[(path, tuple(value))] = self._place
        for child, member in zip(children, value.values()):
            self._value(member, child)

    def _value(self, value, path):
        if value is None:
            return
        kind = type(value)
        if (path, kind) not in self._seen:
            self._seen.add((path, kind))
            self.types.setdefault((path, TYPES[kind]), self._place)
        if kind is dict:
            self._object(value, path, f"{path}.")
        elif kind is list:
            for element in value:
                self._value(element, f"{path}[]")


def name_of(path):
    """The name of the key: `indexes[]` for `table.indexes[]`."""
    return path.rpartition(".")[2]


def one_key_has_one_type(shapes):
    """By path, and more strictly by the name of the key at whatever depth."""
    for what, key_of in (("path", lambda path: path), ("key", name_of)):
        found = {}
        for (path, kind), place in shapes.types.items():
            found.setdefault(key_of(path), {}).setdefault(kind, f"{path} in {place}")
        for key, kinds in found.items():
            if len(kinds) > 1:
                yield f"the {what} {key} has several types: " + ", ".join(f"{k} ({p})" for k, p in kinds.items())


def one_key_has_one_shape(shapes):
    """Objects under the same key have the same keys in the same order, at whatever depth."""
    first = {}
    for (path, keys), place in shapes.keys.items():
        name, keys = name_of(path), list(keys)
        of_first, first_place = first.setdefault(name, (keys, f"{path} in {place}"))
        if keys != of_first:
            differ = sorted(set(keys) ^ set(of_first)) or "their order"
            yield f"{path} in {place} and {first_place} differ in {differ}"


def records_begin_with_the_envelope(shapes):
    for (path, keys), place in shapes.keys.items():
        if path.startswith("("):
            envelope = ENVELOPE + (SCOPE if set(SCOPE) & set(keys) else [])
            if list(keys[: len(envelope)]) != envelope:
                yield f"{place}: the record begins with {keys[: len(envelope)]} instead of {envelope}"
