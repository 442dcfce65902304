//! All scopes of a run, as many at once as there is room for: from the first record to the last.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use dynacrawl_fetcher::panic_message;
use dynacrawl_model::{
    AccountId, ChangeCounts, Counts, HeldRetirements, Outcome, Problem, Record, Region, Requests, RunCompleted, RunId,
    RunOutcome, RunStarted, SchemaVersion, ScopeCompleted, ScopeTotals, TargetFailed, Timestamp,
};
use dynacrawl_state::{ScopeProgress, ScopeRow};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::field::Empty;
use tracing::{Instrument, Span};

use super::changes::ScopeChanges;
use super::claims::Claims;
use super::detector::Detector;
use super::ledger::Checkpoint;
use super::plan::{Known, Planned, Planner, ScopePlan};
use super::progress::Progress;
use super::retire::{Covered, Retirements, Wanted};
use super::said::{Note, Said, ScopeNo};
use super::scope::{ScopeTask, SinkGone};
use super::stopped::Stopped;
use super::target::scope_of;
use super::tracker::{Ended, Tracker};
use super::{Before, Remembered, RunPlan, RunReport};

/// How many scopes wait for their turn; more are planned as room comes.
const PLANNED_AHEAD: usize = 64;

/// How many scopes, and how many targets, a [`RunReport`] keeps.
const NOTABLE: usize = 100;

/// Crawls every scope. Ends early when `stop` is cancelled, after at most the grace time, or when the records' way out is
/// closed.
pub(crate) async fn run(
    plan: &RunPlan,
    run_id: RunId,
    remembered: Remembered,
    records: mpsc::Sender<Said>,
    stop: &CancellationToken,
    progress: &Arc<Progress>,
) -> RunReport {
    let Remembered { before, journaled, detector } = remembered;
    let mut run = Run {
        plan,
        run_id,
        journaled,
        changes: detector.as_ref().map(|_| ChangeCounts::default()),
        covered: Covered::default(),
        retired: 0,
        retirements_held: None,
        unproven: false,
        retries: VecDeque::new(),
        records,
        active_before: before.active,
        started: Instant::now(),
        totals: ScopeTotals::default(),
        counts: Counts::default(),
        requests: Requests::default(),
        listed_a_page: false,
        notable: Vec::new(),
        failed_targets: Vec::new(),
        held: Vec::new(),
        claims: Arc::default(),
        detector,
    };
    let crawled = run.crawl(before, stop, progress).await;
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
        changes: run.changes,
        scopes_retired: run.retired,
        duration: run.duration(),
        retirements_held: run.retirements_held,
        notable: run.notable,
        failed_targets: run.failed_targets,
        sink_gone,
    }
}

struct Run<'a> {
    plan: &'a RunPlan,
    run_id: RunId,
    journaled: bool,
    detector: Option<Arc<Detector>>,
    changes: Option<ChangeCounts>,
    covered: Covered,
    retired: u64,
    retirements_held: Option<HeldRetirements>,
    /// Whether a scope ended without anything that proves whose tables it has.
    unproven: bool,
    /// Scopes that failed for a reason that may pass, and are tried once more at the end.
    retries: VecDeque<UnderWay>,
    records: mpsc::Sender<Said>,
    /// How long earlier processes worked on it.
    active_before: Duration,
    started: Instant,
    totals: ScopeTotals,
    counts: Counts,
    requests: Requests,
    listed_a_page: bool,
    notable: Vec<ScopeCompleted>,
    failed_targets: Vec<TargetFailed>,
    /// What is told at the very end.
    held: Vec<Said>,
    claims: Arc<Claims>,
}

/// What the run keeps of a scope while its task is under way.
struct UnderWay {
    number: ScopeNo,
    plan: ScopePlan,
    tracker: Arc<Tracker>,
    changes: Option<Arc<ScopeChanges>>,
    /// What earlier processes have done of it.
    before: Option<Earlier>,
    started: Instant,
    span: Span,
}

