//! The tables that a sink gets which does not have the whole state, page by page.

use std::sync::Arc;

use dynacrawl_model::{
    Body, Escaped, NamedScope, Record, RunId, TableAdded, TableRemoved, Timestamp, event_id, repeatable_event_id,
};
use dynacrawl_sinks::{Event, Part};
use dynacrawl_state::{Cursor, Gone, GoneTable, KnownScope, KnownTable, LeftOut, Reader, StateError};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::settings::EventFilter;

/// How many scopes are read at once.
const SCOPES: usize = 64;

/// What of all tables is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Phase {
    /// Tables and scopes that the configuration came to leave out. They come first: a scope may have tables again.
    LeftOut,
    Tables,
    Statistics,
    Removals,
}

/// How far a sink is with all tables, with the statistics of all tables, with removals, or with what was left
/// out. A later process continues there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Progress {
    pub(super) phase: Phase,
    pub(super) started_at: Timestamp,
    /// The place in the outbox when it began, if the sink gets the whole state: it gets everything after it
    /// again.
    pub(super) up_to: Option<Cursor>,
    /// Makes the ids of the events different from those of another time when the sink got all tables. A ULID.
    #[serde(default)]
    pub(super) nonce: String,
    /// Only tables that have changed since.
    #[serde(default)]
    pub(super) changed_since: Option<Timestamp>,
    /// Whether each table is sent as if it had just been added.
    #[serde(default)]
    pub(super) as_added: bool,
    /// Whether removals follow the tables, and since when they and what was left out count.
    pub(super) removals: bool,
    pub(super) removed_since: Option<Timestamp>,
    /// The scope and the table that came last.
    pub(super) scope: String,
    pub(super) scope_id: i64,
    pub(super) table: String,
    /// The change that came last.
    #[serde(default)]
    pub(super) change_id: i64,
}

impl Progress {
    /// Before all tables. `gone_since`: since when tables are gone that the sink may have; `None`: it has none.
    pub(super) fn of_all(started_at: Timestamp, gone_since: Option<Timestamp>) -> Self {
        let phase = if gone_since.is_some() { Phase::LeftOut } else { Phase::Tables };
        Self { removals: gone_since.is_some(), removed_since: gone_since, ..Self::new(phase, started_at) }
    }

    /// The same, followed by the removals of all tables that are gone.
    pub(super) fn with_all_removals(self) -> Self {
        // The removals that it has had come again.
        let has_begun = self.phase == Phase::Removals;
        let (scope_id, table) = if has_begun { (0, String::new()) } else { (self.scope_id, self.table) };
        Self { removals: true, removed_since: None, scope_id, table, ..self }
    }

    /// Before the first table.
    pub(super) fn new(phase: Phase, started_at: Timestamp) -> Self {
        Self {
            phase,
            started_at,
            up_to: None,
            nonce: event_id(),
            changed_since: None,
            as_added: false,
            removals: false,
            removed_since: None,
            scope: String::new(),
            scope_id: 0,
            table: String::new(),
            change_id: 0,
        }
    }

    /// A table that is present, as an event; `None` if the state's record of it cannot be read.
    fn event(&self, scope: &KnownScope, named: &Arc<NamedScope>, known: &KnownTable, part: Part) -> Option<Event> {
        let Some((run_id, read)) = known.read_of_run() else {
            let (scope, table) = (named.to_string(), Escaped(&known.name).to_string());
            tracing::error!(scope, table, "the table in the state cannot be read, and is not sent");
            return None;
        };
        let added = self.as_added.then(|| TableAdded {
            observed_at: read.observed_at,
            table_name: known.name.as_str().into(),
            fingerprint: read.fingerprint.clone(),
            table: read.table.clone(),
        });
        let table = Record::of_scope(run_id, named.clone(), Body::Table(read));
        let target = Some(scope.target.clone());
        let (record, table) = match added {
            Some(added) => (Record::of_scope(run_id, named.clone(), Body::TableAdded(Box::new(added))), Some(table)),
            None => (table, None),
        };
        Some(Event { id: self.id_of(&record), record, table, target, part })
    }

    /// The id of an event: the same if a later attempt sends the same record.
    fn id_of(&self, record: &Record) -> String {
        let content = serde_json::to_vec(record).unwrap_or_default();
        let digest = Sha256::new().chain_update(&self.nonce).chain_update(content).finalize();
        let hash = digest.iter().take(16).fold(0, |hash, byte| hash << 8 | u128::from(*byte));
        repeatable_event_id(self.started_at, hash)
    }
}

/// Some of all tables.
pub(super) struct Page {
    pub(super) filter: EventFilter,
    pub(super) limit: usize,
    pub(super) progress: Progress,
    /// When the sink last got statistics. It gets those that differ since.
    pub(super) statistics_since: Option<Timestamp>,
    /// Whether tables that were retired with their scope count as removed.
    pub(super) with_retired: bool,
}

/// What follows a page.
pub(super) enum Next {
    At(Progress),
    Ended(Progress),
}

impl Page {
    /// Reads the events that pass the filter, and what follows.
    pub(super) fn read(self, reader: &Reader) -> Result<(Vec<Event>, Next), StateError> {
        let filter = self.filter.clone();
        let (mut events, next) = match self.progress.phase {
            Phase::Tables | Phase::Statistics => self.tables(reader)?,
            Phase::Removals => self.removals(reader)?,
            Phase::LeftOut => self.left_out(reader)?,
        };
        events.retain(|event| filter.passes(event));
        Ok((events, next))
    }

