//! The worker of a scope: from a job, credentials and settings to a stream of events. It knows no state, no other scope, and
//! not where records go.

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

/// How many names wait between listing and describing: a page and the next, so that listing runs ahead.
const QUEUED_NAMES: usize = 200;

/// Who does jobs.
pub trait Workers: Send + Sync {
    /// Does a job. The stream ends after [`What::Finished`]; if it ends before, the worker is lost. Dropping the stream cancels
    /// the worker. Once `stop` is cancelled, the worker finishes what is under way, and lists nothing more.
    fn run(&self, job: ScopeJob, stop: CancellationToken) -> BoxStream<'static, ScopeEvent>;

    /// The scope has ended: what was kept for its next step, as its client with the budget, may go.
    fn end(&self, target: &str, region: &Region);
}

/// What a worker has to know besides its job.
#[derive(Debug)]
pub(crate) struct WorkerSettings {
    /// The digest of the configuration that these settings are from.
    pub(crate) digest: String,
    pub(crate) filter: TableFilter,
    /// How many tables are described at once.
    pub(crate) concurrency: Concurrency,
    /// How long after a `ResourceNotFoundException` a listed table is requested once more.
    pub(crate) recheck_after: Duration,
    /// What else is called for each table.
    pub(crate) probes: Vec<&'static Probe>,
    /// Whether tables are listed and not described.
    pub(crate) dry_run: bool,
}

/// Nobody reads the events any more.
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
    /// A table has ended.
    settled: Notify,
    /// The walker waits for room.
    full: Notify,
}

/// What the worker knows of its scope.
struct View {
    /// The same fold as the coordinator's. Here it shows what is left to do.
    ledger: Ledger,
    scope: Arc<Scope>,
    /// The requests that an event has reported.
    reported: Requests,
    stopped: Option<StopReason>,
    /// Whether the credentials or the tables belong to another account or Region.
    foreign: bool,
    /// Whether an ARN named another account or Region.
    foreign_arns: bool,
    /// A table that named the scope's.
    witness: Option<TableName>,
    /// How many tables the walker has handed on.
    handed_on: u64,
    /// Whether the walker waits for room.
    is_full: bool,
    /// Whether the note about an emulator's ARNs is made.
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

    /// The client of the scope. It is the same in all steps, because it has the scope's budget.
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

    /// Does the job.
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

    /// Emits an event, and counts what it says.
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

    /// Emits whose tables the scope has, and waits until that is read: if another target crawls the account, the worker is
    /// cancelled, as a rule before its next call.
    async fn identified(&self, account_id: Option<AccountId>, doubt: Option<String>) -> Result<(), Unread> {
        if let Some(account_id) = &account_id {
            let mut view = self.view();
            view.scope = Arc::new(Scope { account_id: Some(account_id.clone()), ..(*view.scope).clone() });
        }
        self.emit(What::AccountIdentified(Identified { account_id, doubt })).await?;
        self.events.reserve_many(self.events.max_capacity()).await.map(drop).map_err(|_| Unread)
    }

    /// The job ends here. The first reason stays: what follows is its consequence.
    fn stop(&self, reason: StopReason) {
        self.view().stopped.get_or_insert(reason);
    }

    /// The credentials or the tables belong to another account or Region.
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
        // Ended by an interrupt of the run, or because no table can be described any more.
        let walking = self.stop.child_token();
        let (names, queue) = mpsc::channel(QUEUED_NAMES);
        let gate = Gate::new(by_sts, expected.map(|(_, by)| by));
        let (walked, fetched) = tokio::join!(self.walk(names, &walking), self.fetch(queue, gate, &walking));
        walked.and(fetched)?;
        self.proven_by_another_scope().await
    }

    /// The account that the scope is expected to be in, and what says so.
    fn expected_account(&self) -> Option<(AccountId, NamedBy)> {
        let before = || self.job.account_id.clone().map(|account_id| (account_id, NamedBy::EarlierProcess));
        self.connection.expected_account().or_else(before)
    }

    /// Another scope of the target, with the same credentials, may have proven meanwhile whose they are.
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

    /// Whether the second try of the scope is to come, so that what failed has its second chance then.
    fn deserves_a_retry(&self) -> bool {
        let view = self.view();
        self.job.key.step == Step::Crawl && view.stopped.as_ref().is_some_and(|reason| reason.may_pass)
    }
}
