//! Validates single values.

use std::time::Duration;

use dynacrawl_model::Escaped;
use dynacrawl_sinks::CloudEvents;

use super::error::ConfigError;

/// The longest time that a request may take: less than an attempt to deliver.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(300);

/// A value that must be there, if only from the reference configuration.
pub(super) fn required<T>(key: &str, value: Option<T>) -> Result<T, ConfigError> {
    value.ok_or_else(|| ConfigError::value(key, "is missing"))
}

pub(super) fn in_range<T: Copy + PartialOrd + std::fmt::Display>(
    key: &str,
    value: Option<T>,
    min: T,
    max: T,
) -> Result<T, ConfigError> {
    let value = required(key, value)?;
    if value < min || value > max {
        return Err(ConfigError::value(key, format!("{value} is out of range; expected {min} to {max}")));
    }
    Ok(value)
}

pub(super) fn one_of(key: &str, value: &str, allowed: &[&str]) -> ConfigError {
    let value = Escaped(value);
    ConfigError::value(key, format!("'{value}' is unknown; expected one of {}", allowed.join(", ")))
}

/// Whether the events of a sink have an envelope of CloudEvents.
pub(super) fn cloud_events(key: &str, text: Option<&str>) -> Result<CloudEvents, ConfigError> {
    match text.unwrap_or("off") {
        "off" => Ok(CloudEvents::Off),
        "structured" => Ok(CloudEvents::Structured),
        "binary" => Ok(CloudEvents::Binary),
        other => Err(one_of(key, other, &["off", "structured", "binary"])),
    }
}

pub(super) fn duration(key: &str, text: Option<&str>) -> Result<Duration, ConfigError> {
    let text = required(key, text)?;
    let parsed = text.parse::<jiff::SignedDuration>().ok().and_then(|d| Duration::try_from(d).ok());
    match parsed {
        Some(duration) if duration > Duration::ZERO && duration <= Duration::from_secs(24 * 3600) => Ok(duration),
        _ => {
            let problem = format!(
                "'{}' is not a duration of up to a day; expected the form 500ms, 20s, 15m or 1h",
                Escaped(text)
            );
            Err(ConfigError::value(key, problem))
        }
    }
}

/// How long a request may take.
pub(super) fn timeout(key: &str, text: Option<&str>) -> Result<Duration, ConfigError> {
    let timeout = duration(key, text)?;
    match timeout > LONGEST_TIMEOUT {
        true => Err(ConfigError::value(key, "is out of range; expected more than 0s and at most 5m")),
        false => Ok(timeout),
    }
}

pub(super) fn url(key: &str, text: Option<String>) -> Result<Option<String>, ConfigError> {
    let Some(text) = text.filter(|t| !t.is_empty()) else { return Ok(None) };
    let valid = text.parse::<http::Uri>().is_ok_and(|uri| {
        let Some(authority) = uri.authority() else { return false };
        let host = authority.host();
        let port = authority.as_str().strip_prefix(host).unwrap_or("@");
        matches!(uri.scheme_str(), Some("http" | "https"))
            && !host.trim_matches(['[', ']']).is_empty()
            && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._[]:".contains(&b))
            && (port.is_empty() || authority.port_u16().is_some_and(|port| port > 0))
            && uri.query().is_none()
            && !text.contains('#')
    });
    if valid {
        Ok(Some(text))
    } else {
        // It may hold a password, so it is not repeated.
        Err(ConfigError::value(key, "not a URL; expected the form http://host:port or https://host, without a user"))
    }
}

#[cfg(test)]
mod tests {
    use super::url;

    #[test]
    fn only_a_valid_endpoint_url_is_accepted() {
        for right in ["http://127.0.0.1:8000", "https://dynamodb.example/", "http://[::1]:8000", "http://host/prefix"] {
            assert!(url("key", Some(right.to_owned())).is_ok(), "{right}");
        }
        for wrong in [
            "127.0.0.1:8000",
            "ftp://host",
            "http://",
            "http://127.0.0.1:99999",
            "http://[::1",
            "http://:80",
            "http://%zz",
            "http://a:b",
            "http://a:",
            "http://a:0",
            "http://a?b",
            "http://a/#x",
            "http://user:secret@host",
            "http://a b",
        ] {
            let refused = url("key", Some(wrong.to_owned())).expect_err(wrong).to_string();
            assert!(!refused.contains("secret"), "{refused}");
        }
    }
}
