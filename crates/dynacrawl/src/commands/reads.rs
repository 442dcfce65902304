//! `dynacrawl status`, `runs`, `tables` and `changes`: show the state, even while another process
//! writes it.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use dynacrawl_engine::{problem_in_words, query};
use dynacrawl_model::{ChangeKind, Timestamp};
use dynacrawl_sinks::count_dead_letters;
use dynacrawl_state::{
    ChangeLine, ChangeQuery, Reader, RunLine, ScopeLine, SinkLine, StateError, TableLine, TableQuery,
};
use serde::Serialize;

use super::failure::Failure;
use super::grid::{Column, Grid, GridRow};
use super::print::ended;
use crate::cli::{ChangesArgs, ChosenArgs, Format, GlobalArgs, ReadArgs, RunsArgs, SinksArgs, StatusArgs, TablesArgs};
use crate::config::{Config, ConfigError, dead_letters_beside};
use crate::exit::Exit;

fn open(global: &GlobalArgs, args: &ReadArgs) -> Result<Reader, Failure> {
    reader(&state_path(global, args)?)
}

fn state_path(global: &GlobalArgs, args: &ReadArgs) -> Result<PathBuf, Failure> {
    Ok(match &args.state {
        Some(path) => path.into(),
        None => {
            let file = global.config.as_deref().map(Config::check_file).transpose()?;
            let Some(state) = file.and_then(|config| config.run.state) else {
                let problem = "is missing; name it with --state, or in the configuration file given with --config";
                return Err(ConfigError::value("state.path (--state)", problem).into());
            };
            state.path
        }
    })
}

/// Opens a state to read it.
pub(super) fn reader(path: &Path) -> Result<Reader, Failure> {
    Reader::open(path)
        .map_err(|error| Failure::new(Exit::Usage, anyhow::Error::new(error).context("state.path (--state)")))
}

fn unreadable(error: StateError) -> Failure {
    Failure::new(Exit::SinkFailed, error)
}

/// What `dynacrawl status` shows.
#[derive(Debug, Serialize)]
struct Status {
    /// The last run, ended or not.
    last_run: Option<RunLine>,
    /// The accounts and Regions in the state.
    scopes: Vec<ScopeLine>,
    /// How many tables they have.
    table_count: u64,
    /// How many removed tables wait for a confirmation.
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
        Some(run) => format!("last run: {} UTC, {}, {}\n", when(Some(run.started_at)), outcome(run), run.run_id),
        None => "the state has no run yet\n".to_owned(),
    };
    text.push_str(&format!("{} tables in {} accounts and Regions\n", status.table_count, status.scopes.len()));
    if status.held > 0 {
        let held: Vec<_> = status.scopes.iter().filter(|scope| scope.held > 0).take(NAMED_HELD).map(name).collect();
        let held = held.join(",");
        text.push_str(&format!("{} removals are held; accept them with --accept-removals {held}\n", status.held));
    }
    text.push('\n');
    let columns = [
        Column::new("ACCOUNT"),
        Column::new("REGION"),
        Column::new("OUTCOME"),
        Column::new("TABLES"),
        Column::new("COMPLETE (UTC)"),
        Column::optional("HELD"),
        Column::optional("TARGET"),
        Column::optional("LAST RUN (UTC)"),
        Column::optional("ACCOUNT NAME"),
    ];
    let row = |scope: &ScopeLine| {
        let outcome = if scope.retired_at.is_some() { "retired" } else { &scope.last_outcome };
        GridRow {
            cells: [
                scope.account_id.clone(),
                scope.region.clone(),
                outcome.replace('_', " "),
                scope.table_count.to_string(),
                when(scope.last_complete_at),
                scope.held.to_string(),
                scope.target.clone(),
                when(Some(scope.last_run_at)),
                scope.account_name.clone().unwrap_or_else(|| NONE.to_owned()),
            ],
            details: scope
                .last_problems
                .iter()
                .take(NAMED_PROBLEMS)
                .map(|problem| problem_in_words(problem, 1))
                .collect(),
        }
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let written = out.write_all(text.as_bytes());
    let rows = |each: &mut dyn FnMut(GridRow<9>) -> bool| {
        let _ = status.scopes.iter().map(row).all(each);
        Ok(())
    };
    if written.is_err() {
        return ended(written);
    }
    grid(out, columns, rows)
}

/// How many scopes the suggested --accept-removals names.
const NAMED_HELD: usize = 5;
/// How many problems of a scope, and causes of a run, are shown.
const NAMED_PROBLEMS: usize = 3;
/// Shown in place of a missing value.
const NONE: &str = "-";

fn name(scope: &ScopeLine) -> String {
    format!("{}/{}", scope.account_id, scope.region)
}

