//! Faults of DescribeTable: transient ones are retried, and others become a record.

use std::time::Duration;

use dynacrawl_sim::{Denial, Effect, FaultRule, Operation, Simulator, fixtures};
use serde_json::Value;

use crate::command::{Crawled, Dynacrawl};
use crate::support::{HOME, IRELAND, alone, ireland, named};

fn on_describe(effect: Effect) -> FaultRule {
    FaultRule::new(effect).operation(Operation::DescribeTable)
}

/// Checks that a Region is complete after `failed` additional attempts.
#[track_caller]
fn complete_after(crawled: &Crawled, sim: &Simulator, tables: u64, failed: u64) {
    let scope = crawled.scope(IRELAND);
    assert_eq!((crawled.code, &scope["outcome"]), (0, &Value::from("complete")), "{scope}");
    assert_eq!(scope["counts"]["described"], tables);
    assert_eq!(scope["requests"]["DescribeTable"]["sent"], tables + failed);
    assert_eq!(sim.counts().of(HOME, IRELAND, Operation::DescribeTable).requests, tables + failed);
}

#[test]
fn a_denied_table_is_named_and_the_others_are_described() {
    let (sim, home) = ireland(120);
    sim.deny(Denial::new(HOME, Operation::DescribeTable).table("table-00001*"));
    let crawled = Dynacrawl::crawl_of(&sim, &home, IRELAND).records();
    assert_eq!(crawled.code, 3);
    let scope = crawled.scope(IRELAND);
    assert_eq!((&scope["outcome"], &scope["listing"]), (&"partial".into(), &"complete".into()));
    let expected: Vec<_> = (10..20).map(|number| format!("table-{number:06}")).collect();
    let failures = crawled.failures();
    assert!(failures.iter().all(|(_, reason, code)| (*reason, *code) == ("denied", "AccessDeniedException")));
    assert_eq!(failures.iter().map(|(name, ..)| *name).collect::<Vec<_>>(), expected);
    assert_eq!(crawled.names().len(), 110);
    let problem = &scope["problems"][0];
    assert_eq!((&problem["code"], &problem["operation"]), (&"AccessDeniedException".into(), &"DescribeTable".into()));
    assert_eq!(problem["table_count"], 10);
    // A denial is not retried.
    assert_eq!(scope["requests"]["DescribeTable"]["sent"], 120);
}

#[test]
fn a_table_that_stays_throttled_is_named_with_its_attempts() {
    let (sim, home) = ireland(40);
    sim.add_fault(on_describe(Effect::Throttle).table("table-000007"));
    let crawled = Dynacrawl::crawl_of(&sim, &home, IRELAND).args(["--max-attempts", "3"]).records();
    assert_eq!(crawled.code, 3);
    assert_eq!(crawled.failures(), [("table-000007", "throttled", "ThrottlingException")]);
    // Three attempts in its turn, and three in the last pass.
    assert_eq!(crawled.of_type("table_failed").next().expect("one")["attempts"], 6);
    let requests = &crawled.scope(IRELAND)["requests"]["DescribeTable"];
    assert_eq!((&requests["sent"], &requests["throttled"]), (&45.into(), &6.into()));
}

#[test]
fn transient_faults_of_every_kind_are_retried_and_counted() {
    let kinds = [
        Effect::Throttle,
        Effect::Status(500),
        Effect::Status(502),
        Effect::Status(503),
        Effect::DropConnection,
        Effect::TruncateBody,
        Effect::GarbageBody,
        Effect::Error { code: "InternalFailure".to_owned(), message: String::new(), status: 400 },
    ];
    for effect in kinds {
        let (sim, home) = ireland(40);
        let fault = sim.add_fault(on_describe(effect.clone()).first(5));
        let crawled = Dynacrawl::crawl_of(&sim, &home, IRELAND).records();
        assert_eq!(sim.fault_hits(fault), 5, "{effect:?}");
        complete_after(&crawled, &sim, 40, 5);
        let throttled = &crawled.scope(IRELAND)["requests"]["DescribeTable"]["throttled"];
        assert_eq!(*throttled, if effect == Effect::Throttle { 5 } else { 0 });
    }
}

#[test]
fn an_answer_that_is_too_slow_is_requested_again() {
    let (sim, home) = ireland(20);
    // Sixteen pieces take 3.2 seconds.
    sim.add_fault(on_describe(Effect::SlowBody { chunk_delay: Duration::from_millis(200) }).first(2));
    let crawled = Dynacrawl::crawl_of(&sim, &home, IRELAND).config("[aws]\nattempt_timeout = \"1s\"\n").records();
    complete_after(&crawled, &sim, 20, 2);
}

#[test]
fn an_answer_that_is_slow_but_in_time_is_used() {
    let (sim, home) = ireland(20);
    sim.add_fault(on_describe(Effect::SlowBody { chunk_delay: Duration::from_millis(20) }).first(2));
    let crawled = Dynacrawl::crawl_of(&sim, &home, IRELAND).records();
    complete_after(&crawled, &sim, 20, 0);
}

