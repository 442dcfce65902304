//! A snapshot sink: a destination that gets the whole estate after a run, and not its changes.

use std::sync::Arc;

use dynacrawl_model::{Counts, NamedScope, Outcome, Problem, RunId, RunOutcome, TableRecord, TargetFailed, Timestamp};
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

use crate::sink::DeliveryError;

/// A piece of the estate. The tables of a scope come before its end.
#[derive(Clone, Debug)]
pub enum Piece {
    /// A table.
    Table(Box<SnapshotTable>),
    /// How the newest crawl of a scope ended.
    Scope(Box<SnapshotScope>),
    /// A table whose record in the state cannot be read.
    Unreadable,
    /// A target whose accounts or Regions are unknown.
    TargetFailed(Box<TargetFailed>),
    /// The end of the snapshot. Without it, the snapshot is not whole and must not be shown.
    End(SnapshotEnd),
}

/// A table as it is last known.
#[derive(Clone, Debug)]
pub struct SnapshotTable {
    /// Its account and Region.
    pub scope: Arc<NamedScope>,
    /// Its newest record.
    pub record: Box<TableRecord>,
    /// When a crawl last listed it; `None`: when its record was observed.
    pub last_seen_at: Option<Timestamp>,
    /// How the newest crawl of its scope ended, if known.
    pub scope_outcome: Option<Outcome>,
}

/// How the newest crawl of a scope ended.
#[derive(Clone, Debug)]
pub struct SnapshotScope {
    /// The account and Region.
    pub scope: Arc<NamedScope>,
    /// The target that it belongs to.
    pub target: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What was listed and described, if known.
    pub counts: Option<Counts>,
    /// Why it is not complete.
    pub problems: Vec<Problem>,
}

/// The end of a snapshot.
#[derive(Clone, Debug)]
pub struct SnapshotEnd {
    /// How the run ended.
    pub outcome: RunOutcome,
    /// When it ended.
    pub ended_at: Timestamp,
    /// Earlier runs of which no snapshot was written. Their scopes are in this one.
    pub skipped: Vec<RunId>,
}

/// A destination of snapshots.
pub trait SnapshotSink: Send {
    /// Writes the snapshot of a run. It is stored durably, and visible as a whole, when this returns.
    /// After a failure or a kill, the snapshot is written again from its beginning.
    ///
    /// # Errors
    /// If it cannot be written, or the pieces end without [`Piece::End`].
    fn write<'a>(
        &'a mut self,
        run_id: RunId,
        pieces: &'a mut mpsc::Receiver<Piece>,
    ) -> BoxFuture<'a, Result<(), DeliveryError>>;

    /// Checks that the destination can be reached and written to. Writes no snapshot.
    fn health(&mut self) -> BoxFuture<'_, Result<(), DeliveryError>>;
}
