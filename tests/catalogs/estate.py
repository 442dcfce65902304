"""Reads the output of a crawl."""

import json


def tables(path):
    """Each table with its scope."""
    with open(path) as lines:
        for line in lines:
            record = json.loads(line)
            if record["type"] == "table":
                yield record["scope"], record["table"]


def key(described):
    """The key of a table or an index."""
    return described["key_schema"] or []


def indexes(table, *kinds):
    """The indexes of a table, of these kinds or of all."""
    return [index for index in table["indexes"] or [] if not kinds or index["kind"] in kinds]
