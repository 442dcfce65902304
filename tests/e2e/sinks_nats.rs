//! The sink `nats`, against a server with JetStream.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use dynacrawl_sim::{Account, DemoAccount, Estate, Simulator, Tables, fixtures};
use dynacrawl_sinks::{CloudEvents, NatsSettings, SinkKind};
use dynacrawl_testing::sink_contract::{Candidate, holds, split};
use serde_json::Value;

use crate::command::Dynacrawl;
use crate::daemon::Place;
use crate::fronts::certificates;
use crate::nats::Nats;
use crate::nats_operator::operator;
use crate::support::{HOME, IRELAND, VIRGINIA, eventually, simulate};

fn crawl(place: &Place, sim: &Simulator, home: &DemoAccount, nats: &Nats, more: &str) -> Dynacrawl {
    let config = format!(
        "[crawl]\nrate = 0\ndeliver_within = \"4s\"\n[state]\npath = \"{}\"\n\
         [sink.bus]\nbatch = 8\nbackoff = \"20ms\"\nmax_backoff = \"200ms\"\n\
         [sink.bus.nats]\nservers = [\"{}\"]\ntimeout = \"1s\"\n{more}",
        place.state().display(),
        nats.address()
    );
    Dynacrawl::crawl_of(sim, home, &format!("{IRELAND},{VIRGINIA}")).config(&config).args(["--output", "tables.jsonl"])
}

fn estate(tables: u64) -> (Simulator, DemoAccount) {
    let account = Account::new(HOME)
        .region(IRELAND, Tables::new().generated(tables))
        .region(VIRGINIA, Tables::new().generated(tables));
    let access = account.access("home");
    (simulate(Estate::new([account])), access)
}

#[test]
fn events_are_published_under_their_subject_with_their_id() {
    let (sim, home) = estate(3);
    for (more, content_type) in [
        ("", "application/json"),
        ("cloud_events = \"binary\"\n", "application/json"),
        ("cloud_events = \"structured\"\n", "application/cloudevents+json"),
    ] {
        let (place, nats) = (Place::new(), Nats::start(""));
        nats.create_stream(None);
        crawl(&place, &sim, &home, &nats, more).run().succeeded();
        let messages = nats.messages();
        assert_eq!(messages.len(), 6 + 2 + 1);
        for message in &messages {
            let payload = &message.payload;
            let line = if more.contains("structured") { &payload["data"] } else { payload };
            let id = line["event_id"].as_str().expect("an id");
            assert_eq!(message.headers["Nats-Msg-Id"], format!("{id}@{}", message.subject));
            assert_eq!(message.headers["content-type"], content_type);
            let of = |key: &str| line["scope"][key].as_str().unwrap_or("_").to_owned();
            let kind = line["type"].as_str().expect("a type");
            assert_eq!(message.subject, format!("dynacrawl.{}.{}.{kind}", of("account_id"), of("region")));
            if more.contains("binary") {
                assert_eq!(message.headers["ce-id"], line["event_id"].as_str().expect("an id"));
                assert_eq!(message.headers["ce-specversion"], "1.0");
            }
        }
        let last = messages.last().expect("a message");
        assert_eq!(last.subject, "dynacrawl._._.run_completed");
        assert_eq!(place.rows("outbox"), 0);
    }
}