    fn tables(self, reader: &Reader) -> Result<(Vec<Event>, Next), StateError> {
        let Self { filter, limit, mut progress, statistics_since: since, .. } = self;
        let part = if progress.phase == Phase::Statistics { Part::Statistics } else { Part::Whole };
        let mut events = Vec::new();
        loop {
            let mut key = progress.scope.splitn(3, '/');
            let key = std::array::from_fn(|_| key.next().unwrap_or_default());
            let scopes = reader.scopes_from(key, SCOPES)?;
            let is_last = scopes.len() < SCOPES;
            for scope in scopes {
                let key = key_of(&scope);
                if !filter.has_target(&scope.target) {
                    progress = Progress { scope: key, table: String::new(), ..progress };
                    continue;
                }
                let after = if key == progress.scope { progress.table.clone() } else { String::new() };
                let named = Arc::new(named(&scope));
                let mut last = None;
                reader.known_tables_after(&scope.key, &after, |known| {
                    last = Some(known.name.clone());
                    let differs = known.stats.as_ref().is_none_or(|(at, _)| since.is_none_or(|since| *at >= since));
                    if filter.has_table(&known.name)
                        && (part == Part::Whole || differs)
                        && progress.changed_since.is_none_or(|since| known.changed_at >= since)
                    {
                        events.extend(progress.event(&scope, &named, &known, part));
                    }
                    events.len() < limit
                })?;
                progress = Progress { scope: key, table: last.unwrap_or(after), ..progress };
                if events.len() >= limit {
                    return Ok((events, Next::At(progress)));
                }
            }
            if is_last {
                break;
            }
        }
        let removals = Progress { phase: Phase::Removals, scope_id: 0, table: String::new(), ..progress.clone() };
        Ok((events, if progress.removals { Next::At(removals) } else { Next::Ended(progress) }))
    }

    fn removals(self, reader: &Reader) -> Result<(Vec<Event>, Next), StateError> {
        let Self { filter, limit, progress, with_retired, .. } = self;
        let gone = Gone { since: progress.removed_since, with_retired };
        let gone = reader.gone_tables(gone, (progress.scope_id, &progress.table), limit)?;
        let last = gone.last().map(|(scope_id, _, table)| (*scope_id, table.name.to_string()));
        let is_whole = gone.len() == limit;
        let events = gone.into_iter().filter_map(|(_, target, table)| removed(&progress, target, table, &filter));
        let events = events.collect();
        let next = match last.filter(|_| is_whole) {
            Some((scope_id, table)) => Next::At(Progress { scope_id, table, ..progress }),
            None => Next::Ended(progress),
        };
        Ok((events, next))
    }

    fn left_out(self, reader: &Reader) -> Result<(Vec<Event>, Next), StateError> {
        let Self { limit, progress, .. } = self;
        let changes = reader.left_out(progress.removed_since, progress.change_id, limit)?;
        let last = changes.last().filter(|_| changes.len() == limit).map(|change| change.change_id);
        let event = |change: LeftOut| {
            let target = Some(change.target);
            let Some(record) = change.record else {
                tracing::error!(
                    change_id = change.change_id,
                    "the change in the state cannot be read, and is not sent"
                );
                return None;
            };
            Some(Event { id: progress.id_of(&record), record, table: change.table, target, part: Part::Whole })
        };
        let events = changes.into_iter().filter_map(event).collect();
        let next = match last {
            Some(change_id) => Next::At(Progress { change_id, ..progress }),
            None => Next::At(Progress { phase: Phase::Tables, ..progress }),
        };
        Ok((events, next))
    }
}

fn key_of(scope: &KnownScope) -> String {
    let key = &scope.key;
    format!("{}/{}/{}", key.partition.as_str(), key.account_id.as_str(), key.region.as_str())
}

fn named(scope: &KnownScope) -> NamedScope {
    NamedScope { scope: scope.key.scope(), account_name: scope.account_name.clone() }
}

/// A table that is gone, as an event that removes it.
fn removed(progress: &Progress, target: String, gone: GoneTable, filter: &EventFilter) -> Option<Event> {
    if !filter.has_target(&target) || !filter.has_table(gone.name.as_str()) {
        return None;
    }
    let GoneTable { scope, name: table_name, record, at: observed_at, last_seen_at } = gone;
    let known = record.as_ref().and_then(|record| match &record.body {
        Body::Table(table) => Some(&table.table),
        _ => None,
    });
    let body = TableRemoved {
        observed_at,
        table_arn: known.and_then(|table| table.arn.clone()),
        table_id: known.and_then(|table| table.id.clone()),
        table_name,
        last_seen_at,
    };
    let run_id = record.as_ref().map(|record| record.run_id).or_else(|| progress.nonce.parse().ok());
    let run_id = run_id.unwrap_or_else(RunId::generate);
    let of_scope = Record::of_scope(run_id, Arc::new(scope), body);
    let id = progress.id_of(&of_scope);
    Some(Event { id, record: of_scope, table: record, target: Some(target), part: Part::Whole })
}
