//! What a caller should do about an error.

/// What a caller should do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// Slow down and try again.
    Throttled,
    /// Try again: a server error, or a broken response.
    Transient,
    /// No complete response arrived in time. Try again a few times: each attempt takes the whole
    /// time-out.
    TimedOut,
    /// The endpoint could not be reached: DNS, connection, TLS. Try again a few times.
    Unreachable,
    /// The resource does not exist.
    NotFound,
    /// The policies do not allow the call. Trying again does not help.
    Denied,
    /// The session has expired: refresh the credentials and try again.
    ExpiredCredentials,
    /// The local clock is wrong. The SDK corrects it by the response's date, so trying again may
    /// help.
    ClockSkew,
    /// The service does not recognize the access key or session. A Region that is not enabled
    /// refuses valid credentials in the same way.
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

    /// Whether the service refused the credentials as they are, so that new ones or a corrected
    /// clock may help.
    pub fn is_refusal(self) -> bool {
        matches!(self, Self::ExpiredCredentials | Self::ClockSkew | Self::UnknownCredentials)
    }

    /// Whether the failure may be temporary.
    pub fn may_pass(self) -> bool {
        matches!(self, Self::Throttled | Self::Transient | Self::TimedOut | Self::Unreachable | Self::ClockSkew)
    }

    /// The class of an AWS error code, if it is known. HTTP statuses do not count, because services
    /// use them differently.
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
            // DynamoDB's LimitExceededException is about concurrent changes, not about the request
            // rate.
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