pub(super) fn sinks(global: &GlobalArgs, args: &SinksArgs) -> Result<Exit, Failure> {
    let path = state_path(global, &args.read)?;
    let configured = match global.config.as_deref().map(Config::check_file).transpose() {
        Ok(config) => config.map(|config| config.run.sinks).unwrap_or_default(),
        // It is no obstacle if the state is named without it.
        Err(error) => {
            eprintln!("warning: {error}");
            Vec::new()
        }
    };
    let known = reader(&path)?.sink_lines().map_err(unreadable)?;
    let mut sinks = SinkLine::with_new(known, configured.iter().map(|one| one.sink.name.as_str()));
    for sink in &mut sinks {
        let file = match configured.iter().find(|one| one.sink.name == sink.name) {
            Some(one) => one.sink.dead_letters.clone(),
            // A configuration could name another one.
            None if global.config.is_none() => {
                Some(dead_letters_beside(&path, &sink.name)).filter(|file| file.exists())
            }
            None => None,
        };
        sink.dead_letters = file.and_then(|file| count_dead_letters(&file).ok());
    }
    if args.read.format == Format::Json {
        return lines(|each| {
            sinks.iter().all(each);
            Ok(())
        });
    }
    if sinks.is_empty() {
        return super::print::to_stdout(b"the state has no sinks: the configuration of its last run had none\n");
    }
    let columns = [
        Column::new("SINK"),
        Column::new("CURSOR"),
        Column::new("OWED"),
        Column::new("SINCE (UTC)"),
        Column::new("LAST SUCCESS (UTC)"),
        Column::new("DEAD LETTERS"),
        Column::optional("LOST"),
    ];
    let row = |sink: &SinkLine| GridRow {
        cells: [
            sink.name.clone(),
            if sink.is_new { NONE.to_owned() } else { sink.cursor.to_string() },
            if sink.is_new { NONE.to_owned() } else { sink.owed.to_string() },
            when(sink.owed_since),
            when(sink.delivered_at),
            sink.dead_letters.map_or_else(|| NONE.to_owned(), |count| count.to_string()),
            sink.lost.to_string(),
        ],
        details: sink
            .is_behind
            .then(|| "behind: it first gets all tables".to_owned())
            .into_iter()
            .chain(sink.is_new.then(|| "new: no run has added it to the state yet".to_owned()))
            .chain((sink.dead_letters.is_none() && sink.refused > 0).then(|| {
                let advice = match &global.config {
                    None => "name the configuration with --config, so that their file is known",
                    Some(_) => "their file is not known, or cannot be read",
                };
                format!("refused so far: {}; {advice}", sink.refused)
            }))
            .chain(sink.failure.iter().map(|failure| format!("{} UTC: {failure}", when(sink.failed_at))))
            .collect(),
    };
    grid(BufWriter::new(io::stdout().lock()), columns, |each| {
        let _ = sinks.iter().map(row).all(each);
        Ok(())
    })
}

pub(super) fn runs(global: &GlobalArgs, args: &RunsArgs) -> Result<Exit, Failure> {
    let runs = open(global, &args.read)?.runs(args.limit).map_err(unreadable)?;
    if args.read.format == Format::Json {
        return lines(|each| {
            runs.iter().all(each);
            Ok(())
        });
    }
    let columns = [
        Column::new("STARTED (UTC)"),
        Column::new("SECONDS"),
        Column::new("OUTCOME"),
        Column::new("SCOPES"),
        Column::new("TABLES"),
        Column::new("CHANGES"),
        Column::optional("SCHEDULE"),
    ];
    let out = BufWriter::new(io::stdout().lock());
    grid(out, columns, |each| {
        let _ = runs.iter().map(run_row).all(each);
        Ok(())
    })
}

