//! Amazon DynamoDB, in AWS JSON 1.0: ListTables, DescribeTable, and a Scan that finds nothing.

mod edits;
mod listing;

use bytes::Bytes;
use edits::edited;
use serde_json::json;

use super::service::{Answer, Request, Service};
use super::table_request::TableRequest;
use crate::account_state::AccountState;
use crate::caller::Caller;
use crate::effect::Effect;
use crate::errors::{AwsError, Errors, NOT_JSON};
use crate::locks::read;
use crate::operation::Operation;
use crate::quota::Limit;
use crate::scope::Scope;

const TARGET: &str = "DynamoDB_20120810.";
const MAX_PAGE: i64 = 100;

const CORAL_SERVICE: &str = "com.amazon.coral.service";
const CORAL_VALIDATE: &str = "com.amazon.coral.validate";
const CORAL_AVAILABILITY: &str = "com.amazon.coral.availability";
const NAMESPACE: &str = "com.amazonaws.dynamodb.v20120810";

/// Amazon DynamoDB.
#[derive(Debug)]
pub(super) struct DynamoDb;

impl Service for DynamoDb {
    fn name(&self) -> &'static str {
        "dynamodb"
    }

    fn content_type(&self) -> &'static str {
        "application/x-amz-json-1.0"
    }

    fn operations(&self) -> &'static [(Operation, Answer)] {
        &[(Operation::ListTables, list_tables), (Operation::DescribeTable, describe_table), (Operation::Scan, scan)]
    }

    fn of_target(&self, target: &str) -> Option<Operation> {
        let name = target.strip_prefix(TARGET)?;
        Some(self.operation(name).unwrap_or(Operation::Other))
    }

    fn table_request<'a>(&self, body: &'a [u8]) -> Result<TableRequest<'a>, AwsError> {
        if body.is_empty() {
            return Ok(TableRequest::default());
        }
        serde_json::from_slice(body).map_err(|_| self.not_json())
    }

    fn answers_without_opt_in(&self, _partition: &str, _region: &str) -> bool {
        false
    }

    fn quota<'a>(&self, operation: Operation, caller: &Caller<'a>) -> Option<&'a Limit> {
        match operation {
            Operation::ListTables | Operation::DescribeTable => caller.scope.map(|scope| &scope.quota),
            _ => None,
        }
    }

    fn resource(&self, caller: &Caller<'_>, table: Option<&str>) -> String {
        table_arn(caller, table.unwrap_or("*"))
    }

    /// 52 capital letters and digits.
    fn request_id(&self) -> String {
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

    fn has_checksum(&self) -> bool {
        true
    }
}

impl Errors for DynamoDb {
    fn body(&self, error: &AwsError, _request_id: &str) -> String {
        let (code, message) = (error.qualified_code(), &error.message);
        // Like the service, AccessDeniedException has `Message` with a capital letter.
        if error.code() == "AccessDeniedException" {
            json!({ "__type": code, "Message": message }).to_string()
        } else {
            json!({ "__type": code, "message": message }).to_string()
        }
    }

    fn about_caller(&self, json_code: &'static str, _query_code: &'static str, message: String) -> AwsError {
        AwsError::in_namespace(CORAL_SERVICE, json_code, message)
    }

    fn throttled(&self) -> AwsError {
        let message = "Rate of requests exceeds the allowed throughput.";
        AwsError::in_namespace(CORAL_AVAILABILITY, "ThrottlingException", message)
    }

    fn invalid(&self, message: String) -> AwsError {
        AwsError::in_namespace(CORAL_VALIDATE, "ValidationException", message)
    }

    fn unknown_operation(&self) -> AwsError {
        AwsError::in_namespace(CORAL_SERVICE, "UnknownOperationException", "")
    }

    fn not_found(&self, what: &str) -> AwsError {
        let message = format!("Requested resource not found: Table: {what} not found");
        AwsError::in_namespace(NAMESPACE, "ResourceNotFoundException", message)
    }

    fn internal_code(&self) -> Option<&'static str> {
        Some("InternalServerError")
    }

    fn chosen(&self, code: &str, message: &str, status: u16) -> AwsError {
        if code.contains('#') {
            return AwsError::plain(code.to_owned(), status, message);
        }
        AwsError::in_namespace(NAMESPACE, code, message).with_status(status)
    }

    fn not_json(&self) -> AwsError {
        AwsError::in_namespace(CORAL_SERVICE, "SerializationException", NOT_JSON)
    }
}

