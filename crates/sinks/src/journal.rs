//! The journal of an output: it follows what is written, so that a later process can resume there.

use std::error::Error;
use std::future::Future;

use dynacrawl_model::Record;
use tokio::time::Instant;

/// An entry of the channel to an output: records that belong together, or a note for the journal.
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
    /// Bytes, including those that the file had when it was opened.
    pub offset: u64,
    /// Lines that this process has written.
    pub lines: u64,
}

/// How a journal has handled an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observed {
    /// The entry is part of the next commit, or of none.
    Recorded,
    /// The entry closes the journal. Everything observed before is to be committed before the entry
    /// is written. Nothing is observed after it.
    Closed,
}

/// Why a journal cannot be written.
pub type JournalError = Box<dyn Error + Send + Sync>;

/// Follows what is written. `()` is a journal that does nothing.
pub trait Journal<E> {
    /// Observes an entry that is about to be written, and may take from it what does not belong in
    /// the output.
    fn observe(&mut self, entry: &mut E) -> Observed;

    /// When the next commit is due, if there is something to commit.
    fn commit_at(&self) -> Option<Instant>;

    /// Commits everything observed: it is durably in the output, up to this position.
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
