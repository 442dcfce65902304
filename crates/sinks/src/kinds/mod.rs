//! The kinds of sinks. Each is a file or folder here.

mod file;
mod http;
mod nats;

use std::path::PathBuf;
use std::time::Duration;

pub use file::FileSettings;
use file::FileSink;
use http::HttpSink;
pub use http::{HttpAuth, HttpSettings, RESERVED_HEADERS};
use nats::NatsSink;
pub use nats::{NatsAuth, NatsSettings, SubjectError, SubjectTemplate};

use crate::secret::SecretRef;
use crate::sink::Sink;

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
            Self::Nats(_) => 4 * ONE_BY_ONE,
        }
    }

    /// The secrets of the kind, each with its key in the kind's section.
    pub fn secrets(&self) -> Vec<(&'static str, &SecretRef)> {
        let (auth, key) = match self {
            Self::File(_) => (None, None),
            Self::Http(settings) => (
                settings.auth.as_ref().map(|auth| match auth {
                    HttpAuth::Bearer(token) => ("http.bearer", token),
                    HttpAuth::Basic { password, .. } => ("http.basic.password", password),
                }),
                settings.signing_key.as_ref().map(|key| ("http.signing_key", key)),
            ),
            Self::Nats(settings) => (
                settings.auth.as_ref().and_then(|auth| match auth {
                    NatsAuth::CredentialsFile(_) => None,
                    NatsAuth::Token(token) => Some(("nats.token", token)),
                    NatsAuth::User { password, .. } => Some(("nats.password", password)),
                }),
                None,
            ),
        };
        auth.into_iter().chain(key).collect()
    }

    /// The sink. It has not opened or called anything yet.
    pub fn sink(&self) -> Box<dyn Sink> {
        match self {
            Self::File(settings) => Box::new(FileSink::new(settings.clone())),
            Self::Http(settings) => Box::new(HttpSink::new(settings.clone())),
            Self::Nats(settings) => Box::new(NatsSink::new(settings.clone())),
        }
    }
}
