//! The JSON Schema of the output.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::{Body, RecordKind, RunId, SchemaVersion, Scope};

/// The members that the lines of all kinds have after their `type`.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is of interest")]
struct Envelope {
    /// The version of the contract.
    schema: SchemaVersion,
    /// The run.
    run_id: RunId,
    /// The account and Region.
    scope: Scope,
    /// The name of the account, if known.
    account_name: Option<String>,
}

/// The members of the envelope that only lines about a scope have.
const OF_SCOPE: [&str; 2] = ["scope", "account_name"];

/// The JSON Schema (2020-12) of one line. The `type` of a record selects its definition, so a
/// validator's error names the member that is wrong.
pub fn json_schema() -> Value {
    let mut bodies = root::<Body>();
    let mut envelope = root::<Envelope>();
    let branches = bodies["oneOf"].as_array().cloned().unwrap_or_default();
    let mut definitions = std::mem::take(members(&mut bodies, "$defs"));
    definitions.append(members(&mut envelope, "$defs"));
    let mut by_type = Vec::with_capacity(RecordKind::ALL.len());
    for (kind, branch) in RecordKind::ALL.iter().zip(&branches) {
        let name = branch["$ref"].as_str().and_then(|reference| reference.rsplit('/').next());
        let Some((name, definition)) = name.and_then(|name| Some((name, definitions.get_mut(name)?))) else { continue };
        add_envelope(definition, &mut envelope, *kind);
        definition["title"] = kind.as_str().into();
        by_type.push(json!({
            "if": { "properties": { "type": { "const": kind.as_str() } } },
            "then": { "$ref": format!("#/$defs/{name}") },
        }));
    }
    let kinds: Vec<_> = RecordKind::ALL.iter().map(|kind| kind.as_str()).collect();
    let mut schema = json!({
        "$schema": bodies["$schema"],
        "$id": "urn:dynacrawl:schema:1",
        "title": "A line of dynacrawl's output (dynacrawl/1)",
        "description": bodies["description"],
        "type": "object",
        "properties": { "type": { "description": "The type of the record.", "type": "string", "enum": kinds } },
        "required": ["type"],
        "allOf": by_type,
        "$defs": definitions,
    });
    let definitions = members(&mut schema, "$defs").clone();
    simplify(&mut schema, &definitions);
    schema
}

/// Adds the envelope to the definition of one kind.
fn add_envelope(definition: &mut Value, envelope: &mut Value, kind: RecordKind) {
    let has = |name: &str| kind.is_about_a_scope() || !OF_SCOPE.contains(&name);
    let of_kind = json!({ "type": "string", "const": kind.as_str() });
    let own = std::mem::take(members(definition, "properties"));
    let properties = members(definition, "properties");
    properties.insert("type".to_owned(), of_kind);
    let common = members(envelope, "properties").clone();
    properties.extend(common.into_iter().filter(|(name, _)| has(name)));
    properties.extend(own);
    let own = definition["required"].as_array().cloned().unwrap_or_default();
    let common = envelope["required"].as_array().cloned().unwrap_or_default();
    let common = common.into_iter().filter(|name| name.as_str().is_some_and(has));
    definition["required"] = std::iter::once("type".into()).chain(common).chain(own).collect();
}

/// Simplifies a schema, so that strict validators of other languages accept it and their errors
/// name a field. Removes formats such as `uint64`, which JSON Schema does not define. Turns a
/// choice between constants into an `enum`, and a nullable one into an `enum` with null.
fn simplify(schema: &mut Value, definitions: &Map<String, Value>) {
    match schema {
        Value::Object(members) => {
            members.values_mut().for_each(|member| simplify(member, definitions));
            if members.get("format").is_some_and(|format| format.is_string() && format != "date-time") {
                members.remove("format");
            }
            constants(members);
            nullable_constants(members, definitions);
        }
        Value::Array(elements) => elements.iter_mut().for_each(|element| simplify(element, definitions)),
        _ => {}
    }
}

/// Turns `oneOf` constants into an `enum`. Their descriptions become a list in the description.
fn constants(members: &mut Map<String, Value>) {
    let Some(Value::Array(branches)) = members.get("oneOf") else { return };
    let constant = |branch: &Value| Some((branch.get("const")?.as_str()?.to_owned(), branch["description"].clone()));
    let Some(constants) = branches.iter().map(constant).collect::<Option<Vec<_>>>() else { return };
    let mut description = members.get("description").and_then(Value::as_str).unwrap_or_default().to_owned();
    for (name, meaning) in &constants {
        if let Some(meaning) = meaning.as_str() {
            description.push_str(&format!("\n\n- `{name}`: {}", meaning.replace('\n', " ")));
        }
    }
    members.remove("oneOf");
    members.insert("description".to_owned(), description.trim_start().into());
    members.insert("type".to_owned(), "string".into());
    members.insert("enum".to_owned(), constants.into_iter().map(|(name, _)| name).collect());
}

