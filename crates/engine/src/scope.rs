//! A scope at the coordinator. It gives the worker one job for each step, and folds the events that
//! come back: it compares tables with the state, and claims the account.

use std::ops::ControlFlow::{self, Break, Continue};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use dynacrawl_fetcher::panic_message;
use dynacrawl_model::{
    AccountId, Body, FailureReason, NamedScope, Outcome, Problem, Record, RunId, Scope, ScopeCompleted, TableFailed,
    TableListed, TableName,
};
use dynacrawl_walker::TableFilter;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Span;

use super::changes::ScopeChanges;
use super::checkpoint::Checkpoint;
use super::claims::Claims;
use super::detector::{DetectedChange, Detector};
use super::event::{JobKey, ScopeEvent, ScopeJob, TableDescribed, What, Work};
use super::includes::Includes;
use super::ledger::Ledger;
use super::millis::millis;
use super::plan::ScopePlan;
use super::progress::Progress;
use super::run_event::{CompletedScope, EventEntry, RunEvent, ScopeBegan, ScopeEntry, ScopeNo};
use super::scope_error::ScopeError;
use super::step::Step;
use super::stop_reason::StopReason;
use super::worker::Workers;

/// What all scopes of a run share.
pub(crate) struct RunContext {
    pub(crate) run_id: RunId,
    pub(crate) settings_digest: String,
    pub(crate) filter: TableFilter,
    pub(crate) includes: Includes,
    pub(crate) dry_run: bool,
    /// Whether every table is written, not only changes.
    pub(crate) snapshot: bool,
    pub(crate) workers: Arc<dyn Workers>,
    pub(crate) records: mpsc::Sender<RunEvent>,
    /// Whether a journal follows the run. It needs more than the records.
    pub(crate) journaled: bool,
    /// What earlier runs stored, if there is a state.
    pub(crate) detector: Option<Arc<Detector>>,
    pub(crate) claims: Claims,
    pub(crate) progress: Arc<Progress>,
    /// Cancelled by an interrupt.
    pub(crate) stop: CancellationToken,
    /// Cancelled at the end of the grace time: what is under way is abandoned.
    pub(crate) overdue: CancellationToken,
}

/// A scope of a run.
pub(crate) struct ScopeRun {
    pub(super) run: Arc<RunContext>,
    number: ScopeNo,
    plan: ScopePlan,
    pub(super) scope: Arc<NamedScope>,
    pub(super) ledger: Ledger,
    pub(super) changes: Option<ScopeChanges>,
    /// Whether an earlier process listed the first pages, so that the names were lost with it.
    pub(super) resumed: bool,
    /// Whether another target crawls the same account and Region.
    duplicate: bool,
    /// Whether it is still unknown, or could not be found out, which tables in the state were
    /// deleted.
    pub(super) unsettled: bool,
    started: Instant,
    span: Span,
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JobEnd {
    /// With the worker's last event.
    Finished,
    /// Before that: a result that was not reported means nothing.
    CutShort,
}

/// What earlier processes have done of a scope.
pub(crate) struct Earlier {
    pub(crate) account_id: Option<AccountId>,
    pub(crate) checkpoint: Box<Checkpoint>,
}

impl ScopeRun {
    pub(crate) fn new(run: Arc<RunContext>, number: ScopeNo, plan: ScopePlan, before: Option<Earlier>) -> Self {
        let target = &plan.target.ready.target;
        let mut scope = super::target::scope_of(target, &plan.region);
        let resumed = before.is_some();
        let (learned, checkpoint) = before.map_or((None, None), |before| (before.account_id, Some(before.checkpoint)));
        scope.account_id = scope.account_id.take().or(learned);
        let mut ledger = Ledger::new(run.dry_run, checkpoint);
        ledger.set_account(scope.account_id.clone());
        let span = tracing::debug_span!(
            "scope",
            target_name = %target.name,
            region = %plan.region,
            outcome = tracing::field::Empty
        );
        let account_name = target.account_name.clone();
        let changes = run.detector.clone().map(|detector| ScopeChanges::new(detector, account_name.clone(), resumed));
        Self {
            unsettled: changes.is_some(),
            scope: Arc::new(NamedScope { scope, account_name }),
            number,
            plan,
            ledger,
            changes,
            resumed,
            duplicate: false,
            started: Instant::now(),
            span,
            run,
        }
    }

