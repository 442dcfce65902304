"""Checks an export for OpenMetadata with OpenMetadata's own models, and that it can be sent in its order: each request
names only entities of requests before it, and every table, key, index and attribute of the crawl is there."""

import json
import sys
import warnings

warnings.simplefilter("ignore")

from metadata.generated.schema.api.data.createDatabase import CreateDatabaseRequest
from metadata.generated.schema.api.data.createDatabaseSchema import CreateDatabaseSchemaRequest
from metadata.generated.schema.api.data.createTable import CreateTableRequest
from metadata.generated.schema.api.services.createDatabaseService import CreateDatabaseServiceRequest
from metadata.generated.schema.entity.data.table import ConstraintType, DataType
from metadata.utils import fqn

from estate import indexes, key, tables

MODELS = {
    "/api/v1/services/databaseServices": CreateDatabaseServiceRequest,
    "/api/v1/databases": CreateDatabaseRequest,
    "/api/v1/databaseSchemas": CreateDatabaseSchemaRequest,
    "/api/v1/tables": CreateTableRequest,
}
TYPES = {"S": DataType.STRING, "N": DataType.NUMBER, "B": DataType.BYTES}


def checked(request):
    """The body, as OpenMetadata's model reads it. The models refuse unknown members."""
    assert set(request) == {"method", "path", "type", "body"} and request["method"] == "PUT", request
    model = MODELS[request["path"]]
    assert request["type"] == model.__name__, request
    body = model.model_validate(request["body"])
    again = json.loads(body.model_dump_json(exclude_unset=True, by_alias=True))
    assert set(again) == set(request["body"]), (again, request)
    return body


def text(value):
    return getattr(value, "root", value)


def main(crawl, exported, names="scoped"):
    services, databases, schemas, found = set(), set(), set(), {}
    with open(exported) as lines:
        for line in lines:
            body = checked(json.loads(line))
            name = text(body.name)
            if isinstance(body, CreateDatabaseServiceRequest):
                services.add(fqn.quote_name(name))
            elif isinstance(body, CreateDatabaseRequest):
                assert text(body.service) in services, body
                databases.add(f"{text(body.service)}.{name}")
            elif isinstance(body, CreateDatabaseSchemaRequest):
                assert text(body.database) in databases, body
                schemas.add(f"{text(body.database)}.{name}")
            else:
                assert text(body.databaseSchema) in schemas, body
                place = (text(body.databaseSchema), name)
                assert place not in found, f"twice: {place}"
                found[place] = body
    described = list(tables(crawl))
    assert len(found) == len(described), (len(found), len(described))
    for scope, table in described:
        account, region = scope["account_id"], scope["region"]
        schema = f"dynamodb.{account}.{region}" if names == "scoped" else f"dynamodb-{account}-{region}.default.default"
        body = found[(schema, table["name"])]
        columns = {text(column.name): column for column in body.columns}
        assert len(columns) == len(body.columns), body
        for attribute in table["attributes"]:
            assert columns[attribute["name"]].dataType == TYPES[attribute["type"]], attribute
        keys = [element["attribute"] for element in key(table)]
        single = [text(column.name) for column in body.columns if column.constraint]
        constraints = {one.constraintType: one.columns for one in body.tableConstraints or []}
        if len(keys) < 2:
            assert single == keys and not constraints, body
        else:
            sort = [element["attribute"] for element in key(table) if element["role"] == "sort"]
            assert not single and constraints[ConstraintType.PRIMARY_KEY] == keys, body
            assert constraints.get(ConstraintType.SORT_KEY, []) == sort, body
        for columns_of in constraints.values():
            assert set(columns_of) <= set(columns), body
        description = text(body.description)
        for index in indexes(table):
            line = next(line for line in description.splitlines() if line.startswith(f"- Index {index['name']}: "))
            assert all(element["attribute"] in line for element in key(index)), line
            assert all(element["attribute"] in columns for element in key(index))
        assert f"{table['item_count']} items, {table['size_bytes']} bytes" in description
        assert table["billing_mode"] in description and table["table_class"] in description
    print(f"OpenMetadata: {len(services)} services, {len(databases)} databases, {len(schemas)} schemas, {len(found)} tables")


if __name__ == "__main__":
    main(*sys.argv[1:])
