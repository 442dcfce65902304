//! Errors of a configuration.

use std::path::{Path, PathBuf};

use dynacrawl_engine::settings::SettingError;

use crate::cli::Typed;

/// Why a configuration cannot be used: what is wrong, where, and what is expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file is not TOML, or has an unknown key or a value of the wrong type.
    #[error("{place}: {problem}")]
    Syntax {
        /// File, line and column.
        place: String,
        /// What is wrong there.
        problem: String,
    },
    /// A value cannot be used.
    #[error(transparent)]
    Value(#[from] SettingError),
}

impl ConfigError {
    pub(crate) fn value(key: impl Into<String>, problem: impl ToString) -> Self {
        SettingError::new(key, problem).into()
    }

    /// The same error, with the file that contains the value.
    pub(super) fn in_file(self, path: &Path) -> Self {
        match self {
            Self::Value(error) => {
                // In a file there is only the key, and no flag.
                let key = error.key.split_once(" (--").map_or(error.key.as_str(), |(key, _)| key);
                Self::value(format!("{}: {key}", path.display()), error.problem)
            }
            other => other,
        }
    }

    /// The same error under the name that the user typed: a flag or an environment variable.
    pub(crate) fn in_typed_words(self, typed: &Typed) -> Self {
        match self {
            Self::Value(error) => Self::value(typed.rename(&error.key), typed.rename(&error.problem)),
            other => other,
        }
    }
}
