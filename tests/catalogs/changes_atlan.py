"""Compares what the sink `atlan` sends when tables change with what Atlan's own client sends for the same operations: the
look-up of an entity, the search for what belongs to tables, statistics, archiving, and restoring.

usage: changes_atlan.py CHANGES        (a file of changing.py)
"""

import json
import sys
from pathlib import Path

import pyatlan.model.assets as assets
from pyatlan.client.atlan import AtlanClient
from pyatlan.model.fluent_search import CompoundQuery, FluentSearch

import answers
from changing import CONNECTION, TOKEN
from compare import same_requests
from receiver import Receiver, same
from requests_atlan import BULK, saved

CARTS, ORDERS, STOCK = (f"{CONNECTION}/{name}" for name in ("app.carts", "orders", "stock"))
INDEXES = {"global": assets.DynamoDBGlobalSecondaryIndex, "local": assets.DynamoDBLocalSecondaryIndex}
CHILDREN = [assets.DynamoDBAttribute, *INDEXES.values()]
# What the sink does in each step, besides saving tables, which `requests_atlan.py` compares.
EXPECTED = {
    "appeared": [("search", [CARTS, ORDERS, STOCK])],
    "counted": [("count", "orders")],
    "changed": [("search", [ORDERS]), ("archive", [f"{ORDERS}/courier", f"{ORDERS}/by.courier"])],
    "removed": [("search", [CARTS]), ("look", CARTS, assets.DynamoDBTable), ("archive", [f"{CARTS}/id", CARTS])],
    "returned": [("search", [CARTS])],
}
FLAGS = ("replaceTags", "appendTags", "replaceBusinessAttributes", "overwriteBusinessAttributes")
# What the client names although it is the server's default, by member.
DEFAULTS = {
    "query": dict.fromkeys(FLAGS, ["false"]),
    "body": {"requestMetadata": {"saveSearchLog": False, "utmTags": ["project_sdk_python"]}},
    "dsl": {"aggregations": {}, "track_total_hits": True},
    "__state": {"case_insensitive": False},
    "entities": {"businessAttributes": None},
    "dynamoDbtable": {"attributes": {}},
}
# This generation of the client misspells a relation of indexes. It calls it `dynamoDBTable` elsewhere, as the next one does.
MISSPELT = {"dynamoDbtable": "dynamoDBTable"}


def counted(entity, found):
    """Sets what dynacrawl found of a table or index."""
    entity.connection_qualified_name, entity.connector_name = CONNECTION, "dynamodb"
    entity.row_count, entity.size_bytes, entity.dynamo_d_b_status = (found[of] for of in ("item_count", "size_bytes", "status"))
    # A local index has no capacity of its own.
    capacity = found["provisioned_throughput"] or dict.fromkeys(("read_capacity_units", "write_capacity_units"))
    entity.dynamo_d_b_read_capacity_units = capacity["read_capacity_units"]
    entity.dynamo_d_b_write_capacity_units = capacity["write_capacity_units"]
    return entity


class ByClient:
    """The same operations by Atlan's client."""

    def __init__(self, client, tables, saved):
        self.client, self.tables, self.saved = client, tables, saved

    def look(self, name, kind):
        self.client.asset.get_by_qualified_name(name, kind, min_ext_info=True)

    def search(self, tables):
        of_tables = assets.DynamoDBAttribute.TABLE_QUALIFIED_NAME.within(tables)
        search = FluentSearch().where(CompoundQuery.active_assets()).where(CompoundQuery.asset_types(CHILDREN))
        search = search.where(of_tables).include_on_results(assets.Asset.QUALIFIED_NAME).page_size(300)
        search.execute(self.client)

    def count(self, name):
        of_table = f"{CONNECTION}/{name}"
        table = counted(assets.DynamoDBTable.updater(qualified_name=of_table, name=name), self.tables[name])
        # The text is dynacrawl's own.
        table.description = self.saved[of_table]["attributes"]["description"]
        self.client.asset.save(table)
        of_indexes = []
        for index in self.tables[name]["indexes"]:
            kind = INDEXES[index["kind"]]
            entity = kind.updater(qualified_name=f"{of_table}/{index['name']}", name=index["name"])
            entity.table_name, entity.table_qualified_name = name, of_table
            entity.dynamo_dbtable = assets.DynamoDBTable.ref_by_qualified_name(of_table)
            of_indexes.append(counted(entity, index))
        self.client.asset.save(of_indexes)

    def archive(self, names):
        self.client.asset.delete_by_guid([answers.guid(name) for name in names])


def plain(value, member=""):
    """A request without what the client adds: the server's defaults, a number for each entity, and a slash."""
    if isinstance(value, list):
        return [plain(one, member) for one in value]
    if not isinstance(value, dict):
        return value.rstrip("/") if member == "path" and value == f"{BULK}/" else value
    defaults = DEFAULTS.get(member, {})
    is_own = lambda key, one: key in defaults and one == defaults[key] or key == "guid" and str(one).startswith("-")
    return {MISSPELT.get(key, key): plain(one, key) for key, one in value.items() if not is_own(key, one)}


def compared(requests):
    """All requests but those that save entities whole, and those of the client before it archives, by id."""
    is_whole = lambda one: (one["body"] or {}).get("entities", [{}])[0].get("status") == "ACTIVE"
    return [one for one in requests if not is_whole(one) and not one["path"].startswith("/api/meta/entity/guid/")]


def check_return(client, receiver, ours):
    """The client restores an entity by its name and status: the sink's request has to have them, too."""
    entities = saved(ours)
    assert entities.keys() == {CARTS, f"{CARTS}/id"}, entities
    for name, entity in entities.items():
        assert client.asset.restore(getattr(assets, entity["typeName"]), name)
        restored = plain(saved(receiver.taken())[name], "entities")
        assert restored["status"] == "ACTIVE" and not same(entity, restored), (entity, restored)
        for member in ("status", "typeName"):
            assert same({**entity, member: "another"}, restored), "an altered request is not noticed"


def main(changes):
    answer = answers.atlan()
    receiver = Receiver(answer)
    client = AtlanClient(base_url=receiver.url, api_key=TOKEN)
    ways = {}
    for step, recorded in json.loads(Path(changes).read_text()).items():
        requests = recorded["requests"]["atlan"]
        if step == "returned":
            check_return(client, receiver, requests)
        # The server gets the tables as the sink saves them.
        for request in requests:
            if request["method"] == "POST" and request["path"] == BULK:
                answer(request)
        by_client = ByClient(client, recorded["tables"], saved(requests))
        for operation, *arguments in [("look", CONNECTION, assets.Connection), *EXPECTED[step]]:
            getattr(by_client, operation)(*arguments)
        assert step != "counted" or compared(requests) == requests, "statistics are sent with more than that"
        ways[step] = same_requests(compared(requests), compared(receiver.taken()), plain)
    assert list(ways) == list(EXPECTED), ways
    print(f"Atlan: changes are sent as its client does; {sum(ways.values())} altered requests are noticed")


if __name__ == "__main__":
    main(*sys.argv[1:])
