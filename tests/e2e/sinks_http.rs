//! The sink `http`, against a server that fails in many ways.

use std::collections::HashSet;
use std::fs;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dynacrawl_sim::{DemoAccount, Simulator};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use crate::command::{Dynacrawl, Ended};
use crate::daemon::Place;
use crate::fronts::Front;
use crate::receiver::{Reaction, Receiver};
use crate::support::{HOME, IRELAND, eventually, ireland};

const TOKEN: &str = "a-token-that-nobody-may-see";

/// A crawl with a state and this sink.
fn config(place: &Place, receiver: &Receiver, more: &str) -> String {
    format!(
        "[crawl]\nrate = 0\ndeliver_within = \"3s\"\n[state]\npath = \"{}\"\n\
         [sink.events]\nbatch = 4\nbackoff = \"20ms\"\nmax_backoff = \"200ms\"\n[sink.events.http]\nurl = \"{}\"\nbearer = {{ env = \"EVENTS_TOKEN\" }}\n{more}",
        place.state().display(),
        receiver.url()
    )
}

fn crawl(place: &Place, sim: &Simulator, home: &DemoAccount, receiver: &Receiver, more: &str) -> Dynacrawl {
    let crawl = Dynacrawl::crawl_of(sim, home, IRELAND).config(&config(place, receiver, more));
    crawl.args(["--output", "tables.jsonl"]).secret_env("EVENTS_TOKEN", TOKEN)
}

fn ids(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["event_id"].as_str().expect("an id")).collect()
}

fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().expect("a type")).collect()
}

#[test]
fn events_are_posted_in_order_with_the_credentials() {
    let (sim, home) = ireland(5);
    let (place, receiver) = (Place::new(), Receiver::start());
    crawl(&place, &sim, &home, &receiver, "headers = { X-Team = \"data\" }\n").run().succeeded();
    let events = receiver.events();
    assert_eq!(types(&events), [&["table_added"; 5][..], &["scope_completed", "run_completed"]].concat());
    assert_eq!(ids(&events).iter().collect::<HashSet<_>>().len(), 7);
    for request in receiver.received() {
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/events"));
        assert_eq!(request.header("content-type"), "application/x-ndjson");
        assert_eq!(request.header("authorization"), format!("Bearer {TOKEN}"));
        assert_eq!(request.header("x-team"), "data");
        assert!(request.header("user-agent").starts_with("dynacrawl/"));
        assert!(request.events().len() <= 4);
    }
    // Nothing has changed, except for a table that is gone.
    receiver.forget();
    sim.remove_table(HOME, IRELAND, "table-000002").expect("a scope");
    crawl(&place, &sim, &home, &receiver, "").run().succeeded();
    let events = receiver.events();
    assert_eq!(types(&events), ["table_removed", "scope_completed", "run_completed"]);
    assert_eq!(events[0]["table_before"]["name"], "table-000002");
}

