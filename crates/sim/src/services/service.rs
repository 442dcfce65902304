//! What a simulated service is: how its requests are recognized, who may send them, and what answers them.

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

/// A request as it came in.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) method: &'a Method,
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
    pub(crate) service: &'static dyn Service,
    pub(crate) operation: Operation,
    /// Of the Query protocols.
    pub(crate) parameters: Parameters,
    /// The id that the request is given.
    pub(crate) request_id: String,
}

/// A request that is allowed, with everything that its answer depends on.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) state: &'a State,
    pub(crate) call: &'a Call<'a>,
    pub(crate) caller: &'a Caller<'a>,
    pub(crate) tables: &'a TableRequest<'a>,
    /// What a fault does to the answer.
    pub(crate) effect: Option<&'a Effect>,
}

/// Answers the requests for one operation with the body of the answer.
pub(crate) type Answer = fn(&Request<'_>) -> Result<Bytes, AwsError>;

/// A service. It decides about the protocol, the scope of signatures and the way errors are written.
pub(crate) trait Service: Errors + Debug + Sync {
    /// The name in a signature's scope, which is also the prefix of IAM's actions.
    fn name(&self) -> &'static str;

    /// The type of answers.
    fn content_type(&self) -> &'static str;

    /// The operations that are simulated, and what answers each.
    fn operations(&self) -> &'static [(Operation, Answer)];

    /// The operation of an `X-Amz-Target` header, if this service is meant.
    fn of_target(&self, _target: &str) -> Option<Operation> {
        None
    }

    /// The operation of a path, if this service is meant.
    fn of_path(&self, _path: &str) -> Option<Operation> {
        None
    }

    /// The operation of the Query protocols' `Action` and `Version` parameters, if this service is meant.
    fn of_action(&self, _action: &str, _version: &str) -> Option<Operation> {
        None
    }

    /// The operation of this name.
    fn operation(&self, name: &str) -> Option<Operation> {
        self.operations().iter().map(|(operation, _)| *operation).find(|operation| operation.as_str() == name)
    }

    /// What the request says about tables.
    fn table_request<'a>(&self, _body: &'a [u8]) -> Result<TableRequest<'a>, AwsError> {
        Ok(TableRequest::default())
    }

    /// The only Region that requests to a global service are signed for.
    fn signing_region(&self, _partition: &str) -> Option<&'static str> {
        None
    }

    /// Whether the service answers an account in a Region that the account does not have.
    fn answers_without_opt_in(&self, partition: &str, region: &str) -> bool;

    /// The quota that an operation takes from, if there is one.
    fn quota<'a>(&self, _operation: Operation, _caller: &Caller<'a>) -> Option<&'a Limit> {
        None
    }

    /// Whether the service looks at denials by itself, along with something else.
    fn weighs_denials(&self) -> bool {
        false
    }

    /// Whether an effect may put another caller in the place of the right one.
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

    /// Whether the code of an error stands in a header.
    fn has_error_header(&self) -> bool {
        false
    }

    /// Whether answers carry a checksum.
    fn has_checksum(&self) -> bool {
        false
    }
}
