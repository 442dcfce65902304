"""Reads the data sets that the sink `object_store` writes, in each of its forms, as they lie."""

import json

import polars

import files
import readers

# How polars and DuckDB read the files of each form.
FORMS = {
    "gzip": ('compression = "gzip"', "read_json_auto", polars.read_ndjson),
    "zstd": ('compression = "zstd"', "read_json_auto", polars.read_ndjson),
    "none": ('compression = "none"', "read_json_auto", polars.read_ndjson),
    "parquet": ('format = "parquet"', "read_parquet", polars.read_parquet),
}
DATA_SETS = ["tables", "indexes", "key_attributes", "scopes"]


def every_form_is_read(binary, directory):
    """Each data set, by a pattern over its directories. All forms have the same columns and names."""
    seen = {}
    for form, (setting, duckdb_function, polars_function) in FORMS.items():
        place = directory / f"lake-{form}"
        place.mkdir()
        config = place / "lake.toml"
        config.write_text(f'[sink.lake.object_store]\nurl = "file://{place}/lake"\n{setting}\n')
        files.crawl(binary, place, "--demo", "--config", config, "--sink", "lake")
        manifest = json.loads((place / "lake/_manifest.json").read_text())
        counts = {one["name"]: one["row_count"] for one in manifest["data_sets"]}
        paths = {one["name"]: [file["path"] for file in one["files"]] for one in manifest["data_sets"]}
        yield from readers.same(f"the manifest of {form}", sorted(counts), sorted(DATA_SETS))
        for name in DATA_SETS:
            what = f"{name} as {form}"
            pattern = f"{place}/lake/{name}/*/*/*"
            connection = readers.connect()
            connection.execute(f"CREATE TABLE rows AS FROM {duckdb_function}(?, hive_partitioning = true)", [pattern])
            rows = connection.execute("SELECT count(*), count(DISTINCT run_id), min(run_id) FROM rows").fetchall()
            yield from readers.same(f"DuckDB's count of {what}", rows, [(counts[name], 1, manifest["run_id"])])
            columns = [column for column in connection.table("rows").columns if column not in ("date", "run_id")]
            names = connection.execute("SELECT * EXCLUDE (date, run_id) FROM rows ORDER BY ALL").fetchall()
            frame = polars.concat([polars_function(place / "lake" / path) for path in paths[name]])
            yield from readers.same(f"polars' count of {what}", frame.height, counts[name])
            yield from readers.same(f"polars' columns of {what}", frame.columns, columns)
            found = (columns, len(names), [row[:4] for row in names])
            yield from readers.same(what, found, seen.setdefault(name, found))
