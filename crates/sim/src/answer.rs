//! From a request to its answer: authentication, faults, quota, denials, then the operation itself. Nothing here
//! waits or writes.

use std::time::Duration;

use bytes::Bytes;
use hyper::header::{HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{HeaderMap, Method, Uri};
use tokio::time::Instant;

use crate::auth::{Refused, text};
use crate::bodies::{Page, inflated};
use crate::caller::Caller;
use crate::counts::Outcome;
use crate::derived::uuid_of;
use crate::effect::Effect;
use crate::errors::{self, AwsError};
use crate::faults::{Subject, Verdict};
use crate::operation::Operation;
use crate::query::Parameters;
use crate::scope::Scope;
use crate::service::Service;
use crate::services::account::LIST_REGIONS;
use crate::services::dynamodb::{TableRequest, edits, table_arn};
use crate::services::{ec2, sts};
use crate::state::State;
use crate::wire::Delivery;

/// A request as it came in.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) method: &'a Method,
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
    pub(crate) service: Service,
    pub(crate) operation: Operation,
    /// Of the Query protocols.
    pub(crate) parameters: Parameters,
    /// The id that the request is given.
    pub(crate) request_id: String,
}

impl<'a> Call<'a> {
    pub(crate) fn new(method: &'a Method, uri: &'a Uri, headers: &'a HeaderMap, body: &'a [u8]) -> Self {
        let target = text(headers, "x-amz-target");
        let mut parameters = Parameters::default();
        let (service, operation) = if !target.is_empty() {
            Operation::from_target(target)
        } else if uri.path() == LIST_REGIONS {
            (Service::Account, Operation::ListRegions)
        } else {
            let form = if body.is_empty() { uri.query().unwrap_or_default().as_bytes() } else { body };
            parameters = Parameters::parse(form);
            let parameter = |name| parameters.get(name).unwrap_or_default();
            Operation::from_action(parameter("Action"), parameter("Version"))
        };
        let request_id = if service == Service::DynamoDb { long_request_id() } else { uuid() };
        Self { method, uri, headers, body, service, operation, parameters, request_id }
    }
}

/// An answer, and how it is to be sent.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) request_id: String,
    /// The code of an error, for a service that sends it in a header.
    pub(crate) error_type: Option<String>,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Bytes,
    pub(crate) delay: Duration,
    pub(crate) delivery: Delivery,
}

impl State {
    /// Answers a request and counts it.
    pub(crate) fn answer(&self, call: &Call<'_>) -> Reply {
        match self.authenticate(call) {
            Ok(caller) => self.answer_caller(call, &caller),
            Err(Refused { account_id, region, error }) => {
                self.record(account_id, region, call.operation, Outcome::Error(&error));
                reply(call, Err(&error), self.latency, Delivery::Whole)
            }
        }
    }

    fn answer_caller(&self, call: &Call<'_>, caller: &Caller<'_>) -> Reply {
        let latency = caller.scope.map_or(self.latency, Scope::latency);
        let request = match call.service {
            Service::DynamoDb => TableRequest::parse(call.body),
            _ => Ok(TableRequest::default()),
        };
        let table = request.as_ref().ok().and_then(TableRequest::table);
        let subject = Subject {
            account: &caller.account.id,
            region: caller.region,
            operation: call.operation,
            table,
            role: call.parameters.get("RoleArn"),
            start: request.as_ref().ok().and_then(TableRequest::start),
        };
        let Verdict { delay, effect, retry_after } = self.faults.judge(&subject);
        let delay = latency + delay;
        if let Some(page) = effect.as_ref().and_then(Page::of) {
            self.count(call, caller, Outcome::Broken(page.name));
            let Page { status, content_type, mut headers, body, delivery, .. } = page;
            headers.extend(retry_after.filter(|_| status >= 400).and_then(retry_after_header));
            let content_type = content_type.unwrap_or(call.service.content_type());
            return Reply { status, content_type, headers, ..reply(call, Ok(body), delay, delivery) };
        }
        let (delivery, broken) = match &effect {
            Some(Effect::DropConnection) => (Delivery::Dropped, Some("DropConnection")),
            Some(Effect::TruncateBody) => (Delivery::Truncated, Some("TruncateBody")),
            Some(Effect::SlowBody { chunk_delay }) => (Delivery::Slow(*chunk_delay), None),
            _ => (Delivery::Whole, None),
        };
        let result = match effect.as_ref().and_then(|effect| self.failure(call, caller, table, effect)) {
            Some(error) => Err(error),
            None => request.and_then(|request| self.perform(call, caller, &request, effect.as_ref())),
        };
        let outcome = match (&result, broken) {
            (Err(error), _) => Outcome::Error(error),
            (Ok(_), Some(name)) => Outcome::Broken(name),
            (Ok(_), None) => Outcome::Ok,
        };
        self.count(call, caller, outcome);
        match result {
            Ok(body) => {
                let body = match &effect {
                    Some(effect) => inflated(call.service, body, effect),
                    None => body,
                };
                let mut answer = reply(call, Ok(body), delay, delivery);
                if let Some(Effect::OversizedHeader(bytes)) = effect {
                    let value = HeaderValue::try_from("x".repeat(bytes));
                    answer.headers.extend(value.map(|value| (HeaderName::from_static("x-oversized"), value)));
                }
                answer
            }
            Err(error) => {
                let mut answer = reply(call, Err(&error), delay, delivery);
                answer.headers.extend(retry_after.and_then(retry_after_header));
                answer
            }
        }
    }

    fn count(&self, call: &Call<'_>, caller: &Caller<'_>, outcome: Outcome<'_>) {
        match caller.scope {
            Some(scope) => self.record_in(scope, call.operation, outcome),
            None => self.record(&caller.account.id, caller.region, call.operation, outcome),
        }
    }

