//! What holds for any worker, wherever it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dynacrawl_engine::{
    Checkpoint, Cursor, JobKey, LocalWorkers, MakeWorkers, ScopeEvent, ScopeJob, Step, What, Work, Workers,
};
use dynacrawl_model::RunOutcome;
use dynacrawl_sim::{Effect, FaultRule, Operation};
use dynacrawl_testing::inside::{HUB, Serialising, plan_of};
use dynacrawl_testing::world::{Crawl, World, table};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};

/// Crawls with other workers.
async fn crawl_with(world: &World, workers: MakeWorkers) -> Crawl {
    let plan = plan_of(&world.simulator, world.config(""));
    world.crawl_plan(plan.with_workers(workers)).await
}

/// Workers of which each job is lost after its first page, the first so many times.
struct Losing {
    local: LocalWorkers,
    losses: AtomicU64,
}

impl Workers for Losing {
    fn run(&self, job: ScopeJob) -> BoxStream<'static, ScopeEvent> {
        let events = self.local.run(job);
        let lost = self.losses.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
        if !lost {
            return events;
        }
        let before = |event: &ScopeEvent| !matches!(event.what, What::Finished(_) | What::TableDescribed(_));
        events.take_while(move |event| std::future::ready(before(event))).boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_lost_is_replaced_at_the_end_of_the_run() {
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
    fn run(&self, job: ScopeJob) -> BoxStream<'static, ScopeEvent> {
        let two = stream::unfold((self.0.run(job), 2), |(mut events, left)| async move {
            if left == 0 {
                drop(events);
                return std::future::pending().await;
            }
            events.next().await.map(|event| (event, (events, left - 1)))
        });
        two.boxed()
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
async fn a_run_over_a_wire_is_the_same_as_a_local_one() {
    let local: MakeWorkers = |local| Arc::new(local);
    let over_a_wire: MakeWorkers = |local| Arc::new(Serialising(local));
    let mut lines = Vec::new();
    for workers in [local, over_a_wire] {
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
    for name in ["run_id", "at", "observed_at", "duration_ms", "pace", "last_seen_at", "config_digest"] {
        members.remove(name);
    }
    record.to_string()
}

#[test]
fn a_checkpoint_names_the_step_and_one_of_an_earlier_version_is_read() {
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