#[test]
fn a_body_may_be_compressed_signed_and_a_cloud_event() {
    let (sim, home) = ireland(2);
    let key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    for (more, content_type) in [
        ("gzip = true\nsigning_key = { env = \"KEY\" }\n", "application/x-ndjson"),
        (
            "gzip = true\nsigning_key = { env = \"KEY\" }\ncloud_events = \"structured\"\n",
            "application/cloudevents-batch+json",
        ),
        (
            "signing_key = { env = \"KEY\" }\nformat = \"single\"\ncloud_events = \"structured\"\n",
            "application/cloudevents+json",
        ),
        ("signing_key = { env = \"KEY\" }\nformat = \"single\"\ncloud_events = \"binary\"\n", "application/json"),
    ] {
        let (place, receiver) = (Place::new(), Receiver::start());
        crawl(&place, &sim, &home, &receiver, more).secret_env("KEY", key).run().succeeded();
        let (mut seen, mut signatures) = (Vec::new(), HashSet::new());
        for request in receiver.received() {
            assert_eq!(request.header("content-type"), content_type);
            assert_eq!(request.header("content-encoding") == "gzip", more.contains("gzip"));
            let signed =
                format!("{}.{}.{}", request.header("webhook-id"), request.header("webhook-timestamp"), request.body);
            let decoded = STANDARD.decode(&key["whsec_".len()..]).expect("base64");
            let mac = Hmac::<Sha256>::new_from_slice(&decoded).expect("a key").chain_update(signed).finalize();
            assert_eq!(request.header("webhook-signature"), format!("v1,{}", STANDARD.encode(mac.into_bytes())));
            let body = || serde_json::from_str::<Value>(&request.body).expect("JSON");
            // The same id only for the same events.
            assert!(signatures.insert(request.header("webhook-id").to_owned()), "{request:?}");
            assert_eq!(request.header("webhook-id").starts_with("batch_"), !more.contains("single"));
            match content_type {
                "application/cloudevents-batch+json" => seen.extend(body().as_array().expect("a list").clone()),
                "application/cloudevents+json" => seen.push(body()),
                "application/json" => {
                    let attribute = |name: &str| request.header(&format!("ce-{name}")).to_owned();
                    let names = ["specversion", "id", "source", "type", "subject", "time", "dataschema"];
                    let mut event: serde_json::Map<_, _> =
                        names.iter().map(|name| ((*name).to_owned(), Value::from(attribute(name)))).collect();
                    assert_eq!(request.header("idempotency-key"), attribute("id"));
                    event.insert("data".to_owned(), body());
                    event.insert("datacontenttype".to_owned(), content_type.into());
                    seen.push(event.into());
                }
                _ => {}
            }
        }
        let kinds: Vec<_> = seen.iter().map(|event| event["type"].as_str().expect("a type")).collect();
        let expected = ["table.added", "table.added", "scope.completed", "run.completed"]
            .map(|kind| format!("io.dynacrawl.{kind}"));
        assert!(
            kinds.is_empty() != more.contains("cloud_events") && (kinds.is_empty() || kinds == expected),
            "{kinds:?}"
        );
        for event in &seen {
            assert_eq!((&event["specversion"], &event["id"]), (&"1.0".into(), &event["data"]["event_id"]));
            assert_eq!(event["datacontenttype"], "application/json");
        }
        if let Some(event) = seen.first() {
            assert_eq!(event["source"], format!("/dynacrawl/aws/{HOME}/{IRELAND}"));
            assert_eq!(event["subject"], event["data"]["table"]["arn"]);
            assert_eq!(event["time"], event["data"]["observed_at"]);
        }
    }
}

#[test]
fn a_user_and_a_certificate_of_an_authority_of_ones_own_are_used() {
    let (sim, home) = ireland(2);
    let (place, receiver) = (Place::new(), Receiver::start());
    let authority = place.path("authority.pem");
    let front = Front::tls(receiver.address(), &authority);
    let crawl = |more: &str| {
        let config = format!(
            "[crawl]\nrate = 0\ndeliver_within = \"1s\"\n[sink.events]\nbackoff = \"20ms\"\n[sink.events.http]\n\
             url = \"{}/events\"\nbasic = {{ user = \"crawler\", password = {{ env = \"EVENTS_TOKEN\" }} }}\n{more}",
            front.https()
        );
        let crawl = Dynacrawl::crawl_of(&sim, &home, IRELAND).config(&config);
        crawl.args(["--output", "tables.jsonl"]).secret_env("EVENTS_TOKEN", TOKEN).run()
    };
    let untrusted = crawl("");
    assert!(untrusted.code() == 5 && untrusted.stderr.contains("certificate"), "{}", untrusted.stderr);
    assert!(receiver.received().is_empty());
    crawl(&format!("ca_bundle = {authority:?}\n")).succeeded();
    let expected = format!("Basic {}", STANDARD.encode(format!("crawler:{TOKEN}")));
    assert!(receiver.received().iter().all(|request| request.header("authorization") == expected));
    assert_eq!(receiver.events().len(), 2 + 2);
}

#[test]
fn what_passes_is_tried_again_and_nothing_is_lost() {
    let (sim, home) = ireland(6);
    let (place, receiver) = (Place::new(), Receiver::start());
    let busy = Reaction::Answer(503, "retry-after: 1\r\n", "later".to_owned());
    receiver
        .reacts([Reaction::Cut, Reaction::TakeAndCut, busy, Reaction::Answer(429, "", String::new())], Reaction::Take);
    crawl(&place, &sim, &home, &receiver, "").run().succeeded();
    let events = receiver.events();
    let mut seen = HashSet::new();
    let first: Vec<_> = events.iter().filter(|event| seen.insert(event["event_id"].clone())).collect();
    let added = first.iter().filter(|event| event["type"] == "table_added").count();
    assert_eq!(added, 6, "none is lost");
    assert!(events.len() > first.len(), "what was taken before the cut arrives again, with the same id");
}

