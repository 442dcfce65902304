//! The sink `kafka`, against tansu.

use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use dynacrawl_sim::{DemoAccount, Simulator, fixtures};
use dynacrawl_sinks::{CloudEvents, KafkaSettings, SinkKind};
use dynacrawl_testing::sink_contract::{Candidate, holds, split};
use fastrand::Rng;
use serde_json::Value;

use crate::brokers;
use crate::command::Dynacrawl;
use crate::cutter::{Cut, Cutter, cut_and_kill};
use crate::daemon::Place;
use crate::fronts::Front;
use crate::servers::Server;
use crate::support::{HOME, IRELAND, ireland};

fn config(place: &Place, port: u16, topic: &str, more: &str) -> String {
    let tls = if more.contains("tls") { "" } else { "tls = false\n" };
    format!(
        "[crawl]\nrate = 0\ndeliver_within = \"4s\"\n[state]\npath = \"{}\"\n\
         [sink.bus]\nbatch = 8\nbackoff = \"20ms\"\nmax_backoff = \"200ms\"\n\
         [sink.bus.kafka]\nbrokers = [\"127.0.0.1:{port}\"]\ntopic = \"{topic}\"\ntimeout = \"2s\"\n{tls}{more}",
        place.state().display(),
    )
}

fn crawl(place: &Place, sim: &Simulator, home: &DemoAccount, port: u16, topic: &str, more: &str) -> Dynacrawl {
    let crawl = Dynacrawl::crawl_of(sim, home, IRELAND).config(&config(place, port, topic, more));
    crawl.args(["--output", "tables.jsonl"])
}

/// The server of the tests that need none of their own.
static TANSU: LazyLock<Server> = LazyLock::new(|| brokers::tansu(|own| own, &[]));

#[test]
fn messages_have_the_table_as_their_key_and_the_id_in_a_header() {
    let (sim, home) = ireland(12);
    for (topic, more) in [
        ("plain", ""),
        ("binary", "cloud_events = \"binary\"\ncompression = \"none\"\n"),
        ("structured", "cloud_events = \"structured\"\ncompression = \"snappy\"\n"),
    ] {
        let place = Place::new();
        brokers::make_topics(&TANSU, &[(topic, 3)]);
        crawl(&place, &sim, &home, TANSU.port(), topic, more).run().succeeded();
        sim.remove_table(HOME, IRELAND, "table-000001").expect("a scope");
        crawl(&place, &sim, &home, TANSU.port(), topic, more).run().succeeded();
        let restored = fixtures::full_table("table-000001", HOME, IRELAND);
        sim.put_table(HOME, IRELAND, "table-000001", &restored).expect("a scope");
        let messages = brokers::messages(&TANSU, topic);
        assert_eq!(messages.len(), 12 + 2 + 1 + 2);
        let mut partitions: HashMap<&str, HashSet<u64>> = HashMap::new();
        for message in &messages {
            let (headers, value) = (&message["headers"], &message["value"]);
            let record = if topic == "structured" { &value["data"] } else { value };
            let id = record["event_id"].as_str().expect("an id");
            match topic {
                "plain" => assert_eq!(headers["event_id"], id),
                "binary" => assert_eq!((&headers["ce_id"], &headers["ce_specversion"]), (&id.into(), &"1.0".into())),
                _ => assert_eq!((&value["id"], &value["specversion"]), (&id.into(), &"1.0".into())),
            }
            let is_enveloped = headers["content-type"] == "application/cloudevents+json";
            assert_eq!(is_enveloped, topic == "structured");
            let key = message["key"].as_str().expect("a key");
            let arn = record["table"]["arn"].as_str().or(record["table_before"]["arn"].as_str());
            match record["type"].as_str() {
                Some("run_completed") => assert_eq!(key, "/dynacrawl"),
                Some("scope_completed") => assert_eq!(key, format!("/dynacrawl/aws/{HOME}/{IRELAND}")),
                _ => assert_eq!(Some(key), arn),
            }
            partitions.entry(key).or_default().insert(message["partition"].as_u64().expect("a number"));
        }
        assert!(partitions.values().all(|of_key| of_key.len() == 1), "a key has one partition: {partitions:?}");
        assert_eq!(place.rows("outbox"), 0);
    }
}

