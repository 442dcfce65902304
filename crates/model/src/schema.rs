//! The JSON Schema of the output.

use std::sync::Arc;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use crate::{Body, RecordKind, RunId, SchemaVersion, Scope};

/// What the lines of all kinds have after their `type`.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is of interest")]
struct Envelope {
    /// The version of the contract.
    schema: SchemaVersion,
    /// The run.
    run_id: RunId,
    /// The account and Region.
    scope: Arc<Scope>,
}

/// The JSON Schema (2020-12) of every record, as one schema of a line.
pub fn json_schema() -> Value {
    let mut schema = root::<Body>();
    schema["$id"] = "urn:dynacrawl:schema:1".into();
    schema["title"] = "A line of dynacrawl's output (dynacrawl/1)".into();
    let mut envelope = root::<Envelope>();
    let branches = schema["oneOf"].as_array().cloned().unwrap_or_default();
    let definitions = members(&mut schema, "$defs");
    definitions.append(members(&mut envelope, "$defs"));
    for (kind, branch) in RecordKind::ALL.iter().zip(&branches) {
        let name = branch["$ref"].as_str().and_then(|reference| reference.rsplit('/').next());
        if let Some(definition) = name.and_then(|name| definitions.get_mut(name)) {
            add_envelope(definition, &mut envelope, *kind);
        }
    }
    schema
}

/// Adds what all lines have to the definition of one kind.
fn add_envelope(definition: &mut Value, envelope: &mut Value, kind: RecordKind) {
    let has = |name: &str| name != "scope" || kind.is_about_a_scope();
    for (name, property) in members(envelope, "properties").iter().filter(|(name, _)| has(name)) {
        members(definition, "properties").insert(name.clone(), property.clone());
    }
    let own = definition["required"].as_array().cloned().unwrap_or_default();
    let common = envelope["required"].as_array().cloned().unwrap_or_default();
    let common = common.into_iter().filter(|name| name.as_str().is_some_and(has));
    definition["required"] = common.chain(own).collect();
}

fn root<T: JsonSchema>() -> Value {
    SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<T>().to_value()
}

/// The object that is a member of a schema, which is an object itself.
fn members<'a>(schema: &'a mut Value, name: &str) -> &'a mut Map<String, Value> {
    if !schema[name].is_object() {
        schema[name] = Map::new().into();
    }
    match &mut schema[name] {
        Value::Object(members) => members,
        _ => unreachable!("it was made an object just now"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::json_schema;
    use crate::RecordKind;

    #[test]
    fn the_schema_has_a_branch_for_each_kind_of_record() {
        let schema = json_schema();
        let branches = schema["oneOf"].as_array().expect("branches");
        let of_kind = |kind: &RecordKind| json!({ "type": { "const": kind.as_str(), "type": "string" } });
        let kinds: Vec<_> = RecordKind::ALL.iter().map(of_kind).collect();
        let named: Vec<_> = branches.iter().map(|branch| branch["properties"].clone()).collect();
        assert_eq!(named, kinds);
        for (kind, branch) in RecordKind::ALL.iter().zip(branches) {
            let definition = branch["$ref"].as_str().expect("a definition").trim_start_matches('#');
            let required = schema.pointer(definition).expect("a definition")["required"].as_array().expect("a list");
            let envelope: &[&str] =
                if kind.is_about_a_scope() { &["schema", "run_id", "scope"] } else { &["schema", "run_id"] };
            assert_eq!(required[..envelope.len()], envelope.iter().map(|name| json!(name)).collect::<Vec<_>>()[..]);
        }
    }
}
