//! `[[target]]`: one account, the accounts of a list, or the accounts of an organization.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use dynacrawl_discovery::AccountFilter;
use dynacrawl_engine::settings::{Group, RoleTemplate, Target, template_partition};
use dynacrawl_model::{AccountId, Escaped};

use super::error::ConfigError;
use super::raw;
use super::target::check_name;

/// What a `[[target]]` stands for.
pub(super) enum Expanded {
    Targets(Vec<Target>),
    Group(Box<Group>),
}

/// Determines what a `[[target]]` stands for.
pub(super) fn expand(raw: raw::Target, number: usize) -> Result<Expanded, ConfigError> {
    let name = raw.name_or_number(number);
    let key = |field: &str| format!("target '{}': {field}", Escaped(&name));
    let organization = raw.organizations == Some(true);
    let filters = [
        ("include_accounts", raw.include_accounts.is_some()),
        ("exclude_accounts", raw.exclude_accounts.is_some()),
        ("include_ous", raw.include_ous.is_some()),
        ("exclude_ous", raw.exclude_ous.is_some()),
    ];
    if !organization && let Some((filter, _)) = filters.iter().find(|(_, given)| *given) {
        return Err(ConfigError::value(
            key(filter),
            "chooses among the accounts of an organization; it needs organizations = true",
        ));
    }
    let (accounts, roles, one_account) = (raw.accounts.clone(), raw.roles(number)?, raw.account_id.is_some());
    if accounts.is_none() && !organization {
        if !one_account && roles.iter().any(RoleTemplate::names_account) {
            let problem = "{account} needs account_id, accounts or organizations = true";
            return Err(ConfigError::value(key("assume_role"), problem));
        }
        return Ok(Expanded::Targets(vec![raw.validate(number)?.with_roles(&roles)?]));
    }
    if accounts.is_some() && organization {
        return Err(ConfigError::value(key("accounts"), "cannot be used together with organizations = true"));
    }
    if one_account {
        return Err(ConfigError::value(key("account_id"), "cannot be used if the target stands for many accounts"));
    }
    if !roles.last().is_some_and(RoleTemplate::names_account) {
        let problem = "the last role must name the account, such as arn:{partition}:iam::{account}:role/Crawler";
        return Err(ConfigError::value(key("assume_role"), problem));
    }
    let filter = filter(&raw, key)?;
    let written = raw.validate(number)?;
    // Errors that every account has are reported once, with the target's own name. Any account
    // serves as a sample.
    let sample: AccountId = "000000000000".parse().map_err(|error| ConfigError::value(key("accounts"), error))?;
    Target { account_id: Some(sample.clone()), ..written.clone() }.with_roles(&roles)?;
    match accounts {
        Some(accounts) => listed(&written, &roles, &accounts, key).map(Expanded::Targets),
        None => {
            member(&written, &roles, sample)?;
            group(written, roles, filter).map(|group| Expanded::Group(Box::new(group)))
        }
    }
}

/// The target of one of many accounts.
fn member(written: &Target, roles: &[RoleTemplate], account: AccountId) -> Result<Target, ConfigError> {
    let name = format!("{}/{account}", written.name);
    check_name(&name)?;
    Ok(Target { name, account_id: Some(account), ..written.clone() }.with_roles(roles)?)
}

fn listed(
    written: &Target,
    roles: &[RoleTemplate],
    accounts: &[String],
    key: impl Fn(&str) -> String,
) -> Result<Vec<Target>, ConfigError> {
    if accounts.is_empty() {
        return Err(ConfigError::value(key("accounts"), "is empty; name at least one account"));
    }
    let mut targets: Vec<Target> = Vec::with_capacity(accounts.len());
    for (number, account) in accounts.iter().enumerate() {
        if accounts[..number].contains(account) {
            let problem = format!("{} is listed twice", Escaped(account));
            return Err(ConfigError::value(key("accounts"), problem));
        }
        let account = account.parse().map_err(|error| ConfigError::value(key("accounts"), error))?;
        targets.push(member(written, roles, account)?);
    }
    Ok(targets)
}

fn group(written: Target, roles: Vec<RoleTemplate>, filter: AccountFilter) -> Result<Group, ConfigError> {
    let partition = template_partition(written.named_partition.as_ref(), &written.regions, &roles);
    let before = roles.iter().take_while(|role| !role.names_account());
    let before: Vec<_> = before.map(|role| role.filled("", &partition)).collect();
    let discovery = Target { named_partition: Some(partition), ..written }.with_roles(&before)?;
    // A group has no account of its own: `with_roles` has put in the account of the last role.
    Ok(Group { discovery: Target { account_id: None, ..discovery }, filter, roles })
}

fn filter(raw: &raw::Target, key: impl Fn(&str) -> String) -> Result<AccountFilter, ConfigError> {
    fn set<T: FromStr<Err: fmt::Display> + Ord>(
        texts: Option<&Vec<String>>,
        key: &str,
    ) -> Result<BTreeSet<T>, ConfigError> {
        texts.into_iter().flatten().map(|text| text.parse().map_err(|error| ConfigError::value(key, error))).collect()
    }
    Ok(AccountFilter {
        include_accounts: set(raw.include_accounts.as_ref(), &key("include_accounts"))?,
        exclude_accounts: set(raw.exclude_accounts.as_ref(), &key("exclude_accounts"))?,
        include_units: set(raw.include_ous.as_ref(), &key("include_ous"))?,
        exclude_units: set(raw.exclude_ous.as_ref(), &key("exclude_ous"))?,
    })
}
