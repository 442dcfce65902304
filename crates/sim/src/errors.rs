//! AWS errors, and how the two protocols write them.

use std::borrow::Cow;

use serde_json::json;

const CORAL_SERVICE: &str = "com.amazon.coral.service";
const CORAL_VALIDATE: &str = "com.amazon.coral.validate";
const CORAL_AVAILABILITY: &str = "com.amazon.coral.availability";
const DYNAMODB: &str = "com.amazonaws.dynamodb.v20120810";

/// The protocol of a request, and so of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// AWS JSON 1.0, as DynamoDB speaks it.
    Json,
    /// AWS Query, as STS speaks it.
    Query,
}

/// An error answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AwsError {
    /// With its namespace, as the JSON protocol sends it; the Query protocol has none.
    qualified: Cow<'static, str>,
    pub(crate) message: String,
    pub(crate) status: u16,
}

impl AwsError {
    fn new(namespace: &str, code: &str, message: impl Into<String>) -> Self {
        Self { qualified: format!("{namespace}#{code}").into(), message: message.into(), status: 400 }
    }

    fn query(code: &'static str, status: u16, message: impl Into<String>) -> Self {
        Self { qualified: code.into(), message: message.into(), status }
    }

    /// An error whose parts a test chose.
    pub(crate) fn custom(code: &str, message: &str, status: u16) -> Self {
        let qualified = if code.contains('#') { code.to_owned() } else { format!("{DYNAMODB}#{code}") };
        Self { qualified: qualified.into(), message: message.to_owned(), status }
    }

    /// The code without its namespace.
    pub(crate) fn code(&self) -> &str {
        self.qualified.rsplit_once('#').map_or(&*self.qualified, |(_, code)| code)
    }

    /// Whether clients have to slow down.
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

    /// The JSON body. AccessDeniedException spells its message with a capital, as the service does.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let key = if self.code() == "AccessDeniedException" { "Message" } else { "message" };
        json!({ "__type": self.qualified, key: self.message }).to_string().into_bytes()
    }

    /// The XML body.
    pub(crate) fn to_xml(&self, request_id: &str) -> Vec<u8> {
        let kind = if self.status >= 500 { "Receiver" } else { "Sender" };
        format!(
            "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  <Error>\n    <Type>{kind}</Type>\n    <Code>{}</Code>\n    \
             <Message>{}</Message>\n  </Error>\n  <RequestId>{request_id}</RequestId>\n</ErrorResponse>\n",
            escape_xml(self.code()),
            escape_xml(&self.message)
        )
        .into_bytes()
    }
}

/// Text as XML content.
pub(crate) fn escape_xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

pub(crate) fn missing_token(protocol: Protocol) -> AwsError {
    match protocol {
        Protocol::Json => AwsError::new(
            CORAL_SERVICE,
            "MissingAuthenticationTokenException",
            "Request is missing Authentication Token",
        ),
        Protocol::Query => {
            AwsError::query("MissingAuthenticationToken", 403, "Request is missing Authentication Token")
        }
    }
}

pub(crate) fn incomplete_signature(protocol: Protocol, message: impl Into<String>) -> AwsError {
    match protocol {
        Protocol::Json => AwsError::new(CORAL_SERVICE, "IncompleteSignatureException", message),
        Protocol::Query => AwsError::query("IncompleteSignature", 403, message),
    }
}

pub(crate) fn unrecognized_client(protocol: Protocol) -> AwsError {
    match protocol {
        Protocol::Json => AwsError::new(
            CORAL_SERVICE,
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
        ),
        Protocol::Query => {
            AwsError::query("InvalidClientTokenId", 403, "The security token included in the request is invalid.")
        }
    }
}

pub(crate) fn region_disabled(account: &str) -> AwsError {
    AwsError::query(
        "RegionDisabledException",
        403,
        format!(
            "STS is not activated in this region for account:{account}. Your account administrator can activate STS in this region using the \
             IAM Console."
        ),
    )
}

pub(crate) fn expired_token(protocol: Protocol) -> AwsError {
    match protocol {
        Protocol::Json => AwsError::new(
            CORAL_SERVICE,
            "ExpiredTokenException",
            "The security token included in the request is expired",
        ),
        Protocol::Query => {
            AwsError::query("ExpiredToken", 403, "The security token included in the request is expired")
        }
    }
}

pub(crate) fn bad_signature(protocol: Protocol, message: impl Into<String>) -> AwsError {
    match protocol {
        Protocol::Json => AwsError::new(CORAL_SERVICE, "InvalidSignatureException", message),
        Protocol::Query => AwsError::query("SignatureDoesNotMatch", 403, message),
    }
}

pub(crate) fn denied(protocol: Protocol, message: impl Into<String>) -> AwsError {
    match protocol {
        Protocol::Json => AwsError::new(CORAL_SERVICE, "AccessDeniedException", message),
        Protocol::Query => AwsError::query("AccessDenied", 403, message),
    }
}

pub(crate) fn throttled(protocol: Protocol) -> AwsError {
    match protocol {
        Protocol::Json => {
            AwsError::new(CORAL_AVAILABILITY, "ThrottlingException", "Rate of requests exceeds the allowed throughput.")
        }
        Protocol::Query => AwsError::query("Throttling", 400, "Rate exceeded"),
    }
}

pub(crate) fn invalid(protocol: Protocol, message: impl Into<String>) -> AwsError {
    match protocol {
        Protocol::Json => AwsError::new(CORAL_VALIDATE, "ValidationException", message),
        Protocol::Query => AwsError::query("ValidationError", 400, message),
    }
}

pub(crate) fn unknown_operation(protocol: Protocol) -> AwsError {
    match protocol {
        Protocol::Json => AwsError::new(CORAL_SERVICE, "UnknownOperationException", ""),
        Protocol::Query => {
            AwsError::query("InvalidAction", 400, "Could not find operation for this action and version.")
        }
    }
}

pub(crate) fn not_json() -> AwsError {
    AwsError::new(
        CORAL_SERVICE,
        "SerializationException",
        "The request body could not be read as JSON of the expected types.",
    )
}

pub(crate) fn table_not_found(name: &str) -> AwsError {
    AwsError::new(
        DYNAMODB,
        "ResourceNotFoundException",
        format!("Requested resource not found: Table: {name} not found"),
    )
}

pub(crate) fn not_found(protocol: Protocol, what: &str) -> AwsError {
    match protocol {
        Protocol::Json => table_not_found(what),
        Protocol::Query => AwsError::query("NoSuchEntity", 404, format!("{what} cannot be found.")),
    }
}

pub(crate) fn server_fault(protocol: Protocol, status: u16) -> AwsError {
    let (code, message) = match status {
        500 if protocol == Protocol::Json => {
            ("InternalServerError", "The request could not be processed because of an internal failure.")
        }
        503 => ("ServiceUnavailable", "The service is currently unavailable."),
        _ => {
            ("InternalFailure", "The request processing has failed because of an unknown error, exception or failure.")
        }
    };
    match protocol {
        Protocol::Json => AwsError { status, ..AwsError::new(DYNAMODB, code, message) },
        Protocol::Query => AwsError::query(code, status, message),
    }
}
