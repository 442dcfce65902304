//! The state of an account in a running simulator.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use crate::estate::{Account, Role};
use crate::options::Options;
use crate::place::Place;
use crate::quota::Limit;
use crate::scope::Scope;

/// The state of an account in a running simulator.
#[derive(Debug)]
pub(crate) struct AccountState {
    pub(crate) index: usize,
    pub(crate) id: String,
    pub(crate) partition: String,
    pub(crate) roles: Vec<Role>,
    /// Includes Regions that the account has opted out of.
    scopes: HashMap<String, Scope>,
    pub(crate) list_accounts_quota: Limit,
    pub(crate) list_regions_quota: Limit,
}

impl AccountState {
    /// An account of the estate, and its number there.
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

    /// The scope of a Region, if the account has the Region.
    pub(crate) fn scope(&self, region: &str) -> Option<&Scope> {
        self.any_scope(region).filter(|scope| !scope.opted_out.load(Ordering::Relaxed))
    }

    /// The scope of a Region, also if the account has opted out of it.
    pub(crate) fn any_scope(&self, region: &str) -> Option<&Scope> {
        self.scopes.get(region)
    }

    /// The scopes of all Regions, also of those that the account has opted out of.
    pub(crate) fn all_scopes(&self) -> impl Iterator<Item = &Scope> {
        self.scopes.values()
    }

    /// The Regions that the account has.
    pub(crate) fn regions(&self) -> impl Iterator<Item = &str> {
        self.scopes.keys().map(String::as_str).filter(|region| self.scope(region).is_some())
    }
}