/// Turns `anyOf` with an `enum` and null into an `enum` with null.
fn nullable_constants(members: &mut Map<String, Value>, definitions: &Map<String, Value>) {
    let Some([one, null]) = members.get("anyOf").and_then(Value::as_array).map(Vec::as_slice) else { return };
    if null["type"] != "null" {
        return;
    }
    let mut one = match one["$ref"].as_str().and_then(|reference| definitions.get(reference.rsplit('/').next()?)) {
        Some(definition) => definition.clone(),
        None => one.clone(),
    };
    simplify(&mut one, definitions);
    let Some(values) = one["enum"].as_array() else { return };
    let values: Vec<_> = values.iter().cloned().chain([Value::Null]).collect();
    members.remove("anyOf");
    members.insert("type".to_owned(), json!(["string", "null"]));
    members.insert("enum".to_owned(), values.into());
}

fn root<T: JsonSchema>() -> Value {
    SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<T>().to_value()
}

/// The member of a schema with this name, which is made an object if it is none.
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
    use std::collections::{BTreeMap, BTreeSet};

    use serde_json::{Value, json};

    use super::json_schema;
    use crate::RecordKind;

    fn definition<'a>(schema: &'a Value, reference: &Value) -> &'a Value {
        let pointer = reference.as_str().expect("a reference").trim_start_matches('#');
        schema.pointer(pointer).expect("a definition")
    }

    #[test]
    fn the_schema_picks_the_definition_of_a_record_by_its_type() {
        let schema = json_schema();
        let by_type = schema["allOf"].as_array().expect("branches");
        assert_eq!(by_type.len(), RecordKind::ALL.len());
        for (kind, branch) in RecordKind::ALL.iter().zip(by_type) {
            assert_eq!(branch["if"]["properties"]["type"]["const"], kind.as_str());
            let record = definition(&schema, &branch["then"]["$ref"]);
            let required = record["required"].as_array().expect("a list");
            let envelope: &[&str] = if kind.is_about_a_scope() {
                &["type", "schema", "run_id", "scope", "account_name"]
            } else {
                &["type", "schema", "run_id"]
            };
            assert_eq!(required[..envelope.len()], envelope.iter().map(|name| json!(name)).collect::<Vec<_>>()[..]);
            assert!(
                !required[envelope.len()..].iter().any(|name| envelope.contains(&name.as_str().unwrap_or_default()))
            );
        }
        let text = schema.to_string();
        assert!(!text.contains("int64") && !text.contains("\"oneOf\""), "an error would name branches and not a field");
    }

    /// The shape of a schema: the JSON types that it allows, and the names of an object's members.
    fn shape(schema: &Value, of: &Value) -> BTreeSet<String> {
        let mut shape = BTreeSet::new();
        if let Some(reference) = of.get("$ref") {
            shape.append(&mut self::shape(schema, definition(schema, reference)));
        }
        for name in ["anyOf", "oneOf"] {
            for one in of.get(name).and_then(Value::as_array).into_iter().flatten() {
                shape.append(&mut self::shape(schema, one));
            }
        }
        let types: Vec<&str> = match &of["type"] {
            Value::String(one) => vec![one],
            Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        for one in types.into_iter().filter(|one| *one != "null") {
            shape.insert(match one {
                "object" => {
                    let names: BTreeSet<_> =
                        of["properties"].as_object().into_iter().flatten().map(|(n, _)| n).collect();
                    format!("object {names:?}")
                }
                "array" => format!("array of {:?}", self::shape(schema, &of["items"])),
                "integer" => "number".to_owned(),
                other => other.to_owned(),
            });
        }
        shape
    }

    fn collect<'a>(of: &'a Value, into: &mut Vec<(&'a str, &'a Value)>) {
        match of {
            Value::Object(members) => {
                if let Some(properties) = members.get("properties").and_then(Value::as_object) {
                    into.extend(properties.iter().map(|(name, property)| (name.as_str(), property)));
                }
                members.values().for_each(|member| collect(member, into));
            }
            Value::Array(elements) => elements.iter().for_each(|element| collect(element, into)),
            _ => {}
        }
    }

    /// The contract: a key has one type and one shape, in every record and at every depth.
    #[test]
    fn each_key_has_one_type_and_one_shape() {
        let schema = json_schema();
        let mut properties = Vec::new();
        collect(&schema["$defs"], &mut properties);
        let mut shapes: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for (name, property) in properties {
            let shape = shape(&schema, property);
            assert_eq!(shape.len(), 1, "{name}: {shape:?}");
            shapes.entry(name).or_default().extend(shape);
        }
        shapes.retain(|_, shapes| shapes.len() > 1);
        assert!(shapes.is_empty(), "{shapes:#?}");
    }
}
