//! The settings of the daemon.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dynacrawl_engine::settings::{RunRequest, SecretRef, SettingError, Settings, read_secret};
use secrecy::SecretString;

use super::schedule::Schedule;

/// The schedule of a run that no schedule began.
pub const MANUAL: &str = "manual";

/// The settings of the daemon from one version of the configuration.
#[derive(Clone, Debug)]
pub struct DaemonSettings {
    /// The settings that all runs share.
    pub run: Arc<Settings>,
    /// The request for every run.
    pub request: RunRequest,
    /// The settings of `dynacrawl serve`.
    pub serve: ServeSettings,
}

/// The settings of `dynacrawl serve`.
#[derive(Clone, Debug)]
pub struct ServeSettings {
    /// The address of the HTTP server.
    pub listen: SocketAddr,
    /// Where to read the token with which requests can start a run.
    pub token: Option<SecretRef>,
    /// The host names that requests may use for this daemon, besides IP addresses and `localhost`,
    /// in lower case.
    pub allowed_hosts: Vec<String>,
    /// Whether a run begins when the daemon starts.
    pub run_at_start: bool,
    /// How often the configuration is checked for changes.
    pub reload_every: Duration,
    /// The schedules of runs.
    pub schedules: Vec<NamedSchedule>,
}

/// A schedule for runs of some targets.
#[derive(Clone, Debug)]
pub struct NamedSchedule {
    /// Its name.
    pub name: String,
    /// When runs begin.
    pub schedule: Schedule,
    /// The expression and the time zone, as the user typed them.
    pub typed: (String, String),
    /// The targets; `None`: all.
    pub targets: Option<Vec<String>>,
}

impl ServeSettings {
    /// Whether requests with a token can start runs.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Reads the token.
    ///
    /// # Errors
    /// If it is not where the configuration says.
    pub fn token(&self) -> Result<Option<SecretString>, SettingError> {
        self.token.as_ref().map(|token| read_secret(token, "serve.token")).transpose()
    }
}
