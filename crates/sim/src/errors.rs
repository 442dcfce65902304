//! AWS errors, and how each service writes them.

use std::borrow::Cow;

use serde_json::json;

use crate::service::Service;

const CORAL_SERVICE: &str = "com.amazon.coral.service";
const CORAL_VALIDATE: &str = "com.amazon.coral.validate";
const CORAL_AVAILABILITY: &str = "com.amazon.coral.availability";
const DYNAMODB: &str = "com.amazonaws.dynamodb.v20120810";

/// An error answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AwsError {
    /// With its namespace, as DynamoDB sends it; the others have none.
    qualified: Cow<'static, str>,
    pub(crate) message: String,
    pub(crate) status: u16,
}

impl AwsError {
    fn new(namespace: &str, code: &str, message: impl Into<String>) -> Self {
        Self { qualified: format!("{namespace}#{code}").into(), message: message.into(), status: 400 }
    }

    fn plain(code: &'static str, status: u16, message: impl Into<String>) -> Self {
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

    /// The body as the service writes it.
    pub(crate) fn body(&self, service: Service, request_id: &str) -> Vec<u8> {
        match service {
            // AccessDeniedException spells its message with a capital, as the service does.
            Service::DynamoDb if self.code() == "AccessDeniedException" => {
                json!({ "__type": self.qualified, "Message": self.message }).to_string()
            }
            Service::DynamoDb => json!({ "__type": self.qualified, "message": self.message }).to_string(),
            Service::Organizations => json!({ "__type": self.code(), "Message": self.message }).to_string(),
            // The code stands in a header.
            Service::Account => json!({ "message": self.message }).to_string(),
            Service::Sts => self.sts_xml(request_id),
            Service::Ec2 => self.ec2_xml(request_id),
        }
        .into_bytes()
    }

    fn sts_xml(&self, request_id: &str) -> String {
        let kind = if self.status >= 500 { "Receiver" } else { "Sender" };
        format!(
            "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  <Error>\n    <Type>{kind}</Type>\n    <Code>{}</Code>\n    \
             <Message>{}</Message>\n  </Error>\n  <RequestId>{request_id}</RequestId>\n</ErrorResponse>\n",
            escape_xml(self.code()),
            escape_xml(&self.message)
        )
    }

    fn ec2_xml(&self, request_id: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>{}</Code><Message>{}</Message></Error></Errors>\
             <RequestID>{request_id}</RequestID></Response>",
            escape_xml(self.code()),
            escape_xml(&self.message)
        )
    }
}

/// Text as XML content.
pub(crate) fn escape_xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// An error about the caller, which all services know: the JSON ones by one code, the Query ones by another.
fn common(service: Service, json_code: &'static str, query_code: &'static str, message: impl Into<String>) -> AwsError {
    match service {
        Service::DynamoDb => AwsError::new(CORAL_SERVICE, json_code, message),
        Service::Organizations => AwsError::plain(json_code, 400, message),
        Service::Account => AwsError::plain(json_code, 403, message),
        Service::Sts | Service::Ec2 => AwsError::plain(query_code, 403, message),
    }
}

pub(crate) fn missing_token(service: Service) -> AwsError {
    let message = "Request is missing Authentication Token";
    common(service, "MissingAuthenticationTokenException", "MissingAuthenticationToken", message)
}

pub(crate) fn incomplete_signature(service: Service, message: impl Into<String>) -> AwsError {
    common(service, "IncompleteSignatureException", "IncompleteSignature", message)
}

pub(crate) fn unrecognized_client(service: Service) -> AwsError {
    if service == Service::Ec2 {
        let message = "AWS was not able to validate the provided access credentials";
        return AwsError::plain("AuthFailure", 401, message);
    }
    let message = "The security token included in the request is invalid.";
    common(service, "UnrecognizedClientException", "InvalidClientTokenId", message)
}

pub(crate) fn region_disabled(account: &str) -> AwsError {
    AwsError::plain(
        "RegionDisabledException",
        403,
        format!(
            "STS is not activated in this region for account:{account}. Your account administrator can activate STS in this region using the \
             IAM Console."
        ),
    )
}

pub(crate) fn expired_token(service: Service) -> AwsError {
    if service == Service::Ec2 {
        return AwsError::plain("RequestExpired", 400, "Request has expired.");
    }
    let message = "The security token included in the request is expired";
    common(service, "ExpiredTokenException", "ExpiredToken", message)
}