#[test]
fn a_missing_stream_or_wrong_password_loses_nothing() {
    let (sim, home) = estate(2);
    let secret = "a-password-that-nobody-may-see";
    let nats = Nats::start(&format!("authorization {{ user: \"crawler\", password: \"{secret}\" }}\n"));
    let place = Place::new();
    let auth = "user = \"crawler\"\npassword = { env = \"NATS_PASSWORD\" }\n";
    let run = |password: &str| crawl(&place, &sim, &home, &nats, auth).secret_env("NATS_PASSWORD", password).run();
    let wrong = run("a-wrong-password-of-some-length");
    assert_eq!(wrong.code(), 5, "{}", wrong.stderr);
    assert!(wrong.stderr.contains("cannot connect: authorization violation"), "{}", wrong.stderr);
    let missing = run(secret);
    assert_eq!(missing.code(), 5, "{}", missing.stderr);
    assert!(missing.stderr.contains("publishing to dynacrawl.111122223333"), "{}", missing.stderr);
    let config = format!("[sink.bus.nats]\nservers = [\"{}\"]\ntimeout = \"1s\"\n{auth}", nats.address());
    let check = || {
        let check = Dynacrawl::new("check").sim(&sim).keys(&home).args(["--region", IRELAND]).config(&config);
        check.secret_env("NATS_PASSWORD", secret).run()
    };
    let checked = check();
    assert!(checked.code() == 5, "{}", checked.stdout);
    assert!(checked.stdout.contains("no stream of JetStream takes the subject dynacrawl.*.*.*"), "{}", checked.stdout);
    nats.create_stream(Some(("crawler", secret)));
    assert_eq!(check().code(), 0);
    run(secret).succeeded();
    assert_eq!(place.rows("outbox"), 0, "{}", nats.log().display());
}

#[test]
fn a_check_tries_the_right_to_publish_and_publishes_nothing() {
    let (sim, home) = estate(1);
    let user = |name: &str, publish: &str| {
        format!("{{ user: {name}, password: p, permissions: {{ publish: [{publish}], subscribe: \"_INBOX.>\" }} }}")
    };
    let reader = user("reader", "\"$JS.API.>\"");
    let writer = user("writer", "\"$JS.API.>\", \"dynacrawl.>\"");
    let nats = Nats::start(&format!("authorization {{ users: [{reader}, {writer}] }}\n"));
    nats.create_stream(Some(("writer", "p")));
    let check = |user: &str| {
        let address = nats.address();
        let auth = format!("timeout = \"1s\"\nuser = \"{user}\"\npassword = {{ env = \"NATS_PASSWORD\" }}\n");
        let check = Dynacrawl::new("check").sim(&sim).keys(&home).args(["--region", IRELAND]);
        let config = format!("[sink.bus.nats]\nservers = [\"{address}\"]\n{auth}");
        check.config(&config).env("NATS_PASSWORD", "p").run()
    };
    let denied = check("reader");
    assert!(denied.code() == 5 && denied.stdout.contains("may not publish"), "{}", denied.stdout);
    let allowed = check("writer");
    assert_eq!(allowed.code(), 0, "{}", allowed.stdout);
    assert!(nats.messages_as(Some(("writer", "p"))).is_empty());
}

#[test]
fn a_token_is_sent() {
    let (sim, home) = estate(2);
    let token = "a-token-that-nobody-may-see-77";
    let nats = Nats::start(&format!("authorization {{ token: \"{token}\" }}\n"));
    nats.create_stream(Some(("", token)));
    let place = Place::new();
    let auth = "token = { env = \"NATS_TOKEN\" }\n";
    let run = |token: &str| crawl(&place, &sim, &home, &nats, auth).secret_env("NATS_TOKEN", token).run();
    let wrong = run("another-token-of-some-length");
    assert!(wrong.code() == 5 && wrong.stderr.contains("authorization violation"), "{}", wrong.stderr);
    run(token).succeeded();
    assert_eq!(place.rows("outbox"), 0);
}

