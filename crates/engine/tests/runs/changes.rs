//! The changes that are reported from crawl to crawl.

use std::time::Duration;

use dynacrawl_model::{Outcome, RunOutcome};
use dynacrawl_sim::{Denial, Effect, FaultRule, Operation};
use dynacrawl_testing::inside::HUB;
use dynacrawl_testing::world::{REGION, World, counts, table};
use serde_json::{Value, json};

#[tokio::test(start_paused = true)]
async fn the_first_crawl_adds_every_table_and_the_next_none() {
    let world = World::new(250);
    let first = world.crawl().await;
    assert_eq!((first.of("table").len(), first.of("table_added").len(), first.changes()), (250, 250, 250));
    assert_eq!(counts(&first), [250, 0, 0, 0, 0, 0]);
    let (added, table) = (first.of("table_added")[0], first.of("table")[0]);
    assert_eq!(added["table"], table["table"], "the whole table");
    let second = world.crawl().await;
    assert_eq!((second.of("table").len(), second.changes()), (250, 0));
    assert_eq!((second.report.outcome, counts(&second)), (RunOutcome::Complete, [0; 6]));
    assert_eq!(second.of("scope_completed")[0]["change_counts"]["added"], 0);
}

#[tokio::test(start_paused = true)]
async fn a_change_is_reported_once_with_both_values() {
    let world = World::new(3);
    let first = world.crawl().await;
    world.edit(&table(1), |table| table["DeletionProtectionEnabled"] = json!(false));
    let second = world.crawl().await;
    let [change] = second.of("table_changed")[..] else { panic!("one change") };
    assert_eq!(change["table"]["name"], table(1));
    assert_eq!(change["table"]["deletion_protection_enabled"], false);
    assert_eq!(
        change["changes"],
        json!([{"path": "/deletion_protection_enabled", "before": "true", "after": "false"}])
    );
    let before = first.of("table").into_iter().find(|one| one["table"]["name"] == table(1)).expect("it was there");
    assert_eq!(change["fingerprint_before"], before["fingerprint"]);
    assert_ne!(change["fingerprint_before"], change["fingerprint"]);
    assert_eq!((second.changes(), counts(&second)), (1, [0, 1, 0, 0, 0, 0]));
    assert_eq!(world.crawl().await.changes(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_new_table_is_added_and_a_deleted_one_is_removed() {
    let world = World::new(3);
    world.crawl().await;
    let mut description = world.simulator.describe_json(HUB, REGION, &table(0)).expect("a table");
    description["TableName"] = json!("another");
    description["TableArn"] = json!(format!("arn:aws:dynamodb:{REGION}:{HUB}:table/another"));
    description["TableId"] = json!("00000000-0000-0000-0000-000000000001");
    world.simulator.put_table(HUB, REGION, "another", &description).expect("a scope");
    world.remove(2..3);
    let second = world.crawl().await;
    assert_eq!((second.names("table_added"), second.changes()), (vec!["another"], 2));
    let [removed] = second.of("table_removed")[..] else { panic!("one removal") };
    assert_eq!(removed["table_name"], table(2));
    assert!(removed["table_arn"].as_str().expect("an ARN").ends_with(&table(2)) && removed["last_seen_at"].is_string());
    assert_eq!(second.report.outcome, RunOutcome::Complete);
    assert_eq!(world.crawl().await.changes(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_table_created_again_under_its_name_is_recreated() {
    let world = World::new(3);
    world.crawl().await;
    let before = world.simulator.describe_json(HUB, REGION, &table(1)).expect("a table")["TableId"].clone();
    world.simulator.recreate_table(HUB, REGION, &table(1)).expect("a scope");
    let second = world.crawl().await;
    let [recreated] = second.of("table_recreated")[..] else { panic!("one") };
    assert_eq!((&recreated["table_id_before"], second.changes()), (&before, 1));
    assert_ne!(recreated["table"]["id"], before);
    let paths: Vec<_> = recreated["changes"].as_array().expect("a list").iter().map(|change| &change["path"]).collect();
    assert_eq!(paths, ["/created_at", "/id"]);
    assert_eq!(world.crawl().await.changes(), 0);
}

#[tokio::test(start_paused = true)]
async fn without_ids_the_creation_time_identifies_a_table() {
    let world = World::new(1);
    world.edit(&table(0), |table| table["TableId"] = Value::Null);
    world.crawl().await;
    world.edit(&table(0), |table| table["CreationDateTime"] = json!(1_750_000_000.5));
    assert_eq!(world.crawl().await.names("table_recreated"), [table(0)]);
}

#[tokio::test(start_paused = true)]
async fn drift_is_reported_only_on_request() {
    let world = World::new(3);
    world.crawl().await;
    world.simulator.set_items(HUB, REGION, &table(1), 4711).expect("a scope");
    world.edit(&table(2), |table| table["TableStatus"] = json!("UPDATING"));
    assert_eq!(world.crawl().await.changes(), 0);
    let drift = world.crawl_with("[changes]\ndrift = true").await;
    assert_eq!(drift.names("table_changed"), [table(1), table(2)]);
    let items = &drift.of("table_changed")[0]["changes"];
    assert!(items.as_array().expect("a list").iter().any(|one| one["path"] == "/item_count" && one["after"] == "4711"));
    assert_eq!(world.crawl_with("[changes]\ndrift = true").await.changes(), 0);
}

#[tokio::test(start_paused = true)]
async fn emit_chooses_what_is_written() {
    let world = World::new(3);
    let changes = world.crawl_with("[changes]\nemit = \"changes\"").await;
    assert_eq!((changes.of("table").len(), changes.of("table_added").len()), (0, 3));
    world.edit(&table(0), |table| table["DeletionProtectionEnabled"] = json!(false));
    let snapshot = world.crawl_with("[changes]\nemit = \"snapshot\"").await;
    assert_eq!((snapshot.of("table").len(), snapshot.changes(), counts(&snapshot)), (3, 0, [0, 1, 0, 0, 0, 0]));
    assert_eq!(world.crawl().await.changes(), 0, "the state has it all the same");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_field_is_not_a_change() {
    let world = World::new(5);
    world.crawl().await;
    for number in 0..5 {
        world.edit(&table(number), |table| table["FieldOfTomorrow"] = json!({"a": 1}));
    }
    assert_eq!(world.crawl().await.changes(), 0);
}

/// Turns a state into one of an older version, which has other fingerprints.
fn downgrade(state: &rusqlite::Connection) {
    state.execute("UPDATE tables SET fingerprint = '1:' || substr(fingerprint, 3)", []).expect("written");
}

/// Turns a state into one of version 5, as that version would have written it for these tables.
fn to_version_5(state: &mut rusqlite::Connection) {
    let writing = state.transaction().expect("a transaction");
    let records: Vec<(i64, String)> = writing
        .prepare("SELECT record_id, record FROM records")
        .and_then(|mut all| all.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect())
        .expect("records");
    for (record_id, text) in records {
        let mut record: Value = serde_json::from_str(&text).expect("JSON");
        let members = record.as_object_mut().expect("an object");
        members.remove("account_name");
        members.remove("problems");
        members.insert("probes".to_owned(), json!({}));
        members.insert("fingerprint".to_owned(), "2:0123456789abcdef".into());
        let table = members["table"].as_object_mut().expect("a table");
        let defaulted = table.remove("defaulted").expect("the defaults");
        for field in defaulted.as_array().expect("a list") {
            table[field.as_str().expect("a name")] = Value::Null;
        }
        table["extra"] = json!({});
        for index in table["indexes"].as_array_mut().expect("indexes") {
            index["extra"] = json!({});
        }
        let put = "UPDATE records SET record = ? WHERE record_id = ?";
        writing.execute(put, rusqlite::params![record.to_string(), record_id]).expect("written");
    }
    let columns = [
        ("scopes", "account_name"),
        ("scopes", "last_problems"),
        ("run_scopes", "account_name"),
        ("run_scopes", "problems"),
        ("run_targets", "failure"),
        ("sinks", "delivered_at"),
        ("sinks", "refused"),
        ("sinks", "failed_at"),
        ("sinks", "failure"),
        ("outbox", "target"),
        ("table_stats", "digest"),
        ("staged", "digest"),
        ("table_stats", "parts"),
        ("staged", "parts"),
        ("outbox", "about"),
        ("outbox", "waiting_seq"),
        ("outbox", "waiting_since"),
        ("sinks", "is_synced"),
        ("sinks", "statistics_at"),
        ("sinks", "progress"),
        ("sinks", "place"),
    ];
    writing.execute_batch("DROP VIEW estate; DROP INDEX outbox_about").expect("dropped");
    for (table, column) in columns {
        writing.execute(&format!("ALTER TABLE {table} DROP COLUMN {column}"), []).expect("dropped");
    }
    writing
        .execute_batch(
            "CREATE VIEW estate AS SELECT * FROM tables;
             UPDATE tables SET fingerprint = '2:0123456789abcdef';
             PRAGMA user_version = 5;",
        )
        .expect("written");
    writing.commit().expect("written");
}

/// How many tables have a fingerprint of a version.
fn of_version(state: &rusqlite::Connection, version: u32) -> i64 {
    let like = format!("{version}:%");
    state.query_row("SELECT count(*) FROM tables WHERE fingerprint LIKE ?1", [like], |row| row.get(0)).expect("a count")
}

/// Makes the database count every row that is written about tables from now on.
fn count_rows(state: &rusqlite::Connection) -> impl Fn() -> i64 {
    let mut sql = "CREATE TABLE written (rows INTEGER); INSERT INTO written VALUES (0);".to_owned();
    for table in ["tables", "records", "changes", "staged"] {
        for event in ["INSERT", "UPDATE", "DELETE"] {
            sql.push_str(&format!(
                "CREATE TRIGGER written_{table}_{event} AFTER {event} ON {table} \
                 BEGIN UPDATE written SET rows = rows + 1; END;"
            ));
        }
    }
    state.execute_batch(&sql).expect("triggers");
    move || state.query_row("SELECT rows FROM written", [], |row| row.get(0)).expect("a count")
}

#[tokio::test(start_paused = true)]
async fn a_fingerprint_upgrade_reports_exactly_what_changed_since() {
    let world = World::new(1_000);
    let first = world.crawl().await;
    let mut state = rusqlite::Connection::open(world.path("state.db")).expect("a state");
    to_version_5(&mut state);
    for number in 0..100 {
        world.edit(&table(number), |table| table["ProvisionedThroughput"]["ReadCapacityUnits"] = json!(41));
    }
    world.edit(&table(7), |table| table["DeletionProtectionEnabled"] = json!(false));
    world.simulator.recreate_table(HUB, REGION, &table(500)).expect("a scope");

    let second = world.crawl().await;
    assert_eq!(
        (second.names("table_changed"), second.names("table_recreated")),
        (vec![&*table(7)], vec![&*table(500)])
    );
    assert_eq!((second.changes(), of_version(&state, 3)), (2, 1_000));
    let change = second.of("table_changed")[0];
    let before = first.of("table").into_iter().find(|one| one["table"]["name"] == table(7)).expect("it was there");
    assert_eq!(change["fingerprint_before"], before["fingerprint"], "by today's rules");
    assert_eq!(
        change["changes"],
        json!([{"path": "/deletion_protection_enabled", "before": "true", "after": "false"}])
    );

    let rows = count_rows(&state);
    assert_eq!((world.crawl().await.changes(), rows()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_replaces_a_stored_record_that_cannot_be_read() {
    let world = World::new(3);
    world.crawl().await;
    let state = rusqlite::Connection::open(world.path("state.db")).expect("a state");
    downgrade(&state);
    state.execute("UPDATE records SET record = '{}'", []).expect("written");
    world.edit(&table(1), |table| table["DeletionProtectionEnabled"] = json!(false));
    assert_eq!((world.crawl().await.changes(), of_version(&state, 3)), (0, 3));
    world.edit(&table(1), |table| table["DeletionProtectionEnabled"] = json!(true));
    assert_eq!(world.crawl().await.names("table_changed"), [table(1)]);
}

#[tokio::test(start_paused = true)]
async fn provisioned_capacity_is_reported_as_drift_only() {
    let world = World::new(3);
    world.crawl().await;
    world.edit(&table(0), |table| table["ProvisionedThroughput"]["WriteCapacityUnits"] = json!(41));
    world.edit(&table(1), |table| {
        let index = &mut table["GlobalSecondaryIndexes"][0];
        index["ProvisionedThroughput"] = json!({"ReadCapacityUnits": 7, "WriteCapacityUnits": 8});
    });
    world.edit(&table(2), |table| {
        table["OnDemandThroughput"] = json!({"MaxReadRequestUnits": 100, "MaxWriteRequestUnits": 100});
    });
    assert_eq!(world.crawl().await.names("table_changed"), [table(2)], "a person sets the maxima");
    let drift = world.crawl_with("[changes]\ndrift = true").await;
    assert_eq!(drift.names("table_changed"), [table(0), table(1)]);
    let units = &drift.of("table_changed")[0]["changes"][0];
    assert_eq!(
        (&units["path"], &units["after"]),
        (&json!("/provisioned_throughput/write_capacity_units"), &json!("41"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_scope_that_is_never_complete_reports_each_table_once() {
    let world = World::new(12);
    world.simulator.deny(Denial::new(HUB, Operation::DescribeTable).table(table(3)));
    let first = world.crawl().await;
    assert_eq!(
        (first.of("table_added").len(), first.of("scope_completed")[0]["outcome"].as_str()),
        (11, Some("partial"))
    );
    assert_eq!(world.crawl().await.changes(), 0);
    world.simulator.clear_denials();
    let complete = world.crawl().await;
    assert_eq!((complete.names("table_added"), complete.report.scopes.complete), (vec![table(3).as_str()], 1));
}

#[tokio::test(start_paused = true)]
async fn changes_have_the_whole_table_in_either_layout() {
    let world = World::new(2);
    let crawl = world.crawl_with("layout = \"entities\"").await;
    assert!(crawl.of("table")[0]["table"]["key_schema"].is_null());
    assert!(crawl.of("table_added")[0]["table"]["key_schema"].is_array());
    let outcome = crawl.of("scope_completed")[0]["outcome"].clone();
    assert_eq!(outcome, serde_json::to_value(Outcome::Complete).expect("a word"));
}

#[tokio::test(start_paused = true)]
async fn a_field_with_an_unexpected_type_is_named_without_a_retry() {
    let world = World::new(3);
    world.edit(&table(1), |table| table["ItemCount"] = json!("many"));
    world.edit(&table(2), |table| table["Replicas"] = json!([{"RegionName": 7}]));
    let crawl = world.crawl().await;
    let problem = crawl.problem("unexpected_type");
    assert_eq!((&problem["table_count"], &problem["table_names"]), (&json!(2), &json!([table(1), table(2)])));
    let message = problem["message"].as_str().expect("a text");
    assert!(message.contains("ItemCount") && message.contains("Replicas[].RegionName"), "{message}");
    assert_eq!((crawl.report.outcome, crawl.of("table").len()), (RunOutcome::Complete, 3));
    assert_eq!(world.simulator.counts().requests(Operation::DescribeTable), 3);
    let odd = crawl.of("table").into_iter().find(|one| one["table"]["name"] == table(1)).expect("a table");
    assert_eq!(
        (&odd["table"]["item_count"], &odd["table"]["extra"]),
        (&Value::Null, &json!(r#"{"ItemCount":"many"}"#))
    );
}

#[tokio::test(start_paused = true)]
async fn a_response_without_a_table_is_retried() {
    let world = World::new(3);
    let empty = Effect::Error { code: "Login".to_owned(), message: "login required".to_owned(), status: 200 };
    world.simulator.add_fault(FaultRule::new(empty).operation(Operation::DescribeTable).table(table(1)));
    let crawl = world.crawl().await;
    let [failed] = crawl.of("table_failed")[..] else { panic!("one") };
    assert_eq!((&failed["code"], &failed["attempts"]), (&json!("invalid_response"), &json!(2)));
    assert_eq!(world.simulator.counts().requests(Operation::DescribeTable), 4);
}

#[tokio::test(start_paused = true)]
async fn a_run_of_another_format_is_not_resumed_but_its_state_is_used() {
    for (format, resumes) in [(2, true), (1, false)] {
        let world = World::new(250);
        assert_eq!(world.crawl().await.changes(), 250);
        let slow = FaultRule::new(Effect::Delay(Duration::from_secs(1))).operation(Operation::DescribeTable);
        let slow = world.simulator.add_fault(slow);
        world.crawl_until_killed("", Duration::from_secs(3)).await;
        world.simulator.remove_fault(slow);
        let state = rusqlite::Connection::open(world.path("state.db")).expect("a state");
        let unfinished = "SELECT run_id FROM runs WHERE ended_at IS NULL";
        let run_id: String = state.query_row(unfinished, [], |row| row.get(0)).expect("a run");
        state.execute("UPDATE runs SET output_format = ? WHERE ended_at IS NULL", [format]).expect("written");
        drop(state);
        let crawl = world.crawl().await;
        assert_eq!(crawl.scope()["run_id"] == run_id, resumes, "{format}");
        assert_eq!((crawl.of("table").len(), crawl.changes()), (250, 0));
    }
}
