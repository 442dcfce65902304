//! Outputs and sinks, the destinations of records. An output takes the records of one run from a
//! bounded channel until the channel is closed, and returns what it wrote or why it failed. A sink
//! follows settled runs. Each kind of sink is a file or folder in `kinds/`.

mod answer;
mod aws;
mod catalog;
mod causes;
mod cloud_event;
mod dead_letters;
mod driver;
mod error;
mod event_json;
mod halves;
mod journal;
mod json_lines;
mod kind;
mod kinds;
mod layout;
mod lines;
mod output;
mod partial;
mod retry;
mod secret;
mod sink;
mod snapshot;
mod web;

pub use aws::{AwsIdentity, AwsRole};
pub use catalog::CatalogSettings;
pub use cloud_event::CloudEvents;
pub use dead_letters::{DeadLetter, DeadLetterError, count_dead_letters, read_dead_letters};
pub use driver::{EventSource, Until, Work, count, deliver_next, deliver_once, deliver_until, work};
pub use error::SinkError;
pub use event_json::table_of;
pub use journal::{Entry, Journal, JournalError, Observed, Position};
pub use json_lines::{Written, write_records};
pub use kind::Destination;
pub use kinds::{
    AtlanSettings, Backoff, DataHubSettings, EventBridgeSettings, FileSettings, HttpAuth, HttpSettings,
    JsonCompression, NatsAuth, NatsSettings, ObjectFormat, ObjectPrefix, ObjectPrefixError, ObjectStoreSettings,
    OpenMetadataSettings, RESERVED_HEADERS, S3Encryption, S3Location, SinkKind, SinkSettings, Start, StoreLocation,
    SubjectError, SubjectTemplate,
};
#[cfg(feature = "kafka")]
pub use kinds::{KafkaSasl, KafkaSettings, KafkaTls};
pub use layout::{Layout, Lines};
pub use output::Output;
pub use partial::Replacement;
pub use retry::{Retried, retry_dead_letters};
pub use secret::{SecretError, SecretRef};
pub use sink::{Delivered, DeliveryError, Event, Part, Refusal, Sink};
pub use snapshot::{Piece, SnapshotEnd, SnapshotScope, SnapshotSink, SnapshotTable};
pub use web::ApiSettings;