#[test]
fn a_missing_topic_or_broker_loses_nothing_and_is_named() {
    let (sim, home) = ireland(2);
    let place = Place::new();
    let check = |port: u16| {
        let check = Dynacrawl::new("check").sim(&sim).keys(&home).args(["--region", IRELAND]);
        check.config(&config(&place, port, "missing", "")).run()
    };
    let missing = crawl(&place, &sim, &home, TANSU.port(), "missing", "").run();
    assert_eq!(missing.code(), 5, "{}", missing.stderr);
    assert!(missing.stderr.contains("producing to missing: "), "{}", missing.stderr);
    assert_eq!(place.rows("outbox"), 4);
    let checked = check(TANSU.port());
    assert!(checked.code() == 5 && checked.stdout.contains("the topic missing does not exist"), "{}", checked.stdout);
    // Port 1 has no server.
    let checked = check(1);
    assert!(checked.code() == 5 && checked.stdout.contains("Connection refused"), "{}", checked.stdout);
    let unreachable = crawl(&place, &sim, &home, 1, "missing", "").run();
    assert_eq!(unreachable.code(), 5, "{}", unreachable.stderr);
    assert!(unreachable.stderr.contains("Connection refused"), "{}", unreachable.stderr);
    // Neither the deliveries nor the check created it.
    brokers::make_topics(&TANSU, &[("missing", 1)]);
    assert_eq!(check(TANSU.port()).code(), 0);
    crawl(&place, &sim, &home, TANSU.port(), "missing", "").run().succeeded();
    assert_eq!((brokers::messages(&TANSU, "missing").len(), place.rows("outbox")), (4 + 2 + 2, 0));
}

#[test]
fn a_message_that_is_too_large_is_a_dead_letter() {
    let (sim, home) = ireland(3);
    let mut large = fixtures::full_table("large", HOME, IRELAND);
    large["Remark"] = "x".repeat(20_000).into();
    sim.put_table(HOME, IRELAND, "large", &large).expect("a scope");
    let place = Place::new();
    brokers::make_topics(&TANSU, &[("bounded", 1)]);
    crawl(&place, &sim, &home, TANSU.port(), "bounded", "max_message_bytes = 12000\n").run().succeeded();
    assert_eq!(brokers::messages(&TANSU, "bounded").len(), 3 + 2);
    let letters = std::fs::read_to_string(place.path("state.db.bus.refused.jsonl")).expect("dead letters");
    let letter: Value = serde_json::from_str(letters.trim_end()).expect("one line");
    assert_eq!(letter["record"]["table"]["name"], "large");
    assert!(letter["reason"].as_str().is_some_and(|reason| reason.contains("max_message_bytes")), "{letter}");
    assert_eq!(place.rows("outbox"), 0);
}

#[test]
fn tls_verifies_the_broker() {
    let (sim, home) = ireland(2);
    let place = Place::new();
    let authority = place.path("authority.pem");
    let mut front = None;
    // The broker has no TLS itself, and names the server in front of it to its clients.
    let before = |own: u16| Front::tls(SocketAddr::from((Ipv4Addr::LOCALHOST, own)), &authority);
    let server = brokers::tansu(|own| front.insert(before(own)).port, &[]);
    let port = front.as_ref().expect("it was started").port;
    let trust = ["--ca", authority.to_str().expect("a path")];
    brokers::make_topics_with(&server, port, &[("t", 1)], &trust);
    let untrusted = crawl(&place, &sim, &home, port, "t", "tls = true\n").run();
    assert_eq!(untrusted.code(), 5, "{}", untrusted.stderr);
    assert!(untrusted.stderr.contains("certificate verify failed"), "{}", untrusted.stderr);
    let wrong = "tls = true\nca_bundle = \"/nonexistent.pem\"\n";
    let wrong = crawl(&place, &sim, &home, port, "t", wrong).run();
    assert!(wrong.stderr.contains("kafka.ca_bundle: cannot read /nonexistent.pem"), "{}", wrong.stderr);
    let trusting = format!("tls = true\nca_bundle = \"{}\"\n", trust[1]);
    crawl(&place, &sim, &home, port, "t", &trusting).run().succeeded();
    assert_eq!(place.rows("outbox"), 0);
}

#[test]
fn refused_credentials_lose_nothing_and_stay_secret() {
    let (sim, home) = ireland(2);
    let server = brokers::tansu(|own| own, &["--authentication"]);
    let (place, password) = (Place::new(), "a-password-that-nobody-may-see");
    let sasl =
        "sasl = { mechanism = \"scram-sha-256\", user = \"crawler\", password = { env = \"KAFKA_PASSWORD\" } }\n";
    let refused = crawl(&place, &sim, &home, server.port(), "t", sasl).secret_env("KAFKA_PASSWORD", password).run();
    assert_eq!(refused.code(), 5, "{}", refused.stderr);
    assert!(refused.stderr.contains("SASL SCRAM authentication failed"), "{}", refused.stderr);
    assert_eq!(place.rows("outbox"), 4);
    let unset = crawl(&place, &sim, &home, server.port(), "t", sasl).run();
    unset.fails_with(2, "KAFKA_PASSWORD");
}

