//! The daemon reloads a changed configuration if it is valid, and keeps the old one otherwise.

use std::fs;
use std::time::Duration;

use dynacrawl_sim::{Account, DemoAccount, Effect, Estate, FaultRule, Operation, Simulator, Tables};

use crate::contract;
use crate::daemon::{Daemon, Place, TOKEN, millis, names, not_now, only, schedule, target};
use crate::support::{HOME, IRELAND, VIRGINIA, eventually, ireland, simulate};

/// Three tables in Ireland, two in Virginia, and a daemon that crawls Ireland.
fn two_regions() -> (Simulator, DemoAccount) {
    let home = Account::new(HOME).region(IRELAND, Tables::new().generated(3));
    let home = home.region(VIRGINIA, Tables::new().generated(2));
    let access = home.access("home");
    (simulate(Estate::new([home])), access)
}

/// A place whose daemon checks the configuration often.
fn watched() -> Place {
    Place::serving("reload_every = \"200ms\"\n")
}

/// A place whose daemon checks the configuration only on SIGHUP.
fn unwatched() -> Place {
    Place::serving("reload_every = \"1h\"\n")
}

const RELOADED: &str = "the configuration is reloaded";
const REFUSED: &str = "the changed configuration is invalid";

#[test]
fn added_and_removed_targets_apply_to_the_next_run() {
    let (sim, home) = two_regions();
    let mut place = watched();
    let daemon = place.daemon(&sim, &home);
    daemon.crawl("{}");
    assert_eq!(names(&place.records(), "table").len(), 3);
    place.rest += &target("away", &[VIRGINIA]);
    daemon.configure(&place.config());
    daemon.running.wait_for_message(RELOADED);
    daemon.crawl(r#"{"targets":["away"]}"#);
    assert_eq!(names(&place.records(), "table_added").len(), 2);
    place.rest = target("away", &[VIRGINIA]);
    daemon.configure(&place.config());
    daemon.running.wait_for_message(RELOADED);
    assert_eq!(daemon.post(r#"{"targets":["home"]}"#).status, 400);
    daemon.crawl("{}");
    let records = place.records();
    let retired = only(&records, "scope_retired");
    assert_eq!((&retired["scope"]["region"], &retired["table_count"]), (&IRELAND.into(), &3.into()));
    assert_eq!(names(&records, "table").len(), 2);
    let page = daemon.metrics();
    assert_eq!(page.value("dynacrawl_changes_total", &[("type", "scope_retired")]), 1.0);
    assert_eq!((page.value("dynacrawl_tables", &[]), page.sum("dynacrawl_scopes")), (2.0, 1.0));
    daemon.stop();
}

#[test]
fn sighup_reloads_the_configuration_at_once() {
    let (sim, home) = two_regions();
    let mut place = unwatched();
    let daemon = place.daemon(&sim, &home);
    place.rest += &target("away", &[VIRGINIA]);
    daemon.configure(&place.config());
    daemon.running.signal("HUP");
    daemon.running.wait_for_message(RELOADED);
    daemon.crawl("{}");
    assert_eq!(names(&place.records(), "table").len(), 5);
    daemon.configure("[crawl\n");
    daemon.running.signal("HUP");
    daemon.running.wait_for_message(REFUSED);
    daemon.crawl("{}");
    assert_eq!(names(&place.records(), "table").len(), 5);
    daemon.stop();
}

#[test]
fn an_invalid_configuration_is_refused_and_the_old_one_stays() {
    let (sim, home) = ireland(3);
    let place = watched();
    let daemon = place.daemon(&sim, &home);
    let good = place.config();
    let succeeded = |daemon: &Daemon| daemon.metrics().value("dynacrawl_config_last_reload_successful", &[]);
    let unset = target("home", &[IRELAND]).replace("\"S\"", "\"NO_SUCH\"");
    let of_nobody = format!("{}targets = [\"abroad\"]\n", schedule("nightly", "0 3 * * *"));
    assert_eq!(succeeded(&daemon), 1.0);
    for (bad, expected) in [
        (good.clone() + "[crawl\n", vec!["dynacrawl.toml:15:"]),
        (good.replace("rate = 0", "rats = 0"), vec!["dynacrawl.toml:9", "rats", "rate"]),
        (good.replace("rate = 0", "concurrency = 0"), vec!["dynacrawl.toml", "crawl.concurrency", "1 to 1000"]),
        (good.clone() + &of_nobody, vec!["dynacrawl.toml", "schedule 'nightly': targets", "'abroad'", "home"]),
        (good.clone() + &schedule("nightly", "soon"), vec!["schedule 'nightly': cron", "'soon'", "five fields"]),
        (good.replace(&target("home", &[IRELAND]), &unset), vec!["home", "secret_access_key", "NO_SUCH"]),
        (good.replace("\"TOKEN\"", "\"NO_TOKEN\""), vec!["serve.token", "NO_TOKEN"]),
        (good.replace(&target("home", &[IRELAND]), ""), vec!["[[target]]", "is missing"]),
        (good.replace("state.db", "other.db"), vec!["state.path", "restart it"]),
        (good.replace("127.0.0.1:0", "127.0.0.2:0"), vec!["serve.listen", "restart it"]),
        (good.replace("rate = 0", "dry_run = true"), vec!["crawl.dry_run", "dynacrawl serve"]),
    ] {
        assert_ne!(bad, good);
        daemon.configure(&bad);
        let line = daemon.running.wait_for_message(REFUSED);
        assert!(line.contains("ERROR") && expected.iter().all(|text| line.contains(text)), "no {expected:?} in {line}");
        assert_eq!(succeeded(&daemon), 0.0, "{line}");
    }
    // Nothing of the refused configurations applies, neither targets nor the token.
    daemon.crawl(r#"{"targets":["home"]}"#);
    assert_eq!(names(&place.records(), "table").len(), 3);
    assert!(!place.path("other.db").exists());
    daemon.configure(&good);
    daemon.running.wait_for_message(RELOADED);
    assert_eq!(succeeded(&daemon), 1.0);
    daemon.crawl("{}");
    daemon.stop();
}

#[test]
fn a_reload_changes_how_often_the_file_is_checked() {
    let (sim, home) = ireland(1);
    let mut place = Place::serving("reload_every = \"10ms\"\n");
    let daemon = place.daemon(&sim, &home);
    place.serve = "reload_every = \"1h\"\n".to_owned();
    daemon.configure(&place.config());
    daemon.running.wait_for_message(RELOADED);
    let reloaded_at = || daemon.metrics().value("dynacrawl_config_last_reload_success_timestamp_seconds", &[]);
    let before = reloaded_at();
    // A run takes longer than the old interval.
    daemon.crawl("{}");
    daemon.configure(&(place.config() + "# A comment.\n"));
    daemon.crawl("{}");
    assert_eq!(reloaded_at(), before);
    daemon.running.signal("HUP");
    daemon.running.wait_for_message(RELOADED);
    daemon.stop();
}

#[test]
fn a_run_has_the_grace_time_that_it_began_with() {
    let (sim, home) = ireland(20);
    let mut place = unwatched();
    place.crawl = "grace = \"200ms\"\n".to_owned();
    let daemon = place.daemon(&sim, &home);
    place.crawl.clear();
    daemon.configure(&place.config());
    daemon.running.signal("HUP");
    daemon.running.wait_for_message(RELOADED);
    // Longer than the previous grace time and the additional time of the output.
    let slow = FaultRule::new(Effect::Delay(Duration::from_millis(6_500))).operation(Operation::DescribeTable);
    sim.add_fault(slow.table("table-000019"));
    daemon.post("{}");
    eventually("it is under way", || sim.counts().requests(Operation::DescribeTable) == 20);
    daemon.running.signal("TERM");
    let ended = daemon.running.end();
    assert!(ended.stderr.contains("the run was interrupted"), "{}", ended.stderr);
    let partial = place.partial().expect("it is there");
    assert_eq!(names(&contract::lines(&partial), "table").len(), 20);
}

#[test]
fn a_file_that_is_missing_for_a_moment_is_not_a_change() {
    let (sim, home) = ireland(3);
    let place = Place::serving("reload_every = \"10ms\"\n");
    let daemon = place.daemon(&sim, &home);
    let reloaded_at = || daemon.metrics().value("dynacrawl_config_last_reload_success_timestamp_seconds", &[]);
    let before = reloaded_at();
    fs::rename(daemon.running.path("dynacrawl.toml"), daemon.running.path("away")).expect("it is moved");
    // A run takes longer than the interval.
    daemon.crawl("{}");
    daemon.configure(&place.config());
    daemon.crawl("{}");
    assert_eq!(reloaded_at(), before);
    daemon.configure(&(place.config() + "# A comment.\n"));
    eventually("it is reloaded", || reloaded_at() > before);
    let ended = daemon.stop();
    assert!(!ended.stderr.contains("refused"), "{}", ended.stderr);
}

#[test]
fn a_replaced_token_is_used_after_a_reload() {
    let (sim, home) = ireland(3);
    let place = unwatched();
    let file = place.path("token");
    fs::write(&file, format!("{TOKEN}\n")).expect("written");
    let config = place.config().replace("env = \"TOKEN\"", &format!("file = \"{}\"", file.display()));
    let daemon = place.daemon(&sim, &home);
    daemon.configure(&config);
    daemon.running.signal("HUP");
    daemon.running.wait_for_message(RELOADED);
    daemon.crawl("{}");
    fs::write(&file, "another-token-0123456789").expect("written");
    daemon.running.signal("HUP");
    daemon.running.wait_for_message(RELOADED);
    assert_eq!(daemon.post("{}").status, 401);
    let other = [("authorization", "Bearer another-token-0123456789")];
    assert_eq!(daemon.ask("POST", "/api/v1/runs", &other, "").status, 202);
    daemon.wait_for_runs(2.0);
    fs::remove_file(&file).expect("it is there");
    daemon.running.signal("HUP");
    let line = daemon.running.wait_for_message(REFUSED);
    assert!(line.contains("serve.token") && line.contains("token: No such file"), "{line}");
    assert_eq!(daemon.ask("POST", "/api/v1/runs", &other, "").status, 202);
    daemon.wait_for_runs(3.0);
    let ended = daemon.stop();
    assert!(!ended.stderr.contains("another-token-0123456789"), "{}", ended.stderr);
}

#[test]
fn a_change_during_a_run_applies_to_the_next_one() {
    let (sim, home) = two_regions();
    let slow = FaultRule::new(Effect::Delay(Duration::from_secs(600))).operation(Operation::DescribeTable);
    let held = sim.add_fault(slow.table("table-000002"));
    let mut place = unwatched();
    place.crawl = "grace = \"1s\"\n[aws]\nattempt_timeout = \"3s\"\n".to_owned();
    let daemon = place.daemon(&sim, &home);
    daemon.post("{}");
    eventually("it is under way", || sim.counts().requests(Operation::DescribeTable) >= 3);
    place.rest = target("away", &[VIRGINIA]);
    daemon.configure(&place.config());
    daemon.running.signal("HUP");
    daemon.running.wait_for_message(RELOADED);
    sim.remove_fault(held);
    daemon.wait_for_runs(1.0);
    assert_eq!((names(&place.records(), "table").len(), place.rows("scopes")), (3, 1));
    daemon.crawl("{}");
    assert_eq!(names(&place.records(), "table").len(), 2);
    daemon.stop();
}

#[test]
fn changed_schedules_are_due_at_their_new_times() {
    let (sim, home) = ireland(3);
    let mut place = unwatched();
    place.rest += &schedule("one", &not_now());
    let daemon = place.daemon(&sim, &home);
    let next =
        |name: &str| daemon.metrics().value("dynacrawl_schedule_next_run_timestamp_seconds", &[("schedule", name)]);
    let now = millis(Duration::ZERO) as f64 / 1000.0;
    let has_metrics = || !daemon.metrics().family("dynacrawl_schedule_next_run_timestamp_seconds").samples.is_empty();
    eventually("it has begun", has_metrics);
    let before = next("one");
    assert!(before > now && before < now + 1200.0, "{before}");
    place.rest += &schedule("two", "0 0 29 2 *");
    daemon.configure(&place.config());
    daemon.running.signal("HUP");
    daemon.running.wait_for_message(RELOADED);
    assert_eq!(next("one"), before);
    assert!(next("two") > now);
    place.rest = target("home", &[IRELAND]) + &schedule("one", "0 0 29 2 *");
    daemon.configure(&place.config());
    daemon.running.signal("HUP");
    daemon.running.wait_for_message(RELOADED);
    assert!(next("one") > before);
    assert_eq!(daemon.metrics().family("dynacrawl_schedule_next_run_timestamp_seconds").samples.len(), 1);
    // The next start has missed nothing that was never due.
    daemon.stop();
    let daemon = place.daemon(&sim, &home);
    daemon.crawl("{}");
    daemon.stop();
    assert_eq!(place.rows("runs"), 1);
}
