//! `dynacrawl status`, `runs`, `tables` and `changes`: what a state knows, also while another process writes it.

use std::io::{self, BufWriter, Write};

use dynacrawl_engine::query;
use dynacrawl_model::{Escaped, Timestamp};
use dynacrawl_state::{ChangeLine, ChangeQuery, Reader, RunLine, ScopeLine, TableLine, TableQuery};
use serde::Serialize;

use super::failure::Failure;
use super::print::{ended, to_stdout};
use crate::cli::{ChangesArgs, ChosenArgs, Format, GlobalArgs, ReadArgs, RunsArgs, StatusArgs, TablesArgs};
use crate::config::{Config, ConfigError};
use crate::exit::Exit;

fn open(global: &GlobalArgs, args: &ReadArgs) -> Result<Reader, Failure> {
    let path = match &args.state {
        Some(path) => path.into(),
        None => {
            let file = global.config.as_deref().map(Config::check_file).transpose()?;
            let Some(state) = file.and_then(|config| config.run.state) else {
                let said = "is missing; name the file with --state, or a configuration that does with --config";
                return Err(ConfigError::value("state.path (--state)", said).into());
            };
            state.path
        }
    };
    Reader::open(&path)
        .map_err(|error| Failure::new(Exit::Usage, anyhow::Error::new(error).context("state.path (--state)")))
}

fn unreadable(error: dynacrawl_state::StateError) -> Failure {
    Failure::new(Exit::SinkFailed, error)
}

/// What `dynacrawl status` tells.
#[derive(Debug, Serialize)]
struct Status {
    /// The last run, under way or ended.
    last_run: Option<RunLine>,
    /// Known accounts and Regions.
    scopes: Vec<ScopeLine>,
    /// Known tables.
    table_count: u64,
    /// Tables that are gone, and whose removal waits for a person.
    held: u64,
}

pub(super) fn status(global: &GlobalArgs, args: &StatusArgs) -> Result<Exit, Failure> {
    let reader = open(global, &args.read)?;
    let scopes = reader.scope_lines(args.all).map_err(unreadable)?;
    let status = Status {
        last_run: reader.runs(1).map_err(unreadable)?.pop(),
        table_count: scopes.iter().map(|scope| scope.table_count).sum(),
        held: scopes.iter().map(|scope| scope.held).sum(),
        scopes,
    };
    if args.read.format == Format::Json {
        return super::print::json_to_stdout(&status);
    }
    let mut text = match &status.last_run {
        Some(run) => format!("last run {} {}, {}\n", run.run_id, outcome(run), when(Some(run.started_at))),
        None => "no run yet\n".to_owned(),
    };
    text.push_str(&format!("{} tables in {} accounts and Regions\n", status.table_count, status.scopes.len()));
    if status.held > 0 {
        text.push_str(&format!(
            "{} tables are gone and stay until a person accepts it (--accept-removals)\n",
            status.held
        ));
    }
    let mut columns =
        Columns::new(&["ACCOUNT", "REGION", "TARGET", "LAST OUTCOME", "LAST RUN", "LAST COMPLETE", "TABLES", "HELD"]);
    for scope in &status.scopes {
        let outcome = if scope.retired_at.is_some() { "retired" } else { &scope.last_outcome };
        columns.row([
            scope.account_id.clone(),
            scope.region.clone(),
            scope.target.clone(),
            outcome.to_owned(),
            when(Some(scope.last_run_at)),
            when(scope.last_complete_at),
            scope.table_count.to_string(),
            scope.held.to_string(),
        ]);
    }
    text.push_str(&columns.text());
    to_stdout(text.as_bytes())
}

pub(super) fn runs(global: &GlobalArgs, args: &RunsArgs) -> Result<Exit, Failure> {
    let runs = open(global, &args.read)?.runs(args.limit).map_err(unreadable)?;
    if args.read.format == Format::Json {
        return lines(|each| {
            runs.iter().all(each);
            Ok(())
        });
    }
    let mut columns = Columns::new(&[
        "RUN", "STARTED", "SECONDS", "OUTCOME", "SCHEDULE", "SCOPES", "TABLES", "ADDED", "CHANGED", "REMOVED",
    ]);
    for run in &runs {
        let number = |pointer: &str| {
            let value = run.completed.as_ref().and_then(|completed| completed.pointer(pointer)?.as_u64());
            value.map_or("-".to_owned(), |value| value.to_string())
        };
        columns.row([
            run.run_id.clone(),
            when(Some(run.started_at)),
            format!("{:.1}", run.active_ms as f64 / 1000.0),
            outcome(run).to_owned(),
            run.schedule.clone().unwrap_or_else(|| "-".to_owned()),
            format!("{} of {}", number("/scope_counts/complete"), number("/scope_counts/planned")),
            number("/counts/described"),
            number("/change_counts/added"),
            number("/change_counts/changed"),
            number("/change_counts/removed"),
        ]);
    }
    to_stdout(columns.text().as_bytes())
}

