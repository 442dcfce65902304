//! Records contain what the service answered about a table.

use dynacrawl_sim::{Index, Operation, TableBuilder, Tables, fixtures};
use serde_json::{Value, json};

use crate::command::{Crawled, Dynacrawl};
use crate::facts;
use crate::support::{HOME, IRELAND, alone, ireland, named};

#[test]
fn every_table_of_a_large_region_has_its_keys_and_indexes() {
    let (sim, home) = ireland(1_200);
    let crawled = Dynacrawl::crawl_of(&sim, &home, IRELAND).args(["--rate", "0"]).records();
    assert_eq!(crawled.code, 0);
    assert_eq!(crawled.names(), sim.table_names(HOME, IRELAND));
    for record in crawled.of_type("table") {
        let name = record["table"]["name"].as_str().expect("a name");
        let description = sim.describe_json(HOME, IRELAND, name).expect("the table is there");
        assert_eq!(facts::of_record(&record["table"]), facts::of_description(&description));
    }
    let requests = &crawled.scope(IRELAND)["requests"];
    assert_eq!(requests["ListTables"]["sent"], 12, "pages hold 100 names");
    assert_eq!(requests["DescribeTable"]["sent"], 1_200);
    assert_eq!(sim.counts().of(HOME, IRELAND, Operation::ListTables).requests, 12);
    assert_eq!(sim.counts().of(HOME, IRELAND, Operation::DescribeTable).requests, 1_200);
}

#[test]
fn a_table_with_every_field_loses_none() {
    let full = fixtures::full_table("full", HOME, IRELAND);
    let (sim, home) = alone(Tables::new().table("full", &full));
    let crawled = Dynacrawl::crawl_of(&sim, &home, IRELAND).records();
    let table = &crawled.table("full")["table"];
    assert_eq!(facts::of_record(table), facts::of_description(&full));
    assert_eq!(table["extra"], "{}", "every field has its own key");
    // The fixture gives each field a different value. Every value has to be somewhere in the
    // record; dates and key types are converted.
    let mut missing = Vec::new();
    let written = values(table);
    for value in values(&full) {
        let seconds = value.as_f64().filter(|seconds| *seconds > 1e9);
        let expected = match (seconds, value.as_str()) {
            (Some(seconds), _) => json!(date(seconds)),
            (_, Some("HASH")) => json!("partition"),
            (_, Some("RANGE")) => json!("sort"),
            _ => value.clone(),
        };
        if !written.contains(&expected) {
            missing.push(expected);
        }
    }
    assert!(missing.is_empty(), "{missing:?} of {table:#}");
}

/// All nested values that are neither objects nor arrays.
fn values(of: &Value) -> Vec<Value> {
    match of {
        Value::Object(fields) => fields.values().flat_map(values).collect(),
        Value::Array(items) => items.iter().flat_map(values).collect(),
        value => vec![value.clone()],
    }
}

/// All dates of the fixture are within a few seconds of each other.
fn date(seconds: f64) -> String {
    let start = 1_700_000_000_f64;
    let millis = ((seconds - start) * 1_000.0).round();
    format!("2023-11-14T22:13:{:06.3}Z", 20.0 + millis / 1_000.0)
}

