//! The account of the tables, also if STS does not name it.

use std::time::{Duration, Instant};

use dynacrawl_sim::{Denial, Effect, FaultRule, Operation, Simulator};

use crate::command::{Crawled, Dynacrawl};
use crate::support::{HOME, IRELAND, closed_port, ireland};

fn without_sts(sim: &Simulator, home: &dynacrawl_sim::DemoAccount) -> Crawled {
    Dynacrawl::crawl()
        .keys(home)
        .args(["--region", IRELAND, "--endpoint-url", &sim.url(), "--sts-endpoint-url", &closed_port()])
        .records()
}

#[test]
fn without_sts_the_first_tables_arn_gives_the_account() {
    let (sim, home) = ireland(120);
    let crawled = without_sts(&sim, &home);
    assert_eq!((crawled.code, crawled.names().len()), (0, 120));
    assert!(crawled.of_type("table").all(|table| table["scope"]["account_id"] == HOME));
    let scope = crawled.scope(IRELAND);
    assert_eq!((&scope["scope"]["account_id"], &scope["problems"]), (&HOME.into(), &serde_json::json!([])));
}

#[test]
fn without_sts_and_tables_the_account_is_reported_as_unknown() {
    let (sim, home) = ireland(0);
    let crawled = without_sts(&sim, &home);
    assert_eq!(crawled.code, 0);
    let scope = crawled.scope(IRELAND);
    assert_eq!(scope["outcome"], "complete");
    assert!(scope["scope"]["account_id"].is_null());
    assert_eq!(scope["problems"][0]["code"], "identity_unproven");
    assert!(crawled.stderr.contains("identity_unproven"), "{}", crawled.stderr);
}

#[test]
fn the_account_from_a_later_table_applies_to_the_whole_scope() {
    let (sim, home) = ireland(20);
    sim.deny(Denial::new(HOME, Operation::DescribeTable).table("table-000000"));
    let crawled = without_sts(&sim, &home);
    assert_eq!(crawled.code, 3);
    assert_eq!(crawled.failures(), [("table-000000", "denied", "AccessDeniedException")]);
    assert!(crawled.of_type("table_failed").all(|failed| failed["scope"]["account_id"] == HOME), "no record lacks it");
}

#[test]
fn an_account_not_found_in_time_stays_null_in_every_record() {
    let (sim, home) = ireland(140);
    sim.deny(Denial::new(HOME, Operation::DescribeTable).table("table-0000*"));
    sim.deny(Denial::new(HOME, Operation::DescribeTable).table("table-00010*"));
    sim.deny(Denial::new(HOME, Operation::DescribeTable).table("table-00011*"));
    let crawled = without_sts(&sim, &home);
    assert_eq!((crawled.code, crawled.names().len(), crawled.failures().len()), (3, 20, 120));
    let scope = crawled.scope(IRELAND);
    assert!(scope["scope"]["account_id"].is_null());
    let problems = scope["problems"].as_array().expect("a list");
    assert!(problems.iter().any(|problem| problem["code"] == "identity_unproven"), "{problems:?}");
}

#[test]
fn a_configured_account_is_proven_by_one_call() {
    let (sim, home) = ireland(20);
    let crawled = Dynacrawl::crawl_of(&sim, &home, IRELAND).args(["--account-id", HOME]).records();
    assert_eq!((crawled.code, &crawled.scope(IRELAND)["scope"]["account_id"]), (0, &HOME.into()));
    assert_eq!(sim.counts().requests(Operation::GetCallerIdentity), 1);
}

