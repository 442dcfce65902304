//! The kinds of sinks. Each is a file or folder here.

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
use atlan::AtlanSink;
pub use datahub::DataHubSettings;
use datahub::DataHubSink;
pub use eventbridge::EventBridgeSettings;
use eventbridge::EventBridgeSink;
pub use file::FileSettings;
use file::FileSink;
use http::HttpSink;
pub use http::{HttpAuth, HttpSettings, RESERVED_HEADERS};
#[cfg(feature = "kafka")]
use kafka::KafkaSink;
#[cfg(feature = "kafka")]
pub use kafka::{KafkaSasl, KafkaSettings, KafkaTls};
use nats::NatsSink;
pub use nats::{NatsAuth, NatsSettings, SubjectError, SubjectTemplate};
use object_store::ObjectStoreSink;
pub use object_store::{
    JsonCompression, ObjectFormat, ObjectPrefix, ObjectPrefixError, ObjectStoreSettings, S3Encryption, S3Location,
    StoreLocation,
};
pub use openmetadata::OpenMetadataSettings;
use openmetadata::OpenMetadataSink;

use crate::aws::AwsIdentity;
use crate::catalog::CatalogSettings;
use crate::secret::SecretRef;
use crate::sink::{DeliveryError, Sink};
use crate::snapshot::SnapshotSink;

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
        self.batch.min(self.kind.largest_batch()).max(1)
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

/// Where events go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkKind {
    /// A file.
    File(FileSettings),
    /// A URL.
    Http(HttpSettings),
    /// A stream of NATS JetStream.
    Nats(NatsSettings),
    /// A topic of Apache Kafka.
    #[cfg(feature = "kafka")]
    Kafka(Box<KafkaSettings>),
    /// An event bus of Amazon EventBridge.
    EventBridge(Box<EventBridgeSettings>),
    /// A bucket or a directory that gets snapshots.
    ObjectStore(Box<ObjectStoreSettings>),
    /// DataHub.
    DataHub(Box<DataHubSettings>),
    /// OpenMetadata.
    OpenMetadata(Box<OpenMetadataSettings>),
    /// Atlan.
    Atlan(Box<AtlanSettings>),
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

/// The most events at once for a sink that needs an answer for each of them: after a failure, a batch
/// is repeated from its beginning.
const ONE_BY_ONE: usize = 25;

impl SinkKind {
    /// The most events that the kind should get at once.
    fn largest_batch(&self) -> usize {
        match self {
            Self::File(_) => usize::MAX,
            Self::Http(settings) if settings.single => ONE_BY_ONE,
            Self::Http(_) => usize::MAX,
            Self::Nats(_) | Self::EventBridge(_) => 4 * ONE_BY_ONE,
            #[cfg(feature = "kafka")]
            Self::Kafka(_) => 20 * ONE_BY_ONE,
            Self::ObjectStore(_) => usize::MAX,
            Self::DataHub(_) | Self::OpenMetadata(_) | Self::Atlan(_) => 2 * ONE_BY_ONE,
        }
    }

    /// The secrets of the kind, each with its key in the kind's section.
    pub fn secrets(&self) -> Vec<(&'static str, &SecretRef)> {
        match self {
            Self::File(_) => Vec::new(),
            Self::Http(settings) => {
                let auth = settings.auth.as_ref().map(|auth| match auth {
                    HttpAuth::Bearer(token) => ("http.bearer", token),
                    HttpAuth::Basic { password, .. } => ("http.basic.password", password),
                });
                auth.into_iter().chain(settings.signing_key.as_ref().map(|key| ("http.signing_key", key))).collect()
            }
            Self::Nats(settings) => match &settings.auth {
                None | Some(NatsAuth::CredentialsFile(_)) => Vec::new(),
                Some(NatsAuth::Token(token)) => vec![("nats.token", token)],
                Some(NatsAuth::User { password, .. }) => vec![("nats.password", password)],
            },
            #[cfg(feature = "kafka")]
            Self::Kafka(settings) => settings.sasl.iter().map(|sasl| ("kafka.sasl.password", &sasl.password)).collect(),
            Self::EventBridge(settings) => match &settings.identity {
                AwsIdentity::Ambient { .. } => Vec::new(),
                AwsIdentity::Keys { access_key_id, secret_access_key } => vec![
                    ("eventbridge.access_key_id", access_key_id),
                    ("eventbridge.secret_access_key", secret_access_key),
                ],
            },
            Self::ObjectStore(settings) => settings.location.secrets(),
            Self::DataHub(settings) => settings.api.token.iter().map(|token| ("datahub.token", token)).collect(),
            Self::Atlan(settings) => settings.api.token.iter().map(|token| ("atlan.token", token)).collect(),
            Self::OpenMetadata(settings) => {
                settings.api.token.iter().map(|token| ("openmetadata.token", token)).collect()
            }
        }
    }

    /// A hash of where and under which names the destination keeps what it gets, and of a filter; `None` if it
    /// gets events. Another place has to get everything.
    pub fn place(&self, filter: &str) -> Option<String> {
        let place = match self {
            Self::ObjectStore(settings) => settings.place(),
            Self::DataHub(settings) => format!("datahub {} {:?}", settings.api.url, settings.catalog),
            Self::OpenMetadata(settings) => format!("openmetadata {} {:?}", settings.api.url, settings.catalog),
            Self::Atlan(settings) => format!("atlan {} {:?}", settings.api.url, settings.catalog),
            _ => return None,
        };
        let digest = Sha256::digest(format!("{place} {filter}"));
        Some(digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect())
    }

    /// Whether the destination has a place for the tables of an account and Region.
    pub fn has_place(&self, scope: &Scope) -> bool {
        match self {
            Self::Atlan(settings) => settings.catalog.connection(scope).is_some(),
            _ => true,
        }
    }

    /// Whether the destination gets each event, in order.
    pub fn takes_events(&self) -> bool {
        match self {
            Self::File(_) | Self::Http(_) | Self::Nats(_) | Self::EventBridge(_) => true,
            #[cfg(feature = "kafka")]
            Self::Kafka(_) => true,
            Self::ObjectStore(_) | Self::DataHub(_) | Self::OpenMetadata(_) | Self::Atlan(_) => false,
        }
    }

    /// Whether the destination gets the whole estate after each run.
    pub fn takes_snapshots(&self) -> bool {
        matches!(self, Self::ObjectStore(_))
    }

    /// The destination. Nothing has been opened or called yet.
    pub fn destination(&self) -> Destination {
        match self {
            Self::File(settings) => Destination::Events(Box::new(FileSink::new(settings.clone()))),
            Self::Http(settings) => Destination::Events(Box::new(HttpSink::new(settings.clone()))),
            Self::Nats(settings) => Destination::Events(Box::new(NatsSink::new(settings.clone()))),
            #[cfg(feature = "kafka")]
            Self::Kafka(settings) => Destination::Events(Box::new(KafkaSink::new((**settings).clone()))),
            Self::EventBridge(settings) => Destination::Events(Box::new(EventBridgeSink::new((**settings).clone()))),
            Self::ObjectStore(settings) => Destination::Snapshots(Box::new(ObjectStoreSink::new((**settings).clone()))),
            Self::DataHub(settings) => {
                Destination::Catalog(Box::new(DataHubSink::new((**settings).clone())), settings.follow)
            }
            Self::Atlan(settings) => {
                Destination::Catalog(Box::new(AtlanSink::new((**settings).clone())), settings.follow)
            }
            Self::OpenMetadata(settings) => {
                Destination::Catalog(Box::new(OpenMetadataSink::new((**settings).clone())), settings.follow)
            }
        }
    }
}
