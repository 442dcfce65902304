//! What a run has found out about tables. Each commit stages it. It moves to the other tables of
//! the state only when the run has ended and its output is in its place. If the run is given up,
//! the next run finds the same again.

use dynacrawl_model::{AccountId, Partition, RecordKind, Region, RunId, Scope, TableArn, TableName, Timestamp};
use rusqlite::{OptionalExtension, Statement, Transaction, params};

use crate::outbox;
use crate::stats::TableStats;

/// The key that identifies a scope.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ScopeKey {
    /// The partition.
    pub partition: Partition,
    /// The account.
    pub account_id: AccountId,
    /// The Region.
    pub region: Region,
}

impl ScopeKey {
    /// The key of a scope, if its account is known.
    pub fn of(scope: &Scope) -> Option<Self> {
        let account_id = scope.account_id.clone()?;
        Some(Self { partition: scope.partition.clone(), account_id, region: scope.region.clone() })
    }

    /// The scope.
    pub fn scope(&self) -> Scope {
        let Self { partition, account_id, region } = self.clone();
        Scope { partition, account_id: Some(account_id), region }
    }
}

/// The status of a table in the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableStatus {
    /// It exists.
    Present,
    /// It no longer exists.
    Removed,
    /// The filters have excluded it since it was last present.
    Unselected,
    /// Its scope has been retired since it was last present.
    Retired,
}

impl TableStatus {
    /// The word for it in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Removed => "removed",
            Self::Unselected => "unselected",
            Self::Retired => "retired",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Self::Present, Self::Removed, Self::Unselected, Self::Retired].into_iter().find(|one| one.as_str() == word)
    }
}

/// A table in the state: a row of `tables`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableRow {
    /// The name.
    pub name: TableName,
    /// Its status.
    pub status: TableStatus,
    /// Its last fingerprint.
    pub fingerprint: String,
    /// When it was described for the first time.
    pub first_seen_at: Timestamp,
    /// When the last change was found.
    pub changed_at: Timestamp,
    /// When it was last listed; `None`: whenever its scope was.
    pub last_seen_at: Option<Timestamp>,
    /// The ARN.
    pub arn: Option<TableArn>,
    /// AWS's `TableId`.
    pub table_id: Option<String>,
    /// The number of its record in the database, if the row was read from there.
    pub record_id: Option<i64>,
}

/// A change event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StagedChange {
    /// The record's type, such as `table_added`.
    pub kind: &'static str,
    /// The record as JSON, without the table.
    pub json: String,
}

/// What a run has found out about a table, or about a whole scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staged {
    /// The account and Region.
    pub scope: ScopeKey,
    /// When it was observed.
    pub at: Timestamp,
    /// The table's new row; `None` for an event about the scope, and if the row stays the same.
    pub table: Option<TableRow>,
    /// The table's record as JSON, if it has changed.
    pub record: Option<String>,
    /// The event about it.
    pub change: Option<StagedChange>,
    /// The table's statistics, if they have changed.
    pub stats: Option<(TableName, TableStats)>,
}

