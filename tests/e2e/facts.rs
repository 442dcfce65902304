//! The facts about a table that a catalog needs most, read independently from AWS's API and from
//! dynacrawl's records.

use serde_json::{Map, Value, json};

/// The facts in DescribeTable's `Table`.
pub(crate) fn of_description(table: &Value) -> Value {
    let types: Map<String, Value> = list(&table["AttributeDefinitions"])
        .map(|a| (a["AttributeName"].as_str().expect("a name").to_owned(), a["AttributeType"].clone()))
        .collect();
    let role = |key: &Value, field: &str| match key[field].as_str() {
        Some("HASH") => json!("partition"),
        Some("RANGE") => json!("sort"),
        _ => key[field].clone(),
    };
    let key = |attribute: &Value, role: Value| {
        let kind = types.get(attribute.as_str().expect("a name")).cloned().unwrap_or_default();
        json!([attribute, kind, role])
    };
    let keys = |part: &Value| -> Value {
        list(&part["KeySchema"]).map(|one| key(&one["AttributeName"], role(one, "KeyType"))).collect()
    };
    let mut indexes = Map::new();
    for (kind, member) in [("global", "GlobalSecondaryIndexes"), ("local", "LocalSecondaryIndexes")] {
        for index in list(&table[member]) {
            indexes.insert(index_name(kind, &index["IndexName"]), described_index(index, &keys(index)));
        }
    }
    for index in list(&table["VectorIndexes"]) {
        let hash = list(&index["SearchSchema"]).filter(|one| one["SearchSchemaElementType"] == "HASH");
        let keys: Value = hash.map(|one| key(&one["AttributeName"], json!("partition"))).collect();
        indexes.insert(index_name("vector", &index["IndexName"]), described_index(index, &keys));
    }
    json!({"name": table["TableName"], "keys": keys(table), "indexes": indexes, "billing_mode": billing_mode(&table["BillingModeSummary"]["BillingMode"])})
}

fn described_index(index: &Value, keys: &Value) -> Value {
    let projection = &index["Projection"];
    json!({"keys": keys, "projection": projection["ProjectionType"], "copied": sorted(&projection["NonKeyAttributes"])})
}

/// The facts in the `table` of a `table` record.
pub(crate) fn of_record(table: &Value) -> Value {
    let mut indexes = Map::new();
    for index in list(&table["indexes"]) {
        let projection = &index["projection"];
        let facts = json!({"keys": recorded_keys(&index["key_schema"]), "projection": projection["type"], "copied": sorted(&projection["non_key_attributes"])});
        indexes.insert(index_name(index["kind"].as_str().expect("a kind"), &index["name"]), facts);
    }
    json!({"name": table["name"], "keys": recorded_keys(&table["key_schema"]), "indexes": indexes, "billing_mode": table["billing_mode"]})
}

fn recorded_keys(keys: &Value) -> Value {
    list(keys).map(|key| json!([key["attribute"], key["type"], key["role"]])).collect()
}

/// The facts in a table of `tests/servers/oracle.py`.
pub(crate) fn of_oracle(name: &str, table: &Value) -> Value {
    let keys = |part: &Value| -> Value {
        list(&part["key_schema"])
            .map(|key| {
                let role = if key[2] == "HASH" { "partition" } else { "sort" };
                json!([key[0], key[1], role])
            })
            .collect()
    };
    let index = |(name, index): (&String, &Value)| {
        let facts = json!({"keys": keys(index), "projection": index["projection"], "copied": sorted(&index["non_key_attributes"])});
        (name.clone(), facts)
    };
    let indexes: Map<String, Value> = table["indexes"].as_object().expect("indexes").iter().map(index).collect();
    json!({"name": name, "keys": keys(table), "indexes": indexes, "billing_mode": billing_mode(&table["billing_mode"])})
}

/// A table without a billing mode in AWS's answer is provisioned.
fn billing_mode(sent: &Value) -> Value {
    if sent.is_null() { json!("PROVISIONED") } else { sent.clone() }
}

fn index_name(kind: &str, name: &Value) -> String {
    format!("{kind}:{}", name.as_str().expect("a name"))
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn sorted(names: &Value) -> Vec<String> {
    let mut names: Vec<String> = list(names).filter_map(|name| name.as_str().map(str::to_owned)).collect();
    names.sort();
    names
}
