"""Compares what the sink `datahub` sends when tables change with what DataHub's own client sends for the same operations,
with both APIs: statistics, the patch of a dataset's properties and the request before it, removal, and return.

usage: changes_datahub.py CHANGES        (a file of changing.py)
"""

import json
import os
import sys
from pathlib import Path

os.environ["DATAHUB_TELEMETRY_ENABLED"] = "false"

from datahub.emitter.mce_builder import make_dataset_urn_with_platform_instance
from datahub.emitter.mcp import MetadataChangeProposalWrapper
from datahub.ingestion.graph.client import DatahubClientConfig, DataHubGraph
from datahub.metadata.schema_classes import DatasetProfileClass, DatasetPropertiesClass, TimeStampClass
from datahub.specific.dataset import DatasetPatchBuilder

import answers
from changing import ACCOUNT, REGION, TOKEN
from compare import same_requests
from receiver import Receiver
from requests_datahub import proposals

# What the sink does with each table. `requests_datahub.py` compares the aspects that describe a table.
ALL = ["look", "patch", "profile", "status"]
EXPECTED = {
    "appeared": {name: ALL for name in ("orders", "app.carts", "stock")},
    "counted": {"orders": ["patch", "profile"]},
    "changed": {"orders": ALL},
    "removed": {"app.carts": ["look", "remove"]},
    "returned": {"app.carts": ALL},
}
COMPARED = {"datasetProperties", "datasetProfile", "status"}
# What the changed table has no longer.
OUTDATED = {"/customProperties/index.by.courier"}
TOTAL = "/customProperties/table.totalItems"


def urn_of(name):
    return make_dataset_urn_with_platform_instance("dynamodb", f"{REGION}.{name}", ACCOUNT, "PROD")


class ByClient:
    """The same operations by DataHub's client. `table` is the table in the crawl, and `operations` are those of the sink's
    patch."""

    def __init__(self, graph, urn, table, operations):
        self.graph, self.urn, self.table, self.operations = graph, urn, table, operations

    def look(self):
        self.graph.get_aspect(self.urn, DatasetPropertiesClass)

    def patch(self):
        patch = DatasetPatchBuilder(self.urn)
        members = {
            "/created": lambda value: patch.set_created(TimeStampClass.from_obj(value)),
            "/externalUrl": patch.set_external_url,
            "/name": patch.set_display_name,
            "/qualifiedName": patch.set_qualified_name,
        }
        for operation in self.operations:
            path = operation["path"]
            key = path.removeprefix("/customProperties/").replace("~1", "/").replace("~0", "~")
            if path in members:
                members[path](operation["value"])
            elif operation["op"] == "add":
                patch.add_custom_property(key, operation["value"])
            else:
                patch.remove_custom_property(key)
        self.graph.emit_mcps(patch.build())

    def profile(self):
        counts = {"rowCount": self.table["item_count"], "sizeInBytes": self.table["size_bytes"]}
        profile = DatasetProfileClass(timestampMillis=self.table["counted_at"], **counts)
        self.graph.emit_mcps([MetadataChangeProposalWrapper(entityUrn=self.urn, aspect=profile)])

    def status(self):
        self.graph.set_soft_delete_status(self.urn, delete=False)

    def remove(self):
        self.graph.soft_delete_entity(self.urn)


def compared(requests):
    """The lookups, and each aspect of a dataset as a request of its own."""
    lookups = [one for one in requests if one["path"].startswith("/aspects/")]
    of_datasets = [one for one in proposals(requests) if one["body"]["urn"].startswith("urn:li:dataset:")]
    return lookups + [one for one in of_datasets if one["body"]["aspect"] in COMPARED]


def plain(request):
    """The client gives the removals of a patch a value, which means nothing."""
    value = request.get("body", {}).get("value")
    if not isinstance(value, list):
        return request
    is_removal = lambda one: isinstance(one, dict) and one.get("op") == "remove"
    bare = [{**one, "value": None} if is_removal(one) else one for one in value]
    return {**request, "body": {**request["body"], "value": bare}}


def described(recorded, sink):
    """What describes the table that is removed, but for the properties, which have the time of its creation."""
    bodies = [one["body"] for one in proposals(recorded["requests"][sink])]
    left_out = ("datasetProperties", "datasetProfile")
    return {of["aspect"]: of["value"] for of in bodies if of["urn"] == urn_of("app.carts") and of["aspect"] not in left_out}


def patches(requests):
    aspects = [one["body"] for one in requests if one["body"] and one["body"].get("aspect") == "datasetProperties"]
    return {one["urn"]: one["value"] for one in aspects}


def main(changes):
    steps = json.loads(Path(changes).read_text())
    for sink, version in (("datahub", "v1.7.0"), ("datahub_old", "v0.15.0")):
        receiver = Receiver(answers.datahub(version))
        is_open_api = sink == "datahub"
        graph = DataHubGraph(DatahubClientConfig(server=receiver.url, token=TOKEN, openapi_ingestion=is_open_api))
        ways = {}
        for step, recorded in steps.items():
            ours = compared(recorded["requests"][sink])
            operations = patches(ours)
            receiver.taken()
            for name, expected in EXPECTED[step].items():
                urn = urn_of(name)
                by_client = ByClient(graph, urn, recorded["tables"].get(name), operations.get(urn))
                for operation in expected:
                    getattr(by_client, operation)()
            ways[step] = same_requests(ours, compared(receiver.taken()), plain)
            # The patch of the client is made from ours, so the value of what changes is looked up in the crawl.
            totals = {urn: one["value"] for urn, of in operations.items() for one in of if one["path"] == TOTAL}
            counted = {urn_of(name): str(table["item_count"]) for name, table in recorded["tables"].items()}
            assert totals.items() <= counted.items() and (totals or step != "counted"), (step, totals)
            removed = {one["path"] for of in operations.values() for one in of if one["op"] == "remove"}
            assert removed == (OUTDATED if step == "changed" else set()), (step, removed)
        assert list(ways) == list(EXPECTED), ways
        returned = described(steps["returned"], sink)
        assert "schemaMetadata" in returned and returned == described(steps["appeared"], sink), returned
        print(f"DataHub {version}: changes are sent as its client does; {sum(ways.values())} altered requests are noticed")


if __name__ == "__main__":
    main(*sys.argv[1:])
