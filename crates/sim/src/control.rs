//! What a test sets and reads while a simulated service runs.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use serde_json::Value;

use crate::{
    counts::Counts,
    denials::Denial,
    estate::DemoAccess,
    faults::{FaultId, FaultRule},
    quota::Quota,
    state::{State, UnknownScope, read, write},
};

/// The hands on a running [`Simulator`](crate::Simulator) or [`InProcess`](crate::InProcess) service. Clones control
/// the same service, also from other threads.
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

    /// How a client reaches the accounts, as the estate said.
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

    /// Takes all IAM denials back, also those of the estate.
    pub fn clear_denials(&self) {
        self.state.denials.clear();
    }

    /// Replaces the quota of one scope; none lifts it.
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

    /// Starts counting anew.
    pub fn reset_counts(&self) {
        self.state.reset_counts();
    }

    /// Ends all sessions issued so far.
    pub fn expire_sessions(&self) {
        self.state.sessions.expire_all();
    }

    /// Lets time pass for sessions, and for nothing else.
    pub fn advance_sessions(&self, by: Duration) {
        self.state.sessions.advance(by);
    }

    /// Puts the clock that signatures are checked by ahead of the real one by so many seconds, or behind.
    pub fn set_clock_skew(&self, seconds: i64) {
        self.state.skew_seconds.store(seconds, Ordering::Relaxed);
    }

    /// Creates or replaces a table. `description` is what DescribeTable's `Table` shall hold.
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
        self.state.scope(account_id, region).map(|scope| write(&scope.tables).put(name, description))
    }

    /// Removes a table; says whether it was there.
    ///
    /// # Errors
    /// If the estate has no such scope.
    pub fn remove_table(&self, account_id: &str, region: &str, name: &str) -> Result<bool, UnknownScope> {
        self.state.scope(account_id, region).map(|scope| write(&scope.tables).remove(name))
    }

    /// The description of a table as DescribeTable would give it if nothing went wrong; none for a table that vanishes.
    #[must_use]
    pub fn describe_json(&self, account_id: &str, region: &str, name: &str) -> Option<Value> {
        read(&self.state.scope(account_id, region).ok()?.tables).describe_json(name)
    }

    /// All names that ListTables would give, in order; none if the estate has no such scope.
    #[must_use]
    pub fn table_names(&self, account_id: &str, region: &str) -> Vec<String> {
        self.state.scope(account_id, region).map(|scope| read(&scope.tables).names()).unwrap_or_default()
    }
}
