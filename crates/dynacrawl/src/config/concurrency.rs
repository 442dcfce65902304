//! The setting for how many tables of a scope dynacrawl describes at once.

use std::fmt;
use std::str::FromStr;

use dynacrawl_fetcher::Concurrency;
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

use super::error::ConfigError;
use super::values::in_range;

/// The word `auto`, or an upper bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConcurrencySetting {
    /// As many as the rate needs.
    Auto,
    /// As many as the rate needs, up to this number.
    AtMost(usize),
}

const EXPECTED: &str = "\"auto\", or a number from 1 to 1000";

impl ConcurrencySetting {
    /// Validates the setting. `requests`: how many requests may be in flight over all scopes.
    pub(super) fn validate(self, requests: usize) -> Result<Concurrency, ConfigError> {
        Ok(match self {
            Self::Auto => Concurrency::auto(requests),
            Self::AtMost(most) => {
                Concurrency::at_most(in_range("crawl.concurrency (--concurrency)", Some(most), 1, 1000)?)
            }
        })
    }
}

impl FromStr for ConcurrencySetting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            _ => text.parse().map(Self::AtMost).map_err(|_| format!("expected {EXPECTED}")),
        }
    }
}

impl<'de> Deserialize<'de> for ConcurrencySetting {
    /// By hand, so that the message names the allowed values.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordOrNumber;
        impl Visitor<'_> for WordOrNumber {
            type Value = ConcurrencySetting;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(EXPECTED)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<ConcurrencySetting, E> {
                match text {
                    "auto" => Ok(ConcurrencySetting::Auto),
                    _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
                }
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<ConcurrencySetting, E> {
                let most = usize::try_from(number).map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))?;
                Ok(ConcurrencySetting::AtMost(most))
            }
        }
        deserializer.deserialize_any(WordOrNumber)
    }
}

#[cfg(test)]
mod tests {
    use dynacrawl_fetcher::Concurrency;

    use super::ConcurrencySetting;
    use crate::config::Layer;

    #[test]
    fn a_file_and_a_flag_take_auto_or_a_number() {
        for (text, setting) in [("auto", ConcurrencySetting::Auto), ("128", ConcurrencySetting::AtMost(128))] {
            assert_eq!(text.parse(), Ok(setting));
            let value = if text == "auto" { "\"auto\"" } else { text };
            let layer: Layer = toml::from_str(&format!("[crawl]\nconcurrency = {value}\n")).expect(text);
            assert_eq!(layer.crawl.concurrency, Some(setting));
        }
        for wrong in ["all", "", "-1", "1.5"] {
            let message = wrong.parse::<ConcurrencySetting>().expect_err(wrong);
            assert_eq!(message, "expected \"auto\", or a number from 1 to 1000");
        }
        for wrong in ["\"all\"", "-1", "1.5", "[]"] {
            let message = toml::from_str::<Layer>(&format!("[crawl]\nconcurrency = {wrong}\n")).expect_err(wrong);
            assert!(message.to_string().contains("\"auto\", or a number from 1 to 1000"), "{message}");
        }
    }

    #[test]
    fn a_number_has_a_range_and_auto_is_limited_by_requests() {
        assert_eq!(ConcurrencySetting::Auto.validate(100).expect("valid"), Concurrency::auto(100));
        assert_eq!(ConcurrencySetting::AtMost(1000).validate(100).expect("valid"), Concurrency::at_most(1000));
        for wrong in [0, 1001] {
            let message = ConcurrencySetting::AtMost(wrong).validate(100).expect_err("out of range").to_string();
            assert!(message.contains("--concurrency") && message.contains("1 to 1000"), "{message}");
        }
    }
}
