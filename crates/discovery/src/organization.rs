//! organizations:ListAccounts, and the organizational units that filters name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use aws_sdk_organizations::config::{Builder, Region as SdkRegion};
use aws_sdk_organizations::types::{Account as SdkAccount, AccountState, AccountStatus};
use aws_smithy_runtime::client::retries::RetryPartition;
use aws_smithy_types::retry::RetryConfig;
use aws_types::SdkConfig;
use dynacrawl_auth::{CachedCredentials, Caller};
use dynacrawl_aws::{AwsError, Quota, RetryPolicy, global_region};
use dynacrawl_model::{Account, AccountId, Escaped, Operation, Partition};

use crate::{DiscoveryError, Listed, Page, pages};

/// The id of an organizational unit (`ou-…`) or of a root (`r-…`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnitId(String);

/// The error for a text that is not a [`UnitId`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{}' is not the id of an organizational unit, such as ou-ab12-34cd56ef, or of a root, such as r-ab12", dynacrawl_model::Escaped(.0))]
pub struct InvalidUnit(String);

impl fmt::Display for UnitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for UnitId {
    type Err = InvalidUnit;

    fn from_str(id: &str) -> Result<Self, InvalidUnit> {
        let word = |text: &str, min, max| {
            (min..=max).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        };
        let valid = match id.split('-').collect::<Vec<_>>().as_slice() {
            ["r", root] => word(root, 4, 32),
            ["ou", root, unit] => word(root, 4, 32) && word(unit, 8, 32),
            _ => false,
        };
        if valid { Ok(Self(id.to_owned())) } else { Err(InvalidUnit(id.to_owned())) }
    }
}

/// Selects accounts of an organization. Exclude wins; without includes, all are selected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountFilter {
    /// Include these accounts.
    pub include_accounts: BTreeSet<AccountId>,
    /// Exclude these accounts.
    pub exclude_accounts: BTreeSet<AccountId>,
    /// Include the accounts in these units and in the units below them.
    pub include_units: BTreeSet<UnitId>,
    /// Exclude the accounts in these units and in the units below them.
    pub exclude_units: BTreeSet<UnitId>,
}

/// The accounts that were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundAccounts {
    /// The active accounts that the filter selects, by id.
    pub accounts: Vec<Account>,
    /// How many accounts were listed.
    pub listed: u64,
    /// How many of those are not active.
    pub inactive: u64,
    /// How many active ones the filter left out.
    pub filtered: u64,
    /// The accounts that the filter includes by id but that are not active in the organization.
    pub not_found: Vec<AccountId>,
    /// Why accounts may be missing: a failed call, or an unreadable account. Those found are kept.
    pub failed: Option<DiscoveryError>,
}

/// An organization, called with the credentials of its management account or a delegated
/// administrator.
#[derive(Clone, Debug)]
pub struct Organization {
    client: aws_sdk_organizations::Client,
    caller: Caller,
}

impl Organization {
    /// Sets up the client; nothing is called yet. `url` replaces AWS's endpoint.
    pub fn new(
        config: &SdkConfig,
        credentials: &CachedCredentials,
        url: Option<&str>,
        quota: Quota,
        retry: RetryPolicy,
        partition: &Partition,
    ) -> Self {
        let mut builder = Builder::from(config)
            .region(SdkRegion::new(global_region(partition).as_str().to_owned()))
            .credentials_provider(credentials.clone())
            .retry_config(RetryConfig::disabled())
            .retry_partition(RetryPartition::custom("").build());
        if let Some(url) = url {
            builder = builder.endpoint_url(url);
        }
        let client = aws_sdk_organizations::Client::from_conf(builder.build());
        Self { client, caller: Caller::within(quota, credentials.clone(), retry) }
    }

    /// The organization's active accounts that `filter` selects.
    pub async fn accounts(&self, filter: &AccountFilter) -> FoundAccounts {
        // Find out which accounts must not be crawled before crawling any.
        let excluded = match self.in_units(&filter.exclude_units).await {
            (excluded, None) => excluded,
            (_, failed) => return FoundAccounts { failed, ..FoundAccounts::default() },
        };
        let (included, mut failed) = self.in_units(&filter.include_units).await;
        let mut found = FoundAccounts::default();
        let mut active = BTreeMap::new();
        let listed = self.list().await;
        for (id, account) in listed.items {
            found.listed += 1;
            if !account.is_active {
                found.inactive += 1;
                continue;
            }
            let all = filter.include_accounts.is_empty() && filter.include_units.is_empty();
            let wanted = all || filter.include_accounts.contains(&id) || included.contains(&id);
            if wanted && !filter.exclude_accounts.contains(&id) && !excluded.contains(&id) {
                active.insert(id, account.account);
            } else {
                found.filtered += 1;
            }
        }
        failed = failed.or(listed.failed).or(listed.unreadable);
        if failed.is_none() {
            let named = filter.include_accounts.difference(&filter.exclude_accounts);
            found.not_found = named.filter(|id| !active.contains_key(id) && !excluded.contains(id)).cloned().collect();
        }
        FoundAccounts { accounts: active.into_values().collect(), failed, ..found }
    }

