//! How far each sink is in the outbox.

use std::collections::BTreeMap;
use std::time::Duration;

use dynacrawl_model::{Record, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::outbox::{self, EVENTS, IS_NEWEST, prune};
use crate::rows::unsigned;
use crate::{State, StateError};

/// How much of the outbox is read at once, in bytes.
const MOST_BYTES: u64 = 8 * 1024 * 1024;

/// A day, in milliseconds.
const A_DAY: i64 = 24 * 3600 * 1000;

/// How far a sink is in the outbox. Its content is the state's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cursor(pub(crate) i64);

/// An event to deliver.
#[derive(Clone, Debug, PartialEq)]
pub struct OutboxEvent {
    /// The place after it.
    pub cursor: Cursor,
    /// Its id, which stays the same however often it is delivered.
    pub event_id: String,
    /// The change, `scope_completed`, `target_failed` or `run_completed`; `None` if it cannot be read.
    pub record: Option<Record>,
    /// The `table` record of the table that it is about, as it was at the time.
    pub table: Option<Record>,
    /// The target that the event's scope belongs to, by its name.
    pub target: Option<String>,
}

/// A sink, as the configuration has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkPlace {
    /// Its name.
    pub name: String,
    /// A hash of where its destination keeps what it gets; `None` for a sink of events.
    pub place: Option<String>,
    /// Whether it begins with what happens next. Else it first gets the whole state.
    pub starts_now: bool,
}

/// Which sinks are other ones than before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OtherSinks {
    /// Those that are gone, each with how many events it had not taken.
    pub removed: Vec<(String, u64)>,
    /// Those with another place, which get the whole state next.
    pub moved: Vec<String>,
}

impl State {
    /// Sets which sinks there are. A new sink begins after everything that is in the outbox. A sink
    /// that is no longer named loses its cursor. Returns which are gone, and which get the whole state
    /// because their place is another one than before.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn set_sinks(&mut self, sinks: &[SinkPlace]) -> Result<OtherSinks, StateError> {
        let mut other = OtherSinks::default();
        self.all_or_nothing(|writing| {
            let mut known: BTreeMap<String, String> = writing
                .prepare("SELECT name, place FROM sinks")?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<_>>()?;
            // One that is of another kind now is a new sink with the same name.
            let stays = |name: &str, place: &str| {
                sinks.iter().any(|sink| sink.name == name && sink.place.is_none() == (place == EVENTS))
            };
            for (name, _) in known.extract_if(.., |name, place| !stays(name, place)) {
                let owed = owed(writing, &name)?;
                writing.execute("DELETE FROM sinks WHERE name = ?", [&name])?;
                other.removed.push((name, owed));
            }
            for SinkPlace { name, place, starts_now } in sinks {
                let place = place.as_deref().unwrap_or(EVENTS);
                match known.get(name) {
                    None => {
                        let new = "INSERT INTO sinks (name, cursor, is_synced, place) SELECT ?, \
                                   COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'outbox'), 0), ?, ?";
                        writing.execute(new, params![name, starts_now, place])?;
                    }
                    Some(before) if before != place => {
                        let moves = "UPDATE sinks SET is_synced = 0, progress = NULL, place = ? WHERE name = ?";
                        writing.execute(moves, [place, name])?;
                        other.moved.push(name.clone());
                    }
                    Some(_) => {}
                }
            }
            prune(writing)
        })?;
        Ok(other)
    }

    /// The events that a sink has not taken yet, in order: at most `limit`, and about 8 MiB of
    /// records. A sink of a catalog gets only the newest change of each table.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn undelivered(&self, sink: &str, limit: usize) -> Result<Vec<OutboxEvent>, StateError> {
        let read = || -> rusqlite::Result<_> {
            // Events that an earlier version queued have no target.
            let sql = format!(
                "SELECT seq, event_id, type, record, table_record, COALESCE(target, CASE WHEN json_valid(record) THEN \
                       COALESCE(json_extract(record, '$.target'), (SELECT s.target FROM scopes s \
                       WHERE s.partition = json_extract(record, '$.scope.partition') \
                       AND s.account_id = json_extract(record, '$.scope.account_id') \
                       AND s.region = json_extract(record, '$.scope.region'))) END) AS target, \
                       length(record) + COALESCE(length(table_record), 0) AS size FROM outbox \
                       WHERE seq > (SELECT cursor FROM sinks WHERE name = ?1) \
                       AND ((SELECT place FROM sinks WHERE name = ?1) = ?2 OR {IS_NEWEST}) ORDER BY seq LIMIT ?3"
            );
            let mut statement = self.connection.prepare_cached(&sql)?;
            let mut rows = statement.query(params![sink, EVENTS, i64::try_from(limit).unwrap_or(i64::MAX)])?;
            let (mut events, mut size) = (Vec::new(), 0);
            while let Some(row) = rows.next()? {
                size += unsigned(row, "size")?;
                if size > MOST_BYTES && !events.is_empty() {
                    break;
                }
                events.push(event(row)?);
            }
            Ok(events)
        };
        read().map_err(|source| self.failed(source))
    }

    /// Stores that a sink gets no events up to a place. Deletes what all sinks have taken.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn skip(&mut self, sink: &str, up_to: Cursor) -> Result<(), StateError> {
        self.all_or_nothing(|writing| {
            writing.execute("UPDATE sinks SET cursor = MAX(cursor, ?) WHERE name = ?", params![up_to.0, sink])?;
            prune(writing)
        })
    }

    /// Stores that a delivery failed, until one succeeds.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn delivery_failed(&mut self, sink: &str, at: Timestamp, failure: &str) -> Result<(), StateError> {
        let sql = "UPDATE sinks SET failed_at = ?, failure = ? WHERE name = ?";
        self.connection
            .execute(sql, params![at.as_millis(), failure, sink])
            .map(drop)
            .map_err(|source| self.failed(source))
    }

    /// How many events a sink has not taken yet.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn owed(&self, sink: &str) -> Result<u64, StateError> {
        owed(&self.connection, sink).map_err(|source| self.failed(source))
    }

    /// Stores that a sink has taken everything up to a place, except for `refused` events, which the
    /// destination refused permanently. Deletes what all sinks have taken.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn delivered(&mut self, sink: &str, up_to: Cursor, at: Timestamp, refused: u64) -> Result<(), StateError> {
        let refused = i64::try_from(refused).unwrap_or(i64::MAX);
        self.all_or_nothing(|writing| {
            let sql = "UPDATE sinks SET cursor = MAX(cursor, ?), delivered_at = ?, refused = refused + ?, failed_at = NULL, \
                       failure = NULL WHERE name = ?";
            writing.execute(sql, params![up_to.0, at.as_millis(), refused, sink])?;
            prune(writing)
        })
    }

    /// Deletes the events that were settled longer ago than `keep`, and all but the newest `most`, also those
    /// that a sink has not taken. Such a sink gets the whole state next. Returns these sinks, and how many
    /// events each had not taken. `now` counts as at most a day after the last run, so that a clock that is
    /// wrong once does not make everything look old.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn expire_outbox(
        &mut self,
        now: Timestamp,
        keep: Duration,
        most: u64,
    ) -> Result<Vec<(String, u64)>, StateError> {
        let mut lost = Vec::new();
        self.all_or_nothing(|writing| {
            let run = "SELECT started_at FROM runs ORDER BY rowid DESC LIMIT 1";
            let run: Option<i64> = writing.query_row(run, [], |row| row.get(0)).optional()?;
            let now = run.map_or(now.as_millis(), |run| now.as_millis().min(run.saturating_add(A_DAY)));
            let before = now.saturating_sub(i64::try_from(keep.as_millis()).unwrap_or(i64::MAX));
            // Only up to the first event that is not old: the clock may have been behind for those
            // after it.
            let last = "SELECT COALESCE((SELECT seq - 1 FROM outbox WHERE at >= ? ORDER BY seq LIMIT 1), \
                        (SELECT MAX(seq) FROM outbox))";
            let last: Option<i64> = writing.query_row(last, [before], |row| row.get(0))?;
            let surplus = "SELECT seq FROM outbox ORDER BY seq DESC LIMIT 1 OFFSET ?";
            let most = i64::try_from(most).unwrap_or(i64::MAX);
            let surplus: Option<i64> = writing.query_row(surplus, [most], |row| row.get(0)).optional()?;
            let Some(last) = last.max(surplus) else { return Ok(()) };
            let late = "SELECT name, (SELECT count(*) FROM outbox WHERE seq > cursor AND seq <= ?1) AS lost FROM sinks \
                        WHERE cursor < ?1 ORDER BY name";
            lost = writing
                .prepare(late)?
                .query_map([last], |row| Ok((row.get(0)?, unsigned(row, "lost")?)))?
                .collect::<rusqlite::Result<_>>()?;
            // Other sinks get no single events anyway.
            let losing = "UPDATE sinks SET lost = lost + (SELECT count(*) FROM outbox WHERE seq > cursor AND seq <= ?1) \
                          WHERE cursor < ?1 AND place = ?2";
            writing.execute(losing, params![last, EVENTS])?;
            // Not a sink that had taken all there was.
            let behind = "UPDATE sinks SET is_synced = 0, progress = NULL \
                          WHERE EXISTS (SELECT * FROM outbox WHERE seq > cursor AND seq <= ?)";
            writing.execute(behind, [last])?;
            writing.execute("UPDATE sinks SET cursor = MAX(cursor, ?)", [last])?;
            prune(writing)
        })?;
        Ok(lost)
    }
}

