//! What is remembered between processes: runs, how far each scope of them is, and what was found out about targets. One
//! SQLite file, written by one process at a time and readable by `sqlite3` at any time.
//!
//! A commit says how far the output is (`output_offset`) together with everything that is in it up to there, so that a run
//! that was killed can be gone on with at exactly that place. This crate does not know what a checkpoint holds.
//!
//! # Tables
//!
//! `runs`: one row a run. `ended_at` and `outcome` are null while it is under way, or was killed; `outcome` is that of
//! `run_completed`, or `abandoned` where a later run began anew. `active_ms` is how long its processes worked on it.
//!
//! `scopes`: one row for each scope of a run that has begun. `outcome` is null while it is under way; `checkpoint` (JSON) is
//! where it goes on then, `counts` and `requests` (JSON) are those of its `scope_completed` after.
//!
//! `targets`: what a run found out about its targets, as the records `accounts_discovered` and `regions_discovered`, and
//! whether its scopes could not be found out.
//!
//! Times are milliseconds since 1970.

mod error;
mod place;
mod rows;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dynacrawl_model::{RunId, RunOutcome, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

pub use error::StateError;
pub use rows::{Commit, EndedScope, NewRun, ScopeProgress, ScopeRow, TargetRow, Unfinished};

/// The version of the tables that this program writes.
const VERSION: i64 = 1;
/// `dyna`, so that another program's database is told apart.
const APPLICATION: i64 = 0x6479_6e61;
/// How many runs are remembered.
const KEPT_RUNS: u32 = 30;

const TABLES: &str = "
CREATE TABLE runs (
    run_id TEXT PRIMARY KEY,
    version TEXT NOT NULL,
    config_digest TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    ended_at INTEGER,
    outcome TEXT,
    active_ms INTEGER NOT NULL,
    output TEXT NOT NULL,
    output_offset INTEGER NOT NULL,
    output_lines INTEGER NOT NULL
) STRICT;
CREATE TABLE scopes (
    run_id TEXT NOT NULL REFERENCES runs ON DELETE CASCADE,
    target TEXT NOT NULL,
    region TEXT NOT NULL,
    partition TEXT NOT NULL,
    account_id TEXT,
    updated_at INTEGER NOT NULL,
    outcome TEXT,
    listed_a_page INTEGER,
    counts TEXT,
    requests TEXT,
    checkpoint TEXT,
    PRIMARY KEY (run_id, target, region)
) STRICT, WITHOUT ROWID;
CREATE TABLE targets (
    run_id TEXT NOT NULL REFERENCES runs ON DELETE CASCADE,
    target TEXT NOT NULL,
    accounts_discovered TEXT,
    regions_discovered TEXT,
    failed INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (run_id, target)
) STRICT, WITHOUT ROWID;
";

/// An open state, of which this process is the one writer.
#[derive(Debug)]
pub struct State {
    connection: Connection,
    path: PathBuf,
    /// Locked as long as it is open.
    _lock: File,
}

impl State {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// When it cannot be opened or is no state of dynacrawl's, another process writes it, it comes from a newer version, or
    /// it lies on a network file system, where SQLite's write-ahead log does not work.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        place::check(path)?;
        let lock = place::lock(path)?;
        let failed = |source| StateError::Database { path: path.to_owned(), source };
        let mut connection = Connection::open(path).map_err(failed)?;
        connection.busy_timeout(Duration::from_secs(5)).map_err(failed)?;
        // Read before anything is written into what may be somebody else's. A kill while the tables were being made leaves
        // a database without any.
        let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(failed);
        let application = number("PRAGMA application_id")?;
        let version = number("PRAGMA user_version")?;
        let tables = number("SELECT count(*) FROM sqlite_master")?;
        if application != APPLICATION && (tables > 0 || version > 0) {
            return Err(StateError::Foreign { path: path.to_owned() });
        }
        if version > VERSION {
            return Err(StateError::Newer { path: path.to_owned(), found: version, known: VERSION });
        }
        connection
            .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;")
            .map_err(failed)?;
        if version == 0 {
            let making = connection.transaction().map_err(failed)?;
            making.execute_batch(TABLES).map_err(failed)?;
            making.pragma_update(None, "application_id", APPLICATION).map_err(failed)?;
            making.pragma_update(None, "user_version", VERSION).map_err(failed)?;
            making.commit().map_err(failed)?;
        }
        Ok(Self { connection, path: path.to_owned(), _lock: lock })
    }

    /// The last run, if it has not ended.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn unfinished(&self) -> Result<Option<Unfinished>, StateError> {
        self.read_unfinished().map_err(|source| self.failed(source))
    }

    fn read_unfinished(&self) -> rusqlite::Result<Option<Unfinished>> {
        let newest = "SELECT run_id, version, config_digest, updated_at, active_ms, output, output_offset, output_lines, ended_at \
                      FROM runs ORDER BY rowid DESC LIMIT 1";
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
            .prepare("SELECT * FROM scopes WHERE run_id = ?")?
            .query_map([id], rows::scope)?
            .collect::<rusqlite::Result<_>>()?;
        run.targets = self
            .connection
            .prepare("SELECT * FROM targets WHERE run_id = ?")?
            .query_map([id], rows::target)?
            .collect::<rusqlite::Result<_>>()?;
        Ok(Some(run))
    }

    /// Begins a run. Earlier ones that have not ended are given up, and the oldest are forgotten.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(&mut self, run: &NewRun) -> Result<(), StateError> {
        let at = run.started_at.as_millis();
        let begun = (|| {
            let writing = self.connection.transaction()?;
            writing.execute("UPDATE runs SET ended_at = ?, outcome = 'abandoned' WHERE ended_at IS NULL", [at])?;
            writing.execute("UPDATE scopes SET checkpoint = NULL WHERE checkpoint IS NOT NULL", [])?;
            writing.execute(
                "INSERT INTO runs VALUES (?, ?, ?, ?, ?, NULL, NULL, 0, ?, 0, 0)",
                params![run.run_id.as_str(), run.version, run.config_digest, at, at, run.output],
            )?;
            writing.execute(
                "DELETE FROM runs WHERE run_id NOT IN (SELECT run_id FROM runs ORDER BY rowid DESC LIMIT ?)",
                [KEPT_RUNS],
            )?;
            writing.commit()
        })();
        begun.map_err(|source| self.failed(source))
    }

    /// Says how far a run is: all of it or, where that fails, nothing.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn commit(&mut self, commit: &Commit) -> Result<(), StateError> {
        let done = (|| {
            let writing = self.connection.transaction()?;
            rows::write(&writing, commit)?;
            writing.commit()
        })();
        done.map_err(|source| self.failed(source))
    }

    /// Ends a run.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn end(&mut self, run_id: RunId, at: Timestamp, outcome: RunOutcome) -> Result<(), StateError> {
        let ended = self.connection.execute(
            "UPDATE runs SET ended_at = ?, updated_at = ?, outcome = ? WHERE run_id = ?",
            params![at.as_millis(), at.as_millis(), rows::word(&outcome)?, run_id.as_str()],
        );
        ended.map(drop).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: rusqlite::Error) -> StateError {
        StateError::Database { path: self.path.clone(), source }
    }
}

#[cfg(test)]
mod tests;
