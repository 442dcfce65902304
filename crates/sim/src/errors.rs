//! AWS errors, and the trait with which each service defines its own.

use std::borrow::Cow;

use crate::operation::Operation;

/// The message if a body is not the expected JSON.
pub(crate) const NOT_JSON: &str = "The request body could not be read as JSON of the expected types.";

/// An error answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AwsError {
    /// The code, for DynamoDB with its namespace.
    qualified: Cow<'static, str>,
    pub(crate) message: String,
    pub(crate) status: u16,
}

impl AwsError {
    /// An error with a namespace and HTTP status 400, as DynamoDB sends it.
    pub(crate) fn in_namespace(namespace: &str, code: &str, message: impl Into<String>) -> Self {
        Self { qualified: format!("{namespace}#{code}").into(), message: message.into(), status: 400 }
    }

    /// An error without a namespace.
    pub(crate) fn plain(code: impl Into<Cow<'static, str>>, status: u16, message: impl Into<String>) -> Self {
        Self { qualified: code.into(), message: message.into(), status }
    }

    /// The same error with another HTTP status.
    pub(crate) fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// The code without its namespace.
    pub(crate) fn code(&self) -> &str {
        self.qualified.rsplit_once('#').map_or(&*self.qualified, |(_, code)| code)
    }

    /// The code with its namespace, if it has one.
    pub(crate) fn qualified_code(&self) -> &str {
        &self.qualified
    }

    /// Whether it is throttling.
    pub(crate) fn is_throttle(&self) -> bool {
        const CODES: [&str; 6] = [
            "ThrottlingException",
            "Throttling",
            "RequestLimitExceeded",
            "ProvisionedThroughputExceededException",
            "TooManyRequestsException",
            "SlowDown",
        ];
        CODES.contains(&self.code())
    }
}

/// The errors of a service: codes, messages and format.
pub(crate) trait Errors {
    /// The body of an error.
    fn body(&self, error: &AwsError, request_id: &str) -> String;

    /// An error about the caller. All services have these: the JSON protocols use `json_code`, and
    /// the Query protocols `query_code`.
    fn about_caller(&self, json_code: &'static str, query_code: &'static str, message: String) -> AwsError;

    fn throttled(&self) -> AwsError;

    fn invalid(&self, message: String) -> AwsError;

    fn unknown_operation(&self) -> AwsError;

    fn not_json(&self) -> AwsError {
        AwsError::plain("SerializationException", 400, NOT_JSON)
    }

    /// The error of a requested resource that does not exist.
    fn not_found(&self, what: &str) -> AwsError;

    /// The service's own code of an internal error with HTTP status 500, if it has one.
    fn internal_code(&self) -> Option<&'static str>;

    /// The code of an error with HTTP status 503.
    fn unavailable_code(&self) -> &'static str {
        "ServiceUnavailable"
    }

    /// An error with these parts.
    fn chosen(&self, code: &str, message: &str, status: u16) -> AwsError {
        AwsError::plain(code.to_owned(), status, message)
    }

    fn server_fault(&self, status: u16) -> AwsError {
        let (code, message) = match (status, self.internal_code()) {
            (500, Some(code)) => (code, "The request could not be processed because of an internal failure."),
            (503, _) => (self.unavailable_code(), "The service is currently unavailable."),
            _ => (
                "InternalFailure",
                "The request processing has failed because of an unknown error, exception or failure.",
            ),
        };
        self.chosen(code, message, status)
    }

    fn missing_token(&self) -> AwsError {
        let message = "Request is missing Authentication Token";
        self.about_caller("MissingAuthenticationTokenException", "MissingAuthenticationToken", message.to_owned())
    }

    fn incomplete_signature(&self, message: String) -> AwsError {
        self.about_caller("IncompleteSignatureException", "IncompleteSignature", message)
    }

    fn unrecognized_client(&self) -> AwsError {
        let message = "The security token included in the request is invalid.";
        self.about_caller("UnrecognizedClientException", "InvalidClientTokenId", message.to_owned())
    }

    /// The caller's account does not have the Region of the request.
    fn region_disabled(&self, _operation: Operation, _account_id: &str) -> AwsError {
        self.unrecognized_client()
    }

    fn expired_token(&self) -> AwsError {
        let message = "The security token included in the request is expired";
        self.about_caller("ExpiredTokenException", "ExpiredToken", message.to_owned())
    }

    fn bad_signature(&self, message: String) -> AwsError {
        self.about_caller("InvalidSignatureException", "SignatureDoesNotMatch", message)
    }

    fn access_denied(&self, message: String) -> AwsError {
        self.about_caller("AccessDeniedException", "AccessDenied", message)
    }
}
