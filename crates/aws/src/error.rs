//! The one place that decides what an AWS error means. Callers act on the class alone.

use std::error::Error;
use std::time::{Duration, SystemTime};

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::{DispatchFailure, SdkError};
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_smithy_types::retry::ErrorKind;

use crate::cause;
use crate::class::ErrorClass;
use crate::fault::Fault;

/// The longest wait that a service may ask for: a longer one would stall the crawl.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(30);

/// An error of a call to AWS, independent of the SDK's types: safe to show and to emit, free of
/// secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
#[non_exhaustive]
pub struct AwsError {
    /// What to do about it.
    pub class: ErrorClass,
    /// AWS's error code; if AWS gave none, dynacrawl's own in `snake_case`.
    pub code: String,
    /// The error message.
    pub message: String,
    /// How long the service asks to wait before the next attempt (`Retry-After`), at most 30 s.
    pub retry_after: Option<Duration>,
}

impl AwsError {
    /// The code of an attempt that got no response in time.
    pub(crate) const TIMEOUT: &'static str = "timeout";

    /// An error that did not come from the SDK.
    pub fn new(class: ErrorClass, code: impl Into<String>, message: impl AsRef<str>) -> Self {
        Self { class, code: code.into(), message: presentable(message.as_ref()), retry_after: None }
    }

    /// Classifies the error of an SDK call.
    pub fn from_sdk<E>(error: &SdkError<E, HttpResponse>) -> Self
    where
        E: Error + ProvideErrorMetadata + 'static,
    {
        match error {
            SdkError::ServiceError(service) => Self::from_answer(service.raw(), Some(service.err())),
            // A response outside AWS's protocol may still show the reason by its status.
            SdkError::ResponseError(answer) if !answer.raw().status().is_success() => {
                Self::from_answer::<E>(answer.raw(), None)
            }
            SdkError::ResponseError(_) => Self::new(ErrorClass::Transient, "invalid_response", cause::chain(error)),
            SdkError::TimeoutError(_) => Self::new(ErrorClass::TimedOut, Self::TIMEOUT, cause::chain(error)),
            SdkError::DispatchFailure(failure) => match Fault::find(error) {
                Some(fault) => fault.clone().into(),
                None => Self::from_dispatch(failure, &cause::chain(error)),
            },
            _ => Self::new(ErrorClass::Other, "request_not_built", cause::chain(error)),
        }
    }

    /// Whether another attempt of the same call is pointless, whatever the class: the endpoint is
    /// remembered as unreachable, or no connection became free for a long time.
    pub fn ends_call(&self) -> bool {
        self.code == Fault::UNREACHABLE || self.code == Fault::NO_CONNECTION
    }

    /// The error of a request that got no response.
    fn from_dispatch(failure: &DispatchFailure, text: &str) -> Self {
        let refused = ["TLS handshake failed", "tunnel error"].iter().any(|sign| text.contains(sign));
        if refused {
            // An untrusted certificate, or a proxy that refused the connection.
            Self::new(ErrorClass::Unreachable, "connection_failed", cause::connection_failure(text))
        } else if failure.is_timeout() && !text.contains("connect") {
            Self::new(ErrorClass::TimedOut, Self::TIMEOUT, text)
        } else if failure.is_user() {
            Self::new(ErrorClass::Other, "request_not_built", text)
        } else if failure.is_io() || failure.is_timeout() || failure.as_other() == Some(ErrorKind::TransientError) {
            // The last case is a connection that was closed in the middle of a response's head.
            Self::new(connection_class(text), "connection_failed", text)
        } else {
            // A response that is not HTTP, or has too large a head: from a proxy, or damaged in
            // transit.
            Self::new(ErrorClass::Transient, "invalid_response", text)
        }
    }

    /// The error in a response, which is AWS's if it has a code.
    fn from_answer<E>(answer: &HttpResponse, error: Option<&E>) -> Self
    where
        E: Error + ProvideErrorMetadata + 'static,
    {
        let code = error.and_then(ProvideErrorMetadata::code).filter(|code| !code.is_empty());
        let own = error.and_then(ProvideErrorMetadata::message).map(str::to_owned);
        let own = own.or_else(|| body_start(answer)).or_else(|| error.map(|error| cause::chain(error)));
        let own = own.unwrap_or_default();
        let status = answer.status().as_u16();
        let class = code.and_then(|code| ErrorClass::of_code(code, &own)).unwrap_or_else(|| class_of_status(status));
        let message = cause::of_answer(answer, code, class, &own);
        let error = match code {
            Some(code) => Self::new(class, code, message),
            // The SDK reports a body that it cannot parse as a service error.
            None if (200..300).contains(&status) => Self::new(ErrorClass::Transient, "invalid_response", message),
            None => Self::new(class, format!("http_{status}"), message),
        };
        Self { retry_after: retry_after(answer), ..error }
    }
}

/// The wait that a response asks for: seconds, or an HTTP date. A date is compared with the
/// response's own `Date`, if it has one, because the local clock may be wrong.
fn retry_after(response: &HttpResponse) -> Option<Duration> {
    let headers = response.headers();
    let value = headers.get("retry-after")?.trim();
    let date = |text: &str| DateTime::from_str(text.trim(), Format::HttpDate).ok();
    let wait = match value.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let now = headers.get("date").and_then(date).unwrap_or_else(|| SystemTime::now().into());
            Duration::try_from_secs_f64(date(value)?.as_secs_f64() - now.as_secs_f64()).unwrap_or_default()
        }
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

