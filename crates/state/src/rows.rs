//! The rows of the tables, as values.

use std::sync::Arc;
use std::time::Duration;

use dynacrawl_model::{
    AccountId, ChangeCounts, Counts, Outcome, Partition, Problem, Region, Requests, RunId, Timestamp,
};
use rusqlite::types::Type;
use rusqlite::{Row, Transaction, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A run that begins.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// The run.
    pub run_id: RunId,
    /// dynacrawl's version.
    pub version: String,
    /// The digest of the configuration. A run is resumed only with the same one.
    pub config_digest: String,
    /// When it began.
    pub started_at: Timestamp,
    /// Where its records go: a file's path, or `-`.
    pub output: String,
    /// The template that the output's path was made from; the path itself if it has no placeholders.
    pub output_template: String,
    /// The number of the format of its records. A run is resumed only in the same one.
    pub output_format: u32,
    /// Whether old files of the output are to be deleted. The rows of the runs name these files.
    pub keeps_files: bool,
    /// For how long runs, changes, and tables that are no longer present are kept.
    pub keep: Duration,
    /// The schedule that began it, if one did.
    pub schedule: Option<String>,
    /// The targets that it was restricted to; `None`: all.
    pub only: Option<Vec<String>>,
    /// The scopes whose removals a person has accepted, as ACCOUNT/REGION.
    pub accepted: Vec<String>,
    /// Whether the output is a file that is replaced only when the run has ended. Any other output
    /// receives records at once.
    pub is_replaced: bool,
}

/// A run that has not ended.
#[derive(Clone, Debug)]
pub struct Unfinished {
    /// The run.
    pub run_id: RunId,
    /// The version of dynacrawl that began it.
    pub version: String,
    /// The digest of its configuration.
    pub config_digest: String,
    /// When it last committed.
    pub updated_at: Timestamp,
    /// How long its processes worked on it, in milliseconds.
    pub active_ms: u64,
    /// Where its records go.
    pub output: String,
    /// The template that the output's path was made from.
    pub output_template: String,
    /// The number of the format of its records.
    pub output_format: u32,
    /// How many bytes of the output are committed.
    pub output_offset: u64,
    /// How many lines those are.
    pub output_lines: u64,
    /// The schedule that began it, if one did.
    pub schedule: Option<String>,
    /// The targets that it is restricted to; `None`: all.
    pub only: Option<Vec<String>>,
    /// The scopes whose removals a person has accepted, as ACCOUNT/REGION.
    pub accepted: Vec<String>,
    /// Whether the output is a file that is replaced only when the run has ended.
    pub is_replaced: bool,
    /// Those of its scopes that have begun.
    pub scopes: Vec<ScopeRow>,
    /// What it has found out about its targets.
    pub targets: Vec<TargetRow>,
}

/// A scope of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct ScopeRow {
    /// The target it belongs to.
    pub target: String,
    /// The Region.
    pub region: Region,
    /// The Region's partition.
    pub partition: Partition,
    /// The account, if known.
    pub account_id: Option<AccountId>,
    /// The name of the account, if known.
    pub account_name: Option<Arc<str>>,
    /// How far it is.
    pub progress: ScopeProgress,
}

/// How far a scope is.
#[derive(Clone, Debug, PartialEq)]
pub enum ScopeProgress {
    /// In progress: the checkpoint at which it resumes, as JSON.
    Walking(String),
    /// Ended.
    Ended(EndedScope),
}

/// How a scope ended.
#[derive(Clone, Debug, PartialEq)]
pub struct EndedScope {
    /// Its outcome.
    pub outcome: Outcome,
    /// Its tables, by result.
    pub counts: Counts,
    /// Its requests.
    pub requests: Requests,
    /// What changed in it.
    pub changes: Option<ChangeCounts>,
    /// Whether at least one page of its listing was received.
    pub listed_a_page: bool,
    /// Why it is not complete; only the first problems, if there are many.
    pub problems: Vec<Problem>,
}

/// What a run has found out about a target.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TargetRow {
    /// The target.
    pub target: String,
    /// Its record `accounts_discovered`, as JSON.
    pub accounts_discovered: Option<String>,
    /// Its record `regions_discovered`, as JSON.
    pub regions_discovered: Option<String>,
    /// Its record `target_failed`, as JSON.
    pub failure: Option<String>,
    /// Whether there was a `target_failed`. Versions before 6 kept only that.
    pub failed: bool,
}

