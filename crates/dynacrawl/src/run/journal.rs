//! What has gone out, as far as a later process needs it: the books of each scope as the sink sees them.
//!
//! The journal sees exactly what the sink writes, in the same order. So what it commits together with a place in the
//! output says what is in the output up to that place, no more and no less, whatever else is under way.

use std::collections::HashMap;
use std::time::Duration;

use dynacrawl_fetcher::FailedTable;
use dynacrawl_model::{
    AccountId, Outcome, Record, Requests, RunCompleted, RunId, RunOutcome, ScopeCompleted, Timestamp,
};
use dynacrawl_sinks::{JournalError, Position};
use dynacrawl_state::{Commit, EndedScope, ScopeProgress, ScopeRow, Staged, TargetRow};
use tokio::time::Instant;

use super::detector::Told;
use super::ledger::{Checkpoint, Ledger};
use super::resume::{SharedState, opened};
use super::said::{Began, Note, Said, ScopeNo};

/// How often it is committed. What was done since the last time is done once more after a kill.
const EVERY: Duration = Duration::from_millis(250);

/// How many tables are staged at most before it is committed: they wait in memory, with their records.
const MOST_STAGED: usize = 512;

/// The journal of one run in one process.
#[derive(Debug)]
pub struct Journal {
    state: SharedState,
    run_id: RunId,
    /// What the output had, and how long earlier processes worked, before this process.
    lines_before: u64,
    active_before: Duration,
    started: Instant,
    scopes: HashMap<ScopeNo, Books>,
    targets: Vec<TargetRow>,
    staged: Vec<Staged>,
    /// Seen as the last record of the run.
    completed: Option<RunCompleted>,
    dirty: bool,
    committed_at: Instant,
    /// After the first record that a run that goes on would write again, nothing is committed any more.
    closed: bool,
}

#[derive(Debug)]
struct Books {
    began: Began,
    account_id: Option<AccountId>,
    ledger: Ledger,
    requests: Requests,
    ended: Option<EndedScope>,
    dirty: bool,
}

impl Journal {
    /// A journal of a run that has begun, or goes on after `lines_before` lines and `active_before`.
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
            completed: None,
            dirty: true,
            committed_at: now,
            closed: false,
        }
    }

    /// The run has ended. With `settle`, its output took everything, and what it found out is known from now on.
    ///
    /// # Errors
    /// When that cannot be written.
    pub(crate) async fn end(self, outcome: RunOutcome, settle: bool) -> Result<(), JournalError> {
        let Self { state, run_id, completed, .. } = self;
        // The first run of a large estate has much to settle.
        let ending = tokio::task::spawn_blocking(move || {
            let mut state = opened(&state);
            match completed.filter(|_| settle) {
                Some(completed) => state.settle(&completed),
                None => state.give_up(run_id, Timestamp::now(), outcome),
            }
        });
        Ok(ending.await??)
    }

    fn see_record(&mut self, record: &Record) {
        let row = match record {
            Record::AccountsDiscovered(found) => TargetRow {
                target: found.target.clone(),
                accounts_discovered: serde_json::to_string(found).ok(),
                ..TargetRow::default()
            },
            Record::RegionsDiscovered(found) => TargetRow {
                target: found.target.clone(),
                regions_discovered: serde_json::to_string(found).ok(),
                ..TargetRow::default()
            },
            Record::TargetFailed(failed) => {
                TargetRow { target: failed.target.clone(), failed: true, ..TargetRow::default() }
            }
            _ => return,
        };
        self.targets.push(row);
    }

    fn see_note(&mut self, number: ScopeNo, note: &mut Note) {
        let told = match note {
            Note::Described(described) => described.told.as_mut(),
            Note::Told(told) => Some(&mut **told),
            _ => None,
        };
        self.staged.extend(told.and_then(|told| told.staged.take()));
        if let Note::Began(began) = note {
            self.scopes.insert(number, Books::new(began));
        } else if let Some(books) = self.scopes.get_mut(&number) {
            books.see(note);
        }
    }

    fn take_commit(&mut self, position: Position) -> Commit {
        let mut scopes = Vec::new();
        self.scopes.retain(|_, books| {
            if std::mem::take(&mut books.dirty) {
                scopes.push(books.row());
            }
            books.ended.is_none()
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
        }
    }
}