#[test]
fn a_table_whose_answer_is_never_json_fails() {
    for (effect, codes) in [
        (Effect::GarbageBody, ["invalid_response"].as_slice()),
        (Effect::TruncateBody, &["invalid_response", "connection_failed"]),
        (Effect::DropConnection, &["connection_failed"]),
        (Effect::Status(500), &["InternalServerError"]),
    ] {
        let (sim, home) = ireland(20);
        sim.add_fault(on_describe(effect.clone()).table("table-000003"));
        let crawled = Dynacrawl::crawl_of(&sim, &home, IRELAND).args(["--max-attempts", "3"]).records();
        assert_eq!(crawled.code, 3);
        let failures = crawled.failures();
        let [("table-000003", "failed", code)] = failures.as_slice() else { panic!("{effect:?}: {failures:?}") };
        assert!(codes.contains(code), "{effect:?}: {code}");
        assert_eq!(crawled.of_type("table_failed").next().expect("one")["attempts"], 6);
    }
}

#[test]
fn an_unknown_error_fails_its_table_at_once() {
    let (sim, home) = ireland(20);
    let unknown =
        Effect::Error { code: "MoonPhaseException".to_owned(), message: "wrong moon".to_owned(), status: 400 };
    sim.add_fault(on_describe(unknown).table("table-000003"));
    let crawled = Dynacrawl::crawl_of(&sim, &home, IRELAND).records();
    assert_eq!(crawled.failures(), [("table-000003", "failed", "MoonPhaseException")]);
    let failed = crawled.of_type("table_failed").next().expect("one");
    assert_eq!((&failed["message"], &failed["attempts"]), (&"wrong moon".into(), &1.into()));
}

#[test]
fn a_table_deleted_meanwhile_leaves_its_scope_complete() {
    let (sim, home) = alone(named(&["alpha", "omega"]).vanishing("gone"));
    let crawled = Dynacrawl::crawl_of(&sim, &home, IRELAND).records();
    assert_eq!((crawled.code, crawled.names()), (0, vec!["alpha", "omega"]));
    assert_eq!(crawled.failures(), [("gone", "vanished", "ResourceNotFoundException")]);
    let scope = crawled.scope(IRELAND);
    assert_eq!((&scope["outcome"], &scope["counts"]["vanished"]), (&"complete".into(), &1.into()));
    // Requested twice, because DescribeTable is eventually consistent.
    assert_eq!(crawled.of_type("table_failed").next().expect("one")["attempts"], 2);
}

#[test]
fn a_table_that_was_just_created_is_described() {
    let late = fixtures::small_table("late", HOME, IRELAND);
    let (sim, home) = alone(named(&["alpha"]).late("late", 1, &late));
    let crawled = Dynacrawl::crawl_of(&sim, &home, IRELAND).records();
    assert_eq!((crawled.code, crawled.names()), (0, vec!["alpha", "late"]));
}

#[test]
fn text_from_outside_cannot_control_a_terminal() {
    let evil = "evil\u{1b}[2J\u{202e}name";
    let (sim, home) = alone(named(&["alpha"]));
    sim.put_table(HOME, IRELAND, evil, &fixtures::small_table(evil, HOME, IRELAND)).expect("the Region is there");
    let hostile = "\u{1b}[31mred\u{7}\nsecond line";
    let effect = Effect::Error { code: "Odd\u{1b}[1mException".to_owned(), message: hostile.to_owned(), status: 400 };
    sim.add_fault(on_describe(effect).table("evil*"));
    let crawled = Dynacrawl::crawl_of(&sim, &home, IRELAND).records();
    assert_eq!(crawled.code, 3);
    assert!(!crawled.stderr.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{:?}", crawled.stderr);
    assert!(crawled.stderr.contains("\\u{1b}[31mred"), "{}", crawled.stderr);
    assert!(crawled.stderr.contains("evil\\u{1b}[2J\\u{202e}name"), "{}", crawled.stderr);
    let failed = crawled.of_type("table_failed").next().expect("one");
    assert_eq!(
        (&failed["table_name"], &failed["message"]),
        (&evil.into(), &hostile.into()),
        "the record has the original text"
    );
    assert!(!crawled.text.contains('\u{1b}'), "JSON escapes it");
}

#[test]
fn an_answer_without_table_names_is_not_an_empty_account() {
    let (sim, home) = ireland(3);
    let portal = || Effect::Error { code: "Login".to_owned(), message: "login required".to_owned(), status: 200 };
    sim.add_fault(FaultRule::new(portal()).operation(Operation::ListTables).first(1));
    let crawled = Dynacrawl::crawl_of(&sim, &home, IRELAND).records();
    assert_eq!((crawled.code, crawled.names().len()), (0, 3), "requested again");

    sim.add_fault(FaultRule::new(portal()).operation(Operation::ListTables));
    let impatient = ["--max-attempts", "2", "--patience", "1ms"];
    let crawled = Dynacrawl::crawl_of(&sim, &home, IRELAND).args(impatient).records();
    assert_eq!(crawled.code, 4);
    let scope = crawled.scope(IRELAND);
    assert_eq!((&scope["outcome"], &scope["problems"][0]["code"]), (&"failed".into(), &"invalid_response".into()));
}
