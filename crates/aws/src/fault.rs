//! Errors between a request and its response, as the HTTP stack sees them.
//!
//! The SDK carries these errors through its own types;
//! [`AwsError::from_sdk`](crate::AwsError::from_sdk) finds them again by their type.

use std::error::Error;
use std::time::Duration;

use aws_smithy_runtime_api::client::result::ConnectorError;

use crate::class::ErrorClass;

/// Why the HTTP stack returned no response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// The complete response did not arrive in time.
    #[error("no complete answer within {0:?}")]
    TooSlow(Duration),
    /// The response is too large to be one of AWS's.
    #[error("the answer of {origin} is larger than {limit} bytes (HTTP {status}{server}): AWS sends no such answer")]
    TooLarge { origin: String, limit: usize, status: u16, server: String },
    /// A proxy has compressed the response.
    #[error(
        "the answer of {origin} is compressed ({encoding}), which dynacrawl did not request: a proxy on the way \
         compresses answers (HTTPS_PROXY, NO_PROXY)"
    )]
    Compressed { origin: String, encoding: String },
    /// All connections were in use all the time.
    #[error("no connection became free within {0:?}; crawl.connections (--connections) sets how many there are")]
    NoConnection(Duration),
    /// The endpoint could not be reached several times in a row.
    #[error(
        "{origin} cannot be reached: {attempts} connections failed in a row, the last one with: {last}{remembered}"
    )]
    Unreachable { origin: String, attempts: u32, last: String, remembered: Remembered },
}

/// Whether an endpoint is remembered as unreachable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remembered {
    /// It is not tried again until it is forgotten.
    Yes,
    /// It is tried again in a moment.
    No,
}

impl std::fmt::Display for Remembered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Yes => f.write_str("; this run does not try it again for each call"),
            Self::No => Ok(()),
        }
    }
}

impl Fault {
    /// The code of a response that was not complete in time.
    pub(crate) const TIMEOUT: &'static str = "timeout";
    /// The code of an endpoint that is no longer tried.
    pub(crate) const UNREACHABLE: &'static str = "endpoint_unreachable";
    /// The code of a request that got no connection.
    pub(crate) const NO_CONNECTION: &'static str = "no_connection_free";

    /// The fault among the sources of an error, if there is one.
    pub(crate) fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(fault) = error.downcast_ref() {
                return Some(fault);
            }
            next = error.source();
        }
        None
    }

    /// The class and code on which callers act.
    pub(crate) fn classify(&self) -> (ErrorClass, &'static str) {
        match self {
            Self::TooSlow(_) => (ErrorClass::TimedOut, Self::TIMEOUT),
            Self::TooLarge { .. } => (ErrorClass::Transient, "answer_too_large"),
            Self::Compressed { .. } => (ErrorClass::Transient, "answer_compressed"),
            Self::NoConnection(_) => (ErrorClass::Transient, Self::NO_CONNECTION),
            Self::Unreachable { remembered: Remembered::Yes, .. } => (ErrorClass::Unreachable, Self::UNREACHABLE),
            Self::Unreachable { remembered: Remembered::No, .. } => (ErrorClass::Unreachable, "connection_failed"),
        }
    }
}

impl From<Fault> for ConnectorError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::TooSlow(_) | Fault::NoConnection(_) => Self::timeout(fault.into()),
            _ => Self::io(fault.into()),
        }
    }
}
