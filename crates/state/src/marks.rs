//! Marks on a whole state, each with a time.

use dynacrawl_model::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use crate::rows::time;

/// The state holds demo runs.
pub(crate) const DEMO: &str = "demo";
/// The state was used while `emit` had another default, and the user has not been notified yet.
pub(crate) const EMIT_DEFAULT_CHANGED: &str = "emit_default_changed";
/// The time up to which the state has seen runs.
pub(crate) const TIME_SEEN: &str = "time_seen";

pub(crate) fn get(connection: &Connection, name: &str) -> rusqlite::Result<Option<Timestamp>> {
    connection.query_row("SELECT at FROM marks WHERE name = ?", [name], |row| time(row, "at")).optional()
}

pub(crate) fn set(connection: &Connection, name: &str, at: Timestamp) -> rusqlite::Result<()> {
    connection.execute("INSERT OR REPLACE INTO marks VALUES (?, ?)", params![name, at.as_millis()]).map(drop)
}

/// Removes a mark. Returns whether it was there.
pub(crate) fn take(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
    connection.execute("DELETE FROM marks WHERE name = ?", [name]).map(|removed| removed > 0)
}
