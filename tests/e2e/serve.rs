//! The daemon starts runs by schedule or on request, one after the other, and resumes interrupted
//! ones.

use std::time::{Duration, Instant};

use dynacrawl_sim::{Account, DemoAccount, Denial, Effect, Estate, FaultRule, Operation, Simulator, Tables};
use serde_json::{Value, json};

use crate::contract;
use crate::daemon::{Daemon, Place, millis, names, not_now, only, schedule, target};
use crate::support::{HOME, IRELAND, VIRGINIA, eventually, ireland, simulate};

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// A Region whose last table does not answer until the fault is removed.
fn held_up(tables: u64) -> (Simulator, DemoAccount) {
    let (sim, home) = ireland(tables);
    hold_up(&sim, tables - 1);
    (sim, home)
}

fn hold_up(sim: &Simulator, table: u64) {
    let slow = FaultRule::new(Effect::Delay(Duration::from_secs(600))).operation(Operation::DescribeTable);
    sim.add_fault(slow.table(format!("table-{table:06}")));
}

/// Waits until this many tables are committed.
fn committed(place: &Place, tables: i64) {
    eventually("the tables are committed", || place.has(tables, "staged WHERE type = 'table_added'"));
}

/// Sets the time at which a schedule was last due.
fn was_due(place: &Place, name: &str, ago: Duration) {
    place.write(&format!("INSERT OR REPLACE INTO schedules VALUES ('{name}', {})", millis(ago)));
}

#[test]
fn all_times_that_a_schedule_missed_are_one_run_at_the_start() {
    let (sim, home) = ireland(3);
    let mut place = Place::new();
    place.rest += &schedule("often", &not_now());
    // A requested run starts after all runs that are due at the start.
    let start = |expected: f64| {
        let daemon = place.daemon(&sim, &home);
        let asked = daemon.post("{}");
        assert_eq!(asked.status, 202);
        daemon.wait_for_runs(expected);
        daemon.stop();
    };
    // A schedule that is new to the state has missed nothing. The next start knows the schedule.
    start(1.0);
    assert_eq!((place.rows("runs WHERE schedule IS NOT NULL"), place.rows("schedules")), (0, 1));
    was_due(&place, "often", YEAR);
    start(2.0);
    assert_eq!((place.rows("runs"), place.rows("runs WHERE schedule = 'often'")), (3, 1));
    start(1.0);
    assert_eq!((place.rows("runs"), place.rows("runs WHERE schedule = 'often'")), (4, 1));
}

#[test]
fn a_missed_run_has_the_targets_of_its_schedule() {
    let home = Account::new(HOME).region(IRELAND, Tables::new().generated(3));
    let home = home.region(VIRGINIA, Tables::new().generated(4));
    let access = home.access("home");
    let sim = simulate(Estate::new([home]));
    let mut place = Place::new();
    place.rest += &target("away", &[VIRGINIA]);
    place.rest += &format!("{}targets = [\"away\"]\n", schedule("part", &not_now()));
    place.daemon(&sim, &access).stop();
    was_due(&place, "part", YEAR);
    let daemon = place.daemon(&sim, &access);
    daemon.wait_for_runs(1.0);
    assert_eq!(names(&place.records(), "table").len(), 4);
    assert_eq!(sim.counts().of(HOME, IRELAND, Operation::ListTables).requests, 0);
    assert_eq!(place.rows("runs WHERE schedule = 'part' AND targets = '[\"away\"]'"), 1);
    daemon.stop();
}

#[test]
fn run_at_start_is_one_run_also_if_one_was_missed() {
    let (sim, home) = ireland(3);
    let mut place = Place::new();
    place.rest += &schedule("often", &not_now());
    place.serve = "run_at_start = true\n".to_owned();
    let daemon = place.daemon(&sim, &home);
    daemon.wait_for_runs(1.0);
    daemon.stop();
    was_due(&place, "often", YEAR);
    let daemon = place.daemon(&sim, &home);
    daemon.wait_for_runs(1.0);
    daemon.crawl("{}");
    daemon.stop();
    assert_eq!(place.rows("runs"), 3);
}

