//! Who follows what is written, so that a later process can go on after it.

use std::error::Error;
use std::future::Future;

use dynacrawl_model::Record;
use tokio::time::Instant;

/// One of the things that come down the channel to a sink: records that belong together, or a note for the journal.
pub trait Entry {
    /// The records, in order.
    fn into_records(self) -> impl Iterator<Item = Record>;
}

impl Entry for Record {
    fn into_records(self) -> impl Iterator<Item = Record> {
        std::iter::once(self)
    }
}

/// How far an output is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Bytes, with those that were there before.
    pub offset: u64,
    /// Lines of this process.
    pub lines: u64,
}

/// What a journal has made of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observed {
    /// It is part of the next commit, or of none.
    Recorded,
    /// It closes the journal. What was observed before is to be committed before the entry is written; nothing is after it.
    Closed,
}

/// Why a journal cannot be written.
pub type JournalError = Box<dyn Error + Send + Sync>;

/// Follows what is written. `()` is the one of those who need none.
pub trait Journal<E> {
    /// Takes note of an entry that is about to be written, and may take from it what is not for the output.
    fn observe(&mut self, entry: &mut E) -> Observed;

    /// When there is something to commit.
    fn commit_at(&self) -> Option<Instant>;

    /// Everything seen is in the output, up to this position, and lasts.
    fn commit(&mut self, position: Position) -> impl Future<Output = Result<(), JournalError>>;
}

impl<E> Journal<E> for () {
    fn observe(&mut self, _: &mut E) -> Observed {
        Observed::Recorded
    }

    fn commit_at(&self) -> Option<Instant> {
        None
    }

    async fn commit(&mut self, _: Position) -> Result<(), JournalError> {
        Ok(())
    }
}

impl<E, J: Journal<E>> Journal<E> for Option<J> {
    fn observe(&mut self, entry: &mut E) -> Observed {
        self.as_mut().map_or(Observed::Recorded, |journal| journal.observe(entry))
    }

    fn commit_at(&self) -> Option<Instant> {
        self.as_ref().and_then(Journal::commit_at)
    }

    async fn commit(&mut self, position: Position) -> Result<(), JournalError> {
        match self {
            Some(journal) => journal.commit(position).await,
            None => Ok(()),
        }
    }
}
