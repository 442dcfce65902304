//! The state that dynacrawl keeps between processes: runs, the progress of each of their scopes,
//! and the tables that runs have found. It is one SQLite file. One process writes it at a time, and
//! `sqlite3` can read it at any time.
//!
//! A commit stores the length of the output (`output_offset`) together with everything that the
//! output holds up to there, so a run that was killed resumes at exactly that place. A run stages
//! what it finds out about tables with its commits. dynacrawl settles the run, which moves the
//! staged rows to the other tables, only when the run has ended and its output is in its place.
//! This crate does not know what a checkpoint holds, or what makes a change.
//!
//! # Tables
//!
//! Times are milliseconds since 1970. `estate` is a view with times as text:
//! `SELECT account_id, region, name, status, first_seen, last_seen FROM estate`.
//!
//! `runs`: one row for each run. `ended_at` and `outcome` are null while the run is in progress, or
//! if it was killed. `outcome` is that of `run_completed`, or `abandoned` if a later run began
//! instead of resuming it. `completed` is the record `run_completed` without its `type`.
//! `active_ms` is how long its processes worked on it, `schedule` the schedule that began it,
//! `targets` (JSON) the targets that it was restricted to. `output` was made from
//! `output_template`; `output_format` is the number of its format. `files_deleted` is set once
//! dynacrawl has deleted the files of an old run.
//!
//! `run_scopes`: one row for each scope that has begun, of the last thirty runs. `outcome` is null
//! while the scope is in progress, and `checkpoint` (JSON) is the place at which it resumes. After
//! that, `counts`, `requests` and `changes` (JSON) are those of its `scope_completed`, and
//! `problems` (JSON) has its first problems. `account_name` is the name of the account, if known.
//!
//! `run_targets`: the records `accounts_discovered` and `regions_discovered` of a run's targets.
//! `failed` is set if the scopes of the target could not be discovered, and `failure` is the record
//! `target_failed`, which versions before 6 did not keep.
//!
//! `scopes`: every account and Region that was ever crawled. `account_name` is the last known name
//! of the account. `last_listed_at` is when a listing last reached its last page,
//! `last_complete_at` when a crawl last had nothing missing. `last_problems` (JSON) has the first
//! problems of the last crawl. `held` counts the tables whose removal waits for a person.
//! `retired_at` is set if the configuration no longer covers the scope.
//!
//! `tables`: every table that was ever described. `status` is `present`, `removed`, `unselected` (a
//! filter has excluded it since) or `retired` (with its scope). `last_seen_at` is null while the
//! table is listed whenever its scope is: it was last seen at the scope's `last_listed_at`.
//! `changed_at` is when the last change was found.
//!
//! `records`: the `table` record of each table, as it was at its last change. `tables.record_id`
//! names it.
//!
//! `changes`: every change event, without the table, which is in its record. `at` is when the
//! change was observed, `known_at` when its run had ended.
//!
//! `staged`: what the run in progress has found out; empty between runs.
//!
//! `schedules`: when each schedule of `dynacrawl serve` was last due.
//!
//! `table_stats`: the item count, size in bytes and status of each table, its parts with further values that
//! change by themselves (`parts`, JSON, if they are not as in its record, and a hash of them, `digest`), and when
//! they last differed. Such a difference is not a change.
//!
//! `outbox`: the events that sinks have yet to take, in the order of `seq`. Each settled run
//! appends its changes, then how its scopes and targets ended, then `run_completed`. `table_record`
//! is the `table` record of a change's table as it was. `event_id` stays the same however often an
//! event is delivered. dynacrawl deletes an event when all sinks have taken it. `about` is the table of a
//! change that catalogs follow: a newer change of the table replaces it for them. `waiting_since` is since when
//! the table waits for a catalog that has not taken the change before it (`waiting_seq`).
//!
//! `sinks`: how far each sink is (`cursor`), and how many events it lost because they became too old or
//! too many (`lost`). Whether it needs only what happens next (`is_synced`) or the whole state, how far it
//! is with that (`progress`, JSON), when a catalog last got statistics (`statistics_at`), and a hash of
//! its place and its filter, or `events` (`place`).
//!
//! `staged_ends`: how scopes and targets of the run in progress ended.
//!
//! `marks`: facts about the whole state, such as that it belongs to a demo.

