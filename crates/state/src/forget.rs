//! Deletes old runs, changes and tables.

use dynacrawl_model::Timestamp;
use rusqlite::{OptionalExtension, Transaction, params};

use crate::marks;
use crate::rows::NewRun;

/// The longest pause between two runs that counts, in milliseconds. A clock that jumps ahead looks
/// like a pause.
const LONGEST_PAUSE: i64 = 31 * 24 * 3600 * 1000;

/// The number of runs whose scopes are kept.
const DETAILED_RUNS: u32 = 30;

/// Deletes runs, changes, and tables that are no longer present, if they are older than the new
/// run's `keep`. A table that the filters exclude stays as long as it is listed, so that its removal is
/// noticed. Called before the new run has a row. A run whose file is still to be deleted stays
/// until then.
pub(crate) fn forget(writing: &Transaction<'_>, run: &NewRun) -> rusqlite::Result<()> {
    let until = time_seen(writing, run.started_at)?.before(run.keep).as_millis();
    writing.execute("DELETE FROM changes WHERE known_at < ?", [until])?;
    writing.execute(
        "DELETE FROM runs WHERE ended_at < ?1 AND NOT (?2 AND output_template = ?3 AND is_replaced AND NOT files_deleted)",
        params![until, run.keeps_files, run.output_template],
    )?;
    let mut forget = writing.prepare("DELETE FROM records WHERE record_id = ?")?;
    let mut remove = writing.prepare("DELETE FROM tables WHERE scope_id = ? AND name = ?")?;
    let mut remove_stats = writing.prepare("DELETE FROM table_stats WHERE scope_id = ? AND name = ?")?;
    // Row by row, as in `staged::settle`.
    let old: Vec<(i64, String, i64)> = writing
        .prepare(
            "SELECT scope_id, name, record_id FROM tables WHERE status <> 'present' AND changed_at < ?1 \
             AND (status = 'removed' OR last_seen_at < ?1 \
             OR EXISTS (SELECT * FROM scopes WHERE scopes.scope_id = tables.scope_id AND retired_at IS NOT NULL))",
        )?
        .query_map([until], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (scope_id, name, record_id) in old {
        remove.execute(params![scope_id, name])?;
        remove_stats.execute(params![scope_id, name])?;
        forget.execute([record_id])?;
    }
    Ok(())
}

/// Deletes the rows for scopes and targets of all but the newest runs.
pub(crate) fn forget_details(writing: &Transaction<'_>) -> rusqlite::Result<()> {
    for table in ["run_scopes", "run_targets"] {
        let old = "SELECT run_id FROM runs ORDER BY rowid DESC LIMIT -1 OFFSET ?";
        writing.execute(&format!("DELETE FROM {table} WHERE run_id IN ({old})"), [DETAILED_RUNS])?;
    }
    Ok(())
}

/// The time up to which the state has seen runs. It follows the clock, but a pause between two runs
/// adds a month at most: a clock that is years ahead must not make the whole history look old,
/// however often dynacrawl runs with it.
fn time_seen(writing: &Transaction<'_>, at: Timestamp) -> rusqlite::Result<Timestamp> {
    let last = "SELECT started_at FROM runs ORDER BY rowid DESC LIMIT 1";
    let last: Option<i64> = writing.query_row(last, [], |row| row.get(0)).optional()?;
    let now = at.as_millis();
    let mut seen = now;
    if let Some(last) = last {
        let pause = now.saturating_sub(last).clamp(0, LONGEST_PAUSE);
        seen = marks::get(writing, marks::TIME_SEEN)?.map_or(last, Timestamp::as_millis).saturating_add(pause);
        // The clock was ahead and is right again. If it is back by more than that, it is wrong now.
        if (0..=LONGEST_PAUSE).contains(&seen.saturating_sub(now)) {
            seen = now;
        }
    }
    let seen = Timestamp::from_millis(seen).unwrap_or(at);
    marks::set(writing, marks::TIME_SEEN, seen)?;
    Ok(seen.min(at))
}
