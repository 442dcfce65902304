//! Servers that answer as DataHub, OpenMetadata and Atlan do, as far as the sinks for them need it. They keep
//! what they were sent, by the rules of the real servers: what a request replaces, and what it keeps.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Map, Value, json};

use crate::receiver::{Received, Receiver};

/// The token that both servers accept.
pub(crate) const TOKEN: &str = "catalog-token-81f3";

/// The aspects of each entity, by urn, and the tables of OpenMetadata by qualified name.
pub(crate) type Entities = BTreeMap<String, Map<String, Value>>;

/// A server and what it has.
#[derive(Clone)]
pub(crate) struct CatalogServer {
    pub(crate) receiver: Receiver,
    entities: Arc<Mutex<Entities>>,
}

impl CatalogServer {
    /// DataHub of a version.
    pub(crate) fn datahub(version: &'static str) -> Self {
        Self::start(move |entities, request| datahub(entities, request, version))
    }

    /// OpenMetadata, called by a bot or by another user.
    pub(crate) fn openmetadata(is_bot: bool) -> Self {
        Self::start(move |entities, request| openmetadata(entities, request, is_bot))
    }

    /// OpenMetadata before version 1.3.
    pub(crate) fn old_openmetadata() -> Self {
        Self::start(|entities, request| match request.path.as_str() {
            "/api/v1/system/version" => (200, json!({ "version": "1.2.5" })),
            _ => openmetadata(entities, request, true),
        })
    }

    /// Atlan, with the connections `default/dynamodb/1` and `default/dynamodb/2`.
    pub(crate) fn atlan() -> Self {
        Self::start(atlan)
    }

    fn start(answer: impl Fn(&mut Entities, &Received) -> (u16, Value) + Send + Sync + 'static) -> Self {
        let entities = Arc::new(Mutex::new(Entities::new()));
        let kept = entities.clone();
        let receiver = Receiver::serving(move |request| answer(&mut kept.lock().expect("no panic"), request));
        Self { receiver, entities }
    }

    pub(crate) fn entities(&self) -> MutexGuard<'_, Entities> {
        self.entities.lock().expect("no panic")
    }

    /// The requests that change something, in order.
    pub(crate) fn writes(&self) -> Vec<Received> {
        let is_write = |request: &Received| request.method != "GET" && !request.path.contains("/search/");
        self.receiver.received().into_iter().filter(is_write).collect()
    }
}

fn is_authorized(request: &Received) -> bool {
    request.header("authorization") == format!("Bearer {TOKEN}")
}

fn body(request: &Received) -> Value {
    serde_json::from_str(&request.body).unwrap_or_default()
}

