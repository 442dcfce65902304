//! What sinks get that do not have the whole state, and those that follow the state and not each of its changes.

use dynacrawl_model::{NamedScope, Partition, Record, RunCompleted, RunId, Scope, TableName, Timestamp};
use rusqlite::{OptionalExtension, Row, params};

use crate::deliveries::{event, readable};
use crate::outbox::prune;
use crate::reader::known_scope;
use crate::rows::{parsed, time, time_if_any, unsigned};
use crate::{Cursor, KnownScope, OutboxEvent, Reader, State, StateError};

impl State {
    /// Opens the state again, to read it while it is written.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn reader(&self) -> Result<Reader, StateError> {
        Reader::open(&self.path)
    }

    /// Whether a run has settled whose end a sink has not passed, or the sink has not had the whole state.
    ///
    /// # Errors
    /// If that cannot be read.
    pub fn owes_a_run(&self, sink: &str) -> Result<bool, StateError> {
        let sql = "SELECT EXISTS (SELECT * FROM outbox WHERE type = 'run_completed' \
                   AND seq > (SELECT cursor FROM sinks WHERE name = ?1)) \
                   OR (EXISTS (SELECT * FROM sinks WHERE name = ?1 AND NOT is_synced) \
                   AND EXISTS (SELECT * FROM runs WHERE ended_at IS NOT NULL AND completed IS NOT NULL))";
        self.connection.query_row(sql, [sink], |row| row.get(0)).map_err(|source| self.failed(source))
    }

    /// Stores how far a sink is with the whole state or with statistics, unless it is no longer where it was
    /// `before`: then it has to begin anew, and nothing is stored. Returns whether it was stored.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn set_progress(&mut self, sink: &str, before: Option<&str>, now: &SinkProgress) -> Result<bool, StateError> {
        let mut is_stored = false;
        self.all_or_nothing(|writing| {
            let sql = "UPDATE sinks SET progress = ?, refused = refused + ? WHERE name = ? AND progress IS ?";
            let refused = i64::try_from(now.refused).unwrap_or(i64::MAX);
            is_stored = writing.execute(sql, params![now.progress, refused, sink, before])? > 0;
            if !is_stored {
                return Ok(());
            }
            if now.taken {
                writing.execute("UPDATE sinks SET failed_at = NULL, failure = NULL WHERE name = ?", [sink])?;
            }
            if let Some(at) = now.delivered_at {
                writing.execute("UPDATE sinks SET delivered_at = ? WHERE name = ?", params![at.as_millis(), sink])?;
            }
            if let Some(at) = now.statistics_at {
                writing.execute("UPDATE sinks SET statistics_at = ? WHERE name = ?", params![at.as_millis(), sink])?;
            }
            if let Some(up_to) = now.synced_up_to {
                let sql = "UPDATE sinks SET is_synced = 1, cursor = MAX(cursor, ?) WHERE name = ?";
                writing.execute(sql, params![up_to.0, sink])?;
                prune(writing)?;
            }
            Ok(())
        })?;
        Ok(is_stored)
    }

    /// Makes a sink get the whole state next.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn set_behind(&mut self, sink: &str) -> Result<(), StateError> {
        self.connection
            .execute("UPDATE sinks SET is_synced = 0, progress = NULL WHERE name = ?", [sink])
            .map(drop)
            .map_err(|source| self.failed(source))
    }

    /// How far a sink is; `None` if there is no such sink.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn sink_sync(&self, sink: &str) -> Result<Option<SinkSync>, StateError> {
        let sql = "SELECT is_synced, statistics_at, progress, delivered_at, refused, \
                   (SELECT MAX(ended_at) FROM runs) AS last_run_at, \
                   (SELECT MIN(started_at) FROM runs WHERE ended_at IS NULL) AS running_since, \
                   COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'outbox'), 0) AS end FROM sinks WHERE name = ?";
        let sync = |row: &Row<'_>| {
            Ok(SinkSync {
                is_synced: row.get("is_synced")?,
                statistics_at: time_if_any(row, "statistics_at")?,
                progress: row.get("progress")?,
                delivered_at: time_if_any(row, "delivered_at")?,
                refused: unsigned(row, "refused")?,
                last_run_at: time_if_any(row, "last_run_at")?,
                running_since: time_if_any(row, "running_since")?,
                end: Cursor(row.get("end")?),
            })
        };
        self.connection.query_row(sql, [sink], sync).optional().map_err(|source| self.failed(source))
    }
}