/// ListTables: a page of names.
fn list_tables(request: &Request<'_>) -> Result<Bytes, AwsError> {
    let scope = scope(request)?;
    let limit = request.tables.limit.unwrap_or(MAX_PAGE);
    let bound = match limit {
        ..1 => Some("greater than or equal to 1"),
        1..=MAX_PAGE => None,
        _ => Some("less than or equal to 100"),
    };
    if let Some(bound) = bound {
        let message = format!(
            "1 validation error detected: Value '{limit}' at 'limit' failed to satisfy constraint: Member must have value {bound}"
        );
        return Err(DynamoDb.invalid(message));
    }
    let (tables, start) = (read(&scope.tables), request.tables.start());
    let limit = usize::try_from(limit).unwrap_or(1).min(request.state.list_page_size.unwrap_or(usize::MAX).max(1));
    let page = match request.effect {
        Some(Effect::List(lie)) => lie.page(&tables, start, limit),
        _ => tables.page(start, limit),
    };
    let mut body = Vec::with_capacity(64 + page.names.iter().map(|name| name.len() + 3).sum::<usize>());
    body.push(b'{');
    if let Some(last) = &page.last {
        body.extend_from_slice(b"\"LastEvaluatedTableName\":");
        push_string(&mut body, last);
        body.push(b',');
    }
    body.extend_from_slice(b"\"TableNames\":[");
    for (at, name) in page.names.iter().enumerate() {
        if at > 0 {
            body.push(b',');
        }
        push_string(&mut body, name);
    }
    body.extend_from_slice(b"]}");
    Ok(body.into())
}

/// DescribeTable: the description of one table.
fn describe_table(request: &Request<'_>) -> Result<Bytes, AwsError> {
    let scope = scope(request)?;
    let name = checked_table(request)?;
    let body = read(&scope.tables).describe(name).ok_or_else(|| DynamoDb.not_found(name))?;
    Ok(match request.effect {
        Some(Effect::EditTable(edits)) => edited(body, edits),
        _ => body,
    })
}

/// Scan: no items.
fn scan(request: &Request<'_>) -> Result<Bytes, AwsError> {
    let scope = scope(request)?;
    let name = checked_table(request)?;
    let known = read(&scope.tables).is_known(name);
    let nothing = Bytes::from_static(b"{\"Count\":0,\"Items\":[],\"ScannedCount\":0}");
    if known { Ok(nothing) } else { Err(DynamoDb.not_found(name)) }
}

/// The scope of the request. Requests in a Region that the account does not have were refused
/// before.
fn scope<'a>(request: &Request<'a>) -> Result<&'a Scope, AwsError> {
    request.caller.scope.ok_or_else(|| DynamoDb.unrecognized_client())
}

/// The table's name, if it is valid and the table can belong to the caller.
fn checked_table<'a>(request: &Request<'a>) -> Result<&'a str, AwsError> {
    let Request { call, caller, tables, .. } = *request;
    let (Some(asked), Some(name)) = (tables.table_name.as_deref(), tables.table()) else {
        let message = "The parameter 'TableName' is required but was not present in the request".to_owned();
        return Err(DynamoDb.invalid(message));
    };
    if name.is_empty() || asked.len() > 1_024 {
        let message = format!(
            "1 validation error detected: Value '{asked}' at 'tableName' failed to satisfy constraint: Member must have length between 1 \
             and 1024"
        );
        return Err(DynamoDb.invalid(message));
    }
    if asked.starts_with("arn:") && asked != table_arn(caller, name) {
        let mut parts = asked.split(':').skip(3);
        if parts.next() != Some(caller.region) {
            return Err(DynamoDb.invalid(format!("Invalid table ARN: {asked} is not in Region {}", caller.region)));
        }
        let (user, action) = (caller.arn(), call.operation.as_str());
        let message = format!(
            "User: {user} is not authorized to perform: dynamodb:{action} on resource: {asked} because no resource-based policy allows the \
             dynamodb:{action} action"
        );
        return Err(DynamoDb.access_denied(message));
    }
    Ok(name)
}

/// The ARN of a table of the caller.
fn table_arn(caller: &Caller<'_>, name: &str) -> String {
    let AccountState { partition, id, .. } = caller.account;
    format!("arn:{partition}:dynamodb:{}:{id}:table/{name}", caller.region)
}

fn push_string(body: &mut Vec<u8>, text: &str) {
    if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        body.push(b'"');
        body.extend_from_slice(text.as_bytes());
        body.push(b'"');
    } else {
        body.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
    }
}
