//! Reads tables from the output of a crawl or from a state, and writes them in the form.

use std::io;
use std::path::Path;

use dynacrawl_catalogs::Described;
use dynacrawl_catalogs::rows::ScopeEnd;
use dynacrawl_model::{Body, Escaped, NamedScope, Outcome, Record, RunId, TargetFailed};
use dynacrawl_state::{KnownTable, Reader, ScopeKey, ScopeLine, StateError};

use super::super::failure::Failure;
use super::form::Form;
use super::input;
use super::scopes::Scopes;
use super::summary::{Summary, shown};
use crate::exit::Exit;

/// An export under way.
pub(super) struct Export {
    form: Box<dyn Form>,
    scopes: Scopes,
    run_id: Option<RunId>,
    /// The tables that were read, whether the form has a place for them or not.
    read: u64,
    written: u64,
    /// What is missing besides tables of the scopes that were read, in words.
    missing: Vec<String>,
    /// The scopes that nothing crawls any more.
    retired: Vec<String>,
    /// Whether the input has changes, which are not exported.
    has_changes: bool,
    /// The scopes that the run planned, once the input has its end.
    planned: Option<u64>,
}

/// Why reading stopped.
enum Stop {
    /// The input cannot be used.
    Input(String),
    /// The output failed.
    Output(Failure),
}

/// Why the form cannot be written. Names that collide are the user's to correct.
fn unwritable(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::InvalidInput => Failure::new(Exit::Usage, error),
        _ => Failure::new(Exit::SinkFailed, anyhow::Error::new(error).context("cannot write the export")),
    }
}

fn unreadable(error: StateError) -> Failure {
    Failure::new(Exit::SinkFailed, error)
}

impl Export {
    pub(super) fn new(form: Box<dyn Form>) -> Self {
        Self {
            form,
            scopes: Scopes::default(),
            run_id: None,
            read: 0,
            written: 0,
            missing: Vec::new(),
            retired: Vec::new(),
            has_changes: false,
            planned: None,
        }
    }

    pub(super) fn read_file(&mut self, path: &Path) -> Result<(), Failure> {
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
        let unusable = |problem: &str| Failure::new(Exit::Usage, anyhow::anyhow!("--input: {} {problem}", shown(path)));
        if self.run_id.is_none() {
            return Err(unusable("has no records: did the crawl fail?"));
        }
        if self.read == 0 && (self.has_changes || self.scopes.described() > 0) {
            return Err(unusable(
                "has no table records, although tables were described: it was written with --emit changes, or --records \
                 left them out",
            ));
        }
        match self.planned {
            None => {
                self.missing
                    .push("the input has no run_completed record: it may not be the whole output of a run".to_owned());
            }
            Some(planned) if self.scopes.ended() < planned => {
                let ended = self.scopes.ended();
                self.missing
                    .push(format!("the run crawled {planned} accounts and Regions, and the input has {ended} of them"));
            }
            Some(_) => {}
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
            (Body::Table(table), Some(scope)) => match Described::new(&scope, &table) {
                Ok(described) => self.table(&described).map_err(Stop::Output)?,
                Err(unnamed) => self.missing.push(format!("a table of {scope}: {unnamed}")),
            },
            (Body::ScopeCompleted(completed), Some(scope)) => self.scopes.of(&scope).end(*completed),
            (Body::TargetFailed(failed), _) => self.target_failed(&failed),
            (Body::RunCompleted(completed), _) => self.planned = Some(completed.scope_counts.planned),
            (Body::TableAdded(_) | Body::TableChanged(_) | Body::TableRecreated(_) | Body::TableRemoved(_), _) => {
                self.has_changes = true;
            }
            _ => {}
        }
        Ok(())
    }

    fn target_failed(&mut self, failed: &TargetFailed) {
        let (target, code, message) = (Escaped(&failed.target), Escaped(&failed.code), Escaped(&failed.message));
        self.missing.push(format!("the accounts and Regions of the target '{target}' are unknown: {code}: {message}"));
    }

    /// Writes a table, unless it has been written: the stream of a resumed run may repeat tables.
    fn table(&mut self, table: &Described<'_>) -> Result<(), Failure> {
        if !self.scopes.of(table.scope).add(table.name) {
            return Ok(());
        }
        self.read += 1;
        if self.form.accepts(table.scope) {
            self.form.table(table).map_err(unwritable)?;
            self.written += 1;
        }
        Ok(())
    }

