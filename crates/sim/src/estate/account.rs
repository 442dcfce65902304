//! Accounts and their roles.

use std::collections::BTreeMap;
use std::time::Duration;

use super::access::DemoAccount;
use super::tables::Tables;
use crate::derived::derived_text;

/// An AWS account with one user, `crawler`.
#[derive(Clone, Debug)]
pub struct Account {
    /// Twelve digits.
    pub id: String,
    /// `aws`, `aws-cn`, …
    pub partition: String,
    /// The user's access key.
    pub access_key_id: String,
    /// The user's secret.
    pub secret_access_key: String,
    /// Roles that can be assumed.
    pub roles: Vec<Role>,
    /// The Regions that the account has opted in to, with their tables.
    pub regions: BTreeMap<String, Tables>,
}

impl Account {
    /// An account in `aws`, with keys derived from its id, and without roles or Regions.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Self {
        let id = id.into();
        Self {
            partition: "aws".to_owned(),
            access_key_id: derived_text("AKIA", &id, 16, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"),
            secret_access_key: derived_text(
                "",
                &id,
                40,
                b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
            ),
            roles: Vec::new(),
            regions: BTreeMap::new(),
            id,
        }
    }

    /// Moves the account to another partition.
    #[must_use]
    pub fn partition(mut self, partition: impl Into<String>) -> Self {
        self.partition = partition.into();
        self
    }

    /// Gives the user other keys.
    #[must_use]
    pub fn keys(mut self, access_key_id: impl Into<String>, secret_access_key: impl Into<String>) -> Self {
        self.access_key_id = access_key_id.into();
        self.secret_access_key = secret_access_key.into();
        self
    }

    /// Adds a role.
    #[must_use]
    pub fn role(mut self, role: Role) -> Self {
        self.roles.push(role);
        self
    }

    /// Opts in to a Region with these tables.
    #[must_use]
    pub fn region(mut self, region: impl Into<String>, tables: Tables) -> Self {
        self.regions.insert(region.into(), tables);
        self
    }

    /// The ARN of a role of this account.
    #[must_use]
    pub fn role_arn(&self, role: &str) -> String {
        format!("arn:{}:iam::{}:role/{role}", self.partition, self.id)
    }

    /// How a client reaches this account with its own user.
    #[must_use]
    pub fn access(&self, name: impl Into<String>) -> DemoAccount {
        DemoAccount {
            name: name.into(),
            account_id: self.id.clone(),
            access_key_id: self.access_key_id.clone(),
            secret_access_key: self.secret_access_key.clone(),
            role_arn: None,
            external_id: None,
            regions: self.regions.keys().cloned().collect(),
        }
    }

    /// How a client reaches this account with a role that the user of `from` assumes.
    #[must_use]
    pub fn access_by_role(&self, name: impl Into<String>, role: &Role, from: &Self) -> DemoAccount {
        DemoAccount {
            access_key_id: from.access_key_id.clone(),
            secret_access_key: from.secret_access_key.clone(),
            role_arn: Some(self.role_arn(&role.name)),
            external_id: role.external_id.clone(),
            ..self.access(name)
        }
    }
}

/// A role that others may assume.
#[derive(Clone, Debug)]
pub struct Role {
    /// The name, with its path if it has one (`team/Reader`).
    pub name: String,
    /// Who may assume it: account ids, ARNs of users, roles or sessions, or `*`.
    pub trusts: Vec<String>,
    /// The external id that callers must send.
    pub external_id: Option<String>,
    /// The longest session; AWS's default is one hour.
    pub max_duration: Duration,
}

impl Role {
    /// A role that trusts nobody, requires no external id and allows sessions of up to one hour.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), trusts: Vec::new(), external_id: None, max_duration: Duration::from_secs(3_600) }
    }

    /// Trusts an account id, an ARN, or `*`.
    #[must_use]
    pub fn trusts(mut self, principal: impl Into<String>) -> Self {
        self.trusts.push(principal.into());
        self
    }

    /// Requires an external id.
    #[must_use]
    pub fn external_id(mut self, external_id: impl Into<String>) -> Self {
        self.external_id = Some(external_id.into());
        self
    }

    /// Sets the longest session.
    #[must_use]
    pub fn max_duration(mut self, max_duration: Duration) -> Self {
        self.max_duration = max_duration;
        self
    }
}
