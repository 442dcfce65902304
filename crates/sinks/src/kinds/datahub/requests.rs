//! The requests of both APIs of DataHub. Each carries what the file of `dynacrawl export` has.

use std::collections::BTreeSet;

use dynacrawl_catalogs::datahub::Proposal;
use reqwest::Method;
use serde_json::{Map, Value, json};

/// The most proposals in a request, as in DataHub's client.
const MOST_PROPOSALS: usize = 200;

const DATASET_PATH: &str = "/openapi/v3/entity/dataset?async=false";
const CONTAINER_PATH: &str = "/openapi/v3/entity/container?async=false";
const BATCH_PATH: &str = "/aspects?action=ingestProposalBatch";

/// The kind of requests that a server takes. With `async=false` it answers when they are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    OpenApi,
    RestLi,
}

/// A request.
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) body: Value,
}

impl Mode {
    /// The requests for containers, then aspects of datasets, then patches of their properties.
    pub(super) fn requests(self, containers: &[Proposal], aspects: &[Proposal], patches: &[Proposal]) -> Vec<Request> {
        match self {
            Self::OpenApi => {
                let post = |path, of: &[Proposal]| open_api(&Method::POST, path, of);
                let parts = [post(CONTAINER_PATH, containers), post(DATASET_PATH, aspects)];
                let patch = open_api(&Method::PATCH, DATASET_PATH, patches);
                parts.into_iter().flatten().chain(patch).collect()
            }
            Self::RestLi => {
                let upserts = containers.iter().chain(aspects).map(|one| rest_li(one, "UPSERT", "application/json"));
                let patches = patches.iter().map(|one| rest_li(one, "PATCH", "application/json-patch+json"));
                rest_li_batches(&upserts.chain(patches).collect::<Vec<_>>())
            }
        }
    }

    pub(super) fn statistics(self, statistics: &[Proposal]) -> Vec<Request> {
        self.requests(&[], statistics, &[])
    }

    /// A request without content.
    pub(super) fn probe(self) -> Request {
        match self {
            Self::OpenApi => Request { method: Method::POST, path: DATASET_PATH, body: json!([]) },
            Self::RestLi => rest_li_batch(&[]),
        }
    }
}

/// One element for each entity, with its aspects as members.
fn open_api(method: &Method, path: &'static str, proposals: &[Proposal]) -> Vec<Request> {
    let request = |some: &[Proposal]| {
        let mut entities: Vec<Map<String, Value>> = Vec::new();
        for Proposal { urn, aspect, value, .. } in some {
            let value = match *method {
                Method::PATCH => json!({ "value": { "patch": value } }),
                _ => json!({ "value": value }),
            };
            match entities.last_mut().filter(|last| last["urn"] == **urn) {
                Some(entity) => drop(entity.insert((*aspect).to_owned(), value)),
                None => entities
                    .push(Map::from_iter([("urn".to_owned(), urn.as_str().into()), ((*aspect).to_owned(), value)])),
            }
        }
        Request { method: method.clone(), path, body: json!(entities) }
    };
    proposals.chunks(MOST_PROPOSALS).map(request).collect()
}

fn rest_li(proposal: &Proposal, change: &str, content_type: &str) -> Value {
    json!({
        "entityType": proposal.entity_type,
        "entityUrn": proposal.urn,
        "changeType": change,
        "aspectName": proposal.aspect,
        "aspect": { "value": proposal.value.to_string(), "contentType": content_type },
    })
}

fn rest_li_batches(proposals: &[Value]) -> Vec<Request> {
    proposals.chunks(MOST_PROPOSALS).map(rest_li_batch).collect()
}

fn rest_li_batch(proposals: &[Value]) -> Request {
    Request { method: Method::POST, path: BATCH_PATH, body: json!({ "proposals": proposals, "async": "false" }) }
}

/// A JSON patch that sets the members of the aspect, and each of its custom properties. `stored`: our
/// properties that the catalog has; those that the aspect lacks are removed.
pub(super) fn patch(aspect: &Value, stored: &BTreeSet<&str>) -> Value {
    let mut operations = Vec::new();
    for (member, value) in aspect.as_object().into_iter().flatten() {
        match member.as_str() {
            // People's tools may have set it, and the mapping has none.
            "tags" => {}
            "customProperties" => {}
            _ => operations.push(json!({ "op": "add", "path": format!("/{member}"), "value": value })),
        }
    }
    let custom = aspect["customProperties"].as_object();
    for (key, value) in custom.into_iter().flatten() {
        operations.push(json!({ "op": "add", "path": pointer(key), "value": value }));
    }
    for key in stored.iter().filter(|key| custom.is_none_or(|custom| !custom.contains_key(**key))) {
        operations.push(json!({ "op": "remove", "path": pointer(key) }));
    }
    Value::Array(operations)
}

fn pointer(key: &str) -> String {
    format!("/customProperties/{}", key.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::patch;

    #[test]
    fn a_patch_sets_our_properties_and_removes_those_that_are_out_of_date() {
        let aspect =
            json!({ "name": "orders", "tags": [], "customProperties": { "table.arn": "arn", "index.a/b": "x" } });
        let stored = BTreeSet::from(["table.arn", "index.gone"]);
        let expected = json!([
            { "op": "add", "path": "/name", "value": "orders" },
            { "op": "add", "path": "/customProperties/index.a~1b", "value": "x" },
            { "op": "add", "path": "/customProperties/table.arn", "value": "arn" },
            { "op": "remove", "path": "/customProperties/index.gone" },
        ]);
        assert_eq!(patch(&aspect, &stored), expected);
    }
}
