//! What goes down the channel to the sink: the records, and between them what the journal has to know.

use dynacrawl_fetcher::FailedTable;
use dynacrawl_model::{AccountId, Partition, Record, Region, Requests, TableName};
use dynacrawl_sinks::Entry;

use super::detector::Told;

/// The number of a scope in its run's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ScopeNo(pub(crate) u32);

/// One of the things that go down the channel.
#[derive(Debug)]
pub enum Said {
    /// A record about the whole run, or a target.
    Run(Box<Record>),
    /// A scope that is not crawled any more.
    #[expect(private_interfaces, reason = "only the channel's type is public")]
    Retired(Box<Told>),
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
    /// A table was described.
    Described(Box<Described>),
    /// Something is told, or learned, about a table that was not described.
    Told(Box<Told>),
    /// Any other record.
    Record(Box<Record>),
}

/// A scope that begins.
#[derive(Debug)]
pub(crate) struct Began {
    pub(crate) target: String,
    pub(crate) region: Region,
    pub(crate) partition: Partition,
    /// The account, if an earlier process has learned it. It stays with the scope when the run is resumed.
    pub(crate) account_id: Option<AccountId>,
    pub(crate) checkpoint: Option<super::ledger::Checkpoint>,
}

/// A table that was described, with all that is told about it: a kill in between must not lose a part.
#[derive(Debug)]
pub(crate) struct Described {
    /// The name that was asked for.
    pub(crate) name: TableName,
    pub(crate) account_id: Option<AccountId>,
    /// The table, where the snapshot is wanted.
    pub(crate) snapshot: Option<Record>,
    /// What changed.
    pub(crate) told: Option<Told>,
    /// Whether the listing left the table out.
    pub(crate) unlisted: bool,
}

impl Entry for Said {
    fn into_records(self) -> impl Iterator<Item = Record> {
        let (first, second) = match self {
            Self::Run(record) | Self::Scope(_, Note::Record(record)) => (Some(*record), None),
            Self::Scope(_, Note::Described(described)) => {
                (described.snapshot, described.told.and_then(|told| told.event))
            }
            Self::Retired(told) | Self::Scope(_, Note::Told(told)) => (told.event, None),
            Self::Scope(..) => (None, None),
        };
        first.into_iter().chain(second)
    }
}
