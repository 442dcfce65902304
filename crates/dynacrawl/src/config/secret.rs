//! `{ env = "NAME" }` and `{ file = "/path" }`.

use std::fmt;

use dynacrawl_engine::settings::SecretRef;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::error::ConfigError;

/// Where a secret is.
#[derive(Clone, Debug)]
pub(crate) struct Reference {
    pub(crate) env: Option<String>,
    pub(crate) file: Option<String>,
}

impl<'de> Deserialize<'de> for Reference {
    /// By hand, so that the message does not repeat a secret that was typed into the file.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Place;
        impl<'de> Visitor<'de> for Place {
            type Value = Reference;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("{ env = \"NAME\" } or { file = \"/path\" }")
            }

            fn visit_str<E: Error>(self, _: &str) -> Result<Reference, E> {
                Err(E::custom(
                    "a secret must not be in the file itself; write { env = \"NAME\" } or { file = \"/path\" }",
                ))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Reference, A::Error> {
                let mut reference = Reference { env: None, file: None };
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "env" => reference.env = Some(map.next_value()?),
                        "file" => reference.file = Some(map.next_value()?),
                        _ => return Err(A::Error::unknown_field(&key, &["env", "file"])),
                    }
                }
                Ok(reference)
            }
        }
        deserializer.deserialize_any(Place)
    }
}

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
