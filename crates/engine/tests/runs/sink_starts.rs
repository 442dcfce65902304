//! With what a sink of events begins, and what it gets instead of events that it did not take for too long.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};

use dynacrawl_engine::Owed;
use dynacrawl_engine::settings::SinkChoice;
use dynacrawl_model::Timestamp;
use dynacrawl_sim::{Account, Tables};
use dynacrawl_state::{SinkPlace, SinkProgress, State};
use dynacrawl_testing::inside::HUB;
use dynacrawl_testing::world::{OTHER_REGION, REGION, World, table};
use rusqlite::Connection;
use serde_json::Value;

/// A sink that delivers two events at once.
fn sink(world: &World, name: &str, more: &str) -> String {
    format!("[sink.{name}]\nbatch = 2\n{more}[sink.{name}.file]\npath = \"{}\"\n", world.path(name))
}

/// Delivers what is owed, for at most `crawl.deliver_within`.
async fn deliver(world: &World, settings: &str) -> Vec<(String, Owed)> {
    let config = world.config(settings);
    let state = Arc::new(Mutex::new(State::open(Path::new(&world.path("state.db"))).expect("a state")));
    dynacrawl_engine::deliver_in_time(&config.run, &SinkChoice::All, &state).await.expect("read")
}

fn events(world: &World, name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(world.path(name)).unwrap_or_default();
    // A thread may be writing the last line.
    let written = text.rfind('\n').map_or("", |end| &text[..end]);
    written.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
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
    assert_eq!(deliver(&world, &settings).await, [("audit".to_owned(), Owed::Events(3))]);
    world.remove(1..2);
    let bounded = |settings: &str| {
        let mut config = world.config(settings);
        config.run.state.as_mut().expect("a state").most_undelivered = 2;
        config
    };
    world.crawl_as(bounded(&settings)).await;
    assert_eq!(deliver(&world, &settings).await, [("audit".to_owned(), Owed::AllTables)]);
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
async fn a_sink_that_is_behind_gets_what_came_to_be_left_out_since() {
    let tables = |count| Tables::new().generated(count);
    let world = World::of([Account::new(HUB).region(REGION, tables(5)).region(OTHER_REGION, tables(4))]);
    let settings = |exclude: &str, regions: &str| {
        let target = format!("[[target]]\nname = \"hub\"\nregions = [{regions}]\n");
        format!("exclude = [{exclude}]\n{target}{}", sink(&world, "audit", ""))
    };
    let (one, both) = (format!("\"{REGION}\""), format!("\"{REGION}\", \"{OTHER_REGION}\""));
    world.crawl_with(&settings("", &both)).await;
    assert_eq!(deliver(&world, &settings("", &both)).await, []);
    let before = events(&world, "audit").len();
    // Three tables of the other Region are left out before the Region is. The last table is selected again before
    // the sink is there, so the sink gets it as a table only.
    world.crawl_with(&settings("\"table-00000[0-2]\", \"table-000004\"", &both)).await;
    let last = settings("\"table-00000[0-2]\"", &one);
    world.crawl_with(&last).await;
    State::open(Path::new(&world.path("state.db"))).and_then(|mut state| state.set_behind("audit")).expect("written");
    assert_eq!(deliver(&world, &last).await, []);
    let arrived = events(&world, "audit").split_off(before);
    let expected = [
        format!("table_unselected {}", table(0)),
        format!("table_unselected {}", table(1)),
        format!("table_unselected {}", table(2)),
        "scope_retired".to_owned(),
        format!("table {}", table(3)),
        format!("table {}", table(4)),
    ];
    assert_eq!(kinds(&arrived), expected);
    assert_eq!(arrived[0]["rule"]["pattern"], "table-00000[0-2]");
    assert_eq!(arrived[0]["table_before"]["name"], table(0));
    assert_eq!((&arrived[3]["scope"]["region"], &arrived[3]["table_count"]), (&OTHER_REGION.into(), &1.into()));
    // The Region is back without one of its tables, which the sink must not keep.
    assert!(world.simulator.remove_table(HUB, OTHER_REGION, &table(3)).expect("a scope"));
    let back = settings("\"table-00000[0-1]\"", &both);
    world.crawl_with(&back).await;
    State::open(Path::new(&world.path("state.db"))).and_then(|mut state| state.set_behind("audit")).expect("written");
    assert_eq!(deliver(&world, &back).await, []);
    let again = events(&world, "audit").split_off(before + arrived.len());
    let expected = [
        format!("table_unselected {}", table(0)),
        format!("table_unselected {}", table(1)),
        "scope_retired".to_owned(),
        format!("table {}", table(2)),
        format!("table {}", table(2)),
        format!("table {}", table(3)),
        format!("table {}", table(4)),
        format!("table_removed {}", table(3)),
    ];
    assert_eq!(kinds(&again), expected);
    assert_eq!(again.last().expect("an event")["scope"]["region"], OTHER_REGION);
}

/// Delivers until a file has some events, as before a kill.
async fn deliver_until_killed(world: &World, settings: &str, name: &str, count: usize) {
    tokio::select! {
        _ = deliver(world, settings) => {}
        () = async {
            while events(world, name).len() < count {
                tokio::task::yield_now().await;
            }
        } => {}
    }
    // The thread that works with the state may still have it.
    while State::open(Path::new(&world.path("state.db"))).is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn tables_that_are_sent_again_after_a_kill_have_the_same_ids() {
    for killed_after in [1, 3, 5] {
        let world = World::new(7);
        world.crawl().await;
        let settings = sink(&world, "audit", "start = \"snapshot\"\n");
        world.crawl_with(&settings).await;
        deliver_until_killed(&world, &settings, "audit", killed_after).await;
        assert_eq!(deliver(&world, &settings).await, []);
        let mut by_id = BTreeMap::new();
        for event in events(&world, "audit") {
            let id = event["event_id"].as_str().expect("an id").to_owned();
            assert_eq!(*by_id.entry(id).or_insert_with(|| event.clone()), event);
        }
        assert_eq!(by_id.len(), 7, "each table has one id");
    }
}

#[tokio::test(start_paused = true)]
async fn a_replay_since_a_time_comes_after_what_is_owed_and_continues_after_a_kill() {
    let world = World::new(7);
    let settings = sink(&world, "audit", "");
    let at = |millis: i64| Timestamp::from_millis(millis).expect("a time");
    let again = |since: Timestamp| {
        let mut state = State::open(Path::new(&world.path("state.db"))).expect("a state");
        assert!(dynacrawl_engine::replay(&mut state, "audit", Some(since)).expect("written"));
    };
    world.crawl_with(&settings).await;
    assert_eq!(deliver(&world, &settings).await, []);
    let before = events(&world, "audit").len();
    world.edit(&table(3), |table| table["DeletionProtectionEnabled"] = false.into());
    world.crawl_with(&settings).await;
    again(at(1_000));
    deliver_until_killed(&world, &settings, "audit", before + 3 + 3).await;
    // A later time is a part of what is in progress, which continues. An earlier one is not.
    again(at(2_000));
    deliver_until_killed(&world, &settings, "audit", before + 3 + 5).await;
    again(at(2_000));
    assert_eq!(deliver(&world, &settings).await, []);
    let arrived = events(&world, "audit").split_off(before);
    let owed = [format!("table_changed {}", table(3)), "scope_completed".to_owned(), "run_completed".to_owned()];
    assert_eq!(kinds(&arrived[..3]), owed);
    assert!(kinds(&arrived[3..]).iter().all(|kind| kind.starts_with("table ")));
    assert_eq!(ids(&arrived[3..]).into_iter().collect::<BTreeSet<_>>().len(), 7, "it began once");
    let before = events(&world, "audit").len();
    again(at(2_000));
    again(at(1_000));
    assert_eq!(deliver(&world, &settings).await, []);
    assert_eq!(events(&world, "audit").len(), before + 7, "the earlier time replaces the later one");
    let mut state = State::open(Path::new(&world.path("state.db"))).expect("a state");
    assert!(!dynacrawl_engine::replay(&mut state, "unknown", None).expect("read"));
}

/// A second replay is another one: a consumer that drops ids that it knows must not drop it.
#[tokio::test(start_paused = true)]
async fn each_replay_has_its_own_ids() {
    let world = World::new(3);
    let settings = sink(&world, "audit", "");
    world.crawl_with(&settings).await;
    assert_eq!(deliver(&world, &settings).await, []);
    for _ in 0..2 {
        State::open(Path::new(&world.path("state.db")))
            .and_then(|mut state| state.set_behind("audit"))
            .expect("written");
        assert_eq!(deliver(&world, &settings).await, []);
    }
    let replayed = events(&world, "audit").split_off(3 + 2);
    assert_eq!((replayed.len(), ids(&replayed).into_iter().collect::<BTreeSet<_>>().len()), (6, 6));
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_begins_anew_in_the_middle_still_gets_the_removals() {
    let world = World::new(9);
    let settings = sink(&world, "audit", "");
    world.crawl_with(&settings).await;
    assert_eq!(deliver(&world, &settings).await, []);
    world.remove(0..1);
    world.crawl_with(&settings).await;
    let day = 24 * 3_600_000_i64;
    let old = format!(
        "UPDATE sinks SET delivered_at = delivered_at - 60 * {day}; UPDATE tables SET changed_at = changed_at - 40 * {day} \
         WHERE status = 'removed'; DELETE FROM outbox"
    );
    state(&world).execute_batch(&old).expect("written");
    let behind = || {
        State::open(Path::new(&world.path("state.db")))
            .and_then(|mut state| state.set_behind("audit"))
            .expect("written");
    };
    behind();
    let before = events(&world, "audit").len();
    deliver_until_killed(&world, &settings, "audit", before + 2).await;
    behind();
    assert_eq!(deliver(&world, &settings).await, []);
    let last = events(&world, "audit").pop().expect("an event");
    assert_eq!(kinds(&[last]), [format!("table_removed {}", table(0))]);
}

#[tokio::test(start_paused = true)]
async fn a_sink_whose_filter_leaves_out_tables_gets_them_as_added() {
    let world = World::new(3);
    let settings = sink(&world, "audit", "records = [\"table_added\", \"table_removed\"]\n");
    world.crawl_with(&settings).await;
    assert_eq!(deliver(&world, &settings).await, []);
    State::open(Path::new(&world.path("state.db"))).and_then(|mut state| state.set_behind("audit")).expect("written");
    assert_eq!(deliver(&world, &settings).await, []);
    let added = [0, 1, 2].map(|number| format!("table_added {}", table(number)));
    assert_eq!(kinds(&events(&world, "audit")), [added.clone(), added].concat());
}

/// In version 8, sinks of events had no place, and did not count as synced. A daemon delivers before it crawls.
#[tokio::test(start_paused = true)]
async fn a_sink_of_an_earlier_version_continues_where_it_was() {
    let world = World::new(3);
    let settings = sink(&world, "audit", "start = \"snapshot\"\n");
    world.crawl_with(&sink(&world, "audit", "")).await;
    let earlier = "UPDATE sinks SET is_synced = 0, place = NULL; DROP INDEX outbox_about; \
                   ALTER TABLE outbox DROP COLUMN about; ALTER TABLE table_stats DROP COLUMN parts; ALTER TABLE staged DROP COLUMN parts; \
                   ALTER TABLE table_stats DROP COLUMN digest; ALTER TABLE staged DROP COLUMN digest; \
                   ALTER TABLE outbox DROP COLUMN waiting_seq; \
                   ALTER TABLE outbox DROP COLUMN waiting_since; PRAGMA user_version = 8";
    state(&world).execute_batch(earlier).expect("written");
    assert_eq!(deliver(&world, &settings).await, []);
    world.crawl_with(&settings).await;
    assert_eq!(deliver(&world, &settings).await, []);
    assert!(!kinds(&events(&world, "audit")).iter().any(|kind| kind.starts_with("table ")));
    assert_eq!(events(&world, "audit").len(), 3 + 2 + 2);
}

/// What a sink does while it begins anew must not count.
#[test]
fn a_step_that_a_replay_overtakes_stores_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut state = State::open(&directory.path().join("state.db")).expect("a state");
    let place = SinkPlace { name: "audit".to_owned(), place: None, starts_now: false };
    state.set_sinks(&[place]).expect("written");
    let begun = SinkProgress { progress: Some("first page".to_owned()), ..SinkProgress::default() };
    assert!(state.set_progress("audit", None, &begun).expect("written"));
    state.set_behind("audit").expect("written");
    let end = state.sink_sync("audit").expect("read").expect("it is there").end;
    let ended = SinkProgress { taken: true, synced_up_to: Some(end), ..SinkProgress::default() };
    assert!(!state.set_progress("audit", Some("first page"), &ended).expect("written"));
    assert!(!state.sink_sync("audit").expect("read").expect("it is there").is_synced);
    assert!(state.set_progress("audit", None, &ended).expect("written"));
    assert!(state.sink_sync("audit").expect("read").expect("it is there").is_synced);
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