    pub(crate) fn number(&self) -> ScopeNo {
        self.number
    }

    pub(crate) fn span(&self) -> &Span {
        &self.span
    }

    /// Crawls the scope, or retries it. The ledger has the result, even after a panic.
    pub(crate) async fn crawl(mut self: Box<Self>, second_try: bool) -> (Box<Self>, Result<(), ScopeError>) {
        let crawled = AssertUnwindSafe(self.steps(second_try)).catch_unwind().await;
        let ended = crawled.unwrap_or_else(|panic| {
            let problem = Problem::new("panic", panic_message(&*panic));
            self.ledger.stop(StopReason::for_good(Outcome::Failed, problem));
            Ok(())
        });
        (self, ended)
    }

    async fn steps(&mut self, second_try: bool) -> Result<(), ScopeError> {
        if self.run.stop.is_cancelled() {
            return Ok(());
        }
        let checkpoint = if second_try { Some(self.ledger.retry()) } else { self.ledger.began_at() };
        // An interrupted confirmation starts again with the crawl: the account of the credentials
        // has to be proven again.
        let step = if self.ledger.step() == Step::Retry { Step::Retry } else { Step::Crawl };
        let key = self.key(step);
        // A retry keeps the account that the first attempt found.
        let account_id = checkpoint.as_ref().and_then(|_| self.scope.account_id.clone());
        if self.run.journaled {
            let partition = self.scope.partition.clone();
            let began = ScopeBegan {
                key: key.clone(),
                partition,
                account_id: account_id.clone(),
                account_name: self.scope.account_name.clone(),
                checkpoint: checkpoint.clone(),
            };
            self.send(ScopeEntry::Began(Box::new(began))).await?;
        }
        self.job(key, account_id, Work::Crawl(checkpoint), |_| {}).await?;
        let stopped = self.duplicate || self.run.stop.is_cancelled() || self.ledger.deserves_a_retry();
        if stopped || self.changes.is_none() { Ok(()) } else { self.removals().await }
    }

    pub(super) fn key(&self, step: Step) -> Arc<JobKey> {
        let target = self.plan.target.ready.target.name.clone();
        Arc::new(JobKey { run_id: self.run.run_id, target, region: self.plan.region.clone(), step })
    }

    /// Has a worker run a job, and folds the events that it reports.
    pub(super) async fn job(
        &mut self,
        key: Arc<JobKey>,
        account_id: Option<AccountId>,
        work: Work,
        mut watch: impl FnMut(&What),
    ) -> Result<JobEnd, ScopeError> {
        self.ledger.begin(key.step);
        let settings = self.run.settings_digest.clone();
        let job = ScopeJob { key: key.clone(), settings, account_id, work };
        let run = self.run.clone();
        let mut events = run.workers.run(job, run.stop.clone());
        loop {
            let event = tokio::select! {
                biased;
                () = run.overdue.cancelled() => return Ok(JobEnd::CutShort),
                event = events.next() => event,
            };
            let lost = match event {
                None => "the worker ended in the middle of its job",
                Some(event) if !Arc::ptr_eq(&event.key, &key) && event.key != key => {
                    "the worker reported about another job"
                }
                Some(event) if !self.ledger.awaits(&event.what) => {
                    tracing::debug!("an event came twice");
                    continue;
                }
                Some(event) => {
                    watch(&event.what);
                    let ends = matches!(event.what, What::Finished(_));
                    match self.on_event(event).await? {
                        Break(()) => return Ok(JobEnd::CutShort),
                        Continue(()) if ends => return Ok(JobEnd::Finished),
                        Continue(()) => continue,
                    }
                }
            };
            let problem = Problem::new("worker_lost", lost);
            self.ledger.stop(StopReason { may_pass: true, ..StopReason::for_good(Outcome::Failed, problem) });
            return Ok(JobEnd::CutShort);
        }
    }

