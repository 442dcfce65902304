//! What all connections share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use tokio::time::Instant;

use crate::changes::Change;
use crate::counts::{Counts, Meters, Outcome, ScopeMeter};
use crate::denials::DenialTable;
use crate::estate::{DemoAccess, Estate, MemberState, Role};
use crate::faults::FaultTable;
use crate::operation::Operation;
use crate::options::Options;
use crate::organizations::Directory;
use crate::quota::Limit;
use crate::sessions::Sessions;
use crate::tables::LiveTables;

/// The estate has no such account, or the account has not opted in to the Region.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the estate has no account {account_id} with Region {region}")]
pub struct UnknownScope {
    /// The account that was asked for.
    pub account_id: String,
    /// The Region that was asked for.
    pub region: String,
}

/// The estate has no such account, nor has its organization.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither the estate nor its organization has an account {account_id}")]
pub struct UnknownAccount {
    /// The account that was asked for.
    pub account_id: String,
}

/// The account and the Region of tables.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) partition: String,
    pub(crate) account_id: String,
    pub(crate) region: String,
}

/// One account in one Region.
#[derive(Debug)]
pub(crate) struct Scope {
    pub(crate) place: Arc<Place>,
    pub(crate) tables: RwLock<LiveTables>,
    /// Of ListTables and DescribeTable together.
    pub(crate) quota: Limit,
    /// Whether the account has opted out of the Region, whose tables stay where they are.
    pub(crate) opted_out: AtomicBool,
    meter: Mutex<ScopeMeter>,
    latency_us: AtomicU64,
}

impl Scope {
    pub(crate) fn latency(&self) -> Duration {
        Duration::from_micros(self.latency_us.load(Ordering::Relaxed))
    }

    pub(crate) fn set_latency(&self, latency: Duration) {
        self.latency_us.store(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// The access key of a user.
#[derive(Clone, Debug)]
pub(crate) struct UserKey {
    /// The number of the user's account in the estate.
    pub(crate) account: usize,
    pub(crate) secret: Arc<str>,
}

/// The service has no such access key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no user has the access key {access_key_id}")]
pub struct UnknownKey {
    /// The access key that was asked for.
    pub access_key_id: String,
}

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
    /// The account in a Region, if it has the Region.
    pub(crate) fn scope(&self, region: &str) -> Option<&Scope> {
        self.scopes.get(region).filter(|scope| !scope.opted_out.load(Ordering::Relaxed))
    }

    /// The Regions that the account has.
    pub(crate) fn regions(&self) -> impl Iterator<Item = &str> {
        self.scopes.keys().map(String::as_str).filter(|region| self.scope(region).is_some())
    }
}

/// Everything that requests are answered from.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) access: DemoAccess,
    pub(crate) accounts: Vec<AccountState>,
    pub(crate) by_key: RwLock<HashMap<String, UserKey>>,
    pub(crate) by_id: HashMap<String, usize>,
    pub(crate) organization: Option<Directory>,
    /// States that accounts were put into since the start.
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
            let mut scopes = HashMap::with_capacity(account.regions.len());
            for (region, tables) in account.regions {
                let key = (account.id.clone(), region.clone());
                let place = Arc::new(Place {
                    partition: account.partition.clone(),
                    account_id: account.id.clone(),
                    region: region.clone(),
                });
                let scope = Scope {
                    tables: RwLock::new(LiveTables::new(tables, Arc::clone(&place))),
                    place,
                    quota: Limit::new(options.quota_overrides.get(&key).copied().unwrap_or(options.quota)),
                    opted_out: AtomicBool::new(false),
                    meter: Mutex::default(),
                    latency_us: AtomicU64::new(0),
                };
                scope.set_latency(options.latency_overrides.get(&key).copied().unwrap_or(options.latency));
                scopes.insert(region, scope);
            }
            let key = UserKey { account: index, secret: account.secret_access_key.into() };
            write(&state.by_key).insert(account.access_key_id, key);
            state.by_id.insert(account.id.clone(), index);
            state.accounts.push(AccountState {
                index,
                id: account.id,
                partition: account.partition,
                roles: account.roles,
                scopes,
                list_accounts_quota: Limit::new(options.list_accounts_quota),
                list_regions_quota: Limit::new(options.list_regions_quota),
            });
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
            .and_then(|account| account.scopes.get(region))
            .ok_or_else(|| UnknownScope { account_id: account_id.to_owned(), region: region.to_owned() })
    }

    /// Counts a request, in its scope if the estate has it.
    pub(crate) fn record(&self, account_id: &str, region: &str, operation: Operation, outcome: Outcome<'_>) {
        let now_ms = self.meters.tick(Instant::now());
        match self.scope(account_id, region) {
            Ok(scope) => lock(&scope.meter).record(operation, outcome, now_ms),
            Err(_) => self.meters.stranger(account_id, region, operation, outcome, now_ms),
        }
    }

    /// The same for a scope that is at hand.
    pub(crate) fn record_in(&self, scope: &Scope, operation: Operation, outcome: Outcome<'_>) {
        let now_ms = self.meters.tick(Instant::now());
        lock(&scope.meter).record(operation, outcome, now_ms);
    }

    fn scopes(&self) -> impl Iterator<Item = &Scope> {
        self.accounts.iter().flat_map(|account| account.scopes.values())
    }

    pub(crate) fn counts(&self) -> Counts {
        self.meters.snapshot(
            self.scopes()
                .filter_map(|scope| lock(&scope.meter).snapshot(&scope.place.account_id, &scope.place.region))
                .collect(),
        )
    }

    pub(crate) fn reset_counts(&self) {
        self.scopes().for_each(|scope| *lock(&scope.meter) = ScopeMeter::default());
        self.meters.reset();
    }
}

/// Locks, also after another thread panicked: every value behind these locks is whole between any two statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Locks for reading, as [`lock`] does.
pub(crate) fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

/// Locks for writing, as [`lock`] does.
pub(crate) fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