impl dynacrawl_sinks::Journal<Said> for Journal {
    fn see(&mut self, said: &mut Said) {
        if let Said::Run(record) = said
            && let Record::RunCompleted(completed) = &**record
        {
            self.completed = Some(completed.clone());
        }
        if self.closed {
            return;
        }
        self.dirty = true;
        match said {
            Said::Run(record) => self.see_record(record),
            Said::Retired(told) => self.staged.extend(told.staged.take()),
            Said::Scope(number, note) => self.see_note(*number, note),
        }
    }

    fn closes(&mut self, said: &Said) -> bool {
        // A cancelled scope goes on in a later process, which ends the run itself.
        let closing = match said {
            Said::Run(record) | Said::Scope(_, Note::Record(record)) => match &**record {
                Record::RunCompleted(_) => true,
                Record::TargetFailed(failed) => failed.outcome == Outcome::Cancelled,
                Record::ScopeCompleted(ended) => ended.outcome == Outcome::Cancelled,
                _ => false,
            },
            _ => false,
        };
        let first = closing && !self.closed;
        self.closed |= closing;
        first
    }

    fn commit_at(&self) -> Option<Instant> {
        let due = if self.staged.len() < MOST_STAGED { self.committed_at + EVERY } else { self.committed_at };
        (self.dirty && !self.closed).then_some(due)
    }

    async fn commit(&mut self, position: Position) -> Result<(), JournalError> {
        let commit = self.take_commit(position);
        let state = self.state.clone();
        // A disk may take its time, and the network must not wait for it.
        let written = tokio::task::spawn_blocking(move || opened(&state).commit(&commit));
        match written.await {
            Ok(done) => done.map_err(JournalError::from),
            Err(failed) => Err(failed.into()),
        }
    }
}

impl Books {
    fn new(began: &Began) -> Self {
        let ledger = began.checkpoint.clone().map(Ledger::resumed).unwrap_or_default();
        let account_id = began.account_id.clone();
        let began = Began {
            target: began.target.clone(),
            region: began.region.clone(),
            partition: began.partition.clone(),
            account_id: None,
            checkpoint: None,
        };
        Self { began, account_id, ledger, requests: Requests::default(), ended: None, dirty: true }
    }

    fn see(&mut self, note: &Note) {
        self.dirty = true;
        match note {
            Note::Page { unselected, selected, next, requests } => {
                self.ledger.page(*unselected, selected.clone(), next.clone());
                self.requests = *requests;
            }
            Note::Deferred(failed) => self.ledger.defer(failed.clone()),
            Note::Described(described) => {
                if self.account_id.is_none() {
                    self.account_id.clone_from(&described.account_id);
                }
                if described.unlisted {
                    self.ledger.described_unlisted(&described.name);
                } else {
                    self.ledger.described(&described.name);
                }
                self.count(described.told.as_ref());
            }
            Note::Told(told) => self.count(Some(told)),
            Note::Record(record) => match &**record {
                Record::TableFailed(failed) => self.ledger.failed(&FailedTable {
                    name: failed.table.clone(),
                    reason: failed.reason,
                    code: failed.code.clone(),
                    message: failed.message.clone(),
                    attempts: failed.attempts,
                    may_pass: false,
                }),
                Record::ScopeCompleted(ended) => self.end(ended),
                _ => {}
            },
            Note::Began(_) => {}
        }
    }

    fn count(&mut self, told: Option<&Told>) {
        if let Some(kind) = told.and_then(|told| told.kind) {
            kind.count(self.ledger.changes());
        }
    }

    fn end(&mut self, ended: &ScopeCompleted) {
        let gave_a_page = matches!(
            ended.outcome,
            Outcome::Complete | Outcome::Partial | Outcome::IncompleteListing | Outcome::Cancelled
        );
        self.account_id.clone_from(&ended.scope.account_id);
        self.ended = Some(EndedScope {
            outcome: ended.outcome,
            counts: ended.counts,
            requests: ended.requests,
            changes: ended.changes,
            listed_a_page: gave_a_page && self.ledger.listed_a_page(),
        });
    }

    fn row(&self) -> ScopeRow {
        let progress = match self.ended {
            Some(ended) => ScopeProgress::Ended(ended),
            None => ScopeProgress::Walking(checkpoint_json(&self.ledger.checkpoint(self.requests))),
        };
        ScopeRow {
            target: self.began.target.clone(),
            region: self.began.region.clone(),
            partition: self.began.partition.clone(),
            account_id: self.account_id.clone(),
            progress,
        }
    }
}

fn checkpoint_json(checkpoint: &Checkpoint) -> String {
    // Names and numbers: there is nothing in it that JSON could refuse.
    serde_json::to_string(checkpoint).unwrap_or_default()
}
