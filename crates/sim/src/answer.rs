//! Answers a request: authentication, faults, quota, denials, and then the operation itself.
//! Nothing here waits or does I/O.

use std::time::Duration;

use bytes::Bytes;
use hyper::header::{HeaderName, HeaderValue, RETRY_AFTER};
use tokio::time::Instant;

use crate::auth::{Refused, authenticate};
use crate::bodies::{Page, inflated};
use crate::caller::Caller;
use crate::counts::Outcome;
use crate::effect::Effect;
use crate::errors::AwsError;
use crate::faults::{Subject, Verdict};
use crate::scope::Scope;
use crate::services::{Call, Request, TableRequest};
use crate::state::State;
use crate::wire::Delivery;

/// An answer, and how it is to be sent.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    /// Whether the answer carries a checksum of its body.
    pub(crate) checksum: bool,
    pub(crate) request_id: String,
    /// The code of an error, for a service that sends it in a header.
    pub(crate) error_type: Option<String>,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Bytes,
    pub(crate) delay: Duration,
    pub(crate) delivery: Delivery,
}

/// Answers a request and counts it.
pub(crate) fn answer(state: &State, call: &Call<'_>) -> Reply {
    match authenticate(state, call) {
        Ok(caller) => answer_caller(state, call, &caller),
        Err(Refused { account_id, region, error }) => {
            state.record(account_id, region, call.operation, Outcome::Error(&error));
            reply(call, Err(&error), state.latency, Delivery::Whole)
        }
    }
}

fn answer_caller(state: &State, call: &Call<'_>, caller: &Caller<'_>) -> Reply {
    let latency = caller.scope.map_or(state.latency, Scope::latency);
    let tables = call.service.table_request(call.body);
    let table = tables.as_ref().ok().and_then(TableRequest::table);
    let subject = Subject {
        account: &caller.account.id,
        region: caller.region,
        operation: call.operation,
        table,
        role: call.parameters.get("RoleArn"),
        start: tables.as_ref().ok().and_then(TableRequest::start),
    };
    let Verdict { delay, effect, retry_after } = state.faults.judge(&subject);
    let delay = latency + delay;
    if let Some(page) = effect.as_ref().and_then(Page::of) {
        count(state, call, caller, Outcome::Broken(page.name));
        let Page { status, content_type, mut headers, body, delivery, .. } = page;
        headers.extend(retry_after.filter(|_| status >= 400).and_then(retry_after_header));
        let checksum = content_type.is_none() && call.service.has_checksum();
        let content_type = content_type.unwrap_or(call.service.content_type());
        return Reply { status, content_type, checksum, headers, ..reply(call, Ok(body), delay, delivery) };
    }
    let (delivery, broken) = match &effect {
        Some(Effect::DropConnection) => (Delivery::Dropped, Some("DropConnection")),
        Some(Effect::TruncateBody) => (Delivery::Truncated, Some("TruncateBody")),
        Some(Effect::SlowBody { chunk_delay }) => (Delivery::Slow(*chunk_delay), None),
        _ => (Delivery::Whole, None),
    };
    let result = match effect.as_ref().and_then(|effect| failure(state, call, caller, table, effect)) {
        Some(error) => Err(error),
        None => tables.and_then(|tables| perform(state, call, caller, &tables, effect.as_ref())),
    };
    let outcome = match (&result, broken) {
        (Err(error), _) => Outcome::Error(error),
        (Ok(_), Some(name)) => Outcome::Broken(name),
        (Ok(_), None) => Outcome::Ok,
    };
    count(state, call, caller, outcome);
    match result {
        Ok(body) => {
            let body = match &effect {
                Some(effect) => inflated(call.service.content_type(), body, effect),
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

fn count(state: &State, call: &Call<'_>, caller: &Caller<'_>, outcome: Outcome<'_>) {
    match caller.scope {
        Some(scope) => state.record_in(scope, call.operation, outcome),
        None => state.record(&caller.account.id, caller.region, call.operation, outcome),
    }
}

/// The error that an effect answers with, if it is an error.
fn failure(
    state: &State,
    call: &Call<'_>,
    caller: &Caller<'_>,
    table: Option<&str>,
    effect: &Effect,
) -> Option<AwsError> {
    let service = call.service;
    Some(match effect {
        Effect::Throttle => service.throttled(),
        Effect::Status(status) => service.server_fault(*status),
        Effect::Error { code, message, status } => service.chosen(code, message, *status),
        Effect::UnrecognizedClient => service.unrecognized_client(),
        Effect::Deny => service.denied(call, caller, table),
        Effect::ExpireToken => {
            if let Some(session) = &caller.session {
                state.sessions.expire(session);
            }
            service.expired_token()
        }
        Effect::NotFound => service.not_found(table.unwrap_or("The resource")),
        _ => return None,
    })
}

/// Answers a request that no fault has failed.
fn perform(
    state: &State,
    call: &Call<'_>,
    caller: &Caller<'_>,
    tables: &TableRequest<'_>,
    effect: Option<&Effect>,
) -> Result<Bytes, AwsError> {
    let Call { service, operation, .. } = *call;
    let Some((_, answer)) = service.operations().iter().find(|(known, _)| *known == operation) else {
        return Err(service.unknown_operation());
    };
    if service.quota(operation, caller).is_some_and(|quota| !quota.admits(Instant::now())) {
        return Err(service.throttled());
    }
    let table = tables.table();
    if !service.weighs_denials() && state.denials.denies(&caller.account.id, caller.region, operation, table) {
        return Err(service.denied(call, caller, table));
    }
    let effect_on_caller = effect.filter(|_| service.accepts_substitute(operation));
    let substitute = substitute(state, caller, effect_on_caller);
    let caller = substitute.as_ref().unwrap_or(caller);
    answer(&Request { state, call, caller, tables, effect })
}

/// The caller with which an effect replaces the real one.
fn substitute<'a>(state: &'a State, caller: &Caller<'a>, effect: Option<&Effect>) -> Option<Caller<'a>> {
    let Some(Effect::AsAccount(id)) = effect else { return None };
    let account = state.account(id)?;
    let (region, session) = (caller.region, caller.session.clone());
    Some(Caller { account, region, scope: account.scope(region), session })
}

fn retry_after_header(value: String) -> Option<(HeaderName, HeaderValue)> {
    HeaderValue::try_from(value).ok().map(|value| (RETRY_AFTER, value))
}

fn reply(call: &Call<'_>, result: Result<Bytes, &AwsError>, delay: Duration, delivery: Delivery) -> Reply {
    let error_type = match &result {
        Err(error) if call.service.has_error_header() => Some(error.code().to_owned()),
        _ => None,
    };
    let (status, body) = match result {
        Ok(body) => (200, body),
        Err(error) => (error.status, call.service.body(error, &call.request_id).into()),
    };
    let (content_type, checksum) = (call.service.content_type(), call.service.has_checksum());
    Reply {
        status,
        content_type,
        checksum,
        request_id: call.request_id.clone(),
        error_type,
        headers: Vec::new(),
        body,
        delay,
        delivery,
    }
}
