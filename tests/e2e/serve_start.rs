//! Settings that keep the daemon from starting: the error names them and what is expected, and
//! nothing is called.

use std::net::TcpListener;

use crate::command::Dynacrawl;
use crate::daemon::{Place, TOKEN, keyed, schedule, target};
use crate::support::{IRELAND, eventually, ireland};

/// Checks that the daemon does not start, with this code and these texts.
#[track_caller]
fn refused(serve: Dynacrawl, code: i32, expected: &[&str]) {
    let ended = serve.run();
    assert_eq!((ended.code(), ended.stdout.as_str()), (code, ""), "{}", ended.stderr);
    for text in expected {
        assert!(ended.stderr.contains(text), "no {text:?} in {}", ended.stderr);
    }
}

#[test]
fn missing_and_wrong_settings_are_named_with_what_is_expected() {
    let (sim, home) = ireland(3);
    let place = Place::new();
    let good = place.config();
    let serve = |config: &str| keyed(Dynacrawl::new("serve").config(config), &sim, &home).secret_env("TOKEN", TOKEN);
    let with = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        serve(&good.replace(from, to))
    };
    let more = |text: &str| serve(&(good.clone() + text));
    refused(Dynacrawl::new("serve").sim(&sim).keys(&home), 2, &["--config", "DYNACRAWL_CONFIG", "configuration file"]);
    refused(Dynacrawl::new("serve").args(["--config", "/no/such/file"]), 2, &["/no/such/file"]);
    refused(with(&target("home", &[IRELAND]), ""), 2, &["[[target]]", "configuration file"]);
    let state = format!("path = \"{}\"\n", place.state().display());
    refused(with(&state, ""), 2, &["changes.emit (--emit)", "state.path (--state)"]);
    let stateless = good.replace(&state, "").replace("\"both\"", "\"snapshot\"");
    refused(serve(&stateless), 2, &["state.path (--state)", "is missing"]);
    refused(with("state.db", "no/such/directory/state.db"), 5, &["state.path (--state)", "no/such/directory/state.db"]);
    refused(with("rate = 0", "dry_run = true"), 2, &["crawl.dry_run (--dry-run)", "dynacrawl serve"]);
    refused(serve(&good).arg("--dry-run"), 2, &["--dry-run: cannot be used with dynacrawl serve"]);
    let open = good.replace("token = { env = \"TOKEN\" }\n", "").replace("127.0.0.1:0", "0.0.0.0:0");
    refused(serve(&open), 2, &["serve.listen: 0.0.0.0:0", "serve.token", "127.0.0.1"]);
    let open = good.replace("token = { env = \"TOKEN\" }\n", "");
    refused(serve(&open).args(["--listen", "[::]:0"]), 2, &["--listen: [::]:0", "serve.token"]);
    refused(with("127.0.0.1:0", "localhost:0"), 2, &["serve.listen", "'localhost:0'", "127.0.0.1:9464"]);
    refused(with("\"TOKEN\"", "\"NO_TOKEN\""), 2, &["serve.token", "NO_TOKEN is not set"]);
    refused(serve(&good).env("TOKEN", ""), 2, &["serve.token", "TOKEN"]);
    refused(with("{ env = \"TOKEN\" }", "{ env = \"TOKEN\", file = \"x\" }"), 2, &["serve.token", "exactly one"]);
    let typed = with("{ env = \"TOKEN\" }", "\"typed-into-the-file\"").secret("typed-into-the-file");
    refused(typed, 2, &["dynacrawl.toml", "{ env = \"NAME\" }"]);
    refused(more(&schedule("nightly", "61 * * * *")), 2, &["schedule 'nightly': cron", "'61 * * * *'", "minute"]);
    refused(more(&schedule("nightly", "0 0 31 2 *")), 2, &["schedule 'nightly': cron", "never fires"]);
    refused(more(&schedule("nightly", "0 0 * *")), 2, &["schedule 'nightly': cron", "five fields"]);
    let mars = format!("{}time_zone = \"Mars/Olympus\"\n", schedule("nightly", "0 3 * * *"));
    refused(more(&mars), 2, &["schedule 'nightly'", "'Mars/Olympus' is not a time zone", "Europe/Berlin"]);
    let jitter = format!("{}jitter = \"some\"\n", schedule("nightly", "0 3 * * *"));
    refused(more(&jitter), 2, &["schedule 'nightly': jitter", "'some'", "15m"]);
    let targets = format!("{}targets = [\"abroad\"]\n", schedule("nightly", "0 3 * * *"));
    refused(more(&targets), 2, &["schedule 'nightly': targets", "'abroad'", "home"]);
    let twice = schedule("nightly", "0 3 * * *").repeat(2);
    refused(more(&twice), 2, &["schedule.name", "'nightly'", "another schedule"]);
    refused(more("[[schedule]]\nname = \"nightly\"\n"), 2, &["schedule 'nightly': cron", "is missing"]);
    refused(
        serve(&good).args(["--accept-removals", "Ireland"]),
        2,
        &["--accept-removals", "'Ireland'", "123456789012/eu-west-1"],
    );
    refused(serve(&good).args(["--region", IRELAND]), 2, &["--region"]);
    assert_eq!(sim.counts().total.requests, 0);
    assert!(!place.state().exists(), "nothing was made");
}

#[test]
fn an_invalid_time_zone_is_named_with_its_own_key() {
    let place = Place::new();
    let mars = format!("{}{}time_zone = \"Mars\"\n", place.config(), schedule("nightly", "0 3 * * *"));
    refused(Dynacrawl::new("serve").config(&mars), 2, &["schedule 'nightly': time_zone: 'Mars'"]);
}

#[test]
fn an_address_in_use_or_not_available_exits_with_5() {
    let (sim, home) = ireland(3);
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let serve = place.serve(&sim, &home).args(["--listen", &address]);
    refused(serve, 5, &[&address, "serve.listen", "in use"]);
    refused(place.serve(&sim, &home).args(["--listen", "192.0.2.1:9464"]), 5, &["192.0.2.1:9464", "serve.listen"]);
    assert_eq!(sim.counts().total.requests, 0);
}

#[test]
fn a_state_has_one_daemon() {
    let (sim, home) = ireland(3);
    let place = Place::new();
    let daemon = place.daemon(&sim, &home);
    refused(place.serve(&sim, &home), 5, &["state.path (--state)", "state.db", "in use by another run"]);
    let crawl = keyed(Dynacrawl::crawl().config(&place.config()), &sim, &home);
    refused(crawl, 5, &["state.path (--state)", "state.db", "in use by another run"]);
    assert_eq!(sim.counts().total.requests, 0);
    daemon.crawl("{}");
    daemon.stop();
}

#[test]
fn an_output_that_is_in_use_does_not_end_the_daemon() {
    let (sim, home) = ireland(3);
    let (place, mut other) = (Place::new(), Place::new());
    other.output = place.path("out-{schedule}.jsonl").display().to_string();
    other.emit = "snapshot";
    let holder = std::fs::File::create(place.path("out-manual.jsonl.partial")).expect("it is made");
    holder.try_lock().expect("nobody else has it");
    let daemon = other.daemon(&sim, &home);
    daemon.crawl("{}");
    daemon.running.wait_for_message("is being written by another run");
    assert_eq!(daemon.ended("failed"), 1.0);
    assert_eq!(sim.counts().total.requests, 0);
    drop(holder);
    // The request need not be repeated.
    eventually("the run begins after all", || daemon.ended("complete") == 1.0);
    assert_eq!(daemon.ended("failed"), 1.0);
    daemon.stop();
}