#[test]
fn runs_never_overlap_and_requests_meanwhile_are_one_more_run() {
    let (sim, home) = ireland(10);
    sim.set_latency(HOME, IRELAND, Duration::from_millis(300)).expect("the Region is there");
    let mut place = Place::new();
    place.output = "-".to_owned();
    place.crawl = "requests = 1\n".to_owned();
    place.emit = "changes";
    let daemon = place.daemon(&sim, &home);
    let status = |body: &str| serde_json::from_str::<Value>(&daemon.post(body).body).expect("JSON")["status"].clone();
    assert_eq!(status("{}"), "started");
    eventually("it is under way", || sim.counts().requests(Operation::DescribeTable) > 0);
    assert_eq!(daemon.metrics().value("dynacrawl_run_in_progress", &[]), 1.0);
    for _ in 0..4 {
        assert_eq!(status("{}"), "queued");
    }
    // A request with the same scope in another form is a separate run, and waits as well.
    assert_eq!(status(r#"{"targets":["home"]}"#), "queued");
    eventually("they wait", || daemon.metrics().value("dynacrawl_queue_depth", &[("queue", "runs")]) == 2.0);
    daemon.wait_for_runs(3.0);
    let ended = daemon.stop();
    let records = contract::lines(&ended.stdout);
    let of_runs = records.iter().filter(|record| record["type"].as_str().is_some_and(|kind| kind.starts_with("run_")));
    let order: Vec<_> = of_runs.map(|record| (record["type"].clone(), record["run_id"].clone())).collect();
    assert_eq!(order.len(), 6, "{order:?}");
    for run in order.chunks(2) {
        assert_eq!((&run[0].0, &run[1].0), (&json!("run_started"), &json!("run_completed")));
        assert_eq!(run[0].1, run[1].1);
    }
    let counts = sim.counts();
    assert_eq!(
        (counts.requests(Operation::ListTables), counts.requests(Operation::DescribeTable), counts.peak_concurrent),
        (3, 30, 1)
    );
}

#[test]
fn a_daemon_that_is_idle_ends_at_once() {
    let (sim, home) = ireland(1);
    let place = Place::new();
    for signal in ["TERM", "INT"] {
        let daemon = place.daemon(&sim, &home);
        let asked = Instant::now();
        daemon.running.signal(signal);
        assert_eq!(daemon.running.end().code(), 0);
        assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    }
    assert_eq!(sim.counts().total.requests, 0);
}

#[test]
fn an_interrupted_run_is_drained_and_resumed_by_the_next_start() {
    let (sim, home) = held_up(150);
    let mut place = Place::new();
    place.crawl = "grace = \"2s\"\n".to_owned();
    let daemon = place.daemon(&sim, &home);
    assert_eq!(daemon.get("/readyz").status, 200);
    daemon.post("{}");
    committed(&place, 149);
    daemon.running.signal("TERM");
    eventually("it is not ready any more", || daemon.get("/readyz").status == 503);
    assert_eq!((daemon.get("/healthz").status, daemon.post("{}").status), (200, 503));
    assert_eq!(daemon.running.end().code(), 130);
    assert!(!place.has_output());
    let partial = contract::lines(&place.partial().expect("it is there"));
    sim.clear_faults();
    sim.reset_counts();
    let daemon = place.daemon(&sim, &home);
    daemon.wait_for_runs(1.0);
    let records = contract::check(&place.text(), 0, "");
    assert_eq!(records[0]["run_id"], partial[0]["run_id"]);
    for kind in ["table", "table_added"] {
        assert_eq!(names(&records, kind), sim.table_names(HOME, IRELAND), "{kind}");
    }
    assert_eq!(sim.counts().requests(Operation::DescribeTable), 1, "committed tables are not requested again");
    daemon.stop();
    assert_eq!(place.rows("runs"), 1);
}

#[test]
fn a_second_signal_ends_at_once() {
    let (sim, home) = held_up(5);
    let mut place = Place::new();
    place.crawl = "grace = \"10m\"\n".to_owned();
    let daemon = place.daemon(&sim, &home);
    daemon.post("{}");
    eventually("it is under way", || sim.counts().requests(Operation::DescribeTable) == 5);
    daemon.running.signal("TERM");
    daemon.running.wait_for_message("a second signal stops at once");
    let asked = Instant::now();
    daemon.running.signal("TERM");
    assert_eq!(daemon.running.end().code(), 130);
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
}

#[test]
fn a_killed_run_is_resumed_at_the_start_with_its_targets() {
    let home = Account::new(HOME).region(IRELAND, Tables::new().generated(120));
    let home = home.region(VIRGINIA, Tables::new().generated(5));
    let access = home.access("home");
    let sim = simulate(Estate::new([home]));
    hold_up(&sim, 119);
    let mut place = Place::new();
    place.rest += &target("away", &[VIRGINIA]);
    let daemon = place.daemon(&sim, &access);
    daemon.post(r#"{"targets":["home"]}"#);
    committed(&place, 119);
    assert!(daemon.kill().status.code().is_none());
    sim.clear_faults();
    let daemon = place.daemon(&sim, &access);
    daemon.wait_for_runs(1.0);
    let records = contract::check(&place.text(), 0, "");
    assert_eq!(names(&records, "table_added"), sim.table_names(HOME, IRELAND));
    assert_eq!(
        sim.counts().of(HOME, VIRGINIA, Operation::ListTables).requests,
        0,
        "the other target was not requested"
    );
    daemon.crawl("{}");
    assert_eq!(names(&place.records(), "table_added").len(), 5);
    daemon.stop();
    assert_eq!(place.rows("runs"), 2);
}

#[test]
fn a_killed_scheduled_run_is_resumed_and_does_not_run_twice() {
    let (sim, home) = held_up(40);
    let mut place = Place::new();
    place.rest += &schedule("often", &not_now());
    place.daemon(&sim, &home).stop();
    was_due(&place, "often", YEAR);
    let daemon = place.daemon(&sim, &home);
    committed(&place, 39);
    daemon.kill();
    sim.clear_faults();
    let daemon = place.daemon(&sim, &home);
    daemon.wait_for_runs(1.0);
    daemon.crawl("{}");
    daemon.stop();
    assert_eq!((place.rows("runs"), place.rows("runs WHERE schedule = 'often' AND outcome = 'complete'")), (2, 1));
}

#[test]
fn a_killed_scheduled_run_starts_again_after_a_changed_config() {
    let (sim, home) = held_up(40);
    let mut place = Place::new();
    place.rest += &schedule("often", &not_now());
    place.daemon(&sim, &home).stop();
    was_due(&place, "often", YEAR);
    let daemon = place.daemon(&sim, &home);
    committed(&place, 39);
    daemon.kill();
    place.crawl = "exclude = [\"table-000039\"]\n".to_owned();
    let daemon = place.daemon(&sim, &home);
    daemon.running.wait_for_message("starting a new run");
    daemon.wait_for_runs(1.0);
    daemon.stop();
    assert_eq!(names(&contract::check(&place.text(), 0, ""), "table_added").len(), 39);
    let outcomes = |outcome: &str| place.rows(&format!("runs WHERE schedule = 'often' AND outcome = '{outcome}'"));
    assert_eq!((outcomes("abandoned"), outcomes("complete"), place.rows("runs")), (1, 1, 2));
}

#[test]
fn a_scheduled_run_that_waits_when_the_daemon_ends_is_not_lost() {
    let home = Account::new(HOME).region(IRELAND, Tables::new().generated(20));
    let home = home.region(VIRGINIA, Tables::new().generated(5));
    let access = home.access("home");
    let sim = simulate(Estate::new([home]));
    let mut place = Place::new();
    place.crawl = "grace = \"1s\"\n".to_owned();
    place.rest += &target("away", &[VIRGINIA]);
    place.rest += &format!("{}targets = [\"home\"]\n", schedule("one", &not_now()));
    place.rest += &format!("{}targets = [\"away\"]\n", schedule("other", &not_now()));
    place.daemon(&sim, &access).stop();
    was_due(&place, "one", YEAR);
    was_due(&place, "other", YEAR);
    hold_up(&sim, 19);
    let daemon = place.daemon(&sim, &access);
    eventually("the other one waits", || daemon.metrics().value("dynacrawl_queue_depth", &[("queue", "runs")]) == 1.0);
    daemon.running.signal("TERM");
    assert_eq!(daemon.running.end().code(), 130);
    sim.clear_faults();
    let daemon = place.daemon(&sim, &access);
    eventually("the one under way has ended, and perhaps the other one", || daemon.runs() >= 1.0);
    // It starts after all runs that are due at the start.
    daemon.post("{}");
    eventually("it has ended", || place.has(1, "runs WHERE schedule IS NULL AND outcome = 'complete'"));
    let done = |name: &str| place.rows(&format!("runs WHERE schedule = '{name}' AND outcome = 'complete'"));
    assert_eq!((done("one"), done("other")), (1, 1));
    drop(daemon.kill());
}

#[test]
fn killed_at_any_moment_the_daemon_writes_the_output_of_one_run() {
    for seed in 0..5 {
        let (sim, home) = ireland(200);
        sim.set_latency(HOME, IRELAND, Duration::from_millis(3)).expect("the Region is there");
        let mut random = fastrand::Rng::with_seed(seed);
        let mut place = Place::new();
        place.crawl = "concurrency = 8\n".to_owned();
        let daemon = place.daemon(&sim, &home);
        daemon.post("{}");
        let asked = |more: u64| {
            let enough = sim.counts().total.requests + more;
            eventually("enough requests, or its end", || {
                sim.counts().total.requests >= enough || place.has(1, "runs WHERE outcome IS NOT NULL")
            });
        };
        asked(random.u64(1..200));
        daemon.kill();
        for _ in 0..random.u32(0..3) {
            let daemon = place.daemon(&sim, &home);
            asked(random.u64(1..100));
            daemon.kill();
        }
        let daemon = place.daemon(&sim, &home);
        eventually("the run has ended", || place.has(1, "runs WHERE outcome = 'complete'"));
        let records = contract::check(&place.text(), 0, "");
        for kind in ["table", "table_added"] {
            assert_eq!(names(&records, kind), sim.table_names(HOME, IRELAND), "{kind}, seed {seed}");
        }
        assert_eq!(only(&records, "scope_completed")["change_counts"]["added"], 200);
        drop(daemon.kill());
        assert_eq!(place.rows("runs"), 1, "seed {seed}");
    }
}

#[test]
fn log_messages_can_be_json_and_names_from_outside_are_escaped() {
    let (sim, home) = ireland(3);
    let mut place = Place::new();
    place.rest = target("home\\u001b[31m", &[IRELAND]) + &schedule("night\\nly\\u001b[2J", &not_now());
    place.daemon(&sim, &home).stop();
    for format in ["json", "text"] {
        place.write(&format!("UPDATE schedules SET last_at = {}", millis(YEAR)));
        sim.deny(Denial::new(HOME, Operation::DescribeTable).table("table-000001"));
        let daemon = Daemon::of(place.serve(&sim, &home).args(["--log-format", format]));
        daemon.wait_for_runs(1.0);
        let ended = daemon.stop();
        assert!(!ended.stderr.contains('\u{1b}'), "{}", ended.stderr);
        assert!(ended.stderr.contains("table-000001") && ended.stderr.contains("night"), "{}", ended.stderr);
        if format == "json" {
            for line in ended.stderr.lines() {
                let entry: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
                assert!(entry["level"].is_string() && entry["message"].is_string(), "{line}");
            }
        }
    }
}

#[test]
fn a_closed_standard_output_ends_the_daemon() {
    let (sim, home) = ireland(5);
    let mut place = Place::new();
    place.output = "-".to_owned();
    let mut daemon: Daemon = place.daemon(&sim, &home);
    daemon.running.close_stdout();
    daemon.post("{}");
    daemon.running.end().fails_with(5, "the reader of the output has gone away");
}