#[test]
fn an_answer_of_success_counts_even_if_its_body_breaks_off() {
    let (sim, home) = ireland(5);
    let (place, receiver) = (Place::new(), Receiver::start());
    receiver.reacts([], Reaction::TakeAndBreakOff);
    crawl(&place, &sim, &home, &receiver, "").run().succeeded();
    let events = receiver.events();
    assert_eq!(types(&events), [&["table_added"; 5][..], &["scope_completed", "run_completed"]].concat());
}

/// Nothing says which events such an answer is about.
#[test]
fn an_answer_with_several_statuses_acknowledges_nothing() {
    let (sim, home) = ireland(6);
    let (place, receiver) = (Place::new(), Receiver::start());
    receiver.reacts([], Reaction::RefuseIf("\"name\":\"table-000003\"".to_owned(), 207));
    crawl(&place, &sim, &home, &receiver, "").run().succeeded();
    assert_eq!(receiver.events().len(), 5 + 2);
    let letters = fs::read_to_string(place.path("state.db.events.refused.jsonl")).expect("dead letters");
    let letter: Value = serde_json::from_str(letters.trim_end()).expect("one line");
    assert_eq!(letter["record"]["table"]["name"], "table-000003");
    assert!(letter["reason"].as_str().is_some_and(|reason| reason.starts_with("HTTP 207")), "{letter}");
}

#[test]
fn refused_events_become_dead_letters_and_a_wrong_address_none() {
    let (sim, home) = ireland(6);
    let (place, receiver) = (Place::new(), Receiver::start());
    let dead = place.path("state.db.events.refused.jsonl");
    receiver.reacts([], Reaction::RefuseIf("\"name\":\"table-000003\"".to_owned(), 422));
    crawl(&place, &sim, &home, &receiver, "").run().succeeded();
    assert_eq!(receiver.events().len(), 5 + 2);
    let letters: Vec<Value> = fs::read_to_string(&dead)
        .expect("dead letters")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0]["record"]["table"]["name"], "table-000003");
    assert!(letters[0]["reason"].as_str().is_some_and(|reason| reason.starts_with("HTTP 422")), "{}", letters[0]);

    // A destination that refuses everything is configured wrongly.
    receiver.reacts([], Reaction::Answer(400, "", format!("no such stream; you sent Bearer {TOKEN}")));
    let ended = crawl(&place, &sim, &home, &receiver, "").run();
    assert_eq!(ended.code(), 5, "{}", ended.stderr);
    assert!(ended.stderr.contains("refuses all 2 events: HTTP 400"), "{}", ended.stderr);
    assert!(ended.stderr.contains("you sent Bearer ***"), "{}", ended.stderr);
    assert_eq!(fs::read_to_string(&dead).expect("dead letters").lines().count(), 1);
    receiver.reacts([], Reaction::Take);
    crawl(&place, &sim, &home, &receiver, "").run().succeeded();
    assert_eq!(place.rows("outbox"), 0);
}