/// Undoes the percent-encoding of a path.
fn decoded(path: &str) -> String {
    let mut bytes = Vec::new();
    let mut left = path.bytes();
    while let Some(byte) = left.next() {
        match byte {
            b'%' => {
                let digits: String = left.by_ref().take(2).map(char::from).collect();
                bytes.push(u8::from_str_radix(&digits, 16).expect("hexadecimal digits"));
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).expect("UTF-8")
}

fn datahub(entities: &mut Entities, request: &Received, version: &str) -> (u16, Value) {
    let path = request.path.as_str();
    if path == "/config" {
        return (200, json!({ "noCode": "true", "versions": { "acryldata/datahub": { "version": version } } }));
    }
    if !is_authorized(request) {
        return (401, json!({ "message": "Unauthorized to perform this action." }));
    }
    let refuses = |urn: &str| urn.contains("refused");
    if let Some(rest) = path.strip_prefix("/aspects/") {
        assert_eq!(request.header("x-restli-protocol-version"), "2.0.0");
        let (urn, query) = rest.split_once('?').expect("a query");
        assert_eq!(query, "aspect=datasetProperties&version=0");
        return match entities.get(&decoded(urn)).and_then(|aspects| aspects.get("datasetProperties")) {
            Some(value) => (200, json!({ "aspect": { "com.linkedin.dataset.DatasetProperties": value } })),
            None => (404, json!({ "message": "not found" })),
        };
    }
    let mut changes = Vec::new();
    match (request.method.as_str(), path) {
        ("POST", "/aspects?action=ingestProposalBatch") => {
            let body = body(request);
            assert_eq!(body["async"], "false");
            for proposal in body["proposals"].as_array().expect("proposals") {
                let text = proposal["aspect"]["value"].as_str().expect("text");
                let value: Value = serde_json::from_str(text).expect("JSON");
                let of = |key: &str| proposal[key].as_str().expect("text").to_owned();
                changes.push((of("entityUrn"), of("aspectName"), value, of("changeType") == "PATCH"));
            }
        }
        ("POST" | "PATCH", "/openapi/v3/entity/dataset?async=false" | "/openapi/v3/entity/container?async=false") => {
            assert!(version >= "v1.0.1", "an older server has no such path");
            let is_patch = request.method == "PATCH";
            for entity in body(request).as_array().expect("a list") {
                let urn = entity["urn"].as_str().expect("a urn");
                for (aspect, value) in entity.as_object().expect("an object").iter().filter(|(key, _)| *key != "urn") {
                    let value = if is_patch { &value["value"]["patch"] } else { &value["value"] };
                    changes.push((urn.to_owned(), aspect.clone(), value.clone(), is_patch));
                }
            }
        }
        _ => return (404, json!({ "error": format!("No endpoint {} {path}", request.method) })),
    }
    // A request is one transaction.
    if let Some((urn, ..)) = changes.iter().find(|(urn, ..)| refuses(urn)) {
        return (400, json!({ "error": "Validation Error", "message": format!("invalid {urn}") }));
    }
    for (urn, aspect, value, is_patch) in changes {
        let aspects = entities.entry(urn).or_default();
        if is_patch {
            let stored = aspects.entry(aspect).or_insert_with(|| json!({ "customProperties": {}, "tags": [] }));
            value.as_array().expect("a patch").iter().for_each(|operation| patch(stored, operation));
        } else {
            aspects.insert(aspect, value);
        }
    }
    (200, json!([]))
}

fn patch(value: &mut Value, operation: &Value) {
    let path = operation["path"].as_str().expect("a path");
    let (parent, key) = path.rsplit_once('/').expect("a pointer");
    let key = key.replace("~1", "/").replace("~0", "~");
    let members = value.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object");
    match operation["op"].as_str() {
        Some("add" | "replace") => drop(members.insert(key, operation["value"].clone())),
        Some("remove") => drop(members.remove(&key)),
        other => panic!("{other:?}"),
    }
}

/// The members that a bot's request does not change once they are there.
const KEPT_FROM_BOTS: [&str; 1] = ["description"];

fn openmetadata(entities: &mut Entities, request: &Received, is_bot: bool) -> (u16, Value) {
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let path = path.strip_prefix("/api/v1/").expect("the API");
    if path == "system/version" {
        return (200, json!({ "version": "1.12.0" }));
    }
    if !is_authorized(request) {
        return (401, json!({ "code": 401, "message": "Token not present" }));
    }
    let missing = || (404, json!({ "code": 404, "message": "not found" }));
    match (request.method.as_str(), path) {
        ("GET", "users/loggedInUser") => return (200, json!({ "name": "someone", "isBot": is_bot })),
        ("GET", "permissions/table") => {
            let allowed = ["Create", "EditAll", "ViewAll", "Delete"];
            let of = allowed.map(|operation| json!({ "operation": operation, "access": "allow" }));
            return (200, json!({ "resource": "table", "permissions": of }));
        }
        ("PUT", "tables/restore") => {
            let id = body(request)["id"].clone();
            let Some(entity) = entities.values_mut().find(|entity| entity["id"] == id) else { return missing() };
            entity.insert("deleted".to_owned(), false.into());
            return (200, json!(entity));
        }
        _ => {}
    }
    if let Some((_, name)) = path.split_once("/name/") {
        assert!(query.starts_with("include=all"), "{query}");
        return entities.get(&decoded(name)).map_or_else(missing, |entity| (200, json!(entity)));
    }
    let parent = match path {
        "services/databaseServices" => Some(""),
        "databases" => Some("service"),
        "databaseSchemas" => Some("database"),
        "tables" => Some("databaseSchema"),
        _ => None,
    };
    if let ("PUT", Some(parent)) = (request.method.as_str(), parent) {
        return put(entities, &body(request), parent, path == "tables");
    }
    let Some(rest) = path.strip_prefix("tables/") else { return missing() };
    let id = rest.split('/').next().unwrap_or_default();
    let Some(entity) = entities.values_mut().find(|entity| entity["id"] == id) else { return missing() };
    match request.method.as_str() {
        "PUT" => {
            assert!(rest.ends_with("/tableProfile"), "{rest}");
            entity.insert("profile".to_owned(), body(request)["tableProfile"].clone());
        }
        "PATCH" => {
            assert_eq!(request.header("content-type"), "application/json-patch+json");
            let mut value = Value::Object(entity.clone());
            body(request).as_array().expect("a patch").iter().for_each(|operation| patch(&mut value, operation));
            *entity = value.as_object().expect("an object").clone();
        }
        "DELETE" => {
            assert_eq!(query, "recursive=true&hardDelete=false");
            entity.insert("deleted".to_owned(), true.into());
        }
        other => panic!("{other}"),
    }
    (200, json!(entity))
}

fn put(entities: &mut Entities, sent: &Value, parent: &str, is_table: bool) -> (u16, Value) {
    let name = sent["name"].as_str().expect("a name");
    let quoted = if name.contains('.') { format!("\"{name}\"") } else { name.to_owned() };
    let full = match sent[parent].as_str() {
        Some(parent) if entities.contains_key(parent) => format!("{parent}.{quoted}"),
        Some(_) => return (404, json!({ "code": 404, "message": "no such parent" })),
        None => quoted,
    };
    if is_table && name.contains("refused") {
        return (400, json!({ "code": 400, "message": "invalid columns" }));
    }
    let number = entities.len();
    let before = entities.get(&full).cloned();
    let mut entity = sent.as_object().expect("an object").clone();
    let id = before.as_ref().map_or_else(|| format!("id-{number}").into(), |before| before["id"].clone());
    entity.insert("id".to_owned(), id);
    entity.insert("deleted".to_owned(), false.into());
    for member in KEPT_FROM_BOTS.into_iter().chain(["owners", "tags", "domains", "profile"]) {
        if let Some(kept) = before.as_ref().and_then(|before| before.get(member)) {
            entity.insert(member.to_owned(), kept.clone());
        }
    }
    entities.insert(full, entity.clone());
    (200, json!(entity))
}

fn atlan(entities: &mut Entities, request: &Received) -> (u16, Value) {
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    if !is_authorized(request) {
        return (401, json!({ "code": 401, "message": "Unauthorized" }));
    }
    assert_eq!(request.header("x-atlan-agent-id"), "dynacrawl");
    let path = path.strip_prefix("/api/").expect("the API");
    if path == "service/users/current" {
        return (200, json!({ "username": "service-account-apikey-1" }));
    }
    if let Some(kind) = path.strip_prefix("meta/entity/uniqueAttribute/type/") {
        let name = query.split('&').find_map(|pair| pair.strip_prefix("attr%3AqualifiedName=")).expect("a name");
        let name = decoded(name);
        if kind == "Connection" && ["default/dynamodb/1", "default/dynamodb/2"].contains(&name.as_str()) {
            return (200, json!({ "entity": { "guid": "c", "status": "ACTIVE" } }));
        }
        let found = entities.get(&name).filter(|entity| entity["typeName"] == kind);
        return match found {
            Some(entity) => (200, json!({ "entity": entity })),
            None => (404, json!({ "errorCode": "ATLAS-404-00-009", "errorMessage": "does not exist" })),
        };
    }
    match (request.method.as_str(), path) {
        ("POST", "meta/entity/bulk") => {
            let sent = body(request);
            let sent = sent["entities"].as_array().expect("entities");
            assert!(sent.len() <= 20, "{}", sent.len());
            let name = |entity: &Value| entity["attributes"]["qualifiedName"].as_str().expect("a name").to_owned();
            // A request is one transaction. What it refers to has to be there before.
            for entity in sent {
                if name(entity).contains("refused") {
                    return (404, json!({ "errorCode": "ATLAS-404-00-007", "errorMessage": "invalid parameters" }));
                }
                let of_table = &entity["attributes"]["dynamoDBTable"]["uniqueAttributes"]["qualifiedName"];
                if of_table.as_str().is_some_and(|table| !entities.contains_key(table)) {
                    return (
                        404,
                        json!({ "errorCode": "ATLAS-404-00-00A", "errorMessage": "referenced entity not found" }),
                    );
                }
            }
            for entity in sent {
                let number = entities.len();
                let stored = entities.entry(name(entity)).or_default();
                stored.entry("guid").or_insert_with(|| format!("guid-{number}").into());
                stored.insert("typeName".to_owned(), entity["typeName"].clone());
                if let Some(status) = entity.get("status") {
                    stored.insert("status".to_owned(), status.clone());
                }
                let attributes = stored.entry("attributes").or_insert_with(|| json!({}));
                for (attribute, value) in entity["attributes"].as_object().expect("attributes") {
                    attributes[attribute] = value.clone();
                }
            }
            (200, json!({ "mutatedEntities": null, "guidAssignments": {} }))
        }
        ("DELETE", "meta/entity/bulk") => {
            assert!(query.starts_with("deleteType=SOFT&"), "{query}");
            let guids: Vec<_> = query.split('&').filter_map(|pair| pair.strip_prefix("guid=")).collect();
            for entity in entities.values_mut() {
                if entity["guid"].as_str().is_some_and(|guid| guids.contains(&guid)) {
                    entity.insert("status".to_owned(), "DELETED".into());
                }
            }
            (200, json!({}))
        }
        ("POST", "meta/search/indexsearch") => {
            let dsl = body(request)["dsl"].clone();
            let filter = &dsl["query"]["bool"]["filter"];
            let tables = filter[2]["terms"]["tableQualifiedName"].as_array().expect("tables").clone();
            let types = filter[1]["terms"]["__typeName.keyword"].as_array().expect("types").clone();
            let fits = |entity: &&Map<String, Value>| {
                entity["status"] == "ACTIVE"
                    && types.contains(&entity["typeName"])
                    && tables.contains(&entity["attributes"]["tableQualifiedName"])
            };
            let from = usize::try_from(dsl["from"].as_u64().expect("a number")).expect("small");
            let size = usize::try_from(dsl["size"].as_u64().expect("a number")).expect("small");
            let found: Vec<_> = entities.values().filter(fits).skip(from).take(size).collect();
            (200, json!({ "entities": found }))
        }
        other => panic!("{other:?}"),
    }
}
