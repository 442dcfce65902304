//! AWS Organizations: accounts, roots and organizational units.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::Call;
use crate::caller::Caller;
use crate::effect::Effect;
use crate::errors::{self, AwsError};
use crate::estate::Member;
use crate::locks::read;
use crate::operation::Operation;
use crate::pages::Pages;
use crate::service::Service;
use crate::state::State;

const MAX_PAGE: i64 = 20;

/// What the simulator reads of a request.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct ListRequest {
    parent_id: Option<String>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

impl State {
    /// Answers a request to AWS Organizations.
    pub(crate) fn answer_organizations(
        &self,
        call: &Call<'_>,
        caller: &Caller<'_>,
        effect: Option<&Effect>,
    ) -> Result<Bytes, AwsError> {
        let service = Service::Organizations;
        let request: ListRequest = serde_json::from_slice(call.body).map_err(|_| errors::not_json(service))?;
        let account = &caller.account.id;
        let directory = self.organization.as_ref().filter(|directory| directory.has(account));
        let directory = directory.ok_or_else(errors::no_organization)?;
        if !directory.may_read(account) {
            return Err(errors::denied(service, "You don't have permissions to access this resource."));
        }
        let parent = || {
            let missing = "You didn't specify the required parameter ParentId.";
            request.parent_id.as_deref().ok_or_else(|| errors::invalid(service, missing))
        };
        let (key, items) = match call.operation {
            Operation::ListAccounts => ("Accounts", &directory.accounts[..]),
            Operation::ListRoots => ("Roots", &directory.roots[..]),
            Operation::ListAccountsForParent => {
                ("Accounts", directory.accounts_below(parent()?).ok_or_else(errors::parent_not_found)?)
            }
            Operation::ListOrganizationalUnitsForParent => {
                ("OrganizationalUnits", directory.units_below(parent()?).ok_or_else(errors::parent_not_found)?)
            }
            _ => return Err(errors::unknown_operation(service)),
        };
        let strangers: Vec<Value>;
        let items = match effect {
            Some(&Effect::FirstAccounts(most)) if key == "Accounts" => &items[..most.min(items.len())],
            Some(Effect::OtherAccounts(ids)) if key == "Accounts" => {
                let strange = |id: &String| directory.account(&Member::new(id));
                strangers = ids.iter().map(strange).collect();
                &strangers[..]
            }
            _ => items,
        };
        let limit = request.max_results.unwrap_or(MAX_PAGE);
        let Some(size) = usize::try_from(limit).ok().filter(|_| (1..=MAX_PAGE).contains(&limit)) else {
            let message =
                format!("You specified an invalid value for MaxResults: {limit} is not between 1 and {MAX_PAGE}.");
            return Err(errors::invalid(service, message));
        };
        let list = format!("{:?}/{}", call.operation, request.parent_id.as_deref().unwrap_or_default());
        let pages = Pages { items, list: &list, size, empty: directory.empty_pages };
        let Some((page, next)) = pages.page(request.next_token.as_deref()) else {
            return Err(errors::invalid(service, "You specified an invalid value for NextToken."));
        };
        let mut body = json!({ key: directory.current(page, &read(&self.account_states)) });
        if let Some(next) = next {
            body["NextToken"] = next.into();
        }
        Ok(body.to_string().into())
    }
}