#[test]
fn dead_letters_are_shown_and_delivered_again() {
    let (sim, home) = ireland(3);
    let (place, receiver) = (Place::new(), Receiver::start());
    let refuse = |text: &str| receiver.reacts([], Reaction::RefuseIf(text.to_owned(), 422));
    refuse("\"name\":\"table-00000");
    // Completions pass, so the tables are refused one by one.
    crawl(&place, &sim, &home, &receiver, "").run().succeeded();
    let config = format!(
        "[crawl]\ndeliver_within = \"1s\"\n[state]\npath = \"{}\"\n[sink.events]\nbatch = 3\nbackoff = \"20ms\"\n\
         [sink.events.http]\nurl = \"{}\"\n",
        place.state().display(),
        receiver.url()
    );
    let letters = |args: &[&str]| Dynacrawl::new("dead-letters").config(&config).args(args).run();
    let shown = letters(&[]);
    let count = |shown: &Ended| shown.stdout.lines().filter(|line| line.contains("table_added")).count();
    assert!(count(&shown) == 3 && shown.stdout.contains("HTTP 422"), "{}", shown.stdout);
    // The destination is down: they are kept.
    receiver.reacts([], Reaction::Answer(503, "", "closed".to_owned()));
    let kept = letters(&["--retry"]);
    assert!(kept.code() == 5 && kept.stderr.contains("the dead letters are kept: HTTP 503"), "{}", kept.stderr);
    assert_eq!(count(&letters(&[])), 3);
    // It takes all but one now.
    refuse("\"name\":\"table-000002");
    let some = letters(&["--retry"]);
    assert!(some.code() == 3 && some.stderr.contains("events: 2 delivered, 1 refused again"), "{}", some.stderr);
    let line: Value = serde_json::from_str(&letters(&["--format", "json"]).succeeded()).expect("one line");
    assert_eq!(line["record"]["table"]["name"], "table-000002");
    receiver.reacts([], Reaction::Take);
    assert_eq!(letters(&["--retry", "--sink", "events"]).code(), 0);
    assert_eq!((count(&letters(&[])), letters(&["--retry"]).code()), (0, 0));
    let ids: HashSet<_> = receiver.events().iter().map(|event| event["event_id"].to_string()).collect();
    assert_eq!((ids.len(), receiver.events().len()), (5, 5), "each once, with its first id");
    letters(&["--sink", "other"]).fails_with(2, "--sink: there is no sink 'other'");
}

#[test]
fn the_sinks_of_a_state_are_shown_with_what_they_are_owed() {
    let (sim, home) = ireland(3);
    let (place, receiver) = (Place::new(), Receiver::start());
    let sinks = |args: &[&str]| Dynacrawl::new("sinks").arg("--state").arg(place.state()).args(args).run();
    receiver.reacts([], Reaction::Answer(401, "", "the token has expired".to_owned()));
    let failed = crawl(&place, &sim, &home, &receiver, "").run();
    assert_eq!(failed.code(), 5, "{}", failed.stderr);
    let shown = sinks(&[]);
    let lines: Vec<_> = shown.stdout.lines().collect();
    assert!(lines[0].starts_with("SINK") && lines[1].starts_with("events  0       5  "), "{}", shown.stdout);
    assert!(lines[2].ends_with("UTC: HTTP 401 Unauthorized: the token has expired"), "{}", shown.stdout);
    let line: Value = serde_json::from_str(&sinks(&["--format", "json"]).succeeded()).expect("JSON");
    assert_eq!((&line["owed"], &line["refused"], &line["delivered_at"]), (&5.into(), &0.into(), &Value::Null));
    assert_eq!(line["cursor"], 0);

    receiver.reacts([], Reaction::RefuseIf("\"name\":\"table-000001\"".to_owned(), 422));
    crawl(&place, &sim, &home, &receiver, "").run().succeeded();
    let line: Value = serde_json::from_str(&sinks(&["--format", "json"]).succeeded()).expect("JSON");
    assert_eq!((&line["owed"], &line["refused"], &line["failure"]), (&0.into(), &1.into(), &Value::Null));
    assert_eq!(line["dead_letters"], 1);
    let elsewhere = place.path("refused.jsonl");
    fs::write(&elsewhere, "{}\n{}\n").expect("written");
    let config = config(&place, &receiver, "")
        .replace("[sink.events]\n", &format!("[sink.events]\ndead_letters = {elsewhere:?}\n"));
    let named = Dynacrawl::new("sinks").config(&config).args(["--format", "json"]).run().succeeded();
    assert_eq!(serde_json::from_str::<Value>(&named).expect("JSON")["dead_letters"], 2);
    assert!(line["delivered_at"].is_string() && line["owed_since"].is_null(), "{line}");
    assert_eq!(line["cursor"], 5 + 2, "and those of the second run");
    let none = Place::new();
    let plain = Dynacrawl::crawl_of(&sim, &home, IRELAND).arg("--state").arg(none.state()).run();
    assert_eq!(plain.code(), 0);
    let shown = Dynacrawl::new("sinks").arg("--state").arg(none.state()).run().succeeded();
    assert!(shown.contains("no sinks"), "{shown}");
    let added = Dynacrawl::new("sinks").config(&self::config(&none, &receiver, "")).run().succeeded();
    let lines: Vec<_> = added.lines().collect();
    assert!(lines[1].starts_with("events  -       -") && lines[2].contains("new: no run"), "{added}");
}

