//! With what a sink of events begins, and what it gets instead of events that it did not take for too long.

use std::path::Path;
use std::sync::{Arc, Mutex};

use dynacrawl_engine::settings::SinkChoice;
use dynacrawl_state::State;
use dynacrawl_testing::world::{World, table};
use rusqlite::Connection;
use serde_json::Value;

/// A sink that delivers two events at once.
fn sink(world: &World, name: &str, more: &str) -> String {
    format!("[sink.{name}]\nbatch = 2\n{more}[sink.{name}.file]\npath = \"{}\"\n", world.path(name))
}

/// Delivers what is owed, for at most `crawl.deliver_within`.
async fn deliver(world: &World, settings: &str) -> Vec<(String, u64)> {
    let config = world.config(settings);
    let state = Arc::new(Mutex::new(State::open(Path::new(&world.path("state.db"))).expect("a state")));
    dynacrawl_engine::deliver_in_time(&config.run, &SinkChoice::All, &state).await.expect("read")
}

fn events(world: &World, name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(world.path(name)).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The type of each event and its table, in order.
fn kinds(events: &[Value]) -> Vec<String> {
    let name = |event: &Value| {
        let name = event["table"]["name"].as_str().or(event["table_name"].as_str()).unwrap_or_default();
        format!("{} {name}", event["type"].as_str().expect("a type")).trim_end().to_owned()
    };
    events.iter().map(name).collect()
}

fn ids(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["event_id"].as_str().expect("an id")).collect()
}

fn state(world: &World) -> Connection {
    Connection::open(world.path("state.db")).expect("a state")
}

