//! A target: an account, and a way to get credentials for it.

use std::collections::BTreeMap;

use dynacrawl_auth::{AssumeRole, BaseCredentials, CredentialSpec, DEFAULT_DURATION, RoleArn, SessionName, UserKeys};
use dynacrawl_model::{AccountId, Partition, Region, TargetSummary};
use secrecy::ExposeSecret;

use super::ConfigError;
use super::raw;
use super::secret::SecretRef;
use super::values::duration;

/// An account, and a way to get credentials for it.
#[derive(Clone, Debug)]
pub struct Target {
    /// The target's name.
    pub name: String,
    /// The name of the `[[target]]` that it comes from, which may stand for many accounts.
    pub configured_as: String,
    /// The account, as far as the configuration tells it.
    pub account_id: Option<AccountId>,
    /// The Regions; empty until [`Config::prepare`](super::Config::prepare) where they are left to AWS's own settings, and
    /// where they are all that the account has enabled.
    pub regions: Vec<Region>,
    /// Whether it is all Regions that the account has enabled.
    pub all_regions: bool,
    /// The partition, where the configuration says it.
    pub(super) named_partition: Option<Partition>,
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

/// A target that is configured, and not part of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnselectedTarget {
    /// Its account; `None`: any.
    pub account_id: Option<AccountId>,
    /// Its Regions; `None`: any.
    pub regions: Option<Vec<Region>>,
}

impl UnselectedTarget {
    pub(super) fn of(target: &Target) -> Self {
        let regions = (!target.all_regions && !target.regions.is_empty()).then(|| target.regions.clone());
        Self { account_id: target.account_id.clone(), regions }
    }

    /// Whether an account and Region may be the target's.
    pub fn may_be(&self, account_id: &AccountId, region: &Region) -> bool {
        self.account_id.as_ref().is_none_or(|own| own == account_id)
            && self.regions.as_ref().is_none_or(|own| own.contains(region))
    }
}

impl Target {
    pub(super) fn validate(raw: raw::Target, number: usize) -> Result<Self, ConfigError> {
        let name = raw.name.unwrap_or_else(|| format!("target-{}", number + 1));
        let key = |field: &str| format!("target '{}': {field}", dynacrawl_model::Escaped(&name));
        if name.is_empty() || name.len() > 128 {
            return Err(ConfigError::value("target.name", "must have 1 to 128 characters"));
        }
        let (regions, all_regions) = regions(raw.regions, || key("regions"))?;
        let named_partition = raw.partition.as_deref().map(|name| partition(name, || key("partition"))).transpose()?;
        let mut filled = raw.assume_role.unwrap_or_default();
        if let Some(account) = &raw.account_id {
            let partition = template_partition(named_partition.as_ref(), &regions, &filled);
            filled.iter_mut().for_each(|step| step.fill(account, partition.as_str()));
        }
        let mut chain = Vec::new();
        for step in filled {
            chain.push(role(step).map_err(|e| ConfigError::value(key("assume_role"), e))?);
        }
        let account_id = raw.account_id.map(|id| id.parse::<AccountId>()).transpose();
        let mut account_id = account_id.map_err(|e| ConfigError::value(key("account_id"), e))?;
        if let Some(last) = chain.last() {
            let roles = last.arn.account_id();
            if account_id.as_ref().is_some_and(|id| id != roles) {
                let problem = format!("the last role belongs to the account {roles}");
                return Err(ConfigError::value(key("account_id"), problem));
            }
            account_id = Some(roles.clone());
        }
        if chain.len() > 1 && chain[1..].iter().any(|step| step.duration() > DEFAULT_DURATION) {
            let problem = "a role that is assumed with another role's session can last one hour (1h) at most";
            return Err(ConfigError::value(key("assume_role"), problem));
        }
        let base = match (raw.credentials, raw.profile) {
            (Some(_), Some(_)) => {
                return Err(ConfigError::value(key("credentials"), "cannot be used together with profile"));
            }
            (None, profile) => TargetBase::Chain { profile: profile.filter(|p| !p.is_empty()) },
            (Some(keys), None) => {
                let secret = |field: &str, raw| SecretRef::validate(&key(&format!("credentials.{field}")), raw);
                TargetBase::Keys {
                    access_key_id: secret("access_key_id", keys.access_key_id)?,
                    secret_access_key: secret("secret_access_key", keys.secret_access_key)?,
                    session_token: keys.session_token.map(|raw| secret("session_token", raw)).transpose()?,
                }
            }
        };
        let configured_as = name.clone();
        let target = Self { name, configured_as, account_id, regions, all_regions, named_partition, base, chain };
        target.check_partitions()?;
        Ok(target)
    }

    pub(super) async fn prepare(&mut self) -> Result<(), ConfigError> {
        self.take_ambient_region().await?;
        if self.regions.is_empty() && !self.all_regions {
            let problem = "no Region: name one or more or \"all\", or set AWS_REGION, or a region in the profile";
            return Err(ConfigError::value(self.regions_key(), problem));
        }
        Ok(())
    }

    /// Where no Region is configured, takes that of AWS's own settings, if they have one.
    pub(super) async fn take_ambient_region(&mut self) -> Result<(), ConfigError> {
        if self.regions.is_empty()
            && !self.all_regions
            && let Some(region) = dynacrawl_aws::ambient_region(self.profile()).await
        {
            self.regions.push(region.parse().map_err(|e| ConfigError::value(self.regions_key(), e))?);
        }
        self.check_partitions()
    }

    fn regions_key(&self) -> String {
        format!("target '{}': regions (--region)", dynacrawl_model::Escaped(&self.name))
    }

