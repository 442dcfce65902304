//! Crawls all scopes of a run, a limited number at a time, from the first record to the last.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use dynacrawl_model::{
    AccountId, ChangeCounts, Counts, HeldRetirements, Outcome, Record, Region, Requests, RunCompleted, RunId,
    RunOutcome, RunStarted, ScopeTotals, TargetFailed, Timestamp,
};
use dynacrawl_state::{ScopeProgress, ScopeRow};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::checkpoint::Checkpoint;
use super::claims::Claims;
use super::history::{EarlierWork, RunHistory};
use super::includes::Includes;
use super::millis::millis;
use super::plan::{KnownTargets, Planned, Planner, ScopePlan};
use super::progress::Progress;
use super::report::{RunReport, WithoutEffect};
use super::retire::{Covered, Retirements, Wanted};
use super::run_event::{CompletedScope, RunEvent, ScopeEntry, ScopeNo};
use super::run_plan::RunPlan;
use super::scope::{Earlier, RunContext, ScopeRun};
use super::scope_error::ScopeError;
use super::worker::{LocalWorkers, RunTargets, WorkerSettings};
use crate::settings::Accepted;

/// How many planned scopes may wait for their turn. Planning pauses while the queue is full.
const PLANNED_AHEAD: usize = 64;

/// The most scopes, and the most failed targets, that a [`RunReport`] keeps.
const NOTABLE: usize = 100;

/// Crawls every scope. Ends early when `stop` is cancelled, at the latest after the grace time, or
/// when the receiver of `records` is closed.
pub async fn run(
    plan: &RunPlan,
    run_id: RunId,
    remembered: RunHistory,
    records: mpsc::Sender<RunEvent>,
    stop: &CancellationToken,
    progress: &Arc<Progress>,
) -> RunReport {
    let RunHistory { before, journaled, detector } = remembered;
    let RunPlan { settings: of_all, .. } = plan;
    let settings_digest = plan.digest().to_owned();
    let targets = Arc::new(RunTargets::default());
    let settings = WorkerSettings {
        digest: settings_digest.clone(),
        filter: of_all.crawl.filter.clone(),
        concurrency: of_all.crawl.concurrency,
        recheck_after: of_all.crawl.recheck_after,
        probes: of_all.crawl.probes.clone(),
        dry_run: of_all.crawl.dry_run,
    };
    let workers =
        LocalWorkers { targets: targets.clone(), connector: plan.connector.clone(), settings: Arc::new(settings) };
    let context = RunContext {
        run_id,
        settings_digest,
        filter: of_all.crawl.filter.clone(),
        includes: Includes::new(&of_all.crawl.include),
        dry_run: of_all.crawl.dry_run,
        snapshot: of_all.changes.emit.snapshot(),
        workers: (plan.workers)(workers),
        records,
        journaled,
        claims: Claims::default(),
        progress: progress.clone(),
        stop: stop.clone(),
        overdue: CancellationToken::new(),
        detector,
    };
    let mut run = Run {
        plan,
        targets,
        changes: context.detector.as_ref().map(|_| ChangeCounts::default()),
        context: Arc::new(context),
        covered: Covered::default(),
        retired: 0,
        retirements_held: None,
        unproven: false,
        retries: VecDeque::new(),
        active_before: before.active,
        started: Instant::now(),
        totals: ScopeTotals::default(),
        counts: Counts::default(),
        requests: Requests::default(),
        listed_a_page: false,
        notable: Vec::new(),
        failed_targets: Vec::new(),
        unused_acceptances: plan.request.accepted.clone(),
        held: Vec::new(),
    };
    let resumed = before.resumed;
    let crawled = run.crawl(before).await;
    // A run that ends with an error writes no last record, and nothing depends on its outcome.
    let (outcome, ended_by) = match crawled {
        Ok(outcome) => (outcome, None),
        Err(error) => (run.outcome(stop.is_cancelled()), Some(error)),
    };
    RunReport {
        outcome,
        scopes: run.totals,
        counts: run.counts,
        requests: run.requests,
        changes: run.changes,
        scopes_retired: run.retired,
        duration: run.duration(),
        retirements_held: run.retirements_held,
        notable: run.notable,
        failed_targets: run.failed_targets,
        without_effect: WithoutEffect {
            accepted: run.unused_acceptances,
            // A resumed run does not list again what an earlier process listed.
            includes: if resumed { Vec::new() } else { run.context.includes.unmatched() },
        },
        without_place: BTreeSet::new(),
        ended_by,
    }
}

