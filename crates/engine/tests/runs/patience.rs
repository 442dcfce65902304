//! Faults that pass and faults that do not, on simulated time: what a crawl outlasts, and when it
//! gives up.

use std::time::Duration;

use dynacrawl_model::{Outcome, RunOutcome};
use dynacrawl_sim::{Effect, FaultRule, InProcess, Operation};

use super::fairness::{account, crawl, estate, options};

fn error(code: &str, message: &str) -> Effect {
    Effect::Error { code: code.to_owned(), message: message.to_owned(), status: 400 }
}

#[tokio::test(start_paused = true)]
async fn a_scope_with_only_server_errors_is_given_up() {
    let simulator = InProcess::new(estate(&[10_000, 100]), &options());
    let broken = FaultRule::new(Effect::Status(500)).account(account(0)).operation(Operation::DescribeTable);
    simulator.add_fault(broken);
    let (ended, report) = crawl(&simulator, 2, "").await;
    assert_eq!((report.scopes.complete, ended[&account(1)].1.outcome), (1, Outcome::Complete));
    let (at, scope) = &ended[&account(0)];
    assert!((60..=80).contains(&at.as_secs()), "{at:?}");
    assert_eq!((scope.outcome, scope.counts.failed, scope.counts.listed), (Outcome::Partial, 10_000, 10_000));
}

#[tokio::test(start_paused = true)]
async fn a_scope_whose_calls_all_hang_is_given_up() {
    let simulator = InProcess::new(estate(&[10_000, 100]), &options());
    let hanging = FaultRule::new(Effect::Delay(Duration::from_secs(3600))).account(account(0));
    simulator.add_fault(hanging.operation(Operation::DescribeTable));
    let (ended, report) = crawl(&simulator, 2, "").await;
    assert_eq!((report.scopes.complete, ended[&account(1)].1.outcome), (1, Outcome::Complete));
    let (at, scope) = &ended[&account(0)];
    // A minute of patience, the attempts that were under way then, and a probe for the rest and one for the last pass.
    assert!((60..=180).contains(&at.as_secs()), "{at:?}");
    assert_eq!((scope.outcome, scope.counts.failed, scope.counts.listed), (Outcome::Partial, 10_000, 10_000));
}

#[tokio::test(start_paused = true)]
async fn a_listing_outlasts_half_a_minute_of_server_errors() {
    let simulator = InProcess::new(estate(&[250]), &options());
    // Ten attempts take about eight seconds, each further one about five.
    simulator.add_fault(FaultRule::new(Effect::Status(503)).operation(Operation::ListTables).first(16));
    let (ended, report) = crawl(&simulator, 1, "").await;
    assert_eq!((report.outcome, report.counts.described), (RunOutcome::Complete, 250));
    assert!(ended[&account(0)].0 > Duration::from_secs(20), "{:?}", ended[&account(0)].0);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_briefly_unknown_does_not_end_its_scope() {
    let simulator = InProcess::new(estate(&[200]), &options());
    let unknown = error("UnrecognizedClientException", "The security token included in the request is invalid.");
    for operation in [Operation::ListTables, Operation::DescribeTable] {
        simulator.add_fault(FaultRule::new(unknown.clone()).operation(operation).nth(2));
    }
    let (_, report) = crawl(&simulator, 1, "").await;
    assert_eq!((report.outcome, report.counts.described), (RunOutcome::Complete, 200));
    // A listing and a table that were refused together cost one new session.
    let sessions = simulator.counts().requests(Operation::AssumeRole);
    assert!((2..=3).contains(&sessions), "{sessions}");
}

#[tokio::test(start_paused = true)]
async fn an_account_survives_a_broken_sts_for_seconds() {
    let simulator = InProcess::new(estate(&[20]), &options());
    simulator.add_fault(FaultRule::new(Effect::Status(503)).operation(Operation::AssumeRole).first(10));
    let (_, report) = crawl(&simulator, 1, "").await;
    assert_eq!((report.outcome, report.counts.described), (RunOutcome::Complete, 20));
}

#[tokio::test(start_paused = true)]
async fn a_table_refused_for_a_wrong_clock_gets_the_last_pass() {
    let simulator = InProcess::new(estate(&[20]), &options());
    let skewed = error("InvalidSignatureException", "Signature expired: 20260101T000000Z is now earlier than …");
    simulator.add_fault(FaultRule::new(skewed).operation(Operation::DescribeTable).table("table-000007").first(4));
    let (ended, report) = crawl(&simulator, 1, "").await;
    assert_eq!((report.outcome, report.counts.described), (RunOutcome::Complete, 20));
    assert_eq!(ended[&account(0)].1.requests.of(dynacrawl_model::Operation::DescribeTable).sent, 24);
}
