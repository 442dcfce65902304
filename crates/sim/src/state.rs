//! The state that all connections share.

use std::collections::HashMap;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use tokio::time::Instant;

use crate::account_state::AccountState;
use crate::changes::Change;
use crate::counts::{Counts, Meters, Outcome};
use crate::denials::DenialTable;
use crate::directory::Directory;
use crate::estate::{DemoAccess, Estate, MemberState};
use crate::faults::FaultTable;
use crate::locks::{read, write};
use crate::operation::Operation;
use crate::options::Options;
use crate::scope::Scope;
use crate::sessions::Sessions;
use crate::unknown::UnknownScope;

/// The access key of a user.
#[derive(Clone, Debug)]
pub(crate) struct UserKey {
    /// The number of the user's account in the estate.
    pub(crate) account: usize,
    pub(crate) secret: Arc<str>,
}

/// Everything that answers depend on.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) access: DemoAccess,
    pub(crate) accounts: Vec<AccountState>,
    pub(crate) by_key: RwLock<HashMap<String, UserKey>>,
    pub(crate) by_id: HashMap<String, usize>,
    pub(crate) organization: Option<Directory>,
    /// States of accounts that were changed since the start.
    pub(crate) account_states: RwLock<HashMap<String, MemberState>>,
    /// What happened to tables.
    pub(crate) changes: Mutex<Vec<Change>>,
    pub(crate) sessions: Sessions,
    pub(crate) faults: FaultTable,
    pub(crate) denials: DenialTable,
    pub(crate) meters: Meters,
    pub(crate) verify_signatures: bool,
    pub(crate) max_session: Option<Duration>,
    pub(crate) list_page_size: Option<usize>,
    pub(crate) latency: Duration,
    /// Seconds that the clock of signature checks is ahead of the real one.
    pub(crate) skew_seconds: AtomicI64,
}

impl State {
    pub(crate) fn new(estate: Estate, options: &Options) -> Self {
        let mut state = Self {
            access: estate.access,
            accounts: Vec::with_capacity(estate.accounts.len()),
            by_key: RwLock::default(),
            by_id: HashMap::new(),
            organization: None,
            account_states: RwLock::default(),
            changes: Mutex::default(),
            sessions: Sessions::default(),
            faults: FaultTable::default(),
            denials: DenialTable::default(),
            meters: Meters::new(),
            verify_signatures: options.verify_signatures,
            max_session: options.max_session,
            list_page_size: options.list_page_size,
            latency: options.latency,
            skew_seconds: AtomicI64::new(0),
        };
        for (index, account) in estate.accounts.into_iter().enumerate() {
            let key = UserKey { account: index, secret: account.secret_access_key.as_str().into() };
            write(&state.by_key).insert(account.access_key_id.clone(), key);
            state.by_id.insert(account.id.clone(), index);
            state.accounts.push(AccountState::new(index, account, options));
        }
        state.organization = estate.organization.map(|organization| {
            let management = state.account(&organization.management_account);
            let partition = management.map_or("aws", |account| &account.partition);
            Directory::new(organization, partition)
        });
        estate.denials.into_iter().for_each(|denial| state.denials.add(denial));
        for rule in estate.faults {
            state.faults.add(rule);
        }
        state
    }

    pub(crate) fn account(&self, id: &str) -> Option<&AccountState> {
        self.by_id.get(id).map(|&index| &self.accounts[index])
    }

    /// Whether an account was suspended since the start.
    pub(crate) fn is_suspended(&self, account_id: &str) -> bool {
        read(&self.account_states).get(account_id) == Some(&MemberState::Suspended)
    }

    /// A scope of the estate, also if its account has opted out of the Region.
    pub(crate) fn scope(&self, account_id: &str, region: &str) -> Result<&Scope, UnknownScope> {
        self.account(account_id)
            .and_then(|account| account.any_scope(region))
            .ok_or_else(|| UnknownScope { account_id: account_id.to_owned(), region: region.to_owned() })
    }

    /// Counts a request, in its scope if the estate has that scope.
    pub(crate) fn record(&self, account_id: &str, region: &str, operation: Operation, outcome: Outcome<'_>) {
        let now_ms = self.meters.tick(Instant::now());
        match self.scope(account_id, region) {
            Ok(scope) => scope.record(operation, outcome, now_ms),
            Err(_) => self.meters.stranger(account_id, region, operation, outcome, now_ms),
        }
    }

    /// Counts a request in this scope.
    pub(crate) fn record_in(&self, scope: &Scope, operation: Operation, outcome: Outcome<'_>) {
        let now_ms = self.meters.tick(Instant::now());
        scope.record(operation, outcome, now_ms);
    }

    fn scopes(&self) -> impl Iterator<Item = &Scope> {
        self.accounts.iter().flat_map(AccountState::all_scopes)
    }

    pub(crate) fn counts(&self) -> Counts {
        self.meters.snapshot(self.scopes().filter_map(Scope::counts).collect())
    }

    pub(crate) fn reset_counts(&self) {
        self.scopes().for_each(Scope::reset_counts);
        self.meters.reset();
    }
}
