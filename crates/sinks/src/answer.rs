//! What a destination answers, in words that show no secret.

use std::error::Error;
use std::fmt::Write;
use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use serde_json::Value;

use crate::sink::DeliveryError;

/// How much of an answer is searched for secrets before its beginning is shown, in bytes.
const SHOWN_BYTES: usize = 4096;
/// How much of it is shown, in characters.
const SHOWN: usize = 200;

/// An answer of the destination.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// The body, or its beginning.
    pub(crate) body: Vec<u8>,
    /// Why the body breaks off, if it does.
    pub(crate) broke_off: Option<String>,
    /// The beginning of the body, without secrets.
    text: String,
    retry_after: Option<Duration>,
}

impl Answer {
    /// The body as JSON. An answer of success that is something else comes from another server, such as a
    /// proxy that asks to sign in.
    pub(crate) fn json(&self) -> Result<Value, DeliveryError> {
        let other = |_| {
            let problem = format!("the answer is not JSON, so it is not that of the API: {}", self.in_words());
            DeliveryError::new(problem)
        };
        serde_json::from_slice(&self.body).map_err(other)
    }

    pub(crate) fn in_words(&self) -> String {
        let text = self.text.trim();
        if text.is_empty() { format!("HTTP {}", self.status) } else { format!("HTTP {}: {text}", self.status) }
    }

    pub(crate) fn into_error(self) -> DeliveryError {
        DeliveryError { message: self.in_words(), retry_after: self.retry_after }
    }
}

/// Reads an answer, or its beginning. A destination could repeat the secrets that it got.
pub(crate) async fn read_answer(mut response: Response, secrets: &[String], most_bytes: usize) -> Answer {
    let (status, retry_after) = (response.status(), retry_after(response.headers(), SystemTime::now()));
    let (mut body, mut broke_off) = (Vec::new(), None);
    while body.len() < most_bytes {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk[..chunk.len().min(most_bytes - body.len())]),
            Ok(None) => break,
            Err(error) => {
                broke_off = Some(in_words(&error));
                break;
            }
        }
    }
    let mut text = String::from_utf8_lossy(&body[..body.len().min(SHOWN_BYTES)]).into_owned();
    for secret in secrets {
        text = text.replace(secret, "***");
    }
    Answer { status, body, broke_off, text: text.chars().take(SHOWN).collect(), retry_after }
}

/// `Retry-After`, in seconds or as a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    httpdate::parse_http_date(value).ok()?.duration_since(now).ok()
}

/// An error with its causes, and without the URL: a query may have a secret.
pub(crate) fn in_words(error: &reqwest::Error) -> String {
    let what = match error {
        error if error.is_timeout() => "the destination did not answer in time",
        error if error.is_connect() => "cannot connect",
        error if error.is_builder() => "the request cannot be built",
        _ => "the request failed",
    };
    let mut text = what.to_owned();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};

    use super::retry_after;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let of = |value: &str| {
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777 - 30);
            retry_after(&HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_str(value).expect("a value"))]), now)
        };
        assert_eq!(of("120"), Some(Duration::from_secs(120)));
        assert_eq!(of("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(30)));
        assert_eq!((of("soon"), of("Sun, 06 Nov 1983 08:49:37 GMT")), (None, None));
    }
}