mod deliveries;
mod error;
mod estate;
mod forget;
mod marks;
mod outbox;
mod outputs;
mod place;
mod reader;
mod reports;
mod rows;
mod sink_lines;
mod staged;
mod stats;
mod sync;
mod version6;
mod versions;

use std::path::{Path, PathBuf};
use std::time::Duration;

use dynacrawl_model::{Record, RecordKind, RunCompleted, RunId, RunOutcome, Timestamp};
use rusqlite::{Connection, OptionalExtension, Transaction, params};

pub use deliveries::{Cursor, OtherSinks, OutboxEvent, SinkPlace};
pub use error::StateError;
pub use estate::KnownTable;
pub use outputs::{FileQuery, RunFile};
pub use place::{Purpose, files, has_file, is_same_file};
pub use reader::{KnownScope, Reader};
pub use reports::{ChangeLine, ChangeQuery, RunLine, ScopeLine, TableCursor, TableLine, TableQuery};
pub use rows::{Commit, EndedScope, NewRun, ScopeProgress, ScopeRow, TargetRow, Unfinished};
pub use sink_lines::SinkLine;
pub use staged::{ScopeKey, Staged, StagedChange, TableRow, TableStatus};
pub use stats::TableStats;
pub use sync::{Gone, GoneTable, LeftOut, SinkProgress, SinkSync};

/// How large the write-ahead log may stay after a checkpoint, in bytes.
const LOG_BYTES: u32 = 4 * 1024 * 1024;
/// How long SQLite waits for a lock that another process holds.
const BUSY: Duration = Duration::from_secs(5);

/// An open state. This process is its only writer.
#[derive(Debug)]
pub struct State {
    connection: Connection,
    path: PathBuf,
    /// Dropped after the connection, because closing a file of the database releases SQLite's own
    /// locks.
    _locks: place::Locks,
}