    /// All accounts, and whether each is active.
    async fn list(&self) -> Listed<AccountId, ListedAccount> {
        let page = |next: Option<String>| async {
            let answer = self.client.list_accounts().set_next_token(next).send().await;
            let answer = answer.map_err(|error| AwsError::from_sdk(&error))?;
            Ok(Page::new(answer.accounts().iter().map(account), answer.next_token.clone()))
        };
        pages(&self.caller, Operation::ListAccounts, page).await
    }

    /// The accounts in `units` and below.
    async fn in_units(&self, units: &BTreeSet<UnitId>) -> (BTreeSet<AccountId>, Option<DiscoveryError>) {
        let mut accounts = BTreeSet::new();
        let mut waiting: Vec<String> = units.iter().map(UnitId::to_string).collect();
        let mut seen: BTreeSet<String> = waiting.iter().cloned().collect();
        while let Some(unit) = waiting.pop() {
            let below = self.accounts_of(&unit).await;
            accounts.extend(below.items.into_keys());
            let inside = self.units_of(&unit).await;
            waiting.extend(inside.items.into_keys().filter(|unit| seen.insert(unit.clone())));
            let failed = below.failed.or(inside.failed).or(below.unreadable).or(inside.unreadable);
            if failed.is_some() {
                return (accounts, failed);
            }
        }
        (accounts, None)
    }

    async fn accounts_of(&self, unit: &str) -> Listed<AccountId, ListedAccount> {
        let page = |next: Option<String>| async {
            let answer = self.client.list_accounts_for_parent().parent_id(unit).set_next_token(next).send().await;
            let answer = answer.map_err(|error| AwsError::from_sdk(&error))?;
            Ok(Page::new(answer.accounts().iter().map(account), answer.next_token.clone()))
        };
        pages(&self.caller, Operation::ListAccountsForParent, page).await
    }

    async fn units_of(&self, unit: &str) -> Listed<String, ()> {
        let page = |next: Option<String>| async {
            let call = self.client.list_organizational_units_for_parent();
            let answer = call.parent_id(unit).set_next_token(next).send().await;
            let answer = answer.map_err(|error| AwsError::from_sdk(&error))?;
            let units = answer.organizational_units().iter().map(|unit| match unit.id() {
                Some(id) => Ok((id.to_owned(), ())),
                None => Err("an organizational unit has no id".to_owned()),
            });
            Ok(Page::new(units, answer.next_token.clone()))
        };
        pages(&self.caller, Operation::ListOrganizationalUnitsForParent, page).await
    }
}

/// An account, and whether it is active.
struct ListedAccount {
    account: Account,
    is_active: bool,
}

/// An account is active by its `State`, or by its `Status` if an older service sends no `State`. An
/// account with neither counts as active: if it is not, the crawl shows that.
fn account(account: &SdkAccount) -> Result<(AccountId, ListedAccount), String> {
    let id = account.id().unwrap_or_default();
    let id: AccountId = id.parse().map_err(|_| format!("'{}' is not the id of an account", Escaped(id)))?;
    let (state, is_active) = match (account.state(), account.status()) {
        (Some(state), _) => (Some(state.as_str()), *state == AccountState::Active),
        (None, Some(status)) => (Some(status.as_str()), *status == AccountStatus::Active),
        (None, None) => (None, true),
    };
    let account = Account {
        id: id.clone(),
        name: account.name().map(str::to_owned),
        email: account.email().map(str::to_owned),
        state: state.map(str::to_owned),
    };
    Ok((id, ListedAccount { account, is_active }))
}

#[cfg(test)]
mod tests {
    use super::UnitId;

    #[test]
    fn ids_of_units_and_roots_are_checked() {
        for right in ["ou-ab12-34cd56ef", "r-ab12"] {
            assert!(right.parse::<UnitId>().is_ok(), "{right}");
        }
        for wrong in ["", "ou-ab12", "r-", "123456789012", "OU-ab12-34cd56ef", "ou-ab12-short", "ou-ab12-34cd56ef-x"] {
            assert!(wrong.parse::<UnitId>().is_err(), "{wrong}");
        }
    }
}
