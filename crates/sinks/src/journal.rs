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

/// Why a journal cannot be written.
pub type JournalError = Box<dyn Error + Send + Sync>;

/// Follows what is written. `()` is the one of those who need none.
pub trait Journal<E> {
    /// Takes note of an entry that is about to be written, and may take from it what is not for the sink.
    fn see(&mut self, entry: &mut E);

    /// Whether this entry must not be part of a commit, and none has been like that before it.
    fn closes(&mut self, entry: &E) -> bool;

    /// When there is something to commit.
    fn commit_at(&self) -> Option<Instant>;

    /// Everything seen is in the output, up to this position, and lasts.
    fn commit(&mut self, position: Position) -> impl Future<Output = Result<(), JournalError>>;
}

impl<E> Journal<E> for () {
    fn see(&mut self, _: &mut E) {}

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
    fn see(&mut self, entry: &mut E) {
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
