//! No part of a description is lost: neither the fields of the SDK nor those that AWS adds
//! tomorrow.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use dynacrawl_model::Table;
use dynacrawl_normalizer::{Decoded, decode};
use dynacrawl_sim::{Account, Estate, Options, Simulator, Tables, fixtures};
use serde_json::{Value, json};

fn full() -> Value {
    fixtures::full_table("orders", "123456789012", "eu-west-1")
}

fn table(description: &Value) -> Table {
    let decoded = decoded(description);
    assert_eq!(decoded.unexpected, Vec::<String>::new());
    decoded.table
}

fn decoded(description: &Value) -> Decoded {
    decode(json!({ "Table": description }).to_string().as_bytes()).expect("a description")
}

/// The SDK parses the fixture, and has no field that the fixture lacks. A newer SDK with more
/// fields fails here.
#[tokio::test]
async fn the_fixture_has_every_field_of_the_sdk() {
    let tables = Tables::new().table("orders", &full());
    let account = Account::new("123456789012").region("eu-west-1", tables);
    let access = account.access("a");
    let simulator = Simulator::start(Estate::new(vec![account]), &Options::default()).expect("a simulator");
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("eu-west-1"))
        .endpoint_url(simulator.url())
        .credentials_provider(Credentials::new(access.access_key_id, access.secret_access_key, None, None, "test"))
        .build();
    let client = aws_sdk_dynamodb::Client::from_conf(config);
    let answer = client.describe_table().table_name("orders").send().await.expect("an answer");
    let description = format!("{:?}", answer.table().expect("a table"));
    assert!(description.contains("VectorIndexDescription"), "{description}");
    let at = description.find("None").or_else(|| description.find("Unknown("));
    assert_eq!(at, None, "the fixture lacks a field before: …{}", &description[at.unwrap_or(0).saturating_sub(300)..]);
}

/// Every leaf of the fixture has a unique value, and each of them has to be in the record.
#[test]
fn every_value_of_the_fixture_is_in_the_record() {
    let record = serde_json::to_value(table(&full())).expect("JSON");
    let mut found = BTreeSet::new();
    leaves(&record, &mut found);
    let mut wanted = BTreeSet::new();
    leaves_as_written(&full(), &mut wanted);
    let lost: Vec<_> = wanted.difference(&found).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
}

/// Every field of the fixture has a name in the record: every `extra` is empty.
#[test]
fn no_field_of_the_fixture_is_in_extra() {
    let record = serde_json::to_value(table(&full())).expect("JSON");
    let mut extras = Vec::new();
    collect_extras(&record, "", &mut extras);
    assert_eq!(extras, Vec::<String>::new());
}