    /// Regions and roles of one target belong to one partition: credentials do not cross it.
    fn check_partitions(&self) -> Result<(), ConfigError> {
        let regions = self.regions.iter().map(|region| (region.partition(), region.to_string()));
        let roles = self.chain.iter().map(|step| (step.arn.partition().clone(), step.arn.to_string()));
        let named = self.named_partition.iter().map(|partition| (partition.clone(), "partition".to_owned()));
        let mut places = named.chain(regions).chain(roles);
        let Some((partition, first)) = places.next() else { return Ok(()) };
        match places.find(|(other, _)| *other != partition) {
            None => Ok(()),
            Some((other, place)) => Err(ConfigError::value(
                format!("target '{}'", dynacrawl_model::Escaped(&self.name)),
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

    /// The target as `run_started` tells it.
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
    /// When one is not where the configuration says.
    pub fn credentials(&self) -> Result<CredentialSpec, ConfigError> {
        let key = |field: &str| format!("target '{}': credentials.{field}", dynacrawl_model::Escaped(&self.name));
        let base = match &self.base {
            TargetBase::Chain { .. } => BaseCredentials::DefaultChain,
            TargetBase::Keys { access_key_id, secret_access_key, session_token } => BaseCredentials::Keys(UserKeys {
                access_key_id: access_key_id.read(&key("access_key_id"))?.expose_secret().to_owned(),
                secret_access_key: secret_access_key.read(&key("secret_access_key"))?,
                session_token: session_token.as_ref().map(|token| token.read(&key("session_token"))).transpose()?,
            }),
        };
        Ok(CredentialSpec { base, chain: self.chain.clone() })
    }
}

/// The same account and Region twice would be two scopes with one name.
pub(super) fn reject_twice(targets: &[Target]) -> Result<(), ConfigError> {
    let mut seen = BTreeMap::new();
    for target in targets {
        for region in target.account_id.iter().flat_map(|account| target.regions.iter().map(move |r| (account, r))) {
            if let Some(first) = seen.insert(region, &target.name) {
                let place = format!("target '{}': regions", dynacrawl_model::Escaped(&target.name));
                let problem = format!(
                    "{}/{} is part of target '{}' already",
                    region.0,
                    region.1,
                    dynacrawl_model::Escaped(first)
                );
                return Err(ConfigError::value(place, problem));
            }
        }
    }
    Ok(())
}

/// The Regions, and whether it is all of them.
fn regions(raw: Option<raw::Regions>, key: impl Fn() -> String) -> Result<(Vec<Region>, bool), ConfigError> {
    let names = raw.unwrap_or_default().0;
    if names == ["all"] {
        return Ok((Vec::new(), true));
    }
    if names.iter().any(|name| name == "all") {
        return Err(ConfigError::value(key(), "\"all\" cannot stand beside other Regions"));
    }
    let regions = names.into_iter().map(|name| name.parse::<Region>());
    let regions = regions.collect::<Result<Vec<_>, _>>().map_err(|e| ConfigError::value(key(), e))?;
    if let Some(twice) = regions.iter().enumerate().find(|(i, region)| regions[..*i].contains(region)) {
        return Err(ConfigError::value(key(), format!("{} stands there twice", twice.1)));
    }
    Ok((regions, false))
}

fn partition(name: &str, key: impl Fn() -> String) -> Result<Partition, ConfigError> {
    const KNOWN: [&str; 8] =
        ["aws", "aws-cn", "aws-us-gov", "aws-eusc", "aws-iso", "aws-iso-b", "aws-iso-e", "aws-iso-f"];
    if KNOWN.contains(&name) { Ok(name.into()) } else { Err(super::values::one_of(&key(), name, &KNOWN)) }
}

/// What `{partition}` stands for: what the configuration says, else the Regions' partition, else that of another role.
pub(super) fn template_partition(
    named: Option<&Partition>,
    regions: &[Region],
    chain: &[raw::AssumeRole],
) -> Partition {
    let of_role = || chain.iter().filter_map(|step| step.arn.split(':').nth(1)).find(|part| !part.contains('{'));
    let of_regions = || regions.first().map(Region::partition);
    named.cloned().or_else(of_regions).or_else(|| of_role().map(Partition::from)).unwrap_or_else(|| "aws".into())
}

impl raw::AssumeRole {
    /// Puts an account and a partition in the place of `{account}` and `{partition}`.
    pub(super) fn fill(&mut self, account: &str, partition: &str) {
        for text in std::iter::once(&mut self.arn).chain(&mut self.external_id) {
            *text = text.replace("{account}", account).replace("{partition}", partition);
        }
    }

    /// Whether it is a different role for each account.
    pub(super) fn names_account(&self) -> bool {
        self.arn.contains("{account}")
    }
}

fn role(raw: raw::AssumeRole) -> Result<AssumeRole, String> {
    let arn: RoleArn = raw.arn.parse().map_err(|e| format!("arn (--role-arn): {e}"))?;
    let external_id = raw.external_id.map(|id| id.parse()).transpose();
    let session_name = raw.session_name.map_or_else(|| Ok(SessionName::default()), |name| name.parse());
    let length = match raw.duration.as_deref() {
        None => DEFAULT_DURATION,
        text => duration("duration (--duration)", text).map_err(|e| e.to_string())?,
    };
    AssumeRole::new(
        arn,
        external_id.map_err(|e| format!("external_id (--external-id): {e}"))?,
        session_name.map_err(|e| format!("session_name (--session-name): {e}"))?,
        length,
    )
    .map_err(|e| format!("duration (--duration): {e}"))
}
