//! The changes between two descriptions of a table, as paths with the values before and after.

use std::collections::BTreeMap;

use dynacrawl_model::{Change, JsonText, Table};
use serde_json::Value;

use crate::structure::Structure;

/// The changes in the structural part. There are none if, and only if, the fingerprints are the
/// same.
pub fn structural_changes(before: &Table, after: &Table) -> Vec<Change> {
    between(&before.value(), &after.value())
}

/// All changes, including values that drift by themselves, except in `extra` and `defaulted`: it is
/// not a change if AWS begins to send a default value or leaves it out.
pub fn all_changes(before: &Table, after: &Table) -> Vec<Change> {
    between(&whole(before), &whole(after))
}

/// A table as JSON, without `extra`: a field that dynacrawl learns to name would look like a
/// change.
fn whole(table: &Table) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(members) => {
                members.remove("extra");
                members.remove("defaulted");
                members.values_mut().for_each(strip);
            }
            Value::Array(elements) => elements.iter_mut().for_each(strip),
            _ => {}
        }
    }
    // A table has only names, numbers and times, which always convert to JSON.
    let mut value = serde_json::to_value(table).unwrap_or_default();
    strip(&mut value);
    value
}

fn between(before: &Value, after: &Value) -> Vec<Change> {
    let mut changes = Vec::new();
    compare(&mut String::new(), before, after, &mut changes);
    changes
}

fn compare(path: &mut String, before: &Value, after: &Value, changes: &mut Vec<Change>) {
    if before == after {
        return;
    }
    match (members(before), members(after)) {
        (Some(before), Some(after)) => {
            let names: std::collections::BTreeSet<_> = before.keys().chain(after.keys()).collect();
            for name in names {
                let length = path.len();
                path.push('/');
                path.push_str(name);
                let of = |members: &BTreeMap<String, &Value>| members.get(name).copied().cloned().unwrap_or_default();
                compare(path, &of(&before), &of(&after), changes);
                path.truncate(length);
            }
        }
        _ => changes.push(Change { path: path.clone(), before: JsonText::of(before), after: JsonText::of(after) }),
    }
}

/// The members of an object, or of a list whose elements have unique names, by the last part of
/// their paths. `None` if a value can only be compared as a whole, as the key schema, in which the
/// order matters.
fn members(value: &Value) -> Option<BTreeMap<String, &Value>> {
    match value {
        Value::Object(members) => Some(members.iter().map(|(name, value)| (escaped(name), value)).collect()),
        Value::Array(elements) => {
            let named: BTreeMap<_, _> =
                elements.iter().map(|element| Some((address(element)?, element))).collect::<Option<_>>()?;
            // Two elements with the same name cannot be matched.
            (named.len() == elements.len()).then_some(named)
        }
        _ => None,
    }
}

/// The address of an element in its list: the kind and name of an index, the name of an attribute,
/// the Region of a replica.
fn address(element: &Value) -> Option<String> {
    let text = |key: &str| element.get(key).and_then(Value::as_str).map(escaped);
    match (text("kind"), text("name")) {
        (Some(kind), Some(name)) => Some(format!("{kind}/{name}")),
        (None, Some(name)) => Some(name),
        _ => text("region"),
    }
}

