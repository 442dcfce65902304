//! A target: an account, and a way to get credentials for it.

use std::sync::Arc;
use std::time::Duration;

use dynacrawl_auth::{AssumeRole, BaseCredentials, CredentialSpec, DEFAULT_DURATION, RoleArn, SessionName, UserKeys};
use dynacrawl_model::{AccountId, Escaped, Partition, Region, TargetSummary};
use dynacrawl_sinks::SecretRef;
use secrecy::ExposeSecret;

use super::error::SettingError;
use super::secret::read_secret;

/// An account, and a way to get credentials for it.
#[derive(Clone, Debug)]
pub struct Target {
    /// The target's name.
    pub name: String,
    /// The name of the `[[target]]` that it comes from, which may stand for many accounts.
    pub configured_as: String,
    /// The account, if the configuration names it.
    pub account_id: Option<AccountId>,
    /// The name of the account, if AWS Organizations returned it.
    pub account_name: Option<Arc<str>>,
    /// The Regions. Empty if the target has all Regions that the account has enabled, and as long
    /// as AWS's own settings decide.
    pub regions: Vec<Region>,
    /// Whether the target has all Regions that the account has enabled.
    pub all_regions: bool,
    /// The partition, if the configuration names it.
    pub named_partition: Option<Partition>,
    /// Where credentials begin.
    pub base: TargetBase,
    /// The roles to assume, in order.
    pub chain: Vec<AssumeRole>,
}

/// Where a target's credentials begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetBase {
    /// AWS's default chain, in this profile if one is named.
    Chain {
        /// The profile.
        profile: Option<String>,
    },
    /// An IAM user's keys.
    Keys {
        /// The access key's id.
        access_key_id: SecretRef,
        /// The secret access key.
        secret_access_key: SecretRef,
        /// The session token, for temporary credentials.
        session_token: Option<SecretRef>,
    },
}

/// A target that is configured, but not part of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnselectedTarget {
    /// Its account; `None`: any.
    pub account_id: Option<AccountId>,
    /// Its Regions; `None`: any.
    pub regions: Option<Vec<Region>>,
}

/// A role to assume, which may contain `{account}` and `{partition}`.
#[derive(Clone, Debug)]
pub struct RoleTemplate {
    /// The role's ARN.
    pub arn: String,
    /// The external id that the role's trust policy requires.
    pub external_id: Option<String>,
    /// The name of the role's session in CloudTrail.
    pub session_name: SessionName,
    /// How long a session lasts.
    pub duration: Duration,
}

impl RoleTemplate {
    /// The same with an account and a partition in place of `{account}` and `{partition}`.
    pub fn filled(&self, account: &str, partition: &Partition) -> Self {
        let fill = |text: &str| text.replace("{account}", account).replace("{partition}", partition.as_str());
        Self { arn: fill(&self.arn), external_id: self.external_id.as_deref().map(fill), ..self.clone() }
    }

    /// Whether it is a different role for each account.
    pub fn names_account(&self) -> bool {
        self.arn.contains("{account}")
    }

    fn role(self) -> Result<AssumeRole, String> {
        let arn: RoleArn = self.arn.parse().map_err(|error| format!("arn (--role-arn): {error}"))?;
        let external_id = self.external_id.map(|id| id.parse()).transpose();
        let external_id = external_id.map_err(|error| format!("external_id (--external-id): {error}"))?;
        AssumeRole::new(arn, external_id, self.session_name, self.duration)
            .map_err(|error| format!("duration (--duration): {error}"))
    }
}

impl UnselectedTarget {
    /// The accounts and Regions that a target may have.
    pub fn of(target: &Target) -> Self {
        let regions = (!target.all_regions && !target.regions.is_empty()).then(|| target.regions.clone());
        Self { account_id: target.account_id.clone(), regions }
    }

    /// Whether an account and Region may belong to the target.
    pub fn may_be(&self, account_id: &AccountId, region: &Region) -> bool {
        self.account_id.as_ref().is_none_or(|own| own == account_id)
            && self.regions.as_ref().is_none_or(|own| own.contains(region))
    }
}

impl Target {
    /// Whether it is configured under one of these names; `None`: any.
    pub fn is_one_of(&self, names: Option<&[String]>) -> bool {
        names.is_none_or(|names| names.contains(&self.configured_as))
    }

