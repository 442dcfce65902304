//! What a simulator starts with.

use super::access::DemoAccess;
use super::account::Account;
use super::organization::Organization;
use crate::denials::Denial;
use crate::faults::FaultRule;

/// Everything that a simulator starts with.
#[derive(Clone, Debug, Default)]
pub struct Estate {
    /// The accounts.
    pub accounts: Vec<Account>,
    /// What IAM denies.
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
