"""Compares the requests of the sink `atlan` with those of Atlan's own client for the same entities.

usage: requests_atlan.py BINARY CRAWL CONNECTIONS DIRECTORY        (CONNECTIONS: ACCOUNT/REGION=QUALIFIED_NAME, by commas)
"""

import subprocess
import sys
from pathlib import Path

import pyatlan.model.assets as assets
from pyatlan.client.atlan import AtlanClient

import answers
from changing import TOKEN
from estate import indexes, key, tables
from receiver import Receiver, same

BULK = "/api/meta/entity/bulk"
KINDS = {f"DynamoDB{kind}" for kind in ("Table", "Attribute", "GlobalSecondaryIndex", "LocalSecondaryIndex")}


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


def of_each_shape(crawl):
    """The name of one table of each shape. Atlan permits few requests a second."""
    names = {}
    # The order of a crawl differs from run to run.
    for _, table in sorted(tables(crawl), key=lambda one: one[1]["name"]):
        kinds = sorted(index["kind"] for index in indexes(table))
        names.setdefault((len(key(table)), *kinds, table["billing_mode"], table["status"]), table["name"])
    return list(names.values())


def main(binary, crawl, connections, directory):
    receiver = Receiver(answers.atlan())
    config = Path(directory) / "sink.toml"
    named = "".join(
        f'connections."{scope}" = "{name}"\n' for scope, name in (one.split("=", 1) for one in connections.split(","))
    )
    some = f"[sink.hub]\ninclude = {of_each_shape(crawl)}\n"
    config.write_text(f'{some}[sink.hub.atlan]\nurl = "{receiver.url}"\ntoken = {{ env = "CATALOG_TOKEN" }}\n{named}')
    command = [binary, "crawl", "--demo", "--config", config, "--sink", "hub"]
    subprocess.run(command, check=True, capture_output=True, env={"CATALOG_TOKEN": TOKEN})
    requests = receiver.taken()
    ours = saved(requests)
    kinds = {entity["typeName"] for entity in ours.values()}
    assert kinds == KINDS, kinds

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
    print(f"Atlan: {len(ours)} entities are sent as its client does")


if __name__ == "__main__":
    main(*sys.argv[1:])
