//! ListTables, DescribeTable, and Scan as far as it finds nothing.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;

use crate::account_state::AccountState;
use crate::caller::Caller;
use crate::effect::Listing;
use crate::errors::{self, AwsError};
use crate::locks::read;
use crate::operation::Operation;
use crate::scope::Scope;
use crate::service::Service;

pub(crate) mod edits;
mod listing;

const MAX_PAGE: i64 = 100;

/// What the simulator reads of a request.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct TableRequest<'a> {
    #[serde(borrow)]
    table_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    exclusive_start_table_name: Option<Cow<'a, str>>,
    limit: Option<i64>,
}

impl<'a> TableRequest<'a> {
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, AwsError> {
        if body.is_empty() {
            return Ok(Self::default());
        }
        serde_json::from_slice(body).map_err(|_| errors::not_json(Service::DynamoDb))
    }

    /// The table's name, also if it was asked for by ARN.
    pub(crate) fn table(&self) -> Option<&str> {
        let name = self.table_name.as_deref()?;
        Some(if name.starts_with("arn:") { name.rsplit('/').next().unwrap_or(name) } else { name })
    }

    /// After which name a list continues.
    pub(crate) fn start(&self) -> Option<&str> {
        self.exclusive_start_table_name.as_deref()
    }

    /// Answers the request; a page of names has at most `page_size`.
    pub(crate) fn answer(
        &self,
        operation: Operation,
        caller: &Caller<'_>,
        page_size: Option<usize>,
        lie: Option<&Listing>,
    ) -> Result<Bytes, AwsError> {
        // Nobody gets here in a Region that the account does not have.
        let scope = caller.scope.ok_or_else(|| errors::unrecognized_client(Service::DynamoDb))?;
        match operation {
            Operation::ListTables => self.list(scope, page_size, lie),
            Operation::DescribeTable => {
                let name = self.checked_table(operation, caller)?;
                read(&scope.tables).describe(name).ok_or_else(|| errors::table_not_found(name))
            }
            Operation::Scan => {
                let name = self.checked_table(operation, caller)?;
                let known = read(&scope.tables).is_known(name);
                let nothing = Bytes::from_static(b"{\"Count\":0,\"Items\":[],\"ScannedCount\":0}");
                if known { Ok(nothing) } else { Err(errors::table_not_found(name)) }
            }
            _ => Err(errors::unknown_operation(Service::DynamoDb)),
        }
    }

    fn list(&self, scope: &Scope, page_size: Option<usize>, lie: Option<&Listing>) -> Result<Bytes, AwsError> {
        let limit = self.limit.unwrap_or(MAX_PAGE);
        let bound = match limit {
            ..1 => Some("greater than or equal to 1"),
            1..=MAX_PAGE => None,
            _ => Some("less than or equal to 100"),
        };
        if let Some(bound) = bound {
            let message = format!(
                "1 validation error detected: Value '{limit}' at 'limit' failed to satisfy constraint: Member must have value {bound}"
            );
            return Err(errors::invalid(Service::DynamoDb, message));
        }
        let (tables, start) = (read(&scope.tables), self.exclusive_start_table_name.as_deref());
        let limit = usize::try_from(limit).unwrap_or(1).min(page_size.unwrap_or(usize::MAX).max(1));
        let page = match lie {
            Some(lie) => lie.page(&tables, start, limit),
            None => tables.page(start, limit),
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

    /// The table's name, if the caller may have it at all.
    fn checked_table(&self, operation: Operation, caller: &Caller<'_>) -> Result<&str, AwsError> {
        let (Some(asked), Some(name)) = (self.table_name.as_deref(), self.table()) else {
            let message = "The parameter 'TableName' is required but was not present in the request";
            return Err(errors::invalid(Service::DynamoDb, message));
        };
        if name.is_empty() || asked.len() > 1_024 {
            let message = format!(
                "1 validation error detected: Value '{asked}' at 'tableName' failed to satisfy constraint: Member must have length between 1 \
                 and 1024"
            );
            return Err(errors::invalid(Service::DynamoDb, message));
        }
        if asked.starts_with("arn:") && asked != table_arn(caller, name) {
            let mut parts = asked.split(':').skip(3);
            if parts.next() != Some(caller.region) {
                return Err(errors::invalid(
                    Service::DynamoDb,
                    format!("Invalid table ARN: {asked} is not in Region {}", caller.region),
                ));
            }
            let (user, action) = (caller.arn(), operation.as_str());
            let message = format!(
                "User: {user} is not authorized to perform: dynamodb:{action} on resource: {asked} because no resource-based policy allows the \
                 dynamodb:{action} action"
            );
            return Err(errors::denied(Service::DynamoDb, message));
        }
        Ok(name)
    }
}

/// The ARN of a table of the caller.
pub(crate) fn table_arn(caller: &Caller<'_>, name: &str) -> String {
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
