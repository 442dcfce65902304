"""Compares the requests of the sink `atlan` with those of Atlan's own client for the same entities.

usage: requests_atlan.py BINARY DIRECTORY CONNECTIONS        (CONNECTIONS: ACCOUNT/REGION=QUALIFIED_NAME, by commas)
"""

import json
import subprocess
import sys
from pathlib import Path

import pyatlan.model.assets as assets
from pyatlan.client.atlan import AtlanClient

from receiver import Receiver, same

TOKEN = "a-token-for-tests"
BULK = "/api/meta/entity/bulk"
UNIQUE = "/api/meta/entity/uniqueAttribute/type/"


def answer(request):
    if request["path"] == "/api/service/users/current":
        return 200, {"username": "service-account-apikey-1"}
    if request["path"].startswith(UNIQUE):
        if request["path"].endswith("/Connection"):
            return 200, {"entity": {"guid": "c", "status": "ACTIVE"}}
        return 404, {"errorCode": "ATLAS-404-00-009", "errorMessage": "does not exist"}
    if request["path"].endswith("/indexsearch"):
        return 200, {"entities": [], "approximateCount": 0}
    return 200, {"mutatedEntities": None, "guidAssignments": {}}


def saved(requests):
    """The entities that requests save, by their qualified names."""
    found = {}
    for request in requests:
        if request["method"] == "POST" and request["path"].rstrip("/") == BULK:
            assert request["headers"]["authorization"] == f"Bearer {TOKEN}"
            assert request["headers"]["content-type"].startswith("application/json")
            assert set(request["body"]) == {"entities"}, set(request["body"])
            for entity in request["body"]["entities"]:
                found[entity["attributes"]["qualifiedName"]] = entity
    return found


def lookup(requests):
    """How an entity is looked up by its qualified name."""
    one = next(request for request in requests if request["path"].startswith(UNIQUE))
    return one["method"], set(one["query"])


def main(binary, directory, connections):
    receiver = Receiver(answer)
    config = Path(directory) / "sink.toml"
    named = "".join(
        f'connections."{scope}" = "{name}"\n' for scope, name in (one.split("=", 1) for one in connections.split(","))
    )
    # Atlan permits few requests a second.
    some = "[sink.hub]\ninclude = ['[a-c].*']\n"
    config.write_text(f'{some}[sink.hub.atlan]\nurl = "{receiver.url}"\ntoken = {{ env = "CATALOG_TOKEN" }}\n{named}')
    command = [binary, "crawl", "--demo", "--config", config, "--sink", "hub"]
    subprocess.run(command, check=True, capture_output=True, env={"CATALOG_TOKEN": TOKEN})
    requests = receiver.taken()
    ours = saved(requests)
    kinds = {entity["typeName"] for entity in ours.values()}
    assert {"DynamoDBTable", "DynamoDBGlobalSecondaryIndex", "DynamoDBAttribute"} <= kinds, kinds

    client = AtlanClient(base_url=receiver.url, api_key=TOKEN)
    read = [getattr(assets, entity["typeName"]).parse_obj(entity) for entity in ours.values()]
    for at in range(0, len(read), 20):
        client.asset.save(read[at : at + 20])
    theirs = saved(receiver.taken())
    assert theirs.keys() == ours.keys(), sorted(theirs.keys() ^ ours.keys())[:3]
    for name, entity in theirs.items():
        assert entity["typeName"] == ours[name]["typeName"]
        sent = {key: value for key, value in entity["attributes"].items() if not isinstance(value, dict)}
        lost = same(ours[name]["attributes"], sent)
        assert not lost, (name, lost[:3])
        # The client leaves out what is null, which removes an attribute, and sends relationships apart. Of the
        # attributes, this generation of it knows fewer than the server.
        known = {field.alias for field in getattr(assets, entity["typeName"]).Attributes.__fields__.values()}
        plain = {key for key, value in ours[name]["attributes"].items() if value is not None and not isinstance(value, dict)}
        assert plain & known <= set(sent), (name, plain & known - set(sent))
    try:
        client.asset.get_by_qualified_name("default/dynamodb/1/n", assets.DynamoDBTable)
    except Exception as error:
        assert "ATLAS-404-00-009" in str(error), error
    assert lookup(requests) == lookup(receiver.taken()), "an entity is looked up in another way"
    print(f"Atlan: {len(ours)} entities are sent as its client does")


if __name__ == "__main__":
    main(*sys.argv[1:])
