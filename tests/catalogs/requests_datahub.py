"""Compares the requests of the sink `datahub` with those of DataHub's own client for the same tables, with both APIs.

usage: requests_datahub.py BINARY EXPORT DIRECTORY
"""

import copy
import json
import subprocess
import sys
from pathlib import Path

from datahub.emitter.mcp import MetadataChangeProposalWrapper
from datahub.emitter.rest_emitter import DatahubRestEmitter
from datahub.metadata.schema_classes import ASPECT_NAME_MAP
from datahub.specific.dataset import DatasetPatchBuilder

import answers
from changing import TOKEN
from receiver import Receiver, same

# What the client adds and the server fills in if it is missing.
OWN = {"systemMetadata", "headers"}


def proposals(requests):
    """Each aspect that requests write as a request of its own, whose body is {urn, aspect, change, value}."""
    found = []
    for request in requests:
        if request["path"].startswith("/openapi/v3/entity/"):
            assert request["query"] == {"async": ["false"]}, request["query"]
            written = list(of_open_api(request["body"]))
        elif request["path"] == "/aspects" and request["method"] == "POST":
            written = list(of_rest_li(request))
            # The client proposes a single aspect in another way.
            request = {**request, "query": {"action": ["ingestProposalBatch"]}}
        else:
            continue
        assert request["headers"]["authorization"] == f"Bearer {TOKEN}"
        assert request["headers"]["content-type"].startswith("application/json"), request["headers"]
        found += [{**request, "body": body} for body in written]
    return found


def of_open_api(body):
    for entity in body:
        for aspect, value in entity.items():
            if aspect != "urn":
                assert set(value) - OWN == {"value"}, set(value)
                value = value["value"]
                if isinstance(value, dict) and set(value) == {"patch"}:
                    value = value["patch"]
                yield {"urn": entity["urn"], "aspect": aspect, "change": "", "value": value}


def of_rest_li(request):
    body, query = request["body"], request["query"]
    assert query in ({"action": ["ingestProposalBatch"]}, {"action": ["ingestProposal"]}), query
    assert request["headers"]["x-restli-protocol-version"] == "2.0.0"
    assert body["async"] == "false", body["async"]
    for proposal in body["proposals"] if query["action"] == ["ingestProposalBatch"] else [body["proposal"]]:
        members = set(proposal) - OWN
        assert members == {"entityType", "entityUrn", "changeType", "aspectName", "aspect"}, members
        change = f"{proposal['entityType']} {proposal['changeType']} {proposal['aspect']['contentType']}"
        value = json.loads(proposal["aspect"]["value"])
        yield {"urn": proposal["entityUrn"], "aspect": proposal["aspectName"], "change": change, "value": value}


def parts(requests):
    """What requests say about each aspect: {(method, path, urn, aspect, change): value}."""
    bodies = [(one, one["body"]) for one in proposals(requests)]
    return {(one["method"], one["path"], of["urn"], of["aspect"], of["change"]): of["value"] for one, of in bodies}


def by_client(url, exported, is_open_api):
    emitter = DatahubRestEmitter(url, token=TOKEN, openapi_ingestion=is_open_api)
    wrappers = [MetadataChangeProposalWrapper.from_obj(copy.deepcopy(proposal)) for proposal in exported]
    emitter.emit_mcps([wrapper for wrapper in wrappers if wrapper.aspectName != "datasetProperties"])
    for wrapper in wrappers:
        if wrapper.aspectName == "datasetProperties":
            patch = DatasetPatchBuilder(wrapper.entityUrn)
            for key, value in wrapper.aspect.customProperties.items():
                patch.add_custom_property(key, value)
            emitter.emit_mcps(patch.build())
    emitter.close()


def at_any_time(value):
    """A profile without its time, which is that of the crawl."""
    if "timestampMillis" in value:
        assert isinstance(value["timestampMillis"], int), value
        value["timestampMillis"] = 0
    return value


def main(binary, exported, directory):
    exported = json.loads(Path(exported).read_text())
    for version, is_open_api in (("v1.7.0", True), ("v0.15.0", False)):
        receiver = Receiver(answers.datahub(version))
        by_client(receiver.url, exported, is_open_api)
        theirs = parts(receiver.taken())
        # A server that has none of the tables.
        receiver = Receiver(answers.datahub(version))
        config = Path(directory) / "sink.toml"
        config.write_text(f'[sink.hub.datahub]\nurl = "{receiver.url}"\ntoken = {{ env = "CATALOG_TOKEN" }}\n')
        command = [binary, "crawl", "--demo", "--config", config, "--sink", "hub"]
        subprocess.run(command, check=True, capture_output=True, env={"CATALOG_TOKEN": TOKEN})
        ours = parts(receiver.taken())
        assert theirs.keys() == ours.keys(), sorted(theirs.keys() ^ ours.keys())[:3]
        for key, value in theirs.items():
            if key[3] == "datasetProperties":
                missing = [one for one in value if one not in ours[key]]
                assert not missing, (key, missing[:2])
            else:
                # The client adds the defaults of its classes, which the server has, too.
                aspect = ASPECT_NAME_MAP[key[3]]
                plain = lambda of: aspect.from_obj(at_any_time(copy.deepcopy(of))).to_obj()
                lost = same(plain(ours[key]), plain(value))
                assert not lost, (key, lost[:3])
        print(f"DataHub {version}: {len(ours)} aspects are sent as its client does")


if __name__ == "__main__":
    main(*sys.argv[1:])