/// A field that AWS adds to any object, at any depth, is in `extra` of that object or of one around
/// it.
#[test]
fn a_field_that_aws_adds_anywhere_is_kept() {
    let mut objects = Vec::new();
    object_pointers(&full(), String::new(), &mut objects);
    assert!(objects.len() > 30, "{objects:?}");
    for pointer in objects {
        let mut tomorrow = full();
        tomorrow.pointer_mut(&pointer).expect("an object")["AddedTomorrow"] = json!({"Deep": [1, "two", null]});
        let text = with_open_text(&table(&tomorrow));
        assert!(text.contains(r#""AddedTomorrow":{"Deep":[1,"two",null]}"#), "lost at {pointer}");
    }
    let outside = json!({ "Table": full(), "AddedTomorrow": 1 }).to_string();
    assert_eq!(decode(outside.as_bytes()).expect("a description").table.extra["AddedTomorrow"], 1);
}

#[test]
fn values_that_aws_adds_pass_through() {
    let mut tomorrow = full();
    tomorrow["TableStatus"] = json!("HIBERNATING");
    tomorrow["KeySchema"][0]["KeyType"] = json!("GEO");
    tomorrow["BillingModeSummary"]["BillingMode"] = json!("BARTER");
    let table = table(&tomorrow);
    assert_eq!(table.status.as_deref(), Some("HIBERNATING"));
    assert_eq!(table.key_schema.expect("a key")[0].role.as_deref(), Some("GEO"));
    assert_eq!(table.billing_mode.as_deref(), Some("BARTER"));
}

#[test]
fn any_field_may_be_missing_or_null() {
    let mut places = Vec::new();
    member_pointers(&full(), String::new(), &mut places);
    for (object, member) in places {
        let mut without = full();
        let parent = without.pointer_mut(&object).expect("an object").as_object_mut().expect("an object");
        parent.remove(&member);
        table(&without);
        let mut null = full();
        null.pointer_mut(&object).expect("an object")[&member] = Value::Null;
        table(&null);
    }
    let empty = table(&json!({}));
    assert_eq!(empty.attributes, []);
    assert_eq!((empty.key_schema, empty.indexes), (Some(vec![]), Some(vec![])));
}

#[test]
fn missing_values_are_null_and_missing_lists_are_empty() {
    let record = serde_json::to_value(table(&json!({"TableName": "t"}))).expect("JSON");
    for list in ["attributes", "key_schema", "indexes", "replicas", "global_table_witnesses"] {
        assert_eq!(record[list], json!([]), "{list}");
    }
    for absent in ["arn", "id", "status", "created_at", "stream", "item_count", "archival"] {
        assert_eq!(record.get(absent), Some(&Value::Null), "{absent}");
    }
    assert_eq!(record["extra"], "{}");
}

#[test]
fn the_order_in_which_aws_sends_lists_does_not_matter() {
    let mut shuffled = full();
    for list in ["AttributeDefinitions", "GlobalSecondaryIndexes", "LocalSecondaryIndexes", "Replicas"] {
        shuffled[list].as_array_mut().expect("a list").reverse();
    }
    assert_eq!(table(&shuffled), table(&full()));
}

#[test]
fn keys_keep_the_order_of_aws_and_have_types() {
    let description = json!({
        "AttributeDefinitions": [
            {"AttributeName": "b", "AttributeType": "N"},
            {"AttributeName": "a", "AttributeType": "S"},
        ],
        "KeySchema": [
            {"AttributeName": "b", "KeyType": "HASH"},
            {"AttributeName": "a", "KeyType": "RANGE"},
            {"AttributeName": "undefined", "KeyType": "RANGE"},
        ],
    });
    let key = serde_json::to_value(table(&description).key_schema).expect("JSON");
    assert_eq!(
        key,
        json!([
            {"attribute": "b", "type": "N", "role": "partition", "position": 0},
            {"attribute": "a", "type": "S", "role": "sort", "position": 1},
            {"attribute": "undefined", "type": null, "role": "sort", "position": 2},
        ])
    );
}

#[test]
fn a_body_without_a_description_is_an_error() {
    let deep = format!(r#"{{"Table":{{"ItemCount":{}1{}}}}}"#, "[".repeat(5_000), "]".repeat(5_000));
    for body in ["", "<html>", "[]", "{}", r#"{"Table":null}"#, r#"{"Table":[]}"#, r#"{"Table":{"A":1}"#, &deep] {
        assert!(decode(body.as_bytes()).is_err(), "{body}");
    }
}

/// Replaces every member of every object by a value of another type: the rest is read as before,
/// and nothing is lost.
#[test]
fn a_field_of_another_type_is_null_named_and_kept_in_extra() {
    let mut places = Vec::new();
    member_pointers(&full(), String::new(), &mut places);
    assert!(places.len() > 100, "{}", places.len());
    let whole = table(&full());
    for (place, member) in places {
        let original = full().pointer(&place).expect("an object")[&member].clone();
        let wrong = match original {
            Value::Object(_) | Value::Array(_) => json!("wrong-type"),
            _ => json!({"wrong-type": [1.5, null]}),
        };
        let mut odd = full();
        odd.pointer_mut(&place).expect("an object")[&member] = wrong.clone();
        let Decoded { table, unexpected, .. } = decoded(&odd);
        assert_eq!(unexpected, [path(&format!("{place}/{member}"))]);
        let text = with_open_text(&table);
        assert!(text.contains(&format!("\"{member}\":{wrong}")), "lost: {place}/{member}");
        // The same as if AWS had not sent the field, except for `extra`.
        let mut without = full();
        without.pointer_mut(&place).and_then(Value::as_object_mut).expect("an object").remove(&member);
        let mut expected = serde_json::to_value(decoded(&without).table).expect("JSON");
        let mut found = serde_json::to_value(&table).expect("JSON");
        // A value that AWS sent but that cannot be read is unknown, which is not the default.
        for (object, field) in SUMMARIES {
            let whole_place = format!("{place}/{member}");
            let values = ["/BillingModeSummary/BillingMode", "/TableClassSummary/TableClass"];
            if member == object
                || values.contains(&whole_place.as_str()) && whole_place.starts_with(&format!("/{object}/"))
            {
                expected[field] = Value::Null;
                expected["defaulted"] = json!([]);
            }
        }
        assert_ne!(found, serde_json::to_value(&whole).expect("JSON"));
        strip_extras(&mut expected);
        strip_extras(&mut found);
        assert_eq!(found, expected, "{place}/{member}");
    }
}

#[test]
fn a_list_with_an_element_of_another_type_is_kept_whole() {
    let mut odd = full();
    odd["Replicas"][0]["RegionName"] = json!(1);
    odd["Replicas"].as_array_mut().expect("a list").push(json!("eu-west-1"));
    odd["GlobalSecondaryIndexes"][0]["Projection"]["NonKeyAttributes"] = json!(["a", 2]);
    odd["ItemCount"] = json!(1.5);
    let Decoded { table, unexpected, .. } = decoded(&odd);
    let fields = ["GlobalSecondaryIndexes[].Projection.NonKeyAttributes", "ItemCount", "Replicas"];
    assert_eq!(unexpected, fields);
    assert_eq!((table.replicas, &table.extra["Replicas"]), (vec![], &odd["Replicas"]));
    let indexes = table.indexes.expect("indexes");
    let kept = json!({"NonKeyAttributes": ["a", 2]});
    assert!(indexes.iter().any(|index| index.extra.get("Projection") == Some(&kept)), "{indexes:?}");
}

/// AWS's names of the objects whose absence has a meaning, with the fields of the record.
const SUMMARIES: [(&str, &str); 3] =
    [("BillingModeSummary", "billing_mode"), ("SSEDescription", "encryption"), ("TableClassSummary", "table_class")];

#[test]
fn values_that_aws_leaves_out_have_their_documented_default() {
    let mut bare = full();
    for (object, _) in SUMMARIES {
        bare.as_object_mut().expect("an object").remove(object);
    }
    let table = decoded(&bare).table;
    assert_eq!(table.defaulted, ["billing_mode", "encryption", "table_class"]);
    assert_eq!((table.billing_mode.as_deref(), table.table_class.as_deref()), (Some("PROVISIONED"), Some("STANDARD")));
    let encryption = table.encryption.clone().expect("a value");
    assert_eq!(encryption.encryption_type.as_deref(), Some("AWS_OWNED_KEY"));
    assert!(decoded(&full()).table.defaulted.is_empty());
    // It is not a change if AWS sends the default value later.
    bare["TableClassSummary"] = json!({"TableClass": "STANDARD"});
    let later = decoded(&bare).table;
    assert_eq!(later.defaulted, ["billing_mode", "encryption"]);
    assert_eq!(dynacrawl_normalizer::fingerprint(&later), dynacrawl_normalizer::fingerprint(&table));
    assert_eq!(dynacrawl_normalizer::all_changes(&table, &later), []);
}

/// A summary that has only other members does not say that the value is another one.
#[test]
fn a_summary_without_its_value_has_the_default() {
    let table = decoded(&json!({
        "TableName": "t",
        "BillingModeSummary": {"LastUpdateToPayPerRequestDateTime": 1.0},
        "TableClassSummary": {},
    }))
    .table;
    assert_eq!((table.billing_mode.as_deref(), table.table_class.as_deref()), (Some("PROVISIONED"), Some("STANDARD")));
    assert_eq!(table.defaulted, ["billing_mode", "encryption", "table_class"]);
    let unreadable = decoded(&json!({
        "TableName": "t",
        "BillingModeSummary": {"BillingMode": 7},
        "TableClassSummary": {"Colour": "blue"},
    }))
    .table;
    assert_eq!((unreadable.billing_mode, unreadable.table_class), (None, None));
    assert_eq!(unreadable.defaulted, ["encryption"]);
}

#[test]
fn unreadable_definitions_make_no_attribute_undefined() {
    let mut description = json!({
        "TableName": "t",
        "AttributeDefinitions": [{"AttributeName": "a", "AttributeType": "S"}, 7],
        "KeySchema": [{"AttributeName": "a", "KeyType": "HASH"}, {"AttributeName": "b", "KeyType": "RANGE"}],
    });
    assert_eq!(decoded(&description).undefined, Vec::<String>::new());
    description["AttributeDefinitions"] = json!("none");
    assert_eq!(decoded(&description).undefined, Vec::<String>::new());
}

#[test]
fn a_key_that_names_an_undefined_attribute_is_reported() {
    let description = json!({
        "TableName": "t",
        "AttributeDefinitions": [{"AttributeName": "a", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "a", "KeyType": "HASH"}, {"AttributeName": "b", "KeyType": "RANGE"}],
        "GlobalSecondaryIndexes": [{"IndexName": "i", "KeySchema": [{"AttributeName": "c", "KeyType": "HASH"}]}],
    });
    assert_eq!(decoded(&description).undefined, ["b (table)", "c (index i)"]);
    assert_eq!(decoded(&full()).undefined, Vec::<String>::new());
}

/// A record as text, without the escapes in `extra`, so that it can be searched.
fn with_open_text(table: &Table) -> String {
    serde_json::to_string(table).expect("JSON").replace("\\\"", "\"")
}

/// A field is named once, however many elements of a list have it: there are no more names than
/// fields.
#[test]
fn a_field_of_many_elements_is_named_once() {
    let replicas: Vec<_> = (0..1_000).map(|number| json!({"RegionName": number, "KMSMasterKeyId": number})).collect();
    let unexpected = decoded(&json!({"TableName": "t", "Replicas": replicas})).unexpected;
    assert_eq!(unexpected, ["Replicas[].KMSMasterKeyId", "Replicas[].RegionName"]);
}

/// A JSON pointer as a path without positions.
fn path(pointer: &str) -> String {
    let mut path = String::new();
    for part in pointer.split('/').skip(1) {
        if part.parse::<usize>().is_ok() {
            path.push_str("[]");
        } else {
            path.push_str(if path.is_empty() { "" } else { "." });
            path.push_str(part);
        }
    }
    path
}

fn strip_extras(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.remove("extra");
            members.values_mut().for_each(strip_extras);
        }
        Value::Array(items) => items.iter_mut().for_each(strip_extras),
        _ => {}
    }
}

/// Collects every leaf as a record would have it: times are text there.
fn leaves_as_written(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                if name.ends_with("DateTime") {
                    let seconds = member.as_f64().expect("a time");
                    let time = dynacrawl_model::Timestamp::from_epoch_seconds(seconds).expect("a time");
                    found.insert(format!("\"{time}\""));
                } else if name == "KeyType" {
                    let role = if member == "HASH" { "partition" } else { "sort" };
                    found.insert(format!("\"{role}\""));
                } else {
                    leaves_as_written(member, found);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| leaves_as_written(item, found)),
        leaf => {
            found.insert(leaf.to_string());
        }
    }
}

fn leaves(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => members.values().for_each(|member| leaves(member, found)),
        Value::Array(items) => items.iter().for_each(|item| leaves(item, found)),
        leaf => {
            found.insert(leaf.to_string());
        }
    }
}

fn collect_extras(value: &Value, place: &str, extras: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                if name == "extra" && member != "{}" {
                    extras.push(format!("{place}: {member}"));
                }
                collect_extras(member, &format!("{place}/{name}"), extras);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect_extras(item, place, extras)),
        _ => {}
    }
}

fn object_pointers(value: &Value, place: String, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, member)| object_pointers(member, format!("{place}/{name}"), found));
            found.push(place);
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, item)| object_pointers(item, format!("{place}/{i}"), found));
        }
        _ => {}
    }
}

fn member_pointers(value: &Value, place: String, found: &mut Vec<(String, String)>) {
    let mut objects = Vec::new();
    object_pointers(value, place, &mut objects);
    for object in objects {
        for member in value.pointer(&object).and_then(Value::as_object).expect("an object").keys() {
            found.push((object.clone(), member.clone()));
        }
    }
}
