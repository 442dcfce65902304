//! The worker of a scope. It turns a job, credentials and settings into a stream of events. It has
//! no access to the state or to other scopes, and does not know where records go.

mod confirm;
pub(crate) mod decode;
mod describe;
pub mod identity;
mod list;
mod local;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use dynacrawl_client::ScopeClient;
use dynacrawl_fetcher::{Concurrency, Probe};
use dynacrawl_model::{AccountId, Outcome, Region, Requests, Scope, TableName};
use dynacrawl_walker::TableFilter;
use futures_util::stream::BoxStream;
use identity::{Asked, Gate};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::event::{Finished, Identified, ScopeEvent, ScopeJob, What, Work};
use super::ledger::Ledger;
use super::step::Step;
use super::stop_reason::{StopReason, no_credentials};
use super::target::{NamedBy, TargetConnection};
pub use local::LocalWorkers;
pub(crate) use local::{RunTarget, RunTargets};

/// How many names may wait between listing and describing: two pages, so that listing runs ahead.
const QUEUED_NAMES: usize = 200;

/// Runs jobs.
pub trait Workers: Send + Sync {
    /// Runs a job. The stream ends after [`What::Finished`]; if it ends earlier, the worker is
    /// lost. Dropping the stream cancels the worker. Once `stop` is cancelled, the worker finishes
    /// what is under way, and lists no more pages.
    fn run(&self, job: ScopeJob, stop: CancellationToken) -> BoxStream<'static, ScopeEvent>;

    /// The scope has ended. The worker may drop what it kept for the next step, such as the client
    /// with its budget.
    fn end(&self, target: &str, region: &Region);
}

/// What a worker needs besides its job.
#[derive(Debug)]
pub(crate) struct WorkerSettings {
    /// The digest of the configuration that these settings come from.
    pub(crate) digest: String,
    pub(crate) filter: TableFilter,
    /// How many tables are described at once.
    pub(crate) concurrency: Concurrency,
    /// How long after a `ResourceNotFoundException` the worker requests a listed table again.
    pub(crate) recheck_after: Duration,
    /// The additional calls for each table.
    pub(crate) probes: Vec<&'static Probe>,
    /// Whether tables are only listed.
    pub(crate) dry_run: bool,
}

/// The receiver of the events was dropped.
#[derive(Debug)]
struct Unread;

/// One job under way.
struct ScopeWorker<'a> {
    job: &'a ScopeJob,
    connection: &'a TargetConnection,
    settings: &'a WorkerSettings,
    events: mpsc::Sender<ScopeEvent>,
    stop: CancellationToken,
    client: OnceLock<Arc<ScopeClient>>,
    view: Mutex<View>,
    /// Wakes the walker: a table may have ended.
    settled: Notify,
    /// Wakes the fetcher: the walker waits for room.
    full: Notify,
}

/// The worker's view of its scope.
struct View {
    /// The same fold as the coordinator's. Here it shows what is left to do.
    ledger: Ledger,
    scope: Arc<Scope>,
    /// The requests that events have already reported.
    reported: Requests,
    stopped: Option<StopReason>,
    /// Whether the credentials or the tables belong to another account or Region.
    foreign: bool,
    /// Whether an ARN named another account or Region.
    foreign_arns: bool,
    /// A table whose ARN named the scope's account and Region.
    witness: Option<TableName>,
    /// How many tables the walker has handed on to be described.
    handed_on: u64,
    /// Whether the walker waits for room.
    is_full: bool,
    /// Whether the note about an emulator's ARNs has been emitted.
    emulator_noted: bool,
}

impl<'a> ScopeWorker<'a> {
    fn new(
        job: &'a ScopeJob,
        connection: &'a TargetConnection,
        settings: &'a WorkerSettings,
        events: mpsc::Sender<ScopeEvent>,
        stop: CancellationToken,
    ) -> Self {
        let mut scope = connection.scope(&job.key.region);
        let (checkpoint, candidates) = match &job.work {
            Work::Crawl(checkpoint) => (checkpoint.clone(), None),
            Work::ListAgain => (None, None),
            Work::Confirm(candidates) => (None, Some(candidates)),
        };
        if job.account_id.is_some() {
            scope.account_id.clone_from(&job.account_id);
        }
        let view = View {
            ledger: Ledger::new(settings.dry_run, checkpoint),
            scope: Arc::new(scope),
            reported: Requests::default(),
            stopped: None,
            foreign: false,
            foreign_arns: candidates.is_some_and(|candidates| candidates.foreign_arns),
            witness: candidates.and_then(|candidates| candidates.witness.clone()),
            handed_on: 0,
            is_full: false,
            emulator_noted: false,
        };
        Self {
            job,
            connection,
            settings,
            events,
            stop,
            client: OnceLock::new(),
            view: Mutex::new(view),
            settled: Notify::new(),
            full: Notify::new(),
        }
    }

    fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn scope(&self) -> Arc<Scope> {
        self.view().scope.clone()
    }

    /// The client of the scope. All steps share it, because it holds the scope's budget.
    fn client(&self) -> &Arc<ScopeClient> {
        self.client.get_or_init(|| {
            let client = self.connection.client(&self.job.key.region);
            if self.job.key.step == Step::Retry {
                client.forget_troubles();
            }
            self.view().reported = client.requests();
            client
        })
    }