    /// Signals to the workers that no further step of the scope follows.
    pub(crate) fn release(&self) {
        self.run.workers.end(&self.plan.target.ready.target.name, &self.plan.region);
    }

    /// Folds an event. `Break` means that the worker is to be cancelled.
    async fn on_event(&mut self, event: ScopeEvent) -> Result<ControlFlow<()>, ScopeError> {
        match &event.what {
            What::TableDescribed(described) => {
                let change = self.compared(described)?;
                let entry = self.entry(event, self.run.snapshot, None, change);
                return self.fold(entry).await;
            }
            What::TableFailed(failed) if event.key.step != Step::Confirm => {
                if let (FailureReason::Vanished, Some(changes)) = (failed.reason, &self.changes) {
                    changes.vanished(&failed.name);
                }
                let record = self.record(TableFailed {
                    table_name: failed.name.clone(),
                    reason: failed.reason,
                    code: failed.code.clone(),
                    message: failed.message.clone(),
                    attempts: failed.attempts,
                });
                let entry = self.entry(event, false, Some(record), None);
                return self.fold(entry).await;
            }
            What::PageListed(page) => {
                self.run.includes.see([&page.selected, &page.unselected]);
                if let Some(changes) = &self.changes {
                    changes.listed(&self.scope, &page.unselected, &page.selected)?;
                }
                if self.run.dry_run {
                    let names: Vec<_> = page.unselected.iter().chain(&page.selected).cloned().collect();
                    let flow = self.fold(self.entry(event, false, None, None)).await?;
                    for name in names {
                        self.listed(name).await?;
                    }
                    return Ok(flow);
                }
            }
            What::AccountIdentified(_)
            | What::TableExists(_)
            | What::TableFailed(_)
            | What::TableDeferred(_)
            | What::ProblemNoted(_)
            | What::OwnershipChecked(_)
            | What::Finished(_) => {}
        }
        self.fold(self.entry(event, false, None, None)).await
    }

    fn record(&self, body: impl Into<Body>) -> Record {
        Record::of_scope(self.run.run_id, self.scope.clone(), body)
    }

    fn entry(
        &self,
        event: ScopeEvent,
        snapshot: bool,
        record: Option<Record>,
        change: Option<DetectedChange>,
    ) -> EventEntry {
        EventEntry { event, scope: self.scope.clone(), snapshot, record, change }
    }

    /// What changed in a table. Tables are not compared before it is proven which account they
    /// belong to.
    fn compared(&self, described: &TableDescribed) -> Result<Option<DetectedChange>, ScopeError> {
        match &self.changes {
            Some(changes) if self.ledger.is_proven() => {
                Ok(changes.described(&self.scope, &described.record, !described.unexpected.is_empty())?)
            }
            _ => Ok(None),
        }
    }

    /// Counts an event, and hands it to the output and the journal. It counts only if it is handed on.
    async fn fold(&mut self, entry: EventEntry) -> Result<ControlFlow<()>, ScopeError> {
        let run = self.run.clone();
        let is_wanted = run.journaled || entry.record.is_some() || matches!(entry.event.what, What::TableDescribed(_));
        let permit = if is_wanted { room(&run).await? } else { None };
        if is_wanted && permit.is_none() {
            return Ok(Break(()));
        }
        self.ledger.apply(&entry.event);
        run.progress.apply(&entry.event);
        if let Some(kind) = entry.change.as_ref().and_then(|change| change.kind) {
            self.ledger.count(kind);
        }
        if matches!(entry.event.what, What::AccountIdentified(_)) && self.claim().is_break() {
            return Ok(Break(()));
        }
        if let Some(permit) = permit {
            permit.send(RunEvent::Scope(self.number, ScopeEntry::Event(Box::new(entry))));
        }
        Ok(Continue(()))
    }

