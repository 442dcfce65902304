//! Where a secret is stored: in an environment variable or a file, never in the configuration or on
//! the command line.

use std::path::PathBuf;

use secrecy::SecretString;

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretRef {
    /// An environment variable.
    Env(String),
    /// A file. White space around its content is ignored.
    File(PathBuf),
}

/// Why a secret cannot be read. Names the place, never what was found there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SecretError(String);

impl SecretRef {
    /// Reads the secret. A later call reads it again, so that it can be renewed.
    ///
    /// # Errors
    /// If it is missing, empty, or has blanks or control characters inside.
    pub fn read(&self) -> Result<SecretString, SecretError> {
        let text = match self {
            Self::Env(name) => {
                std::env::var(name).map_err(|_| SecretError(format!("the environment variable {name} is not set")))?
            }
            Self::File(path) => std::fs::read_to_string(path)
                .map_err(|error| SecretError(format!("cannot read {}: {error}", path.display())))?,
        };
        let text = text.trim();
        if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            let place = match self {
                Self::Env(name) => format!("the environment variable {name}"),
                Self::File(path) => path.display().to_string(),
            };
            return Err(SecretError(format!("{place} does not hold a key: it is empty or has blanks inside")));
        }
        Ok(SecretString::from(text))
    }
}