#[test]
fn a_check_tells_unreachable_and_unauthorised_apart() {
    let (sim, home) = ireland(1);
    let (place, receiver) = (Place::new(), Receiver::start());
    let check = |url: &str| {
        let config = format!("[sink.events.http]\nurl = \"{url}\"\nbearer = {{ env = \"EVENTS_TOKEN\" }}\n");
        let check = Dynacrawl::new("check").sim(&sim).keys(&home).args(["--region", IRELAND]).config(&config);
        check.secret_env("EVENTS_TOKEN", TOKEN).run()
    };
    let ended = check(&receiver.url());
    assert!(ended.code() == 0 && ended.stdout.contains("ok   sink"), "{}", ended.stdout);
    assert!(receiver.events().is_empty() && receiver.received()[0].method == "OPTIONS");
    receiver.reacts([], Reaction::Answer(401, "", "expired".to_owned()));
    let ended = check(&receiver.url());
    assert!(ended.code() == 5 && ended.stdout.contains("HTTP 401 Unauthorized: expired"), "{}", ended.stdout);
    receiver.reacts([], Reaction::Answer(405, "", String::new()));
    assert_eq!(check(&receiver.url()).code(), 0);
    receiver.reacts([], Reaction::Answer(308, "location: https://example.com/\r\n", String::new()));
    let ended = check(&receiver.url());
    assert!(ended.code() == 5 && ended.stdout.contains("HTTP 308"), "{}", ended.stdout);
    let closed = crate::support::closed_port();
    let ended = check(&closed);
    assert!(ended.code() == 5 && ended.stdout.contains("cannot connect"), "{}", ended.stdout);
    let missing = Dynacrawl::new("check").sim(&sim).keys(&home).args(["--region", IRELAND]);
    let config = format!("[sink.events.http]\nurl = \"{}\"\nbearer = {{ env = \"NOT_SET\" }}\n", receiver.url());
    let ended = missing.config(&config).run();
    assert!(
        ended.code() == 5 && ended.stdout.contains("the environment variable NOT_SET is not set"),
        "{}",
        ended.stdout
    );
    drop(place);
}

#[test]
fn without_a_state_tables_stream_to_the_url() {
    let (sim, home) = ireland(30);
    let receiver = Receiver::start();
    let config = format!(
        "[crawl]\nrate = 0\ndeliver_within = \"1s\"\n[sink.events]\nbatch = 10\nbackoff = \"20ms\"\n[sink.events.http]\nurl = \"{}\"\n",
        receiver.url()
    );
    let crawl = || Dynacrawl::crawl_of(&sim, &home, IRELAND).config(&config).args(["--output", "tables.jsonl"]).run();
    crawl().succeeded();
    let events = receiver.events();
    assert_eq!(types(&events), [&["table"; 30][..], &["scope_completed", "run_completed"]].concat());
    receiver.reacts([], Reaction::Answer(500, "", "broken".to_owned()));
    let ended = crawl();
    assert_eq!(ended.code(), 5, "{}", ended.stderr);
    assert!(ended.stderr.contains("HTTP 500 Internal Server Error: broken"), "{}", ended.stderr);
}

#[test]
fn each_sink_gets_what_its_filter_selects() {
    let (sim, home) = ireland(5);
    let (place, all, some) = (Place::new(), Receiver::start(), Receiver::start());
    let more = format!(
        "[sink.some]\ninclude = [\"table-00000[12]\"]\nrecords = [\"table_added\", \"table_removed\"]\n\
         [sink.some.http]\nurl = \"{}\"\n",
        some.url()
    );
    crawl(&place, &sim, &home, &all, &more).run().succeeded();
    let names = |events: &[Value]| -> Vec<String> {
        let name = |event: &Value| event["table"]["name"].as_str().or(event["table_name"].as_str()).map(str::to_owned);
        let mut names: Vec<_> = events.iter().filter_map(name).collect();
        names.sort();
        names
    };
    assert_eq!(types(&some.events()), ["table_added"; 2]);
    assert_eq!(names(&some.events()), ["table-000001", "table-000002"]);
    assert_eq!((all.events().len(), place.rows("outbox")), (7, 0), "what a sink does not get counts as delivered");
    sim.remove_table(HOME, IRELAND, "table-000001").expect("a scope");
    sim.remove_table(HOME, IRELAND, "table-000003").expect("a scope");
    crawl(&place, &sim, &home, &all, &more).run().succeeded();
    assert_eq!(names(&some.events()[2..]), ["table-000001"]);
}

