//! What earlier runs stored, and how a run reports a change: a record for the output, and a row for
//! the state.

use std::sync::{Mutex, PoisonError};

use dynacrawl_model::{Body, ChangeKind, NamedScope, Record, RunId, ScopeRetired, TableName, TableRecord, Timestamp};
use dynacrawl_state::{KnownScope, Reader, ScopeKey, Staged, StagedChange, StateError, TableRow, TableStats};

use crate::settings::{Accepted, ChangeSettings};

/// What earlier runs stored, and how changes are reported.
#[derive(Debug)]
pub struct Detector {
    reader: Mutex<Reader>,
    pub(super) run_id: RunId,
    pub(crate) settings: ChangeSettings,
    /// What a person has accepted.
    pub(crate) accepted: Accepted,
}

/// What the state keeps of a change, besides the change record.
pub(super) struct Found {
    pub(super) at: Timestamp,
    pub(super) table: Option<TableRow>,
    /// The table's record as a line of JSON, if it changed.
    pub(super) record: Option<String>,
}

/// A change of a table or a scope, for the output and for the state.
#[derive(Debug)]
pub(crate) struct DetectedChange {
    /// The count it belongs to; `None` if it only updates the state.
    pub(crate) kind: Option<ChangeKind>,
    /// The record, if the output is to have changes.
    pub(crate) event: Option<Record>,
    /// The update of the state. The journal takes it.
    pub(crate) staged: Option<Staged>,
}

impl Detector {
    pub(crate) fn new(reader: Reader, run_id: RunId, settings: ChangeSettings, accepted: Accepted) -> Self {
        Self { reader: Mutex::new(reader), run_id, settings, accepted }
    }

    /// Reads the state. An error stops the run, because every table would look new.
    pub(super) fn read<T>(&self, ask: impl FnOnce(&Reader) -> Result<T, StateError>) -> Result<T, StateError> {
        ask(&self.reader.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The scopes in the state, except retired ones.
    pub(crate) fn scopes(&self) -> Result<Vec<KnownScope>, StateError> {
        self.read(|reader| reader.scopes(self.run_id))
    }

    /// The change of a scope that is no longer crawled.
    pub(crate) fn retired(&self, known: KnownScope) -> Result<DetectedChange, StateError> {
        let at = Timestamp::now();
        let table_count = self.read(|reader| reader.count(known.id))?;
        let KnownScope { key, account_name, target, last_complete_at, .. } = known;
        let scope = NamedScope { scope: key.scope(), account_name };
        let retired = ScopeRetired { observed_at: at, target, table_count, last_complete_at };
        Ok(self.change(ChangeKind::Retired, key, scope, Found { at, table: None, record: None }, retired))
    }

    /// A change, with its record for the output and its row for the state.
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

    /// The line of JSON that the state keeps of a table.
    pub(super) fn line(&self, scope: &NamedScope, now: &TableRecord) -> String {
        // A record has only names, numbers and times, so JSON can always hold it.
        dynacrawl_model::table_line(&self.run_id, scope, now).unwrap_or_default()
    }
}

impl DetectedChange {
    /// An update of the state that is not a change.
    pub(super) fn silent(scope: ScopeKey, at: Timestamp, row: TableRow, record: Option<String>) -> Self {
        let staged = Staged { scope, at, table: Some(row), record, change: None, stats: None };
        Self { kind: None, event: None, staged: Some(staged) }
    }

    /// New statistics of a table, which are not a change.
    pub(super) fn statistics(scope: ScopeKey, at: Timestamp, name: TableName, stats: TableStats) -> Self {
        let staged = Staged { scope, at, table: None, record: None, change: None, stats: Some((name, stats)) };
        Self { kind: None, event: None, staged: Some(staged) }
    }
}

/// A change record as the state keeps it: its type is a column, and the table is in the table's own
/// record.
fn as_kept(kind: ChangeKind, event: &Record) -> StagedChange {
    let mut value = serde_json::to_value(event).unwrap_or_default();
    if let Some(members) = value.as_object_mut() {
        members.remove("type");
        members.remove("table");
    }
    StagedChange { kind: kind.record().as_str(), json: value.to_string() }
}