pub(crate) fn bad_signature(service: Service, message: impl Into<String>) -> AwsError {
    common(service, "InvalidSignatureException", "SignatureDoesNotMatch", message)
}

pub(crate) fn denied(service: Service, message: impl Into<String>) -> AwsError {
    let query_code = if service == Service::Ec2 { "UnauthorizedOperation" } else { "AccessDenied" };
    common(service, "AccessDeniedException", query_code, message)
}

pub(crate) fn throttled(service: Service) -> AwsError {
    match service {
        Service::DynamoDb => {
            AwsError::new(CORAL_AVAILABILITY, "ThrottlingException", "Rate of requests exceeds the allowed throughput.")
        }
        Service::Sts => AwsError::plain("Throttling", 400, "Rate exceeded"),
        Service::Organizations => AwsError::plain(
            "TooManyRequestsException",
            400,
            "You have sent too many requests in too short a period of time. Try again later.",
        ),
        Service::Account => AwsError::plain("TooManyRequestsException", 429, "Rate exceeded"),
        Service::Ec2 => AwsError::plain("RequestLimitExceeded", 503, "Request limit exceeded."),
    }
}

pub(crate) fn invalid(service: Service, message: impl Into<String>) -> AwsError {
    match service {
        Service::DynamoDb => AwsError::new(CORAL_VALIDATE, "ValidationException", message),
        Service::Sts => AwsError::plain("ValidationError", 400, message),
        Service::Organizations => AwsError::plain("InvalidInputException", 400, message),
        Service::Account => AwsError::plain("ValidationException", 400, message),
        Service::Ec2 => AwsError::plain("InvalidParameterValue", 400, message),
    }
}

pub(crate) fn unknown_operation(service: Service) -> AwsError {
    match service {
        Service::DynamoDb => AwsError::new(CORAL_SERVICE, "UnknownOperationException", ""),
        Service::Organizations => AwsError::plain("UnknownOperationException", 400, ""),
        Service::Account => AwsError::plain("UnknownOperationException", 404, ""),
        Service::Sts => AwsError::plain("InvalidAction", 400, "Could not find operation for this action and version."),
        Service::Ec2 => AwsError::plain("InvalidAction", 400, "The action is not valid for this web service."),
    }
}

pub(crate) fn not_json(service: Service) -> AwsError {
    let message = "The request body could not be read as JSON of the expected types.";
    match service {
        Service::DynamoDb => AwsError::new(CORAL_SERVICE, "SerializationException", message),
        _ => AwsError::plain("SerializationException", 400, message),
    }
}

pub(crate) fn table_not_found(name: &str) -> AwsError {
    AwsError::new(
        DYNAMODB,
        "ResourceNotFoundException",
        format!("Requested resource not found: Table: {name} not found"),
    )
}

pub(crate) fn parent_not_found() -> AwsError {
    AwsError::plain("ParentNotFoundException", 400, "You specified parent that doesn't exist.")
}

pub(crate) fn no_organization() -> AwsError {
    AwsError::plain("AWSOrganizationsNotInUseException", 400, "Your account is not a member of an organization.")
}

pub(crate) fn not_found(service: Service, what: &str) -> AwsError {
    match service {
        Service::DynamoDb => table_not_found(what),
        Service::Organizations => parent_not_found(),
        Service::Account => AwsError::plain("ResourceNotFoundException", 404, format!("{what} cannot be found.")),
        Service::Sts => AwsError::plain("NoSuchEntity", 404, format!("{what} cannot be found.")),
        Service::Ec2 => AwsError::plain("InvalidParameterValue", 400, format!("{what} cannot be found.")),
    }
}

pub(crate) fn server_fault(service: Service, status: u16) -> AwsError {
    const INTERNAL: &str = "The request could not be processed because of an internal failure.";
    let (code, message) = match (status, service) {
        (500, Service::DynamoDb) => ("InternalServerError", INTERNAL),
        (500, Service::Organizations) => ("ServiceException", INTERNAL),
        (500, Service::Account) => ("InternalServerException", INTERNAL),
        (500, Service::Ec2) => ("InternalError", INTERNAL),
        (503, Service::Ec2) => ("Unavailable", "The service is currently unavailable."),
        (503, _) => ("ServiceUnavailable", "The service is currently unavailable."),
        _ => {
            ("InternalFailure", "The request processing has failed because of an unknown error, exception or failure.")
        }
    };
    match service {
        Service::DynamoDb => AwsError { status, ..AwsError::new(DYNAMODB, code, message) },
        _ => AwsError::plain(code, status, message),
    }
}
