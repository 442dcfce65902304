//! Why a command ended early.

use std::fmt;

use dynacrawl_engine::settings::SettingError;

use crate::cli::Typed;
use crate::config::ConfigError;
use crate::exit::Exit;

/// Why a command ended early, and how the process ends then.
#[derive(Debug)]
pub struct Failure {
    /// How the process ends.
    pub exit: Exit,
    /// What was wrong.
    pub error: anyhow::Error,
}

impl Failure {
    pub(super) fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self { exit, error: error.into() }
    }

    /// The same failure, with the setting that it begins with under the name that the user typed.
    pub(super) fn in_typed_words(self, typed: &Typed) -> Self {
        let text = typed.rename_start(&format!("{:#}", self.error));
        Self { exit: self.exit, error: anyhow::Error::msg(text) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // With its causes. They may quote control characters, which are escaped.
        write!(f, "{}", dynacrawl_model::Escaped(&format!("{:#}", self.error)))
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(Exit::Usage, error)
    }
}

impl From<SettingError> for Failure {
    fn from(error: SettingError) -> Self {
        Self::new(Exit::Usage, error)
    }
}
