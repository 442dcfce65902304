//! Sinks: settled runs are delivered, whatever happens to the destinations.

use std::fs;

use serde_json::Value;

use crate::command::Dynacrawl;
use crate::daemon::{Place, keyed, target};
use crate::support::{HOME, IRELAND, eventually, ireland};

/// The events of a file, by type.
fn types(text: &str) -> Vec<String> {
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    lines
        .map(|event| {
            assert!(event["event_id"].as_str().is_some_and(|id| id.len() == 26), "{event}");
            event["type"].as_str().expect("a type").to_owned()
        })
        .collect()
}

/// A place whose sink has its file in a separate directory.
fn with_sink() -> (Place, std::path::PathBuf) {
    let mut place = Place::new();
    let file = place.path("away").join("events.jsonl");
    place.crawl = "deliver_within = \"1s\"\n".to_owned();
    place.rest += &format!("[sink.audit.file]\npath = \"{}\"\n", file.display());
    (place, file)
}

#[test]
fn a_crawl_waits_for_its_sinks_and_keeps_undelivered_events() {
    let (sim, home) = ireland(3);
    let (place, file) = with_sink();
    let crawl = || keyed(Dynacrawl::crawl().config(&place.config()).secret_env("TOKEN", "x"), &sim, &home).run();
    let ended = crawl();
    assert_eq!(ended.code(), 5, "{}", ended.stderr);
    assert!(ended.stderr.contains("audit (5 events)") && ended.stderr.contains("deliver_within"), "{}", ended.stderr);
    assert!(ended.stderr.contains("away/events.jsonl"), "{}", ended.stderr);
    assert!(place.has_output(), "the crawl itself succeeded");

    fs::create_dir(place.path("away")).expect("made");
    let ended = crawl();
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    let events = types(&fs::read_to_string(&file).expect("events"));
    let end = ["scope_completed", "run_completed"];
    assert_eq!(events[..3], ["table_added"; 3]);
    assert_eq!((&events[3..5], &events[5..]), (&end.map(str::to_owned)[..], &end.map(str::to_owned)[..]));
    assert_eq!(place.rows("outbox"), 0);
}

#[test]
fn the_daemon_delivers_between_runs_and_after_a_restart() {
    let (sim, home) = ireland(3);
    let (place, file) = with_sink();
    let daemon = place.daemon(&sim, &home);
    daemon.crawl("{}");
    assert_eq!(place.rows("outbox"), 5);
    let metrics = daemon.metrics();
    assert_eq!(metrics.value("dynacrawl_sink_lag_events", &[("sink", "audit")]), 5.0);
    assert_eq!(metrics.value("dynacrawl_sink_last_success_timestamp_seconds", &[("sink", "audit")]), 0.0);
    assert!(metrics.value("dynacrawl_sink_owed_since_timestamp_seconds", &[("sink", "audit")]) > 1e9);
    daemon.kill();
    fs::create_dir(place.path("away")).expect("made");
    let daemon = place.daemon(&sim, &home);
    eventually("it is delivered", || place.rows("outbox") == 0);
    assert_eq!(types(&fs::read_to_string(&file).expect("events")).len(), 5);
    let delivered = [("sink", "audit"), ("result", "delivered")];
    eventually("it is counted", || daemon.metrics().value("dynacrawl_sink_events_total", &delivered) == 5.0);
    daemon.stop();
}

#[test]
fn a_check_tries_the_sinks() {
    let (sim, home) = ireland(1);
    let (place, _) = with_sink();
    let check = || keyed(Dynacrawl::new("check").config(&place.config()).secret_env("TOKEN", "x"), &sim, &home).run();
    let ended = check();
    assert_eq!(ended.code(), 5);
    assert!(ended.stdout.contains("away/events.jsonl") && ended.stdout.contains("sink.audit"), "{}", ended.stdout);
    fs::create_dir(place.path("away")).expect("made");
    let ended = check();
    assert_eq!(ended.code(), 0, "{}", ended.stdout);
    assert!(!place.path("away").join("events.jsonl").exists(), "nothing is made");
}

#[test]
fn without_a_state_tables_are_delivered_during_the_run() {
    let (sim, home) = ireland(3);
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("events.jsonl");
    let config = format!("[sink.audit.file]\npath = \"{}\"\n{}", file.display(), target("home", &[IRELAND]));
    let ended = keyed(Dynacrawl::crawl().config(&config), &sim, &home).run();
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    let events = types(&fs::read_to_string(&file).expect("events"));
    assert_eq!(events, ["table", "table", "table", "scope_completed", "run_completed"]);
    assert!(fs::read_to_string(&file).expect("events").contains(HOME));
}