pub(super) fn tables(global: &GlobalArgs, args: &TablesArgs) -> Result<Exit, Failure> {
    let reader = open(global, &args.read)?;
    let json = args.read.format == Format::Json;
    let (account_id, region) = scope(&args.chosen)?;
    let pattern = args.chosen.pattern.clone();
    let query = TableQuery { pattern, account_id, region, all: args.all, records: json, ..TableQuery::default() };
    if json {
        return lines(|each| reader.tables(&query, |table| each(&table)));
    }
    let head = ["ACCOUNT", "REGION", "NAME", "STATUS", "FIRST SEEN", "CHANGED", "LAST SEEN"];
    rows(&head, |each| {
        reader.tables(&query, |table: TableLine| {
            let times = [Some(table.first_seen_at), Some(table.changed_at), table.last_seen_at].map(when);
            let [first, changed, last] = times;
            each([table.account_id, table.region, table.table_name, table.status, first, changed, last])
        })
    })
}

pub(super) fn changes(global: &GlobalArgs, args: &ChangesArgs) -> Result<Exit, Failure> {
    let reader = open(global, &args.read)?;
    let since = args.since.as_deref().map(|text| query::since("--since", text)).transpose()?;
    let (account_id, region) = scope(&args.chosen)?;
    let pattern = args.chosen.pattern.clone();
    let query = ChangeQuery { since, account_id, region, pattern, ..ChangeQuery::default() };
    if args.read.format == Format::Json {
        return lines(|each| reader.changes(&query, |change| each(&change)));
    }
    rows(&["FOUND", "ACCOUNT", "REGION", "CHANGE", "TABLE", "WHAT"], |each| {
        reader.changes(&query, |change: ChangeLine| {
            let what = what(&change);
            let name = change.table_name.unwrap_or_else(|| "-".to_owned());
            each([when(Some(change.at)), change.account_id, change.region, change.kind, name, what])
        })
    })
}

fn scope(chosen: &ChosenArgs) -> Result<(Option<String>, Option<String>), ConfigError> {
    let account_id = chosen.account.as_deref().map(|text| query::account("--account", text)).transpose()?;
    let region = chosen.region.as_deref().map(|text| query::region("--region", text)).transpose()?;
    Ok((account_id, region))
}

/// The paths of a change.
fn what(change: &ChangeLine) -> String {
    let paths = change.change.get("changes").and_then(|changes| changes.as_array());
    let paths = paths.into_iter().flatten().filter_map(|change| change.get("path")?.as_str());
    let paths: Vec<_> = paths.collect();
    if paths.is_empty() { "-".to_owned() } else { paths.join(" ") }
}

fn outcome(run: &RunLine) -> &str {
    match (&run.outcome, run.ended_at) {
        (Some(outcome), _) => outcome,
        (None, None) => "under way or killed",
        (None, Some(_)) => "-",
    }
}

fn when(at: Option<Timestamp>) -> String {
    at.map_or("-".to_owned(), |at| at.to_string())
}

/// Writes values as JSON lines, as they come.
fn lines<T: Serialize>(
    of: impl FnOnce(&mut dyn FnMut(&T) -> bool) -> Result<(), dynacrawl_state::StateError>,
) -> Result<Exit, Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    let mut written = Ok(());
    of(&mut |value| {
        written = serde_json::to_writer(&mut out, value).map_err(io::Error::from).and_then(|()| out.write_all(b"\n"));
        written.is_ok()
    })
    .map_err(unreadable)?;
    ended(written.and_then(|()| out.flush()))
}

/// How many rows are looked at for the width of a column.
const MEASURED: usize = 500;

/// Writes rows as they come, in columns as wide as the first rows need.
fn rows<const N: usize>(
    head: &[&str; N],
    of: impl FnOnce(&mut dyn FnMut([String; N]) -> bool) -> Result<(), dynacrawl_state::StateError>,
) -> Result<Exit, Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    let mut columns = Columns::new(head);
    let mut written = Ok(());
    of(&mut |row| {
        columns.row(row);
        if columns.rows.len() >= MEASURED {
            written = out.write_all(columns.text().as_bytes());
        }
        written.is_ok()
    })
    .map_err(unreadable)?;
    ended(written.and_then(|()| out.write_all(columns.text().as_bytes())).and_then(|()| out.flush()))
}

/// Text in columns. What comes from outside is escaped.
struct Columns<const N: usize> {
    head: Option<[String; N]>,
    widths: [usize; N],
    rows: Vec<[String; N]>,
}

impl<const N: usize> Columns<N> {
    fn new(head: &[&str; N]) -> Self {
        Self { head: Some(head.map(str::to_owned)), widths: head.map(str::len), rows: Vec::new() }
    }

    fn row(&mut self, row: [String; N]) {
        self.rows.push(row.map(|text| Escaped(&text).to_string()));
    }

    /// The rows since the last time, after the head the first time.
    fn text(&mut self) -> String {
        for row in &self.rows {
            for (width, text) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(text.chars().count());
            }
        }
        let rows = std::mem::take(&mut self.rows);
        let mut text = String::new();
        for row in self.head.take().iter().chain(&rows) {
            let mut line = String::new();
            for (width, cell) in self.widths.iter().zip(row) {
                line.push_str(&format!("{cell:width$}  "));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {

    use super::Columns;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them_and_what_comes_from_outside_is_escaped() {
        let mut columns = Columns::new(&["A", "B"]);
        columns.row(["longer".to_owned(), "x\u{1b}[31m".to_owned()]);
        columns.row([String::new(), "y".to_owned()]);
        let text = columns.text();
        assert_eq!(text.lines().next(), Some("A       B"));
        assert!(!text.contains('\u{1b}') && text.ends_with("\n        y\n"), "{text}");
        columns.row(["z".to_owned(), "w".to_owned()]);
        assert_eq!(columns.text(), "z       w\n", "no head again");
    }
}