#[test]
fn the_credentials_of_an_account_are_used_over_tls() {
    let (sim, home) = estate(2);
    let files = tempfile::tempdir().expect("a directory");
    let file = |name: &str| files.path().join(name);
    certificates(files.path());
    let (credentials, authority) = (file("user.creds"), file("authority.pem"));
    let accounts = operator(&credentials);
    let tls = format!("tls {{ cert_file: {:?}, key_file: {:?} }}\n", file("server.pem"), file("server.key"));
    let mut nats = Nats::start(&format!("{accounts}{tls}"));
    nats.files = Some((credentials.clone(), authority.clone()));
    nats.create_stream(None);
    let place = Place::new();
    let run = |lines: String| crawl(&place, &sim, &home, &nats, &lines).run();
    let untrusted = run(format!("credentials_file = {credentials:?}\n"));
    assert!(untrusted.code() == 5 && untrusted.stderr.contains("certificate"), "{}", untrusted.stderr);
    let trusted = format!("ca_bundle = {authority:?}\n");
    let unknown = run(trusted.clone());
    assert!(unknown.code() == 5 && unknown.stderr.contains("authorization violation"), "{}", unknown.stderr);
    let others = file("others.creds");
    operator(&others);
    let foreign = run(format!("credentials_file = {others:?}\n{trusted}"));
    assert!(foreign.code() == 5 && foreign.stderr.contains("authorization violation"), "{}", foreign.stderr);
    fs::write(&others, "-----BEGIN USER NKEY SEED-----\nSUNOSEED\n").expect("written");
    let broken = run(format!("credentials_file = {others:?}\n{trusted}"));
    assert!(broken.code() == 5 && broken.stderr.contains("others.creds"), "{}", broken.stderr);
    assert!(!broken.stderr.contains("SUNOSEED"), "{}", broken.stderr);
    run(format!("credentials_file = {credentials:?}\n{trusted}")).succeeded();
    assert_eq!((place.rows("outbox"), nats.messages().is_empty()), (0, false));
}

/// A server without JetStream, as those before 2.2 are.
fn old_server() -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            let info = r#"{"server_id":"old","version":"2.1.9","proto":1,"host":"localhost","port":4222,"max_payload":1048576}"#;
            let _ = write!(client, "INFO {info}\r\n");
            let lines = BufReader::new(client.try_clone().expect("a socket")).lines();
            for _ in lines.map_while(Result::ok).filter(|line| line == "PING") {
                let _ = client.write_all(b"PONG\r\n");
            }
        }
    });
    format!("nats://{address}")
}

#[test]
fn a_server_without_jetstream_is_named_with_its_version() {
    let (sim, home) = estate(1);
    let check = Dynacrawl::new("check").sim(&sim).keys(&home).args(["--region", IRELAND]);
    let checked = check.config(&format!("[sink.bus.nats]\nservers = [\"{}\"]\n", old_server())).run();
    let problem = "the server has version 2.1.9; JetStream needs 2.2 or newer";
    assert!(checked.code() == 5 && checked.stdout.contains(problem), "{}", checked.stdout);
}

/// JetStream drops a message whose id the stream has seen, under whatever subject.
#[test]
fn two_sinks_may_have_one_stream() {
    let (sim, home) = estate(2);
    let (place, nats) = (Place::new(), Nats::start(""));
    nats.create_stream(None);
    let second = format!("[sink.two.nats]\nservers = [\"{}\"]\nsubject = \"dynacrawl.two.{{kind}}\"\n", nats.address());
    crawl(&place, &sim, &home, &nats, &second).run().succeeded();
    let messages = nats.messages();
    let of_two = messages.iter().filter(|message| message.subject.starts_with("dynacrawl.two.")).count();
    assert_eq!((messages.len(), of_two), (14, 7));
}

#[test]
fn an_event_that_the_stream_does_not_permit_is_a_dead_letter() {
    let (sim, home) = estate(1);
    let mut large = fixtures::full_table("large", HOME, IRELAND);
    large["Remark"] = "x".repeat(20_000).into();
    sim.put_table(HOME, IRELAND, "large", &large).expect("a scope");
    for (config, max_message_size) in [("", 12_000), ("max_payload: 12000\n", -1)] {
        let (place, nats) = (Place::new(), Nats::start(config));
        nats.create_stream_with(None, max_message_size);
        crawl(&place, &sim, &home, &nats, "").run().succeeded();
        assert_eq!(nats.messages().len(), 2 + 2 + 1, "all but the large one");
        let letters = fs::read_to_string(place.path("state.db.bus.refused.jsonl")).expect("dead letters");
        let letter: Value = serde_json::from_str(letters.trim_end()).expect("one line");
        assert_eq!(letter["record"]["table"]["name"], "large");
    }
}

