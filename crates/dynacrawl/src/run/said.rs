//! What goes down the channel to the sink: the records, and between them what the journal has to know.

use dynacrawl_fetcher::FailedTable;
use dynacrawl_model::{Partition, Record, Region, Requests, TableName, TableRecord};
use dynacrawl_sinks::Entry;

/// The number of a scope in its run's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ScopeNo(pub(crate) u32);

/// One of the things that go down the channel.
#[derive(Debug)]
pub enum Said {
    /// A record about the whole run, or a target.
    Run(Record),
    /// A record or a note about a scope.
    #[expect(private_interfaces, reason = "only the channel's type is public")]
    Scope(ScopeNo, Note),
}

/// What is said about a scope.
#[derive(Debug)]
pub(crate) enum Note {
    /// It begins, or goes on at a checkpoint.
    Began(Box<Began>),
    /// A page of its listing came.
    Page { unselected: u64, selected: Vec<TableName>, next: Option<TableName>, requests: Requests },
    /// A table waits for the last pass.
    Deferred(FailedTable),
    /// A table, by the name that was asked for.
    Table(TableName, Box<TableRecord>),
    /// Any other record.
    Record(Record),
}

/// A scope that begins.
#[derive(Debug)]
pub(crate) struct Began {
    pub(crate) target: String,
    pub(crate) region: Region,
    pub(crate) partition: Partition,
    pub(crate) checkpoint: Option<super::ledger::Checkpoint>,
}

impl Entry for Said {
    fn into_record(self) -> Option<Record> {
        match self {
            Self::Run(record) | Self::Scope(_, Note::Record(record)) => Some(record),
            Self::Scope(_, Note::Table(_, record)) => Some(Record::Table(record)),
            Self::Scope(..) => None,
        }
    }
}
