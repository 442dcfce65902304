//! How scopes affect each other, on simulated time: the simulator answers inside the process, and
//! the clock jumps from one event to the next.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dynacrawl_engine::{Progress, RunEvent, RunHistory, RunReport, run};
use dynacrawl_model::{Body, Outcome, RunId, RunOutcome, ScopeCompleted};
use dynacrawl_sim::{Account, Effect, Estate, FaultRule, InProcess, Operation, Options, Quota, Role, Tables};
use dynacrawl_sinks::Entry;
use dynacrawl_testing::inside::{HUB, plan};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub(super) const REGION: &str = "us-east-1";

/// Accounts with these numbers of tables, in this order, and a hub that may assume a role in each.
pub(super) fn estate(tables: &[u64]) -> Estate {
    let member = |(number, tables): (usize, &u64)| {
        Account::new(account(number))
            .role(Role::new("Reader").trusts(HUB))
            .region(REGION, Tables::new().generated(*tables))
    };
    let hub = Account::new(HUB).region(REGION, Tables::new());
    Estate::new(tables.iter().enumerate().map(member).chain([hub]))
}

pub(super) fn account(number: usize) -> String {
    format!("{:012}", 100_000_000_000 + number)
}

/// Crawls the first `accounts` accounts. Returns the end of each scope's crawl, by account, and the
/// report.
pub(super) async fn crawl(
    simulator: &InProcess,
    accounts: usize,
    settings: &str,
) -> (BTreeMap<String, (Duration, ScopeCompleted)>, RunReport) {
    let names: Vec<_> = (0..accounts).map(account).collect();
    let plan = plan(
        simulator,
        &format!(
            "[crawl]\n{settings}\n[[target]]\nname = \"all\"\nregions = [\"{REGION}\"]\naccounts = {names:?}\n\
             assume_role = [{{ arn = \"arn:aws:iam::{{account}}:role/Reader\" }}]\n"
        ),
    );
    let (records, mut received) = mpsc::channel::<RunEvent>(256);
    let (stop, progress) = (CancellationToken::new(), Arc::new(Progress::default()));
    let started = Instant::now();
    let listen = async {
        let mut ended = BTreeMap::new();
        while let Some(one) = received.recv().await {
            for record in one.into_records() {
                let (Some(scope), Body::ScopeCompleted(completed)) = (record.scope, record.body) else { continue };
                let account = scope.account_id.as_ref().expect("an account").to_string();
                ended.insert(account, (started.elapsed(), *completed));
            }
        }
        ended
    };
    let running = run(&plan, RunId::generate(), RunHistory::default(), records, &stop, &progress);
    let (report, ended) = tokio::join!(running, listen);
    assert_eq!(ended.len(), accounts);
    (ended, report)
}

pub(super) fn options() -> Options {
    Options { verify_signatures: false, latency: Duration::from_millis(20), ..Options::default() }
}

#[tokio::test(start_paused = true)]
async fn small_scopes_end_early_and_a_large_one_never_waits() {
    let mut tables = vec![20; 301];
    tables[150] = 10_000;
    let simulator = InProcess::new(estate(&tables), &options());
    let (mut ended, report) = crawl(&simulator, 301, "").await;
    assert_eq!((report.outcome, report.counts.described), (RunOutcome::Complete, 16_000));
    let (large_ended, large) = ended.remove(&account(150)).expect("the large one");
    // 10,101 requests at 250 a second, of which the burst of 25 is free: the scope is as fast as
    // allowed.
    let least = 10_076.0 / 250.0;
    let took = large.duration_ms as f64 / 1000.0;
    assert!(took >= least - 0.1 && took < least * 1.02, "{took} s, at least {least} s");
    assert!(large_ended.as_secs_f64() < took + 1.5, "it waited {large_ended:?} - {took} s for its turn");
    let last_small = ended.values().map(|(at, _)| *at).max().expect("small ones");
    assert!(last_small < Duration::from_secs(3), "{last_small:?}");
}

#[tokio::test(start_paused = true)]
async fn a_throttled_scope_does_not_delay_any_other() {
    const THROTTLED: usize = 30;
    let tables = [100; 60];
    let alone = InProcess::new(estate(&tables), &options());
    let (without, _) = crawl(&alone, 60, "").await;
    let simulator = InProcess::new(estate(&tables), &options());
    let quota = Quota::per_second(5).with_burst(5);
    simulator.set_quota(&account(THROTTLED), REGION, Some(quota)).expect("a scope");
    let (with, report) = crawl(&simulator, 60, "").await;
    assert_eq!(report.outcome, RunOutcome::Complete, "the throttled one has all its tables, too");
    for (account, (at, scope)) in with.iter().filter(|(id, _)| **id != account(THROTTLED)) {
        let before = without[account].0;
        assert!(*at <= before + Duration::from_millis(50), "{account}: {at:?}, without the throttled one {before:?}");
        assert_eq!(
            (scope.requests.of(dynacrawl_model::Operation::DescribeTable).throttled, scope.pace.lowest),
            (0, None)
        );
    }
    let (at, throttled) = &with[&account(THROTTLED)];
    assert!(
        throttled.requests.of(dynacrawl_model::Operation::DescribeTable).throttled > 0
            && throttled.pace.lowest.is_some_and(|rate| rate < 20.0)
    );
    // 101 requests at 5 a second are 20 seconds.
    assert!(*at > Duration::from_secs(15) && *at < Duration::from_secs(60), "{at:?}");
}