/// The servers of the contract's scenes, which run until the tests end.
static SERVERS: Mutex<Vec<(PathBuf, Nats)>> = Mutex::new(Vec::new());

/// Works with the server of a directory, outside of the runtime of the test.
fn with_server<T: Send>(directory: &Path, work: impl FnOnce(&Nats) -> T + Send) -> T {
    let work = || {
        let mut servers = SERVERS.lock().expect("no panic");
        if !servers.iter().any(|(of, _)| of == directory) {
            let nats = Nats::start("");
            nats.create_stream(None);
            servers.push((directory.to_owned(), nats));
        }
        let (_, nats) = servers.iter().find(|(of, _)| of == directory).expect("it was started");
        work(nats)
    };
    thread::scope(|scope| scope.spawn(work).join().expect("no panic"))
}

fn kind(directory: &Path) -> SinkKind {
    SinkKind::Nats(NatsSettings {
        servers: vec![with_server(directory, Nats::address)],
        subject: "dynacrawl.{account}.{region}.{kind}".parse().expect("a template"),
        auth: None,
        cloud_events: CloudEvents::Off,
        timeout: Duration::from_secs(5),
        ca_bundle: None,
    })
}

fn received(directory: &Path) -> Vec<(String, Value)> {
    with_server(directory, Nats::messages).into_iter().map(|message| split(message.payload)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_stream_keeps_the_contract_of_sinks() {
    holds(&Candidate { kind, in_real_time: true, received }).await;
}

/// The server and the process are killed at any moment: nothing is lost, a repeated event has the
/// same id and content, and the events of a scope keep their order.
#[test]
fn killed_with_its_server_at_any_moment_nothing_is_lost() {
    for seed in 0..30 {
        let (sim, home) = estate(25);
        let mut random = fastrand::Rng::with_seed(seed);
        let (place, mut nats) = (Place::new(), Nats::start(""));
        nats.create_stream(None);
        for round in 0..random.u32(1..=3) {
            if round > 0 {
                sim.remove_table(HOME, IRELAND, &format!("table-{round:06}")).expect("a scope");
            }
            let before = place.delivered();
            let mut running = crawl(&place, &sim, &home, &nats, "").start();
            let after = random.u64(0..40);
            eventually("it has come far enough", || place.delivered() >= before + after || running.has_ended());
            match random.u32(0..3) {
                0 => running.kill(),
                1 => nats.restart(),
                _ => {
                    nats.kill();
                    running.kill();
                    nats.restart();
                }
            }
            // If it was not killed, it ends by itself.
            eventually("it ends", || running.has_ended());
        }
        let mut left = 20;
        while crawl(&place, &sim, &home, &nats, "").run().code() != 0 {
            left -= 1;
            assert!(left > 0, "seed {seed}");
        }
        let mut by_id: HashMap<String, Value> = HashMap::new();
        let mut first: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for message in nats.messages() {
            let id = message.headers["Nats-Msg-Id"].clone();
            if let Some(before) = by_id.insert(id, message.payload.clone()) {
                assert_eq!(before, message.payload, "seed {seed}");
                continue;
            }
            let payload = &message.payload;
            let kind = payload["type"].as_str().unwrap_or_default();
            if kind.starts_with("table_") {
                let name = payload["table"]["name"].as_str().or(payload["table_name"].as_str()).unwrap_or_default();
                let region = payload["scope"]["region"].as_str().unwrap_or_default();
                first.entry(region.to_owned()).or_default().push(format!("{kind} {name}"));
            }
        }
        for region in [IRELAND, VIRGINIA] {
            let changes = place.changes(Some(region));
            assert_eq!(first.get(region), Some(&changes), "seed {seed}: {region}");
        }
        assert_eq!(place.rows("outbox"), 0, "seed {seed}");
    }
}
