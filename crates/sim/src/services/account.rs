//! AWS Account Management: ListRegions.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::account_state::AccountState;
use crate::answer::Call;
use crate::caller::Caller;
use crate::errors::{self, AwsError};
use crate::pages::Pages;
use crate::regions::regions_of;
use crate::service::Service;
use crate::state::State;

/// The path of ListRegions.
pub(crate) const LIST_REGIONS: &str = "/listRegions";

const MAX_PAGE: i64 = 50;

/// A request for ListRegions.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct RegionsRequest {
    account_id: Option<String>,
    max_results: Option<i64>,
    next_token: Option<String>,
    region_opt_status_contains: Option<Vec<String>>,
}

impl State {
    /// Answers a request to AWS Account Management.
    pub(crate) fn answer_account(&self, call: &Call<'_>, caller: &Caller<'_>) -> Result<Bytes, AwsError> {
        let service = Service::Account;
        let request: RegionsRequest = if call.body.is_empty() {
            RegionsRequest::default()
        } else {
            serde_json::from_slice(call.body).map_err(|_| errors::not_json(service))?
        };
        let account = match &request.account_id {
            None => caller.account,
            Some(id) => self.member(id, caller)?,
        };
        let limit = request.max_results.unwrap_or(MAX_PAGE);
        let Some(size) = usize::try_from(limit).ok().filter(|_| (1..=MAX_PAGE).contains(&limit)) else {
            let message = format!(
                "1 validation error detected: Value '{limit}' at 'maxResults' failed to satisfy constraint: Member must have value between 1 and \
                 {MAX_PAGE}"
            );
            return Err(errors::invalid(service, message));
        };
        let wanted = request.region_opt_status_contains.unwrap_or_default();
        let regions: Vec<Value> = regions_of(account)
            .into_iter()
            .map(|(region, status)| (region, status.region_opt_status()))
            .filter(|(_, status)| wanted.is_empty() || wanted.iter().any(|wanted| wanted == status))
            .map(|(region, status)| json!({"RegionName": region, "RegionOptStatus": status}))
            .collect();
        let list = format!("{}/{}", account.id, wanted.join(","));
        let pages = Pages { items: &regions, list: &list, size, empty: false };
        let Some((page, next)) = pages.page(request.next_token.as_deref()) else {
            return Err(errors::invalid(service, "The NextToken is not valid."));
        };
        let mut body = json!({ "Regions": page });
        if let Some(next) = next {
            body["NextToken"] = next.into();
        }
        Ok(body.to_string().into())
    }

    /// Another account of the organization, for those who may look at it. One's own account is asked for without an id.
    fn member(&self, id: &str, caller: &Caller<'_>) -> Result<&AccountState, AwsError> {
        let directory = self.organization.as_ref();
        let allowed = directory.is_some_and(|directory| directory.may_read(&caller.account.id) && directory.has(id));
        self.account(id).filter(|account| allowed && account.id != caller.account.id).ok_or_else(|| {
            let user = caller.arn();
            errors::denied(
                Service::Account,
                format!("User: {user} is not authorized to perform: account:ListRegions on account {id}"),
            )
        })
    }
}
