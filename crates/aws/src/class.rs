//! What an error asks its caller to do.

/// What an error asks its caller to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// Slow down and try again.
    Throttled,
    /// Try again: an error of the server, or a broken answer.
    Transient,
    /// No whole answer arrived in time. Try again, a few times: each attempt takes as long as the time-out.
    TimedOut,
    /// The endpoint was not reached: DNS, connection, TLS. Try again, a few times.
    Unreachable,
    /// The resource does not exist.
    NotFound,
    /// The policies do not allow the call. Trying again does not help.
    Denied,
    /// The session ended: refresh the credentials and try again.
    ExpiredCredentials,
    /// The local clock is wrong. The SDK corrects it by the answer's date, so trying again may help.
    ClockSkew,
    /// The service does not know the access key or session. In a Region that is not opted in,
    /// good credentials look like this too.
    UnknownCredentials,
    /// The signature is wrong: a wrong secret key.
    BadSignature,
    /// There are no credentials, or getting them failed.
    NoCredentials,
    /// The account has not enabled the Region.
    NotOptedIn,
    /// Anything else. Trying again does not help.
    Other,
}

impl ErrorClass {
    /// Whether no call with these credentials can succeed in this Region.
    pub fn is_about_credentials(self) -> bool {
        matches!(
            self,
            Self::ExpiredCredentials
                | Self::ClockSkew
                | Self::UnknownCredentials
                | Self::BadSignature
                | Self::NoCredentials
                | Self::NotOptedIn
        )
    }

    /// Whether the service refused the credentials as they are, so that new ones or a corrected time may help.
    pub fn is_refusal(self) -> bool {
        matches!(self, Self::ExpiredCredentials | Self::ClockSkew | Self::UnknownCredentials)
    }

    /// Whether what was wrong may have passed in a while.
    pub fn may_pass(self) -> bool {
        matches!(self, Self::Throttled | Self::Transient | Self::TimedOut | Self::Unreachable | Self::ClockSkew)
    }

    /// The class of AWS's error code, if it is known. HTTP statuses do not count, because services disagree on them.
    pub fn of_code(code: &str, message: &str) -> Option<Self> {
        Some(match code {
            "ThrottlingException"
            | "Throttling"
            | "ThrottledException"
            | "RequestThrottled"
            | "RequestThrottledException"
            | "RequestLimitExceeded"
            | "ProvisionedThroughputExceededException"
            | "TooManyRequestsException"
            | "SlowDown"
            | "BandwidthLimitExceeded" => Self::Throttled,
            // DynamoDB's LimitExceededException is about changes under way at the same time, not about the rate.
            "LimitExceededException"
            | "InternalServerError"
            | "InternalServerErrorException"
            | "InternalFailure"
            | "InternalError"
            | "ServiceUnavailable"
            | "ServiceUnavailableException"
            | "RequestTimeout"
            | "RequestTimeoutException"
            | "IDPCommunicationError" => Self::Transient,
            "ResourceNotFoundException" | "TableNotFoundException" => Self::NotFound,
            "AccessDeniedException" | "AccessDenied" | "UnauthorizedOperation" | "NotAuthorized" => Self::Denied,
            "ExpiredTokenException" | "ExpiredToken" | "TokenRefreshRequired" => Self::ExpiredCredentials,
            "InvalidSignatureException"
            | "SignatureDoesNotMatch"
            | "IncompleteSignature"
            | "IncompleteSignatureException"
            | "RequestExpired"
            | "RequestInTheFuture" => {
                let skewed = code.starts_with("Request")
                    || message.contains("Signature expired")
                    || message.contains("not yet current");
                if skewed { Self::ClockSkew } else { Self::BadSignature }
            }
            "UnrecognizedClientException"
            | "InvalidClientTokenId"
            | "AuthFailure"
            | "InvalidAccessKeyId"
            | "MissingAuthenticationToken"
            | "MissingAuthenticationTokenException" => Self::UnknownCredentials,
            "OptInRequired" | "RegionDisabledException" => Self::NotOptedIn,
            _ => return None,
        })
    }
}
