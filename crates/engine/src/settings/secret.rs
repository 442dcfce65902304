//! Reads the keys that the configuration refers to.

use dynacrawl_sinks::SecretRef;
use secrecy::SecretString;

use super::error::SettingError;

/// Reads a secret.
///
/// # Errors
/// If it is missing, or not a key. The error names `key` and the place, never what was found there.
pub fn read_secret(secret: &SecretRef, key: &str) -> Result<SecretString, SettingError> {
    secret.read().map_err(|error| SettingError::new(key, error))
}