impl State {
    /// Opens the file for real runs, and creates it if it does not exist.
    ///
    /// # Errors
    /// If it cannot be opened, it is not a state of dynacrawl, it is the state of a demo, another
    /// process writes it, a newer version wrote it, or it lies on a network file system, where
    /// SQLite's write-ahead log does not work.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        Self::open_for(path, Purpose::Real)
    }

    /// Opens the file for runs of one purpose, and creates it if it does not exist.
    ///
    /// # Errors
    /// As for [`State::open`], and if it holds runs of the other purpose.
    pub fn open_for(path: &Path, purpose: Purpose) -> Result<Self, StateError> {
        let path = &place::real(path);
        place::check(path)?;
        let locks = place::lock(path)?;
        let failed = |source| StateError::Database { path: path.to_owned(), source };
        let mut connection = Connection::open(path).map_err(failed)?;
        connection.busy_timeout(BUSY).map_err(failed)?;
        // Read before writing: the file may belong to another program.
        let version = known_version(&connection, path)?;
        let found = place::purpose(&connection, version).map_err(failed)?;
        match (found, purpose) {
            (Some(Purpose::Demo), Purpose::Real) => return Err(StateError::Demo { path: path.to_owned() }),
            (Some(Purpose::Real), Purpose::Demo) => return Err(StateError::Real { path: path.to_owned() }),
            _ => {}
        }
        connection
            .execute_batch(&format!(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON; \
                 PRAGMA temp_store = MEMORY; PRAGMA journal_size_limit = {LOG_BYTES};"
            ))
            .map_err(failed)?;
        versions::bring_up(&mut connection, version).map_err(failed)?;
        if purpose == Purpose::Demo && found.is_none() {
            marks::set(&connection, marks::DEMO, Timestamp::now()).map_err(failed)?;
        }
        Ok(Self { connection, path: path.to_owned(), _locks: locks })
    }

    /// The last run, if it has not ended.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn unfinished(&self) -> Result<Option<Unfinished>, StateError> {
        self.read_unfinished().map_err(|source| self.failed(source))
    }

    fn read_unfinished(&self) -> rusqlite::Result<Option<Unfinished>> {
        let newest = "SELECT * FROM runs ORDER BY rowid DESC LIMIT 1";
        let run = self
            .connection
            .query_row(newest, [], |row| {
                let ended_at: Option<i64> = row.get("ended_at")?;
                Ok(if ended_at.is_none() { Some(rows::unfinished(row)?) } else { None })
            })
            .optional()?
            .flatten();
        let Some(mut run) = run else { return Ok(None) };
        let id = run.run_id.as_str();
        run.scopes = self
            .connection
            .prepare("SELECT * FROM run_scopes WHERE run_id = ?")?
            .query_map([id], rows::scope)?
            .collect::<rusqlite::Result<_>>()?;
        run.targets = self
            .connection
            .prepare("SELECT * FROM run_targets WHERE run_id = ?")?
            .query_map([id], rows::target)?
            .collect::<rusqlite::Result<_>>()?;
        Ok(Some(run))
    }

    /// Begins a run. This abandons earlier runs that have not ended, with all that they staged, and
    /// deletes what is too old.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn begin(&mut self, run: &NewRun) -> Result<(), StateError> {
        let at = run.started_at.as_millis();
        self.all_or_nothing(|writing| {
            writing.execute("UPDATE runs SET ended_at = ?, outcome = 'abandoned' WHERE ended_at IS NULL", [at])?;
            writing.execute(
                "UPDATE run_scopes SET checkpoint = NULL \
                 WHERE run_id IN (SELECT run_id FROM runs WHERE ended_at = ? AND outcome = 'abandoned')",
                [at],
            )?;
            staged::drop_all(writing)?;
            forget::forget(writing, run)?;
            writing.execute(
                "INSERT INTO runs (run_id, version, config_digest, started_at, updated_at, active_ms, output, output_template, \
                 output_offset, output_lines, schedule, targets, accepted, is_replaced, output_format) \
                 VALUES (?, ?, ?, ?, ?, 0, ?, ?, 0, 0, ?, ?, ?, ?, ?)",
                params![
                    run.run_id.as_str(),
                    run.version,
                    run.config_digest,
                    at,
                    at,
                    run.output,
                    run.output_template,
                    run.schedule,
                    run.only.as_ref().map(rows::json).transpose()?,
                    rows::json(&run.accepted)?,
                    run.is_replaced,
                    run.output_format,
                ],
            )?;
            forget::forget_details(writing)
        })
    }

    /// Stores how far a run is: all of it, or nothing if that fails.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn commit(&mut self, commit: &Commit) -> Result<(), StateError> {
        self.all_or_nothing(|writing| {
            rows::write(writing, commit)?;
            staged::write(writing, commit.run_id, &commit.staged)
        })
    }

    /// Ends a run whose output is in its place: moves what it staged to the other tables.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn settle(&mut self, run_id: RunId, completed: &RunCompleted) -> Result<(), StateError> {
        let mut record = serde_json::to_value(Record::of_run(run_id, completed.clone())).unwrap_or_default();
        let last = record.to_string();
        // The name of the column already says the type.
        record.as_object_mut().and_then(|members| members.remove("type"));
        self.all_or_nothing(|writing| {
            end(writing, run_id, completed.ended_at, &rows::word(&completed.outcome).map_err(rows::unwritable)?)?;
            writing.execute(
                "UPDATE runs SET completed = ? WHERE run_id = ?",
                params![rows::json(&record)?, run_id.as_str()],
            )?;
            // A run that has not received a single page has nothing to deliver.
            let delivers = matches!(completed.outcome, RunOutcome::Complete | RunOutcome::Partial);
            if !delivers {
                writing.execute("DELETE FROM staged_ends", [])?;
            }
            staged::settle(writing, run_id, completed.ended_at)?;
            if delivers && outbox::has_sinks(writing)? {
                outbox::append(writing, completed.ended_at, RecordKind::RunCompleted.as_str(), &last, None)?;
            }
            Ok(())
        })?;
        self.shrink_log();
        Ok(())
    }

    /// Abandons a run that has not ended, but whose output has everything that it committed: moves
    /// what it staged to the other tables all the same.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn settle_abandoned(&mut self, run_id: RunId, at: Timestamp) -> Result<(), StateError> {
        self.all_or_nothing(|writing| {
            end(writing, run_id, at, "abandoned")?;
            staged::settle(writing, run_id, at)
        })?;
        self.shrink_log();
        Ok(())
    }

    /// Ends a run whose output is not in its place: drops what it staged.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn give_up(&mut self, run_id: RunId, at: Timestamp, outcome: RunOutcome) -> Result<(), StateError> {
        self.all_or_nothing(|writing| {
            end(writing, run_id, at, &rows::word(&outcome).map_err(rows::unwritable)?)?;
            staged::drop_all(writing)
        })
    }

    /// Stores when a schedule was due.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn was_due(&mut self, schedule: &str, at: Timestamp) -> Result<(), StateError> {
        self.all_or_nothing(|writing| {
            let put = "INSERT OR REPLACE INTO schedules VALUES (?, ?)";
            writing.execute(put, params![schedule, at.as_millis()]).map(drop)
        })
    }

    /// When a schedule was last due.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn last_due(&self, schedule: &str) -> Result<Option<Timestamp>, StateError> {
        let sql = "SELECT last_at FROM schedules WHERE name = ?";
        let found = self.connection.query_row(sql, [schedule], |row| rows::time(row, "last_at")).optional();
        found.map_err(|source| self.failed(source))
    }

    /// Whether the user has to be notified that the default of `emit` has changed since this state
    /// was last used: `true` once.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn take_emit_notice(&mut self) -> Result<bool, StateError> {
        marks::take(&self.connection, marks::EMIT_DEFAULT_CHANGED).map_err(|source| self.failed(source))
    }

    /// Writes the log back into the database and truncates it. That is not possible while another
    /// process reads; the end of the next run is soon enough then.
    fn shrink_log(&self) {
        let _ = self.connection.busy_timeout(Duration::from_millis(100));
        let _ = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        let _ = self.connection.busy_timeout(BUSY);
    }

    fn all_or_nothing(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<()>,
    ) -> Result<(), StateError> {
        let done = (|| {
            let writing = self.connection.transaction()?;
            work(&writing)?;
            writing.commit()
        })();
        done.map_err(|source| self.failed(source))
    }

    fn failed(&self, source: rusqlite::Error) -> StateError {
        StateError::Database { path: self.path.clone(), source }
    }
}

fn end(writing: &Transaction<'_>, run_id: RunId, at: Timestamp, outcome: &str) -> rusqlite::Result<()> {
    let at = at.as_millis();
    let ended = "UPDATE runs SET ended_at = ?, updated_at = ?, outcome = ? WHERE run_id = ?";
    writing.execute(ended, params![at, at, outcome, run_id.as_str()]).map(drop)
}

/// The version of the tables; 0 if there are none, as after a kill while they were being created.
fn known_version(connection: &Connection, path: &Path) -> Result<i64, StateError> {
    let number = |sql: &str| {
        let read = connection.query_row(sql, [], |row| row.get::<_, i64>(0));
        read.map_err(|source| StateError::Database { path: path.to_owned(), source })
    };
    let version = number("PRAGMA user_version")?;
    let foreign = number("PRAGMA application_id")? != versions::APPLICATION;
    if foreign && (version > 0 || number("SELECT count(*) FROM sqlite_master")? > 0) {
        return Err(StateError::Foreign { path: path.to_owned() });
    }
    if version > versions::NEWEST {
        return Err(StateError::Newer { path: path.to_owned(), found: version, known: versions::NEWEST });
    }
    Ok(version)
}

#[cfg(test)]
mod tests;