/// The password is proven, and a wrong one is refused: with each mechanism, of which `plain` needs TLS.
#[test]
fn the_password_of_a_user_is_proven() {
    let (sim, home) = ireland(2);
    let (right, wrong) = ("a-password-that-nobody-may-see", "another-password-of-nobody");
    for mechanism in ["scram-sha-256", "scram-sha-512", "plain"] {
        let place = Place::new();
        let authority = place.path("authority.pem");
        let mut fronts = None;
        let before = |own: u16| {
            let login = Front::sasl(own, "crawler", right);
            let tls = Front::tls(SocketAddr::from((Ipv4Addr::LOCALHOST, login.port)), &authority);
            (login, tls)
        };
        let has_tls = mechanism == "plain";
        let port_of = |(login, tls): &(Front, Front)| if has_tls { tls.port } else { login.port };
        let server = brokers::tansu(|own| port_of(fronts.insert(before(own))), &[]);
        let port = port_of(fronts.as_ref().expect("they were started"));
        let ca = ["--ca", authority.to_str().expect("a path")];
        let user = ["--sasl", &mechanism.to_uppercase(), "crawler", right];
        let arguments = [&user[..], if has_tls { &ca } else { &[] }].concat();
        brokers::make_topics_with(&server, port, &[("t", 1)], &arguments);
        let trust = if has_tls { format!("tls = true\nca_bundle = \"{}\"\n", ca[1]) } else { String::new() };
        let sasl =
            format!("{{ mechanism = \"{mechanism}\", user = \"crawler\", password = {{ env = \"KAFKA_PASSWORD\" }} }}");
        let run = |password: &str| {
            let crawl = crawl(&place, &sim, &home, port, "t", &format!("{trust}sasl = {sasl}\n"));
            crawl.secret_env("KAFKA_PASSWORD", password).run()
        };
        let refused = run(wrong);
        assert_eq!(refused.code(), 5, "{mechanism}: {}", refused.stderr);
        assert!(refused.stderr.contains("uthentication"), "{mechanism}: {}", refused.stderr);
        assert_eq!(place.rows("outbox"), 4);
        run(right).succeeded();
        let messages = brokers::messages_with(&server, port, "t", &arguments);
        assert_eq!((messages.len(), place.rows("outbox")), (4 + 2, 0), "{mechanism}");
    }
}

static TOPICS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// The topic of a directory.
fn topic(directory: &Path) -> String {
    let mut topics = TOPICS.lock().expect("no panic");
    let number = topics.iter().position(|of| of == directory).unwrap_or_else(|| {
        brokers::make_topics(&TANSU, &[(&format!("contract-{}", topics.len()), 1)]);
        topics.push(directory.to_owned());
        topics.len() - 1
    });
    format!("contract-{number}")
}

fn kind(directory: &Path) -> SinkKind {
    SinkKind::Kafka(Box::new(KafkaSettings {
        brokers: vec![format!("127.0.0.1:{}", TANSU.port())],
        topic: topic(directory),
        tls: None,
        sasl: None,
        compression: "lz4",
        max_message_bytes: 1_000_000,
        cloud_events: CloudEvents::Off,
        timeout: Duration::from_secs(5),
    }))
}

fn received(directory: &Path) -> Vec<(String, Value)> {
    brokers::messages(&TANSU, &topic(directory)).into_iter().map(|mut message| split(message["value"].take())).collect()
}

#[tokio::test(start_paused = true)]
async fn a_topic_keeps_the_contract_of_sinks() {
    holds(&Candidate { kind, in_real_time: true, received }).await;
}

/// Connections are cut and the process is killed at any moment: nothing is lost, a repeated event has the
/// same id and content, and the events of a scope keep their order.
#[test]
fn killed_and_cut_at_any_moment_nothing_is_lost() {
    let cutter = Mutex::new(None);
    let server = brokers::tansu(
        |own| {
            let started = Cutter::start(own);
            let port = started.port;
            *cutter.lock().expect("no panic") = Some(started);
            port
        },
        &[],
    );
    let cutter = cutter.into_inner().expect("no panic").expect("it was started");
    let topics: Vec<_> = (0..30).map(|seed| format!("seed-{seed}")).collect();
    brokers::make_topics(&server, &topics.iter().map(|topic| (topic.as_str(), 1)).collect::<Vec<_>>());
    let cut = |random: &mut Rng| match random.bool() {
        true => Cut::Request(random.usize(0..15_000)),
        false => Cut::Answer(random.usize(0..3_000)),
    };
    for (seed, topic) in (0..).zip(&topics) {
        let place =
            cut_and_kill(seed, &cutter, cut, |place, sim, home| crawl(place, sim, home, cutter.port, topic, ""));
        place.has_delivered(
            brokers::messages(&server, topic).into_iter().map(|mut message| message["value"].take()),
            seed,
        );
    }
}
