//! A target that stands for many accounts: those of a list, or of an organization.

use dynacrawl_discovery::AccountFilter;
use dynacrawl_model::{AccountId, Partition, TargetSummary};

use super::ConfigError;
use super::raw;
use super::target::{Target, template_partition};

/// A target that stands for the accounts of an organization, which are found out when the run begins.
#[derive(Clone, Debug)]
pub struct Group {
    /// Who asks the organization: the credentials, and the roles up to the first that names the account.
    pub discovery: Target,
    /// Which accounts are wanted.
    pub filter: AccountFilter,
    template: raw::Target,
}

/// What a `[[target]]` stands for.
pub(super) enum Expanded {
    Targets(Vec<Target>),
    Group(Box<Group>),
}

impl Group {
    /// The target's name.
    pub fn name(&self) -> &str {
        &self.discovery.name
    }

    /// The target of one of its accounts.
    ///
    /// # Errors
    /// When the account's own id makes the roles impossible; the form of all else has been checked.
    pub fn target(&self, account: &AccountId) -> Result<Target, ConfigError> {
        let target = Target::validate(of_account(&self.template, self.name(), account.as_str()), 0)?;
        // What was left to AWS's own settings is known by now.
        Ok(Target {
            regions: self.discovery.regions.clone(),
            configured_as: self.discovery.configured_as.clone(),
            ..target
        })
    }

    /// The ARN of the role that is assumed last, with `{account}`, for the partition.
    pub fn role_template(&self, partition: &Partition) -> String {
        let last = self.template.assume_role.as_ref().and_then(|steps| steps.last());
        last.map(|step| step.arn.replace("{partition}", partition.as_str())).unwrap_or_default()
    }

    /// The ARN of the first role that names the account, with `{account}`, for the partition.
    pub(crate) fn first_account_role(&self, partition: &Partition) -> String {
        let first = self.template.assume_role.iter().flatten().find(|step| step.names_account());
        first.map(|step| step.arn.replace("{partition}", partition.as_str())).unwrap_or_default()
    }

    /// Who assumes the last role, where that is another role, and the last role's external id; both with `{account}`.
    pub(crate) fn trust_template(&self, partition: &Partition) -> (Option<String>, Option<String>) {
        let fill = |text: &str| text.replace("{partition}", partition.as_str());
        match self.template.assume_role.as_deref() {
            None | Some([]) => (None, None),
            Some([last]) => (None, last.external_id.as_deref().map(fill)),
            Some([.., before, last]) => (Some(fill(&before.arn)), last.external_id.as_deref().map(fill)),
        }
    }

    /// The ARNs of all roles, as they were typed.
    pub(super) fn role_templates(&self) -> impl Iterator<Item = &str> {
        self.template.assume_role.iter().flatten().map(|step| step.arn.as_str())
    }

    /// The target as `run_started` tells it.
    pub fn summary(&self) -> TargetSummary {
        let role_arn = Some(self.role_template(&self.discovery.partition()));
        TargetSummary { account_id: None, role_arn, organization: true, ..self.discovery.summary() }
    }
}

/// Finds out what a `[[target]]` stands for.
pub(super) fn expand(raw: raw::Target, number: usize) -> Result<Expanded, ConfigError> {
    let name = raw.name_or_number(number);
    let key = |field: &str| format!("target '{}': {field}", dynacrawl_model::Escaped(&name));
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
    if raw.accounts.is_none() && !organization {
        return single(raw, number, key);
    }
    if raw.accounts.is_some() && organization {
        return Err(ConfigError::value(key("accounts"), "cannot be used together with organizations = true"));
    }
    if raw.account_id.is_some() {
        return Err(ConfigError::value(key("account_id"), "cannot be used where the target stands for many accounts"));
    }
    if !raw.assume_role.iter().flatten().last().is_some_and(raw::AssumeRole::names_account) {
        let problem = "the last role must name the account, such as arn:{partition}:iam::{account}:role/Crawler";
        return Err(ConfigError::value(key("assume_role"), problem));
    }
    // What is wrong for every account is wrong with the target that was written, whichever account is taken to see it.
    let sample = raw::Target { name: Some(name.clone()), ..of_account(&raw, &name, "000000000000") };
    Target::validate(sample, number)?;
    match &raw.accounts {
        Some(accounts) => listed(&raw, &name, accounts, key).map(Expanded::Targets),
        None => group(raw, &name, key).map(|group| Expanded::Group(Box::new(group))),
    }
}

