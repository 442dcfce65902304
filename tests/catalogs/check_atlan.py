"""Checks an export for Atlan with Atlan's own libraries, more strictly than they do it: every type, attribute and enum
value is known, no attribute is dropped, and every table, key, index and attribute of the crawl is there."""

import json
import sys
from pathlib import Path

import msgspec
import pyatlan_v9.model.assets as assets
from application_sdk.validation.assets import validate_transformed_dir
from pyatlan.model.enums import AtlanConnectorType, DynamoDBSecondaryIndexProjectionType, DynamoDBStatus
from pyatlan_v9.model.transform import from_atlas_json

from estate import indexes, key, tables

TYPES = {
    "table": "DynamoDBTable",
    "attribute": "DynamoDBAttribute",
    "global_secondary_index": "DynamoDBGlobalSecondaryIndex",
    "local_secondary_index": "DynamoDBLocalSecondaryIndex",
}
ENUMS = {
    "dynamoDBStatus": DynamoDBStatus,
    "dynamoDBSecondaryIndexProjectionType": DynamoDBSecondaryIndexProjectionType,
    "connectorName": AtlanConnectorType,
}


def checked(line, type_name):
    """The attributes of an entity that Atlan's model reads whole."""
    entity = json.loads(line)
    assert set(entity) == {"typeName", "status", "attributes"}, entity
    assert entity["typeName"] == type_name and entity["status"] == "ACTIVE", entity
    model = getattr(assets, type_name)
    fields = {field.encode_name: field for field in msgspec.structs.fields(model)}
    asset = from_atlas_json(line)
    assert type(asset) is model, asset
    asset.validate(for_creation=True)
    for name, value in entity["attributes"].items():
        assert name in fields, f"{type_name} has no attribute {name}"
        read = getattr(asset, fields[name].name)
        assert read is not msgspec.UNSET, f"{name} is dropped"
        if isinstance(value, dict):
            assert value["uniqueAttributes"]["qualifiedName"] == read.unique_attributes["qualifiedName"], entity
        else:
            assert read == value, f"{name}: {value!r} is read as {read!r}"
        if name in ENUMS:
            assert value in {str(one.value) for one in ENUMS[name]}, f"{name} has no value {value}"
    return entity["attributes"]


def main(crawl, exported, connections):
    connections = dict(one.split("=", 1) for one in connections.split(","))
    report = validate_transformed_dir(Path(exported) / "transformed")
    assert report.ok and report.referential_check == "ran", report.format_report()
    found = {}
    for directory, type_name in TYPES.items():
        with open(Path(exported) / "transformed" / directory / "entities.json") as lines:
            for line in lines:
                attributes = checked(line, type_name)
                place = (type_name, attributes["qualifiedName"])
                assert place not in found, f"twice: {place}"
                found[place] = attributes
    expected = 0
    for scope, table in tables(crawl):
        name = f"{connections[scope['account_id'] + '/' + scope['region']]}/{table['name']}"
        entity = found["DynamoDBTable", name]
        partition = [element["attribute"] for element in key(table) if element["role"] == "partition"]
        sort = [element["attribute"] for element in key(table) if element["role"] == "sort"]
        assert entity.get("dynamoDBPartitionKey", "") == ", ".join(partition), entity
        assert entity.get("dynamoDBSortKey", "") == ", ".join(sort), entity
        assert (entity["rowCount"], entity["sizeBytes"]) == (table["item_count"], table["size_bytes"]), entity
        assert table["billing_mode"] in entity["description"] and table["table_class"] in entity["description"]
        expected += 1
        names = {attribute["name"] for attribute in table["attributes"]}
        for index in indexes(table):
            names |= {element["attribute"] for element in key(index)}
        names |= {element["attribute"] for element in key(table)}
        for attribute in names:
            column = found["DynamoDBAttribute", f"{name}/{attribute}"]
            assert column["isPartition"] == (attribute in partition) and column["isSort"] == (attribute in sort), column
            expected += 1
        for kind in ("global", "local"):
            of_kind = indexes(table, kind)
            assert entity[f"dynamoDBTable{kind[0].upper()}SICount"] == len(of_kind), entity
            for index in of_kind:
                entity_of = found[f"DynamoDB{kind.title()}SecondaryIndex", f"{name}/{index['name']}"]
                keys = entity_of["dynamoDBPartitionKey"] + ", " + entity_of.get("dynamoDBSortKey", "")
                assert all(element["attribute"] in keys for element in key(index)), entity_of
                expected += 1
        for index in indexes(table, "vector"):
            assert f"Index {index['name']}: " in entity["description"]
    assert len(found) == expected, (len(found), expected)
    print(f"Atlan: {len(found)} entities")


if __name__ == "__main__":
    main(*sys.argv[1:])
