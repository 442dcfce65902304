//! The reports that people and programs read from a state.

use std::cmp::Ordering;
use std::sync::Arc;

use dynacrawl_model::{NamedScope, Partition, Problem, Scope, TargetFailed, Timestamp};
use rusqlite::{Row, params};
use serde::Serialize;
use serde_json::Value;

use crate::rows::{optional, time, time_if_any, unsigned};
use crate::{Reader, StateError};

/// How many rows are read at once. The reader may pause between pages for as long as it likes.
const PAGE: usize = 300;

/// A run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunLine {
    /// The run.
    pub run_id: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended; `null` while it is in progress, or if it was killed.
    pub ended_at: Option<Timestamp>,
    /// How it ended: the outcome of its `run_completed`, or `abandoned` if a later run began
    /// instead of resuming it.
    pub outcome: Option<String>,
    /// The schedule that began it.
    pub schedule: Option<String>,
    /// The targets that it was restricted to.
    pub targets: Option<Vec<String>>,
    /// Where its records went.
    pub output: String,
    /// How long its processes worked on it, in milliseconds.
    pub active_ms: u64,
    /// Its record `run_completed`, without its `type`.
    pub completed: Option<Value>,
    /// Why scopes are not complete, the most frequent cause first. Only the last thirty runs have
    /// causes.
    pub causes: Vec<Cause>,
}

/// Why scopes of a run are not complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// The outcome of the scopes, or of the targets whose scopes could not be discovered.
    pub outcome: String,
    /// The code of the problem.
    pub code: String,
    /// The message of the first such problem.
    pub message: String,
    /// How many scopes and targets have it.
    pub scope_count: u64,
}

/// An account and Region.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScopeLine {
    /// The partition.
    pub partition: String,
    /// The account.
    pub account_id: String,
    /// The name of the account, if known.
    pub account_name: Option<String>,
    /// The Region.
    pub region: String,
    /// The target that it belongs to.
    pub target: String,
    /// How its last crawl ended.
    pub last_outcome: String,
    /// Why its last crawl is not complete; empty if it is.
    pub last_problems: Vec<Problem>,
    /// When its last crawl ended.
    pub last_run_at: Timestamp,
    /// When a listing last reached its last page.
    pub last_listed_at: Option<Timestamp>,
    /// When a crawl last had nothing missing.
    pub last_complete_at: Option<Timestamp>,
    /// How many tables are present.
    pub table_count: u64,
    /// How many tables are missing, and wait for a person to accept their removal: present ones, and those that the
    /// filters exclude or that were retired.
    pub held: u64,
    /// Since when the configuration no longer covers it.
    pub retired_at: Option<Timestamp>,
}

impl ScopeLine {
    /// The account and Region; `None` if they cannot be read.
    pub fn scope(&self) -> Option<NamedScope> {
        let scope = Scope {
            partition: Partition::from(self.partition.as_str()),
            account_id: Some(self.account_id.parse().ok()?),
            region: self.region.parse().ok()?,
        };
        Some(NamedScope { scope, account_name: self.account_name.as_deref().map(Arc::from) })
    }
}

/// A table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TableLine {
    /// The account.
    pub account_id: String,
    /// The Region.
    pub region: String,
    /// The name of the table.
    pub table_name: String,
    /// `present`, `removed`, `unselected` or `retired`.
    pub status: String,
    /// When it was described for the first time.
    pub first_seen_at: Timestamp,
    /// When the last change was found.
    pub changed_at: Timestamp,
    /// When it was last listed.
    pub last_seen_at: Option<Timestamp>,
    /// Its fingerprint.
    pub fingerprint: String,
    /// Its `table` record, as it was at its last change.
    pub record: Option<Value>,
}

/// A change event.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChangeLine {
    /// Its number: later changes have larger ones.
    pub change_id: u64,
    /// When it was found.
    pub at: Timestamp,
    /// The run that found it.
    pub run_id: String,
    /// The account.
    pub account_id: String,
    /// The Region.
    pub region: String,
    /// The record's type, such as `table_added`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The name of the table, if the change is about a table.
    pub table_name: Option<String>,
    /// The record, without the table.
    pub change: Value,
}

/// A query for tables.
#[derive(Clone, Debug, Default)]
pub struct TableQuery {
    /// Only tables whose whole name matches this pattern, with `*` and `?`.
    pub pattern: Option<String>,
    /// Only tables of this account.
    pub account_id: Option<String>,
    /// Only tables of this Region.
    pub region: Option<String>,
    /// Also tables that are no longer present.
    pub all: bool,
    /// With their records.
    pub records: bool,
    /// Only tables after this place.
    pub after: Option<TableCursor>,
    /// At most so many.
    pub limit: Option<u64>,
}

/// A place in the order of tables: by account, Region and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TableCursor {
    /// The account.
    pub account_id: String,
    /// The Region.
    pub region: String,
    /// The table.
    pub name: String,
}