    /// Exports what the state knows.
    pub(super) fn read_state(&mut self, state: &Reader) -> Result<(), Failure> {
        if !state.has_an_ended_run().map_err(unreadable)? {
            self.missing
                .push("no run has ended yet: the state does not know which accounts and Regions there are".to_owned());
        }
        for failed in state.failed_targets().map_err(unreadable)? {
            self.target_failed(&failed);
        }
        for line in state.scope_lines(true).map_err(unreadable)? {
            let Some((scope, key)) = self.scope_of(&line) else { continue };
            let unselected = state.unselected(&key).map_err(unreadable)?;
            self.scopes.of(&scope).end_of_state(&line, unselected);
            self.known_tables(state, &key, &scope)?;
        }
        Ok(())
    }

    /// Adds the tables that the input lacks and the state knows: those of scopes that are not
    /// complete and, if scopes may be missing as a whole, of those that the input lacks.
    pub(super) fn fill(&mut self, state: Option<&Reader>) -> Result<(), Failure> {
        let Some(state) = state else { return Ok(()) };
        let may_lack_scopes = !self.missing.is_empty();
        for line in state.scope_lines(true).map_err(unreadable)? {
            let is_retired = line.retired_at.is_some();
            let Some((scope, key)) = self.scope_of(&line) else { continue };
            let is_asked = match self.scopes.get(&scope) {
                Some(seen) => seen.missing().is_some(),
                None => may_lack_scopes && !is_retired,
            };
            if is_asked && line.last_complete_at.is_some() {
                self.known_tables(state, &key, &scope)?;
                self.scopes.of(&scope).was_complete = true;
            }
        }
        Ok(())
    }

    /// The scope of a line of the state. A retired scope is noted; its tables are not present.
    fn scope_of(&mut self, line: &ScopeLine) -> Option<(NamedScope, ScopeKey)> {
        let known = line.scope().and_then(|scope| ScopeKey::of(&scope).map(|key| (scope, key)));
        let Some((scope, key)) = known else {
            self.missing.push(format!("the scope {}/{} in the state cannot be read", line.account_id, line.region));
            return None;
        };
        if line.retired_at.is_none() {
            return Some((scope, key));
        }
        if self.form.names_scopes() && self.form.accepts(&scope) {
            self.missing.push(format!("{scope} is retired: no target has it any more, but it still has a connection"));
        } else {
            self.retired.push(scope.to_string());
        }
        None
    }

    /// Writes the tables of a scope as the state knows them.
    fn known_tables(&mut self, state: &Reader, key: &ScopeKey, scope: &NamedScope) -> Result<(), Failure> {
        let mut result = Ok(());
        let each = |known: KnownTable| {
            result = self.known_table(scope, &known);
            result.is_ok()
        };
        state.known_tables(key, each).map_err(unreadable)?;
        result
    }

    fn known_table(&mut self, scope: &NamedScope, known: &KnownTable) -> Result<(), Failure> {
        let Some(table) = known.read() else {
            self.missing.push(format!("the table {} of {scope} in the state cannot be read", Escaped(&known.name)));
            return Ok(());
        };
        match Described::new(scope, &table) {
            Ok(described) => {
                let last_seen_at = known.last_seen_at.unwrap_or(table.observed_at);
                let outcome = self.scopes.of(scope).outcome;
                self.table(&described.last_seen(last_seen_at, outcome))
            }
            Err(unnamed) => {
                self.missing.push(format!("the table {} of {scope}: {unnamed}", Escaped(&known.name)));
                Ok(())
            }
        }
    }

    /// Writes the ends of the scopes.
    pub(super) fn end(mut self) -> Result<Summary, Failure> {
        let mut summary =
            Summary { tables: self.written, missing: self.missing, retired: self.retired, ..Summary::default() };
        for seen in self.scopes.into_sorted() {
            let missing = seen.missing();
            let end = ScopeEnd {
                target: seen.target.as_deref(),
                outcome: seen.outcome.map(Outcome::as_str),
                is_complete: missing.is_none(),
                table_count: seen.tables,
                counts: seen.counts.as_ref(),
                problems: &seen.problems,
            };
            self.form.scope(&seen.scope, &end).map_err(unwritable)?;
            summary.unselected += seen.unselected;
            if !self.form.accepts(&seen.scope) {
                summary.skipped.extend((seen.tables > 0 || missing.is_some()).then(|| seen.scope.to_string()));
                continue;
            }
            summary.scopes += 1;
            if let Some(missing) = missing {
                let filled = if seen.was_complete { "; the rest is as the state last knew it" } else { "" };
                summary.missing.push(format!("{}: {missing}{filled}", seen.scope));
                summary.unknown.extend((!seen.was_complete).then(|| seen.scope.to_string()));
            }
        }
        self.form.end().map_err(unwritable)?;
        Ok(summary)
    }
}
