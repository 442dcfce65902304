//! AWS Organizations: accounts, roots and organizational units.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::Call;
use crate::auth::Caller;
use crate::effect::Effect;
use crate::errors::{self, AwsError};
use crate::estate::{Member, MemberState, Organization, OrganizationalUnit, derived_text, hash};
use crate::operation::Operation;
use crate::pages::Pages;
use crate::service::Service;
use crate::state::{State, read};

const MAX_PAGE: i64 = 20;
const LOWER: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// An organization as it is listed.
#[derive(Debug)]
pub(crate) struct Directory {
    partition: String,
    management_account: String,
    id: String,
    states: bool,
    empty_pages: bool,
    /// Who may call.
    readers: HashSet<String>,
    members: HashSet<String>,
    /// All accounts; those of one parent stand together.
    accounts: Vec<Value>,
    roots: Vec<Value>,
    parents: HashMap<String, Parent>,
}

#[derive(Debug)]
struct Parent {
    accounts: Range<usize>,
    units: Vec<Value>,
}

impl Directory {
    pub(crate) fn new(organization: Organization, partition: &str) -> Self {
        let Organization { management_account, delegated_administrators, mut roots, states, empty_pages } =
            organization;
        if roots.is_empty() {
            roots.push(OrganizationalUnit::new("r-main"));
        }
        if !roots.iter().any(|root| root.contains(&management_account)) {
            roots[0].accounts.insert(0, Member::new(&management_account));
        }
        let mut readers: HashSet<String> = delegated_administrators.into_iter().collect();
        readers.insert(management_account.clone());
        let mut directory = Self {
            partition: partition.to_owned(),
            id: derived_text("o-", &management_account, 10, LOWER),
            management_account,
            states,
            empty_pages,
            readers,
            members: HashSet::new(),
            accounts: Vec::new(),
            roots: Vec::new(),
            parents: HashMap::new(),
        };
        for root in &roots {
            let arn = directory.arn("root", &root.id);
            directory.roots.push(json!({"Id": root.id, "Arn": arn, "Name": root.name, "PolicyTypes": []}));
            directory.add(root);
        }
        directory
    }

    fn add(&mut self, unit: &OrganizationalUnit) {
        let start = self.accounts.len();
        for member in &unit.accounts {
            self.accounts.push(self.account(member));
            self.members.insert(member.id.clone());
        }
        let units = unit.units.iter().map(|unit| {
            let arn = self.arn("ou", &unit.id);
            json!({"Id": unit.id, "Arn": arn, "Name": unit.name})
        });
        let parent = Parent { accounts: start..self.accounts.len(), units: units.collect() };
        self.parents.insert(unit.id.clone(), parent);
        unit.units.iter().for_each(|unit| self.add(unit));
    }

    fn account(&self, member: &Member) -> Value {
        let id = &member.id;
        let method = if *id == self.management_account { "INVITED" } else { "CREATED" };
        let joined = (1_530_000_000_000 + hash(id) % 205_000_000_000) as f64 / 1_000.0;
        let mut account = json!({
            "Id": id, "Arn": self.arn("account", id), "Email": format!("aws+{id}@example.com"), "Name": member.name,
            "JoinedMethod": method, "JoinedTimestamp": joined,
        });
        self.set_state(&mut account, member.state);
        account
    }

    fn set_state(&self, account: &mut Value, state: MemberState) {
        account["Status"] = state.status().into();
        if self.states {
            account["State"] = state.as_str().into();
        }
    }

    /// A page of a list with the states that its accounts were put into since.
    fn current(&self, page: &[Value], states: &HashMap<String, MemberState>) -> Vec<Value> {
        let mut page = page.to_vec();
        for account in &mut page {
            if let Some(&state) = account["Id"].as_str().and_then(|id| states.get(id)) {
                self.set_state(account, state);
            }
        }
        page
    }

    fn arn(&self, kind: &str, id: &str) -> String {
        let Self { partition, management_account, id: organization, .. } = self;
        format!("arn:{partition}:organizations::{management_account}:{kind}/{organization}/{id}")
    }

    /// Whether an account is the management account or a delegated administrator.
    pub(crate) fn may_read(&self, account: &str) -> bool {
        self.readers.contains(account)
    }

    /// Whether an account belongs to the organization.
    pub(crate) fn has(&self, account: &str) -> bool {
        self.members.contains(account) || self.may_read(account)
    }

    fn parent(&self, id: Option<&str>) -> Result<&Parent, AwsError> {
        let Some(id) = id else {
            return Err(errors::invalid(Service::Organizations, "You didn't specify the required parameter ParentId."));
        };
        self.parents.get(id).ok_or_else(errors::parent_not_found)
    }
}

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
        let parent = || directory.parent(request.parent_id.as_deref());
        let (key, items) = match call.operation {
            Operation::ListAccounts => ("Accounts", &directory.accounts[..]),
            Operation::ListRoots => ("Roots", &directory.roots[..]),
            Operation::ListAccountsForParent => ("Accounts", &directory.accounts[parent()?.accounts.clone()]),
            Operation::ListOrganizationalUnitsForParent => ("OrganizationalUnits", &parent()?.units[..]),
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