#[test]
fn unknown_fields_are_in_the_extra_of_their_object() {
    let table = TableBuilder::new(HOME, IRELAND, "tomorrow")
        .hash("id", "S")
        .attribute("at", "N")
        .gsi(Index::new("by_at").hash("at").field("IndexColour", json!({"Hue": 7})))
        .lsi(Index::new("local").hash("id").range("at").field("LocalColour", json!([1, "two", null])))
        .stream("NEW_IMAGE")
        .field("TableColour", json!("blue"))
        .field("TableStatus", json!("DREAMING"))
        .field("BillingModeSummary", json!({"BillingMode": "BY_THE_MOON", "Phase": "full"}))
        .field("Replicas", json!([{"RegionName": "eu-north-1", "ReplicaColour": 1.5}]))
        .field("WarmThroughput", json!({"ReadUnitsPerSecond": 1, "Glow": true}))
        .field("StreamSpecification", json!({"StreamEnabled": true, "StreamViewType": "NEW_IMAGE", "Depth": 3}))
        .field("KeySchema", json!([{"AttributeName": "id", "KeyType": "TREE", "Rings": 12}]))
        .build();
    let (sim, home) = alone(Tables::new().table("tomorrow", &table));
    let crawled = Dynacrawl::crawl_of(&sim, &home, IRELAND).records();
    let record = &crawled.table("tomorrow")["table"];
    let extra = |of: &Value| -> Value { serde_json::from_str(of["extra"].as_str().expect("a text")).expect("JSON") };
    let of_table = json!({
        "TableColour": "blue",
        "BillingModeSummary": {"Phase": "full"},
        "WarmThroughput": {"Glow": true},
        "StreamSpecification": {"Depth": 3},
        "KeySchema": {"id": {"Rings": 12}},
    });
    assert_eq!(extra(record), of_table);
    assert_eq!((&record["status"], &record["billing_mode"]), (&json!("DREAMING"), &json!("BY_THE_MOON")));
    assert_eq!(extra(&record["indexes"][0]), json!({"IndexColour": {"Hue": 7}}));
    assert_eq!(extra(&record["indexes"][1]), json!({"LocalColour": [1, "two", null]}));
    assert_eq!(extra(&record["replicas"][0]), json!({"ReplicaColour": 1.5}));
    assert_eq!(record["key_schema"][0]["role"], "TREE");
}

#[test]
fn an_answer_with_almost_no_fields_is_a_record() {
    let bare = TableBuilder::new(HOME, IRELAND, "bare")
        .without("AttributeDefinitions")
        .without("KeySchema")
        .without("CreationDateTime")
        .without("BillingModeSummary");
    let (sim, home) = alone(Tables::new().table("bare", &bare.build()).table("empty", &json!({})));
    let crawled = Dynacrawl::crawl_of(&sim, &home, IRELAND).records();
    assert_eq!((crawled.code, crawled.names()), (3, vec!["bare"]));
    let table = &crawled.table("bare")["table"];
    assert_eq!((&table["created_at"], &table["billing_mode"]), (&Value::Null, &json!("PROVISIONED")));
    assert_eq!(table["defaulted"], json!(["billing_mode", "encryption", "table_class"]));
    assert_eq!([&table["attributes"], &table["key_schema"], &table["indexes"]], [&json!([]); 3]);
    // An answer without ARN, status and keys describes nothing.
    let failed = crawled.of_type("table_failed").next().expect("one");
    assert_eq!((&failed["table_name"], &failed["code"]), (&json!("empty"), &json!("invalid_response")));
}

#[test]
fn entities_have_the_same_facts_on_separate_lines() {
    let table = TableBuilder::new(HOME, IRELAND, "rich")
        .hash("id", "S")
        .range("at", "N")
        .attribute("status", "S")
        .gsi(Index::new("by_status").hash("status").range("at").include(&["total", "currency"]))
        .gsi(Index::new("a_first").hash("status").keys_only())
        .lsi(Index::new("local").hash("id").range("status"))
        .vector("vectors", "embedding", 128, "COSINE", "status", &["id"])
        .build();
    let (sim, home) = alone(named(&["plain", "zebra"]).table("rich", &table));
    let whole = Dynacrawl::crawl_of(&sim, &home, IRELAND).records();
    let split = Dynacrawl::crawl_of(&sim, &home, IRELAND).args(["--layout", "entities"]).records();
    for name in ["plain", "rich", "zebra"] {
        let record = &whole.table(name)["table"];
        let at =
            split.records.iter().position(|r| r["type"] == "table" && r["table"]["name"] == name).expect("a table");
        let indexes = record["indexes"].as_array().expect("indexes");
        let lines = &split.records[at..at + 2 + 2 * indexes.len()];
        let kinds: Vec<_> = lines.iter().map(|line| line["type"].as_str().expect("a type")).collect();
        let expected: Vec<_> =
            ["table", "key_schema"].into_iter().chain(indexes.iter().flat_map(|_| ["key_schema", "index"])).collect();
        assert_eq!(kinds, expected);

        let mut joined = lines[0]["table"].clone();
        joined["key_schema"] = lines[1]["key_schema"].clone();
        assert_eq!((&lines[1]["table_name"], &lines[1]["index_name"]), (&json!(name), &Value::Null));
        let mut joined_indexes = Vec::new();
        for pair in lines[2..].chunks(2) {
            let mut index = pair[1]["index"].clone();
            assert_eq!(json!([pair[0]["index_kind"], pair[0]["index_name"]]), json!([index["kind"], index["name"]]));
            index["key_schema"] = pair[0]["key_schema"].clone();
            joined_indexes.push(index);
        }
        joined["indexes"] = Value::Array(joined_indexes);
        assert_eq!(&joined, record);
        for line in lines {
            assert_eq!(line["scope"], lines[0]["scope"]);
            assert_eq!(line["observed_at"], lines[0]["observed_at"]);
        }
    }
    let entities = split.of_type("key_schema").chain(split.of_type("index")).count();
    assert_eq!(entities, 3 + 2 * 4, "nothing but the entities of these tables");
}

