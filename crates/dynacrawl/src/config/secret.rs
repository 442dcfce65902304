//! `{ env = "NAME" }` and `{ file = "/path" }`.

use dynacrawl_engine::settings::SecretRef;

use super::error::ConfigError;
use super::raw::Reference;

fn is_variable(name: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    name.bytes().all(word) && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

impl Reference {
    /// Validates the place of a secret. The error names `key`.
    pub(super) fn validate(self, key: &str) -> Result<SecretRef, ConfigError> {
        match (self.env, self.file) {
            (Some(name), None) if is_variable(&name) => Ok(SecretRef::Env(name)),
            // The message does not repeat it: it may be the secret itself.
            (Some(_), None) => {
                Err(ConfigError::value(key, "env is not the name of an environment variable, such as KEY"))
            }
            (None, Some(path)) if !path.is_empty() => Ok(SecretRef::File(path.into())),
            _ => Err(ConfigError::value(key, "needs exactly one of { env = \"NAME\" } and { file = \"/path\" }")),
        }
    }
}
