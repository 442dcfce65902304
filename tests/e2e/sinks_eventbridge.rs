//! The sink `eventbridge`, against moto.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use dynacrawl_sim::{DemoAccount, Simulator, fixtures};
use dynacrawl_sinks::{AwsIdentity, CloudEvents, EventBridgeSettings, SecretRef, SinkKind};
use dynacrawl_testing::sink_contract::{Candidate, holds, split};
use fastrand::Rng;
use serde_json::{Value, json};

use crate::brokers;
use crate::command::Dynacrawl;
use crate::cutter::{Cut, Cutter, cut_and_kill};
use crate::daemon::Place;
use crate::receiver::Receiver;
use crate::servers::{self, Server};
use crate::support::{HOME, IRELAND, ireland};

const SECRET: &str = "a-secret-key-that-nobody-may-see";

fn config(place: &Place, endpoint: &str, bus: &str, more: &str) -> String {
    format!(
        "[crawl]\nrate = 0\ndeliver_within = \"4s\"\n[state]\npath = \"{}\"\n\
         [sink.bus]\nbatch = 30\nbackoff = \"20ms\"\nmax_backoff = \"200ms\"\n\
         [sink.bus.eventbridge]\nbus = \"{bus}\"\nregion = \"{IRELAND}\"\nendpoint = \"{endpoint}\"\ntimeout = \"2s\"\n\
         access_key_id = {{ env = \"BUS_ID\" }}\nsecret_access_key = {{ env = \"BUS_SECRET\" }}\n{more}",
        place.state().display(),
    )
}

fn crawl(place: &Place, sim: &Simulator, home: &DemoAccount, endpoint: &str, bus: &str, more: &str) -> Dynacrawl {
    let crawl = Dynacrawl::crawl_of(sim, home, IRELAND).config(&config(place, endpoint, bus, more));
    crawl.args(["--output", "tables.jsonl"]).env("BUS_ID", "AKIDBUS").secret_env("BUS_SECRET", SECRET)
}

#[test]
fn events_have_their_type_time_and_table() {
    let (sim, home) = ireland(13);
    let server = servers::moto();
    for more in ["", "cloud_events = \"structured\"\nsource = \"com.example.metadata\"\n"] {
        let place = Place::new();
        let bus = if more.is_empty() { "plain" } else { "enveloped" };
        brokers::make_buses(&server, &[bus]);
        crawl(&place, &sim, &home, &server.url, bus, more).run().succeeded();
        let events = brokers::events(&server, bus);
        assert_eq!(events.len(), 13 + 2);
        for event in &events {
            let detail = &event["detail"];
            let record = if more.is_empty() { detail } else { &detail["data"] };
            assert_eq!(event["detail-type"], record["type"]);
            assert_eq!(event["source"], if more.is_empty() { "dynacrawl" } else { "com.example.metadata" });
            // Without a time in the record, it is the time of the call.
            if let Some(at) = record["observed_at"].as_str().or(record["ended_at"].as_str()) {
                assert_eq!(&event["time"].as_str().expect("a time")[..19], &at[..19]);
            }
            if record["type"] == "table_added" {
                assert_eq!(event["resources"][0], record["table"]["arn"]);
            } else {
                assert_eq!(event["resources"].as_array().map(Vec::len), Some(0));
            }
            if !more.is_empty() {
                assert_eq!(detail["id"], record["event_id"]);
                assert_eq!(
                    (&detail["specversion"], &detail["datacontenttype"]),
                    (&"1.0".into(), &"application/json".into())
                );
            }
        }
        assert_eq!(events.last().expect("an event")["detail-type"], "run_completed");
        assert_eq!(place.rows("outbox"), 0);
    }
}

