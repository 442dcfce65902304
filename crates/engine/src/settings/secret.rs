//! Where an access key is stored: in an environment variable or a file, never in the configuration
//! or on the command line.

use std::path::PathBuf;

use secrecy::SecretString;

use super::error::SettingError;

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretRef {
    /// An environment variable.
    Env(String),
    /// A file. White space around its content is ignored.
    File(PathBuf),
}

impl SecretRef {
    /// Reads the secret.
    ///
    /// # Errors
    /// If it is missing, or not a key. The error names `key` and the place, never what was found
    /// there.
    pub fn read(&self, key: &str) -> Result<SecretString, SettingError> {
        let text = match self {
            Self::Env(name) => std::env::var(name)
                .map_err(|_| SettingError::new(key, format!("the environment variable {name} is not set")))?,
            Self::File(path) => std::fs::read_to_string(path)
                .map_err(|error| SettingError::new(key, format!("cannot read {}: {error}", path.display())))?,
        };
        let text = text.trim();
        if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            let place = match self {
                Self::Env(name) => format!("the environment variable {name}"),
                Self::File(path) => path.display().to_string(),
            };
            return Err(SettingError::new(
                key,
                format!("{place} does not hold a key: it is empty or has blanks inside"),
            ));
        }
        Ok(SecretString::from(text))
    }
}