/// How far a run is.
#[derive(Clone, Debug)]
pub struct Commit {
    /// The run.
    pub run_id: RunId,
    /// The current time.
    pub at: Timestamp,
    /// How long its processes worked on it, in milliseconds.
    pub active_ms: u64,
    /// How many bytes of the output this commit covers, from the beginning.
    pub output_offset: u64,
    /// How many lines those are.
    pub output_lines: u64,
    /// The scopes with new information.
    pub scopes: Vec<ScopeRow>,
    /// The targets with new information.
    pub targets: Vec<TargetRow>,
    /// What the run has found out about tables.
    pub staged: Vec<crate::Staged>,
    /// How scopes and targets ended: their records `scope_completed` and `target_failed`.
    pub ends: Vec<dynacrawl_model::Record>,
}

/// Stores how scopes and targets ended, for sinks.
fn write_ends(writing: &Transaction<'_>, run_id: RunId, ends: &[dynacrawl_model::Record]) -> rusqlite::Result<()> {
    let mut put = writing.prepare_cached("INSERT INTO staged_ends (run_id, type, record) VALUES (?, ?, ?)")?;
    for end in ends {
        let record = serde_json::to_string(end).map_err(unwritable)?;
        put.execute([run_id.as_str(), end.kind().as_str(), &record])?;
    }
    Ok(())
}

pub(crate) fn write(writing: &Transaction<'_>, commit: &Commit) -> rusqlite::Result<()> {
    let (run, at) = (commit.run_id.as_str(), commit.at.as_millis());
    let updated = writing
        .prepare_cached(
            "UPDATE runs SET updated_at = ?, active_ms = ?, output_offset = ?, output_lines = ? WHERE run_id = ?",
        )?
        .execute(params![
            at,
            signed(commit.active_ms),
            signed(commit.output_offset),
            signed(commit.output_lines),
            run
        ])?;
    if updated != 1 {
        return Err(rusqlite::Error::StatementChangedRows(updated));
    }
    write_ends(writing, commit.run_id, &commit.ends)?;
    // An account that was found once stays: a resumed process may commit before it has found the
    // account again, and the rows that are staged for the scope are settled under that account.
    let mut put = writing.prepare_cached(
        "INSERT INTO run_scopes (run_id, target, region, partition, account_id, updated_at, outcome, listed_a_page, \
         counts, requests, checkpoint, changes, account_name, problems) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
         ON CONFLICT (run_id, target, region) DO UPDATE SET partition = excluded.partition, \
         account_id = COALESCE(excluded.account_id, account_id), updated_at = excluded.updated_at, \
         outcome = excluded.outcome, listed_a_page = excluded.listed_a_page, counts = excluded.counts, \
         requests = excluded.requests, checkpoint = excluded.checkpoint, changes = excluded.changes, \
         account_name = COALESCE(excluded.account_name, account_name), problems = excluded.problems",
    )?;
    for scope in &commit.scopes {
        let (ended, checkpoint) = match &scope.progress {
            ScopeProgress::Walking(checkpoint) => (None, Some(checkpoint)),
            ScopeProgress::Ended(ended) => (Some(ended), None),
        };
        let outcome = ended.map(|ended| word(&ended.outcome)).transpose().map_err(unwritable)?;
        let counts = ended.map(|ended| json(&ended.counts)).transpose()?;
        let requests = ended.map(|ended| json(&ended.requests)).transpose()?;
        let changes = ended.and_then(|ended| ended.changes.as_ref()).map(json).transpose()?;
        put.execute(params![
            run,
            scope.target,
            scope.region.as_str(),
            scope.partition.as_str(),
            scope.account_id.as_ref().map(AccountId::as_str),
            at,
            outcome,
            ended.map(|ended| ended.listed_a_page),
            counts,
            requests,
            checkpoint,
            changes,
            scope.account_name.as_deref(),
            ended.map(|ended| json(&ended.problems)).transpose()?,
        ])?;
    }
    let mut put = writing.prepare_cached(
        "INSERT INTO run_targets (run_id, target, accounts_discovered, regions_discovered, failed, failure) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET \
         accounts_discovered = COALESCE(?3, accounts_discovered), regions_discovered = COALESCE(?4, regions_discovered), \
         failed = MAX(?5, failed), failure = COALESCE(?6, failure)",
    )?;
    for target in &commit.targets {
        put.execute(params![
            run,
            target.target,
            target.accounts_discovered,
            target.regions_discovered,
            target.failed,
            target.failure
        ])?;
    }
    Ok(())
}