fn single(raw: raw::Target, number: usize, key: impl Fn(&str) -> String) -> Result<Expanded, ConfigError> {
    if raw.account_id.is_none() && raw.assume_role.iter().flatten().any(raw::AssumeRole::names_account) {
        let problem = "{account} needs account_id, accounts or organizations = true";
        return Err(ConfigError::value(key("assume_role"), problem));
    }
    Ok(Expanded::Targets(vec![Target::validate(raw, number)?]))
}

fn listed(
    raw: &raw::Target,
    name: &str,
    accounts: &[String],
    key: impl Fn(&str) -> String,
) -> Result<Vec<Target>, ConfigError> {
    if accounts.is_empty() {
        return Err(ConfigError::value(key("accounts"), "is empty; name at least one account"));
    }
    let mut targets: Vec<Target> = Vec::with_capacity(accounts.len());
    for (number, account) in accounts.iter().enumerate() {
        if accounts[..number].contains(account) {
            let problem = format!("{} stands there twice", dynacrawl_model::Escaped(account));
            return Err(ConfigError::value(key("accounts"), problem));
        }
        account.parse::<AccountId>().map_err(|error| ConfigError::value(key("accounts"), error))?;
        let target = Target::validate(of_account(raw, name, account), 0)?;
        targets.push(Target { configured_as: name.to_owned(), ..target });
    }
    Ok(targets)
}

fn group(raw: raw::Target, name: &str, key: impl Fn(&str) -> String) -> Result<Group, ConfigError> {
    fn set<T: std::str::FromStr<Err: std::fmt::Display> + Ord>(
        texts: Option<&Vec<String>>,
        key: &str,
    ) -> Result<std::collections::BTreeSet<T>, ConfigError> {
        texts.into_iter().flatten().map(|text| text.parse().map_err(|error| ConfigError::value(key, error))).collect()
    }
    let filter = AccountFilter {
        include_accounts: set(raw.include_accounts.as_ref(), &key("include_accounts"))?,
        exclude_accounts: set(raw.exclude_accounts.as_ref(), &key("exclude_accounts"))?,
        include_units: set(raw.include_ous.as_ref(), &key("include_ous"))?,
        exclude_units: set(raw.exclude_ous.as_ref(), &key("exclude_ous"))?,
    };
    // An account's name is longer than the target's.
    let sample = Target::validate(of_account(&raw, name, "000000000000"), 0)?;
    let mut before = raw.clone();
    let steps = before.assume_role.take().unwrap_or_default();
    let partition = template_partition(raw.partition.as_deref().map(Partition::from).as_ref(), &sample.regions, &steps);
    let mut steps: Vec<_> = steps.into_iter().take_while(|step| !step.names_account()).collect();
    steps.iter_mut().for_each(|step| step.fill("", partition.as_str()));
    before.assume_role = Some(steps);
    before.partition = Some(partition.as_str().to_owned());
    before.name = Some(name.to_owned());
    let discovery = Target { account_id: None, ..Target::validate(before, 0)? };
    Ok(Group { discovery, filter, template: raw })
}

/// The target of one account.
fn of_account(raw: &raw::Target, name: &str, account: &str) -> raw::Target {
    raw::Target {
        name: Some(format!("{name}/{account}")),
        account_id: Some(account.to_owned()),
        accounts: None,
        organizations: None,
        ..raw.clone()
    }
}