#[test]
fn a_missing_bus_loses_nothing_and_check_names_it() {
    let (sim, home) = ireland(2);
    let (server, place) = (servers::moto(), Place::new());
    let check = || {
        let check = Dynacrawl::new("check").sim(&sim).keys(&home).args(["--region", IRELAND]);
        let check = check.config(&config(&place, &server.url, "metadata", ""));
        check.env("BUS_ID", "AKIDBUS").secret_env("BUS_SECRET", SECRET).run()
    };
    let missing = crawl(&place, &sim, &home, &server.url, "metadata", "").run();
    assert_eq!(missing.code(), 5, "{}", missing.stderr);
    assert!(missing.stderr.contains("there is no event bus metadata in eu-west-1"), "{}", missing.stderr);
    let checked = check();
    assert!(checked.code() == 5 && checked.stdout.contains("there is no event bus metadata"), "{}", checked.stdout);
    brokers::make_buses(&server, &["metadata"]);
    assert_eq!(check().code(), 0);
    assert!(brokers::events(&server, "metadata").is_empty(), "check puts no event");
    crawl(&place, &sim, &home, &server.url, "metadata", "").run().succeeded();
    assert_eq!((brokers::events(&server, "metadata").len(), place.rows("outbox")), (4 + 2, 0));
}

#[test]
fn a_denied_identity_loses_nothing() {
    let (sim, home) = ireland(2);
    let (server, place) = (servers::moto(), Place::new());
    brokers::make_buses(&server, &["metadata"]);
    let (status, _) = server.request("POST", "/moto-api/reset-auth", "0").expect("an answer");
    assert_eq!(status, 200);
    let denied = crawl(&place, &sim, &home, &server.url, "metadata", "").run();
    assert_eq!(denied.code(), 5, "{}", denied.stderr);
    // moto answers with XML here, as a proxy would with HTML.
    assert!(denied.stderr.contains("status 403 from something other than EventBridge"), "{}", denied.stderr);
    assert_eq!(place.rows("outbox"), 4);
}

/// A receiver in the place of EventBridge, because moto takes entries of any size and no entry fails there.
#[test]
fn single_entries_may_fail_and_be_refused() {
    let (sim, home) = ireland(3);
    let mut large = fixtures::full_table("large", HOME, IRELAND);
    large["Remark"] = "x".repeat(300_000).into();
    sim.put_table(HOME, IRELAND, "large", &large).expect("a scope");
    let (taken, throttled) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
    let (of_handler, already) = (Arc::clone(&taken), Arc::clone(&throttled));
    let receiver = Receiver::serving(move |request| {
        if request.header("x-amz-target") == "AWSEvents.DescribeEventBus" {
            return (200, json!({ "Name": "metadata" }));
        }
        let body: Value = serde_json::from_str(&request.body).expect("JSON");
        let entries = body["Entries"].as_array().expect("entries");
        if request.body.len() > 256 * 1024 {
            let message = "Total size of the entries in the request is over the limit.";
            return (400, json!({ "__type": "ValidationException", "message": message }));
        }
        let result = |entry: &Value| {
            let detail: Value = serde_json::from_str(entry["Detail"].as_str().expect("a detail")).expect("JSON");
            let id = detail["event_id"].as_str().expect("an id").to_owned();
            let failed = |code: &str| json!({ "ErrorCode": code, "ErrorMessage": "not now" });
            match detail["table"]["name"].as_str() {
                Some("table-000001") if already.lock().expect("no panic").is_empty() => {
                    already.lock().expect("no panic").push(id);
                    failed("ThrottlingException")
                }
                Some("table-000002") => failed("MalformedDetail"),
                _ => {
                    of_handler.lock().expect("no panic").push(id.clone());
                    json!({ "EventId": id })
                }
            }
        };
        (200, json!({ "FailedEntryCount": 0, "Entries": entries.iter().map(result).collect::<Vec<_>>() }))
    });
    let place = Place::new();
    crawl(&place, &sim, &home, &receiver.base(), "metadata", "").run().succeeded();
    let (taken, throttled) = (taken.lock().expect("no panic"), throttled.lock().expect("no panic"));
    assert_eq!(throttled.len(), 1, "one entry failed");
    assert_eq!(taken.len(), 2 + 2, "all but the refused: {taken:?}");
    assert_eq!(taken.iter().collect::<HashSet<_>>().len(), taken.len(), "no entry is put again that was taken");
    assert!(taken.contains(&throttled[0]), "the failed entry is put again");
    let letters = std::fs::read_to_string(place.path("state.db.bus.refused.jsonl")).expect("dead letters");
    let letters: Vec<Value> = letters.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let of =
        |name: &str| letters.iter().find(|letter| letter["record"]["table"]["name"] == name).map(|one| &one["reason"]);
    assert_eq!(of("table-000002"), Some(&json!("MalformedDetail: not now")));
    let reason = of("large").and_then(Value::as_str).unwrap_or_default();
    assert!(reason.starts_with("ValidationException: Total size of the entries"), "{letters:?}");
    assert_eq!((letters.len(), place.rows("outbox")), (2, 0));
}