    /// The target with these roles, which it assumes in order.
    ///
    /// # Errors
    /// If a role is invalid, belongs to another account than the target, or cannot be assumed with
    /// the session of the one before it.
    pub fn with_roles(self, roles: &[RoleTemplate]) -> Result<Self, SettingError> {
        let key = |field: &str| format!("target '{}': {field}", Escaped(&self.name));
        let partition = template_partition(self.named_partition.as_ref(), &self.regions, roles);
        let filled = roles.iter().map(|role| match &self.account_id {
            Some(account) => role.filled(account.as_str(), &partition),
            None => role.clone(),
        });
        let chain = filled.map(RoleTemplate::role).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|error| SettingError::new(key("assume_role"), error))?;
        let last = chain.last().map(|last| last.arn.account_id().clone());
        if let (Some(last), Some(account)) = (&last, &self.account_id)
            && last != account
        {
            return Err(SettingError::new(key("account_id"), format!("the last role belongs to the account {last}")));
        }
        if chain.len() > 1 && chain[1..].iter().any(|step| step.duration() > DEFAULT_DURATION) {
            let problem = "a role that is assumed with another role's session can last one hour (1h) at most";
            return Err(SettingError::new(key("assume_role"), problem));
        }
        let target = Self { account_id: last.or(self.account_id), chain, ..self };
        target.check_partitions()?;
        Ok(target)
    }

    /// Checks that the Regions and roles of a target belong to one partition: credentials are not
    /// valid in another one.
    ///
    /// # Errors
    /// If they do not.
    pub fn check_partitions(&self) -> Result<(), SettingError> {
        let regions = self.regions.iter().map(|region| (region.partition(), region.to_string()));
        let roles = self.chain.iter().map(|step| (step.arn.partition().clone(), step.arn.to_string()));
        let named = self.named_partition.iter().map(|partition| (partition.clone(), "partition".to_owned()));
        let mut places = named.chain(regions).chain(roles);
        let Some((partition, first)) = places.next() else { return Ok(()) };
        match places.find(|(other, _)| *other != partition) {
            None => Ok(()),
            Some((other, place)) => Err(SettingError::new(
                format!("target '{}'", Escaped(&self.name)),
                format!("{first} belongs to the partition {partition}, {place} to {other}; make them two targets"),
            )),
        }
    }

    /// The partition of the target's Regions.
    pub fn partition(&self) -> Partition {
        let role = || self.chain.last().map(|step| step.arn.partition().clone());
        let region = || self.regions.first().map(Region::partition);
        self.named_partition.clone().or_else(region).or_else(role).unwrap_or_else(|| "aws".into())
    }

    /// The target, as `run_started` shows it.
    pub fn summary(&self) -> TargetSummary {
        TargetSummary {
            name: self.name.clone(),
            account_id: self.account_id.clone(),
            role_arn: self.chain.last().map(|step| step.arn.to_string()),
            regions: self.regions.clone(),
            all_regions: self.all_regions,
            organization: false,
        }
    }

    /// The profile that the target's settings come from, if it names one.
    pub fn profile(&self) -> Option<&str> {
        match &self.base {
            TargetBase::Chain { profile } => profile.as_deref(),
            TargetBase::Keys { .. } => None,
        }
    }

    /// Reads the target's secrets.
    ///
    /// # Errors
    /// If a secret is not where the configuration says.
    pub fn credentials(&self) -> Result<CredentialSpec, SettingError> {
        let key = |field: &str| format!("target '{}': credentials.{field}", Escaped(&self.name));
        let base = match &self.base {
            TargetBase::Chain { .. } => BaseCredentials::DefaultChain,
            TargetBase::Keys { access_key_id, secret_access_key, session_token } => BaseCredentials::Keys(UserKeys {
                access_key_id: read_secret(access_key_id, &key("access_key_id"))?.expose_secret().to_owned(),
                secret_access_key: read_secret(secret_access_key, &key("secret_access_key"))?,
                session_token: session_token
                    .as_ref()
                    .map(|token| read_secret(token, &key("session_token")))
                    .transpose()?,
            }),
        };
        Ok(CredentialSpec { base, chain: self.chain.clone() })
    }
}

/// What `{partition}` stands for: the partition that the configuration names, else that of the
/// Regions, else that of another role.
pub fn template_partition(named: Option<&Partition>, regions: &[Region], roles: &[RoleTemplate]) -> Partition {
    let of_role = || roles.iter().filter_map(|step| step.arn.split(':').nth(1)).find(|part| !part.contains('{'));
    let of_regions = || regions.first().map(Region::partition);
    named.cloned().or_else(of_regions).or_else(|| of_role().map(Partition::from)).unwrap_or_else(|| "aws".into())
}