/// What is new about how far a sink is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SinkProgress {
    /// How far it is with the whole state or with statistics, as JSON; `None`: with neither.
    pub progress: Option<String>,
    /// Whether the destination has taken something.
    pub taken: bool,
    /// How much the destination refused on the way.
    pub refused: u64,
    /// When the sink had everything that it should have.
    pub delivered_at: Option<Timestamp>,
    /// When it began to get the newest statistics.
    pub statistics_at: Option<Timestamp>,
    /// The place in the outbox up to which it has the whole state.
    pub synced_up_to: Option<Cursor>,
}

/// How far a sink is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkSync {
    /// Whether it has had the whole state, and all that happened since is still in the outbox.
    pub is_synced: bool,
    /// When it last began to get the newest statistics.
    pub statistics_at: Option<Timestamp>,
    /// How far it is with the whole state or with statistics.
    pub progress: Option<String>,
    /// When it last took something. While it gets the whole state, this stays as it was before.
    pub delivered_at: Option<Timestamp>,
    /// How many events or tables its destination has refused permanently.
    pub refused: u64,
    /// When the newest run ended.
    pub last_run_at: Option<Timestamp>,
    /// When the run in progress began, if there is one.
    pub running_since: Option<Timestamp>,
    /// The place after the newest event.
    pub end: Cursor,
}

/// A table that is no longer present, with its last record.
#[derive(Clone, Debug, PartialEq)]
pub struct GoneTable {
    /// Its account and Region.
    pub scope: NamedScope,
    /// Its name.
    pub name: TableName,
    /// Its last `table` record.
    pub record: Option<Record>,
    /// When that was found out.
    pub at: Timestamp,
    /// When a crawl last listed it.
    pub last_seen_at: Option<Timestamp>,
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

