//! `dynacrawl export`: converts tables to the form of a data catalog, or to CSV.

mod destination;
mod form;
mod input;
mod scopes;

use std::io;
use std::path::{Path, PathBuf};

use dynacrawl_catalogs::Described;
use dynacrawl_catalogs::rows::ScopeEnd;
use dynacrawl_model::{Body, Escaped, Outcome, Record, RunId};
use dynacrawl_state::{KnownTable, Reader, ScopeKey, StateError};

use self::form::Form;
use self::scopes::{Scopes, Seen};
use super::failure::Failure;
use crate::cli::{ExportArgs, ExportForm, GlobalArgs};
use crate::config::{Config, ConfigError, Flags};
use crate::exit::Exit;

/// How many scopes are named in each list.
const NAMED: usize = 40;

pub(super) fn export(global: &GlobalArgs, args: &ExportArgs) -> Result<Exit, Failure> {
    let config = Config::load(global, &Flags { export: Some(&args.catalog), ..Flags::default() })?;
    let state = state(args, &config)?;
    let (destination, form) = form::open(args.to, &config.export, &args.output)?;
    let mut export = Export::new(form);
    let read = match (&args.input, &state) {
        (Some(input), _) => export.read_file(input).and_then(|()| export.fill(state.as_ref())),
        (None, Some(state)) => export.read_state(state),
        (None, None) => unreachable!("one of them is required"),
    };
    let summary = match read.and_then(|()| export.end()) {
        Ok(summary) => summary,
        Err(failure) => {
            destination.discard();
            return Err(failure);
        }
    };
    if let Some(refusal) = summary.refusal(args) {
        destination.discard();
        eprint!("{}", summary.missing_in_words());
        return Err(Failure::new(Exit::Partial, anyhow::anyhow!(refusal)));
    }
    destination.put().map_err(|error| Failure::new(Exit::SinkFailed, error))?;
    eprint!("{}", summary.in_words(&args.output));
    Ok(if summary.missing.is_empty() && summary.skipped.is_empty() { Exit::Complete } else { Exit::Partial })
}

/// The state, if the export needs it.
fn state(args: &ExportArgs, config: &Config) -> Result<Option<Reader>, Failure> {
    let path = args.state.as_ref().map(PathBuf::from).or(config.run.state.as_ref().map(|state| state.path.clone()));
    match (&args.input, path) {
        (Some(_), _) if !args.allow_incomplete => Ok(None),
        (_, Some(path)) => Reader::open(&path)
            .map(Some)
            .map_err(|error| Failure::new(Exit::Usage, anyhow::Error::new(error).context("state.path (--state)"))),
        (Some(_), None) => Err(ConfigError::value(
            "--allow-incomplete",
            "needs a state, which knows the tables that the input lacks; name one with --state",
        )
        .into()),
        (None, None) => {
            Err(ConfigError::value("--input", "is missing; name the output of a crawl, or a state with --state").into())
        }
    }
}

/// An export under way.
struct Export {
    form: Box<dyn Form>,
    scopes: Scopes,
    run_id: Option<RunId>,
    tables: u64,
    /// What is missing, in words.
    missing: Vec<String>,
    /// Whether the input has changes, which are not exported.
    has_changes: bool,
    /// The scopes that the run planned, once the input has its end.
    planned: Option<u64>,
}

/// Why the form cannot be written.
fn unwritable(error: io::Error) -> Failure {
    Failure::new(Exit::SinkFailed, anyhow::Error::new(error).context("cannot write the export"))
}

fn unreadable(error: StateError) -> Failure {
    Failure::new(Exit::SinkFailed, error)
}

impl Export {
    fn new(form: Box<dyn Form>) -> Self {
        Self {
            form,
            scopes: Scopes::default(),
            run_id: None,
            tables: 0,
            missing: Vec::new(),
            has_changes: false,
            planned: None,
        }
    }

    fn read_file(&mut self, path: &Path) -> Result<(), Failure> {
        let mut failed = None;
        let read = input::records(path, &mut |record| match self.record(record) {
            Ok(()) => Ok(()),
            Err(Stop::Input(problem)) => anyhow::bail!(problem),
            Err(Stop::Output(failure)) => {
                failed = Some(failure);
                anyhow::bail!("stopped")
            }
        });
        match (failed, read) {
            (Some(failure), _) => return Err(failure),
            (None, Err(error)) => return Err(Failure::new(Exit::Usage, error)),
            (None, Ok(())) => {}
        }
        if self.tables == 0 && self.has_changes {
            let problem =
                "has changes, but no tables: it was written with --emit changes; export needs --emit snapshot or both";
            return Err(Failure::new(Exit::Usage, anyhow::anyhow!("--input: {} {problem}", shown(path))));
        }
        match self.planned {
            None => self
                .missing
                .push("the input has no run_completed record: it may not be the whole output of a run".to_owned()),
            Some(planned) => {
                let ended = self.scopes.ended();
                if ended < planned {
                    self.missing.push(format!("the run crawled {planned} scopes, and the input has {ended} of them"));
                }
            }
        }
        Ok(())
    }

