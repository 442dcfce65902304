//! What sinks of data catalogs have in common.

use std::collections::HashMap;
use std::time::Duration;

use dynacrawl_catalogs::Described;
use dynacrawl_model::{Body, NamedScope, Scope, TableRecord};

use crate::sink::{Delivered, DeliveryError, Event, Part, Refusal};

/// How a sink of a catalog follows the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CatalogSettings {
    /// Whether the tables of an account and Region that the configuration no longer covers are removed.
    pub remove_retired: bool,
    /// How often statistics are delivered, at most.
    pub stats_every: Duration,
}

/// The newest state of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TableUpdate<'e> {
    /// The id of the newest event about the table.
    pub(crate) id: &'e str,
    pub(crate) scope: &'e NamedScope,
    pub(crate) name: &'e str,
    pub(crate) state: TableState<'e>,
}

/// What is known of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TableState<'e> {
    /// It is present.
    Present(Described<'e>),
    /// It is present, and only its statistics are new.
    Counted(Described<'e>),
    /// It is removed.
    Removed,
}

/// The newest state of each table in a batch. Events that say nothing about a table are left out, as are
/// tables that filters no longer select: they still exist.
pub(crate) fn updates(batch: &[Event]) -> Vec<TableUpdate<'_>> {
    let mut places: HashMap<(&Scope, &str), usize> = HashMap::with_capacity(batch.len());
    let mut updates: Vec<Option<TableUpdate<'_>>> = Vec::with_capacity(batch.len());
    for update in batch.iter().filter_map(update) {
        let before = places.insert((&update.scope.scope, update.name), updates.len());
        if let Some(before) = before.and_then(|before| updates.get_mut(before)) {
            *before = None;
        }
        updates.push(Some(update));
    }
    updates.into_iter().flatten().collect()
}

fn update(event: &Event) -> Option<TableUpdate<'_>> {
    let scope: &NamedScope = event.record.scope.as_ref()?;
    let beside = match event.table.as_ref().map(|table| &table.body) {
        Some(Body::Table(table)) => Some(&**table),
        _ => None,
    };
    let (name, state) = match &event.record.body {
        Body::Table(record) => {
            let table = described(scope, record)?;
            let state = match event.part {
                Part::Whole => TableState::Present(table),
                Part::Statistics => TableState::Counted(table),
            };
            (table.name, state)
        }
        Body::TableAdded(_) | Body::TableChanged(_) | Body::TableRecreated(_) => {
            let table = described(scope, beside?)?;
            (table.name, TableState::Present(table))
        }
        Body::TableRemoved(removed) => (removed.table_name.as_str(), TableState::Removed),
        _ => return None,
    };
    Some(TableUpdate { id: &event.id, scope, name, state })
}

fn described<'e>(scope: &'e NamedScope, record: &'e TableRecord) -> Option<Described<'e>> {
    Described::new(scope, record).ok()
}

/// How a catalog answered to some updates.
pub(crate) enum Answered {
    /// It has taken them.
    Taken,
    /// It refuses them, or one of them.
    Refused(String),
    /// It has failed, perhaps because of one of them.
    Suspect(DeliveryError),
    /// A later attempt may succeed.
    Failed(DeliveryError),
}

/// Which updates a catalog refuses.
#[derive(Default)]
pub(crate) struct Refusals {
    refused: Vec<Refusal>,
    suspect: Option<DeliveryError>,
}

impl Refusals {
    pub(crate) fn refused(&mut self, id: &str, reason: String) {
        self.refused.push(Refusal { id: id.to_owned(), reason });
    }

    /// The catalog fails whenever it gets this update.
    pub(crate) fn suspect(&mut self, id: &str, error: DeliveryError) {
        self.refused(id, error.message.clone());
        self.suspect.get_or_insert(error);
    }

    /// If the catalog has taken none of several updates, most likely the settings are wrong, and not every
    /// table. If it failed and has taken none, it fails for another reason.
    pub(crate) fn delivered(self, updates: usize) -> Result<Delivered, DeliveryError> {
        let Self { refused, suspect } = self;
        if refused.len() < updates {
            return Ok(Delivered { refused });
        }
        match (suspect, &refused[..]) {
            (Some(error), _) => Err(error),
            (None, [first, _, ..]) => {
                Err(DeliveryError::new(format!("the catalog refuses all {updates} tables: {}", first.reason)))
            }
            (None, _) => Ok(Delivered { refused }),
        }
    }
}
