//! What the daemon does, and when.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dynacrawl_engine::settings::{RunRequest, SecretRef, SettingError, Settings};
use secrecy::SecretString;

use super::schedule::Schedule;

/// The schedule of a run that no schedule began.
pub const MANUAL: &str = "manual";

/// What the daemon takes from one state of the configuration.
#[derive(Clone, Debug)]
pub struct DaemonSettings {
    /// What all runs share.
    pub run: Arc<Settings>,
    /// What every run is asked to do.
    pub request: RunRequest,
    /// What the daemon does, and when.
    pub serve: ServeSettings,
}

/// What the daemon does, and when.
#[derive(Clone, Debug)]
pub struct ServeSettings {
    /// Where HTTP is answered.
    pub listen: SocketAddr,
    /// Where the token is that starts a run.
    pub token: Option<SecretRef>,
    /// The names by which requests may ask for this daemon, besides IP addresses and `localhost`; in lower case.
    pub allowed_hosts: Vec<String>,
    /// Whether a run begins when the daemon does.
    pub run_at_start: bool,
    /// How often the configuration is looked at for changes.
    pub reload_every: Duration,
    /// When runs begin.
    pub schedules: Vec<NamedSchedule>,
}

/// When runs of some targets begin.
#[derive(Clone, Debug)]
pub struct NamedSchedule {
    /// Its name.
    pub name: String,
    /// When.
    pub schedule: Schedule,
    /// The expression and the time zone, as they were typed.
    pub typed: (String, String),
    /// The targets; `None`: all.
    pub targets: Option<Vec<String>>,
}

impl ServeSettings {
    /// Whether somebody with a token may start runs.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Reads the token.
    ///
    /// # Errors
    /// When it is not where the configuration says.
    pub fn token(&self) -> Result<Option<SecretString>, SettingError> {
        self.token.as_ref().map(|token| token.read("serve.token")).transpose()
    }
}