#[test]
fn keys_of_an_account_that_is_not_configured_end_the_scope() {
    let (sim, home) = ireland(20);
    let crawled = Dynacrawl::crawl_of(&sim, &home, IRELAND).args(["--account-id", "999999999999"]).records();
    assert_eq!((crawled.code, crawled.of_type("table").count()), (4, 0));
    let scope = crawled.scope(IRELAND);
    assert_eq!((&scope["outcome"], &scope["counts"]["listed"]), (&"auth_failed".into(), &0.into()));
    let problem = &scope["problems"][0];
    assert_eq!(problem["code"], "account_mismatch");
    let message = problem["message"].as_str().expect("a message");
    assert!(
        message.contains(HOME) && message.contains("999999999999") && message.contains("--account-id"),
        "{message}"
    );
    // The same without STS: the ARN of the first table has the account.
    let crawled = Dynacrawl::crawl()
        .keys(&home)
        .args(["--region", IRELAND, "--endpoint-url", &sim.url(), "--sts-endpoint-url", &closed_port()])
        .args(["--account-id", "999999999999"])
        .records();
    assert_eq!((crawled.code, crawled.of_type("table").count()), (4, 0));
    assert_eq!(crawled.scope(IRELAND)["problems"][0]["code"], "account_mismatch");
    let checked =
        Dynacrawl::new("check").sim(&sim).keys(&home).args(["--region", IRELAND, "--account-id", "999999999999"]);
    let checked = checked.run();
    assert_eq!(checked.code(), 4, "{}", checked.stdout);
    assert!(checked.stdout.contains("999999999999") && checked.stdout.contains("FAIL"), "{}", checked.stdout);
}

#[test]
fn an_sts_that_answers_nonsense_does_not_stop_the_crawl() {
    for effect in [Effect::GarbageBody, Effect::Status(500), Effect::Deny, Effect::DropConnection] {
        let (sim, home) = ireland(5);
        sim.add_fault(FaultRule::new(effect.clone()).operation(Operation::GetCallerIdentity));
        let crawled = Dynacrawl::crawl_of(&sim, &home, IRELAND).records();
        assert_eq!(crawled.code, 0, "{effect:?}: {}", crawled.stderr);
        assert_eq!(crawled.scope(IRELAND)["scope"]["account_id"], HOME);
    }
}

#[test]
fn two_targets_that_lead_to_the_same_scope_are_crawled_once() {
    let (sim, home) = ireland(40);
    let target = |name: &str| {
        format!(
            "[[target]]\nname = \"{name}\"\nregions = [\"{IRELAND}\"]\n\
             credentials = {{ access_key_id = {{ env = \"K\" }}, secret_access_key = {{ env = \"S\" }} }}\n"
        )
    };
    let crawled = Dynacrawl::crawl()
        .sim(&sim)
        .config(&format!("{}{}", target("one"), target("two")))
        .env("K", &home.access_key_id)
        .secret_env("S", &home.secret_access_key)
        .records();
    assert_eq!(crawled.code, 3);
    let outcomes = ["one", "two"].map(|name| crawled.target(name)["outcome"].as_str().expect("an outcome"));
    assert!(outcomes == ["complete", "failed"] || outcomes == ["failed", "complete"], "{outcomes:?}");
    let failed = ["one", "two"].iter().map(|name| crawled.target(name)).find(|scope| scope["outcome"] == "failed");
    assert_eq!(failed.expect("one of them")["problems"][0]["code"], "duplicate_scope");
    assert_eq!(crawled.names().len(), 40);
    assert_eq!(sim.counts().requests(Operation::DescribeTable), 40);
}

#[test]
fn without_sts_two_targets_with_one_scope_write_each_table_once() {
    let (sim, home) = ireland(40);
    let target = |name: &str| {
        format!(
            "[[target]]\nname = \"{name}\"\nregions = [\"{IRELAND}\"]\n\
             credentials = {{ access_key_id = {{ env = \"K\" }}, secret_access_key = {{ env = \"S\" }} }}\n"
        )
    };
    // The contract of every output includes that no table is written twice.
    let crawled = Dynacrawl::crawl()
        .args(["--endpoint-url", &sim.url(), "--sts-endpoint-url", &closed_port()])
        .config(&format!("{}{}", target("one"), target("two")))
        .env("K", &home.access_key_id)
        .secret_env("S", &home.secret_access_key)
        .records();
    assert_eq!((crawled.code, crawled.names().len()), (3, 40));
}

#[test]
fn an_sts_that_never_answers_delays_a_crawl_only_for_seconds() {
    let (sim, home) = ireland(5);
    sim.add_fault(FaultRule::new(Effect::Delay(Duration::from_secs(600))).operation(Operation::GetCallerIdentity));
    let started = Instant::now();
    let crawled = Dynacrawl::crawl_of(&sim, &home, IRELAND).records();
    assert_eq!((crawled.code, &crawled.scope(IRELAND)["scope"]["account_id"]), (0, &HOME.into()));
    assert!(started.elapsed() < Duration::from_secs(25), "{:?}", started.elapsed());
}
