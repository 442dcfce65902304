//! The trait of simulated services: how requests are recognized, who may send them, and what
//! answers them.

use std::fmt::Debug;

use bytes::Bytes;
use hyper::{HeaderMap, Method, Uri};

use super::table_request::TableRequest;
use crate::caller::Caller;
use crate::derived::uuid_of;
use crate::effect::Effect;
use crate::errors::{AwsError, Errors};
use crate::operation::Operation;
use crate::query::Parameters;
use crate::quota::Limit;
use crate::state::State;

/// A request as it was received.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) method: &'a Method,
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
    pub(crate) service: &'static dyn Service,
    pub(crate) operation: Operation,
    /// The parameters of the Query protocols.
    pub(crate) parameters: Parameters,
    /// The id that the service assigns to the request.
    pub(crate) request_id: String,
}

/// An allowed request, with everything that its answer depends on.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) state: &'a State,
    pub(crate) call: &'a Call<'a>,
    pub(crate) caller: &'a Caller<'a>,
    pub(crate) tables: &'a TableRequest<'a>,
    /// What a fault does to the answer.
    pub(crate) effect: Option<&'a Effect>,
}

/// Answers a request for one operation: returns the body of the answer.
pub(crate) type Answer = fn(&Request<'_>) -> Result<Bytes, AwsError>;

/// A service. It defines the protocol, the scope of signatures and the format of errors.
pub(crate) trait Service: Errors + Debug + Sync {
    /// The name in the scope of signatures, which is also the prefix of the IAM actions.
    fn name(&self) -> &'static str;

    /// The content type of answers.
    fn content_type(&self) -> &'static str;

    /// The simulated operations, and the function that answers each.
    fn operations(&self) -> &'static [(Operation, Answer)];

    /// The operation of an `X-Amz-Target` header, if it belongs to this service.
    fn of_target(&self, _target: &str) -> Option<Operation> {
        None
    }

    /// The operation of a path, if it belongs to this service.
    fn of_path(&self, _path: &str) -> Option<Operation> {
        None
    }

    /// The operation of the Query protocols' `Action` and `Version` parameters, if they belong to
    /// this service.
    fn of_action(&self, _action: &str, _version: &str) -> Option<Operation> {
        None
    }

    /// The operation with this name.
    fn operation(&self, name: &str) -> Option<Operation> {
        self.operations().iter().map(|(operation, _)| *operation).find(|operation| operation.as_str() == name)
    }

    /// The part of the request that is about tables.
    fn table_request<'a>(&self, _body: &'a [u8]) -> Result<TableRequest<'a>, AwsError> {
        Ok(TableRequest::default())
    }

    /// The only Region for which requests to a global service are signed.
    fn signing_region(&self, _partition: &str) -> Option<&'static str> {
        None
    }

    /// Whether the service answers in a Region that the caller's account does not have.
    fn answers_without_opt_in(&self, partition: &str, region: &str) -> bool;

    /// The quota of an operation, if it has one.
    fn quota<'a>(&self, _operation: Operation, _caller: &Caller<'a>) -> Option<&'a Limit> {
        None
    }

    /// Whether the service itself checks denials, together with other conditions.
    fn weighs_denials(&self) -> bool {
        false
    }

    /// Whether an effect may replace the caller.
    fn accepts_substitute(&self, _operation: Operation) -> bool {
        true
    }

    /// The resource that IAM names when it denies an action.
    fn resource(&self, _caller: &Caller<'_>, _table: Option<&str>) -> String {
        "*".to_owned()
    }

    /// The error of an action that no policy allows.
    fn denied(&self, call: &Call<'_>, caller: &Caller<'_>, table: Option<&str>) -> AwsError {
        let (user, resource) = (caller.arn(), self.resource(caller, table));
        let action = format!("{}:{}", self.name(), call.operation.as_str());
        self.access_denied(format!(
            "User: {user} is not authorized to perform: {action} on resource: {resource} because no identity-based policy \
             allows the {action} action"
        ))
    }

    /// A new id for a request.
    fn request_id(&self) -> String {
        uuid_of(fastrand::u64(..), fastrand::u64(..))
    }

    /// Whether the code of an error is in a header.
    fn has_error_header(&self) -> bool {
        false
    }

    /// Whether answers have a checksum.
    fn has_checksum(&self) -> bool {
        false
    }
}
