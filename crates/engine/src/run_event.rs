//! The events sent to the output and the journal: events of scopes, with the records they lead to.

use std::sync::Arc;

use dynacrawl_model::{Body, NamedScope, Partition, Record, RunId, ScopeCompleted};
use dynacrawl_sinks::Entry;

use super::detector::DetectedChange;
use super::event::{JobKey, ScopeEvent, What};

/// The number of a scope within one process of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ScopeNo(pub(crate) u32);

/// An event for the output and the journal.
#[derive(Debug)]
pub enum RunEvent {
    /// A record that the journal does not count.
    Record(Box<Record>),
    /// A scope is no longer crawled.
    #[expect(private_interfaces, reason = "only the channel's type is public")]
    Retired(Box<DetectedChange>),
    /// Something about a scope.
    #[expect(private_interfaces, reason = "only the channel's type is public")]
    Scope(ScopeNo, ScopeEntry),
}

/// Something about a scope.
#[derive(Debug)]
pub(crate) enum ScopeEntry {
    /// A step that lists and describes begins.
    Began(Box<ScopeBegan>),
    /// An event of the worker.
    Event(Box<EventEntry>),
    /// A change of a table that no event of the worker is about.
    Changed(Box<DetectedChange>),
    /// The scope has ended.
    Completed(Box<CompletedScope>),
}

/// A scope that ended.
#[derive(Clone, Debug)]
pub struct CompletedScope {
    /// The run.
    pub run_id: RunId,
    /// The account and Region.
    pub scope: Arc<NamedScope>,
    /// How it ended.
    pub completed: ScopeCompleted,
}

impl CompletedScope {
    /// The scope's last record.
    pub(crate) fn into_record(self) -> Record {
        Record::of_scope(self.run_id, self.scope, self.completed)
    }
}

/// A step that begins.
#[derive(Debug)]
pub(crate) struct ScopeBegan {
    pub(crate) key: Arc<JobKey>,
    pub(crate) partition: Partition,
    /// The account, if an earlier process has learned it. It stays with the scope when the run is resumed.
    pub(crate) account_id: Option<dynacrawl_model::AccountId>,
    /// The name of the account, if known.
    pub(crate) account_name: Option<Arc<str>>,
    pub(crate) checkpoint: Option<Box<super::checkpoint::Checkpoint>>,
}

/// An event with everything that follows from it, so that a kill cannot lose a part.
#[derive(Debug)]
pub(crate) struct EventEntry {
    pub(crate) event: ScopeEvent,
    /// The account and Region, as the coordinator has them.
    pub(crate) scope: Arc<NamedScope>,
    /// Whether a described table is to be written.
    pub(crate) snapshot: bool,
    /// A record other than the table's.
    pub(crate) record: Option<Record>,
    pub(crate) change: Option<DetectedChange>,
}

impl Entry for RunEvent {
    fn into_records(self) -> impl Iterator<Item = Record> {
        let (first, second) = match self {
            Self::Record(record) => (Some(*record), None),
            Self::Retired(change) | Self::Scope(_, ScopeEntry::Changed(change)) => (change.event, None),
            Self::Scope(_, ScopeEntry::Began(_)) => (None, None),
            Self::Scope(_, ScopeEntry::Completed(ended)) => (Some(ended.into_record()), None),
            Self::Scope(_, ScopeEntry::Event(entry)) => {
                let EventEntry { event, scope, snapshot, record, change } = *entry;
                let run_id = event.key.run_id;
                let table = match event.what {
                    What::TableDescribed(described) if snapshot => {
                        Some(Record::of_scope(run_id, scope, Body::Table(described.record)))
                    }
                    _ => None,
                };
                (table.or(record), change.and_then(|change| change.event))
            }
        };
        first.into_iter().chain(second)
    }
}
