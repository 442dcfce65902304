//! What is in the output, as far as a later process needs it: the ledger of each scope as the
//! output has it.
//!
//! The journal sees exactly what the output writes, in the same order. What it commits with a
//! position in the output therefore describes the output up to that position, no more and no less.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use dynacrawl_model::{
    AccountId, Body, Outcome, Partition, Problem, Record, Region, RunCompleted, RunId, RunOutcome, ScopeCompleted,
    Timestamp,
};
use dynacrawl_sinks::{JournalError, Observed, Position};
use dynacrawl_state::{Commit, EndedScope, ScopeProgress, ScopeRow, Staged, TargetRow};
use tokio::time::Instant;

use super::checkpoint::Checkpoint;
use super::event::What;
use super::ledger::Ledger;
use super::run_event::{CompletedScope, EventEntry, RunEvent, ScopeBegan, ScopeEntry, ScopeNo};
use super::shared_state::{SharedState, opened};

/// How often the journal commits. After a kill, what was done since the last commit is repeated.
const EVERY: Duration = Duration::from_millis(250);

/// How many staged tables make a commit due: they wait in memory, with their records.
const MOST_STAGED: usize = 512;

/// The journal of one run in one process.
#[derive(Debug)]
pub struct Journal {
    state: SharedState,
    run_id: RunId,
    /// The lines of the output before this process, and how long earlier processes worked.
    lines_before: u64,
    active_before: Duration,
    started: Instant,
    scopes: HashMap<ScopeNo, JournaledScope>,
    targets: Vec<TargetRow>,
    staged: Vec<Staged>,
    /// How scopes and targets ended, for sinks.
    ends: Vec<Record>,
    /// The last record of the run, once the journal has seen it.
    completed: Option<RunCompleted>,
    dirty: bool,
    committed_at: Instant,
    /// Set at the first record that a resumed run would write again. Nothing is committed after it.
    closed: bool,
}

#[derive(Debug)]
struct JournaledScope {
    target: String,
    region: Region,
    partition: Partition,
    /// The account that tables were written for.
    account_id: Option<AccountId>,
    account_name: Option<Arc<str>>,
    ledger: Ledger,
    ended: Option<EndedScope>,
    dirty: bool,
}

impl Journal {
    /// The journal of a run that begins, or that resumes after `lines_before` lines and
    /// `active_before`.
    pub(crate) fn new(state: SharedState, run_id: RunId, lines_before: u64, active_before: Duration) -> Self {
        let now = Instant::now();
        Self {
            state,
            run_id,
            lines_before,
            active_before,
            started: now,
            scopes: HashMap::new(),
            targets: Vec::new(),
            staged: Vec::new(),
            ends: Vec::new(),
            completed: None,
            dirty: true,
            committed_at: now,
            closed: false,
        }
    }

    /// Ends the run. With `settle`, the output has accepted everything, and the run's findings
    /// become part of the state.
    ///
    /// # Errors
    /// If the state cannot be written.
    pub(crate) async fn end(self, outcome: RunOutcome, settle: bool) -> Result<(), JournalError> {
        let Self { state, run_id, completed, .. } = self;
        // Settling the first run of a large estate takes long.
        let ending = tokio::task::spawn_blocking(move || {
            let mut state = opened(&state);
            match completed.filter(|_| settle) {
                Some(completed) => state.settle(run_id, &completed),
                None => state.give_up(run_id, Timestamp::now(), outcome),
            }
        });
        Ok(ending.await??)
    }

    fn see_record(&mut self, record: &Record) {
        let row = match &record.body {
            Body::AccountsDiscovered(found) => TargetRow {
                target: found.target.clone(),
                accounts_discovered: serde_json::to_string(found).ok(),
                ..TargetRow::default()
            },
            Body::RegionsDiscovered(found) => TargetRow {
                target: found.target.clone(),
                regions_discovered: serde_json::to_string(found).ok(),
                ..TargetRow::default()
            },
            Body::TargetFailed(failed) => {
                self.ends.push(record.clone());
                TargetRow {
                    target: failed.target.clone(),
                    failure: serde_json::to_string(failed).ok(),
                    failed: true,
                    ..TargetRow::default()
                }
            }
            _ => return,
        };
        self.targets.push(row);
    }

    fn see_scope(&mut self, number: ScopeNo, entry: &mut ScopeEntry) {
        let change = match entry {
            ScopeEntry::Event(entry) => entry.change.as_mut(),
            ScopeEntry::Changed(change) => Some(&mut **change),
            ScopeEntry::Began(_) | ScopeEntry::Completed(_) => None,
        };
        self.staged.extend(change.and_then(|change| change.staged.take()));
        if let ScopeEntry::Completed(ended) = entry {
            self.ends.push((**ended).clone().into_record());
        }
        if let ScopeEntry::Began(began) = entry {
            self.scopes.insert(number, JournaledScope::new(began));
        } else if let Some(scope) = self.scopes.get_mut(&number) {
            scope.see(entry);
        }
    }

    fn take_commit(&mut self, position: Position) -> Commit {
        let mut scopes = Vec::new();
        self.scopes.retain(|_, scope| {
            if std::mem::take(&mut scope.dirty) {
                scopes.push(scope.row());
            }
            scope.ended.is_none()
        });
        self.dirty = false;
        self.committed_at = Instant::now();
        let active = self.active_before + self.started.elapsed();
        Commit {
            run_id: self.run_id,
            at: Timestamp::now(),
            active_ms: u64::try_from(active.as_millis()).unwrap_or(u64::MAX),
            output_offset: position.offset,
            output_lines: self.lines_before + position.lines,
            scopes,
            targets: std::mem::take(&mut self.targets),
            staged: std::mem::take(&mut self.staged),
            ends: std::mem::take(&mut self.ends),
        }
    }
}