/// A table whose lists the service may return in another order each time.
fn many_sided(turned: bool) -> Value {
    let mut table = fixtures::full_table("many-sided", HOME, IRELAND);
    let turn = |list: &mut Value| {
        if turned {
            list.as_array_mut().expect("a list").reverse();
        }
    };
    let replica = |region: &str| json!({"RegionName": region, "GlobalSecondaryIndexes": [{"IndexName": "b"}, {"IndexName": "a"}]});
    table["Replicas"] = json!([replica("us-east-1"), replica("eu-north-1"), replica("ap-south-1")]);
    table["GlobalTableWitnesses"] = json!([{"RegionName": "us-west-2"}, {"RegionName": "eu-south-2"}]);
    let mut second = table["GlobalSecondaryIndexes"][0].clone();
    second["IndexName"] = json!("another");
    table["GlobalSecondaryIndexes"].as_array_mut().expect("a list").push(second);
    for pointer in [
        "/AttributeDefinitions",
        "/GlobalSecondaryIndexes",
        "/GlobalSecondaryIndexes/0/Projection/NonKeyAttributes",
        "/GlobalSecondaryIndexes/1/Projection/NonKeyAttributes",
        "/LocalSecondaryIndexes/0/Projection/NonKeyAttributes",
        "/Replicas",
        "/Replicas/0/GlobalSecondaryIndexes",
        "/Replicas/1/GlobalSecondaryIndexes",
        "/Replicas/2/GlobalSecondaryIndexes",
        "/GlobalTableWitnesses",
    ] {
        turn(table.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")));
    }
    table
}

/// The `table` lines as they were written, without the run id and times.
fn stable_lines(crawled: &Crawled) -> Vec<String> {
    let run_id = crawled.records[0]["run_id"].as_str().expect("an id");
    let without = |line: &str| {
        let record: Value = serde_json::from_str(line).expect("JSON");
        let at = record["observed_at"].as_str().expect("a time");
        line.replacen(run_id, "RUN", 1).replacen(at, "AT", 1)
    };
    let tables = crawled.text.lines().filter(|line| line.starts_with("{\"type\":\"table\","));
    let mut lines: Vec<_> = tables.map(without).collect();
    lines.sort();
    lines
}

#[test]
fn the_order_of_the_services_lists_does_not_change_the_lines() {
    let (sim, home) = alone(Tables::new().generated(150));
    sim.put_table(HOME, IRELAND, "many-sided", &many_sided(false)).expect("the Region is there");
    let crawl = || stable_lines(&Dynacrawl::crawl_of(&sim, &home, IRELAND).args(["--rate", "0"]).records());
    let first = crawl();
    sim.put_table(HOME, IRELAND, "many-sided", &many_sided(true)).expect("the Region is there");
    let second = crawl();
    assert_eq!(first.len(), 151);
    assert!(first == second, "{:?}", first.iter().zip(&second).find(|(a, b)| a != b));
}

#[test]
fn drift_does_not_change_a_fingerprint_and_a_key_does() {
    let table = |items: i64, key: &str| {
        TableBuilder::new(HOME, IRELAND, "drifting").hash(key, "S").field("ItemCount", json!(items)).build()
    };
    let (sim, home) = alone(Tables::new());
    let fingerprint = |description: &Value| {
        sim.put_table(HOME, IRELAND, "drifting", description).expect("the Region is there");
        Dynacrawl::crawl_of(&sim, &home, IRELAND).records().table("drifting")["fingerprint"].clone()
    };
    let first = fingerprint(&table(1, "id"));
    assert_eq!(fingerprint(&table(2, "id")), first);
    assert_ne!(fingerprint(&table(1, "other")), first);
}
