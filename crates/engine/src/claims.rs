//! Which target crawls which scope.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use dynacrawl_model::{AccountId, Region};

/// Which target has claimed an account and Region. That two targets lead to the same account
/// becomes clear only during a run.
#[derive(Debug, Default)]
pub(crate) struct Claims(Mutex<Claimed>);

#[derive(Debug, Default)]
struct Claimed {
    scopes: HashMap<(AccountId, Region), String>,
    /// The same, by target.
    targets: HashSet<(String, Region)>,
}

impl Claims {
    fn claimed(&self) -> MutexGuard<'_, Claimed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Claims the scope. Returns the other target that has claimed it already, if there is one.
    pub(crate) fn claim(&self, account_id: &AccountId, region: &Region, target: &str) -> Option<String> {
        let mut claimed = self.claimed();
        let key = (account_id.clone(), region.clone());
        if let Some(holder) = claimed.scopes.get(&key) {
            return (holder != target).then(|| holder.clone());
        }
        claimed.scopes.insert(key, target.to_owned());
        claimed.targets.insert((target.to_owned(), region.clone()));
        None
    }

    /// Whether a target has claimed the scope.
    pub(crate) fn is_claimed(&self, account_id: &AccountId, region: &Region) -> bool {
        self.claimed().scopes.contains_key(&(account_id.clone(), region.clone()))
    }

    /// Whether the target has claimed an account in the Region.
    pub(crate) fn has_claimed(&self, target: &str, region: &Region) -> bool {
        self.claimed().targets.contains(&(target.to_owned(), region.clone()))
    }
}