fn run_row(run: &RunLine) -> GridRow<7> {
    let number = |pointer: &str| run.completed.as_ref().and_then(|completed| completed.pointer(pointer)?.as_u64());
    let or_none = |value: Option<u64>| value.map_or(NONE.to_owned(), |value| value.to_string());
    let change = |name: &str| number(&format!("/change_counts/{name}"));
    let changes = match (change("added"), change("changed"), change("removed")) {
        (Some(added), Some(changed), Some(removed)) => format!("+{added} ~{changed} \u{2212}{removed}"),
        _ => NONE.to_owned(),
    };
    let scopes = match (number("/scope_counts/complete"), number("/scope_counts/planned")) {
        (Some(complete), Some(planned)) => format!("{complete}/{planned}"),
        _ => NONE.to_owned(),
    };
    let causes = run.causes.iter().take(NAMED_PROBLEMS).map(|cause| {
        let (count, outcome) = (cause.scope_count, cause.outcome.replace('_', " "));
        let scopes = if count == 1 { "1 scope".to_owned() } else { format!("{count} scopes") };
        match cause.code.as_str() {
            "" => format!("{scopes} {outcome}"),
            code => format!("{scopes} {outcome}: {code}: {}", cause.message),
        }
    });
    GridRow {
        details: std::iter::once(run.run_id.clone()).chain(causes).collect(),
        cells: [
            when(Some(run.started_at)),
            format!("{:.1}", run.active_ms as f64 / 1000.0),
            outcome(run).to_owned(),
            scopes,
            or_none(number("/counts/described")),
            changes,
            run.schedule.clone().unwrap_or_else(|| NONE.to_owned()),
        ],
    }
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
    let columns = [
        Column::new("ACCOUNT"),
        Column::new("REGION"),
        Column::new("TABLE"),
        Column::new("STATUS"),
        Column::optional("CHANGED (UTC)"),
        Column::optional("LAST SEEN (UTC)"),
        Column::optional("FIRST SEEN (UTC)"),
    ];
    grid(BufWriter::new(io::stdout().lock()), columns, |each| {
        reader.tables(&query, |table: TableLine| {
            let times = [Some(table.changed_at), table.last_seen_at, Some(table.first_seen_at)].map(when);
            let [changed, last, first] = times;
            let cells = [table.account_id, table.region, table.table_name, table.status, changed, last, first];
            each(GridRow { cells, details: Vec::new() })
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
    let columns =
        [Column::new("FOUND (UTC)"), Column::new("ACCOUNT/REGION"), Column::new("CHANGE"), Column::new("TABLE")];
    grid(BufWriter::new(io::stdout().lock()), columns, |each| {
        reader.changes(&query, |change: ChangeLine| {
            let details = differences(&change);
            let name = change.table_name.unwrap_or_else(|| NONE.to_owned());
            let scope = format!("{}/{}", change.account_id, change.region);
            let kind = kind(&change.kind).to_owned();
            each(GridRow { cells: [when(Some(change.at)), scope, kind, name], details })
        })
    })
}

/// A change in one word.
fn kind(record: &str) -> &str {
    let kind = ChangeKind::ALL.iter().find(|kind| kind.record().as_str() == record);
    kind.map_or(record, |kind| kind.record().as_str().trim_start_matches("table_").trim_start_matches("scope_"))
}

fn scope(chosen: &ChosenArgs) -> Result<(Option<String>, Option<String>), ConfigError> {
    let account_id = chosen.account.as_deref().map(|text| query::account("--account", text)).transpose()?;
    let region = chosen.region.as_deref().map(|text| query::region("--region", text)).transpose()?;
    Ok((account_id, region))
}

/// How many characters of a changed value are shown at most.
const LONGEST_VALUE: usize = 200;

/// What differs, with the values before and after.
fn differences(change: &ChangeLine) -> Vec<String> {
    let changes = change.change.get("changes").and_then(|changes| changes.as_array());
    let value = |change: &serde_json::Value, name: &str| {
        let text = change.get(name).and_then(|value| value.as_str()).unwrap_or("none");
        match text.char_indices().nth(LONGEST_VALUE) {
            Some((end, _)) => format!("{}\u{2026}", &text[..end]),
            None => text.to_owned(),
        }
    };
    let difference = |change: &serde_json::Value| {
        let path = change.get("path")?.as_str()?;
        Some(format!("{path}: {} \u{2192} {}", value(change, "before"), value(change, "after")))
    };
    changes.into_iter().flatten().filter_map(difference).collect()
}

fn outcome(run: &RunLine) -> &str {
    match (&run.outcome, run.ended_at) {
        (Some(outcome), _) => outcome,
        (None, None) => "not ended",
        (None, Some(_)) => NONE,
    }
}

/// A time to the minute.
fn when(at: Option<Timestamp>) -> String {
    at.map_or(NONE.to_owned(), |at| {
        let text = at.to_string();
        text.get(..16).map_or(text.clone(), |minute| minute.replace('T', " "))
    })
}

/// Writes values as JSON lines, as they come.
fn lines<T: Serialize>(of: impl FnOnce(&mut dyn FnMut(&T) -> bool) -> Result<(), StateError>) -> Result<Exit, Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    let mut written = Ok(());
    of(&mut |value| {
        written = serde_json::to_writer(&mut out, value).map_err(io::Error::from).and_then(|()| out.write_all(b"\n"));
        written.is_ok()
    })
    .map_err(unreadable)?;
    ended(written.and_then(|()| out.flush()))
}

/// Writes rows as they come.
fn grid<const N: usize>(
    out: impl Write,
    columns: [Column; N],
    of: impl FnOnce(&mut dyn FnMut(GridRow<N>) -> bool) -> Result<(), StateError>,
) -> Result<Exit, Failure> {
    let mut grid = Grid::new(out, columns);
    let mut written = Ok(());
    of(&mut |row| {
        written = grid.row(row);
        written.is_ok()
    })
    .map_err(unreadable)?;
    ended(written.and_then(|()| grid.end().map(drop)))
}