    /// Claims the account and Region for the target. If another target has them, the scope ends
    /// here and its record names no account, so that exactly one record does.
    fn claim(&mut self) -> ControlFlow<()> {
        let Some(account_id) = self.ledger.account_id().cloned() else { return Continue(()) };
        let target = &self.plan.target.ready.target.name;
        let scope = Scope { account_id: Some(account_id.clone()), ..self.scope.scope.clone() };
        match self.run.claims.claim(&account_id, &self.plan.region, target) {
            None => {
                if self.scope.scope != scope {
                    self.scope = Arc::new(NamedScope { scope, ..(*self.scope).clone() });
                }
                Continue(())
            }
            Some(other) => {
                let message = format!("the target '{other}' has the same account and Region ({scope}), and crawls it");
                self.scope = Scope { account_id: None, ..scope }.into();
                self.ledger.set_account(None);
                self.duplicate = true;
                let problem = Problem::new("duplicate_scope", message);
                self.ledger.stop(StopReason::for_good(Outcome::Failed, problem));
                Break(())
            }
        }
    }

    async fn listed(&self, table_name: TableName) -> Result<(), ScopeError> {
        let verdict = self.run.filter.verdict(table_name.as_str());
        let record = self.record(TableListed { table_name, is_selected: verdict.selected, rule: verdict.rule });
        if let Some(permit) = room(&self.run).await? {
            permit.send(RunEvent::Record(Box::new(record)));
        }
        Ok(())
    }

    /// Hands on a change that no event of the worker is about.
    pub(super) async fn changed(&mut self, change: Option<DetectedChange>) -> Result<(), ScopeError> {
        let Some(change) = change else { return Ok(()) };
        let kind = change.kind;
        if self.send(ScopeEntry::Changed(Box::new(change))).await? {
            kind.into_iter().for_each(|kind| self.ledger.count(kind));
        }
        Ok(())
    }

    /// Hands on an entry; `false` if the grace time is over.
    async fn send(&self, entry: ScopeEntry) -> Result<bool, ScopeError> {
        let permit = room(&self.run).await?;
        let sent = permit.is_some();
        if let Some(permit) = permit {
            permit.send(RunEvent::Scope(self.number, entry));
        }
        Ok(sent)
    }

    /// Whether the scope is to be retried at the end of the run.
    pub(crate) fn deserves_a_retry(&self) -> bool {
        self.ledger.deserves_a_retry()
    }

    /// The scope's last record.
    pub(crate) fn completed(&self, cancelled: bool) -> CompletedScope {
        let ledger = &self.ledger;
        let outcome = ledger.outcome(cancelled, self.unsettled);
        self.span.record("outcome", tracing::field::debug(outcome));
        let completed = ScopeCompleted {
            target: self.plan.target.ready.target.name.clone(),
            outcome,
            listing: ledger.listing(),
            counts: ledger.counts(),
            requests: ledger.requests(),
            pace: ledger.pace(),
            duration_ms: millis(self.started.elapsed()),
            change_counts: self.changes.as_ref().and_then(|_| ledger.compared()),
            problems: ledger.problems(),
        };
        CompletedScope { run_id: self.run.run_id, scope: self.scope.clone(), completed }
    }

    /// Whether ListTables returned at least one page.
    pub(crate) fn listed_a_page(&self) -> bool {
        self.ledger.listed_a_page()
    }
}

/// Waits for room in the queue to the output; `None` if the grace time is over.
async fn room(run: &RunContext) -> Result<Option<mpsc::Permit<'_, RunEvent>>, ScopeError> {
    tokio::select! {
        biased;
        () = run.overdue.cancelled() => Ok(None),
        permit = run.records.reserve() => permit.map(Some).map_err(|_| ScopeError::OutputClosed),
    }
}
