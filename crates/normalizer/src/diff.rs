//! What changed between two descriptions of a table, as paths with before and after.

use std::collections::BTreeMap;

use dynacrawl_model::{Change, JsonText, Table};
use serde_json::Value;

use crate::structure::Structure;

/// What changed in the structural part: nothing exactly where the fingerprints are the same.
pub fn structural_changes(before: &Table, after: &Table) -> Vec<Change> {
    between(&before.value(), &after.value())
}

/// Everything that changed, also what drifts by itself, except `extra` and `defaulted`: whether AWS sends a value or leaves it out
/// because it is the default is no change.
pub fn all_changes(before: &Table, after: &Table) -> Vec<Change> {
    between(&whole(before), &whole(after))
}

/// A table as JSON. What has no name yet would look like a change as soon as it gets one.
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
    // Names, numbers and times: there is nothing in it that JSON could refuse.
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

/// The members of an object, or of a list whose elements have names of their own, by the end of their paths. None where a
/// value can only be compared as a whole: a key's attributes are what they are by their order.
fn members(value: &Value) -> Option<BTreeMap<String, &Value>> {
    match value {
        Value::Object(members) => Some(members.iter().map(|(name, value)| (escaped(name), value)).collect()),
        Value::Array(elements) => {
            let named: BTreeMap<_, _> =
                elements.iter().map(|element| Some((address(element)?, element))).collect::<Option<_>>()?;
            // Two of one name cannot be told apart.
            (named.len() == elements.len()).then_some(named)
        }
        _ => None,
    }
}

/// What tells an element of a list from the others: an index its kind and name, an attribute its name, a replica its Region.
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

    /// The value of a text; `null` for none.
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
    fn a_change_has_its_path_and_what_was_there_before_and_after() {
        let changes = changed(|table| table["TableClassSummary"]["TableClass"] = json!("STANDARD"));
        let after = json!("STANDARD");
        assert_eq!(paths(&changes), ["/table_class"]);
        assert_eq!(value(&changes[0].after), after);
        assert_ne!(value(&changes[0].before), after);
    }

    #[test]
    fn what_is_inside_a_list_is_addressed_by_kind_and_name() {
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
    fn an_index_that_comes_or_goes_is_one_change_with_the_whole_of_it() {
        let changes = changed(|table| {
            let mut added = table["GlobalSecondaryIndexes"][0].clone();
            added["IndexName"] = json!("a/new~one");
            table["GlobalSecondaryIndexes"].as_array_mut().expect("a list").insert(0, added);
            table["LocalSecondaryIndexes"] = json!([]);
        });
        let [added, gone] = changes.iter().collect::<Vec<_>>()[..] else { panic!("{changes:?}") };
        assert_eq!((added.path.as_str(), &added.before), ("/indexes/global/a~1new~0one", &None));
        assert_eq!(value(&added.after)["name"], "a/new~one");
        assert!(gone.path.starts_with("/indexes/local/") && gone.after.is_none(), "{gone:?}");
    }

    #[test]
    fn a_key_is_compared_as_a_whole() {
        let changes = changed(|table| table["KeySchema"][0]["AttributeName"] = json!("other"));
        assert_eq!(paths(&changes), ["/key_schema"]);
        assert_eq!(value(&changes[0].after)[0]["attribute"], "other");
    }

    #[test]
    fn drift_is_a_change_only_where_it_is_asked_for_and_what_has_no_name_never() {
        let mut after = full();
        after["ItemCount"] = json!(1);
        after["NewField"] = json!({"a": 1});
        after["ProvisionedThroughput"]["NewField"] = json!(1);
        after["ProvisionedThroughput"]["ReadCapacityUnits"] = json!(1);
        assert_eq!(structural_changes(&table(&full()), &table(&after)), []);
        let drifted = all_changes(&table(&full()), &table(&after));
        assert_eq!(paths(&drifted), ["/item_count", "/provisioned_throughput/read_capacity_units"]);
    }

    /// Every value of a full description, replaced by another: the fingerprint is another exactly where something is told.
    #[test]
    fn something_is_told_exactly_where_the_fingerprint_is_another() {
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
