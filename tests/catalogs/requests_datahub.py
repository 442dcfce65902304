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

from receiver import Receiver, same

TOKEN = "a-token-for-tests"
# What the client adds and the server fills in if it is missing.
OWN = {"systemMetadata", "headers"}


def answers(version):
    def answer(request):
        if request["path"] == "/config":
            return 200, {"noCode": "true", "versions": {"acryldata/datahub": {"version": version}}}
        if request["path"].startswith("/aspects/"):
            return 404, {"message": "not found"}
        return 200, []

    return answer


def parts(requests):
    """What each request says about an aspect: {(method, path, urn, aspect, kind): value}."""
    found = {}
    for request in requests:
        place = (request["method"], request["path"])
        if request["path"].startswith("/openapi/v3/entity/"):
            assert request["query"] == {"async": ["false"]}, request["query"]
            for entity in request["body"]:
                for aspect, value in entity.items():
                    if aspect == "urn":
                        continue
                    kinds = set(value) - OWN
                    assert kinds == {"value"}, kinds
                    found[(*place, entity["urn"], aspect, "")] = value["value"]
        elif request["path"] == "/aspects" and request["method"] == "POST":
            assert request["query"] == {"action": ["ingestProposalBatch"]}, request["query"]
            assert request["headers"]["x-restli-protocol-version"] == "2.0.0"
            assert request["body"]["async"] == "false", request["body"]["async"]
            for proposal in request["body"]["proposals"]:
                members = set(proposal) - OWN
                assert members == {"entityType", "entityUrn", "changeType", "aspectName", "aspect"}, members
                value = json.loads(proposal["aspect"]["value"])
                kind = f"{proposal['changeType']} {proposal['aspect']['contentType']}"
                found[(*place, proposal["entityUrn"], proposal["aspectName"], kind)] = value
        else:
            continue
        assert request["headers"]["authorization"] == f"Bearer {TOKEN}"
        assert request["headers"]["content-type"].startswith("application/json"), request["headers"]
    return found


def by_client(url, proposals, is_open_api):
    emitter = DatahubRestEmitter(url, token=TOKEN, openapi_ingestion=is_open_api)
    wrappers = [MetadataChangeProposalWrapper.from_obj(copy.deepcopy(proposal)) for proposal in proposals]
    emitter.emit_mcps([wrapper for wrapper in wrappers if wrapper.aspectName != "datasetProperties"])
    for wrapper in wrappers:
        if wrapper.aspectName == "datasetProperties":
            patch = DatasetPatchBuilder(wrapper.entityUrn)
            for key, value in wrapper.aspect.customProperties.items():
                patch.add_custom_property(key, value)
            emitter.emit_mcps(patch.build())
    emitter.close()


def main(binary, exported, directory):
    proposals = json.loads(Path(exported).read_text())
    for version, is_open_api in (("v1.7.0", True), ("v0.15.0", False)):
        receiver = Receiver(answers(version))
        by_client(receiver.url, proposals, is_open_api)
        theirs = parts(receiver.taken())
        config = Path(directory) / "sink.toml"
        config.write_text(f'[sink.hub.datahub]\nurl = "{receiver.url}"\ntoken = {{ env = "CATALOG_TOKEN" }}\n')
        command = [binary, "crawl", "--demo", "--config", config, "--sink", "hub"]
        subprocess.run(command, check=True, capture_output=True, env={"CATALOG_TOKEN": TOKEN})
        ours = parts(receiver.taken())
        assert theirs.keys() == ours.keys(), sorted(theirs.keys() ^ ours.keys())[:3]
        for key, value in theirs.items():
            if key[3] == "datasetProperties":
                patch = lambda of: of["patch"] if isinstance(of, dict) else of
                missing = [one for one in patch(value) if one not in patch(ours[key])]
                assert not missing, (key, missing[:2])
            elif key[3] not in ("datasetProfile", "operation"):
                # The times in these two are those of the crawl.
                # The client adds the defaults of its classes, which the server has, too.
                aspect = ASPECT_NAME_MAP[key[3]]
                lost = same(aspect.from_obj(copy.deepcopy(ours[key])).to_obj(), aspect.from_obj(value).to_obj())
                assert not lost, (key, lost[:3])
        print(f"DataHub {version}: {len(ours)} aspects are sent as its client does")


if __name__ == "__main__":
    main(*sys.argv[1:])
