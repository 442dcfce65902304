//! What sinks of data catalogs have in common.

use std::collections::HashMap;
use std::time::Duration;

use dynacrawl_catalogs::Described;
use dynacrawl_model::{Body, NamedScope, Scope, TableRecord};

use crate::halves::Halves;
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

/// After how many attempts dynacrawl believes that a catalog will never take a table that makes it fail.
const ATTEMPTS: u32 = 6;

/// The attempts in which a catalog took nothing, or failed because of a table, as it seemed.
#[derive(Debug, Default)]
pub(crate) struct Doubts {
    /// By table. Empty as soon as a batch is taken.
    failed: HashMap<(Scope, String), u32>,
    /// How often everything in the batch was refused.
    all_refused: u32,
    /// Whether the catalog has taken a table with these settings.
    has_taken: bool,
}

/// Which updates of a batch a catalog refuses.
#[derive(Default)]
pub(crate) struct Refusals {
    refused: Vec<Refusal>,
    suspects: Vec<((Scope, String), Refusal, DeliveryError)>,
}

impl Refusals {
    pub(crate) fn refused(&mut self, update: &TableUpdate<'_>, reason: String) {
        self.refused.push(Refusal { id: update.id.to_owned(), reason });
    }

    /// The catalog failed when it got this update.
    pub(crate) fn suspect(&mut self, update: &TableUpdate<'_>, error: DeliveryError) {
        let refusal = Refusal { id: update.id.to_owned(), reason: error.message.clone() };
        self.suspects.push(((update.scope.scope.clone(), update.name.to_owned()), refusal, error));
    }

    /// The result of a batch with this number of updates. A failure is taken for a refusal of a table only
    /// if it comes again and again, and the catalog takes other tables. If the catalog refuses all of several
    /// and has never taken one, most likely the settings are wrong, and not every table.
    pub(crate) fn delivered(self, updates: usize, doubts: &mut Doubts) -> Result<Delivered, DeliveryError> {
        let Self { mut refused, suspects } = self;
        doubts.has_taken |= refused.len() + suspects.len() < updates;
        let mut first_failure = None;
        for (table, refusal, error) in suspects {
            let attempts = doubts.failed.entry(table).or_default();
            *attempts += 1;
            if *attempts >= ATTEMPTS && doubts.has_taken {
                refused.push(refusal);
            } else {
                first_failure.get_or_insert(error);
            }
        }
        if let Some(error) = first_failure {
            return Err(error);
        }
        if updates > 1 && refused.len() == updates && !doubts.has_taken {
            doubts.all_refused += 1;
            if doubts.all_refused < ATTEMPTS {
                let reason = refused.first().map(|first| first.reason.as_str()).unwrap_or_default();
                return Err(DeliveryError::new(format!("the catalog refuses all {updates} tables: {reason}")));
            }
        }
        (doubts.all_refused, doubts.failed) = (0, HashMap::new());
        Ok(Delivered { refused })
    }
}

/// Updates that are sent together and, if the catalog refuses several at once, in halves, to find out which
/// ones it refuses.
pub(crate) struct UpdateHalves<'u, T> {
    halves: Halves<'u, T>,
    pub(crate) refusals: Refusals,
}

impl<'u, T> UpdateHalves<'u, T> {
    /// At most `at_once` are sent together.
    pub(crate) fn new(updates: &'u [T], at_once: usize) -> Self {
        Self { halves: Halves::new(updates, at_once), refusals: Refusals::default() }
    }

    /// The next ones to send.
    pub(crate) fn next(&mut self) -> Option<&'u [T]> {
        self.halves.next()
    }

    /// How the catalog answered to them.
    pub(crate) fn answered<'e: 'u>(
        &mut self,
        sent: &'u [T],
        answered: Answered,
        update: impl Fn(&'u T) -> &'u TableUpdate<'e>,
    ) -> Result<(), DeliveryError> {
        match (answered, sent) {
            (Answered::Taken, _) => {}
            (Answered::Failed(error), _) => return Err(error),
            (Answered::Refused(reason), [one]) => self.refusals.refused(update(one), reason),
            (Answered::Suspect(error), [one]) => self.refusals.suspect(update(one), error),
            (Answered::Refused(_) | Answered::Suspect(_), sent) => self.halves.split(sent),
        }
        Ok(())
    }
}