/// What earlier processes have done of a scope.
#[derive(Clone)]
struct Earlier {
    account_id: Option<AccountId>,
    checkpoint: Checkpoint,
}

type Tasks = JoinSet<Result<(), SinkGone>>;

impl Run<'_> {
    async fn crawl(
        &mut self,
        before: Before,
        stop: &CancellationToken,
        progress: &Arc<Progress>,
    ) -> Result<RunOutcome, SinkGone> {
        if !before.output_has_begun {
            self.emit(self.run_started(before.resumed)).await?;
        }
        let Before { ended, mut under_way, known, .. } = before;
        self.take_over(&ended, &under_way, &known, progress);

        let plan = self.plan;
        let planner = Planner { plan, run_id: self.run_id, known: &known, stop };
        let (out, mut planned) = mpsc::channel(PLANNED_AHEAD);
        let mut planning = Box::pin(planner.plan(out));
        let mut is_planning = true;
        let mut more_planned = true;

        let mut tasks = Tasks::new();
        let mut running = HashMap::new();
        // From the interrupt on, what is under way has the grace time.
        let mut overdue = std::pin::pin!(async {
            stop.cancelled().await;
            tokio::time::sleep(plan.config.crawl.grace).await;
        });
        let mut aborted = false;
        let mut retrying = false;
        while more_planned || !tasks.is_empty() || !self.retries.is_empty() {
            // The second tries begin when every first one has ended.
            if !retrying && !more_planned && tasks.is_empty() {
                retrying = true;
                plan.connector.forget_unreachable();
            }
            if retrying
                && tasks.len() < plan.config.crawl.scopes
                && let Some(scope) = self.retries.pop_front()
            {
                if stop.is_cancelled() {
                    self.finish_scope(scope, true).await?;
                    progress.scope_ended();
                } else {
                    let (id, scope) = self.retry(scope, stop, progress, &mut tasks);
                    running.insert(id, scope);
                }
                continue;
            }
            tokio::select! {
                biased;
                Some(joined) = tasks.join_next_with_id() => {
                    let (id, crawled) = match joined {
                        Ok((id, crawled)) => (id, Ok(crawled)),
                        Err(failed) => (failed.id(), Err(failed)),
                    };
                    if let Some(scope) = running.remove(&id) {
                        let retries = self.retries.len();
                        self.end_scope(scope, crawled, stop.is_cancelled()).await?;
                        if self.retries.len() == retries {
                            progress.scope_ended();
                        }
                    }
                }
                () = self.records.closed() => return Err(SinkGone),
                () = &mut overdue, if !aborted => {
                    tasks.abort_all();
                    aborted = true;
                }
                () = &mut planning, if is_planning => is_planning = false,
                one = planned.recv(), if more_planned && tasks.len() < plan.config.crawl.scopes => match one {
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
                        self.tell(Said::Run(Box::new(Record::TargetFailed(failed))), cancelled).await?;
                    }
                    Some(Planned::Scope(scope)) => {
                        let key = (scope.target.target.name.clone(), scope.region.clone());
                        self.covered.plan(&key.0, scope.target.target.account_id.as_ref(), &key.1);
                        if ended.contains_key(&key) {
                            continue;
                        }
                        self.totals.planned += 1;
                        progress.planned(1);
                        let (id, scope) = self.start(scope, under_way.remove(&key), stop, progress, &mut tasks);
                        running.insert(id, scope);
                    }
                },
            }
        }
        for said in std::mem::take(&mut self.held) {
            self.tell(said, false).await?;
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

    /// Retires the scopes of the state that are not covered any more, as far as a person need not accept it first.
    async fn retire(&mut self) -> Result<(), SinkGone> {
        let Some(detector) = &self.detector else { return Ok(()) };
        let known = detector.scopes()?;
        let config = &self.plan.config;
        let wanted = Wanted { settings: &detector.settings, described_by_flags: config.described_by_flags };
        let Retirements { retired, held } =
            self.covered.decide(known, &self.claims, &config.elsewhere, &wanted, self.unproven);
        for known in retired {
            self.records.send(Said::Retired(Box::new(detector.retired(known)?))).await.map_err(|_| SinkGone)?;
            self.retired += 1;
        }
        self.retirements_held = Some(held);
        Ok(())
    }

    /// Takes over what earlier processes have done.
    fn take_over(
        &mut self,
        ended: &HashMap<(String, Region), ScopeRow>,
        under_way: &HashMap<(String, Region), (ScopeRow, Checkpoint)>,
        known: &Known,
        progress: &Progress,
    ) {
        self.totals.targets_failed += known.failed.len() as u64;
        known.unsure.iter().for_each(|account_id| self.covered.unsure(account_id.as_ref()));
        known.accounts.iter().for_each(|(group, accounts)| self.covered.organization(group, accounts));
        // Whoever has written tables of an account and Region goes on with it, however fast another target is now.
        for row in under_way.values().map(|(row, _)| row).chain(ended.values()) {
            if let Some(account_id) = &row.account_id {
                self.claims.claim(account_id, &row.region, &row.target);
            }
        }
        for row in ended.values() {
            let ScopeProgress::Ended(scope) = row.progress else { continue };
            self.totals.planned += 1;
            self.totals.count(scope.outcome);
            self.counts += scope.counts;
            self.requests += scope.requests;
            self.add_changes(scope.changes);
            self.unproven |= self.detector.is_some() && scope.changes.is_none();
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

    /// Starts a scope.
    fn start(
        &self,
        plan: ScopePlan,
        before: Option<(ScopeRow, Checkpoint)>,
        stop: &CancellationToken,
        progress: &Arc<Progress>,
        tasks: &mut Tasks,
    ) -> (tokio::task::Id, UnderWay) {
        let before = before.map(|(row, checkpoint)| Earlier { account_id: row.account_id, checkpoint });
        let mut scope = scope_of(&plan.target.target, &plan.region);
        if let Some(before) = &before {
            scope.account_id = scope.account_id.take().or_else(|| before.account_id.clone());
        }
        let (dry_run, with_changes) = (self.plan.config.crawl.dry_run, self.detector.is_some());
        let checkpoint = before.as_ref().map(|before| before.checkpoint.clone());
        let tracker = Arc::new(Tracker::new(scope, dry_run, with_changes, checkpoint.clone()));
        let span = tracing::debug_span!("scope", target_name = %plan.target.target.name, region = %plan.region, outcome = Empty);
        let scope = UnderWay {
            number: ScopeNo(u32::try_from(self.totals.planned).unwrap_or(u32::MAX)),
            plan,
            tracker,
            changes: self.detector.clone().map(|detector| Arc::new(ScopeChanges::new(detector, before.is_some()))),
            before,
            started: Instant::now(),
            span,
        };
        self.spawn(scope, checkpoint, stop, progress, tasks)
    }

    /// Starts a scope's second try, from where the first one stopped.
    fn retry(
        &self,
        scope: UnderWay,
        stop: &CancellationToken,
        progress: &Arc<Progress>,
        tasks: &mut Tasks,
    ) -> (tokio::task::Id, UnderWay) {
        tracing::debug!(parent: &scope.span, "second try");
        let checkpoint = scope.tracker.retry();
        self.spawn(scope, Some(checkpoint), stop, progress, tasks)
    }

    fn spawn(
        &self,
        scope: UnderWay,
        checkpoint: Option<Checkpoint>,
        stop: &CancellationToken,
        progress: &Arc<Progress>,
        tasks: &mut Tasks,
    ) -> (tokio::task::Id, UnderWay) {
        // What the first try found out holds for the second one as well.
        let account_before = checkpoint.as_ref().and_then(|_| scope.tracker.scope().account_id.clone());
        let mut task = ScopeTask {
            run_id: self.run_id,
            number: scope.number,
            config: self.plan.config.clone(),
            plan: scope.plan.clone(),
            records: self.records.clone(),
            journaled: self.journaled,
            checkpoint,
            account_before,
            resumed: scope.before.is_some(),
            changes: scope.changes.clone(),
            stop: stop.clone(),
            tracker: scope.tracker.clone(),
            claims: self.claims.clone(),
            progress: progress.clone(),
        };
        let (connector, connection) = (self.plan.connector.clone(), scope.plan.connection.clone());
        let crawling = async move {
            if task.stop.is_cancelled() {
                return Ok(());
            }
            let connect = || connector.connect(&task.plan.target, &task.config);
            let connection = connection.get_or_init(connect).await;
            Box::pin(task.crawl(connection)).await
        };
        let handle = tasks.spawn(crawling.instrument(scope.span.clone()));
        (handle.id(), scope)
    }

    /// Ends a scope whose task has ended by itself, was aborted or panicked; or keeps it for its second try.
    async fn end_scope(
        &mut self,
        scope: UnderWay,
        crawled: Result<Result<(), SinkGone>, JoinError>,
        cancelled: bool,
    ) -> Result<(), SinkGone> {
        match crawled {
            Ok(crawled) => crawled?,
            Err(failed) if failed.is_panic() => {
                let problem = Problem::new("panic", panic_message(&*failed.into_panic()));
                scope.tracker.stop(Stopped::for_good(Outcome::Failed, problem));
            }
            // Aborted at the end of the grace time.
            Err(_) => {}
        }
        if !cancelled && scope.tracker.deserves_a_retry() {
            self.retries.push_back(scope);
            return Ok(());
        }
        self.finish_scope(scope, cancelled).await
    }

    /// Writes a scope's last record.
    async fn finish_scope(&mut self, scope: UnderWay, cancelled: bool) -> Result<(), SinkGone> {
        if cancelled {
            scope.tracker.cancel();
        }
        let Ended { scope: id, outcome, listing, counts, requests, pace, changes, problems, listed_a_page } =
            scope.tracker.end();
        scope.span.record("outcome", tracing::field::debug(outcome));
        self.totals.count(outcome);
        self.counts += counts;
        self.requests += requests;
        self.add_changes(changes);
        self.unproven |= self.detector.is_some() && changes.is_none();
        self.listed_a_page |= listed_a_page;
        let record = ScopeCompleted {
            schema: SchemaVersion::V1,
            run_id: self.run_id,
            scope: id,
            target: scope.plan.target.target.name.clone(),
            outcome,
            listing,
            counts,
            requests,
            pace,
            duration_ms: millis(scope.started.elapsed()),
            changes,
            problems,
        };
        let notable = record.outcome != Outcome::Complete || !record.problems.is_empty();
        if notable && self.notable.len() < NOTABLE {
            self.notable.push(record.clone());
        }
        let cancelled = record.outcome == Outcome::Cancelled;
        self.tell(Said::Scope(scope.number, Note::Record(Box::new(Record::ScopeCompleted(record)))), cancelled).await
    }

    /// Tells; at the very end, where a later process would tell again: so that what others still complete within the grace
    /// time is committed.
    async fn tell(&mut self, said: Said, at_the_end: bool) -> Result<(), SinkGone> {
        if at_the_end {
            self.held.push(said);
            return Ok(());
        }
        self.records.send(said).await.map_err(|_| SinkGone)
    }

    /// How long all processes worked on it.
    fn duration(&self) -> Duration {
        self.active_before + self.started.elapsed()
    }

    fn run_started(&self, resumed: bool) -> Record {
        let targets = self.plan.targets.iter().map(|ready| ready.target.summary());
        let groups = self.plan.groups.iter().map(|(group, _)| group.summary());
        Record::RunStarted(RunStarted {
            schema: SchemaVersion::V1,
            run_id: self.run_id,
            at: Timestamp::now(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            config_digest: self.plan.config.digest(),
            targets: targets.chain(groups).collect(),
            probes: Vec::new(),
            resumed,
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
            changes: self.changes,
            retirements_held: self.retirements_held.clone(),
            duration_ms: millis(self.duration()),
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
        self.records.send(Said::Run(Box::new(record))).await.map_err(|_| SinkGone)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
