//! An account as it runs.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use crate::estate::{Account, Role};
use crate::options::Options;
use crate::place::Place;
use crate::quota::Limit;
use crate::scope::Scope;

/// An account as it runs.
#[derive(Debug)]
pub(crate) struct AccountState {
    pub(crate) index: usize,
    pub(crate) id: String,
    pub(crate) partition: String,
    pub(crate) roles: Vec<Role>,
    /// Also those of Regions that the account has opted out of.
    scopes: HashMap<String, Scope>,
    pub(crate) list_accounts_quota: Limit,
    pub(crate) list_regions_quota: Limit,
}

impl AccountState {
    /// An account of the estate, which has this number there.
    pub(crate) fn new(index: usize, account: Account, options: &Options) -> Self {
        let Account { id, partition, roles, regions, .. } = account;
        let scopes = regions.into_iter().map(|(region, tables)| {
            let key = (id.clone(), region.clone());
            let quota = options.quota_overrides.get(&key).copied().unwrap_or(options.quota);
            let latency = options.latency_overrides.get(&key).copied().unwrap_or(options.latency);
            let place = Place { partition: partition.clone(), account_id: id.clone(), region: region.clone() };
            (region, Scope::new(place, tables, quota, latency))
        });
        Self {
            index,
            scopes: scopes.collect(),
            id,
            partition,
            roles,
            list_accounts_quota: Limit::new(options.list_accounts_quota),
            list_regions_quota: Limit::new(options.list_regions_quota),
        }
    }

    /// The account in a Region, if it has the Region.
    pub(crate) fn scope(&self, region: &str) -> Option<&Scope> {
        self.any_scope(region).filter(|scope| !scope.opted_out.load(Ordering::Relaxed))
    }

    /// The account in a Region, also if it has opted out of the Region.
    pub(crate) fn any_scope(&self, region: &str) -> Option<&Scope> {
        self.scopes.get(region)
    }

    /// The account in all Regions, also in those that it has opted out of.
    pub(crate) fn all_scopes(&self) -> impl Iterator<Item = &Scope> {
        self.scopes.values()
    }

    /// The Regions that the account has.
    pub(crate) fn regions(&self) -> impl Iterator<Item = &str> {
        self.scopes.keys().map(String::as_str).filter(|region| self.scope(region).is_some())
    }
}