pub(crate) fn write(writing: &Transaction<'_>, run_id: RunId, staged: &[Staged]) -> rusqlite::Result<()> {
    let mut put = writing.prepare_cached(
        "INSERT INTO staged (run_id, partition, account_id, region, at, name, status, fingerprint, first_seen_at, changed_at, \
         last_seen_at, arn, table_id, record_id, type, change, has_stats, item_count, size_bytes, table_status, digest, parts) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    // Each record is written only once: settling the run changes only which record a table has.
    let mut keep = writing.prepare_cached("INSERT INTO records (record) VALUES (?)")?;
    for Staged { scope, at, table, record, change, stats } in staged {
        let table = table.as_ref();
        let name = table.map(|table| &table.name).or(stats.as_ref().map(|(name, _)| name));
        let stats = stats.as_ref().map(|(_, stats)| stats);
        let new_record = record.as_ref().map(|record| keep.insert([record])).transpose()?;
        put.execute(params![
            run_id.as_str(),
            scope.partition.as_str(),
            scope.account_id.as_str(),
            scope.region.as_str(),
            at.as_millis(),
            name.map(TableName::as_str),
            table.map(|table| table.status.as_str()),
            table.map(|table| table.fingerprint.as_str()),
            table.map(|table| table.first_seen_at.as_millis()),
            table.map(|table| table.changed_at.as_millis()),
            table.and_then(|table| table.last_seen_at).map(Timestamp::as_millis),
            table.and_then(|table| table.arn.as_ref()).map(TableArn::as_str),
            table.and_then(|table| table.table_id.as_deref()),
            new_record,
            change.as_ref().map(|change| change.kind),
            change.as_ref().map(|change| change.json.as_str()),
            stats.is_some(),
            stats.and_then(|stats| stats.item_count),
            stats.and_then(|stats| stats.size_bytes),
            stats.and_then(|stats| stats.status.as_deref()),
            stats.and_then(TableStats::digest),
            stats.and_then(TableStats::parts),
        ])?;
    }
    Ok(())
}

/// Moves what a run staged, and how its scopes ended, to the other tables. Works row by row: for a
/// statement over many rows, SQLite keeps what it needs for a rollback in temporary files, for
/// which there may be no space. If there are sinks, it also appends every change to the outbox,
/// with its table as it was, and then how scopes and targets ended.
pub(crate) fn settle(writing: &Transaction<'_>, run_id: RunId, known_at: Timestamp) -> rusqlite::Result<()> {
    settle_scopes(writing, run_id)?;
    let has_sinks = outbox::has_sinks(writing)?;
    let mut scopes = Scopes::new(writing, run_id)?;
    let mut record = writing.prepare("SELECT record_id FROM tables WHERE scope_id = ? AND name = ?")?;
    let mut forget = writing.prepare("DELETE FROM records WHERE record_id = ?")?;
    // A table without a new record keeps its record.
    let mut put = writing.prepare(
        "INSERT OR REPLACE INTO tables (scope_id, name, status, fingerprint, first_seen_at, changed_at, last_seen_at, arn, \
         table_id, record_id) SELECT ?, name, status, fingerprint, first_seen_at, changed_at, last_seen_at, arn, table_id, \
         COALESCE(record_id, ?) FROM staged WHERE staged_id = ?",
    )?;
    let mut put_change = writing.prepare(
        "INSERT INTO changes (at, known_at, run_id, scope_id, type, name, change) \
         SELECT at, ?, run_id, ?, type, name, change FROM staged WHERE staged_id = ?",
    )?;
    let mut put_stats = writing.prepare(
        // A new record of the table brings other parts, which alone are no newer statistics.
        "INSERT OR REPLACE INTO table_stats (scope_id, name, observed_at, item_count, size_bytes, status, digest, parts) \
         SELECT ?1, s.name, CASE WHEN s.record_id IS NOT NULL AND x.observed_at IS NOT NULL AND x.item_count IS s.item_count \
         AND x.size_bytes IS s.size_bytes AND x.status IS s.table_status THEN x.observed_at ELSE s.at END, s.item_count, \
         s.size_bytes, s.table_status, s.digest, s.parts FROM staged s LEFT JOIN table_stats x \
         ON x.scope_id = ?1 AND x.name = s.name WHERE s.staged_id = ?2",
    )?;
    let mut as_it_was = writing.prepare(
        "SELECT record FROM records WHERE record_id = (SELECT record_id FROM tables WHERE scope_id = ? AND name = ?)",
    )?;
    let mut retire = writing.prepare("UPDATE scopes SET held = 0, retired_at = ? WHERE scope_id = ?")?;
    let mut of_scope =
        writing.prepare("SELECT name FROM tables WHERE scope_id = ? AND status IN ('present', 'unselected')")?;
    let mut retire_table =
        writing.prepare("UPDATE tables SET status = 'retired', changed_at = ? WHERE scope_id = ? AND name = ?")?;
    let mut staged = writing.prepare(
        "SELECT staged_id, partition, account_id, region, at, name, record_id, type, change, status IS NOT NULL AS is_known, \
         has_stats FROM staged WHERE run_id = ? ORDER BY staged_id",
    )?;
    let mut rows = staged.query([run_id.as_str()])?;
    while let Some(row) = rows.next()? {
        let text = |column| row.get_ref(column)?.as_str().map_err(rusqlite::Error::from);
        let scope_id = scopes.id([text("partition")?, text("account_id")?, text("region")?], known_at)?;
        let (staged_id, at): (i64, i64) = (row.get("staged_id")?, row.get("at")?);
        let (name, kind): (Option<String>, Option<String>) = (row.get("name")?, row.get("type")?);
        if row.get("has_stats")? {
            put_stats.execute([scope_id, staged_id])?;
        }
        if let Some(name) = name.as_ref().filter(|_| row.get("is_known").unwrap_or_default()) {
            let before: Option<i64> = record.query_row(params![scope_id, name], |row| row.get(0)).optional()?;
            put.execute(params![scope_id, before, staged_id])?;
            if row.get::<_, Option<i64>>("record_id")?.is_some() {
                forget.execute([before])?;
            }
        }
        if let Some(kind) = &kind {
            put_change.execute([known_at.as_millis(), scope_id, staged_id])?;
            if has_sinks {
                let table: Option<String> =
                    as_it_was.query_row(params![scope_id, name], |row| row.get(0)).optional()?;
                outbox::append(writing, known_at, kind, text("change")?, table.as_deref())?;
            }
        }
        if kind.as_deref() == Some(RecordKind::ScopeRetired.as_str()) {
            retire.execute([at, scope_id])?;
            let names: Vec<String> = of_scope.query_map([scope_id], |row| row.get(0))?.collect::<Result<_, _>>()?;
            for name in names {
                retire_table.execute(params![at, scope_id, name])?;
            }
        }
    }
    drop(rows);
    if has_sinks {
        outbox::append_ends(writing, run_id.as_str(), known_at)?;
    }
    writing.execute("DELETE FROM staged_ends", [])?;
    writing.execute("DELETE FROM staged", []).map(drop)
}

/// The scopes that staged rows belong to.
struct Scopes<'c> {
    run_id: RunId,
    find: Statement<'c>,
    insert: Statement<'c>,
}