#[tokio::test(start_paused = true)]
async fn many_throttled_scopes_do_not_take_the_places_of_others() {
    let mut tables = vec![40; 60];
    tables.extend([40; 100]);
    let simulator = InProcess::new(estate(&tables), &options());
    for number in 0..60 {
        simulator
            .add_fault(FaultRule::new(Effect::Throttle).account(account(number)).operation(Operation::DescribeTable));
    }
    let settings = "requests = 32\nconcurrency = 16\nscopes = 64\npatience = \"30s\"";
    let (ended, report) = crawl(&simulator, 160, settings).await;
    assert_eq!(report.scopes.complete, 100);
    let outcomes = (0..60).map(|number| ended[&account(number)].1.outcome);
    assert!(outcomes.into_iter().all(|outcome| outcome == Outcome::Partial));
    // Four scopes at a time, which alone take about 0.2 s each.
    let last = (60..160).map(|number| ended[&account(number)].0).max().expect("others");
    assert!(last < Duration::from_secs(20), "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn scopes_that_hang_do_not_slow_others_down() {
    const HANGING: usize = 8;
    let mut tables = vec![64; HANGING];
    tables.extend([80; 24]);
    // Each scope wants as many requests at once as there are places: one that hangs would take all
    // of them.
    let settings = "rate = 0\nrequests = 64\nconcurrency = 64\nscopes = 64\nmax_attempts = 1";
    let healthy_end = async |simulator: InProcess| {
        let (ended, _) = crawl(&simulator, 32, settings).await;
        let healthy: Vec<_> = (HANGING..32).map(|number| ended[&account(number)].clone()).collect();
        assert!(healthy.iter().all(|(_, scope)| scope.outcome == Outcome::Complete));
        healthy.into_iter().map(|(at, _)| at).max().expect("healthy ones")
    };
    let without = healthy_end(InProcess::new(estate(&tables), &options())).await;
    let simulator = InProcess::new(estate(&tables), &options());
    for number in 0..HANGING {
        let hang = FaultRule::new(Effect::Delay(Duration::from_secs(3600)));
        simulator.add_fault(hang.account(account(number)).operation(Operation::DescribeTable));
    }
    let beside = healthy_end(simulator).await;
    assert!(beside <= without * 2, "{beside:?} beside scopes that hang, {without:?} without");
}

#[tokio::test(start_paused = true)]
async fn tables_that_failed_under_load_succeed_in_the_last_pass() {
    let simulator = InProcess::new(estate(&[200]), &options());
    // Ten tables, each at all three attempts of its turn.
    let fault = FaultRule::new(Effect::Status(503)).operation(Operation::DescribeTable).table("table-00010*");
    simulator.add_fault(fault.first(30));
    let (ended, report) = crawl(&simulator, 1, "max_attempts = 3").await;
    assert_eq!((report.outcome, report.counts.described), (RunOutcome::Complete, 200));
    let scope = &ended[&account(0)].1;
    assert_eq!((scope.requests.of(dynacrawl_model::Operation::DescribeTable).sent, scope.problems.len()), (230, 0));
}

#[tokio::test(start_paused = true)]
async fn the_rate_is_reached_by_default_and_concurrency_caps_it() {
    const TABLES: u64 = 5_000;
    let options = Options { latency: Duration::from_millis(30), ..options() };
    let simulator = InProcess::new(estate(&[TABLES]), &options);
    let (ended, report) = crawl(&simulator, 1, "rate = 2500").await;
    assert_eq!((report.outcome, report.counts.described), (RunOutcome::Complete, TABLES));
    // With 50 pages; the burst of 250 is free.
    let least = Duration::from_millis((TABLES + 50 - 250) * 1_000 / 2_500);
    let took = ended[&account(0)].0;
    assert!(took <= least.mul_f64(1.1), "{took:?}, at least {least:?}");

    let simulator = InProcess::new(estate(&[1_000]), &options);
    let (ended, _) = crawl(&simulator, 1, "rate = 2500\nconcurrency = 10").await;
    let (took, least) = (ended[&account(0)].0, Duration::from_secs(3));
    assert!(took >= least, "ten at a time take at least {least:?}: {took:?}");
}