pub(crate) fn unfinished(row: &Row<'_>) -> rusqlite::Result<Unfinished> {
    Ok(Unfinished {
        run_id: parsed(row, "run_id")?,
        version: row.get("version")?,
        config_digest: row.get("config_digest")?,
        updated_at: time(row, "updated_at")?,
        active_ms: unsigned(row, "active_ms")?,
        output_template: match row.get("output_template")? {
            Some(template) => template,
            // The version that made the state had no templates.
            None => row.get("output")?,
        },
        output_format: row.get("output_format")?,
        output: row.get("output")?,
        output_offset: unsigned(row, "output_offset")?,
        output_lines: unsigned(row, "output_lines")?,
        schedule: row.get("schedule")?,
        only: optional(row, "targets")?,
        accepted: optional(row, "accepted")?.unwrap_or_default(),
        is_replaced: row.get("is_replaced")?,
        scopes: Vec::new(),
        targets: Vec::new(),
    })
}

pub(crate) fn scope(row: &Row<'_>) -> rusqlite::Result<ScopeRow> {
    let outcome: Option<String> = row.get("outcome")?;
    let partition: String = row.get("partition")?;
    let account_id: Option<String> = row.get("account_id")?;
    let progress = match outcome {
        None => ScopeProgress::Walking(row.get::<_, Option<String>>("checkpoint")?.unwrap_or_default()),
        Some(outcome) => ScopeProgress::Ended(EndedScope {
            outcome: from_json("outcome", &format!("\"{outcome}\""))?,
            counts: from_json("counts", &row.get::<_, String>("counts")?)?,
            requests: from_json("requests", &row.get::<_, String>("requests")?)?,
            changes: optional(row, "changes")?,
            listed_a_page: row.get("listed_a_page")?,
            problems: optional(row, "problems")?.unwrap_or_default(),
        }),
    };
    Ok(ScopeRow {
        target: row.get("target")?,
        region: parsed(row, "region")?,
        partition: Partition::from(partition.as_str()),
        account_id: account_id.map(|id| id.parse()).transpose().map_err(|error| unreadable("account_id", error))?,
        account_name: row.get::<_, Option<String>>("account_name")?.map(Into::into),
        progress,
    })
}

pub(crate) fn target(row: &Row<'_>) -> rusqlite::Result<TargetRow> {
    Ok(TargetRow {
        target: row.get("target")?,
        accounts_discovered: row.get("accounts_discovered")?,
        regions_discovered: row.get("regions_discovered")?,
        failure: row.get("failure")?,
        failed: row.get("failed")?,
    })
}

/// The word for a value in the output.
pub(crate) fn word(value: &impl Serialize) -> serde_json::Result<String> {
    Ok(serde_json::to_value(value)?.as_str().unwrap_or_default().to_owned())
}

pub(crate) fn json(value: &impl Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(unwritable)
}

pub(crate) fn unwritable(error: serde_json::Error) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(Box::new(error))
}

/// SQLite's integers are signed. A number that they cannot hold is larger than any disk.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(crate) fn unsigned(row: &Row<'_>, column: &str) -> rusqlite::Result<u64> {
    u64::try_from(row.get::<_, i64>(column)?).map_err(|error| unreadable(column, error))
}

pub(crate) fn parsed<T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>>(
    row: &Row<'_>,
    column: &str,
) -> rusqlite::Result<T> {
    row.get::<_, String>(column)?.parse().map_err(|error| unreadable(column, error))
}

pub(crate) fn optional<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<T>> {
    row.get::<_, Option<String>>(column)?.map(|text| from_json(column, &text)).transpose()
}

pub(crate) fn time(row: &Row<'_>, column: &str) -> rusqlite::Result<Timestamp> {
    Timestamp::from_millis(row.get(column)?).ok_or_else(|| unreadable(column, "out of range"))
}

pub(crate) fn time_if_any(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<Timestamp>> {
    let millis: Option<i64> = row.get(column)?;
    millis.map(|millis| Timestamp::from_millis(millis).ok_or_else(|| unreadable(column, "out of range"))).transpose()
}

fn from_json<T: DeserializeOwned>(column: &str, text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text).map_err(|error| unreadable(column, error))
}

pub(crate) fn unreadable(column: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> rusqlite::Error {
    let message = format!("{column}: {}", error.into());
    rusqlite::Error::FromSqlConversionFailure(0, Type::Text, message.into())
}