    /// The newest run that has ended, and how it ended.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn newest_run(&self) -> Result<Option<(RunId, RunCompleted)>, StateError> {
        let sql = "SELECT run_id, completed FROM runs WHERE ended_at IS NOT NULL AND completed IS NOT NULL \
                   ORDER BY rowid DESC LIMIT 1";
        self.read(|| {
            let found = self
                .connection
                .query_row(sql, [], |row| Ok((parsed(row, "run_id")?, row.get::<_, String>("completed")?)));
            Ok(found.optional()?.and_then(|(run_id, completed)| Some((run_id, serde_json::from_str(&completed).ok()?))))
        })
    }

    /// Scopes that are not retired, in a fixed order: at most `limit`, beginning with a key.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn scopes_from(&self, key: [&str; 3], limit: usize) -> Result<Vec<KnownScope>, StateError> {
        let sql = "SELECT * FROM scopes WHERE retired_at IS NULL AND (partition, account_id, region) >= (?, ?, ?) \
                   ORDER BY partition, account_id, region LIMIT ?";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read(|| {
            let mut query = self.connection.prepare_cached(sql)?;
            query.query_map(params![key[0], key[1], key[2], limit], known_scope)?.collect()
        })
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

    /// All scopes that are not retired.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn all_scopes(&self) -> Result<Vec<KnownScope>, StateError> {
        let sql = "SELECT * FROM scopes WHERE retired_at IS NULL";
        self.read(|| self.connection.prepare(sql)?.query_map([], known_scope)?.collect())
    }

    /// The changes `table_unselected` and `scope_retired` of tables and scopes that are still left out, in order:
    /// at most `limit`, found at `since` or later, that come after the place `after`. A scope that was retired and
    /// is back counts as long as it has tables that no run has seen since.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn left_out(&self, since: Option<Timestamp>, after: i64, limit: usize) -> Result<Vec<LeftOut>, StateError> {
        let sql = "SELECT c.change_id, c.type, c.change, s.target, r.record FROM changes c JOIN scopes s USING (scope_id) \
                   LEFT JOIN tables t ON t.scope_id = c.scope_id AND t.name = c.name LEFT JOIN records r USING (record_id) \
                   WHERE c.change_id > ?1 AND c.known_at >= ?2 AND c.type IN ('table_unselected', 'scope_retired') \
                   AND CASE c.type WHEN 'table_unselected' THEN t.status = 'unselected' AND t.changed_at = c.at \
                   ELSE s.retired_at = c.at OR EXISTS (SELECT * FROM tables gone WHERE gone.scope_id = c.scope_id \
                   AND gone.status = 'retired' AND gone.changed_at = c.at) END ORDER BY c.change_id LIMIT ?3";
        let left_out = |row: &Row<'_>| {
            // As bytes: text that is not UTF-8 makes one change unreadable, and must not hold up the others.
            let (kind, change): (String, _) = (row.get("type")?, row.get_ref("change")?.as_bytes()?);
            let table = row.get_ref("record")?.as_bytes_or_null()?;
            Ok(LeftOut {
                change_id: row.get("change_id")?,
                record: readable(&kind, change, None),
                table: table.and_then(|table| serde_json::from_slice(table).ok()),
                target: row.get("target")?,
            })
        };
        self.read(|| {
            let (since, limit) =
                (since.map_or(i64::MIN, Timestamp::as_millis), i64::try_from(limit).unwrap_or(i64::MAX));
            let mut query = self.connection.prepare_cached(sql)?;
            query.query_map(params![after, since, limit], left_out)?.collect()
        })
    }

    /// Tables that are no longer present, in a fixed order, with the targets of their scopes: at most
    /// `limit` that come after `after`, which is the place that came with the last one.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn gone_tables(
        &self,
        gone: Gone,
        after: (i64, &str),
        limit: usize,
    ) -> Result<Vec<(i64, String, GoneTable)>, StateError> {
        let sql = "SELECT scope_id, s.partition, s.account_id, s.region, s.account_name, s.target, t.name, t.changed_at, \
                   t.last_seen_at, r.record FROM tables t JOIN scopes s USING (scope_id) LEFT JOIN records r USING (record_id) \
                   WHERE (t.status = 'removed' OR (t.status = 'retired' AND ?1)) AND t.changed_at >= ?2 \
                   AND (scope_id, t.name) > (?3, ?4) ORDER BY scope_id, t.name LIMIT ?5";
        let (with_retired, since) = (gone.with_retired, gone.since.map_or(i64::MIN, Timestamp::as_millis));
        let gone = |row: &Row<'_>| {
            let scope = Scope {
                partition: Partition::from(row.get_ref("partition")?.as_str()?),
                account_id: Some(parsed(row, "account_id")?),
                region: parsed(row, "region")?,
            };
            let record: Option<String> = row.get("record")?;
            let table = GoneTable {
                scope: NamedScope {
                    scope,
                    account_name: row.get::<_, Option<String>>("account_name")?.map(Into::into),
                },
                name: TableName::from(row.get::<_, String>("name")?),
                record: record.and_then(|record| serde_json::from_str(&record).ok()),
                at: time(row, "changed_at")?,
                last_seen_at: time_if_any(row, "last_seen_at")?,
            };
            Ok((row.get("scope_id")?, row.get("target")?, table))
        };
        self.read(|| {
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let mut query = self.connection.prepare_cached(sql)?;
            query.query_map(params![with_retired, since, after.0, after.1, limit], gone)?.collect()
        })
    }
}

/// The change by which a table or a scope came to be left out.
#[derive(Clone, Debug, PartialEq)]
pub struct LeftOut {
    /// Its place among all changes.
    pub change_id: i64,
    /// The change; `None` if it cannot be read.
    pub record: Option<Record>,
    /// The last `table` record of its table.
    pub table: Option<Record>,
    /// The target of its scope.
    pub target: String,
}

/// Which tables that are no longer present.
#[derive(Clone, Copy, Debug)]
pub struct Gone {
    /// Only those that were found to be gone at this time or later.
    pub since: Option<Timestamp>,
    /// Also those that were retired with their scope.
    pub with_retired: bool,
}