/// A name as a part of a JSON Pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use dynacrawl_model::{Change, JsonText, Table};
    use serde_json::{Value, json};

    use super::{all_changes, structural_changes};

    /// The parsed value of a text; `null` for `None`.
    fn value(text: &Option<JsonText>) -> Value {
        text.as_ref().map_or(Value::Null, |text| serde_json::from_str(text.as_str()).expect("JSON"))
    }

    fn full() -> Value {
        dynacrawl_sim::fixtures::full_table("orders", "123456789012", "eu-west-1")
    }

    fn table(description: &Value) -> Table {
        crate::decode(json!({ "Table": description }).to_string().as_bytes()).expect("a description").table
    }

    fn changed(edit: impl FnOnce(&mut Value)) -> Vec<Change> {
        let mut after = full();
        edit(&mut after);
        structural_changes(&table(&full()), &table(&after))
    }

    fn paths(changes: &[Change]) -> Vec<&str> {
        changes.iter().map(|change| change.path.as_str()).collect()
    }

    #[test]
    fn a_change_has_its_path_and_the_values_before_and_after() {
        let changes = changed(|table| table["TableClassSummary"]["TableClass"] = json!("STANDARD"));
        let after = json!("STANDARD");
        assert_eq!(paths(&changes), ["/table_class"]);
        assert_eq!(value(&changes[0].after), after);
        assert_ne!(value(&changes[0].before), after);
    }

    #[test]
    fn elements_of_lists_are_addressed_by_kind_and_name() {
        let global = full()["GlobalSecondaryIndexes"][0]["IndexName"].as_str().expect("a name").to_owned();
        let changes = changed(|table| {
            table["GlobalSecondaryIndexes"][0]["Projection"]["ProjectionType"] = json!("other");
            table["Replicas"][0]["KMSMasterKeyId"] = json!("other");
            table["AttributeDefinitions"][0]["AttributeType"] = json!("X");
        });
        let paths = paths(&changes);
        assert!(paths.contains(&format!("/indexes/global/{global}/projection/type").as_str()), "{paths:?}");
        let region = full()["Replicas"][0]["RegionName"].as_str().expect("a Region").to_owned();
        assert!(paths.contains(&format!("/replicas/{region}/kms_master_key_id").as_str()), "{paths:?}");
        let attribute = full()["AttributeDefinitions"][0]["AttributeName"].as_str().expect("a name").to_owned();
        assert!(paths.contains(&format!("/attributes/{attribute}/type").as_str()), "{paths:?}");
    }

    #[test]
    fn an_added_or_removed_index_is_one_change_with_the_whole_index() {
        let changes = changed(|table| {
            let mut added = table["GlobalSecondaryIndexes"][0].clone();
            added["IndexName"] = json!("a/new~one");
            table["GlobalSecondaryIndexes"].as_array_mut().expect("a list").insert(0, added);
            table["LocalSecondaryIndexes"] = json!([]);
        });
        let [added, removed] = changes.iter().collect::<Vec<_>>()[..] else { panic!("{changes:?}") };
        assert_eq!((added.path.as_str(), &added.before), ("/indexes/global/a~1new~0one", &None));
        assert_eq!(value(&added.after)["name"], "a/new~one");
        assert!(removed.path.starts_with("/indexes/local/") && removed.after.is_none(), "{removed:?}");
    }

    #[test]
    fn a_key_is_compared_as_a_whole() {
        let changes = changed(|table| table["KeySchema"][0]["AttributeName"] = json!("other"));
        assert_eq!(paths(&changes), ["/key_schema"]);
        assert_eq!(value(&changes[0].after)[0]["attribute"], "other");
    }

    #[test]
    fn only_all_changes_has_drift_and_neither_has_unknown_fields() {
        let mut after = full();
        after["ItemCount"] = json!(1);
        after["NewField"] = json!({"a": 1});
        after["ProvisionedThroughput"]["NewField"] = json!(1);
        after["ProvisionedThroughput"]["ReadCapacityUnits"] = json!(1);
        assert_eq!(structural_changes(&table(&full()), &table(&after)), []);
        let drifted = all_changes(&table(&full()), &table(&after));
        assert_eq!(paths(&drifted), ["/item_count", "/provisioned_throughput/read_capacity_units"]);
    }

    /// Replaces every value of a full description, one at a time.
    #[test]
    fn there_are_changes_if_and_only_if_the_fingerprints_differ() {
        fn pointers(value: &Value, at: &str, into: &mut Vec<String>) {
            match value {
                Value::Object(members) => {
                    members.iter().for_each(|(name, value)| pointers(value, &format!("{at}/{name}"), into));
                }
                Value::Array(elements) => {
                    elements
                        .iter()
                        .enumerate()
                        .for_each(|(place, value)| pointers(value, &format!("{at}/{place}"), into));
                }
                _ => into.push(at.to_owned()),
            }
        }
        let before = table(&full());
        let mut places = Vec::new();
        pointers(&full(), "", &mut places);
        let mut structural = 0;
        for place in &places {
            let mut after = full();
            let value = after.pointer_mut(place).expect("it is there");
            *value = match &*value {
                Value::String(text) => json!(format!("{text}x")),
                Value::Number(number) => json!(number.as_f64().unwrap_or_default() + 1.0),
                Value::Bool(flag) => json!(!*flag),
                other => other.clone(),
            };
            let after = table(&after);
            let same = crate::fingerprint(&before) == crate::fingerprint(&after);
            assert_eq!(structural_changes(&before, &after).is_empty(), same, "{place}");
            structural += usize::from(!same);
        }
        assert!(structural > 50, "{structural} of {}", places.len());
    }
}