    /// The error that a fault stands for, if it stands for one.
    fn failure(&self, call: &Call<'_>, caller: &Caller<'_>, table: Option<&str>, effect: &Effect) -> Option<AwsError> {
        let service = call.service;
        Some(match effect {
            Effect::Throttle => errors::throttled(service),
            Effect::Status(status) => errors::server_fault(service, *status),
            Effect::Error { code, message, status } => AwsError::custom(code, message, *status),
            Effect::UnrecognizedClient => errors::unrecognized_client(service),
            Effect::Deny => denied(call, caller, table),
            Effect::ExpireToken => {
                if let Some(session) = &caller.session {
                    self.sessions.expire(session);
                }
                errors::expired_token(service)
            }
            Effect::NotFound => errors::not_found(service, table.unwrap_or("The resource")),
            _ => return None,
        })
    }

    fn perform(
        &self,
        call: &Call<'_>,
        caller: &Caller<'_>,
        request: &TableRequest<'_>,
        effect: Option<&Effect>,
    ) -> Result<Bytes, AwsError> {
        let Call { service, operation, .. } = *call;
        if operation == Operation::Other {
            return Err(errors::unknown_operation(service));
        }
        if !admits(operation, caller) {
            return Err(errors::throttled(service));
        }
        let table = request.table();
        // STS weighs its denials along with the trust of a role.
        if service != Service::Sts && self.denials.denies(&caller.account.id, caller.region, operation, table) {
            return Err(denied(call, caller, table));
        }
        // Whoever asks, a role's session can belong to another account, but not the permission to have it.
        let substitute = if operation == Operation::AssumeRole { None } else { self.substitute(caller, effect) };
        let caller = substitute.as_ref().unwrap_or(caller);
        match service {
            Service::DynamoDb => {
                let lie = match effect {
                    Some(Effect::List(lie)) => Some(lie),
                    _ => None,
                };
                let body = request.answer(operation, caller, self.list_page_size, lie)?;
                Ok(match effect {
                    Some(Effect::EditTable(edits)) if operation == Operation::DescribeTable => {
                        edits::edited(body, edits)
                    }
                    _ => body,
                })
            }
            Service::Sts => self.answer_sts(call, caller, effect),
            Service::Organizations => self.answer_organizations(call, caller, effect),
            Service::Account => self.answer_account(call, caller),
            Service::Ec2 => ec2::answer(call, caller),
        }
    }

    /// The caller that an effect puts in the place of the right one.
    fn substitute<'a>(&'a self, caller: &Caller<'a>, effect: Option<&Effect>) -> Option<Caller<'a>> {
        let Some(Effect::AsAccount(id)) = effect else { return None };
        let account = self.account(id)?;
        let (region, session) = (caller.region, caller.session.clone());
        Some(Caller { account, region, scope: account.scope(region), session })
    }
}

/// Takes a request from the quota of its operation, if there is one.
fn admits(operation: Operation, caller: &Caller<'_>) -> bool {
    let now = Instant::now();
    match operation {
        Operation::ListTables | Operation::DescribeTable => caller.scope.is_none_or(|scope| scope.quota.admits(now)),
        Operation::ListAccounts => caller.account.list_accounts_quota.admits(now),
        Operation::ListRegions => caller.account.list_regions_quota.admits(now),
        _ => true,
    }
}

/// The error of an action that no policy allows, with the resource that IAM names.
fn denied(call: &Call<'_>, caller: &Caller<'_>, table: Option<&str>) -> AwsError {
    let Call { service, operation, .. } = *call;
    let action = format!("{}:{}", service.name(), operation.as_str());
    let user = caller.arn();
    let because = format!("because no identity-based policy allows the {action} action");
    let resource = match service {
        Service::Sts => return sts::assume_denied(caller, call.parameters.get("RoleArn").unwrap_or("*")),
        Service::Ec2 => {
            let message = format!(
                "You are not authorized to perform this operation. User: {user} is not authorized to perform: {action} {because}"
            );
            return errors::denied(service, message);
        }
        Service::DynamoDb => table_arn(caller, table.unwrap_or("*")),
        Service::Organizations => "*".to_owned(),
        Service::Account => format!("arn:{}:account::{id}:account", caller.account.partition, id = caller.account.id),
    };
    errors::denied(
        service,
        format!("User: {user} is not authorized to perform: {action} on resource: {resource} {because}"),
    )
}

fn retry_after_header(value: String) -> Option<(HeaderName, HeaderValue)> {
    HeaderValue::try_from(value).ok().map(|value| (RETRY_AFTER, value))
}

fn reply(call: &Call<'_>, result: Result<Bytes, &AwsError>, delay: Duration, delivery: Delivery) -> Reply {
    let error_type = match &result {
        Err(error) if call.service == Service::Account => Some(error.code().to_owned()),
        _ => None,
    };
    let (status, body) = match result {
        Ok(body) => (200, body),
        Err(error) => (error.status, error.body(call.service, &call.request_id).into()),
    };
    let (content_type, request_id) = (call.service.content_type(), call.request_id.clone());
    Reply { status, content_type, request_id, error_type, headers: Vec::new(), body, delay, delivery }
}

/// 52 capitals and digits, as DynamoDB's ids are.
fn long_request_id() -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUV0123456789";
    let mut id = String::with_capacity(52);
    for _ in 0..4 {
        let mut bits = fastrand::u128(..);
        for _ in 0..13 {
            id.push(char::from(ALPHABET[(bits & 31) as usize]));
            bits >>= 5;
        }
    }
    id
}

/// A UUID, as the ids of the other services are.
fn uuid() -> String {
    uuid_of(fastrand::u64(..), fastrand::u64(..))
}
