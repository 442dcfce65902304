//! The HTTP endpoints of the daemon, and who may use them.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use dynacrawl_sim::{Account, Denial, Effect, Estate, FaultRule, Operation, Simulator, Tables};
use serde_json::{Value, json};

use crate::command::Dynacrawl;
use crate::daemon::{Daemon, Place, TOKEN, keyed, millis, names, not_now, only, schedule, target};
use crate::prometheus::Page;
use crate::support::{HOME, IRELAND, VIRGINIA, eventually, ireland, simulate};

const RUNS: &str = "/api/v1/runs";
const HOME_IRELAND: &str = "111122223333/eu-west-1";

/// The error message of a refused request.
#[track_caller]
fn refused(daemon: &Daemon, status: u16, body: &str) -> String {
    let answer = daemon.post(body);
    assert_eq!(answer.status, status, "{body}: {}", answer.body);
    let error: Value = serde_json::from_str(&answer.body).expect("JSON");
    error["error"].as_str().expect("a text").to_owned()
}

#[test]
fn only_the_token_starts_a_run() {
    let (sim, home) = ireland(3);
    let place = Place::new();
    let daemon = place.daemon(&sim, &home);
    let ask = |authorization: &[&str]| {
        let headers: Vec<_> = authorization.iter().map(|value| ("Authorization", *value)).collect();
        daemon.ask("POST", RUNS, &headers, "{}")
    };
    let with = |scheme: &str| format!("{scheme}{TOKEN}");
    let almost = &TOKEN[..TOKEN.len() - 1];
    assert!(ask(&[]).head.contains("www-authenticate: bearer"));
    for wrong in
        ["", "Bearer", "Bearer ", "Bearer wrong", &with(""), &with("Basic "), &with("Token "), &with("Bearer x")]
    {
        assert_eq!(ask(&[wrong]).status, 401, "{wrong}");
    }
    for wrong in [format!("Bearer {almost}"), format!("Bearer {TOKEN}x"), format!("Bearer {TOKEN} x")] {
        assert_eq!(ask(&[&wrong]).status, 401, "{wrong}");
    }
    // The first header counts, so that the daemon and a proxy before it use the same one.
    assert_eq!(ask(&["Bearer wrong", &with("Bearer ")]).status, 401);
    assert_eq!(daemon.ask("POST", &format!("{RUNS}?token={TOKEN}"), &[], "{}").status, 401);
    assert_eq!(sim.counts().total.requests, 0);
    for (number, right) in ["Bearer ", "bearer ", "BEARER  "].into_iter().enumerate() {
        assert_eq!(ask(&[&with(right)]).status, 202, "{right}");
        daemon.wait_for_runs(number as f64 + 1.0);
    }
    assert!(!daemon.get("/metrics").body.contains(TOKEN));
    // `stop` also checks standard output and standard error.
    daemon.stop();
    for bytes in [fs::read(place.state()).expect("it is there"), place.text().into_bytes()] {
        assert!(!bytes.windows(TOKEN.len()).any(|window| window == TOKEN.as_bytes()), "the token is in a file");
    }
}

#[test]
fn without_a_configured_token_nobody_can_start_a_run() {
    let (sim, home) = ireland(3);
    let place = Place::new();
    let config = place.config().replace("token = { env = \"TOKEN\" }\n", "");
    let daemon = Daemon::of(keyed(Dynacrawl::new("serve").config(&config), &sim, &home));
    assert!(refused(&daemon, 403, "{}").contains("serve.token"));
    assert_eq!(daemon.ask("POST", RUNS, &[("authorization", "Bearer ")], "").status, 403);
    assert_eq!(daemon.get("/readyz").status, 200);
    daemon.stop();
    assert_eq!(sim.counts().total.requests, 0);
}

