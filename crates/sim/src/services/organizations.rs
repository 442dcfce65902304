//! AWS Organizations, in AWS JSON 1.1: accounts, roots and organizational units.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::service::{Answer, Request, Service};
use crate::caller::Caller;
use crate::directory::Directory;
use crate::effect::Effect;
use crate::errors::{AwsError, Errors};
use crate::estate::Member;
use crate::locks::read;
use crate::operation::Operation;
use crate::pages::Pages;
use crate::quota::Limit;
use crate::regions::global_region;

const TARGET: &str = "AWSOrganizationsV20161128.";
const MAX_PAGE: i64 = 20;

const ACCOUNTS: &str = "Accounts";
const ROOTS: &str = "Roots";
const UNITS: &str = "OrganizationalUnits";

/// AWS Organizations.
#[derive(Debug)]
pub(super) struct Organizations;

impl Service for Organizations {
    fn name(&self) -> &'static str {
        "organizations"
    }

    fn content_type(&self) -> &'static str {
        "application/x-amz-json-1.1"
    }

    fn operations(&self) -> &'static [(Operation, Answer)] {
        &[
            (Operation::ListAccounts, list_accounts),
            (Operation::ListRoots, list_roots),
            (Operation::ListAccountsForParent, list_accounts_for_parent),
            (Operation::ListOrganizationalUnitsForParent, list_units_for_parent),
        ]
    }

    fn of_target(&self, target: &str) -> Option<Operation> {
        let name = target.strip_prefix(TARGET)?;
        Some(self.operation(name).unwrap_or(Operation::Other))
    }

    fn signing_region(&self, partition: &str) -> Option<&'static str> {
        Some(global_region(partition))
    }

    fn answers_without_opt_in(&self, _partition: &str, _region: &str) -> bool {
        true
    }

    fn quota<'a>(&self, operation: Operation, caller: &Caller<'a>) -> Option<&'a Limit> {
        (operation == Operation::ListAccounts).then_some(&caller.account.list_accounts_quota)
    }
}

impl Errors for Organizations {
    fn body(&self, error: &AwsError, _request_id: &str) -> String {
        json!({ "__type": error.code(), "Message": error.message }).to_string()
    }

    fn about_caller(&self, json_code: &'static str, _query_code: &'static str, message: String) -> AwsError {
        AwsError::plain(json_code, 400, message)
    }

    fn throttled(&self) -> AwsError {
        let message = "You have sent too many requests in too short a period of time. Try again later.";
        AwsError::plain("TooManyRequestsException", 400, message)
    }

    fn invalid(&self, message: String) -> AwsError {
        AwsError::plain("InvalidInputException", 400, message)
    }

    fn unknown_operation(&self) -> AwsError {
        AwsError::plain("UnknownOperationException", 400, "")
    }

    fn not_found(&self, _what: &str) -> AwsError {
        parent_not_found()
    }

    fn internal_code(&self) -> Option<&'static str> {
        Some("ServiceException")
    }
}

/// The part of a request that the simulator reads.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct ListRequest {
    parent_id: Option<String>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

impl ListRequest {
    fn parent(&self) -> Result<&str, AwsError> {
        let missing = "You didn't specify the required parameter ParentId.";
        self.parent_id.as_deref().ok_or_else(|| Organizations.invalid(missing.to_owned()))
    }
}

/// Selects what a request lists.
type Pick = for<'a> fn(&'a Directory, &ListRequest) -> Result<&'a [Value], AwsError>;

/// ListAccounts: all accounts of the organization.
fn list_accounts(request: &Request<'_>) -> Result<Bytes, AwsError> {
    page(request, ACCOUNTS, |directory, _| Ok(&directory.accounts))
}

/// ListRoots: the roots.
fn list_roots(request: &Request<'_>) -> Result<Bytes, AwsError> {
    page(request, ROOTS, |directory, _| Ok(&directory.roots))
}

/// ListAccountsForParent: the accounts directly below a root or a unit.
fn list_accounts_for_parent(request: &Request<'_>) -> Result<Bytes, AwsError> {
    page(request, ACCOUNTS, |directory, list| directory.accounts_below(list.parent()?).ok_or_else(parent_not_found))
}

/// ListOrganizationalUnitsForParent: the units directly below a root or a unit.
fn list_units_for_parent(request: &Request<'_>) -> Result<Bytes, AwsError> {
    page(request, UNITS, |directory, list| directory.units_below(list.parent()?).ok_or_else(parent_not_found))
}

/// The page of a list that a request asks for.
fn page(request: &Request<'_>, key: &str, pick: Pick) -> Result<Bytes, AwsError> {
    let Request { state, call, caller, effect, .. } = *request;
    let list: ListRequest = serde_json::from_slice(call.body).map_err(|_| Organizations.not_json())?;
    let account = &caller.account.id;
    let directory = state.organization.as_ref().filter(|directory| directory.has(account));
    let directory = directory.ok_or_else(no_organization)?;
    if !directory.may_read(account) {
        return Err(Organizations.access_denied("You don't have permissions to access this resource.".to_owned()));
    }
    let items = pick(directory, &list)?;
    let strangers: Vec<Value>;
    let items = match effect {
        Some(&Effect::FirstAccounts(most)) if key == ACCOUNTS => &items[..most.min(items.len())],
        Some(Effect::OtherAccounts(ids)) if key == ACCOUNTS => {
            let strange = |id: &String| directory.account(&Member::new(id));
            strangers = ids.iter().map(strange).collect();
            &strangers[..]
        }
        _ => items,
    };
    let limit = list.max_results.unwrap_or(MAX_PAGE);
    let Some(size) = usize::try_from(limit).ok().filter(|_| (1..=MAX_PAGE).contains(&limit)) else {
        return Err(Organizations.invalid(format!(
            "You specified an invalid value for MaxResults: {limit} is not between 1 and {MAX_PAGE}."
        )));
    };
    let name = format!("{:?}/{}", call.operation, list.parent_id.as_deref().unwrap_or_default());
    let pages = Pages { items, list: &name, size, empty: directory.empty_pages };
    let Some((page, next)) = pages.page(list.next_token.as_deref()) else {
        return Err(Organizations.invalid("You specified an invalid value for NextToken.".to_owned()));
    };
    let mut body = json!({ key: directory.current(page, &read(&state.account_states)) });
    if let Some(next) = next {
        body["NextToken"] = next.into();
    }
    Ok(body.to_string().into())
}

fn parent_not_found() -> AwsError {
    AwsError::plain("ParentNotFoundException", 400, "You specified parent that doesn't exist.")
}

fn no_organization() -> AwsError {
    AwsError::plain("AWSOrganizationsNotInUseException", 400, "Your account is not a member of an organization.")
}
