//! AWS Account Management, in REST JSON: ListRegions.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::service::{Answer, Request, Service};
use crate::account_state::AccountState;
use crate::caller::Caller;
use crate::errors::{AwsError, Errors};
use crate::operation::Operation;
use crate::pages::Pages;
use crate::quota::Limit;
use crate::regions::{OptIn, global_region, regions_of};

/// The path of ListRegions.
const LIST_REGIONS: &str = "/listRegions";

const MAX_PAGE: i64 = 50;

/// AWS Account Management.
#[derive(Debug)]
pub(super) struct AccountManagement;

impl Service for AccountManagement {
    fn name(&self) -> &'static str {
        "account"
    }

    fn content_type(&self) -> &'static str {
        "application/json"
    }

    fn operations(&self) -> &'static [(Operation, Answer)] {
        &[(Operation::ListRegions, list_regions)]
    }

    fn of_path(&self, path: &str) -> Option<Operation> {
        (path == LIST_REGIONS).then_some(Operation::ListRegions)
    }

    fn signing_region(&self, partition: &str) -> Option<&'static str> {
        Some(global_region(partition))
    }

    fn answers_without_opt_in(&self, _partition: &str, _region: &str) -> bool {
        true
    }

    fn quota<'a>(&self, operation: Operation, caller: &Caller<'a>) -> Option<&'a Limit> {
        (operation == Operation::ListRegions).then_some(&caller.account.list_regions_quota)
    }

    fn resource(&self, caller: &Caller<'_>, _table: Option<&str>) -> String {
        let AccountState { partition, id, .. } = caller.account;
        format!("arn:{partition}:account::{id}:account")
    }

    fn has_error_header(&self) -> bool {
        true
    }
}

impl Errors for AccountManagement {
    fn body(&self, error: &AwsError, _request_id: &str) -> String {
        // The code is in a header.
        json!({ "message": error.message }).to_string()
    }

    fn about_caller(&self, json_code: &'static str, _query_code: &'static str, message: String) -> AwsError {
        AwsError::plain(json_code, 403, message)
    }

    fn throttled(&self) -> AwsError {
        AwsError::plain("TooManyRequestsException", 429, "Rate exceeded")
    }

    fn invalid(&self, message: String) -> AwsError {
        AwsError::plain("ValidationException", 400, message)
    }

    fn unknown_operation(&self) -> AwsError {
        AwsError::plain("UnknownOperationException", 404, "")
    }

    fn not_found(&self, what: &str) -> AwsError {
        AwsError::plain("ResourceNotFoundException", 404, format!("{what} cannot be found."))
    }

    fn internal_code(&self) -> Option<&'static str> {
        Some("InternalServerException")
    }
}

/// A request for ListRegions.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct RegionsRequest {
    account_id: Option<String>,
    max_results: Option<i64>,
    next_token: Option<String>,
    region_opt_status_contains: Option<Vec<String>>,
}

/// ListRegions: the Regions of an account, with their opt-in status.
fn list_regions(request: &Request<'_>) -> Result<Bytes, AwsError> {
    let Request { call, caller, .. } = *request;
    let list: RegionsRequest = if call.body.is_empty() {
        RegionsRequest::default()
    } else {
        serde_json::from_slice(call.body).map_err(|_| AccountManagement.not_json())?
    };
    let account = match &list.account_id {
        None => caller.account,
        Some(id) => member(request, id)?,
    };
    let limit = list.max_results.unwrap_or(MAX_PAGE);
    let Some(size) = usize::try_from(limit).ok().filter(|_| (1..=MAX_PAGE).contains(&limit)) else {
        return Err(AccountManagement.invalid(format!(
            "1 validation error detected: Value '{limit}' at 'maxResults' failed to satisfy constraint: Member must have value between 1 and \
             {MAX_PAGE}"
        )));
    };
    let wanted = list.region_opt_status_contains.unwrap_or_default();
    let regions: Vec<Value> = regions_of(account)
        .into_iter()
        .map(|(region, status)| (region, region_opt_status(status)))
        .filter(|(_, status)| wanted.is_empty() || wanted.iter().any(|wanted| wanted == status))
        .map(|(region, status)| json!({"RegionName": region, "RegionOptStatus": status}))
        .collect();
    let name = format!("{}/{}", account.id, wanted.join(","));
    let pages = Pages { items: &regions, list: &name, size, empty: false };
    let Some((page, next)) = pages.page(list.next_token.as_deref()) else {
        return Err(AccountManagement.invalid("The NextToken is not valid.".to_owned()));
    };
    let mut body = json!({ "Regions": page });
    if let Some(next) = next {
        body["NextToken"] = next.into();
    }
    Ok(body.to_string().into())
}

/// Another account of the organization, for callers that may read it. For their own account they
/// must not send an id.
fn member<'a>(request: &Request<'a>, id: &str) -> Result<&'a AccountState, AwsError> {
    let Request { state, caller, .. } = *request;
    let directory = state.organization.as_ref();
    let allowed = directory.is_some_and(|directory| directory.may_read(&caller.account.id) && directory.has(id));
    state.account(id).filter(|account| allowed && account.id != caller.account.id).ok_or_else(|| {
        let user = caller.arn();
        AccountManagement
            .access_denied(format!("User: {user} is not authorized to perform: account:ListRegions on account {id}"))
    })
}

/// The service's value for the opt-in status of a Region.
fn region_opt_status(status: OptIn) -> &'static str {
    match status {
        OptIn::NotRequired => "ENABLED_BY_DEFAULT",
        OptIn::Done => "ENABLED",
        OptIn::Open => "DISABLED",
    }
}
