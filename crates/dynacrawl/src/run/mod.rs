//! A run: every scope crawled, each ending with exactly one `scope_completed`, whatever happens.

pub(crate) mod progress;
mod scope;
mod target;
mod tracker;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dynacrawl_auth::CredentialSpec;
use dynacrawl_aws::AwsSettings;
use dynacrawl_fetcher::panic_message;
use dynacrawl_model::{
    AccountId, Counts, Outcome, Problem, Record, Region, Requests, RunCompleted, RunId, RunOutcome, RunStarted,
    SchemaVersion, ScopeCompleted, ScopeTotals, Timestamp,
};
use tokio::sync::{OnceCell, Semaphore, mpsc};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use progress::{Progress, ProgressNow};
use scope::{ScopeTask, SinkGone};
use target::scope_of;
pub(crate) use target::{ReadyTarget, TargetConnection};
use tracker::{Ended, Stopped, Tracker};

use crate::config::{Config, ConfigError, Target};

/// A run that can begin: everything that can be wrong without a call to AWS has been found out.
#[derive(Debug)]
pub struct RunPlan {
    config: Arc<Config>,
    aws: AwsSettings,
    targets: Vec<ReadyTarget>,
}

/// A scope that the run is going to crawl.
#[derive(Clone, Debug)]
pub(crate) struct ScopePlan {
    /// The number of its target.
    target: usize,
    region: Region,
}

/// How a run went.
#[derive(Debug)]
pub struct RunReport {
    /// How it ended.
    pub outcome: RunOutcome,
    /// Scopes by outcome.
    pub scopes: ScopeTotals,
    /// Tables by what became of them.
    pub counts: Counts,
    /// Requests per API.
    pub requests: Requests,
    /// How long it took.
    pub duration: Duration,
    /// The scopes that are not complete, or have something to tell; the first ones.
    pub notable: Vec<ScopeCompleted>,
    /// Whether the sink went away before the run had ended.
    pub sink_gone: bool,
}

/// How many scopes a [`RunReport`] keeps.
const NOTABLE_SCOPES: usize = 100;

impl RunPlan {
    /// Reads the secrets and sets up the HTTP stack.
    ///
    /// # Errors
    /// When a secret or the CA bundle is not where the configuration says, or there is no target.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        Self::with_credentials(config, Target::credentials)
    }

    /// The same, with credentials that are not where the configuration says.
    pub(crate) fn with_credentials(
        config: Config,
        credentials: impl Fn(&Target) -> Result<CredentialSpec, ConfigError>,
    ) -> Result<Self, ConfigError> {
        let ready =
            |target: &Target| Ok(ReadyTarget::new(target.clone(), credentials(target)?, config.sts_region(target)));
        let targets = config.targets.iter().map(ready).collect::<Result<_, _>>()?;
        let http = config.http.build().map_err(|error| {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            ConfigError::value("aws.ca_bundle (--ca-bundle, AWS_CA_BUNDLE)", format!("{error}{cause}"))
        })?;
        let aws = AwsSettings { http, attempt_timeout: config.attempt_timeout };
        Ok(Self { targets, config: Arc::new(config), aws })
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Connects the targets, in order. Nothing is called yet.
    pub(crate) async fn connect(&self) -> Vec<TargetConnection> {
        let mut connections = Vec::new();
        for target in &self.targets {
            connections.push(target.clone().connect(&self.aws, &self.config).await);
        }
        connections
    }

    fn scopes(&self) -> Vec<ScopePlan> {
        let mut scopes = Vec::new();
        for (target, ready) in self.targets.iter().enumerate() {
            scopes.extend(ready.target.regions.iter().map(|region| ScopePlan { target, region: region.clone() }));
        }
        scopes
    }
}

/// Which target has claimed an account and Region. Only a run finds out that two targets lead to the same account.
#[derive(Debug, Default)]
pub(crate) struct Claims(Mutex<HashMap<(AccountId, Region), String>>);

