//! Reads a state while another process may write it. Each query reads by itself, so no reader
//! blocks the writer.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dynacrawl_model::{Partition, RunId, TableArn, TableName, Timestamp};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};

use crate::rows::{parsed, time, time_if_any, unreadable, unsigned};
use crate::{ScopeKey, StateError, TableRow, TableStats, TableStatus, known_version, place, versions};

/// A state that is open for reading only.
#[derive(Debug)]
pub struct Reader {
    pub(crate) connection: Connection,
    path: PathBuf,
}

/// An account and Region in the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownScope {
    /// Its number in the database.
    pub id: i64,
    /// The account and Region.
    pub key: ScopeKey,
    /// The name of the account, if known.
    pub account_name: Option<Arc<str>>,
    /// The target that it last belonged to.
    pub target: String,
    /// When a listing last reached its last page.
    pub last_listed_at: Option<Timestamp>,
    /// When a crawl last had nothing missing.
    pub last_complete_at: Option<Timestamp>,
}

impl Reader {
    /// Opens the file.
    ///
    /// # Errors
    /// If it does not exist, is not a state of dynacrawl, or is of another version.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let failed = |source| StateError::Database { path: path.to_owned(), source };
        match std::fs::metadata(path) {
            Ok(there) => place::must_be_a_file(path, &there)?,
            Err(source) => return Err(StateError::Open { path: path.to_owned(), source }),
        }
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(failed)?;
        connection.busy_timeout(Duration::from_secs(5)).map_err(failed)?;
        // There may be no space for temporary files.
        connection.execute_batch("PRAGMA temp_store = MEMORY").map_err(failed)?;
        let version = known_version(&connection, path)?;
        if version < versions::NEWEST {
            return Err(StateError::Older { path: path.to_owned(), found: version, known: versions::NEWEST });
        }
        Ok(Self { connection, path: path.to_owned() })
    }

    /// A scope, if it is in the state, retired or not.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn scope(&self, key: &ScopeKey) -> Result<Option<KnownScope>, StateError> {
        let sql = "SELECT * FROM scopes WHERE partition = ? AND account_id = ? AND region = ?";
        self.read(|| {
            let mut query = self.connection.prepare_cached(sql)?;
            query
                .query_row([key.partition.as_str(), key.account_id.as_str(), key.region.as_str()], known_scope)
                .optional()
        })
    }

    /// All scopes that are not retired, except those for which the run has already staged
    /// `scope_retired`.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn scopes(&self, run_id: RunId) -> Result<Vec<KnownScope>, StateError> {
        let staged = "SELECT partition, account_id, region FROM staged WHERE run_id = ? AND type = 'scope_retired'";
        let sql = format!(
            "SELECT * FROM scopes WHERE retired_at IS NULL AND (partition, account_id, region) NOT IN ({staged})"
        );
        self.read(|| self.connection.prepare(&sql)?.query_map([run_id.as_str()], known_scope)?.collect())
    }

    /// Calls `each` with the fingerprint and statistics of those tables that are present and were
    /// listed whenever their scope was. This runs for every page of a listing, in one transaction:
    /// separate queries would each acquire and release the database's locks.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn listed<'n>(
        &self,
        scope: i64,
        names: impl IntoIterator<Item = &'n TableName>,
        mut each: impl FnMut(&'n TableName, &str, Option<TableStats>),
    ) -> Result<(), StateError> {
        self.read(|| {
            let reading = self.connection.unchecked_transaction()?;
            let sql = "SELECT t.fingerprint, s.observed_at IS NOT NULL, s.item_count, s.size_bytes, s.status, s.digest \
                       FROM tables t LEFT JOIN table_stats s USING (scope_id, name) \
                       WHERE t.scope_id = ? AND t.name = ? AND t.status = 'present' AND t.last_seen_at IS NULL";
            let mut query = self.connection.prepare_cached(sql)?;
            for name in names {
                let mut rows = query.query(params![scope, name.as_str()])?;
                if let Some(row) = rows.next()? {
                    let stats = TableStats::read(row)?;
                    each(name, row.get_ref(0)?.as_str()?, row.get::<_, bool>(1)?.then_some(stats));
                }
            }
            drop(query);
            reading.commit()
        })
    }

    /// A table's row, if there is one.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn table(&self, scope: i64, name: &TableName) -> Result<Option<TableRow>, StateError> {
        self.read(|| {
            self.connection.prepare_cached(ONE_TABLE)?.query_row(params![scope, name.as_str()], table).optional()
        })
    }

    /// The statistics of a table, if there are any.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn stats(&self, scope: i64, name: &TableName) -> Result<Option<TableStats>, StateError> {
        self.read(|| {
            let sql = "SELECT item_count, size_bytes, status, digest FROM table_stats WHERE scope_id = ? AND name = ?";
            let row = params![scope, name.as_str()];
            self.connection.prepare_cached(sql)?.query_row(row, TableStats::read).optional()
        })
    }

    /// The record of a table, as it was at its last change.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn record(&self, of: &TableRow) -> Result<Option<String>, StateError> {
        self.read(|| {
            let mut query = self.connection.prepare_cached("SELECT record FROM records WHERE record_id = ?")?;
            query.query_row([of.record_id], |row| row.get(0)).optional()
        })
    }

    /// How many tables of a scope are present.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn count(&self, scope: i64) -> Result<u64, StateError> {
        let sql = "SELECT count(*) AS tables FROM tables WHERE scope_id = ? AND status = 'present'";
        self.read(|| self.connection.query_row(sql, [scope], |row| unsigned(row, "tables")))
    }

    /// Calls `each` with the names of a scope's tables that are present, unselected or retired, with
    /// whether they are present, and with whether they were listed whenever their scope was.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn not_removed(&self, scope: i64, mut each: impl FnMut(&str, bool, bool)) -> Result<(), StateError> {
        self.read(|| {
            let sql = "SELECT name, status = 'present', last_seen_at IS NULL FROM tables \
                       WHERE scope_id = ? AND status <> 'removed'";
            let mut query = self.connection.prepare_cached(sql)?;
            let mut rows = query.query([scope])?;
            while let Some(row) = rows.next()? {
                each(row.get_ref(0)?.as_str()?, row.get(1)?, row.get(2)?);
            }
            Ok(())
        })
    }

    /// Calls `each` with the names of a scope's tables that are present.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn present(&self, scope: i64, mut each: impl FnMut(&str)) -> Result<(), StateError> {
        self.not_removed(scope, |name, is_present, _| {
            if is_present {
                each(name);
            }
        })
    }

    /// The names of the tables that a run has staged as removed (`true`) or unselected (`false`).
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn staged_retirements(&self, run_id: RunId, key: &ScopeKey) -> Result<HashMap<String, bool>, StateError> {
        self.read(|| {
            let sql = "SELECT name, status = 'removed' FROM staged WHERE run_id = ? AND partition = ? AND account_id = ? AND region = ? \
                       AND type IN ('table_removed', 'table_unselected')";
            let key = [run_id.as_str(), key.partition.as_str(), key.account_id.as_str(), key.region.as_str()];
            self.connection.prepare_cached(sql)?.query_map(key, |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        })
    }

    /// Calls `each` with the names of a scope's tables about which a run has staged an event.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn names_with_event(
        &self,
        run_id: RunId,
        key: &ScopeKey,
        mut each: impl FnMut(&str),
    ) -> Result<(), StateError> {
        self.read(|| {
            let sql = "SELECT name FROM staged WHERE run_id = ? AND partition = ? AND account_id = ? AND region = ? \
                       AND name IS NOT NULL AND type IS NOT NULL";
            let key = [run_id.as_str(), key.partition.as_str(), key.account_id.as_str(), key.region.as_str()];
            let mut statement = self.connection.prepare_cached(sql)?;
            let mut rows = statement.query(key)?;
            while let Some(row) = rows.next()? {
                each(row.get_ref(0)?.as_str()?);
            }
            Ok(())
        })
    }

    pub(crate) fn read<T>(&self, work: impl FnOnce() -> rusqlite::Result<T>) -> Result<T, StateError> {
        work().map_err(|source| StateError::Database { path: self.path.clone(), source })
    }
}

