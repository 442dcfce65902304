//! Which target has which scope.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use dynacrawl_model::{AccountId, Region};

/// Which target has claimed an account and Region. Only a run finds out that two targets lead to the same account.
#[derive(Debug, Default)]
pub(crate) struct Claims(Mutex<HashMap<(AccountId, Region), String>>);

impl Claims {
    /// Claims the scope; returns the target that has it already.
    pub(crate) fn claim(&self, account_id: &AccountId, region: &Region, target: &str) -> Option<String> {
        let mut claims = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (account_id.clone(), region.clone());
        if let Some(holder) = claims.get(&key) {
            return (holder != target).then(|| holder.clone());
        }
        claims.insert(key, target.to_owned());
        None
    }
}
