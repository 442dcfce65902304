//! One account in one Region, in a running simulator.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use crate::counts::{Outcome, ScopeCounts, ScopeMeter};
use crate::estate::Tables;
use crate::locks::lock;
use crate::operation::Operation;
use crate::place::Place;
use crate::quota::{Limit, Quota};
use crate::tables::LiveTables;

/// One account in one Region.
#[derive(Debug)]
pub(crate) struct Scope {
    pub(crate) place: Arc<Place>,
    pub(crate) tables: RwLock<LiveTables>,
    /// Shared by ListTables and DescribeTable.
    pub(crate) quota: Limit,
    /// Whether the account has opted out of the Region. Its tables stay.
    pub(crate) opted_out: AtomicBool,
    meter: Mutex<ScopeMeter>,
    latency_us: AtomicU64,
}

impl Scope {
    pub(crate) fn new(place: Place, tables: Tables, quota: Option<Quota>, latency: Duration) -> Self {
        let place = Arc::new(place);
        let scope = Self {
            tables: RwLock::new(LiveTables::new(tables, Arc::clone(&place))),
            place,
            quota: Limit::new(quota),
            opted_out: AtomicBool::new(false),
            meter: Mutex::default(),
            latency_us: AtomicU64::new(0),
        };
        scope.set_latency(latency);
        scope
    }

    pub(crate) fn latency(&self) -> Duration {
        Duration::from_micros(self.latency_us.load(Ordering::Relaxed))
    }

    pub(crate) fn set_latency(&self, latency: Duration) {
        self.latency_us.store(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Counts a request that was received at this time.
    pub(crate) fn record(&self, operation: Operation, outcome: Outcome<'_>, now_ms: u64) {
        lock(&self.meter).record(operation, outcome, now_ms);
    }

    /// The counts so far, or `None` without a request.
    pub(crate) fn counts(&self) -> Option<ScopeCounts> {
        lock(&self.meter).snapshot(&self.place.account_id, &self.place.region)
    }

    pub(crate) fn reset_counts(&self) {
        *lock(&self.meter) = ScopeMeter::default();
    }
}
