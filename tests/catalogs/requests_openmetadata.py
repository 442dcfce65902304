"""Compares the requests of the sink `openmetadata` with those of OpenMetadata's own client for the same entities.

usage: requests_openmetadata.py BINARY EXPORT DIRECTORY
"""

import json
import subprocess
import sys
import warnings
from pathlib import Path

warnings.simplefilter("ignore")

from metadata.generated.schema.entity.services.connections.metadata.openMetadataConnection import OpenMetadataConnection
from metadata.generated.schema.security.client.openMetadataJWTClientConfig import OpenMetadataJWTClientConfig
from metadata.ingestion.ometa.ometa_api import OpenMetadata

import answers
from changing import TOKEN
from check_openmetadata import MODELS
from receiver import Receiver, same


def puts(requests):
    """The bodies of the requests that create or update entities: {(path, name, parent): body}."""
    found = {}
    for request in requests:
        if request["method"] == "PUT" and request["path"] in MODELS:
            assert request["headers"]["authorization"] == f"Bearer {TOKEN}", request["headers"]
            assert request["headers"]["content-type"].startswith("application/json")
            assert not request["query"], request["query"]
            body = request["body"]
            parent = body.get("databaseSchema") or body.get("database") or body.get("service")
            found[request["path"], body["name"], parent] = body
    return found


def connected(url):
    """OpenMetadata's client."""
    config = OpenMetadataConnection(
        hostPort=f"{url}/api",
        authProvider="openmetadata",
        securityConfig=OpenMetadataJWTClientConfig(jwtToken=TOKEN),
        enableVersionValidation=False,
    )
    return OpenMetadata(config)


def main(binary, exported, directory):
    receiver = Receiver(answers.openmetadata())
    client = connected(receiver.url)
    for line in Path(exported).read_text().splitlines():
        request = json.loads(line)
        try:
            client.create_or_update(MODELS[request["path"]].model_validate(request["body"]))
        except Exception as error:
            # The receiver repeats the request, which is not a whole entity.
            assert "validation error" in str(error), error
    theirs = puts(receiver.taken())

    # A server that has none of the tables.
    receiver = Receiver(answers.openmetadata())
    file = Path(directory) / "sink.toml"
    file.write_text(f'[sink.hub.openmetadata]\nurl = "{receiver.url}"\ntoken = {{ env = "CATALOG_TOKEN" }}\n')
    command = [binary, "crawl", "--demo", "--config", file, "--sink", "hub"]
    subprocess.run(command, check=True, capture_output=True, env={"CATALOG_TOKEN": TOKEN})
    ours = puts(receiver.taken())
    assert theirs.keys() == ours.keys(), sorted(theirs.keys() ^ ours.keys(), key=str)[:3]
    for key, body in theirs.items():
        # The description has the time of the crawl.
        plain = lambda of: {name: value for name, value in of.items() if name != "description"}
        lost = same(plain(ours[key]), plain(body)) + same(plain(body), plain(ours[key]))
        assert not lost, (key, lost[:3])
    print(f"OpenMetadata: {len(ours)} entities are sent as its client does")


if __name__ == "__main__":
    main(*sys.argv[1:])
