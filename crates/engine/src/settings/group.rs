//! A target that stands for the accounts of an organization.

use dynacrawl_discovery::AccountFilter;
use dynacrawl_model::{Account, Partition, TargetSummary};

use super::error::SettingError;
use super::target::{RoleTemplate, Target};

/// Whether a target of this name is configured under `configured`: itself, or an account of the
/// organization or list of that name.
pub(crate) fn is_part_of(target: &str, configured: &str) -> bool {
    target.strip_prefix(configured).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A target that stands for the accounts of an organization, which are discovered when the run
/// begins.
#[derive(Clone, Debug)]
pub struct Group {
    /// The target that calls AWS Organizations: the credentials, and the roles before the first
    /// that names the account.
    pub discovery: Target,
    /// Which accounts to crawl.
    pub filter: AccountFilter,
    /// The roles on the way into an account, as the user typed them.
    pub roles: Vec<RoleTemplate>,
}

impl Group {
    /// The target's name.
    pub fn name(&self) -> &str {
        &self.discovery.name
    }

    /// Whether a target of this name is the organization itself or one of its accounts.
    pub fn has(&self, target: &str) -> bool {
        is_part_of(target, self.name())
    }

    /// The target of one of its accounts.
    ///
    /// # Errors
    /// If the account's id makes the roles invalid. All other parts of the roles have been checked.
    pub fn target(&self, account: &Account) -> Result<Target, SettingError> {
        let member = Target {
            name: format!("{}/{}", self.name(), account.id),
            account_id: Some(account.id.clone()),
            account_name: account.name.as_deref().map(Into::into),
            chain: Vec::new(),
            ..self.discovery.clone()
        };
        member.with_roles(&self.roles)
    }

    /// The ARN of the role that is assumed last, with `{account}`, for the partition.
    pub fn role_template(&self, partition: &Partition) -> String {
        self.roles.last().map(|role| role.arn.replace("{partition}", partition.as_str())).unwrap_or_default()
    }

    /// The ARN of the first role that names the account, with `{account}`, for the partition.
    pub fn first_account_role(&self, partition: &Partition) -> String {
        let first = self.roles.iter().find(|role| role.names_account());
        first.map(|role| role.arn.replace("{partition}", partition.as_str())).unwrap_or_default()
    }

    /// The role that assumes the last role, if there is one, and the last role's external id; both
    /// with `{account}`.
    pub fn trust_template(&self, partition: &Partition) -> (Option<String>, Option<String>) {
        let fill = |text: &str| text.replace("{partition}", partition.as_str());
        match self.roles.as_slice() {
            [] => (None, None),
            [last] => (None, last.external_id.as_deref().map(fill)),
            [.., before, last] => (Some(fill(&before.arn)), last.external_id.as_deref().map(fill)),
        }
    }

    /// The target, as `run_started` shows it.
    pub fn summary(&self) -> TargetSummary {
        let role_arn = Some(self.role_template(&self.discovery.partition()));
        TargetSummary { account_id: None, role_arn, organization: true, ..self.discovery.summary() }
    }
}