#[tokio::test(start_paused = true)]
async fn a_new_sink_begins_as_it_is_configured() {
    let world = World::new(3);
    world.crawl().await;
    world.remove(0..1);
    let settings = [("now", ""), ("snapshot", "start = \"snapshot\"\n"), ("beginning", "start = \"beginning\"\n")];
    let settings: String = settings.iter().map(|(name, more)| sink(&world, name, more)).collect();
    world.crawl_with(&settings).await;
    assert_eq!(deliver(&world, &settings).await, []);
    let of_run = [format!("table_removed {}", table(0)), "scope_completed".to_owned(), "run_completed".to_owned()];
    assert_eq!(kinds(&events(&world, "now")), of_run);
    let all = |kind: &str| [1, 2].map(|number| format!("{kind} {}", table(number)));
    assert_eq!(kinds(&events(&world, "snapshot")), all("table"));
    assert_eq!(kinds(&events(&world, "beginning")), all("table_added"));
    let added = &events(&world, "beginning")[0];
    assert_eq!(added["fingerprint"], events(&world, "snapshot")[0]["fingerprint"]);
    assert_eq!(added["table"], events(&world, "snapshot")[0]["table"]);
    // From then on, all get the same.
    world.remove(1..2);
    world.crawl_with(&settings).await;
    assert_eq!(deliver(&world, &settings).await, []);
    let last = |name: &str| events(&world, name).split_off(events(&world, name).len() - 3);
    assert_eq!(kinds(&last("now"))[0], format!("table_removed {}", table(1)));
    assert_eq!((last("snapshot"), last("beginning")), (last("now"), last("now")));
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_is_behind_gets_all_tables_and_the_removals_since() {
    let world = World::new(4);
    let settings = sink(&world, "audit", "");
    world.crawl_with(&settings).await;
    assert_eq!(deliver(&world, &settings).await, []);
    std::fs::remove_file(world.path("audit")).expect("it was there");
    // The destination is away.
    std::fs::create_dir(world.path("audit")).expect("a directory");
    world.remove(0..1);
    world.crawl_with(&settings).await;
    assert_eq!(deliver(&world, &settings).await, [("audit".to_owned(), 3)]);
    world.remove(1..2);
    let bounded = |settings: &str| {
        let mut config = world.config(settings);
        config.run.state.as_mut().expect("a state").most_undelivered = 2;
        config
    };
    world.crawl_as(bounded(&settings)).await;
    assert_eq!(deliver(&world, &settings).await.len(), 1);
    let lost = "SELECT lost, is_synced FROM sinks";
    let lost: (i64, bool) = state(&world).query_row(lost, [], |row| Ok((row.get(0)?, row.get(1)?))).expect("a row");
    assert_eq!(lost, (1, false), "the oldest of three");
    std::fs::remove_dir(world.path("audit")).expect("it is there again");
    // A table that changed while the sink was away arrives as it is now.
    assert_eq!(deliver(&world, &settings).await, []);
    let arrived = events(&world, "audit");
    let expected = [
        format!("table {}", table(2)),
        format!("table {}", table(3)),
        format!("table_removed {}", table(0)),
        format!("table_removed {}", table(1)),
    ];
    assert_eq!(kinds(&arrived), expected);
    // What was there before the tables were read is part of them, and later events follow.
    world.remove(2..3);
    world.crawl_with(&settings).await;
    assert_eq!(deliver(&world, &settings).await, []);
    let later = events(&world, "audit").split_off(4);
    assert_eq!(
        kinds(&later),
        [format!("table_removed {}", table(2)), "scope_completed".to_owned(), "run_completed".to_owned()]
    );
}

#[tokio::test(start_paused = true)]
async fn all_tables_that_are_sent_again_have_the_same_ids() {
    let world = World::new(5);
    world.crawl().await;
    let settings = sink(&world, "audit", "start = \"snapshot\"\n");
    world.crawl_with(&settings).await;
    assert_eq!(deliver(&world, &settings).await, []);
    let first = events(&world, "audit");
    assert_eq!(first.len(), 5);
    // As after a kill before the state has stored that the first page was taken.
    let begun = "UPDATE sinks SET is_synced = 0, progress = ?";
    let id = first[0]["event_id"].as_str().expect("an id");
    let started = ulid_time(id);
    let up_to: i64 = state(&world).query_row("SELECT cursor FROM sinks", [], |row| row.get(0)).expect("a number");
    let progress = serde_json::json!({
        "phase": "tables", "started_at": started, "up_to": up_to, "removals": false, "removed_since": null,
        "scope": "", "scope_id": 0, "table": "",
    });
    state(&world).execute(begun, [progress.to_string()]).expect("written");
    assert_eq!(deliver(&world, &settings).await, []);
    let again = events(&world, "audit").split_off(5);
    assert_eq!(ids(&again), ids(&first));
    assert_eq!(again, first);
}

/// The time in a ULID, as the state stores times in JSON.
fn ulid_time(id: &str) -> String {
    const DIGITS: &str = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let milliseconds = id[..10].chars().fold(0, |sum, digit| sum * 32 + DIGITS.find(digit).expect("a digit") as i64);
    serde_json::to_value(dynacrawl_model::Timestamp::from_millis(milliseconds))
        .expect("JSON")
        .as_str()
        .expect("text")
        .to_owned()
}

/// An earlier version stored no place for sinks of events, and not that they need no tables.
#[tokio::test(start_paused = true)]
async fn a_sink_of_an_earlier_version_continues_where_it_was() {
    let world = World::new(3);
    let settings = sink(&world, "audit", "start = \"snapshot\"\n");
    world.crawl_with(&sink(&world, "audit", "")).await;
    state(&world).execute("UPDATE sinks SET is_synced = 0, place = NULL", []).expect("written");
    world.crawl_with(&settings).await;
    assert_eq!(deliver(&world, &settings).await, []);
    assert!(!kinds(&events(&world, "audit")).iter().any(|kind| kind.starts_with("table ")));
    assert_eq!(events(&world, "audit").len(), 3 + 2 + 2);
}

/// A sink that keeps its name but becomes another kind.
#[tokio::test(start_paused = true)]
async fn another_kind_of_sink_begins_as_it_is_configured() {
    let world = World::new(2);
    let snapshots = format!("[sink.audit.object_store]\nurl = \"file://{}\"\n", world.path("lake"));
    world.crawl_with(&snapshots).await;
    assert_eq!(deliver(&world, &snapshots).await, []);
    let settings = sink(&world, "audit", "start = \"snapshot\"\n");
    world.crawl_with(&settings).await;
    assert_eq!(deliver(&world, &settings).await, []);
    assert_eq!(kinds(&events(&world, "audit")), [0, 1].map(|number| format!("table {}", table(number))));
}
