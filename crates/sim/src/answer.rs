//! From a request to its answer: authentication, faults, quota, denials, then the operation itself. Nothing here
//! waits or writes.

use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::{HeaderMap, Method, Uri};

use crate::{
    auth::{Caller, Refused, text},
    counts::Outcome,
    dynamodb::{self, TableRequest},
    errors::{self, AwsError, Protocol},
    faults::{Effect, Subject, Verdict},
    operation::Operation,
    state::{Scope, State},
    sts::{self, Parameters},
    wire::Delivery,
};

const GARBAGE: &[u8] =
    b"<!DOCTYPE html>\n<html><head><title>Sign in to the network</title></head><body><h1>Welcome</h1>\
                         <p>Please accept the terms of use to go on.</p></body></html>\n";

/// A request as it came in.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) method: &'a Method,
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
    pub(crate) protocol: Protocol,
    pub(crate) operation: Operation,
    /// Of the Query protocol.
    parameters: Parameters,
}

impl<'a> Call<'a> {
    pub(crate) fn new(method: &'a Method, uri: &'a Uri, headers: &'a HeaderMap, body: &'a [u8]) -> Self {
        let target = text(headers, "x-amz-target");
        let (protocol, parameters, operation) = if target.is_empty() {
            let form = if body.is_empty() { uri.query().unwrap_or_default().as_bytes() } else { body };
            let parameters = Parameters::parse(form);
            let operation = Operation::from_action(parameters.get("Action").unwrap_or_default());
            (Protocol::Query, parameters, operation)
        } else {
            (Protocol::Json, Parameters::default(), Operation::from_target(target))
        };
        Self { method, uri, headers, body, protocol, operation, parameters }
    }
}

/// An answer, and how it is to be sent.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) request_id: String,
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
        let request = match call.protocol {
            Protocol::Json => TableRequest::parse(call.body),
            Protocol::Query => Ok(TableRequest::default()),
        };
        let table = request.as_ref().ok().and_then(TableRequest::table);
        let subject = Subject { account: &caller.account.id, region: caller.region, operation: call.operation, table };
        let Verdict { delay, effect } = self.faults.judge(&subject);
        let (delivery, broken) = match &effect {
            Some(Effect::DropConnection) => (Delivery::Dropped, Some("DropConnection")),
            Some(Effect::TruncateBody) => (Delivery::Truncated, Some("TruncateBody")),
            Some(Effect::SlowBody { chunk_delay }) => (Delivery::Slow(*chunk_delay), None),
            _ => (Delivery::Whole, None),
        };
        if effect == Some(Effect::GarbageBody) {
            self.count(call, caller, Outcome::Broken("GarbageBody"));
            let answer = reply(call, Ok(Bytes::from_static(GARBAGE)), latency + delay, Delivery::Whole);
            return Reply { content_type: "text/html; charset=utf-8", ..answer };
        }
        let result = match effect.and_then(|effect| self.failure(call, caller, table, effect)) {
            Some(error) => Err(error),
            None => request.and_then(|request| self.perform(call, caller, &request)),
        };
        let outcome = match (&result, broken) {
            (Err(error), _) => Outcome::Error(error),
            (Ok(_), Some(name)) => Outcome::Broken(name),
            (Ok(_), None) => Outcome::Ok,
        };
        self.count(call, caller, outcome);
        match result {
            Ok(body) => reply(call, Ok(body), latency + delay, delivery),
            Err(error) => reply(call, Err(&error), latency + delay, delivery),
        }
    }

    fn count(&self, call: &Call<'_>, caller: &Caller<'_>, outcome: Outcome<'_>) {
        match caller.scope {
            Some(scope) => self.record_in(scope, call.operation, outcome),
            None => self.record(&caller.account.id, caller.region, call.operation, outcome),
        }
    }

    /// The error that a fault stands for, if it stands for one.
    fn failure(&self, call: &Call<'_>, caller: &Caller<'_>, table: Option<&str>, effect: Effect) -> Option<AwsError> {
        let protocol = call.protocol;
        Some(match effect {
            Effect::Throttle => errors::throttled(protocol),
            Effect::Status(status) => errors::server_fault(protocol, status),
            Effect::Error { code, message, status } => AwsError::custom(&code, &message, status),
            Effect::Deny => match caller.scope {
                Some(scope) if protocol == Protocol::Json => dynamodb::denied(call.operation, scope, caller, table),
                _ => sts::assume_denied(caller, call.parameters.get("RoleArn").unwrap_or("*")),
            },
            Effect::ExpireToken => {
                if let Some(session) = &caller.session {
                    self.sessions.expire(session);
                }
                errors::expired_token(protocol)
            }
            Effect::NotFound => errors::not_found(protocol, table.unwrap_or("The resource")),
            Effect::DropConnection
            | Effect::TruncateBody
            | Effect::SlowBody { .. }
            | Effect::Delay(_)
            | Effect::GarbageBody => return None,
        })
    }

    fn perform(&self, call: &Call<'_>, caller: &Caller<'_>, request: &TableRequest<'_>) -> Result<Bytes, AwsError> {
        let (Protocol::Json, Some(scope)) = (call.protocol, caller.scope) else {
            return self.answer_sts(call.operation, &call.parameters, caller).map(Bytes::from);
        };
        if call.operation == Operation::Other {
            return Err(errors::unknown_operation(Protocol::Json));
        }
        if !scope.admit(Instant::now()) {
            return Err(errors::throttled(Protocol::Json));
        }
        let table = request.table();
        if self.denials.denies(&scope.account_id, &scope.region, call.operation, table) {
            return Err(dynamodb::denied(call.operation, scope, caller, table));
        }
        request.answer(call.operation, scope, caller)
    }
}

fn reply(call: &Call<'_>, result: Result<Bytes, &AwsError>, delay: Duration, delivery: Delivery) -> Reply {
    let status = result.as_ref().map_or_else(|error| error.status, |_| 200);
    let (content_type, request_id) = match call.protocol {
        Protocol::Json => ("application/x-amz-json-1.0", json_request_id()),
        Protocol::Query => ("text/xml", query_request_id()),
    };
    let body = match (call.protocol, result) {
        (Protocol::Json, Ok(body)) => body,
        (Protocol::Json, Err(error)) => error.to_json().into(),
        (Protocol::Query, Ok(body)) if body.starts_with(b"<!DOCTYPE") => body,
        (Protocol::Query, Ok(body)) => {
            sts::envelope(call.operation, &String::from_utf8_lossy(&body), &request_id).into()
        }
        (Protocol::Query, Err(error)) => error.to_xml(&request_id).into(),
    };
    Reply { status, content_type, request_id, body, delay, delivery }
}

/// 52 capitals and digits, as DynamoDB's ids are.
fn json_request_id() -> String {
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

/// A UUID, as STS's ids are.
fn query_request_id() -> String {
    let (high, low) = (fastrand::u64(..), fastrand::u64(..));
    format!(
        "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        low >> 52,
        low & 0xffff_ffff_ffff
    )
}
