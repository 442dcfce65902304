//! A Region that cannot be listed has the reason in its record, and does not affect others.

use dynacrawl_sim::{Account, Denial, Effect, FaultRule, Operation, Tables};
use serde_json::Value;

use crate::command::{Crawled, Dynacrawl};
use crate::support::{BAHRAIN, HOME, IRELAND, VIRGINIA, closed_port, ireland, started};

fn on_list(effect: Effect) -> FaultRule {
    FaultRule::new(effect).operation(Operation::ListTables)
}

/// Checks how a Region ended, and returns its first problem.
#[track_caller]
fn problem<'a>(crawled: &'a Crawled, region: &str, outcome: &str, code: &str) -> &'a Value {
    let scope = crawled.scope(region);
    assert_eq!(scope["outcome"], outcome, "{scope}");
    let problem = &scope["problems"][0];
    assert_eq!(problem["code"], code, "{scope}");
    problem
}

#[test]
fn a_region_that_is_not_enabled_does_not_stop_another() {
    let (sim, home) = ireland(20);
    let crawled = Dynacrawl::crawl_of(&sim, &home, &format!("{IRELAND},{BAHRAIN}")).records();
    assert_eq!(crawled.code, 3);
    assert_eq!(crawled.scope(IRELAND)["outcome"], "complete");
    let not_enabled = problem(&crawled, BAHRAIN, "not_opted_in", "UnrecognizedClientException");
    assert!(not_enabled["message"].as_str().expect("a message").contains("not enabled"), "{not_enabled}");
    assert!(crawled.stderr.contains("not opted in"), "{}", crawled.stderr);
}

#[test]
fn opt_in_required_means_that_the_region_is_not_enabled() {
    let tables = || Tables::new().generated(2);
    let (sim, home) = started(Account::new(HOME).region(IRELAND, tables()).region(BAHRAIN, tables()));
    let effect = Effect::Error { code: "OptInRequired".to_owned(), message: "opt in first".to_owned(), status: 403 };
    sim.add_fault(on_list(effect));
    let crawled = Dynacrawl::crawl_of(&sim, &home, &format!("{IRELAND},{BAHRAIN}")).records();
    assert_eq!(crawled.code, 4);
    problem(&crawled, BAHRAIN, "not_opted_in", "OptInRequired");
    // Every account has this Region.
    problem(&crawled, IRELAND, "auth_failed", "OptInRequired");
}

#[test]
fn an_endpoint_without_a_listener_is_unreachable() {
    let (sim, home) = ireland(20);
    let crawled = Dynacrawl::crawl()
        .keys(&home)
        .args(["--region", IRELAND, "--endpoint-url", &closed_port(), "--sts-endpoint-url", &sim.url()])
        .records();
    assert_eq!(crawled.code, 4);
    problem(&crawled, IRELAND, "unreachable", "connection_failed");
    assert_eq!(crawled.scope(IRELAND)["scope"]["account_id"], HOME, "the account is from STS");
}

#[test]
fn a_denied_listing_is_denied_and_not_empty() {
    let (sim, home) = ireland(20);
    sim.deny(Denial::new(HOME, Operation::ListTables));
    let crawled = Dynacrawl::crawl_of(&sim, &home, IRELAND).records();
    assert_eq!(crawled.code, 4);
    assert_eq!(problem(&crawled, IRELAND, "denied", "AccessDeniedException")["operation"], "ListTables");
    assert_eq!(sim.counts().requests(Operation::DescribeTable), 0);
}

#[test]
fn a_listing_that_stays_throttled_has_the_outcome_throttled() {
    let (sim, home) = ireland(20);
    sim.add_fault(on_list(Effect::Throttle));
    let crawl = Dynacrawl::crawl_of(&sim, &home, IRELAND).args(["--max-attempts", "3", "--patience", "100ms"]);
    let crawled = crawl.records();
    assert_eq!(crawled.code, 4);
    problem(&crawled, IRELAND, "throttled", "ThrottlingException");
    let requests = &crawled.scope(IRELAND)["requests"]["ListTables"];
    // Three attempts, and three more at the end of the run.
    assert_eq!((&requests["sent"], &requests["throttled"]), (&6.into(), &6.into()));
}

#[test]
fn a_listing_that_is_never_json_fails() {
    let (sim, home) = ireland(20);
    sim.add_fault(on_list(Effect::GarbageBody));
    let crawl = Dynacrawl::crawl_of(&sim, &home, IRELAND).args(["--max-attempts", "3", "--patience", "1ms"]);
    let crawled = crawl.records();
    assert_eq!(crawled.code, 4);
    problem(&crawled, IRELAND, "failed", "invalid_response");
    assert_eq!(crawled.scope(IRELAND)["requests"]["ListTables"]["sent"], 6);
}

