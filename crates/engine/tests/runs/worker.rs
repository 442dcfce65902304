//! What holds for any worker, wherever it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dynacrawl_engine::{
    Checkpoint, Cursor, JobKey, LocalWorkers, MakeWorkers, ScopeEvent, ScopeJob, Step, What, Work, Workers,
};
use dynacrawl_model::{Region, RunOutcome};
use dynacrawl_sim::{Effect, FaultRule, Operation};
use dynacrawl_testing::inside::{HUB, Serialising, plan_of};
use dynacrawl_testing::world::{Crawl, World, table};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio_util::sync::CancellationToken;

/// Crawls with other workers.
async fn crawl_with(world: &World, workers: MakeWorkers) -> Crawl {
    let plan = plan_of(&world.simulator, world.config(""));
    world.crawl_plan(plan.with_workers(workers)).await
}

/// Workers that lose their first `losses` jobs after the first page.
struct Losing {
    local: LocalWorkers,
    losses: AtomicU64,
}

impl Workers for Losing {
    fn run(&self, job: ScopeJob, stop: CancellationToken) -> BoxStream<'static, ScopeEvent> {
        let events = self.local.run(job, stop);
        let lost = self.losses.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
        if !lost {
            return events;
        }
        let before = |event: &ScopeEvent| !matches!(event.what, What::Finished(_) | What::TableDescribed(_));
        events.take_while(move |event| std::future::ready(before(event))).boxed()
    }

    fn end(&self, target: &str, region: &Region) {
        self.local.end(target, region);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_worker_is_replaced_at_the_end_of_the_run() {
    let world = World::new(250);
    let lossy: MakeWorkers = |local| Arc::new(Losing { local, losses: AtomicU64::new(1) });
    let crawl = crawl_with(&world, lossy).await;
    assert_eq!((crawl.report.outcome, crawl.of("table").len()), (RunOutcome::Complete, 250));
    let always: MakeWorkers = |local| Arc::new(Losing { local, losses: AtomicU64::new(u64::MAX) });
    let crawl = crawl_with(&world, always).await;
    assert_eq!(crawl.report.outcome, RunOutcome::Partial);
    assert_eq!(crawl.problem("worker_lost")["message"], "the worker ended in the middle of its job");
    assert_eq!(crawl.changes(), 0, "a worker that is lost removes nothing");
}

/// Workers whose streams are dropped after two events, and then never end.
struct Dropping(LocalWorkers);

impl Workers for Dropping {
    fn run(&self, job: ScopeJob, stop: CancellationToken) -> BoxStream<'static, ScopeEvent> {
        let two = stream::unfold((self.0.run(job, stop), 2), |(mut events, left)| async move {
            if left == 0 {
                drop(events);
                return std::future::pending().await;
            }
            events.next().await.map(|event| (event, (events, left - 1)))
        });
        two.boxed()
    }

    fn end(&self, target: &str, region: &Region) {
        self.0.end(target, region);
    }
}

/// Workers whose events go through a function first.
struct Altering {
    local: LocalWorkers,
    alter: fn(ScopeEvent) -> Vec<ScopeEvent>,
}