impl Claims {
    /// Claims the scope; returns the target that has it already.
    fn claim(&self, account_id: &AccountId, region: &Region, target: &str) -> Option<String> {
        let mut claims = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (account_id.clone(), region.clone());
        if let Some(other) = claims.get(&key) {
            return Some(other.clone());
        }
        claims.insert(key, target.to_owned());
        None
    }
}

/// Crawls every scope. Ends early when `stop` is cancelled, after at most the grace time, or when the records' way out is
/// closed.
pub async fn run(
    plan: &RunPlan,
    records: mpsc::Sender<Record>,
    stop: &CancellationToken,
    progress: &Arc<Progress>,
) -> RunReport {
    let mut run = Run {
        plan,
        run_id: RunId::generate(),
        records,
        started: Instant::now(),
        totals: ScopeTotals::default(),
        counts: Counts::default(),
        requests: Requests::default(),
        listed_a_page: false,
        notable: Vec::new(),
    };
    let crawled = run.crawl(stop, progress).await;
    // Of a run whose sink went away there is no last record, and nothing depends on its outcome.
    let (outcome, sink_gone) = match crawled {
        Ok(outcome) => (outcome, false),
        Err(SinkGone) => (run.outcome(stop.is_cancelled()), true),
    };
    RunReport {
        outcome,
        scopes: run.totals,
        counts: run.counts,
        requests: run.requests,
        duration: run.started.elapsed(),
        notable: run.notable,
        sink_gone,
    }
}

struct Run<'a> {
    plan: &'a RunPlan,
    run_id: RunId,
    records: mpsc::Sender<Record>,
    started: Instant,
    totals: ScopeTotals,
    counts: Counts,
    requests: Requests,
    listed_a_page: bool,
    notable: Vec<ScopeCompleted>,
}

/// What the run keeps of a scope while its task is under way.
struct UnderWay {
    plan: ScopePlan,
    tracker: Arc<Tracker>,
    started: Arc<OnceCell<Instant>>,
}

