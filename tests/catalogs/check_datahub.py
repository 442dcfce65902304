"""Checks an export for DataHub with DataHub's own library, more strictly than its file source does: every aspect is
known and belongs to its entity, no field is dropped, and every table, key, index and attribute of the crawl is there."""

import copy
import json
import sys

from datahub.emitter.mcp import MetadataChangeProposalWrapper
from datahub.emitter.mce_builder import make_dataset_urn_with_platform_instance
from datahub.metadata.schema_classes import KEY_ASPECTS, ASPECT_NAME_MAP
from datahub.utilities.urns.urn import Urn

from estate import indexes, key, tables


def checked(proposal):
    """The proposal's aspect, as DataHub's library reads it."""
    name = proposal["aspectName"]
    aspect = ASPECT_NAME_MAP[name]
    allowed = KEY_ASPECTS[proposal["entityType"]].ASPECT_INFO["entityAspects"]
    assert name in allowed, f"{proposal['entityType']} has no aspect {name}"
    wrapper = MetadataChangeProposalWrapper.from_obj(copy.deepcopy(proposal))
    assert wrapper.validate(), f"not valid: {proposal}"
    assert type(wrapper.aspect) is aspect, wrapper
    for field in ("entityType", "entityUrn", "changeType", "aspectName"):
        assert getattr(wrapper, field) == proposal[field], (wrapper, proposal)
    unknown = set(proposal) - {"entityType", "entityUrn", "changeType", "aspectName", "aspect"}
    assert not unknown and set(proposal["aspect"]) == {"json"}, proposal
    written, read = proposal["aspect"]["json"], wrapper.aspect.to_obj()
    lost = missing(written, read)
    assert not lost, f"the library drops {lost} of {name}"
    urn = Urn.from_string(proposal["entityUrn"])
    assert str(urn) == proposal["entityUrn"] and urn.entity_type == proposal["entityType"]
    return wrapper.aspect


def missing(written, read, path=""):
    """The members of `written` that `read` lacks or has with another value."""
    if isinstance(written, dict):
        # An empty list that is the default may be left out.
        lost = [f"{path}.{key}" for key, value in written.items() if key not in read and value not in ([], {})]
        return lost + [
            one for key, value in written.items() if key in read for one in missing(value, read[key], f"{path}.{key}")
        ]
    if isinstance(written, list):
        if len(written) != len(read):
            return [path]
        return [one for a, b in zip(written, read) for one in missing(a, b, f"{path}[]")]
    return [] if written == read else [path]


def main(crawl, exported):
    with open(exported) as file:
        proposals = json.load(file)
    assert isinstance(proposals, list), "a JSON array"
    entities = {}
    for proposal in proposals:
        aspect = checked(proposal)
        aspects = entities.setdefault(proposal["entityUrn"], {})
        assert proposal["aspectName"] not in aspects, f"twice: {proposal}"
        aspects[proposal["aspectName"]] = aspect
    datasets = {urn: aspects for urn, aspects in entities.items() if urn.startswith("urn:li:dataset:")}
    containers = {urn: aspects for urn, aspects in entities.items() if urn.startswith("urn:li:container:")}
    described = list(tables(crawl))
    assert len(datasets) == len(described), (len(datasets), len(described))
    for scope, table in described:
        # The urn of DataHub's own source.
        urn = make_dataset_urn_with_platform_instance(
            "dynamodb", f"{scope['region']}.{table['name']}", scope["account_id"], "PROD"
        )
        aspects = datasets[urn]
        schema, properties = aspects["schemaMetadata"], aspects["datasetProperties"]
        fields = {field.fieldPath: field for field in schema.fields}
        for attribute in table["attributes"]:
            assert fields[attribute["name"]].nativeDataType == attribute["type"]
        assert schema.primaryKeys == [element["attribute"] for element in key(table)]
        assert [field.fieldPath for field in schema.fields if field.isPartOfKey] == schema.primaryKeys
        for index in indexes(table):
            text = properties.customProperties[f"index.{index['name']}"]
            assert all(element["attribute"] in text for element in key(index)), text
            assert all(element["attribute"] in fields for element in key(index))
        assert properties.customProperties["table.arn"] == properties.qualifiedName == table["arn"]
        assert properties.customProperties["table.totalItems"] == str(table["item_count"])
        assert properties.customProperties["table.billingMode"] == table["billing_mode"]
        profile = aspects["datasetProfile"]
        assert (profile.rowCount, profile.sizeInBytes) == (table["item_count"], table["size_bytes"])
        region = containers[aspects["container"].container]
        assert region["containerProperties"].name == scope["region"]
        account = containers[region["container"].container]
        assert account["containerProperties"].customProperties["account_id"] == scope["account_id"]
    print(f"DataHub: {len(proposals)} proposals, {len(datasets)} datasets, {len(containers)} containers")


if __name__ == "__main__":
    main(*sys.argv[1:])
