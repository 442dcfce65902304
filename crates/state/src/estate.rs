//! The tables of a scope as they were last known, with their newest statistics.

use dynacrawl_model::{Body, Record, RunId, TableRecord, TargetFailed, Timestamp};
use rusqlite::{OptionalExtension, Row, params};

use crate::rows::{time, time_if_any, unreadable, unsigned};
use crate::{Reader, ScopeKey, StateError, TableStats, TableStatus};

/// How many tables are read at once.
const PAGE: usize = 300;

/// A table that is present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownTable {
    /// Its name.
    pub name: String,
    /// Its `table` record as JSON, as it was at its last change.
    pub record: String,
    /// Its newest statistics, and when they were first observed.
    pub stats: Option<(Timestamp, TableStats)>,
    /// When a crawl last listed it.
    pub last_seen_at: Option<Timestamp>,
    /// When its last change was found.
    pub changed_at: Timestamp,
}

impl KnownTable {
    /// Its `table` record with its newest statistics; `None` if it cannot be read.
    pub fn read(&self) -> Option<Box<TableRecord>> {
        self.read_of_run().map(|(_, table)| table)
    }

    /// The same, with the run that has described the table.
    pub fn read_of_run(&self) -> Option<(RunId, Box<TableRecord>)> {
        let Ok(Record { run_id, body: Body::Table(mut table), .. }) = serde_json::from_str(&self.record) else {
            return None;
        };
        if let Some((observed_at, stats)) = &self.stats {
            table.observed_at = *observed_at;
            stats.put_into(&mut table.table);
        }
        Some((run_id, table))
    }
}

impl Reader {
    /// The tables of a scope that are present, by name. Calls `each` until it returns `false`. Reads
    /// a few hundred rows at once, so that it does not block the writer however long `each` takes.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn known_tables(&self, of: &ScopeKey, each: impl FnMut(KnownTable) -> bool) -> Result<(), StateError> {
        self.known_tables_after(of, "", each)
    }

    /// The same for the tables whose name comes after `after`.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn known_tables_after(
        &self,
        of: &ScopeKey,
        after: &str,
        mut each: impl FnMut(KnownTable) -> bool,
    ) -> Result<(), StateError> {
        let sql = format!(
            "SELECT t.name, r.record, x.observed_at, x.item_count, x.size_bytes, x.status, x.digest, x.parts, \
             COALESCE(t.last_seen_at, s.last_listed_at) AS last_seen_at, t.changed_at \
             FROM tables t JOIN scopes s USING (scope_id) JOIN records r USING (record_id) \
             LEFT JOIN table_stats x USING (scope_id, name) \
             WHERE s.partition = ? AND s.account_id = ? AND s.region = ? AND t.status = 'present' AND t.name > ? \
             ORDER BY t.name LIMIT {PAGE}"
        );
        let mut after = after.to_owned();
        loop {
            let page: Vec<KnownTable> = self.read(|| {
                let mut query = self.connection.prepare_cached(&sql)?;
                let place = params![of.partition.as_str(), of.account_id.as_str(), of.region.as_str(), after];
                query.query_map(place, known)?.collect()
            })?;
            let is_whole = page.len() == PAGE;
            if let Some(last) = page.last() {
                after.clone_from(&last.name);
            }
            if !page.into_iter().all(&mut each) || !is_whole {
                return Ok(());
            }
        }
    }
}

impl Reader {
    /// A table as it was last known, and whether it is present, removed or something else.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn table_now(&self, of: &ScopeKey, name: &str) -> Result<Option<(TableStatus, KnownTable)>, StateError> {
        let sql = "SELECT t.name, r.record, x.observed_at, x.item_count, x.size_bytes, x.status, x.digest, x.parts, \
             COALESCE(t.last_seen_at, s.last_listed_at) AS last_seen_at, t.changed_at, t.status AS now \
             FROM tables t JOIN scopes s USING (scope_id) JOIN records r USING (record_id) \
             LEFT JOIN table_stats x USING (scope_id, name) \
             WHERE s.partition = ? AND s.account_id = ? AND s.region = ? AND t.name = ?";
        let now = |row: &Row<'_>| {
            let status = row.get_ref("now")?.as_str()?;
            let status = TableStatus::parse(status).ok_or_else(|| unreadable("status", status.to_owned()))?;
            Ok((status, known(row)?))
        };
        self.read(|| {
            let place = params![of.partition.as_str(), of.account_id.as_str(), of.region.as_str(), name];
            self.connection.prepare_cached(sql)?.query_row(place, now).optional()
        })
    }

    /// The tables of a scope that filters leave out.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn unselected(&self, of: &ScopeKey) -> Result<u64, StateError> {
        let sql = "SELECT count(*) AS tables FROM tables JOIN scopes USING (scope_id) \
                   WHERE partition = ? AND account_id = ? AND region = ? AND status = 'unselected'";
        let key = params![of.partition.as_str(), of.account_id.as_str(), of.region.as_str()];
        self.read(|| self.connection.query_row(sql, key, |row| unsigned(row, "tables")))
    }

    /// The targets whose accounts and Regions are unknown since the last run of all targets, or a
    /// later one.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn failed_targets(&self) -> Result<Vec<TargetFailed>, StateError> {
        let sql = "SELECT t.failure FROM run_targets t JOIN runs r USING (run_id) \
                   WHERE t.failure IS NOT NULL AND r.ended_at IS NOT NULL \
                   AND r.rowid >= (SELECT COALESCE(MAX(rowid), 0) FROM runs WHERE targets IS NULL AND ended_at IS NOT NULL) \
                   AND NOT EXISTS (SELECT 1 FROM run_targets x JOIN runs y USING (run_id) \
                   WHERE x.target = t.target AND y.rowid > r.rowid AND y.ended_at IS NOT NULL) ORDER BY t.target";
        self.read(|| {
            let mut query = self.connection.prepare(sql)?;
            let failures = query.query_map([], |row| row.get::<_, String>(0))?;
            failures.map(|text| Ok(serde_json::from_str(&text?).ok())).filter_map(Result::transpose).collect()
        })
    }

    /// Whether a run has ended.
    ///
    /// # Errors
    /// If that cannot be read.
    pub fn has_an_ended_run(&self) -> Result<bool, StateError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM runs WHERE ended_at IS NOT NULL)";
        self.read(|| self.connection.query_row(sql, [], |row| row.get(0)))
    }
}

fn known(row: &Row<'_>) -> rusqlite::Result<KnownTable> {
    let stats = TableStats::read_whole(row)?;
    Ok(KnownTable {
        name: row.get(0)?,
        record: row.get(1)?,
        stats: time_if_any(row, "observed_at")?.map(|observed_at| (observed_at, stats)),
        last_seen_at: time_if_any(row, "last_seen_at")?,
        changed_at: time(row, "changed_at")?,
    })
}