impl dynacrawl_sinks::Journal<RunEvent> for Journal {
    fn observe(&mut self, event: &mut RunEvent) -> Observed {
        if let RunEvent::Record(record) = event
            && let Body::RunCompleted(completed) = &record.body
        {
            self.completed = Some((**completed).clone());
        }
        if self.closed {
            return Observed::Recorded;
        }
        if closes(event) {
            self.closed = true;
            return Observed::Closed;
        }
        self.dirty = true;
        match event {
            RunEvent::Record(record) => self.see_record(record),
            RunEvent::Retired(change) => self.staged.extend(change.staged.take()),
            RunEvent::Scope(number, entry) => self.see_scope(*number, entry),
        }
        Observed::Recorded
    }

    fn commit_at(&self) -> Option<Instant> {
        let due = if self.staged.len() < MOST_STAGED { self.committed_at + EVERY } else { self.committed_at };
        (self.dirty && !self.closed).then_some(due)
    }

    async fn commit(&mut self, position: Position) -> Result<(), JournalError> {
        let commit = self.take_commit(position);
        let state = self.state.clone();
        // A slow disk must not hold up the network.
        let written = tokio::task::spawn_blocking(move || opened(&state).commit(&commit));
        match written.await {
            Ok(done) => done.map_err(JournalError::from),
            Err(failed) => Err(failed.into()),
        }
    }
}

/// Whether a resumed run would write this again: a later process continues a cancelled scope, and
/// ends the run itself.
fn closes(event: &RunEvent) -> bool {
    match event {
        RunEvent::Record(record) => match &record.body {
            Body::RunCompleted(_) => true,
            Body::TargetFailed(failed) => failed.outcome == Outcome::Cancelled,
            _ => false,
        },
        RunEvent::Scope(_, ScopeEntry::Completed(ended)) => ended.completed.outcome == Outcome::Cancelled,
        RunEvent::Scope(..) | RunEvent::Retired(_) => false,
    }
}

impl JournaledScope {
    fn new(began: &ScopeBegan) -> Self {
        Self {
            target: began.key.target.clone(),
            region: began.key.region.clone(),
            partition: began.partition.clone(),
            account_id: began.account_id.clone(),
            account_name: began.account_name.clone(),
            // A dry run has no journal.
            ledger: Ledger::new(false, began.checkpoint.clone()),
            ended: None,
            dirty: true,
        }
    }

    fn see(&mut self, entry: &ScopeEntry) {
        self.dirty = true;
        match entry {
            ScopeEntry::Event(entry) => self.see_event(entry),
            ScopeEntry::Changed(change) => change.kind.into_iter().for_each(|kind| self.ledger.count(kind)),
            ScopeEntry::Completed(ended) => self.end(ended),
            ScopeEntry::Began(_) => {}
        }
    }

    fn see_event(&mut self, entry: &EventEntry) {
        self.ledger.apply(&entry.event);
        if let Some(kind) = entry.change.as_ref().and_then(|change| change.kind) {
            self.ledger.count(kind);
        }
        if let (None, What::TableDescribed(_)) = (&self.account_id, &entry.event.what) {
            self.account_id.clone_from(&entry.scope.account_id);
        }
    }

    fn end(&mut self, ended: &CompletedScope) {
        self.account_id.clone_from(&ended.scope.account_id);
        let ended = &ended.completed;
        let gave_a_page = matches!(
            ended.outcome,
            Outcome::Complete | Outcome::Partial | Outcome::IncompleteListing | Outcome::Cancelled
        );
        self.ended = Some(EndedScope {
            outcome: ended.outcome,
            counts: ended.counts,
            requests: ended.requests,
            changes: ended.change_counts,
            listed_a_page: gave_a_page && self.ledger.listed_a_page(),
            problems: kept_problems(ended),
        });
    }

    fn row(&self) -> ScopeRow {
        let progress = match &self.ended {
            Some(ended) => ScopeProgress::Ended(ended.clone()),
            None => ScopeProgress::Walking(checkpoint_json(&self.ledger.checkpoint())),
        };
        ScopeRow {
            target: self.target.clone(),
            region: self.region.clone(),
            partition: self.partition.clone(),
            account_id: self.account_id.clone(),
            account_name: self.account_name.clone(),
            progress,
        }
    }
}

/// The most problems of a scope that the state keeps, and the most tables of each problem.
const KEPT_PROBLEMS: usize = 5;

/// Why a scope is not complete, as the state keeps it for `status` and `runs`.
fn kept_problems(ended: &ScopeCompleted) -> Vec<Problem> {
    if ended.outcome == Outcome::Complete {
        return Vec::new();
    }
    let mut problems: Vec<_> = ended.problems.iter().take(KEPT_PROBLEMS).cloned().collect();
    problems.iter_mut().for_each(|problem| problem.table_names.truncate(KEPT_PROBLEMS));
    problems
}

fn checkpoint_json(checkpoint: &Checkpoint) -> String {
    // A checkpoint has only names and numbers, so JSON can always hold it.
    serde_json::to_string(checkpoint).unwrap_or_default()
}
