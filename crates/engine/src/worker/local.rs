//! Workers that are tasks of this process.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};

use dynacrawl_fetcher::panic_message;
use dynacrawl_model::{Outcome, Problem, Region};
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, Stream, StreamExt};
use tokio::sync::{OnceCell, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{Instrument, Span};

use super::{ScopeWorker, WorkerSettings, Workers};
use crate::event::{Finished, ScopeEvent, ScopeJob, What};
use crate::stop_reason::StopReason;
use crate::target::{Connector, ReadyTarget, TargetConnection};

/// How many events of a scope wait for the coordinator.
const QUEUED_EVENTS: usize = 32;

/// A target of a run: its credentials, and the connection that its scopes share. The first scope
/// makes it.
#[derive(Debug)]
pub(crate) struct RunTarget {
    pub(crate) ready: ReadyTarget,
    connection: OnceCell<TargetConnection>,
}

impl RunTarget {
    /// The connection. Getting it makes no call to AWS.
    pub(crate) async fn connection(&self, connector: &Connector) -> &TargetConnection {
        self.connection.get_or_init(|| connector.connect(&self.ready)).await
    }
}

/// The targets of a run, by name, as long as something else holds them.
#[derive(Debug, Default)]
pub(crate) struct RunTargets(Mutex<HashMap<String, Weak<RunTarget>>>);

impl RunTargets {
    /// Adds a target.
    pub(crate) fn add(&self, ready: ReadyTarget) -> Arc<RunTarget> {
        let name = ready.target.name.clone();
        let target = Arc::new(RunTarget { ready, connection: OnceCell::new() });
        let mut targets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A dead weak reference still keeps the memory of its target allocated.
        targets.retain(|_, other| other.strong_count() > 0);
        targets.insert(name, Arc::downgrade(&target));
        drop(targets);
        target
    }

    fn get(&self, name: &str) -> Option<Arc<RunTarget>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name)?.upgrade()
    }
}

/// Workers that are tasks of this process.
#[derive(Debug)]
pub struct LocalWorkers {
    pub(crate) targets: Arc<RunTargets>,
    pub(crate) connector: Arc<Connector>,
    pub(crate) settings: Arc<WorkerSettings>,
}

impl Workers for LocalWorkers {
    fn run(&self, job: ScopeJob, stop: CancellationToken) -> BoxStream<'static, ScopeEvent> {
        let (events, received) = mpsc::channel(QUEUED_EVENTS);
        let target = self.targets.get(&job.key.target);
        let (connector, settings) = (self.connector.clone(), self.settings.clone());
        let working = async move {
            let refused = |why: String| StopReason::for_good(Outcome::Failed, Problem::new("invalid_job", why));
            let Some(target) = target else {
                return refuse(&job, &events, refused(format!("unknown target '{}'", job.key.target))).await;
            };
            if job.settings != settings.digest {
                return refuse(&job, &events, refused("the worker has other settings".to_owned())).await;
            }
            let connection = target.connection(&connector).await;
            let worker = ScopeWorker::new(&job, connection, &settings, events, stop);
            let worked = AssertUnwindSafe(Box::pin(worker.work())).catch_unwind().await;
            if let Err(panic) = worked {
                let problem = Problem::new("panic", panic_message(&*panic));
                worker.stop(StopReason::for_good(Outcome::Failed, problem));
                // If nothing receives the event, the job was cancelled.
                let _ = worker.finish().await;
            }
        };
        let task = AbortOnDropHandle::new(tokio::spawn(working.instrument(Span::current())));
        Events { received, _task: task }.boxed()
    }

    fn end(&self, target: &str, region: &Region) {
        if let Some(connection) = self.targets.get(target).as_ref().and_then(|target| target.connection.get()) {
            connection.forget_client(region);
        }
    }
}

async fn refuse(job: &ScopeJob, events: &mpsc::Sender<ScopeEvent>, reason: StopReason) {
    let finished = Finished { stopped: Some(reason), foreign: false, foreign_arns: false, pace: Default::default() };
    let what = What::Finished(finished);
    let event = ScopeEvent { key: job.key.clone(), requests: Default::default(), what };
    // If nothing receives the event, the job was cancelled.
    let _ = events.send(event).await;
}

/// The events of a worker's task. Dropping them aborts the task.
struct Events {
    received: mpsc::Receiver<ScopeEvent>,
    _task: AbortOnDropHandle<()>,
}

impl Stream for Events {
    type Item = ScopeEvent;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<ScopeEvent>> {
        self.received.poll_recv(context)
    }
}
