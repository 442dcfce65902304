//! An organization, in the form in which it is listed.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use serde_json::{Value, json};

use crate::derived::{derived_text, hash};
use crate::estate::{Member, MemberState, Organization, OrganizationalUnit};

const LOWER: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// An organization, in the form in which it is listed.
#[derive(Debug)]
pub(crate) struct Directory {
    partition: String,
    management_account: String,
    id: String,
    states: bool,
    /// Whether an empty page comes before each page of a list.
    pub(crate) empty_pages: bool,
    /// The accounts that may call Organizations.
    readers: HashSet<String>,
    members: HashSet<String>,
    /// All accounts, grouped by parent.
    pub(crate) accounts: Vec<Value>,
    pub(crate) roots: Vec<Value>,
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

    /// An account in the form in which it is listed.
    pub(crate) fn account(&self, member: &Member) -> Value {
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

    /// A page of a list, with the current states of its accounts.
    pub(crate) fn current(&self, page: &[Value], states: &HashMap<String, MemberState>) -> Vec<Value> {
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

    /// The accounts directly below a root or a unit, or `None` if there is no such parent.
    pub(crate) fn accounts_below(&self, parent: &str) -> Option<&[Value]> {
        self.parents.get(parent).map(|parent| &self.accounts[parent.accounts.clone()])
    }

    /// The units directly below a root or a unit, or `None` if there is no such parent.
    pub(crate) fn units_below(&self, parent: &str) -> Option<&[Value]> {
        self.parents.get(parent).map(|parent| &parent.units[..])
    }
}