/// A call for a bus that does not exist may succeed, so a bus by name has to be found.
#[test]
fn a_bus_that_cannot_be_found_gets_no_events_unless_it_is_an_arn() {
    let (sim, home) = ireland(2);
    let receiver = Receiver::serving(|request| {
        if request.header("x-amz-target") == "AWSEvents.DescribeEventBus" {
            return (400, json!({ "__type": "AccessDeniedException", "message": "not authorized" }));
        }
        let body: Value = serde_json::from_str(&request.body).expect("JSON");
        let entries = body["Entries"].as_array().map_or(0, Vec::len);
        (200, json!({ "FailedEntryCount": 0, "Entries": vec![json!({ "EventId": "1" }); entries] }))
    });
    let place = Place::new();
    let denied = crawl(&place, &sim, &home, &receiver.base(), "metadata", "").run();
    assert_eq!(denied.code(), 5, "{}", denied.stderr);
    assert!(denied.stderr.contains("cannot look for the event bus: AccessDeniedException"), "{}", denied.stderr);
    assert_eq!(place.rows("outbox"), 4);
    let arn = format!("arn:aws:events:{IRELAND}:444455556666:event-bus/metadata");
    crawl(&place, &sim, &home, &receiver.base(), &arn, "").run().succeeded();
    assert_eq!(place.rows("outbox"), 0);
}

/// One server for the scenes of the contract and the seeds.
static MOTO: LazyLock<Server> = LazyLock::new(servers::moto);
static BUSES: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// The bus of a directory.
fn bus(directory: &Path) -> String {
    let mut buses = BUSES.lock().expect("no panic");
    let number = buses.iter().position(|of| of == directory).unwrap_or_else(|| {
        brokers::make_buses(&MOTO, &[&format!("contract-{}", buses.len())]);
        buses.push(directory.to_owned());
        buses.len() - 1
    });
    format!("contract-{number}")
}

fn kind(directory: &Path) -> SinkKind {
    let key = directory.join("key");
    std::fs::write(&key, "key").expect("written");
    SinkKind::EventBridge(Box::new(EventBridgeSettings {
        bus: bus(directory),
        region: IRELAND.parse().expect("a Region"),
        endpoint: Some(MOTO.url.clone()),
        identity: AwsIdentity::Keys {
            access_key_id: SecretRef::File(key.clone()),
            secret_access_key: SecretRef::File(key),
        },
        source: "dynacrawl".to_owned(),
        cloud_events: CloudEvents::Off,
        timeout: Duration::from_secs(5),
        ca_bundle: None,
    }))
}

fn received(directory: &Path) -> Vec<(String, Value)> {
    brokers::events(&MOTO, &bus(directory)).into_iter().map(|mut event| split(event["detail"].take())).collect()
}

#[tokio::test(start_paused = true)]
async fn an_event_bus_keeps_the_contract_of_sinks() {
    holds(&Candidate { kind, in_real_time: true, received }).await;
}

/// Connections are cut and the process is killed at any moment: nothing is lost, a repeated event has the
/// same id and content, and the events of a scope keep their order.
#[test]
fn killed_and_cut_at_any_moment_nothing_is_lost() {
    let buses: Vec<_> = (0..30).map(|seed| format!("seed-{seed}")).collect();
    brokers::make_buses(&MOTO, &buses.iter().map(String::as_str).collect::<Vec<_>>());
    let cutter = Cutter::start(MOTO.port());
    let endpoint = format!("http://127.0.0.1:{}", cutter.port);
    // The first answers are about the bus itself.
    let cut = |random: &mut Rng| match random.bool() {
        true => Cut::Request(random.usize(0..40_000)),
        false => Cut::Answer(random.usize(0..2_000)),
    };
    for (seed, bus) in (0..).zip(&buses) {
        let place = cut_and_kill(seed, &cutter, cut, |place, sim, home| crawl(place, sim, home, &endpoint, bus, ""));
        place.has_delivered(brokers::events(&MOTO, bus).into_iter().map(|mut event| event["detail"].take()), seed);
    }
}
