//! The kinds of sinks. Each is a file or folder here, and a line of [`kinds`].

mod atlan;
mod datahub;
mod eventbridge;
mod file;
mod http;
#[cfg(feature = "kafka")]
mod kafka;
mod nats;
mod object_store;
mod openmetadata;

use std::path::PathBuf;
use std::time::Duration;

use dynacrawl_model::Scope;
use sha2::{Digest, Sha256};

pub use atlan::AtlanSettings;
pub use datahub::DataHubSettings;
pub use eventbridge::EventBridgeSettings;
pub use file::FileSettings;
pub use http::{HttpAuth, HttpSettings, RESERVED_HEADERS};
#[cfg(feature = "kafka")]
pub use kafka::{KafkaSasl, KafkaSettings, KafkaTls};
pub use nats::{NatsAuth, NatsSettings, SubjectError, SubjectTemplate};
pub use object_store::{
    JsonCompression, ObjectFormat, ObjectPrefix, ObjectPrefixError, ObjectStoreSettings, S3Encryption, S3Location,
    StoreLocation,
};
pub use openmetadata::OpenMetadataSettings;

use crate::kind::{Destination, Kind};
use crate::secret::SecretRef;

/// The configuration of a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkSettings {
    /// Its name.
    pub name: String,
    /// Where events go.
    pub kind: SinkKind,
    /// The most events that are delivered at once.
    pub batch: usize,
    /// How long to wait before a failed attempt is repeated.
    pub backoff: Backoff,
    /// The file for events that the destination permanently refuses.
    pub dead_letters: Option<PathBuf>,
    /// With what a sink of events begins that is new in a state.
    pub start: Start,
}

/// With what a sink of events begins that is new in a state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// With the changes of the next run.
    #[default]
    Now,
    /// With a `table` record of each table.
    Snapshot,
    /// With a `table_added` record of each table, as if it had been there from the first run.
    Beginning,
}

impl SinkSettings {
    /// How many events are delivered at once, at most: at least one, and no more than the kind should
    /// get.
    pub fn at_once(&self) -> usize {
        self.batch.min(self.kind.settings().largest_batch()).max(1)
    }
}

/// How long to wait before a failed attempt is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// After the first failure. It doubles with each further one.
    pub first: Duration,
    /// The longest wait, unless the destination asks for a longer one.
    pub longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_secs(1), longest: Duration::from_secs(300) }
    }
}

/// Makes the enumeration of the kinds.
macro_rules! kinds {
    ($($doc:literal $(#[$only:meta])? $kind:ident($settings:ty),)*) => {
        /// Where events go.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum SinkKind {
            $(#[doc = $doc] $(#[$only])? $kind($settings),)*
        }

        impl SinkKind {
            fn settings(&self) -> &dyn Kind {
                match self {
                    $($(#[$only])? Self::$kind(settings) => settings,)*
                }
            }
        }
    };
}

kinds! {
    "A file." File(FileSettings),
    "A URL." Http(HttpSettings),
    "A stream of NATS JetStream." Nats(NatsSettings),
    "A topic of Apache Kafka." #[cfg(feature = "kafka")] Kafka(Box<KafkaSettings>),
    "An event bus of Amazon EventBridge." EventBridge(Box<EventBridgeSettings>),
    "A bucket or a directory that gets snapshots." ObjectStore(Box<ObjectStoreSettings>),
    "DataHub." DataHub(Box<DataHubSettings>),
    "OpenMetadata." OpenMetadata(Box<OpenMetadataSettings>),
    "Atlan." Atlan(Box<AtlanSettings>),
}

impl SinkKind {
    /// The destination. Nothing has been opened or called yet.
    pub fn destination(&self) -> Destination {
        self.settings().destination()
    }

    /// The secrets of the kind, each with its key in the kind's section.
    pub fn secrets(&self) -> Vec<(&'static str, &SecretRef)> {
        self.settings().secrets()
    }

    /// A hash of where and under which names the destination keeps what it gets, and of a filter; `None` if it
    /// gets events. Another place has to get everything.
    pub fn place(&self, filter: &str) -> Option<String> {
        let place = self.settings().place()?;
        let digest = Sha256::digest(format!("{place} {filter}"));
        Some(digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect())
    }

    /// Whether the destination has a place for the tables of an account and Region.
    pub fn has_place(&self, scope: &Scope) -> bool {
        self.settings().has_place(scope)
    }

    /// Whether the destination gets each event, in order.
    pub fn takes_events(&self) -> bool {
        matches!(self.destination(), Destination::Events(_))
    }

    /// Whether the destination gets the whole estate after each run.
    pub fn takes_snapshots(&self) -> bool {
        matches!(self.destination(), Destination::Snapshots(_))
    }
}
