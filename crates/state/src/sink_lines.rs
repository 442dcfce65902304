//! How the deliveries of each sink went.

use dynacrawl_model::Timestamp;
use rusqlite::Row;
use serde::Serialize;

use crate::outbox::{EVENTS, owed};
use crate::rows::{time_if_any, unsigned};
use crate::{Reader, StateError};

/// A sink.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SinkLine {
    /// Its name.
    pub name: String,
    /// The number of the last event in the state that it has passed. Numbers grow, and are not used again.
    pub cursor: u64,
    /// How many events it has not taken yet.
    pub owed: u64,
    /// When the oldest of them was queued, or the oldest that a newer one of its table has replaced.
    pub owed_since: Option<Timestamp>,
    /// When it last took events.
    pub delivered_at: Option<Timestamp>,
    /// When a delivery failed, if none has succeeded since.
    pub failed_at: Option<Timestamp>,
    /// Why.
    pub failure: Option<String>,
    /// How many events its destination has refused permanently, ever.
    pub refused: u64,
    /// How many of them are in its file for dead letters; `None`: not known, because the state does not know the
    /// file. The reader of the file sets it.
    pub dead_letters: Option<u64>,
    /// How many events were dropped because they became too old or too many. The sink gets all tables instead.
    pub lost: u64,
    /// Whether it first has to get all tables.
    pub is_behind: bool,
    /// Whether the configuration has it, and the state does not know it yet.
    pub is_new: bool,
}

impl SinkLine {
    /// The lines of a state, by name, and those of `configured` sinks that the state does not know yet.
    pub fn with_new<'n>(mut known: Vec<Self>, configured: impl IntoIterator<Item = &'n str>) -> Vec<Self> {
        for name in configured {
            if !known.iter().any(|line| line.name == name) {
                known.push(Self { name: name.to_owned(), is_new: true, ..Self::default() });
            }
        }
        known.sort_by(|one, other| one.name.cmp(&other.name));
        known
    }
}

impl Reader {
    /// The sinks, by name.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn sink_lines(&self) -> Result<Vec<SinkLine>, StateError> {
        let sql = format!(
            "SELECT name, cursor, delivered_at, failed_at, failure, refused, lost, \
                   NOT is_synced AND EXISTS (SELECT * FROM runs WHERE ended_at IS NOT NULL) AS is_behind, \
                   {} AS owed, \
                   CASE place WHEN ?1 THEN (SELECT at FROM outbox WHERE seq > cursor ORDER BY seq LIMIT 1) \
                   ELSE (SELECT MIN(CASE WHEN cursor < waiting_seq THEN waiting_since ELSE at END) FROM outbox \
                   WHERE seq > cursor) END AS owed_since \
                   FROM sinks ORDER BY name",
            owed()
        );
        self.read(|| self.connection.prepare(&sql)?.query_map([EVENTS], line)?.collect())
    }
}

fn line(row: &Row<'_>) -> rusqlite::Result<SinkLine> {
    Ok(SinkLine {
        name: row.get("name")?,
        cursor: unsigned(row, "cursor")?,
        owed: unsigned(row, "owed")?,
        owed_since: time_if_any(row, "owed_since")?,
        delivered_at: time_if_any(row, "delivered_at")?,
        failed_at: time_if_any(row, "failed_at")?,
        failure: row.get("failure")?,
        refused: unsigned(row, "refused")?,
        dead_letters: None,
        lost: unsigned(row, "lost")?,
        is_behind: row.get("is_behind")?,
        is_new: false,
    })
}
