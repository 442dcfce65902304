//! Controls a simulated service while it runs.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::Value;

use crate::changes::{Change, ChangeKind};
use crate::counts::Counts;
use crate::denials::Denial;
use crate::derived::derived_uuid;
use crate::estate::{DemoAccess, MemberState};
use crate::faults::{FaultId, FaultRule};
use crate::locks::{lock, read, write};
use crate::quota::Quota;
use crate::state::State;
use crate::tables::LiveTables;
use crate::unknown::{UnknownAccount, UnknownKey, UnknownScope};

/// Why a key cannot be moved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MoveKeyError {
    /// There is no such key.
    #[error(transparent)]
    Key(#[from] UnknownKey),
    /// There is no such account.
    #[error(transparent)]
    Account(#[from] UnknownAccount),
}

/// Controls a running [`Simulator`](crate::Simulator) or [`InProcess`](crate::InProcess) service.
/// Clones control the same service, also from other threads.
#[derive(Clone, Debug)]
pub struct Control {
    state: Arc<State>,
}

impl Control {
    pub(crate) fn new(state: Arc<State>) -> Self {
        Self { state }
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// How a client reaches the accounts of the estate.
    #[must_use]
    pub fn access(&self) -> &DemoAccess {
        &self.state.access
    }

    /// Sets a fault.
    pub fn add_fault(&self, rule: FaultRule) -> FaultId {
        self.state.faults.add(rule)
    }

    /// How many requests a fault has hit.
    #[must_use]
    pub fn fault_hits(&self, id: FaultId) -> u64 {
        self.state.faults.hits(id)
    }

    /// Ends one fault; its hits stay readable.
    pub fn remove_fault(&self, id: FaultId) {
        self.state.faults.remove(id);
    }

    /// Ends all faults, also those of the estate; hits stay readable.
    pub fn clear_faults(&self) {
        self.state.faults.clear();
    }

    /// Adds an IAM denial.
    pub fn deny(&self, denial: Denial) {
        self.state.denials.add(denial);
    }

    /// Removes all IAM denials, also those of the estate.
    pub fn clear_denials(&self) {
        self.state.denials.clear();
    }

    /// Replaces the quota of one scope. `None` removes it.
    ///
    /// # Errors
    /// If the estate has no such scope.
    pub fn set_quota(&self, account_id: &str, region: &str, quota: Option<Quota>) -> Result<(), UnknownScope> {
        self.state.scope(account_id, region).map(|scope| scope.quota.set(quota))
    }

    /// Replaces the latency of one scope.
    ///
    /// # Errors
    /// If the estate has no such scope.
    pub fn set_latency(&self, account_id: &str, region: &str, latency: Duration) -> Result<(), UnknownScope> {
        self.state.scope(account_id, region).map(|scope| scope.set_latency(latency))
    }

    /// Everything counted so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.state.counts()
    }

    /// Resets all counts.
    pub fn reset_counts(&self) {
        self.state.reset_counts();
    }

    /// Ends all sessions issued so far.
    pub fn expire_sessions(&self) {
        self.state.sessions.expire_all();
    }

    /// Advances the clock of sessions, and no other.
    pub fn advance_sessions(&self, by: Duration) {
        self.state.sessions.advance(by);
    }

    /// Moves a user's access key, with its secret, to the user of another account: requests that
    /// are signed with it belong to that account from now on.
    ///
    /// # Errors
    /// If no user has the key, or the estate has no such account.
    pub fn move_key(&self, access_key_id: &str, account_id: &str) -> Result<(), MoveKeyError> {
        let account = self.state.by_id.get(account_id).copied();
        let account = account.ok_or_else(|| UnknownAccount { account_id: account_id.to_owned() })?;
        match write(&self.state.by_key).get_mut(access_key_id) {
            Some(key) => key.account = account,
            None => return Err(UnknownKey { access_key_id: access_key_id.to_owned() }.into()),
        }
        Ok(())
    }

    /// Deletes a user's access key: no service recognizes it any more. Sessions that were issued to it continue.
    ///
    /// # Errors
    /// If no user has the key.
    pub fn delete_key(&self, access_key_id: &str) -> Result<(), UnknownKey> {
        let deleted = write(&self.state.by_key).remove(access_key_id);
        deleted.map(drop).ok_or_else(|| UnknownKey { access_key_id: access_key_id.to_owned() })
    }

    /// Sets how many seconds the clock for checking signatures is ahead of the real one, or behind
    /// if negative.
    pub fn set_clock_skew(&self, seconds: i64) {
        self.state.skew_seconds.store(seconds, Ordering::Relaxed);
    }

    /// Creates or replaces a table. `description` becomes the `Table` of DescribeTable's answer.
    ///
    /// # Errors
    /// If the estate has no such scope.
    pub fn put_table(
        &self,
        account_id: &str,
        region: &str,
        name: &str,
        description: &Value,
    ) -> Result<(), UnknownScope> {
        self.change(account_id, region, name, |tables| ((), tables.put(name, description)))
    }

    /// Removes a table. Returns whether it existed.
    ///
    /// # Errors
    /// If the estate has no such scope.
    pub fn remove_table(&self, account_id: &str, region: &str, name: &str) -> Result<bool, UnknownScope> {
        self.change(account_id, region, name, |tables| tables.remove(name))
    }

    /// Edits the description of a table. Returns whether it existed. `edit` must not access tables
    /// of the same scope, because they are locked meanwhile.
    ///
    /// # Errors
    /// If the estate has no such scope.
    pub fn update_table(
        &self,
        account_id: &str,
        region: &str,
        name: &str,
        edit: impl FnOnce(&mut Value),
    ) -> Result<bool, UnknownScope> {
        self.change(account_id, region, name, |tables| tables.edit(name, edit))
    }

    /// Replaces a table by another one with the same description, except for its `TableId` and a
    /// `CreationDateTime` one hour later. Returns whether it existed.
    ///
    /// # Errors
    /// If the estate has no such scope.
    pub fn recreate_table(&self, account_id: &str, region: &str, name: &str) -> Result<bool, UnknownScope> {
        self.update_table(account_id, region, name, |table| {
            let before = table["TableId"].as_str().unwrap_or_default();
            table["TableId"] = derived_uuid(&format!("{account_id}/{region}/{name}/{before}")).into();
            let created = table["CreationDateTime"].as_f64().unwrap_or_default();
            table["CreationDateTime"] = (created + 3_600.0).into();
        })
    }

    /// Sets the number of items of a table, with the same average size, and changes nothing else.
    /// Returns whether it existed. [`Control::log`] does not contain this.
    ///
    /// # Errors
    /// If the estate has no such scope.
    pub fn set_items(&self, account_id: &str, region: &str, name: &str, count: u64) -> Result<bool, UnknownScope> {
        self.update_table(account_id, region, name, |table| {
            let number = |field: &str| table[field].as_u64().unwrap_or_default();
            let each = number("TableSizeBytes").checked_div(number("ItemCount")).unwrap_or(100);
            table["ItemCount"] = count.into();
            table["TableSizeBytes"] = count.saturating_mul(each).into();
        })
    }

    /// Changes a table and logs what happened.
    fn change<T>(
        &self,
        account_id: &str,
        region: &str,
        name: &str,
        change: impl FnOnce(&mut LiveTables) -> (T, Option<ChangeKind>),
    ) -> Result<T, UnknownScope> {
        let mut tables = write(&self.state.scope(account_id, region)?.tables);
        let (result, kind) = change(&mut tables);
        // While the tables are locked, so that the log has the order in which they changed.
        lock(&self.state.changes).extend(kind.map(|kind| Change {
            account_id: account_id.to_owned(),
            region: region.to_owned(),
            table: name.to_owned(),
            kind,
        }));
        Ok(result)
    }

    /// What happened to tables since the start, or since [`Control::take_log`], in order. The log
    /// grows until it is taken.
    #[must_use]
    pub fn log(&self) -> Vec<Change> {
        lock(&self.state.changes).clone()
    }

    /// Returns [`Control::log`], and begins a new one.
    #[must_use]
    pub fn take_log(&self) -> Vec<Change> {
        std::mem::take(&mut lock(&self.state.changes))
    }

    /// Suspends an account: Organizations shows it, and its roles can no longer be assumed.
    /// Sessions of these roles and the keys of its user still work; see
    /// [`Control::expire_sessions`].
    ///
    /// # Errors
    /// If neither the estate nor its organization has the account.
    pub fn suspend_account(&self, account_id: &str) -> Result<(), UnknownAccount> {
        self.set_account_state(account_id, MemberState::Suspended)
    }

    /// Makes an account active, whatever its state was.
    ///
    /// # Errors
    /// If neither the estate nor its organization has the account.
    pub fn reactivate_account(&self, account_id: &str) -> Result<(), UnknownAccount> {
        self.set_account_state(account_id, MemberState::Active)
    }

    fn set_account_state(&self, account_id: &str, state: MemberState) -> Result<(), UnknownAccount> {
        let organization = self.state.organization.as_ref();
        let known = self.state.account(account_id).is_some()
            || organization.is_some_and(|organization| organization.has(account_id));
        if !known {
            return Err(UnknownAccount { account_id: account_id.to_owned() });
        }
        write(&self.state.account_states).insert(account_id.to_owned(), state);
        Ok(())
    }

    /// Opts an account out of a Region: all services behave as if the account had never had it. Its
    /// tables stay, and all methods here still reach them.
    ///
    /// # Errors
    /// If the estate has no such scope.
    pub fn opt_out(&self, account_id: &str, region: &str) -> Result<(), UnknownScope> {
        self.state.scope(account_id, region).map(|scope| scope.opted_out.store(true, Ordering::Relaxed))
    }

    /// Opts an account in to a Region again. To add a Region later, put it into the estate and opt
    /// out of it first.
    ///
    /// # Errors
    /// If the estate has no such scope.
    pub fn opt_in(&self, account_id: &str, region: &str) -> Result<(), UnknownScope> {
        self.state.scope(account_id, region).map(|scope| scope.opted_out.store(false, Ordering::Relaxed))
    }

    /// The description of a table that DescribeTable would return without faults, or `None` if the
    /// table vanishes.
    #[must_use]
    pub fn describe_json(&self, account_id: &str, region: &str, name: &str) -> Option<Value> {
        read(&self.state.scope(account_id, region).ok()?.tables).describe_json(name)
    }

    /// All names that ListTables would return, in order. Empty if the estate has no such scope.
    #[must_use]
    pub fn table_names(&self, account_id: &str, region: &str) -> Vec<String> {
        self.state.scope(account_id, region).map(|scope| read(&scope.tables).names()).unwrap_or_default()
    }
}
