//! What a run knows of the last ones, and what it makes of a change: a record for the output, and a row for the state.

use std::sync::{Mutex, PoisonError};

use dynacrawl_model::{ChangeCounts, Record, RunId, SchemaVersion, ScopeRetired, Table, TableRecord, Timestamp};
use dynacrawl_state::{KnownScope, Reader, ScopeKey, Staged, StagedChange, StateError, TableRow};
use serde::Serialize;

use crate::config::ChangeSettings;

/// What a run knows of the last ones.
#[derive(Debug)]
pub struct Detector {
    reader: Mutex<Reader>,
    pub(super) run_id: RunId,
    pub(crate) settings: ChangeSettings,
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

/// The kinds of changes of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    Added,
    Changed,
    Recreated,
    Removed,
    Unselected,
}

impl ChangeKind {
    pub(crate) fn count(self, counts: &mut ChangeCounts) {
        *match self {
            Self::Added => &mut counts.added,
            Self::Changed => &mut counts.changed,
            Self::Recreated => &mut counts.recreated,
            Self::Removed => &mut counts.removed,
            Self::Unselected => &mut counts.unselected,
        } += 1;
    }
}

impl Detector {
    pub(crate) fn new(reader: Reader, run_id: RunId, settings: ChangeSettings) -> Self {
        Self { reader: Mutex::new(reader), run_id, settings }
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
        let tables = self.read(|reader| reader.count(known.id))?;
        let event = Record::ScopeRetired(ScopeRetired {
            schema: SchemaVersion::V1,
            run_id: self.run_id,
            scope: known.key.scope().into(),
            at,
            target: known.target,
            tables,
            last_complete_at: known.last_complete_at,
        });
        Ok(self.event(None, known.key, at, None, None, event))
    }

    pub(super) fn event(
        &self,
        kind: Option<ChangeKind>,
        scope: ScopeKey,
        at: Timestamp,
        table: Option<TableRow>,
        record: Option<String>,
        mut event: Record,
    ) -> DetectedChange {
        let change = Some(as_kept(&mut event));
        let event = Some(event).filter(|_| self.settings.emit.changes());
        DetectedChange { kind, event, staged: Some(Staged { scope, at, table, record, change }) }
    }

    /// An event about a table that was described.
    pub(super) fn change(
        &self,
        kind: ChangeKind,
        scope: ScopeKey,
        now: &TableRecord,
        row: TableRow,
        event: Record,
    ) -> DetectedChange {
        self.event(Some(kind), scope, now.observed_at, Some(row), Some(record_json(now)), event)
    }
}

impl DetectedChange {
    /// What the state learns, and nobody is told.
    pub(super) fn silent(scope: ScopeKey, at: Timestamp, row: TableRow, record: Option<String>) -> Self {
        Self { kind: None, event: None, staged: Some(Staged { scope, at, table: Some(row), record, change: None }) }
    }
}

/// A change event as the state keeps it: the table itself is in its record.
fn as_kept(event: &mut Record) -> StagedChange {
    let (kind, json) = match event {
        Record::TableAdded(event) => ("table_added", without_table(&mut **event, |event| &mut event.table)),
        Record::TableChanged(event) => ("table_changed", without_table(&mut **event, |event| &mut event.table)),
        Record::TableRecreated(event) => ("table_recreated", without_table(&mut **event, |event| &mut event.table)),
        Record::TableRemoved(event) => ("table_removed", json(event)),
        Record::TableUnselected(event) => ("table_unselected", json(event)),
        Record::ScopeRetired(event) => ("scope_retired", json(event)),
        other => unreachable!("no change: {other:?}"),
    };
    StagedChange { kind, json }
}

fn without_table<T: Serialize>(event: &mut T, table: impl Fn(&mut T) -> &mut Table) -> String {
    let kept = std::mem::take(table(event));
    let mut value = serde_json::to_value(&*event).unwrap_or_default();
    *table(event) = kept;
    if let Some(members) = value.as_object_mut() {
        members.remove("table");
    }
    value.to_string()
}

/// Names, numbers and times: there is nothing in records that JSON could refuse.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// The line of a table, as the state keeps it.
pub(super) fn record_json(now: &TableRecord) -> String {
    #[derive(Serialize)]
    #[serde(tag = "type", rename = "table")]
    struct Line<'a> {
        #[serde(flatten)]
        record: &'a TableRecord,
    }
    json(&Line { record: now })
}