impl Run<'_> {
    async fn crawl(&mut self, stop: &CancellationToken, progress: &Arc<Progress>) -> Result<RunOutcome, SinkGone> {
        let scopes = self.plan.scopes();
        self.totals.planned = scopes.len() as u64;
        progress.planned(scopes.len());
        self.emit(self.run_started()).await?;

        let mut tasks = JoinSet::new();
        let mut under_way = HashMap::new();
        let connections: Arc<[OnceCell<TargetConnection>]> =
            self.plan.targets.iter().map(|_| OnceCell::new()).collect();
        let slots = Arc::new(Semaphore::new(self.plan.config.crawl.scopes));
        let claims = Arc::new(Claims::default());
        for plan in scopes {
            let target = self.plan.targets[plan.target].clone();
            let tracker =
                Arc::new(Tracker::new(scope_of(&target.target, &plan.region), self.plan.config.crawl.dry_run));
            let task = ScopeTask {
                run_id: self.run_id,
                config: self.plan.config.clone(),
                plan: plan.clone(),
                records: self.records.clone(),
                stop: stop.clone(),
                tracker: tracker.clone(),
                claims: claims.clone(),
                progress: progress.clone(),
            };
            let started = Arc::new(OnceCell::new());
            let (begun, slots) = (started.clone(), slots.clone());
            let (connections, aws) = (connections.clone(), self.plan.aws.clone());
            let handle = tasks.spawn(async move {
                let slot = tokio::select! {
                    biased;
                    () = task.stop.cancelled() => return Ok(()),
                    slot = slots.acquire() => slot,
                };
                let _ = begun.set(Instant::now());
                let connect = || async { target.connect(&aws, &task.config).await };
                let connection = connections[task.plan.target].get_or_init(connect).await;
                // Boxed: thousands of scopes wait for their turn, and a waiting one should be small.
                let crawled = Box::pin(task.crawl(connection)).await;
                drop(slot);
                crawled
            });
            under_way.insert(handle.id(), UnderWay { plan, tracker, started });
        }

        // From the interrupt on, what is under way has the grace time.
        let mut overdue = std::pin::pin!(async {
            stop.cancelled().await;
            tokio::time::sleep(self.plan.config.crawl.grace).await;
        });
        let mut aborted = false;
        loop {
            let joined = tokio::select! {
                biased;
                joined = tasks.join_next_with_id() => joined,
                () = self.records.closed() => return Err(SinkGone),
                () = &mut overdue, if !aborted => {
                    tasks.abort_all();
                    aborted = true;
                    continue;
                }
            };
            let (id, crawled) = match joined {
                None => break,
                Some(Ok((id, crawled))) => (id, Ok(crawled)),
                Some(Err(failed)) => (failed.id(), Err(failed)),
            };
            if let Some(scope) = under_way.remove(&id) {
                self.end_scope(scope, crawled, stop.is_cancelled()).await?;
                progress.scope_ended();
            }
        }
        let outcome = self.outcome(stop.is_cancelled());
        self.emit(self.run_completed(outcome)).await?;
        Ok(outcome)
    }

    /// Ends a scope with its record, whether its task ended by itself, was aborted or panicked.
    async fn end_scope(
        &mut self,
        scope: UnderWay,
        crawled: Result<Result<(), SinkGone>, JoinError>,
        cancelled: bool,
    ) -> Result<(), SinkGone> {
        match crawled {
            Ok(crawled) => crawled?,
            Err(failed) if failed.is_panic() => {
                let said = panic_message(&*failed.into_panic());
                let problem = Problem::new("panic", said);
                scope.tracker.stop(Stopped { outcome: Outcome::Failed, problem });
            }
            // Aborted at the end of the grace time.
            Err(_) => {}
        }
        if cancelled {
            scope.tracker.cancel();
        }
        let Ended { scope: id, outcome, listing, counts, requests, problems, listed_a_page } = scope.tracker.end();
        self.totals.count(outcome);
        self.counts += counts;
        self.requests += requests;
        self.listed_a_page |= listed_a_page;
        let record = ScopeCompleted {
            schema: SchemaVersion::V1,
            run_id: self.run_id,
            scope: id,
            target: self.plan.targets[scope.plan.target].target.name.clone(),
            outcome,
            listing,
            counts,
            requests,
            duration_ms: scope.started.get().map_or(0, |at| millis(at.elapsed())),
            problems,
        };
        let notable = record.outcome != Outcome::Complete || !record.problems.is_empty();
        if notable && self.notable.len() < NOTABLE_SCOPES {
            self.notable.push(record.clone());
        }
        self.emit(Record::ScopeCompleted(record)).await
    }

    fn run_started(&self) -> Record {
        Record::RunStarted(RunStarted {
            schema: SchemaVersion::V1,
            run_id: self.run_id,
            at: Timestamp::now(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            config_digest: self.plan.config.digest(),
            targets: self.plan.targets.iter().map(|ready| ready.target.summary()).collect(),
            probes: Vec::new(),
        })
    }

    fn run_completed(&self, outcome: RunOutcome) -> Record {
        Record::RunCompleted(RunCompleted {
            schema: SchemaVersion::V1,
            run_id: self.run_id,
            at: Timestamp::now(),
            outcome,
            scopes: self.totals,
            counts: self.counts,
            requests: self.requests,
            duration_ms: millis(self.started.elapsed()),
        })
    }

    fn outcome(&self, cancelled: bool) -> RunOutcome {
        if cancelled {
            RunOutcome::Cancelled
        } else if !self.listed_a_page {
            RunOutcome::Failed
        } else if self.totals.complete == self.totals.planned && self.totals.targets_failed == 0 {
            RunOutcome::Complete
        } else {
            RunOutcome::Partial
        }
    }

    async fn emit(&self, record: Record) -> Result<(), SinkGone> {
        self.records.send(record).await.map_err(|_| SinkGone)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
