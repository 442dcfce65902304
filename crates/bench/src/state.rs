//! Measures the cost of a state: the same crawl without a state, and with one that has all tables
//! already.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use rusqlite::Connection;
use serde_json::json;

use crate::args::EstateArgs;
use crate::crawler::{configuration, crawl};
use crate::report::{Measured, StateReport, per, rounded};

/// How often each of the two is measured. They alternate, because the speed of the machine varies
/// by more than their difference.
const TURNS: usize = 5;

pub(crate) fn compare(args: &EstateArgs, place: &str, url: &str) -> Result<StateReport> {
    let made = tempfile::tempdir()?;
    let directory = if place.is_empty() { made.path().to_owned() } else { PathBuf::from(place) };
    std::fs::create_dir_all(&directory)?;
    let state = directory.join("bench.db");
    let mut configuration = configuration(args, url);
    let plain = directory.join("without.toml");
    std::fs::write(&plain, toml::to_string(&configuration)?)?;
    configuration["state"] = json!({ "path": state });
    configuration["changes"] = json!({ "emit": "both" });
    let remembering = directory.join("with.toml");
    std::fs::write(&remembering, toml::to_string(&configuration)?)?;

    let first = crawl(&remembering)?;
    watch(&state)?;
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        without.push(crawl(&plain)?);
        with.push(crawl(&remembering)?);
    }
    ensure!(with.iter().all(|one| one.done == first.done), "not all tables were described");
    let peak_rss_mb = with.iter().map(|one| one.peak_rss_mb).fold(first.peak_rss_mb, f64::max);
    let (with, without) = (median(with), median(without));
    Ok(StateReport {
        first_cpu_us_per_table: rounded(per(first.cpu_seconds * 1e6, first.done)),
        unchanged_cpu_us_per_table: rounded(with),
        without_cpu_us_per_table: rounded(without),
        share_of_cpu: rounded((with - without) / with),
        unchanged_rows_written: watched(&state)?,
        state_bytes: std::fs::metadata(&state)?.len(),
        peak_rss_mb: rounded(peak_rss_mb),
    })
}

fn median(mut of: Vec<Measured>) -> f64 {
    let cpu = |one: &Measured| per(one.cpu_seconds * 1e6, one.done);
    of.sort_by(|a, b| cpu(a).total_cmp(&cpu(b)));
    cpu(&of[of.len() / 2])
}

/// From now on the database itself counts every row that is written about tables.
fn watch(state: &Path) -> Result<()> {
    let mut sql = "CREATE TABLE bench_written (rows INTEGER); INSERT INTO bench_written VALUES (0);".to_owned();
    for table in ["tables", "records", "changes", "staged"] {
        for event in ["INSERT", "UPDATE", "DELETE"] {
            sql.push_str(&format!(
                "CREATE TRIGGER bench_{table}_{event} AFTER {event} ON {table} \
                 BEGIN UPDATE bench_written SET rows = rows + 1; END;"
            ));
        }
    }
    Ok(Connection::open(state)?.execute_batch(&sql)?)
}

fn watched(state: &Path) -> Result<i64> {
    Ok(Connection::open(state)?.query_row("SELECT rows FROM bench_written", [], |row| row.get(0))?)
}
