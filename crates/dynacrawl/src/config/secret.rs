//! Where an access key is: in an environment variable or a file, never in the configuration or on the command line.

use std::path::PathBuf;

use secrecy::SecretString;

use super::ConfigError;
use super::raw::Reference;

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretRef {
    /// An environment variable.
    Env(String),
    /// A file; white space around what is in it does not count.
    File(PathBuf),
}

fn is_variable(name: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    name.bytes().all(word) && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

impl SecretRef {
    pub(super) fn validate(key: &str, raw: Reference) -> Result<Self, ConfigError> {
        match (raw.env, raw.file) {
            (Some(name), None) if is_variable(&name) => Ok(Self::Env(name)),
            // Not repeated: it may be the secret itself.
            (Some(_), None) => {
                Err(ConfigError::value(key, "env is not the name of an environment variable, such as KEY"))
            }
            (None, Some(path)) if !path.is_empty() => Ok(Self::File(path.into())),
            _ => Err(ConfigError::value(key, "needs exactly one of { env = \"NAME\" } and { file = \"/path\" }")),
        }
    }

    /// Reads the secret. An error names the place, never what was found there.
    pub(super) fn read(&self, key: &str) -> Result<SecretString, ConfigError> {
        let text = match self {
            Self::Env(name) => std::env::var(name)
                .map_err(|_| ConfigError::value(key, format!("the environment variable {name} is not set")))?,
            Self::File(path) => std::fs::read_to_string(path)
                .map_err(|error| ConfigError::value(key, format!("cannot read {}: {error}", path.display())))?,
        };
        let text = text.trim();
        if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            let place = match self {
                Self::Env(name) => format!("the environment variable {name}"),
                Self::File(path) => path.display().to_string(),
            };
            return Err(ConfigError::value(
                key,
                format!("{place} does not hold a key: it is empty or has blanks inside"),
            ));
        }
        Ok(SecretString::from(text))
    }
}