    /// Runs the job.
    async fn work(&self) -> Result<(), Unread> {
        match &self.job.work {
            Work::Crawl(_) => self.crawl().await?,
            Work::ListAgain => self.list_again().await?,
            Work::Confirm(candidates) => self.confirm(candidates).await?,
        }
        self.finish().await
    }

    /// Emits the last event.
    async fn finish(&self) -> Result<(), Unread> {
        let pace = self.client.get().map(|client| client.pace()).unwrap_or_default();
        let finished = {
            let view = self.view();
            let (stopped, foreign, foreign_arns) = (view.stopped.clone(), view.foreign, view.foreign_arns);
            Finished { stopped, foreign, foreign_arns, pace }
        };
        self.emit(What::Finished(finished)).await
    }

    /// Emits an event, and applies it to the ledger.
    async fn emit(&self, what: What) -> Result<(), Unread> {
        let permit = self.events.reserve().await.map_err(|_| Unread)?;
        let mut view = self.view();
        let requests = match self.client.get().map(|client| client.requests()) {
            Some(now) => now.since(std::mem::replace(&mut view.reported, now)),
            None => Requests::default(),
        };
        let event = ScopeEvent { key: self.job.key.clone(), requests, what };
        view.ledger.apply(&event);
        drop(view);
        permit.send(event);
        self.settled.notify_waiters();
        Ok(())
    }

    /// Emits which account the tables belong to, and waits until the coordinator has read it. If
    /// another target crawls the account, the coordinator cancels the worker, usually before its
    /// next call.
    async fn identified(&self, account_id: Option<AccountId>, doubt: Option<String>) -> Result<(), Unread> {
        if let Some(account_id) = &account_id {
            let mut view = self.view();
            view.scope = Arc::new(Scope { account_id: Some(account_id.clone()), ..(*view.scope).clone() });
        }
        self.emit(What::AccountIdentified(Identified { account_id, doubt })).await?;
        self.events.reserve_many(self.events.max_capacity()).await.map(drop).map_err(|_| Unread)
    }

    /// Stops the job. The first reason is kept: later ones are its consequences.
    fn stop(&self, reason: StopReason) {
        self.view().stopped.get_or_insert(reason);
    }

    /// Stops the job because the credentials or the tables belong to another account or Region.
    fn foreign(&self, problem: dynacrawl_model::Problem) {
        let mut view = self.view();
        view.foreign = true;
        view.stopped = Some(StopReason::for_good(Outcome::AuthFailed, problem));
        drop(view);
        self.settled.notify_waiters();
    }

    /// Lists and describes.
    async fn crawl(&self) -> Result<(), Unread> {
        if let Err(failed) = self.connection.chain.last().credentials.get().await {
            self.stop(no_credentials(&failed));
            return Ok(());
        }
        let expected = self.expected_account();
        let asked = identity::ask(self.connection, expected.as_ref().map(|(account, by)| (account, by))).await;
        let by_sts = match asked {
            Asked::Proven(account) => {
                self.connection.prove(account.clone());
                self.identified(Some(account), None).await?;
                true
            }
            Asked::Unproven(why) => {
                let account = expected.as_ref().map(|(account, _)| account.clone());
                self.identified(account, Some(why)).await?;
                false
            }
            Asked::Foreign(problem) => {
                self.foreign(problem);
                return Ok(());
            }
        };
        // Cancelled by an interrupt of the run, or when no more tables can be described.
        let walking = self.stop.child_token();
        let (names, queue) = mpsc::channel(QUEUED_NAMES);
        let gate = Gate::new(by_sts, expected.map(|(_, by)| by));
        let (walked, fetched) = tokio::join!(self.walk(names, &walking), self.fetch(queue, gate, &walking));
        walked.and(fetched)?;
        self.proven_by_another_scope().await
    }

    /// The account that the scope is expected to belong to, and what names it.
    fn expected_account(&self) -> Option<(AccountId, NamedBy)> {
        let before = || self.job.account_id.clone().map(|account_id| (account_id, NamedBy::EarlierProcess));
        self.connection.expected_account().or_else(before)
    }

    /// Adopts the account that another scope of the target, with the same credentials, may have
    /// proven meanwhile.
    async fn proven_by_another_scope(&self) -> Result<(), Unread> {
        let Some(account_id) = self.connection.proven_account() else { return Ok(()) };
        let (is_open, own, described) = {
            let view = self.view();
            let ledger = &view.ledger;
            let is_open = !view.foreign && !ledger.is_proven();
            (is_open, view.scope.account_id.clone(), ledger.counts().described)
        };
        // Records without an account may have been written.
        let fits = own.map_or(described == 0, |own| own == account_id);
        if is_open && fits { self.identified(Some(account_id), None).await } else { Ok(()) }
    }

    /// Whether the scope will be retried. The tables that failed are then described in the retry.
    fn deserves_a_retry(&self) -> bool {
        let view = self.view();
        self.job.key.step == Step::Crawl && view.stopped.as_ref().is_some_and(|reason| reason.may_pass)
    }
}
