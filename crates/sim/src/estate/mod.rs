//! What exists: accounts, their roles, Regions and tables, and what goes wrong from the start.

mod builder;
mod demo;
mod demo_tables;
mod organization;
mod shape;
mod uniform;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};

pub use self::builder::{Index, TableBuilder};
pub use self::organization::{Member, MemberState, Organization, OrganizationalUnit};
pub use self::shape::Shape;
use crate::denials::Denial;
use crate::faults::FaultRule;

/// Everything that a simulator starts with.
#[derive(Clone, Debug, Default)]
pub struct Estate {
    /// The accounts.
    pub accounts: Vec<Account>,
    /// What IAM does not allow.
    pub denials: Vec<Denial>,
    /// Faults that are set from the start.
    pub faults: Vec<FaultRule>,
    /// The organization that accounts belong to, if any.
    pub organization: Option<Organization>,
    /// How a client reaches the accounts.
    pub access: DemoAccess,
}

impl Estate {
    /// An estate of these accounts.
    #[must_use]
    pub fn new(accounts: impl IntoIterator<Item = Account>) -> Self {
        Self { accounts: accounts.into_iter().collect(), ..Self::default() }
    }

    /// Puts accounts into an organization.
    #[must_use]
    pub fn organization(mut self, organization: Organization) -> Self {
        self.organization = Some(organization);
        self
    }
}

/// How a client reaches the accounts of an estate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DemoAccess {
    /// One entry for each account worth crawling.
    pub accounts: Vec<DemoAccount>,
}

/// How a client reaches one account. The keys are the account's own or, with a role, those of the account that
/// assumes it. They exist in the simulator only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DemoAccount {
    /// A word for the account.
    pub name: String,
    /// The account's id.
    pub account_id: String,
    /// The access key to sign with.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: String,
    /// The role to assume first, if any.
    pub role_arn: Option<String>,
    /// The external id that the role asks for, if any.
    pub external_id: Option<String>,
    /// The Regions that hold tables.
    pub regions: Vec<String>,
}

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
    /// An account in `aws`, with keys that follow from its id, and without roles or Regions.
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

    /// Opts in to a Region and puts these tables there.
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

    /// How a client reaches this account by its own user.
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

    /// How a client reaches this account by a role that the user of `from` assumes.
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
    /// The external id that callers have to bring.
    pub external_id: Option<String>,
    /// The longest session; AWS's default is one hour.
    pub max_duration: Duration,
}

impl Role {
    /// A role that trusts nobody, asks for no external id and gives sessions of up to one hour.
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

    /// Asks for an external id.
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

/// A table as it is kept: the answer to DescribeTable is ready to be sent.
#[derive(Clone, Debug)]
pub(crate) enum StoredTable {
    Present(Bytes),
    /// Listed, but not known to DescribeTable.
    Vanishing,
    /// Not known to the first calls of DescribeTable.
    Late {
        body: Bytes,
        unknown_for: u32,
    },
}

impl StoredTable {
    /// The answer that holds a description.
    pub(crate) fn body(description: &Value) -> Bytes {
        json!({ "Table": description }).to_string().into()
    }
}

/// The tables of one account in one Region.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    pub(crate) stored: BTreeMap<String, StoredTable>,
    pub(crate) generated: Option<(u64, Shape)>,
}

impl Tables {
    /// No tables.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a table: its name, and its description as DescribeTable's `Table` holds it.
    #[must_use]
    pub fn table(mut self, name: impl Into<String>, description: &Value) -> Self {
        self.stored.insert(name.into(), StoredTable::Present(StoredTable::body(description)));
        self
    }

    /// Adds a table that ListTables names and DescribeTable does not know: it was deleted in between.
    #[must_use]
    pub fn vanishing(mut self, name: impl Into<String>) -> Self {
        self.stored.insert(name.into(), StoredTable::Vanishing);
        self
    }

    /// Adds a table that the first `misses` calls of DescribeTable do not know: it was created a moment ago.
    #[must_use]
    pub fn late(mut self, name: impl Into<String>, misses: u32, description: &Value) -> Self {
        self.stored
            .insert(name.into(), StoredTable::Late { body: StoredTable::body(description), unknown_for: misses });
        self
    }

    /// Adds `count` tables named `table-000000` and so on, whose descriptions of about 3 KB are made when they are
    /// asked for.
    #[must_use]
    pub fn generated(self, count: u64) -> Self {
        self.generated_like(count, Shape::standard())
    }

    /// The same with descriptions of another shape.
    #[must_use]
    pub fn generated_like(mut self, count: u64, shape: Shape) -> Self {
        self.generated = Some((count, shape));
        self
    }
}

/// FNV-1a: the source of everything in an estate that only has to look random.
pub(crate) fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Text that looks random and follows from `seed`.
pub(crate) fn derived_text(prefix: &str, seed: &str, length: usize, alphabet: &[u8]) -> String {
    let mut rng = fastrand::Rng::with_seed(hash(seed) ^ length as u64);
    let tail = (0..length).map(|_| char::from(alphabet[rng.usize(..alphabet.len())]));
    prefix.chars().chain(tail).collect()
}

/// A table id that follows from `seed`.
pub(crate) fn derived_uuid(seed: &str) -> String {
    let mut rng = fastrand::Rng::with_seed(hash(seed));
    let (high, low) = (rng.u64(..), rng.u64(..));
    format!(
        "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        low >> 52,
        low & 0xffff_ffff_ffff
    )
}