    fn record(&mut self, record: Record) -> Result<(), Stop> {
        let Record { run_id, scope, body } = record;
        let of_run = *self.run_id.get_or_insert(run_id);
        if of_run != run_id {
            let problem = format!("a record of the run {run_id} after those of {of_run}; export one run at a time");
            return Err(Stop::Input(problem));
        }
        match (body, scope) {
            (Body::Table(table), Some(scope)) => {
                let Ok(described) = Described::new(&scope, &table) else {
                    self.missing.push(format!("a table of {scope} has neither a name nor an ARN"));
                    return Ok(());
                };
                let name = described.name.to_owned();
                let seen = self.scopes.of(&scope);
                seen.names.insert(name);
                seen.tables += 1;
                self.write(&described).map_err(Stop::Output)?;
            }
            (Body::ScopeCompleted(completed), Some(scope)) => {
                let seen = self.scopes.of(&scope);
                seen.end(*completed);
            }
            (Body::TargetFailed(failed), _) => {
                let (target, code, message) =
                    (Escaped(&failed.target), Escaped(&failed.code), Escaped(&failed.message));
                self.missing
                    .push(format!("the accounts and Regions of the target '{target}' are unknown: {code}: {message}"));
            }
            (Body::RunCompleted(completed), _) => self.planned = Some(completed.scope_counts.planned),
            (Body::TableAdded(_) | Body::TableChanged(_) | Body::TableRecreated(_) | Body::TableRemoved(_), _) => {
                self.has_changes = true;
            }
            _ => {}
        }
        Ok(())
    }

    fn write(&mut self, table: &Described<'_>) -> Result<(), Failure> {
        if self.form.accepts(table.scope) {
            self.form.table(table).map_err(unwritable)?;
            self.tables += 1;
        }
        Ok(())
    }

    /// Exports what the state knows.
    fn read_state(&mut self, state: &Reader) -> Result<(), Failure> {
        for line in state.scope_lines(false).map_err(unreadable)? {
            let Some((scope, key)) = scopes::of_line(&line) else {
                self.missing.push(format!("the scope {}/{} in the state cannot be read", line.account_id, line.region));
                continue;
            };
            self.scopes.of(&scope).end_of_state(&line);
            self.known_tables(state, &key, &scope)?;
        }
        Ok(())
    }

    /// Adds the tables that the input lacks and the state knows, in scopes that are not complete.
    fn fill(&mut self, state: Option<&Reader>) -> Result<(), Failure> {
        let Some(state) = state else { return Ok(()) };
        for line in state.scope_lines(false).map_err(unreadable)? {
            let Some((scope, key)) = scopes::of_line(&line) else { continue };
            if self.scopes.is_incomplete(&scope) && line.last_complete_at.is_some() {
                self.known_tables(state, &key, &scope)?;
                self.scopes.of(&scope).is_filled = true;
            }
        }
        Ok(())
    }

    /// Writes the tables of a scope as the state knows them, without those that are written already.
    fn known_tables(
        &mut self,
        state: &Reader,
        key: &ScopeKey,
        scope: &dynacrawl_model::NamedScope,
    ) -> Result<(), Failure> {
        let mut result = Ok(());
        let each = |known: KnownTable| {
            result = self.known_table(scope, known);
            result.is_ok()
        };
        state.known_tables(key, each).map_err(unreadable)?;
        result
    }

    fn known_table(&mut self, scope: &dynacrawl_model::NamedScope, known: KnownTable) -> Result<(), Failure> {
        if !self.scopes.of(scope).names.insert(known.name.clone()) {
            return Ok(());
        }
        let Ok(Record { body: Body::Table(mut table), .. }) = serde_json::from_str(&known.record) else {
            self.missing.push(format!("the table {} of {scope} in the state cannot be read", Escaped(&known.name)));
            return Ok(());
        };
        if let Some((observed_at, stats)) = known.stats {
            table.observed_at = observed_at;
            table.table.item_count = stats.item_count;
            table.table.size_bytes = stats.size_bytes;
            table.table.status = stats.status;
        }
        let Ok(described) = Described::new(scope, &table) else {
            self.missing.push(format!("a table of {scope} has neither a name nor an ARN"));
            return Ok(());
        };
        self.scopes.of(scope).tables += 1;
        self.write(&described)
    }

