//! Why a configuration cannot be used.

use std::path::{Path, PathBuf};

use dynacrawl_engine::settings::SettingError;

use crate::cli::Typed;

/// Why a configuration cannot be used: what is wrong, where, and what would be right.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML, or has a key or a type of value that does not exist.
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

    /// The same, with the file in which the value stands.
    pub(super) fn in_file(self, path: &Path) -> Self {
        match self {
            Self::Value(error) => {
                // The file has the key, and no flag.
                let key = error.key.split_once(" (--").map_or(error.key.as_str(), |(key, _)| key);
                Self::value(format!("{}: {key}", path.display()), error.problem)
            }
            other => other,
        }
    }

    /// The same, under the name that the user typed: a flag or an environment variable.
    pub(crate) fn as_typed(self, typed: &Typed) -> Self {
        match self {
            Self::Value(error) => Self::value(typed.rename(&error.key), typed.rename(&error.problem)),
            other => other,
        }
    }
}