#[test]
fn a_sink_gets_the_events_of_its_targets() {
    let (sim, home) = ireland(2);
    let (place, receiver, idle) = (Place::new(), Receiver::start(), Receiver::start());
    let config = |name: &str| {
        format!(
            "[crawl]\nrate = 0\ndeliver_within = \"1s\"\n[state]\npath = \"{}\"\n\
             [sink.home]\ntargets = [\"{name}\"]\nbackoff = \"20ms\"\n[sink.home.http]\nurl = \"{}\"\n\
             [sink.none]\nrecords = [\"table_removed\"]\n[sink.none.http]\nurl = \"{}\"\n\
             [[target]]\nname = \"{name}\"\nregions = [\"{IRELAND}\"]\n",
            place.state().display(),
            receiver.url(),
            idle.url()
        )
    };
    let crawl =
        |name: &str, args: &[&str]| Dynacrawl::crawl().sim(&sim).keys(&home).config(&config(name)).args(args).run();
    // The target gets another name while its sink is away: what was queued before is still its own.
    crawl("old", &["--no-sinks"]).succeeded();
    crawl("new", &["--no-sinks"]).succeeded();
    crawl("old", &[]).succeeded();
    let mut seen = types(&receiver.events()).into_iter().map(str::to_owned).collect::<Vec<_>>();
    seen.sort();
    let expected = [
        "run_completed",
        "run_completed",
        "run_completed",
        "scope_completed",
        "scope_completed",
        "table_added",
        "table_added",
    ];
    assert_eq!(seen, expected);
    // A sink that gets nothing has had no success.
    let sinks = Dynacrawl::new("sinks").arg("--state").arg(place.state()).args(["--format", "json"]).run().succeeded();
    let lines: Vec<Value> = sinks.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(
        (&lines[1]["name"], &lines[1]["owed"], &lines[1]["delivered_at"]),
        (&"none".into(), &0.into(), &Value::Null)
    );
    assert!(idle.received().is_empty());
}

#[test]
fn a_missing_secret_of_a_sink_is_found_before_a_call() {
    let (sim, home) = ireland(2);
    let receiver = Receiver::start();
    let config = format!("[sink.events.http]\nurl = \"{}\"\nsigning_key = {{ env = \"NOPE\" }}\n", receiver.url());
    let crawl = |args: &[&str]| Dynacrawl::crawl_of(&sim, &home, IRELAND).config(&config).args(args).run();
    crawl(&[]).fails_with(2, "sink.events.http.signing_key: the environment variable NOPE is not set");
    assert_eq!(sim.counts().total.requests, 0);
    crawl(&["--no-sinks"]).succeeded();
    let check = Dynacrawl::new("check").sim(&sim).keys(&home).args(["--region", IRELAND]).config(&config).run();
    assert!(check.code() == 5 && check.stdout.contains("signing_key"), "{}", check.stdout);
}

/// A silent run that was killed does not continue on standard output.
#[test]
fn a_silent_run_is_not_resumed_on_standard_output() {
    let (sim, home) = ireland(150);
    let slow = dynacrawl_sim::FaultRule::new(dynacrawl_sim::Effect::Delay(std::time::Duration::from_secs(600)));
    let slow = sim.add_fault(slow.operation(dynacrawl_sim::Operation::DescribeTable).table("table-000149"));
    let (place, receiver) = (Place::new(), Receiver::start());
    let config = format!(
        "[crawl]\nrate = 0\n[state]\npath = \"{}\"\n[sink.events.http]\nurl = \"{}\"\n",
        place.state().display(),
        receiver.url()
    );
    let crawl = || Dynacrawl::crawl_of(&sim, &home, IRELAND).config(&config);
    let mut running = crawl().start();
    eventually("it is committed", || place.state().exists() && place.has_at_least(100, "staged"));
    running.kill();
    sim.remove_fault(slow);
    let ended = crawl().arg("--no-sinks").run();
    assert!(ended.stderr.contains("the output has changed"), "{}", ended.stderr);
    assert_eq!(ended.stdout.lines().filter(|line| line.contains("\"type\":\"table\"")).count(), 150);
}