const ONE_TABLE: &str = "SELECT fingerprint, status, last_seen_at, name, first_seen_at, changed_at, arn, table_id, record_id FROM tables \
                         WHERE scope_id = ? AND name = ?";

pub(crate) fn known_scope(row: &Row<'_>) -> rusqlite::Result<KnownScope> {
    Ok(KnownScope {
        id: row.get("scope_id")?,
        key: ScopeKey {
            partition: Partition::from(row.get_ref("partition")?.as_str()?),
            account_id: parsed(row, "account_id")?,
            region: parsed(row, "region")?,
        },
        account_name: row.get::<_, Option<String>>("account_name")?.map(Into::into),
        target: row.get("target")?,
        last_listed_at: time_if_any(row, "last_listed_at")?,
        last_complete_at: time_if_any(row, "last_complete_at")?,
    })
}

fn table(row: &Row<'_>) -> rusqlite::Result<TableRow> {
    let status = row.get_ref("status")?.as_str()?;
    Ok(TableRow {
        name: TableName::from(row.get::<_, String>("name")?),
        status: TableStatus::parse(status).ok_or_else(|| unreadable("status", status.to_owned()))?,
        fingerprint: row.get("fingerprint")?,
        first_seen_at: time(row, "first_seen_at")?,
        changed_at: time(row, "changed_at")?,
        last_seen_at: time_if_any(row, "last_seen_at")?,
        arn: row.get::<_, Option<String>>("arn")?.map(TableArn::from),
        table_id: row.get("table_id")?,
        record_id: row.get("record_id")?,
    })
}
