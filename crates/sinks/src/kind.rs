//! What a kind of sink says of itself.

use dynacrawl_model::Scope;

use crate::catalog::CatalogSettings;
use crate::secret::SecretRef;
use crate::sink::{DeliveryError, Sink};
use crate::snapshot::SnapshotSink;

/// The most events at once for a sink that needs an answer for each of them: after a failure, a batch
/// is repeated from its beginning.
pub(crate) const ONE_BY_ONE: usize = 25;

/// The settings of a kind of sink.
pub(crate) trait Kind {
    /// The destination. Nothing has been opened or called yet.
    fn destination(&self) -> Destination;

    /// The most events that it should get at once.
    fn largest_batch(&self) -> usize {
        usize::MAX
    }

    /// The secrets, each with its key in the section of the sink.
    fn secrets(&self) -> Vec<(&'static str, &SecretRef)> {
        Vec::new()
    }

    /// Where and under which names the destination keeps what it gets; `None` if it gets events.
    fn place(&self) -> Option<String> {
        None
    }

    /// Whether the destination has a place for the tables of an account and Region.
    fn has_place(&self, _scope: &Scope) -> bool {
        true
    }
}

impl<K: Kind> Kind for Box<K> {
    fn destination(&self) -> Destination {
        (**self).destination()
    }

    fn largest_batch(&self) -> usize {
        (**self).largest_batch()
    }

    fn secrets(&self) -> Vec<(&'static str, &SecretRef)> {
        (**self).secrets()
    }

    fn place(&self) -> Option<String> {
        (**self).place()
    }

    fn has_place(&self, scope: &Scope) -> bool {
        (**self).has_place(scope)
    }
}

/// A destination, by what it gets.
pub enum Destination {
    /// Each event.
    Events(Box<dyn Sink>),
    /// The newest state of each table, first of all, then of those that changed.
    Catalog(Box<dyn Sink>, CatalogSettings),
    /// The whole estate after a run.
    Snapshots(Box<dyn SnapshotSink>),
}

impl Destination {
    /// Checks that the destination can be reached and would take what it gets. Delivers nothing.
    ///
    /// # Errors
    /// If it would not.
    pub async fn health(&mut self) -> Result<(), DeliveryError> {
        match self {
            Self::Events(sink) | Self::Catalog(sink, _) => sink.health().await,
            Self::Snapshots(sink) => sink.health().await,
        }
    }
}
