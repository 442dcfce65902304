//! `[[target]]` for one account.

use std::collections::BTreeMap;

use dynacrawl_auth::{DEFAULT_DURATION, SessionName};
use dynacrawl_engine::settings::{RoleTemplate, Target, TargetBase};
use dynacrawl_model::{AccountId, Escaped, Partition, Region};

use super::error::ConfigError;
use super::raw;
use super::secret::Reference;
use super::values::{duration, one_of};

impl raw::Target {
    /// The target of one account, without its roles.
    pub(super) fn validate(self, number: usize) -> Result<Target, ConfigError> {
        let name = self.name_or_number(number);
        let key = |field: &str| format!("target '{}': {field}", Escaped(&name));
        check_name(&name)?;
        let (regions, all_regions) = regions(self.regions, || key("regions"))?;
        let named_partition = self.partition.as_deref().map(|name| partition(name, || key("partition"))).transpose()?;
        let account_id = self.account_id.map(|id| id.parse::<AccountId>()).transpose();
        let account_id = account_id.map_err(|error| ConfigError::value(key("account_id"), error))?;
        let base = match (self.credentials, self.profile) {
            (Some(_), Some(_)) => {
                return Err(ConfigError::value(key("credentials"), "cannot be used together with profile"));
            }
            (None, profile) => TargetBase::Chain { profile: profile.filter(|p| !p.is_empty()) },
            (Some(keys), None) => {
                let secret = |field: &str, raw: Reference| raw.validate(&key(&format!("credentials.{field}")));
                TargetBase::Keys {
                    access_key_id: secret("access_key_id", keys.access_key_id)?,
                    secret_access_key: secret("secret_access_key", keys.secret_access_key)?,
                    session_token: keys.session_token.map(|raw| secret("session_token", raw)).transpose()?,
                }
            }
        };
        let configured_as = name.clone();
        Ok(Target {
            name,
            configured_as,
            account_id,
            account_name: None,
            regions,
            all_regions,
            named_partition,
            base,
            chain: Vec::new(),
        })
    }

    /// The roles, as they were typed.
    pub(super) fn roles(&self, number: usize) -> Result<Vec<RoleTemplate>, ConfigError> {
        let roles = self.assume_role.iter().flatten().cloned().map(role).collect::<Result<_, _>>();
        roles.map_err(|error| {
            let name = self.name_or_number(number);
            ConfigError::value(format!("target '{}': assume_role", Escaped(&name)), error)
        })
    }
}

/// Refuses a name that is empty or too long.
pub(super) fn check_name(name: &str) -> Result<(), ConfigError> {
    if name.is_empty() || name.len() > 128 {
        return Err(ConfigError::value("target.name", "must have 1 to 128 characters"));
    }
    Ok(())
}

/// Takes the Region of a target from AWS's own settings if the configuration names none. Refuses a
/// target that has no Region even then.
pub(super) async fn prepare(target: &mut Target) -> Result<(), ConfigError> {
    take_ambient_region(target).await?;
    if target.regions.is_empty() && !target.all_regions {
        let problem = "no Region: name one or more or \"all\", or set AWS_REGION, or a region in the profile";
        return Err(ConfigError::value(regions_key(target), problem));
    }
    Ok(())
}

/// Refuses a profile that AWS's configuration files do not have. Otherwise the credentials of
/// another source could be used.
pub(super) fn must_exist(key: String, profile: &str, profiles: &[String]) -> Result<(), ConfigError> {
    if profiles.iter().any(|name| name == profile) {
        return Ok(());
    }
    let existing = match profiles {
        [] => "AWS's configuration files have no profile".to_owned(),
        profiles => {
            let names: Vec<_> = profiles.iter().take(NAMED_PROFILES).map(|name| Escaped(name).to_string()).collect();
            let more = if profiles.len() > NAMED_PROFILES { ", \u{2026}" } else { "" };
            format!("AWS's configuration files have {}{more}", names.join(", "))
        }
    };
    Err(ConfigError::value(key, format!("the profile '{}' does not exist; {existing}", Escaped(profile))))
}

/// How many profiles the message names.
const NAMED_PROFILES: usize = 20;

/// If the configuration names no Region, takes the one of AWS's own settings, if they have one.
pub(super) async fn take_ambient_region(target: &mut Target) -> Result<(), ConfigError> {
    if target.regions.is_empty()
        && !target.all_regions
        && let Some(region) = dynacrawl_aws::ambient_region(target.profile()).await
    {
        let region = region.parse().map_err(|error| ConfigError::value(regions_key(target), error))?;
        target.regions.push(region);
    }
    Ok(target.check_partitions()?)
}

fn regions_key(target: &Target) -> String {
    format!("target '{}': regions (--region)", Escaped(&target.name))
}

/// Refuses the same account and Region in two targets: they would be two scopes with one name.
pub(super) fn reject_twice<'t>(targets: impl IntoIterator<Item = &'t Target>) -> Result<(), ConfigError> {
    let mut seen = BTreeMap::new();
    for target in targets {
        for region in target.account_id.iter().flat_map(|account| target.regions.iter().map(move |r| (account, r))) {
            if let Some(first) = seen.insert(region, &target.name) {
                let place = format!("target '{}': regions", Escaped(&target.name));
                let problem = format!("{}/{} is already part of target '{}'", region.0, region.1, Escaped(first));
                return Err(ConfigError::value(place, problem));
            }
        }
    }
    Ok(())
}

/// The Regions, and whether the target has all of them.
fn regions(raw: Option<raw::Regions>, key: impl Fn() -> String) -> Result<(Vec<Region>, bool), ConfigError> {
    let names = raw.unwrap_or_default().0;
    if names == ["all"] {
        return Ok((Vec::new(), true));
    }
    if names.iter().any(|name| name == "all") {
        return Err(ConfigError::value(key(), "\"all\" cannot be combined with other Regions"));
    }
    let regions = names.into_iter().map(|name| name.parse::<Region>());
    let regions = regions.collect::<Result<Vec<_>, _>>().map_err(|e| ConfigError::value(key(), e))?;
    if let Some(twice) = regions.iter().enumerate().find(|(i, region)| regions[..*i].contains(region)) {
        return Err(ConfigError::value(key(), format!("{} is listed twice", twice.1)));
    }
    Ok((regions, false))
}

fn partition(name: &str, key: impl Fn() -> String) -> Result<Partition, ConfigError> {
    const KNOWN: [&str; 8] =
        ["aws", "aws-cn", "aws-us-gov", "aws-eusc", "aws-iso", "aws-iso-b", "aws-iso-e", "aws-iso-f"];
    if KNOWN.contains(&name) { Ok(name.into()) } else { Err(one_of(&key(), name, &KNOWN)) }
}

fn role(raw: raw::AssumeRole) -> Result<RoleTemplate, String> {
    let session_name = raw.session_name.map_or_else(|| Ok(SessionName::default()), |name| name.parse());
    let duration = match raw.duration.as_deref() {
        None => DEFAULT_DURATION,
        text => duration("duration (--duration)", text).map_err(|error| error.to_string())?,
    };
    Ok(RoleTemplate {
        arn: raw.arn,
        external_id: raw.external_id,
        session_name: session_name.map_err(|error| format!("session_name (--session-name): {error}"))?,
        duration,
    })
}
