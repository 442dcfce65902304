//! What sinks get that follow the state itself, and not each of its changes.

use dynacrawl_model::Timestamp;
use rusqlite::params;

use crate::deliveries::event;
use crate::{Cursor, OutboxEvent, Reader, State, StateError};

impl State {
    /// Opens the state again, to read it while it is written.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn reader(&self) -> Result<Reader, StateError> {
        Reader::open(&self.path)
    }

    /// Whether a run has settled whose end a sink has not passed.
    ///
    /// # Errors
    /// If that cannot be read.
    pub fn owes_a_run(&self, sink: &str) -> Result<bool, StateError> {
        let sql = "SELECT EXISTS (SELECT * FROM outbox WHERE type = 'run_completed' \
                   AND seq > (SELECT cursor FROM sinks WHERE name = ?))";
        self.connection.query_row(sql, [sink], |row| row.get(0)).map_err(|source| self.failed(source))
    }

    /// Stores that a sink has the state as it was after the event before a place.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn synced(&mut self, sink: &str, up_to: Cursor, at: Timestamp) -> Result<(), StateError> {
        self.connection
            .execute("UPDATE sinks SET is_synced = 1 WHERE name = ?", params![sink])
            .map_err(|source| self.failed(source))?;
        self.delivered(sink, up_to, at, 0)
    }
}

impl Reader {
    /// Reads the state as it is at one time, whatever is written meanwhile. It should not take long: the
    /// write-ahead log grows until it ends.
    ///
    /// # Errors
    /// If it cannot be read, and those of `work`.
    pub fn at_one_time<T, E: From<StateError>>(&self, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let reading = self.read(|| self.connection.unchecked_transaction())?;
        let result = work()?;
        self.read(|| reading.commit())?;
        Ok(result)
    }

    /// Whether a sink has had the whole state, and all that happened since is still in the outbox.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn is_synced(&self, sink: &str) -> Result<bool, StateError> {
        let sql = "SELECT EXISTS (SELECT * FROM sinks WHERE name = ? AND is_synced)";
        self.read(|| self.connection.query_row(sql, [sink], |row| row.get(0)))
    }

    /// Calls `each` with the ends of scopes, targets and runs that a sink has not passed, in order.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn owed_ends(&self, sink: &str, mut each: impl FnMut(OutboxEvent)) -> Result<(), StateError> {
        let sql = "SELECT seq, event_id, type, record, table_record, target FROM outbox \
                   WHERE type IN ('scope_completed', 'target_failed', 'run_completed') \
                   AND seq > (SELECT cursor FROM sinks WHERE name = ?) ORDER BY seq";
        self.read(|| {
            let mut query = self.connection.prepare_cached(sql)?;
            let mut rows = query.query([sink])?;
            while let Some(row) = rows.next()? {
                each(event(row)?);
            }
            Ok(())
        })
    }
}
