//! The outbox: the events of settled runs, in order, until every sink has taken them.

use dynacrawl_model::{RecordKind, Timestamp, event_id};
use rusqlite::{Row, Transaction, params};

/// What is stored as the place of a sink of events.
pub(crate) const EVENTS: &str = "events";
/// Whether an event of the outbox is the newest of its table and target, or about no table. A catalog gets no other.
pub(crate) const IS_NEWEST: &str = "NOT EXISTS (SELECT * FROM outbox newer WHERE newer.about = outbox.about \
                                    AND newer.seq > outbox.seq AND newer.target IS outbox.target)";

/// How many events a row of `sinks` has not taken yet, as an expression. `+` makes SQLite count in the index
/// `outbox_about`: the rows hold whole records.
pub(crate) fn owed() -> String {
    format!("(SELECT count(*) FROM outbox WHERE +seq > cursor AND (place = '{EVENTS}' OR {IS_NEWEST}))")
}

/// Whether there are sinks, so that the events of a settled run have to be kept.
pub(crate) fn has_sinks(writing: &Transaction<'_>) -> rusqlite::Result<bool> {
    writing.query_row("SELECT EXISTS (SELECT * FROM sinks)", [], |row| row.get(0))
}

/// The changes that a catalog follows. It gets the newest state of the table, so a newer one replaces an older one.
const OF_CATALOGS: [RecordKind; 4] =
    [RecordKind::TableAdded, RecordKind::TableChanged, RecordKind::TableRecreated, RecordKind::TableRemoved];

/// Appends one event. Deletes the earlier ones of its table and target that only catalogs have not taken: a catalog
/// may get only some targets.
pub(crate) fn append(
    writing: &Transaction<'_>,
    at: Timestamp,
    kind: &str,
    record: &str,
    table_record: Option<&str>,
) -> rusqlite::Result<()> {
    let is_of_catalogs = OF_CATALOGS.iter().any(|of_catalogs| of_catalogs.as_str() == kind);
    // The target as it is now, because another one may have the scope when the event is delivered.
    let sql = "INSERT INTO outbox (event_id, at, type, record, table_record, target, about) \
               VALUES (?1, ?2, ?3, ?4, ?5, COALESCE(json_extract(?4, '$.target'), (SELECT target FROM scopes \
               WHERE partition = json_extract(?4, '$.scope.partition') AND account_id = json_extract(?4, '$.scope.account_id') \
               AND region = json_extract(?4, '$.scope.region'))), CASE WHEN ?6 THEN concat_ws('/', \
               json_extract(?4, '$.scope.partition'), json_extract(?4, '$.scope.account_id'), \
               json_extract(?4, '$.scope.region'), json_extract(?4, '$.table_name')) END) RETURNING seq, about, target";
    let values = params![event_id(), at.as_millis(), kind, record, table_record, is_of_catalogs];
    let appended = |row: &Row<'_>| Ok((row.get("seq")?, row.get("about")?, row.get("target")?));
    let (seq, about, target): (i64, Option<String>, Option<String>) =
        writing.prepare_cached(sql)?.query_row(values, appended)?;
    let Some(about) = about else { return Ok(()) };
    // How long the table waits stays known, so that a catalog which is away does not look up to date.
    let waiting = "UPDATE outbox SET waiting_seq = before.seq, waiting_since = before.since FROM (SELECT seq, \
                   CASE WHEN EXISTS (SELECT * FROM sinks WHERE place <> ?4 AND cursor < waiting_seq) \
                   THEN waiting_since ELSE at END AS since FROM outbox WHERE about = ?1 AND seq < ?2 AND target IS ?3 \
                   ORDER BY seq DESC LIMIT 1) AS before WHERE outbox.seq = ?2";
    writing.prepare_cached(waiting)?.execute(params![about, seq, target, EVENTS])?;
    let replaced = "DELETE FROM outbox WHERE about = ?1 AND seq < ?2 AND target IS ?3 \
                    AND NOT EXISTS (SELECT * FROM sinks WHERE place = ?4 AND cursor < seq)";
    writing.prepare_cached(replaced)?.execute(params![about, seq, target, EVENTS]).map(drop)
}

/// Appends how the scopes and targets of a run ended, as far as the run has committed it.
pub(crate) fn append_ends(writing: &Transaction<'_>, run_id: &str, at: Timestamp) -> rusqlite::Result<()> {
    let mut ends = writing.prepare("SELECT type, record FROM staged_ends WHERE run_id = ? ORDER BY end_id")?;
    let mut rows = ends.query([run_id])?;
    while let Some(row) = rows.next()? {
        let (kind, record): (String, String) = (row.get(0)?, row.get(1)?);
        append(writing, at, &kind, &record, None)?;
    }
    Ok(())
}

/// Deletes what all sinks have taken.
pub(crate) fn prune(writing: &Transaction<'_>) -> rusqlite::Result<()> {
    let slowest: Option<i64> = writing.query_row("SELECT MIN(cursor) FROM sinks", [], |row| row.get(0))?;
    match slowest {
        Some(slowest) => writing.execute("DELETE FROM outbox WHERE seq <= ?", [slowest]).map(drop),
        None => writing.execute("DELETE FROM outbox", []).map(drop),
    }
}