#[test]
fn an_invalid_request_is_refused_with_the_reason() {
    let (sim, home) = ireland(3);
    let mut place = Place::new();
    place.rest += &target("away", &[VIRGINIA]);
    let daemon = place.daemon(&sim, &home);
    for (body, expected) in [
        (r#"{"targets":["abroad"]}"#, vec!["targets", "'abroad'", "home, away"]),
        (r#"{"targets":["home\u001b[31m"]}"#, vec!["targets", "home, away"]),
        (r#"{"targets":[]}"#, vec!["targets", "home, away"]),
        (r#"{"targets":"home"}"#, vec!["body"]),
        (r#"{"accept_removals":["eu-west-1"]}"#, vec!["accept_removals", "'eu-west-1'", "123456789012/eu-west-1"]),
        (r#"{"accept_removals":["12/eu-west-1"]}"#, vec!["accept_removals", "123456789012/eu-west-1"]),
        (r#"{"target":["home"]}"#, vec!["target", "targets"]),
        ("run", vec!["body"]),
        ("[]x", vec!["body"]),
        ("\"home\"", vec!["body"]),
        ("{\"targets\":[\"home\"]", vec!["body"]),
    ] {
        let got = refused(&daemon, 400, body);
        assert!(expected.iter().all(|text| got.contains(text)) && !got.contains('\u{1b}'), "{body}: {got}");
    }
    assert_eq!(daemon.post(&" ".repeat(64 * 1024 + 1)).status, 413);
    assert_eq!(daemon.get(RUNS).status, 405);
    assert_eq!(daemon.ask("DELETE", RUNS, &[], "").status, 405);
    assert_eq!(daemon.ask("POST", "/metrics", &[], "").status, 405);
    assert_eq!((daemon.get("/").status, daemon.get("/api/v1").status), (404, 404));
    assert_eq!((daemon.runs(), sim.counts().total.requests), (0.0, 0));
    // An empty body equals an empty object, and a body of the maximum size is accepted.
    daemon.crawl(r#"{"targets":["home"]}"#);
    assert_eq!(sim.counts().of(HOME, VIRGINIA, Operation::ListTables).requests, 0);
    assert_eq!(daemon.post(&" ".repeat(64 * 1024)).status, 202);
    daemon.wait_for_runs(2.0);
    daemon.stop();
}

#[test]
fn silent_clients_delay_neither_others_nor_the_shutdown() {
    let (sim, home) = ireland(3);
    let place = Place::new();
    let daemon = place.daemon(&sim, &home);
    // More than are allowed at once. A new connection ends the oldest.
    let silent: Vec<_> = (0..100).map(|_| daemon.connect()).collect();
    assert_eq!(daemon.get("/healthz").status, 200);
    let more: Vec<_> = (0..20).map(|_| daemon.connect()).collect();
    let mut slow = daemon.connect();
    slow.write_all(b"POST /api/v1/runs HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\n{")
        .expect("it is sent");
    assert_eq!((daemon.get("/healthz").status, daemon.get("/readyz").status), (200, 200));
    daemon.crawl("{}");
    let asked = Instant::now();
    daemon.stop();
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    drop((silent, more, slow));
}

#[test]
fn only_allowed_host_names_are_answered() {
    let (sim, home) = ireland(3);
    let place = Place::serving("allowed_hosts = [\"dynacrawl.example.com\"]\n");
    let daemon = place.daemon(&sim, &home);
    let bearer = format!("Bearer {TOKEN}");
    let post = |host: &str| daemon.ask("POST", RUNS, &[("Host", host), ("Authorization", &bearer)], "{}");
    for host in ["evil.example", "evil.example:9464", "dynacrawl.example.com.evil.example"] {
        let answer = post(host);
        let error: Value = serde_json::from_str(&answer.body).expect("JSON");
        assert!(error["error"].as_str().is_some_and(|text| text.contains("serve.allowed_hosts")), "{error}");
        assert_eq!(answer.status, 421, "{host}");
    }
    assert_eq!(daemon.ask("GET", "/", &[("Host", "evil.example")], "").status, 421);
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(daemon.ask("GET", path, &[("Host", "evil.example")], "").status, 200, "{path}");
    }
    let mut silent = daemon.connect();
    let asked = format!("POST {RUNS} HTTP/1.1\r\nconnection: close\r\nauthorization: {bearer}\r\n\r\n");
    silent.write_all(asked.as_bytes()).expect("it is sent");
    let mut answer = String::new();
    silent.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("Host"), "{answer}");
    assert_eq!((daemon.runs(), sim.counts().total.requests), (0.0, 0));
    for (number, host) in ["Dynacrawl.Example.com:80", "[::1]:9464", "localhost", "10.0.0.1"].into_iter().enumerate() {
        assert_eq!(post(host).status, 202, "{host}");
        daemon.wait_for_runs(number as f64 + 1.0);
    }
    daemon.stop();
}

fn remove(sim: &Simulator, numbers: std::ops::Range<u64>) {
    for number in numbers {
        assert!(sim.remove_table(HOME, IRELAND, &format!("table-{number:06}")).expect("the Region is there"));
    }
}

/// Checks that the last run held this many removals.
#[track_caller]
fn held(place: &Place, daemon: &Daemon, count: u64) {
    let records = place.records();
    let scope =
        records.iter().find(|record| record["type"] == "scope_completed" && record["scope"]["region"] == IRELAND);
    let scope = scope.expect("it has ended");
    assert_eq!(names(&records, "table_removed").len(), 0);
    assert_eq!(
        (&scope["change_counts"]["held"], &scope["problems"][0]["code"]),
        (&json!(count), &json!("removals_held"))
    );
    assert!(scope["problems"][0]["message"].as_str().is_some_and(|message| message.contains(HOME_IRELAND)), "{scope}");
    assert_eq!(only(&records, "run_completed")["outcome"], "partial");
    assert_eq!(daemon.metrics().value("dynacrawl_removals_held", &[]), count as f64);
}

#[test]
fn accepted_removals_are_written_and_later_ones_held_again() {
    let (sim, home) = ireland(20);
    let place = Place::new();
    let daemon = place.daemon(&sim, &home);
    daemon.crawl("{}");
    remove(&sim, 0..10);
    daemon.crawl("{}");
    held(&place, &daemon, 10);
    // Accepting another scope has no effect.
    daemon.crawl(r#"{"accept_removals":["111122223333/us-east-1"]}"#);
    held(&place, &daemon, 10);
    daemon.crawl(&format!(r#"{{"accept_removals":["{HOME_IRELAND}"]}}"#));
    let records = place.records();
    assert_eq!(names(&records, "table_removed"), (0..10).map(|n| format!("table-{n:06}")).collect::<Vec<_>>());
    assert_eq!(only(&records, "run_completed")["outcome"], "complete");
    assert_eq!(daemon.metrics().value("dynacrawl_removals_held", &[]), 0.0);
    assert_eq!(daemon.metrics().value("dynacrawl_changes_total", &[("type", "table_removed")]), 10.0);
    remove(&sim, 10..18);
    daemon.crawl("{}");
    held(&place, &daemon, 8);
    daemon.stop();
}

#[test]
fn removals_accepted_at_startup_apply_to_one_run() {
    let home = Account::new(HOME).region(IRELAND, Tables::new().generated(20)).region(VIRGINIA, Tables::new());
    let access = home.access("home");
    let (sim, home) = (simulate(Estate::new([home])), access);
    let mut place = Place::new();
    place.rest += &target("away", &[VIRGINIA]);
    let daemon = place.daemon(&sim, &home);
    daemon.crawl("{}");
    daemon.stop();
    remove(&sim, 0..10);
    let daemon = Daemon::of(place.serve(&sim, &home).args(["--accept-removals", HOME_IRELAND]));
    // A run that does not reach the scope does not use up the acceptance.
    let failing = sim.add_fault(FaultRule::new(Effect::Deny).operation(Operation::ListTables));
    daemon.crawl("{}");
    sim.remove_fault(failing);
    daemon.crawl(r#"{"targets":["away"]}"#);
    daemon.crawl("{}");
    assert_eq!(names(&place.records(), "table_removed").len(), 10);
    remove(&sim, 10..18);
    daemon.crawl("{}");
    held(&place, &daemon, 8);
    daemon.stop();
}

#[test]
fn removals_accepted_during_a_run_apply_to_the_next_one() {
    let (sim, home) = ireland(20);
    let place = Place::new();
    let daemon = place.daemon(&sim, &home);
    daemon.crawl("{}");
    remove(&sim, 0..10);
    let slow = FaultRule::new(Effect::Delay(Duration::from_secs(2))).operation(Operation::ListTables);
    sim.add_fault(slow.first(1));
    sim.reset_counts();
    daemon.post("{}");
    eventually("it is under way", || sim.counts().requests(Operation::ListTables) > 0);
    daemon.post("{}");
    daemon.post(&format!(r#"{{"accept_removals":["{HOME_IRELAND}"]}}"#));
    daemon.wait_for_runs(3.0);
    assert_eq!(names(&place.records(), "table_removed").len(), 10);
    assert_eq!(daemon.ended("partial"), 1.0);
    daemon.stop();
}

#[test]
fn the_metrics_match_what_happened() {
    let (sim, home) = ireland(30);
    sim.deny(Denial::new(HOME, Operation::DescribeTable).table("nothing-like-it"));
    let mut place = Place::new();
    // A name that has to be escaped.
    place.rest += &format!("[[schedule]]\nname = 'a \"b\" \\ c'\ncron = \"{}\"\n", not_now());
    place.rest += &schedule("never-again", "0 0 29 2 *");
    place.rest += &format!("[sink.audit.file]\npath = \"{}\"\n", place.path("events.jsonl").display());
    let daemon = place.daemon(&sim, &home);
    assert_eq!(daemon.get("/healthz").status, 200);
    assert_eq!(daemon.ended("complete"), 0.0);
    daemon.crawl("{}");
    let delivered = "dynacrawl_sink_events_total";
    eventually("the sink has everything", || daemon.metrics().families.contains_key(delivered));
    let answer = daemon.get("/metrics");
    assert!(answer.head.contains("content-type: text/plain; version=0.0.4"), "{}", answer.head);
    let page = daemon.metrics();
    let now = millis(Duration::ZERO) as f64 / 1000.0;
    let recent = |name: &str, labels: &[(&str, &str)]| {
        let at = page.value(name, labels);
        assert!(at <= now && at > now - 60.0, "{name}: {at}, and now is {now}");
    };
    assert_eq!(page.value("dynacrawl_runs_total", &[("schedule", "manual"), ("outcome", "complete")]), 1.0);
    assert_eq!(page.value("dynacrawl_tables", &[]), 30.0);
    assert_eq!(page.value("dynacrawl_scopes", &[("outcome", "complete")]), 1.0);
    assert_eq!(page.sum("dynacrawl_scopes"), 1.0);
    assert_eq!(page.value("dynacrawl_changes_total", &[("type", "table_added")]), 30.0);
    assert_eq!(page.sum("dynacrawl_changes_total"), 30.0);
    assert_eq!(page.value("dynacrawl_run_in_progress", &[]), 0.0);
    assert_eq!(page.sum("dynacrawl_queue_depth"), 0.0);
    recent("dynacrawl_scope_last_complete_timestamp_seconds", &[("account_id", HOME), ("region", IRELAND)]);
    recent("dynacrawl_scopes_oldest_complete_timestamp_seconds", &[]);
    recent("dynacrawl_last_run_timestamp_seconds", &[("schedule", "manual")]);
    recent("dynacrawl_config_last_reload_success_timestamp_seconds", &[]);
    let counts = sim.counts();
    for operation in [Operation::ListTables, Operation::DescribeTable, Operation::GetCallerIdentity] {
        let name = format!("{operation:?}");
        let sent = counts.requests(operation) as f64;
        assert_eq!(
            page.value("dynacrawl_api_requests_total", &[("operation", &name), ("result", "ok")]),
            sent,
            "{name}"
        );
        assert_eq!(page.part("dynacrawl_api_request_duration_seconds", "_count", &[("operation", &name)]), sent);
    }
    for name in ["a \"b\" \\ c", "never-again"] {
        assert!(page.value("dynacrawl_schedule_next_run_timestamp_seconds", &[("schedule", name)]) > now, "{name}");
        assert_eq!(page.value("dynacrawl_schedule_last_begun_timestamp_seconds", &[("schedule", name)]), 0.0, "{name}");
    }
    as_documented(&page);
    daemon.stop();
}

/// Every documented metric is on the page with its type and labels, and every metric of dynacrawl
/// is documented.
fn as_documented(page: &Page) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/deploy/metrics.txt");
    let text = fs::read_to_string(file).expect("it is there");
    let mut documented = BTreeSet::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut words = line.split_whitespace();
        let (name, kind) = (words.next().expect("a name"), words.next().expect("a type"));
        let family = page.family(name);
        assert_eq!(family.kind, kind, "{name}");
        documented.insert(name);
        let labels: Vec<(&str, Option<Vec<&str>>)> = words
            .map(|label| {
                label.split_once('=').map_or((label, None), |(label, of)| (label, Some(of.split('|').collect())))
            })
            .collect();
        for series in family.samples.keys() {
            let names: BTreeSet<_> = series.labels.keys().map(String::as_str).filter(|label| *label != "le").collect();
            assert_eq!(names, labels.iter().map(|(label, _)| *label).collect(), "{name}");
            for (label, values) in labels.iter().filter_map(|(label, values)| Some((label, values.as_ref()?))) {
                assert!(values.contains(&series.labels[*label].as_str()), "{series:?}");
            }
        }
    }
    for (name, family) in page.families.iter().filter(|(name, _)| name.starts_with("dynacrawl_")) {
        assert!(documented.contains(name.as_str()), "{name} is not documented");
        assert!(family.help.is_some(), "{name} has no help");
    }
}

#[test]
fn failures_are_counted_by_their_kind() {
    let (sim, home) = ireland(10);
    sim.deny(Denial::new(HOME, Operation::DescribeTable).table("table-000001"));
    let throttled = FaultRule::new(Effect::Throttle).operation(Operation::DescribeTable).table("table-000002");
    sim.add_fault(throttled.first(2));
    let broken = FaultRule::new(Effect::Status(503)).operation(Operation::DescribeTable).table("table-000003");
    sim.add_fault(broken.first(1));
    let place = Place::new();
    let daemon = place.daemon(&sim, &home);
    daemon.crawl("{}");
    let page = daemon.metrics();
    let described = |result: &str| {
        page.value("dynacrawl_api_requests_total", &[("operation", "DescribeTable"), ("result", result)])
    };
    assert_eq!((described("ok"), described("throttled"), described("error")), (9.0, 2.0, 1.0));
    assert!(described("denied") >= 1.0);
    assert_eq!(page.value("dynacrawl_runs_total", &[("schedule", "manual"), ("outcome", "partial")]), 1.0);
    assert_eq!(page.value("dynacrawl_scopes", &[("outcome", "partial")]), 1.0);
    let never = [("account_id", HOME), ("region", IRELAND)];
    assert_eq!(page.value("dynacrawl_scope_last_complete_timestamp_seconds", &never), 0.0);
    daemon.stop();
}
