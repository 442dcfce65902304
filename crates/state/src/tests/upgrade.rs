//! Upgrades a state of version 5 to version 6: every record gets the new shape.

use dynacrawl_model::{AccountsDiscovered, Record, RegionsDiscovered, RunCompleted};
use rusqlite::Connection;
use serde_json::{Value, json};

use super::known::reader;
use super::open;
use crate::{State, TableQuery};

/// Upgrades a state that version 5 made, with all kinds of changes and a sink that has taken
/// nothing.
fn upgraded(directory: &std::path::Path) -> State {
    let path = directory.join("state.db");
    Connection::open(&path).and_then(|old| old.execute_batch(include_str!("version5.sql"))).expect("an old state");
    open(directory)
}

fn texts(state: &State, sql: &str) -> Vec<(Option<String>, Value)> {
    let mut query = state.connection.prepare(sql).expect("a statement");
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?))).expect("rows");
    rows.map(|row| {
        let (kind, text) = row.expect("a row");
        (kind, serde_json::from_str(&text).expect("JSON"))
    })
    .collect()
}

/// Reading and writing a record again does not change it: it has exactly the members of today's
/// shape.
#[track_caller]
fn has_todays_shape(record: &Value) {
    let read: Record = serde_json::from_value(record.clone()).unwrap_or_else(|error| panic!("{error}: {record}"));
    assert_eq!(&serde_json::to_value(read).expect("JSON"), record);
}

#[test]
fn every_record_of_an_old_state_gets_the_new_shape() {
    let directory = tempfile::tempdir().expect("a directory");
    let state = upgraded(directory.path());
    let tables = texts(&state, "SELECT NULL, record FROM records");
    assert_eq!(tables.len(), 10);
    for (_, record) in &tables {
        has_todays_shape(record);
    }
    for sql in ["SELECT type, change FROM changes", "SELECT type, record FROM outbox"] {
        let records = texts(&state, sql);
        assert!(records.len() >= 14, "{sql}: {}", records.len());
        for (kind, mut record) in records {
            let kind = kind.expect("a type");
            record["type"] = kind.clone().into();
            if matches!(kind.as_str(), "table_added" | "table_changed" | "table_recreated") {
                record["table"] = tables[0].1["table"].clone();
            }
            has_todays_shape(&record);
        }
    }
    for (_, record) in texts(&state, "SELECT NULL, table_record FROM outbox WHERE table_record IS NOT NULL") {
        has_todays_shape(&record);
    }
    for (_, completed) in texts(&state, "SELECT NULL, completed FROM runs WHERE completed IS NOT NULL") {
        serde_json::from_value::<RunCompleted>(completed).expect("a run's end");
    }
    let accounts =
        texts(&state, "SELECT NULL, accounts_discovered FROM run_targets WHERE accounts_discovered IS NOT NULL");
    let found: AccountsDiscovered = serde_json::from_value(accounts[0].1.clone()).expect("accounts");
    assert_eq!((found.accounts.len(), found.accounts[0].id.as_str()), (2, "111122223333"));
    let regions =
        texts(&state, "SELECT NULL, regions_discovered FROM run_targets WHERE regions_discovered IS NOT NULL");
    let found: RegionsDiscovered = serde_json::from_value(regions[0].1.clone()).expect("Regions");
    assert_eq!(found.problems[0].code, "AccessDeniedException");
}

#[test]
fn fields_that_an_old_state_lacks_are_filled_in() {
    let directory = tempfile::tempdir().expect("a directory");
    drop(upgraded(directory.path()));
    let mut tables = Vec::new();
    let query = TableQuery { records: true, all: true, ..TableQuery::default() };
    let all = reader(directory.path()).tables(&query, |table| {
        tables.push((table.table_name, table.record.expect("a record")["table"].clone()));
        true
    });
    all.expect("read");
    let of = |name: &str| &tables.iter().find(|(table, _)| table == name).expect("a table").1;
    let odd = of("ledger-2022");
    let extra: Value = serde_json::from_str(odd["extra"].as_str().expect("a text")).expect("JSON");
    let attribute = odd["attributes"][0]["name"].as_str().expect("a name");
    assert_eq!(
        extra,
        json!({"TableColour": "blue", "WarmThroughput": {"Glow": true}, "AttributeDefinitions": {attribute: {"Rings": 12}}})
    );
    for (name, table) in &tables {
        for field in ["billing_mode", "encryption", "table_class"] {
            assert!(!table[field].is_null(), "{name}: {field}");
        }
    }
    assert_eq!(of("ledger-2023")["defaulted"], json!(["encryption", "table_class"]));
    assert_eq!(of("ledger-2023")["encryption"]["type"], "AWS_OWNED_KEY");
}

#[test]
fn undelivered_events_of_an_old_state_get_the_new_shape() {
    let directory = tempfile::tempdir().expect("a directory");
    let state = upgraded(directory.path());
    let owed = state.undelivered("audit", 100).expect("read");
    assert_eq!(owed.len(), 19);
    assert!(owed.iter().all(|event| event.record.is_some()));
    let removed = owed.iter().find(|event| event.record.as_ref().is_some_and(|r| r.kind().as_str() == "table_removed"));
    assert!(removed.is_some_and(|event| event.table.is_some()), "with the table as it was");
}

#[test]
fn an_odd_record_does_not_end_the_upgrade() {
    let directory = tempfile::tempdir().expect("a directory");
    let old = Connection::open(directory.path().join("state.db")).expect("an old state");
    old.execute_batch(include_str!("version5.sql")).expect("an old state");
    for (seq, odd) in [(1, "json_set(table_record, '$.table.name', 7)"), (2, "'{}'"), (3, "'no JSON'"), (4, "'[]'")] {
        let update = format!("UPDATE outbox SET table_record = {odd} WHERE seq = {seq}");
        assert_eq!(old.execute(&update, []).expect("written"), 1);
    }
    let odd = "UPDATE outbox SET record = CAST(x'7b22ff227d' AS TEXT) WHERE seq = 5";
    assert_eq!(old.execute(odd, []).expect("written"), 1);
    drop(old);
    assert!(!open(directory.path()).undelivered("audit", 100).expect("read").is_empty());
}