#[test]
fn a_listing_that_breaks_off_keeps_its_pages_and_is_incomplete() {
    for (effect, code) in [
        (Effect::Deny, "AccessDeniedException"),
        (Effect::Status(500), "InternalServerError"),
        (Effect::DropConnection, "connection_failed"),
        (Effect::GarbageBody, "invalid_response"),
    ] {
        let (sim, home) = ireland(450);
        // The third of five pages: both attempts, and both of the second try at the end of the run.
        // A rule does not see requests that an earlier rule has hit.
        for _ in 0..4 {
            sim.add_fault(on_list(effect.clone()).nth(3));
        }
        let impatient = ["--max-attempts", "2", "--rate", "0", "--patience", "1ms"];
        let crawled = Dynacrawl::crawl_of(&sim, &home, IRELAND).args(impatient).records();
        assert_eq!(crawled.code, 3, "{effect:?}");
        assert_eq!(problem(&crawled, IRELAND, "incomplete_listing", code)["operation"], "ListTables");
        assert_eq!(crawled.scope(IRELAND)["listing"], "incomplete");
        assert_eq!(crawled.names(), sim.table_names(HOME, IRELAND)[..200], "{effect:?}");
    }
}

#[test]
fn transient_faults_of_the_listing_are_retried() {
    for effect in [
        Effect::Throttle,
        Effect::Status(500),
        Effect::Status(503),
        Effect::DropConnection,
        Effect::TruncateBody,
        Effect::GarbageBody,
    ] {
        let (sim, home) = ireland(250);
        let first = sim.add_fault(on_list(effect.clone()).first(1));
        let middle = sim.add_fault(on_list(effect.clone()).nth(2));
        let crawled = Dynacrawl::crawl_of(&sim, &home, IRELAND).args(["--rate", "0"]).records();
        assert_eq!((sim.fault_hits(first), sim.fault_hits(middle)), (1, 1), "{effect:?}");
        assert_eq!((crawled.code, crawled.names().len()), (0, 250), "{effect:?}");
        assert_eq!(crawled.scope(IRELAND)["requests"]["ListTables"]["sent"], 5);
    }
}

#[test]
fn one_throttled_region_does_not_slow_another_down() {
    let account =
        Account::new(HOME).region(IRELAND, Tables::new().generated(60)).region(VIRGINIA, Tables::new().generated(60));
    let (sim, home) = started(account);
    sim.add_fault(FaultRule::new(Effect::Throttle).region(VIRGINIA).operation(Operation::DescribeTable));
    let crawled = Dynacrawl::crawl_of(&sim, &home, &format!("{IRELAND},{VIRGINIA}"))
        .args(["--max-attempts", "4", "--rate", "0", "--patience", "2s"])
        .records();
    assert_eq!(crawled.code, 3);
    assert_eq!(crawled.scope(IRELAND)["outcome"], "complete");
    assert_eq!(crawled.scope(IRELAND)["requests"]["DescribeTable"]["throttled"], 0);
    assert_eq!(crawled.scope(VIRGINIA)["counts"]["throttled"], 60);
    let duration = |region: &str| crawled.scope(region)["duration_ms"].as_u64().expect("a number");
    assert!(duration(IRELAND) < duration(VIRGINIA), "{} and {}", duration(IRELAND), duration(VIRGINIA));
}

#[test]
fn a_region_without_tables_is_complete() {
    let (sim, home) = ireland(0);
    let crawled = Dynacrawl::crawl_of(&sim, &home, IRELAND).records();
    assert_eq!(crawled.code, 0);
    assert_eq!(crawled.scope(IRELAND)["counts"]["listed"], 0);
}

#[test]
fn more_scopes_than_are_crawled_at_once_are_all_crawled() {
    let regions = ["us-east-1", "us-east-2", "us-west-1", "us-west-2", "eu-west-1", "eu-west-2", "eu-central-1"];
    let account =
        regions.iter().fold(Account::new(HOME), |account, region| account.region(*region, Tables::new().generated(30)));
    let (sim, home) = started(account);
    let crawled = Dynacrawl::crawl_of(&sim, &home, &regions.join(",")).args(["--scopes", "2", "--rate", "0"]).records();
    assert_eq!((crawled.code, crawled.of_type("table").count()), (0, 210));
}
