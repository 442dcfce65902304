//! The guide for streams, walked through: each configuration that it shows delivers a demo, with addresses and secrets
//! of the reader's own.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::brokers;
use crate::command::{Dynacrawl, Ended};
use crate::daemon::Place;
use crate::nats::Nats;
use crate::receiver::Receiver;
use crate::servers;

const GUIDE: &str = include_str!("../../docs/guides/streams.md");
const SECRET: &str = "a-secret-of-the-reader-51c7";

/// The configuration in the guide that begins with a section. Each pair: a text in it, and what a reader writes instead.
fn configuration(section: &str, own: &[(&str, &str)]) -> String {
    let blocks = GUIDE.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let found: Vec<_> = blocks.filter(|block| block.starts_with(section)).collect();
    assert_eq!(found.len(), 1, "{section}");
    own.iter().fold(found[0].to_owned(), |text, (shown, own)| {
        assert!(text.contains(shown), "{shown} is not in the configuration of the guide:\n{text}");
        text.replace(shown, own)
    })
}

/// Types the first command of the guide, for a sink.
fn deliver_a_demo(configuration: &str, sink: &str) -> Ended {
    let command = GUIDE.lines().find(|line| line.starts_with("dynacrawl crawl --demo")).expect("a command");
    assert_eq!(command, "dynacrawl crawl --demo --config dynacrawl.toml --sink bus");
    let demo = Dynacrawl::crawl().args(["--demo", "--sink", sink]).config(configuration).secret(SECRET);
    let ended = demo.env("BUS_ID", "test").env("BUS_SECRET", "test").run();
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    ended
}

/// All tables of the demo have arrived, and the end of the run comes last.
fn is_whole_demo(events: impl IntoIterator<Item = Value>) {
    let types: Vec<_> = events.into_iter().map(|event| event["type"].as_str().expect("a type").to_owned()).collect();
    assert_eq!(types.iter().filter(|one| *one == "table").count(), 215);
    assert_eq!(types.iter().filter(|one| *one == "scope_completed").count(), 6);
    assert_eq!(types.iter().filter(|one| *one == "run_completed").count(), 1);
    assert_eq!(types.last().map(String::as_str), Some("run_completed"));
}

fn secret_file(place: &Place) -> String {
    let file = place.path("secret");
    fs::write(&file, SECRET).expect("written");
    path(&file)
}

fn path(of: &Path) -> String {
    of.to_str().expect("UTF-8").to_owned()
}

#[test]
fn the_http_sink_of_the_guide_delivers() {
    let (place, receiver) = (Place::new(), Receiver::start());
    let own =
        [("https://events.example.com/dynacrawl", receiver.url()), ("/run/secrets/events-token", secret_file(&place))];
    deliver_a_demo(
        &configuration("[sink.events.http]", &own.each_ref().map(|(shown, own)| (*shown, &**own))),
        "events",
    );
    let first = &receiver.received()[0];
    assert_eq!(first.header("authorization"), format!("Bearer {SECRET}"));
    assert_eq!((first.header("content-encoding"), first.header("content-type")), ("gzip", "application/x-ndjson"));
    is_whole_demo(receiver.events());
}

#[test]
fn the_nats_sink_of_the_guide_delivers() {
    let (place, nats) =
        (Place::new(), Nats::start(&format!("authorization {{ user: dynacrawl, password: \"{SECRET}\" }}\n")));
    nats.create_stream(Some(("dynacrawl", SECRET)));
    let (address, secret) = (format!("[\"{}\"]", nats.address()), secret_file(&place));
    // The server of the test has no operator whose key signs credentials.
    let user = format!("user = \"dynacrawl\"\npassword = {{ file = \"{secret}\" }}");
    let own = [
        ("[\"tls://nats-1.example.com:4222\", \"tls://nats-2.example.com:4222\"]", &*address),
        ("credentials_file = \"/run/secrets/dynacrawl.creds\"", &*user),
    ];
    deliver_a_demo(&configuration("[sink.bus.nats]", &own), "bus");
    is_whole_demo(nats.messages_as(Some(("dynacrawl", SECRET))).into_iter().map(|message| message.payload));
}

#[cfg(feature = "kafka")]
#[test]
fn the_kafka_sink_of_the_guide_delivers() {
    let place = Place::new();
    let mut front = None;
    let server = brokers::tansu(|own| front.insert(crate::fronts::Front::sasl(own, "dynacrawl", SECRET)).port, &[]);
    let port = front.as_ref().expect("it was started").port;
    let sasl = ["--sasl", "SCRAM-SHA-512", "dynacrawl", SECRET];
    // One partition: the end of the run comes last.
    brokers::make_topics_with(&server, port, &[("dynamodb.metadata", 1)], &sasl);
    let (brokers, secret) = (format!("[\"127.0.0.1:{port}\"]"), secret_file(&place));
    let own =
        [("[\"kafka-1.example.com:9094\", \"kafka-2.example.com:9094\"]", &*brokers), ("/run/secrets/kafka", &*secret)];
    let configuration = configuration("[sink.bus.kafka]", &own) + "tls = false\n";
    deliver_a_demo(&configuration, "bus");
    let read = brokers::messages_with(&server, port, "dynamodb.metadata", &sasl);
    is_whole_demo(read.into_iter().map(|mut message| message["value"].take()));
}

#[test]
fn the_eventbridge_sink_of_the_guide_delivers() {
    let server = servers::moto();
    brokers::make_buses(&server, &["metadata"]);
    // moto assumes any role. The reader's own credentials are keys here.
    let keys = format!(
        "endpoint = \"{}\"\naccess_key_id = {{ env = \"BUS_ID\" }}\nsecret_access_key = {{ env = \"BUS_SECRET\" }}",
        server.url
    );
    let own = [("role_arn = \"arn:aws:iam::123456789012:role/dynacrawl-events\"", &*keys)];
    deliver_a_demo(&configuration("[sink.bus.eventbridge]", &own), "bus");
    is_whole_demo(brokers::events(&server, "metadata").into_iter().map(|mut event| event["detail"].take()));
}