    /// Writes the ends of the scopes.
    fn end(mut self) -> Result<Summary, Failure> {
        let mut summary = Summary { tables: self.tables, missing: self.missing, ..Summary::default() };
        for seen in self.scopes.into_sorted() {
            summary.scopes += 1;
            let missing = seen.missing();
            let is_complete = missing.is_none();
            let end = ScopeEnd {
                outcome: seen.outcome.map(Outcome::as_str),
                is_complete,
                table_count: seen.tables,
                counts: seen.counts.as_ref(),
                problems: &seen.problems,
            };
            self.form.scope(&seen.scope, &end).map_err(unwritable)?;
            if let Some(missing) = missing {
                let filled = if seen.is_filled { "; filled in from the state" } else { "" };
                summary.missing.push(format!("{}: {missing}{filled}", seen.scope));
                if !seen.is_filled && seen.tables > 0 {
                    summary.unfilled.push(seen.scope.to_string());
                }
            }
            if seen.tables > 0 && !self.form.accepts(&seen.scope) {
                summary.skipped.push(seen.scope.to_string());
            }
            summary.unselected += seen.counts.map_or(0, |counts| counts.unselected);
        }
        self.form.end().map_err(unwritable)?;
        Ok(summary)
    }
}

/// Why reading stopped.
enum Stop {
    /// The input cannot be used.
    Input(String),
    /// The output failed.
    Output(Failure),
}

/// What was exported.
#[derive(Debug, Default)]
struct Summary {
    tables: u64,
    scopes: u64,
    /// Tables that the filters of the crawl left out.
    unselected: u64,
    /// What is missing, in words.
    missing: Vec<String>,
    /// The incomplete scopes with tables for which the state has no complete crawl.
    unfilled: Vec<String>,
    /// The scopes for which the form has no place.
    skipped: Vec<String>,
}

impl Summary {
    /// Why the export must not be put in place.
    fn refusal(&self, args: &ExportArgs) -> Option<String> {
        if args.to != ExportForm::Atlan {
            return None;
        }
        if !self.skipped.is_empty() && self.tables == 0 {
            return Some(
                "nothing is exported: no account and Region has a connection; give each one with --connection"
                    .to_owned(),
            );
        }
        if !args.allow_incomplete && !self.missing.is_empty() {
            return Some(
                "nothing is exported: whoever publishes these files archives the tables that they lack; crawl again, or fill \
                 in what the state knows with --allow-incomplete"
                    .to_owned(),
            );
        }
        (args.input.is_some() && !self.unfilled.is_empty()).then(|| {
            format!(
                "nothing is exported: the state has no complete crawl of {}, so tables of it may be unknown",
                self.unfilled.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ")
            )
        })
    }

    fn missing_in_words(&self) -> String {
        let mut text = String::new();
        for missing in self.missing.iter().take(NAMED) {
            text.push_str(&format!("missing: {missing}\n"));
        }
        if self.missing.len() > NAMED {
            text.push_str(&format!("missing: and {} more\n", self.missing.len() - NAMED));
        }
        text
    }

    fn in_words(&self, output: &Path) -> String {
        let mut text = format!(
            "exported {} of {} to {}\n",
            counted(self.tables, "table"),
            counted(self.scopes, "account and Region"),
            if output == Path::new("-") { "standard output".to_owned() } else { shown(output) }
        );
        text.push_str(&self.missing_in_words());
        if !self.skipped.is_empty() {
            let named: Vec<_> = self.skipped.iter().take(NAMED).map(String::as_str).collect();
            text.push_str(&format!(
                "not exported: {} without a connection; give each one with --connection: {}\n",
                counted(self.skipped.len() as u64, "account and Region"),
                named.join(", ")
            ));
        }
        if self.unselected > 0 {
            text.push_str(&format!(
                "note: the filters of the crawl left out {}, which this export lacks, too\n",
                counted(self.unselected, "table")
            ));
        }
        text
    }
}

fn counted(count: u64, what: &str) -> String {
    match (count, what) {
        (1, _) => format!("1 {what}"),
        (_, "account and Region") => format!("{count} accounts and Regions"),
        _ => format!("{count} {what}s"),
    }
}

fn shown(path: &Path) -> String {
    Escaped(&path.display().to_string()).to_string()
}

impl Seen {
    /// What the scope lacks; `None` if it is complete.
    fn missing(&self) -> Option<String> {
        let Some(outcome) = self.outcome else {
            return Some("the input has no scope_completed record for it".to_owned());
        };
        if outcome != Outcome::Complete {
            let mut text = outcome.as_str().replace('_', " ");
            if let Some(problem) = self.problems.first() {
                text.push_str(&format!(": {}", dynacrawl_engine::problem_in_words(problem, 3)));
            }
            return Some(text);
        }
        let described = self.counts.as_ref().map(|counts| counts.described)?;
        (self.tables < described).then(|| format!("{} of {described} tables are in the input", self.tables))
    }
}
