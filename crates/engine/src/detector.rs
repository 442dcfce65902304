//! What a run knows of the last ones, and what it makes of a change: a record for the output, and a row for the state.

use std::sync::{Mutex, PoisonError};

use dynacrawl_model::{Body, ChangeKind, NamedScope, Record, RunId, ScopeRetired, TableName, TableRecord, Timestamp};
use dynacrawl_state::{KnownScope, Reader, ScopeKey, Staged, StagedChange, StateError, TableRow, TableStats};

use crate::settings::{Accepted, ChangeSettings};

/// What a run knows of the last ones.
#[derive(Debug)]
pub struct Detector {
    reader: Mutex<Reader>,
    pub(super) run_id: RunId,
    pub(crate) settings: ChangeSettings,
    /// What a person has accepted.
    pub(crate) accepted: Accepted,
}

/// What the state keeps of a change, beside the change itself.
pub(super) struct Found {
    pub(super) at: Timestamp,
    pub(super) table: Option<TableRow>,
    /// The table's line, if it changed.
    pub(super) record: Option<String>,
}

/// A change of a table or a scope, for the output and for the state.
#[derive(Debug)]
pub(crate) struct DetectedChange {
    /// Which count it belongs to; none if only the state learns something.
    pub(crate) kind: Option<ChangeKind>,
    /// The record, where changes are wanted in the output.
    pub(crate) event: Option<Record>,
    /// What the state learns; taken by the journal.
    pub(crate) staged: Option<Staged>,
}

impl Detector {
    pub(crate) fn new(reader: Reader, run_id: RunId, settings: ChangeSettings, accepted: Accepted) -> Self {
        Self { reader: Mutex::new(reader), run_id, settings, accepted }
    }

    /// Reads the state. What it cannot tell stops the run: everything would look new.
    pub(super) fn read<T>(&self, ask: impl FnOnce(&Reader) -> Result<T, StateError>) -> Result<T, StateError> {
        ask(&self.reader.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The scopes that the state knows, but for retired ones.
    pub(crate) fn scopes(&self) -> Result<Vec<KnownScope>, StateError> {
        self.read(|reader| reader.scopes(self.run_id))
    }

    /// That a scope is not crawled any more.
    pub(crate) fn retired(&self, known: KnownScope) -> Result<DetectedChange, StateError> {
        let at = Timestamp::now();
        let table_count = self.read(|reader| reader.count(known.id))?;
        let KnownScope { key, account_name, target, last_complete_at, .. } = known;
        let scope = NamedScope { scope: key.scope(), account_name };
        let retired = ScopeRetired { at, target, table_count, last_complete_at };
        Ok(self.change(ChangeKind::Retired, key, scope, Found { at, table: None, record: None }, retired))
    }

    /// A change, as the output and the state get it.
    pub(super) fn change(
        &self,
        kind: ChangeKind,
        key: ScopeKey,
        scope: NamedScope,
        found: Found,
        body: impl Into<Body>,
    ) -> DetectedChange {
        let Found { at, table, record } = found;
        let event = Record::of_scope(self.run_id, scope.into(), body);
        debug_assert_eq!(event.kind(), kind.record());
        let change = Some(as_kept(kind, &event));
        let event = Some(event).filter(|_| self.settings.emit.changes());
        DetectedChange {
            kind: Some(kind),
            event,
            staged: Some(Staged { scope: key, at, table, record, change, stats: None }),
        }
    }

    /// The line of a table, as the state keeps it.
    pub(super) fn line(&self, scope: &NamedScope, now: &TableRecord) -> String {
        // Names, numbers and times: there is nothing in records that JSON could refuse.
        dynacrawl_model::table_line(&self.run_id, scope, now).unwrap_or_default()
    }
}

impl DetectedChange {
    /// What only the state learns.
    pub(super) fn silent(scope: ScopeKey, at: Timestamp, row: TableRow, record: Option<String>) -> Self {
        let staged = Staged { scope, at, table: Some(row), record, change: None, stats: None };
        Self { kind: None, event: None, staged: Some(staged) }
    }

    /// Statistics that differ, which is no change.
    pub(super) fn statistics(scope: ScopeKey, at: Timestamp, name: TableName, stats: TableStats) -> Self {
        let staged = Staged { scope, at, table: None, record: None, change: None, stats: Some((name, stats)) };
        Self { kind: None, event: None, staged: Some(staged) }
    }
}

/// A change event as the state keeps it: its type is a column, and the table itself is in its record.
fn as_kept(kind: ChangeKind, event: &Record) -> StagedChange {
    let mut value = serde_json::to_value(event).unwrap_or_default();
    if let Some(members) = value.as_object_mut() {
        members.remove("type");
        members.remove("table");
    }
    StagedChange { kind: kind.record().as_str(), json: value.to_string() }
}