impl<'c> Scopes<'c> {
    fn new(writing: &'c Transaction<'_>, run_id: RunId) -> rusqlite::Result<Self> {
        let find =
            writing.prepare("SELECT scope_id FROM scopes WHERE partition = ?1 AND account_id = ?2 AND region = ?3")?;
        // The target is that of the run's row for the Region, which has lost its account.
        let insert = writing.prepare(
            "INSERT INTO scopes (partition, account_id, region, target, first_run_at, last_run_at, last_outcome) \
             SELECT ?1, ?2, ?3, COALESCE((SELECT target FROM run_scopes WHERE run_id = ?5 AND partition = ?1 \
             AND region = ?3 AND account_id IS NULL ORDER BY target LIMIT 1), ''), ?4, ?4, 'cancelled'",
        )?;
        Ok(Self { run_id, find, insert })
    }

    /// The number of a scope. Adds a missing one with the staged row's own key: versions up to 2
    /// could lose the account of a run's scope, and a row that belongs to no scope would prevent
    /// the run from ever being settled.
    fn id(&mut self, [partition, account_id, region]: [&str; 3], at: Timestamp) -> rusqlite::Result<i64> {
        let found = self.find.query_row([partition, account_id, region], |row| row.get(0)).optional()?;
        match found {
            Some(scope_id) => Ok(scope_id),
            None => {
                let run_id = self.run_id;
                self.insert.insert(params![partition, account_id, region, at.as_millis(), run_id.as_str()])
            }
        }
    }
}

/// Updates the scopes of a run. A listing that reached its end has seen every table: a run without
/// changes writes only this one time for each scope. A scope whose `changes` are null was not
/// compared, because nothing proved which account its tables belong to.
fn settle_scopes(writing: &Transaction<'_>, run_id: RunId) -> rusqlite::Result<()> {
    let mut put = writing.prepare(
        "INSERT INTO scopes (partition, account_id, region, target, first_run_at, last_run_at, last_outcome, last_listed_at, \
         last_complete_at, held, account_name, last_problems) \
         SELECT partition, account_id, region, target, updated_at, updated_at, COALESCE(outcome, 'cancelled'), \
             CASE WHEN outcome IN ('complete', 'partial') AND changes IS NOT NULL THEN updated_at END, \
             CASE WHEN outcome = 'complete' THEN updated_at END, COALESCE(json_extract(changes, '$.held'), 0), account_name, problems \
         FROM run_scopes WHERE run_id = ? AND target = ? AND region = ? AND account_id IS NOT NULL \
         ON CONFLICT (partition, account_id, region) DO UPDATE SET target = excluded.target, \
             last_run_at = excluded.last_run_at, last_outcome = excluded.last_outcome, \
             held = CASE WHEN excluded.last_listed_at IS NULL THEN held ELSE excluded.held END, \
             last_listed_at = COALESCE(excluded.last_listed_at, last_listed_at), \
             last_complete_at = COALESCE(excluded.last_complete_at, last_complete_at), retired_at = NULL, \
             account_name = COALESCE(excluded.account_name, account_name), last_problems = excluded.last_problems",
    )?;
    let mut scopes = writing.prepare("SELECT target, region FROM run_scopes WHERE run_id = ?")?;
    let mut rows = scopes.query([run_id.as_str()])?;
    while let Some(row) = rows.next()? {
        let (target, region): (String, String) = (row.get(0)?, row.get(1)?);
        put.execute([run_id.as_str(), &target, &region])?;
    }
    Ok(())
}

/// Drops everything that is staged, because its run is given up.
pub(crate) fn drop_all(writing: &Transaction<'_>) -> rusqlite::Result<()> {
    writing.execute(
        "DELETE FROM records WHERE record_id IN (SELECT record_id FROM staged WHERE record_id IS NOT NULL)",
        [],
    )?;
    writing.execute("DELETE FROM staged_ends", [])?;
    writing.execute("DELETE FROM staged", []).map(drop)
}
