"""Compares what the sink `openmetadata` sends when tables change with what OpenMetadata's own client sends for the same
operations.

usage: changes_openmetadata.py CHANGES        (a file of changing.py)
"""

import json
import sys
import warnings
from pathlib import Path

warnings.simplefilter("ignore")

from metadata.generated.schema.api.data.createTable import CreateTableRequest
from metadata.generated.schema.api.data.createTableProfile import CreateTableProfileRequest
from metadata.generated.schema.api.data.restoreEntity import RestoreEntity
from metadata.generated.schema.entity.data.table import Table, TableProfile
from metadata.utils import fqn

import answers
from changing import ACCOUNT, REGION
from compare import same_requests, without_nulls
from estate import indexes, key
from receiver import Receiver
from requests_openmetadata import connected

TABLES = "/api/v1/tables"
# What the sink does with each table.
EXPECTED = {
    "appeared": {name: ["put", "profile"] for name in ("orders", "app.carts", "stock")},
    "counted": {"orders": ["profile"]},
    "changed": {"orders": ["put", "describe", "profile"]},
    "removed": {"app.carts": ["delete"]},
    "returned": {"app.carts": ["restore", "put", "profile"]},
}


class ByClient:
    """The same operations by OpenMetadata's client. `described` is the table in the crawl, and `body` what the sink puts."""

    def __init__(self, client, described, body):
        self.client, self.described, self.body = client, described, body

    def look(self, name):
        """The table as the server has it. The sink always looks first."""
        names = {"service_name": "dynamodb", "database_name": ACCOUNT, "schema_name": REGION, "table_name": name}
        full = fqn.build(None, Table, **names, skip_es_search=True)
        self.table = self.client.get_by_name(Table, full, fields=["tableConstraints"], include="all")

    def put(self):
        self.table = self.client.create_or_update(CreateTableRequest.model_validate(self.body))

    def describe(self):
        assert self.client.patch_description(Table, self.table, self.body["description"], force=True)

    def profile(self):
        names = {one["attribute"] for part in (self.described, *indexes(self.described)) for one in key(part)}
        profile = TableProfile(
            timestamp=self.described["counted_at"],
            columnCount=len(names),
            rowCount=self.described["item_count"],
            sizeInByte=self.described["size_bytes"],
        )
        self.client.ingest_profile_data(self.table, CreateTableProfileRequest(tableProfile=profile, columnProfile=[]))

    def delete(self):
        self.client.delete(Table, self.table.id, recursive=True, hard_delete=False)

    def restore(self):
        assert self.client.restore(Table, self.table.id)


def about_tables(requests):
    """The requests about tables, but not those of the client before a patch, which reads the table by its id."""
    by_id = lambda one: one["method"] == "GET" and "/name/" not in one["path"]
    return [one for one in requests if one["path"].startswith(TABLES) and not by_id(one)]


def check_models(requests):
    """The models of the bodies refuse unknown members."""
    for request in requests:
        if request["method"] == "PUT":
            of = {"tables": CreateTableRequest, "tableProfile": CreateTableProfileRequest, "restore": RestoreEntity}
            of[request["path"].rsplit("/", 1)[1]].model_validate(request["body"])


def main(changes):
    receiver = Receiver(answers.openmetadata())
    client, ways = connected(receiver.url), {}
    for step, recorded in json.loads(Path(changes).read_text()).items():
        ours = about_tables(recorded["requests"]["openmetadata"])
        check_models(ours)
        bodies = {one["body"]["name"]: one["body"] for one in ours if one["path"] == TABLES}
        receiver.taken()
        for name, operations in EXPECTED[step].items():
            by_client = ByClient(client, recorded["tables"].get(name), bodies.get(name))
            by_client.look(name)
            for operation in operations:
                getattr(by_client, operation)()
        ways[step] = same_requests(ours, about_tables(receiver.taken()), without_nulls)
    assert list(ways) == list(EXPECTED), ways
    print(f"OpenMetadata: changes are sent as its client does; {sum(ways.values())} altered requests are noticed")


if __name__ == "__main__":
    main(*sys.argv[1:])