pub(crate) fn event(row: &Row<'_>) -> rusqlite::Result<OutboxEvent> {
    // As bytes: text that is not UTF-8 makes one event unreadable, and must not hold up the others.
    let kind: String = row.get("type")?;
    let (record, table) = (row.get_ref("record")?.as_bytes()?, row.get_ref("table_record")?.as_bytes_or_null()?);
    let table: Option<Value> = table.and_then(|table| serde_json::from_slice(table).ok());
    let record = readable(&kind, record, table.as_ref());
    let table = table.and_then(|table| serde_json::from_value(table).ok());
    Ok(OutboxEvent {
        cursor: Cursor(row.get("seq")?),
        event_id: row.get("event_id")?,
        record,
        table,
        target: row.get("target")?,
    })
}

/// A record as the state keeps it, without its type and the table that it includes.
pub(crate) fn readable(kind: &str, record: &[u8], table: Option<&Value>) -> Option<Record> {
    let mut value: Value = serde_json::from_slice(record).ok()?;
    let members = value.as_object_mut()?;
    members.insert("type".to_owned(), kind.into());
    // A change of a table includes the table, which the outbox stores only in `table_record`.
    if let (false, Some(table)) = (members.contains_key("table"), table.map(|line| &line["table"])) {
        members.insert("table".to_owned(), table.clone());
    }
    serde_json::from_value(value).ok()
}

/// How many events the sink of a name has not taken yet.
fn owed(connection: &Connection, sink: &str) -> rusqlite::Result<u64> {
    let sql = format!("SELECT {} AS owed FROM sinks WHERE name = ?", outbox::owed());
    let owed = connection.query_row(&sql, [sink], |row| unsigned(row, "owed")).optional()?;
    Ok(owed.unwrap_or_default())
}
