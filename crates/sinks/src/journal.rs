//! Who follows what is written, so that a later process can go on after it.

use std::error::Error;
use std::future::Future;

use dynacrawl_model::Record;
use tokio::time::Instant;

/// One of the things that come down the channel to a sink: a record, or a note for the journal.
pub trait Entry {
    /// The record, if it is one.
    fn into_record(self) -> Option<Record>;
}

impl Entry for Record {
    fn into_record(self) -> Option<Record> {
        Some(self)
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

/// Why a journal cannot be written.
pub type JournalError = Box<dyn Error + Send + Sync>;

/// Follows what is written. `()` is the one of those who need none.
pub trait Journal<E> {
    /// Takes note of an entry that is about to be written.
    fn see(&mut self, entry: &E);

    /// Whether this entry must not be part of a commit, and none has been like that before it.
    fn closes(&mut self, entry: &E) -> bool;

    /// When there is something to commit.
    fn commit_at(&self) -> Option<Instant>;

    /// Everything seen is in the output, up to this position, and lasts.
    fn commit(&mut self, position: Position) -> impl Future<Output = Result<(), JournalError>>;
}

impl<E> Journal<E> for () {
    fn see(&mut self, _: &E) {}

    fn closes(&mut self, _: &E) -> bool {
        false
    }

    fn commit_at(&self) -> Option<Instant> {
        None
    }

    async fn commit(&mut self, _: Position) -> Result<(), JournalError> {
        Ok(())
    }
}

impl<E, J: Journal<E>> Journal<E> for Option<J> {
    fn see(&mut self, entry: &E) {
        if let Some(journal) = self {
            journal.see(entry);
        }
    }

    fn closes(&mut self, entry: &E) -> bool {
        self.as_mut().is_some_and(|journal| journal.closes(entry))
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