struct Run<'a> {
    plan: &'a RunPlan,
    targets: Arc<RunTargets>,
    context: Arc<RunContext>,
    changes: Option<ChangeCounts>,
    covered: Covered,
    retired: u64,
    retirements_held: Option<HeldRetirements>,
    /// Whether a scope ended without proof of which account its tables belong to.
    unproven: bool,
    /// Scopes that failed for a reason that may pass. They are retried at the end of the run.
    retries: VecDeque<Box<ScopeRun>>,
    /// How long earlier processes worked on the run.
    active_before: Duration,
    started: Instant,
    totals: ScopeTotals,
    counts: Counts,
    requests: Requests,
    listed_a_page: bool,
    notable: Vec<CompletedScope>,
    failed_targets: Vec<TargetFailed>,
    /// Removals and retirements that a person accepted and that had no effect so far.
    unused_acceptances: Accepted,
    /// Events to write at the very end.
    held: Vec<RunEvent>,
}

type Tasks = JoinSet<(Box<ScopeRun>, Result<(), ScopeError>)>;

impl Run<'_> {
    async fn crawl(&mut self, before: EarlierWork) -> Result<RunOutcome, ScopeError> {
        let context = self.context.clone();
        let (stop, progress) = (&context.stop, &*context.progress);
        if !before.output_has_begun {
            self.emit(self.run_started(before.resumed)).await?;
        }
        let EarlierWork { ended, mut under_way, known, .. } = before;
        self.restore(&ended, &under_way, &known, progress);

        let plan = self.plan;
        let targets = self.targets.clone();
        let planner = Planner { plan, run_id: context.run_id, known: &known, targets: &targets, stop };
        let (out, mut planned) = mpsc::channel(PLANNED_AHEAD);
        let mut planning = Box::pin(planner.plan(out));
        let mut is_planning = true;
        let mut more_planned = true;

        let mut tasks = Tasks::new();
        // After an interrupt, the scopes under way have the grace time to end.
        let mut overdue = std::pin::pin!(async {
            stop.cancelled().await;
            tokio::time::sleep(plan.settings.crawl.grace).await;
        });
        let mut retrying = false;
        while more_planned || !tasks.is_empty() || !self.retries.is_empty() {
            // Retries begin when every first attempt has ended.
            if !retrying && !more_planned && tasks.is_empty() {
                retrying = true;
                plan.connector.forget_unreachable();
            }
            if retrying
                && tasks.len() < plan.settings.crawl.scopes
                && let Some(scope) = self.retries.pop_front()
            {
                if stop.is_cancelled() {
                    self.finish_scope(&scope, true).await?;
                } else {
                    tracing::debug!(parent: scope.span(), "second try");
                    spawn(&mut tasks, scope, true);
                }
                continue;
            }
            tokio::select! {
                biased;
                Some(joined) = tasks.join_next() => match joined {
                    Ok((scope, crawled)) => {
                        crawled?;
                        self.end_scope(scope, stop.is_cancelled()).await?;
                    }
                    // `ScopeRun::crawl` catches panics, and nothing aborts its task.
                    Err(failed) => std::panic::resume_unwind(failed.into_panic()),
                },
                () = context.records.closed() => return Err(ScopeError::OutputClosed),
                () = &mut overdue, if !context.overdue.is_cancelled() => context.overdue.cancel(),
                () = &mut planning, if is_planning => is_planning = false,
                one = planned.recv(), if more_planned && tasks.len() < plan.settings.crawl.scopes => match one {
                    None => more_planned = false,
                    Some(Planned::Found(record)) => {
                        self.covered.see(&record);
                        self.emit(*record).await?;
                    }
                    Some(Planned::Failed(failed)) => {
                        self.covered.unsure(failed.account_id.as_ref());
                        self.totals.targets_failed += 1;
                        if self.failed_targets.len() < NOTABLE {
                            self.failed_targets.push(failed.clone());
                        }
                        let cancelled = failed.outcome == Outcome::Cancelled;
                        self.write(RunEvent::Record(Box::new(Record::of_run(context.run_id, failed))), cancelled).await?;
                    }
                    Some(Planned::Scope(scope)) => {
                        let target = &scope.target.ready.target;
                        let key = (target.name.clone(), scope.region.clone());
                        self.covered.plan(&key.0, target.account_id.as_ref(), &key.1);
                        if ended.contains_key(&key) {
                            continue;
                        }
                        self.totals.planned += 1;
                        progress.planned(1);
                        let scope = self.begin(scope, under_way.remove(&key));
                        spawn(&mut tasks, scope, false);
                    }
                },
            }
        }
        for event in std::mem::take(&mut self.held) {
            self.write(event, false).await?;
        }
        let mut outcome = self.outcome(stop.is_cancelled());
        if matches!(outcome, RunOutcome::Complete | RunOutcome::Partial) {
            self.retire().await?;
        }
        if outcome == RunOutcome::Complete && self.retirements_held.as_ref().is_some_and(|held| held.count > 0) {
            outcome = RunOutcome::Partial;
        }
        self.emit(self.run_completed(outcome)).await?;
        Ok(outcome)
    }

    /// Retires the scopes in the state that are no longer covered, except those that a person has
    /// to accept first.
    async fn retire(&mut self) -> Result<(), ScopeError> {
        let Some(detector) = self.context.detector.clone() else { return Ok(()) };
        let known = detector.scopes()?;
        let wanted = Wanted {
            fail_safe: detector.settings.fail_safe,
            accepted: &detector.accepted,
            described_by_flags: self.plan.request.described_by_flags,
        };
        let Retirements { retired, held } =
            self.covered.decide(known, &self.context.claims, &self.plan.unselected, &wanted, self.unproven);
        for known in retired {
            let key = (known.key.account_id.clone(), known.key.region.clone());
            self.unused_acceptances.retirements.remove(&key);
            self.write(RunEvent::Retired(Box::new(detector.retired(known)?)), false).await?;
            self.retired += 1;
        }
        self.retirements_held = Some(held);
        Ok(())
    }

    /// Restores what earlier processes of this run have done.
    fn restore(
        &mut self,
        ended: &HashMap<(String, Region), ScopeRow>,
        under_way: &HashMap<(String, Region), (ScopeRow, Checkpoint)>,
        known: &KnownTargets,
        progress: &Progress,
    ) {
        self.totals.targets_failed += known.failed.len() as u64;
        known.unsure.iter().for_each(|account_id| self.covered.unsure(account_id.as_ref()));
        known.accounts.iter().for_each(|(group, accounts)| self.covered.organization(group, accounts));
        // The target that wrote tables of an account and Region keeps them, even if another target
        // would claim them first now.
        for row in under_way.values().map(|(row, _)| row).chain(ended.values()) {
            if let Some(account_id) = &row.account_id {
                self.context.claims.claim(account_id, &row.region, &row.target);
            }
        }
        for row in ended.values() {
            let ScopeProgress::Ended(scope) = &row.progress else { continue };
            self.crawled(row.account_id.as_ref(), &row.region);
            self.totals.planned += 1;
            self.totals.count(scope.outcome);
            self.counts += scope.counts;
            self.requests += scope.requests;
            self.add_changes(scope.changes);
            self.unproven |= self.context.detector.is_some() && scope.changes.is_none();
            self.listed_a_page |= scope.listed_a_page;
            progress.planned(1);
            progress.scope_ended();
        }
    }

    fn add_changes(&mut self, more: Option<ChangeCounts>) {
        if let (Some(changes), Some(more)) = (&mut self.changes, more) {
            *changes += more;
        }
    }

    /// Begins a scope, or continues it where an earlier process stopped.
    fn begin(&self, plan: ScopePlan, before: Option<(ScopeRow, Checkpoint)>) -> Box<ScopeRun> {
        let before =
            before.map(|(row, checkpoint)| Earlier { account_id: row.account_id, checkpoint: Box::new(checkpoint) });
        let number = ScopeNo(u32::try_from(self.totals.planned).unwrap_or(u32::MAX));
        Box::new(ScopeRun::new(self.context.clone(), number, plan, before))
    }

    /// Ends a scope, or keeps it for its retry.
    async fn end_scope(&mut self, scope: Box<ScopeRun>, cancelled: bool) -> Result<(), ScopeError> {
        if !cancelled && scope.deserves_a_retry() {
            self.retries.push_back(scope);
            return Ok(());
        }
        self.finish_scope(&scope, cancelled).await
    }

    /// Writes a scope's last record.
    async fn finish_scope(&mut self, scope: &ScopeRun, cancelled: bool) -> Result<(), ScopeError> {
        scope.release();
        let ended = scope.completed(cancelled);
        let completed = &ended.completed;
        self.totals.count(completed.outcome);
        self.counts += completed.counts;
        self.requests += completed.requests;
        self.add_changes(completed.change_counts);
        self.unproven |= self.context.detector.is_some() && completed.change_counts.is_none();
        self.listed_a_page |= scope.listed_a_page();
        self.context.progress.scope_ended();
        self.crawled(ended.scope.account_id.as_ref(), &ended.scope.region);
        let notable = completed.outcome != Outcome::Complete || !completed.problems.is_empty();
        let cancelled = completed.outcome == Outcome::Cancelled;
        if notable && self.notable.len() < NOTABLE {
            self.notable.push(ended.clone());
        }
        let entry = ScopeEntry::Completed(Box::new(ended));
        self.write(RunEvent::Scope(scope.number(), entry), cancelled).await
    }

    /// Takes note that the scope was crawled: an accepted removal in it is no longer unused.
    fn crawled(&mut self, account_id: Option<&AccountId>, region: &Region) {
        if let Some(account_id) = account_id {
            self.unused_acceptances.removals.remove(&(account_id.clone(), region.clone()));
        }
    }

    /// Writes an event. `at_the_end` holds back an event that a later process would write again:
    /// the journal commits nothing after it, and what other scopes still complete within the grace
    /// time must be committed.
    async fn write(&mut self, event: RunEvent, at_the_end: bool) -> Result<(), ScopeError> {
        if at_the_end {
            self.held.push(event);
            return Ok(());
        }
        self.context.records.send(event).await.map_err(|_| ScopeError::OutputClosed)
    }

    /// How long all processes worked on the run.
    fn duration(&self) -> Duration {
        self.active_before + self.started.elapsed()
    }

    fn run_started(&self, resumed: bool) -> Record {
        let targets = self.plan.targets.iter().map(|ready| ready.target.summary());
        let groups = self.plan.groups.iter().map(|(group, _)| group.summary());
        let started = RunStarted {
            started_at: Timestamp::now(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            config_digest: self.context.settings_digest.clone(),
            targets: targets.chain(groups).collect(),
            resumed,
        };
        Record::of_run(self.context.run_id, started)
    }

    fn run_completed(&self, outcome: RunOutcome) -> Record {
        let completed = RunCompleted {
            ended_at: Timestamp::now(),
            outcome,
            scope_counts: self.totals,
            counts: self.counts,
            requests: self.requests,
            change_counts: self.changes,
            retirements_held: self.retirements_held.clone(),
            duration_ms: millis(self.duration()),
        };
        Record::of_run(self.context.run_id, completed)
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

    async fn emit(&self, record: Record) -> Result<(), ScopeError> {
        self.context.records.send(RunEvent::Record(Box::new(record))).await.map_err(|_| ScopeError::OutputClosed)
    }
}

/// Crawls a scope in a task of its own.
fn spawn(tasks: &mut Tasks, scope: Box<ScopeRun>, second_try: bool) {
    let span = scope.span().clone();
    tasks.spawn(scope.crawl(second_try).instrument(span));
}