impl Workers for Altering {
    fn run(&self, job: ScopeJob, stop: CancellationToken) -> BoxStream<'static, ScopeEvent> {
        let alter = self.alter;
        self.local.run(job, stop).flat_map(move |event| stream::iter(alter(event))).boxed()
    }

    fn end(&self, target: &str, region: &Region) {
        self.local.end(target, region);
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_about_a_table_that_arrives_twice_counts_once() {
    let world = World::new(250);
    let twice: MakeWorkers = |local| {
        let alter = |event: ScopeEvent| match event.what {
            What::TableDescribed(_) | What::TableFailed(_) | What::TableDeferred(_) => vec![event.clone(), event],
            _ => vec![event],
        };
        Arc::new(Altering { local, alter })
    };
    world.simulator.add_fault(FaultRule::new(Effect::Deny).operation(Operation::DescribeTable).table(table(7)));
    let crawl = crawl_with(&world, twice).await;
    let counts = crawl.report.counts;
    assert_eq!((counts.described, counts.denied, crawl.of("table").len()), (249, 1, 249), "{:?}", crawl.report);
    assert_eq!((crawl.of("table_failed").len(), crawl.of("table_added").len()), (1, 249));
}

#[tokio::test(start_paused = true)]
async fn an_event_of_another_job_counts_as_a_lost_worker() {
    let world = World::new(20);
    let foreign: MakeWorkers = |local| {
        let alter = |event: ScopeEvent| {
            let target = "other".to_owned();
            let key = Arc::new(JobKey { target, ..(*event.key).clone() });
            vec![if matches!(event.what, What::TableDescribed(_)) { ScopeEvent { key, ..event } } else { event }]
        };
        Arc::new(Altering { local, alter })
    };
    let crawl = crawl_with(&world, foreign).await;
    assert_eq!((crawl.of("table").len(), crawl.report.outcome), (0, RunOutcome::Partial));
    assert_eq!(crawl.problem("worker_lost")["message"], "the worker reported about another job");
}

#[tokio::test(start_paused = true)]
async fn a_table_that_a_lost_worker_did_not_confirm_stays() {
    let world = World::new(20);
    world.crawl().await;
    world.remove(3..5);
    // The tables are not found, but the account of the credentials was not checked.
    let unchecked: MakeWorkers = |local| {
        let alter = |event: ScopeEvent| if is_the_check(&event) { Vec::new() } else { vec![event] };
        Arc::new(Altering { local, alter })
    };
    let crawl = crawl_with(&world, unchecked).await;
    assert_eq!((crawl.changes(), crawl.report.outcome), (0, RunOutcome::Partial));
    assert_eq!(crawl.problem("removal_unconfirmed")["table_count"], 2);
    let lost: MakeWorkers = |local| Arc::new(LostAtTheEnd(local));
    let crawl = crawl_with(&world, lost).await;
    assert_eq!((crawl.changes(), crawl.report.outcome), (0, RunOutcome::Partial));
    assert_eq!(crawl.problem("worker_lost")["message"], "the worker ended in the middle of its job");
    assert_eq!(world.crawl().await.of("table_removed").len(), 2);
}

fn is_the_check(event: &ScopeEvent) -> bool {
    matches!(event.what, What::OwnershipChecked(_))
}

/// Workers that are lost before they have checked the account of their credentials.
struct LostAtTheEnd(LocalWorkers);

impl Workers for LostAtTheEnd {
    fn run(&self, job: ScopeJob, stop: CancellationToken) -> BoxStream<'static, ScopeEvent> {
        self.0.run(job, stop).take_while(|event| std::future::ready(!is_the_check(event))).boxed()
    }

    fn end(&self, target: &str, region: &Region) {
        self.0.end(target, region);
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_the_stream_cancels_the_worker() {
    let world = World::new(1000);
    let slow = FaultRule::new(Effect::Delay(Duration::from_secs(1))).operation(Operation::DescribeTable);
    world.simulator.add_fault(slow);
    let dropping: MakeWorkers = |local| Arc::new(Dropping(local));
    let mut crawl = std::pin::pin!(crawl_with(&world, dropping));
    let minute = Duration::from_secs(60);
    assert!(tokio::time::timeout(minute, &mut crawl).await.is_err(), "nothing more is reported");
    let requests = world.simulator.counts().requests(Operation::DescribeTable);
    assert!(tokio::time::timeout(minute, &mut crawl).await.is_err(), "nothing more is reported");
    assert_eq!(world.simulator.counts().requests(Operation::DescribeTable), requests);
    assert!(requests < 1000, "{requests}");
}

#[tokio::test(start_paused = true)]
async fn a_run_over_a_network_is_the_same_as_a_local_one() {
    let local: MakeWorkers = |local| Arc::new(local);
    let over_a_network: MakeWorkers = |local| Arc::new(Serialising(local));
    let mut lines = Vec::new();
    for workers in [local, over_a_network] {
        let world = World::new(250);
        let denied = FaultRule::new(Effect::Deny).operation(Operation::DescribeTable).table(table(7));
        world.simulator.add_fault(denied);
        let first = crawl_with(&world, workers).await;
        world.remove(20..22);
        world.edit(&table(3), |table| table["DeletionProtectionEnabled"] = true.into());
        let second = crawl_with(&world, workers).await;
        let mut written: Vec<_> = first.records.into_iter().chain(second.records).map(without_times).collect();
        written.sort();
        lines.push(written);
    }
    assert_eq!(lines[0], lines[1]);
}

/// A record without what differs from run to run.
fn without_times(mut record: serde_json::Value) -> String {
    let members = record.as_object_mut().expect("an object");
    for name in
        ["run_id", "started_at", "ended_at", "observed_at", "duration_ms", "pace", "last_seen_at", "config_digest"]
    {
        members.remove(name);
    }
    record.to_string()
}

#[test]
fn a_checkpoint_has_its_step_and_is_read_without_one() {
    let checkpoint = Checkpoint { cursor: Cursor::End, step: Step::Confirm, ..Checkpoint::default() };
    let mut value = serde_json::to_value(&checkpoint).expect("JSON");
    assert_eq!(value["step"], "confirm");
    value.as_object_mut().expect("an object").remove("step");
    let earlier: Checkpoint = serde_json::from_value(value).expect("a checkpoint");
    assert_eq!((earlier.step, earlier.cursor), (Step::Crawl, Cursor::End));
}

#[test]
fn a_job_has_no_secrets() {
    let world = World::new(1);
    let plan = plan_of(&world.simulator, world.config(""));
    let target = &plan.targets[0].target;
    let key = JobKey {
        run_id: dynacrawl_model::RunId::generate(),
        target: target.name.clone(),
        region: target.regions[0].clone(),
        step: Step::Crawl,
    };
    let settings = plan.digest().to_owned();
    let job = ScopeJob { key: Arc::new(key), settings, account_id: None, work: Work::Crawl(None) };
    let text = serde_json::to_string(&job).expect("JSON");
    let secret = dynacrawl_sim::Account::new(HUB).access("hub").secret_access_key;
    assert!(!text.contains(&secret), "{text}");
}
