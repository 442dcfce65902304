"""Reads files with DuckDB, polars and pandas, as their users do."""

import json

import duckdb
import pandas
import polars

import files

BIGGEST = 25


def connect():
    """DuckDB as it is without a network."""
    return duckdb.connect(config={"autoinstall_known_extensions": False})


def duckdb_infers_types(relation, shapes):
    """No JSON and no MAP where the file has values."""

    def walk(kind, place):
        if str(kind) == "JSON" or kind.id == "map":
            if shapes.has_values(place):
                yield f"DuckDB reads {place} as {kind}"
        elif kind.id == "struct":
            for name, child in kind.children:
                yield from walk(child, f"{place}.{name}")
        elif kind.id == "list":
            yield from walk(dict(kind.children)["child"], f"{place}[]")

    for name, kind in zip(relation.columns, relation.types):
        yield from walk(kind, name)


def polars_infers_types(frame):
    """No Object."""

    def walk(kind, place):
        if kind == polars.Object:
            yield f"polars reads {place} as Object"
        elif isinstance(kind, polars.Struct):
            for field in kind.fields:
                yield from walk(field.dtype, f"{place}.{field.name}")
        elif isinstance(kind, polars.List):
            yield from walk(kind.inner, f"{place}[]")

    for name, kind in frame.schema.items():
        yield from walk(kind, name)


def same(what, found, expected):
    if found != expected:
        yield f"{what} gives {found} instead of {expected}"


def every_tool_reads(path, shapes):
    """All lines, with types, and sizes that sort as numbers."""
    yield from duckdb_reads(path, shapes)
    yield from polars_reads(path)
    yield from pandas_reads(path)


def expected(path):
    """The number of lines, and the sizes of the biggest tables."""
    count, sizes = 0, []
    for line in files.lines(path):
        record = json.loads(line)
        count += 1
        if record["type"] == "table":
            sizes.append(record["table"]["size_bytes"])
    return count, sorted(sizes, reverse=True)[:BIGGEST]


def duckdb_reads(path, shapes):
    count, biggest = expected(path)
    connection = connect()
    connection.execute("CREATE TABLE lines AS FROM read_json_auto(?, sample_size = -1)", [str(path)])
    rows = connection.execute("SELECT count(*) FROM lines").fetchall()
    yield from same("DuckDB's number of rows", rows, [(count,)])
    yield from duckdb_infers_types(connection.table("lines"), shapes)
    if biggest:
        query = """SELECT "table".size_bytes AS size FROM lines WHERE type = 'table' ORDER BY size DESC LIMIT ?"""
        rows = connection.execute(query, [BIGGEST]).fetchall()
        yield from same("DuckDB's order by size", [size for (size,) in rows], biggest)


def polars_reads(path):
    count, biggest = expected(path)
    frame = polars.read_ndjson(path, infer_schema_length=None)
    yield from same("polars' number of rows", frame.height, count)
    yield from polars_infers_types(frame)
    if biggest:
        tables = frame.filter(polars.col("type") == "table").select("table").unnest("table")
        yield from same("polars' order by size", tables["size_bytes"].sort(descending=True)[:BIGGEST].to_list(), biggest)


def pandas_reads(path):
    count, biggest = expected(path)
    frame = pandas.read_json(path, lines=True)
    yield from same("pandas' number of rows", len(frame), count)
    if biggest:
        sizes = frame.loc[frame["type"] == "table", "table"].map(lambda table: table["size_bytes"])
        yield from same("pandas' order by size", sizes.sort_values(ascending=False)[:BIGGEST].to_list(), biggest)


def pandas_keeps_account_ids(path):
    """As strings, with the option that the guide recommends."""
    frame = pandas.read_json(path, lines=True, dtype=False)
    expected = [json.loads(line).get("account_id") for line in files.lines(path)]
    found = [None if pandas.isna(value) else value for value in frame["account_id"]]
    yield from same("pandas' account_id", found, expected)