#[test]
fn a_crawl_delivers_to_the_chosen_sinks_and_keeps_the_rest() {
    let (sim, home) = ireland(2);
    let (place, one, two) = (Place::new(), Receiver::start(), Receiver::start());
    let more = format!("[sink.two.http]\nurl = \"{}\"\n", two.url());
    let run = |args: &[&str]| crawl(&place, &sim, &home, &one, &more).args(args).run();
    run(&["--no-sinks"]).succeeded();
    assert_eq!((one.events().len(), two.events().len()), (0, 0));
    run(&["--sink", "two"]).succeeded();
    assert_eq!((one.events().len(), two.events().len()), (0, 4 + 2));
    run(&[]).succeeded();
    assert_eq!((one.events().len(), two.events().len()), (8, 8), "nothing is lost");
    run(&["--sink", "three"]).fails_with(2, "--sink: there is no sink 'three'; the configuration has events, two");
    run(&["--sink", "two", "--no-sinks"]).fails_with(2, "cannot be used with");
}

#[test]
fn standard_output_is_silent_beside_sinks_unless_requested() {
    let (sim, home) = ireland(3);
    let receiver = Receiver::start();
    let config = format!("[crawl]\nrate = 0\n[sink.events.http]\nurl = \"{}\"\n", receiver.url());
    let run = |config: &str, args: &[&str]| {
        let ended = Dynacrawl::crawl_of(&sim, &home, IRELAND).config(config).args(args).run();
        ended.succeeded().lines().count()
    };
    assert_eq!((run(&config, &[]), receiver.events().len()), (0, 5));
    assert_eq!(run(&config, &["--output", "-"]), 6);
    assert_eq!(run(&config, &["--no-sinks"]), 6);
    assert_eq!(run(&config, &["--dry-run"]), 6, "a dry run delivers nothing");
    assert_eq!(
        run(&format!("{config}[log]\nlevel = \"warn\"\n").replacen("rate = 0\n", "rate = 0\noutput = \"-\"\n", 1), &[]),
        6
    );
}

/// Connections are cut and the process is killed at any moment: nothing is lost, a repeated event
/// has the same id and content, and the events of a scope keep their order.
#[test]
fn killed_and_cut_at_any_moment_nothing_is_lost() {
    for seed in 0..30 {
        let (sim, home) = ireland(40);
        let mut random = fastrand::Rng::with_seed(seed);
        let (place, receiver) = (Place::new(), Receiver::start());
        let reactions: Vec<_> = (0..random.usize(0..12))
            .map(|_| match random.u32(0..4) {
                0 => Reaction::Cut,
                1 => Reaction::TakeAndCut,
                2 => Reaction::Answer(503, "", String::new()),
                _ => Reaction::Take,
            })
            .collect();
        receiver.reacts(reactions, Reaction::Take);
        for round in 0..random.u32(1..=3) {
            if round > 0 {
                sim.remove_table(HOME, IRELAND, &format!("table-{:06}", round)).expect("a scope");
            }
            let mut running = crawl(&place, &sim, &home, &receiver, "").start();
            let (requests, received) = (sim.counts().total.requests, receiver.received().len());
            let (after, deliveries) = (random.u64(1..60), random.usize(1..12));
            eventually("it has come far enough", || {
                sim.counts().total.requests >= requests + after && receiver.received().len() >= received + deliveries
                    || running.has_ended()
            });
            running.kill();
        }
        let mut left = 20;
        while crawl(&place, &sim, &home, &receiver, "").run().code() != 0 {
            left -= 1;
            assert!(left > 0, "seed {seed}");
        }
        place.has_delivered(receiver.events(), seed);
    }
}