/// The start of a body that is not AWS's: the page of a proxy or portal best shows its origin.
fn body_start(response: &HttpResponse) -> Option<String> {
    const CHARS: usize = 200;
    let body = String::from_utf8_lossy(response.body().bytes()?).into_owned();
    let words: Vec<_> = body.split_whitespace().collect();
    let start: String = words.join(" ").chars().take(CHARS).collect();
    (!start.is_empty()).then(|| format!("HTTP {} with the body: {start}", response.status().as_u16()))
}

/// An established connection that breaks is worth more attempts than a failed one.
fn connection_class(text: &str) -> ErrorClass {
    if ["(Connect)", "dns error", "tcp connect", "HTTP connect timeout"].iter().any(|sign| text.contains(sign)) {
        ErrorClass::Unreachable
    } else {
        ErrorClass::Transient
    }
}

/// The class by status, if there is no known error code.
fn class_of_status(status: u16) -> ErrorClass {
    match status {
        429 => ErrorClass::Throttled,
        500 | 502 | 503 | 504 => ErrorClass::Transient,
        _ => ErrorClass::Other,
    }
}

/// Cuts off secrets and excess length.
///
/// AWS explains a wrong signature with the canonical request, session token included.
fn presentable(message: &str) -> String {
    const MAX_CHARS: usize = 1000;
    let lower = message.to_ascii_lowercase();
    let kept = ["canonical string", "string-to-sign", "x-amz-security-token"]
        .iter()
        .filter_map(|sign| lower.find(sign))
        .min()
        .map_or(message, |cut| &message[..cut]);
    kept.trim().chars().take(MAX_CHARS).collect()
}

impl From<Fault> for AwsError {
    fn from(fault: Fault) -> Self {
        let (class, code) = fault.classify();
        Self::new(class, code, fault.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
    use aws_smithy_runtime_api::client::result::{ConnectorError, SdkError};
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::body::SdkBody;
    use aws_smithy_types::error::ErrorMetadata;

    use super::{AwsError, ErrorClass};

    fn class(code: &str) -> Option<ErrorClass> {
        ErrorClass::of_code(code, "")
    }

    #[test]
    fn codes_are_classified() {
        use ErrorClass::*;
        for (code, expected) in [
            ("ThrottlingException", Throttled),
            ("RequestLimitExceeded", Throttled),
            ("LimitExceededException", Transient),
            ("InternalServerError", Transient),
            ("ResourceNotFoundException", NotFound),
            ("TableNotFoundException", NotFound),
            ("AccessDeniedException", Denied),
            ("UnauthorizedOperation", Denied),
            ("ExpiredToken", ExpiredCredentials),
            ("ExpiredTokenException", ExpiredCredentials),
            ("InvalidSignatureException", BadSignature),
            ("SignatureDoesNotMatch", BadSignature),
            ("UnrecognizedClientException", UnknownCredentials),
            ("InvalidClientTokenId", UnknownCredentials),
            ("OptInRequired", NotOptedIn),
            ("RegionDisabledException", NotOptedIn),
        ] {
            assert_eq!(class(code), Some(expected), "{code}");
        }
        assert_eq!(class("ValidationException"), None);
    }

    #[test]
    fn a_wrong_clock_is_distinguished_from_a_wrong_secret() {
        for message in [
            "Signature expired: 20260101T000000Z is now earlier than …",
            "Signature not yet current: 2027… is still later",
        ] {
            assert_eq!(ErrorClass::of_code("InvalidSignatureException", message), Some(ErrorClass::ClockSkew));
            assert_eq!(ErrorClass::of_code("SignatureDoesNotMatch", message), Some(ErrorClass::ClockSkew));
        }
    }

    #[test]
    fn a_session_token_in_a_message_is_cut_off() {
        let error = AwsError::new(
            ErrorClass::BadSignature,
            "InvalidSignatureException",
            "The request signature we calculated does not match. The Canonical String for this request should have \
             been 'POST\n/\n\nx-amz-security-token:SECRET'",
        );
        assert_eq!(error.message, "The request signature we calculated does not match. The");
    }

    #[test]
    fn an_attempt_without_a_timely_response_is_timed_out() {
        let slow = || Box::new(std::io::Error::other("slow"));
        for error in [
            SdkError::<ErrorMetadata, HttpResponse>::timeout_error(slow()),
            SdkError::dispatch_failure(ConnectorError::timeout(slow())),
        ] {
            let error = AwsError::from_sdk(&error);
            assert_eq!((error.class, &*error.code), (ErrorClass::TimedOut, "timeout"));
            assert!(error.class.may_pass());
        }
    }

    #[test]
    fn retry_after_is_read_as_seconds_or_a_date_and_capped() {
        let wait = |headers: &[(&'static str, &'static str)]| {
            let mut response = HttpResponse::new(StatusCode::try_from(503).expect("a status"), SdkBody::empty());
            for (name, value) in headers {
                response.headers_mut().insert(*name, *value);
            }
            AwsError::from_sdk(&SdkError::service_error(ErrorMetadata::builder().build(), response)).retry_after
        };
        let date = ("date", "Fri, 27 Nov 2026 12:00:00 GMT");
        for (headers, expected) in [
            (&[("retry-after", "7")][..], Some(7)),
            (&[("retry-after", "86400")], Some(30)),
            (&[("retry-after", "Fri, 27 Nov 2026 12:00:09 GMT"), date], Some(9)),
            (&[("retry-after", "Fri, 27 Nov 2026 11:00:00 GMT"), date], Some(0)),
            (&[("retry-after", "Sat, 28 Nov 2026 12:00:00 GMT"), date], Some(30)),
            (&[("retry-after", "in a while")], None),
            (&[("retry-after", "-1")], None),
            (&[date], None),
        ] {
            assert_eq!(wait(headers), expected.map(Duration::from_secs), "{headers:?}");
        }
    }
}