impl TableLine {
    /// The place after this table.
    pub fn cursor(&self) -> TableCursor {
        TableCursor { account_id: self.account_id.clone(), region: self.region.clone(), name: self.table_name.clone() }
    }
}

/// A query for changes.
#[derive(Clone, Debug, Default)]
pub struct ChangeQuery {
    /// Only changes whose run ended at this time or later.
    pub since: Option<Timestamp>,
    /// Only changes of this account.
    pub account_id: Option<String>,
    /// Only changes of this Region.
    pub region: Option<String>,
    /// Only changes of tables whose whole name matches this pattern, with `*` and `?`.
    pub pattern: Option<String>,
    /// Only changes after the one of this number.
    pub after: Option<u64>,
    /// At most so many.
    pub limit: Option<u64>,
}

impl Reader {
    /// The last runs, newest first.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn runs(&self, most: u32) -> Result<Vec<RunLine>, StateError> {
        self.read(|| {
            let mut query = self.connection.prepare("SELECT * FROM runs ORDER BY rowid DESC LIMIT ?")?;
            let mut runs: Vec<RunLine> = query.query_map([most], run)?.collect::<rusqlite::Result<_>>()?;
            for run in &mut runs {
                run.causes = self.causes(&run.run_id)?;
            }
            Ok(runs)
        })
    }

    fn causes(&self, run_id: &str) -> rusqlite::Result<Vec<Cause>> {
        let mut causes: Vec<Cause> = Vec::new();
        let mut add = |outcome: &str, code: String, message: String| match causes
            .iter_mut()
            .find(|cause| cause.outcome == outcome && cause.code == code)
        {
            Some(cause) => cause.scope_count += 1,
            None => causes.push(Cause { outcome: outcome.to_owned(), code, message, scope_count: 1 }),
        };
        let sql = "SELECT outcome, problems FROM run_scopes WHERE run_id = ? AND outcome <> 'complete' ORDER BY target, region";
        let mut scopes = self.connection.prepare_cached(sql)?;
        let mut rows = scopes.query([run_id])?;
        while let Some(row) = rows.next()? {
            let outcome: String = row.get("outcome")?;
            let problems: Vec<Problem> = optional(row, "problems")?.unwrap_or_default();
            match problems.into_iter().next() {
                Some(problem) => add(&outcome, problem.code, problem.message),
                None => add(&outcome, String::new(), String::new()),
            }
        }
        let sql = "SELECT failure FROM run_targets WHERE run_id = ? AND failure IS NOT NULL ORDER BY target";
        let mut targets = self.connection.prepare_cached(sql)?;
        let mut rows = targets.query([run_id])?;
        while let Some(row) = rows.next()? {
            if let Some(failed) = optional::<TargetFailed>(row, "failure")? {
                add(failed.outcome.as_str(), failed.code, failed.message);
            }
        }
        causes.sort_by_key(|cause| std::cmp::Reverse(cause.scope_count));
        Ok(causes)
    }

    /// All scopes; with `retired` also those that are retired.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn scope_lines(&self, retired: bool) -> Result<Vec<ScopeLine>, StateError> {
        let sql = "SELECT *, (SELECT count(*) FROM tables t WHERE t.scope_id = scopes.scope_id AND status = 'present') AS tables \
                   FROM scopes WHERE ? OR retired_at IS NULL ORDER BY account_id, region";
        self.read(|| self.connection.prepare(sql)?.query_map([retired], scope)?.collect())
    }

    /// Tables, by account, Region and name. Calls `each` until it returns `false`. However long
    /// `each` takes, it does not block the writer: a few hundred rows are read at once, and a page
    /// includes what was written before it.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn tables(&self, asked: &TableQuery, mut each: impl FnMut(TableLine) -> bool) -> Result<(), StateError> {
        // Scope by scope, each in the order of its key: nothing has to be sorted before the first row.
        let scopes = "SELECT scope_id, account_id, region FROM scopes WHERE account_id = COALESCE(?, account_id) AND region = COALESCE(?, region) \
                      ORDER BY account_id, region, partition";
        let sql = format!(
            "SELECT s.account_id, s.region, t.name, t.status, t.first_seen_at, t.changed_at, \
             COALESCE(t.last_seen_at, s.last_listed_at) AS last_seen_at, t.fingerprint, \
             CASE WHEN ?4 THEN (SELECT record FROM records r WHERE r.record_id = t.record_id) END AS record \
             FROM tables t JOIN scopes s USING (scope_id) \
             WHERE t.scope_id = ?1 AND t.name GLOB COALESCE(?2, '*') AND (?3 OR t.status = 'present') AND t.name > ?5 \
             ORDER BY t.name LIMIT {PAGE}"
        );
        let scopes: Vec<(i64, String, String)> = self.read(|| {
            let mut scopes = self.connection.prepare(scopes)?;
            let place = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
            scopes.query_map(params![asked.account_id, asked.region], place)?.collect()
        })?;
        let mut left = asked.limit.unwrap_or(u64::MAX);
        for (scope, account_id, region) in scopes {
            let mut after = match &asked.after {
                Some(cursor) => match (&account_id, &region).cmp(&(&cursor.account_id, &cursor.region)) {
                    Ordering::Less => continue,
                    Ordering::Equal => cursor.name.clone(),
                    Ordering::Greater => String::new(),
                },
                None => String::new(),
            };
            loop {
                let page: Vec<TableLine> = self.read(|| {
                    let mut query = self.connection.prepare_cached(&sql)?;
                    let asked = params![scope, asked.pattern, asked.all, asked.records, after];
                    query.query_map(asked, table)?.collect()
                })?;
                let whole = page.len() == PAGE;
                if let Some(last) = page.last() {
                    after.clone_from(&last.table_name);
                }
                if !page.into_iter().all(|line| take(&mut left) && each(line)) {
                    return Ok(());
                }
                if !whole {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Changes, oldest first. Calls `each` until it returns `false`. As for [`Reader::tables`],
    /// `each` does not block the writer.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn changes(&self, asked: &ChangeQuery, mut each: impl FnMut(ChangeLine) -> bool) -> Result<(), StateError> {
        let sql = format!(
            "SELECT c.change_id, c.at, c.run_id, s.account_id, s.region, c.type, c.name, c.change \
             FROM changes c JOIN scopes s USING (scope_id) \
             WHERE c.known_at >= COALESCE(?1, c.known_at) AND s.account_id = COALESCE(?2, s.account_id) \
             AND s.region = COALESCE(?3, s.region) AND (?4 IS NULL OR c.name GLOB ?4) AND c.change_id > ?5 \
             ORDER BY c.change_id LIMIT {PAGE}"
        );
        let since = asked.since.map(Timestamp::as_millis);
        let mut after = asked.after.map_or(i64::MIN, |after| i64::try_from(after).unwrap_or(i64::MAX));
        let mut left = asked.limit.unwrap_or(u64::MAX);
        loop {
            let page: Vec<(i64, ChangeLine)> = self.read(|| {
                let mut query = self.connection.prepare_cached(&sql)?;
                let asked = params![since, asked.account_id, asked.region, asked.pattern, after];
                query.query_map(asked, |row| Ok((row.get("change_id")?, change(row)?)))?.collect()
            })?;
            let whole = page.len() == PAGE;
            if let Some((last, _)) = page.last() {
                after = *last;
            }
            if !page.into_iter().all(|(_, line)| take(&mut left) && each(line)) || !whole {
                return Ok(());
            }
        }
    }
}

/// Takes one of the rows that are left; `false` if none is left.
fn take(left: &mut u64) -> bool {
    let more = *left > 0;
    *left = left.saturating_sub(1);
    more
}

fn run(row: &Row<'_>) -> rusqlite::Result<RunLine> {
    Ok(RunLine {
        run_id: row.get("run_id")?,
        started_at: time(row, "started_at")?,
        ended_at: time_if_any(row, "ended_at")?,
        outcome: row.get("outcome")?,
        schedule: row.get("schedule")?,
        targets: optional(row, "targets")?,
        output: row.get("output")?,
        active_ms: unsigned(row, "active_ms")?,
        completed: optional(row, "completed")?,
        causes: Vec::new(),
    })
}

fn scope(row: &Row<'_>) -> rusqlite::Result<ScopeLine> {
    Ok(ScopeLine {
        partition: row.get("partition")?,
        account_id: row.get("account_id")?,
        account_name: row.get("account_name")?,
        region: row.get("region")?,
        target: row.get("target")?,
        last_outcome: row.get("last_outcome")?,
        last_problems: optional(row, "last_problems")?.unwrap_or_default(),
        last_run_at: time(row, "last_run_at")?,
        last_listed_at: time_if_any(row, "last_listed_at")?,
        last_complete_at: time_if_any(row, "last_complete_at")?,
        table_count: unsigned(row, "tables")?,
        held: unsigned(row, "held")?,
        retired_at: time_if_any(row, "retired_at")?,
    })
}

fn table(row: &Row<'_>) -> rusqlite::Result<TableLine> {
    Ok(TableLine {
        account_id: row.get("account_id")?,
        region: row.get("region")?,
        table_name: row.get("name")?,
        status: row.get("status")?,
        first_seen_at: time(row, "first_seen_at")?,
        changed_at: time(row, "changed_at")?,
        last_seen_at: time_if_any(row, "last_seen_at")?,
        fingerprint: row.get("fingerprint")?,
        record: optional(row, "record")?,
    })
}

fn change(row: &Row<'_>) -> rusqlite::Result<ChangeLine> {
    Ok(ChangeLine {
        change_id: unsigned(row, "change_id")?,
        at: time(row, "at")?,
        run_id: row.get("run_id")?,
        account_id: row.get("account_id")?,
        region: row.get("region")?,
        kind: row.get("type")?,
        table_name: row.get("name")?,
        change: optional(row, "change")?.unwrap_or_default(),
    })
}
