//! Counts requests and connections.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use tokio::time::Instant;

use crate::errors::AwsError;
use crate::locks::lock;
use crate::operation::Operation;

/// The counts of one operation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OperationCounts {
    /// Requests received.
    pub requests: u64,
    /// Requests answered without an error.
    pub ok: u64,
    /// Requests answered with a throttling error. `errors` includes them.
    pub throttled: u64,
    /// Requests that failed, by error code. Faults without one, such as `DropConnection`,
    /// `TruncateBody` and `GarbageBody`, are counted by their name.
    pub errors: BTreeMap<String, u64>,
    /// The most requests within a second, measured in steps of 100 ms.
    pub peak_per_second: u64,
}

/// The counts of one account in one Region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ScopeCounts {
    /// The account; empty if the access key was unknown.
    pub account_id: String,
    /// The Region of the signature; empty if there was none.
    pub region: String,
    /// The most ListTables and DescribeTable requests within a second.
    pub peak_per_second: u64,
    /// By operation, for those that were requested.
    pub operations: BTreeMap<Operation, OperationCounts>,
}

/// All counts since the start, or since they were last reset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Over all scopes and operations.
    pub total: OperationCounts,
    /// Scopes with at least one request, sorted by account and Region.
    pub scopes: Vec<ScopeCounts>,
    /// AssumeRole calls by role ARN, granted or not.
    pub assumed_roles: BTreeMap<String, u64>,
    /// Connections accepted.
    pub connections: u64,
    /// Connections that are open now.
    pub open_connections: u64,
    /// The most connections that were open at once.
    pub peak_connections: u64,
    /// The most requests that were being answered at once.
    pub peak_concurrent: u64,
}

impl Counts {
    /// The counts of one operation in one scope. Zeros if it was never requested.
    #[must_use]
    pub fn of(&self, account_id: &str, region: &str, operation: Operation) -> OperationCounts {
        self.scopes
            .binary_search_by(|scope| (&*scope.account_id, &*scope.region).cmp(&(account_id, region)))
            .ok()
            .and_then(|at| self.scopes[at].operations.get(&operation).cloned())
            .unwrap_or_default()
    }

    /// The requests for one operation over all scopes.
    #[must_use]
    pub fn requests(&self, operation: Operation) -> u64 {
        self.scopes.iter().filter_map(|scope| scope.operations.get(&operation)).map(|counts| counts.requests).sum()
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome<'a> {
    Ok,
    Error(&'a AwsError),
    /// A fault of the connection or the body, by name.
    Broken(&'static str),
}

const STEP_MS: u64 = 100;
const STEPS: usize = 10;

/// Requests of the last second, in steps of 100 ms.
#[derive(Clone, Debug, Default)]
struct Window {
    steps: [u64; STEPS],
    step: u64,
    sum: u64,
    peak: u64,
}

impl Window {
    fn count(&mut self, now_ms: u64) {
        let step = now_ms / STEP_MS;
        let passed = step.saturating_sub(self.step).min(STEPS as u64);
        for k in 1..=passed {
            let slot = &mut self.steps[((self.step + k) % STEPS as u64) as usize];
            self.sum -= *slot;
            *slot = 0;
        }
        if passed == STEPS as u64 {
            self.steps = [0; STEPS];
            self.sum = 0;
        }
        self.step = self.step.max(step);
        self.steps[(self.step % STEPS as u64) as usize] += 1;
        self.sum += 1;
        self.peak = self.peak.max(self.sum);
    }
}

/// The counters of one scope, in order of their first use: most scopes see few of the operations, or none.
#[derive(Debug, Default)]
pub(crate) struct ScopeMeter {
    operations: Vec<OperationMeter>,
    combined: Window,
}

#[derive(Debug)]
struct OperationMeter {
    operation: Operation,
    counts: OperationCounts,
    window: Window,
}

impl ScopeMeter {
    pub(crate) fn record(&mut self, operation: Operation, outcome: Outcome<'_>, now_ms: u64) {
        if matches!(operation, Operation::ListTables | Operation::DescribeTable) {
            self.combined.count(now_ms);
        }
        let at = self.operations.iter().position(|meter| meter.operation == operation).unwrap_or_else(|| {
            let (counts, window) = (OperationCounts::default(), Window::default());
            self.operations.push(OperationMeter { operation, counts, window });
            self.operations.len() - 1
        });
        let OperationMeter { counts, window, .. } = &mut self.operations[at];
        window.count(now_ms);
        counts.peak_per_second = window.peak;
        counts.requests += 1;
        let code = match outcome {
            Outcome::Ok => {
                counts.ok += 1;
                return;
            }
            Outcome::Error(error) => {
                counts.throttled += u64::from(error.is_throttle());
                error.code()
            }
            Outcome::Broken(name) => name,
        };
        match counts.errors.get_mut(code) {
            Some(count) => *count += 1,
            None => {
                counts.errors.insert(code.to_owned(), 1);
            }
        }
    }

    /// The counts so far, or `None` without a request.
    pub(crate) fn snapshot(&self, account_id: &str, region: &str) -> Option<ScopeCounts> {
        let operations: BTreeMap<_, _> =
            self.operations.iter().map(|meter| (meter.operation, meter.counts.clone())).collect();
        (!operations.is_empty()).then(|| ScopeCounts {
            account_id: account_id.to_owned(),
            region: region.to_owned(),
            peak_per_second: self.combined.peak,
            operations,
        })
    }
}

/// The counters that do not belong to a scope of the estate.
#[derive(Debug)]
pub(crate) struct Meters {
    started: Instant,
    all: Mutex<Window>,
    /// Scopes that the estate does not have: unknown keys, Regions that are not opted in.
    strangers: Mutex<BTreeMap<(String, String), ScopeMeter>>,
    roles: Mutex<BTreeMap<String, u64>>,
    connections: AtomicU64,
    open: Gauge,
    in_flight: Gauge,
}

impl Meters {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            all: Mutex::default(),
            strangers: Mutex::default(),
            roles: Mutex::default(),
            connections: AtomicU64::new(0),
            open: Gauge::default(),
            in_flight: Gauge::default(),
        }
    }

    /// Counts a request in the total, and returns the time for the counters of its scope.
    pub(crate) fn tick(&self, now: Instant) -> u64 {
        let now_ms = u64::try_from(now.saturating_duration_since(self.started).as_millis()).unwrap_or(u64::MAX);
        lock(&self.all).count(now_ms);
        now_ms
    }

    pub(crate) fn stranger(
        &self,
        account_id: &str,
        region: &str,
        operation: Operation,
        outcome: Outcome<'_>,
        now_ms: u64,
    ) {
        let key = (account_id.to_owned(), region.to_owned());
        lock(&self.strangers).entry(key).or_default().record(operation, outcome, now_ms);
    }

    pub(crate) fn role(&self, arn: &str) {
        *lock(&self.roles).entry(arn.to_owned()).or_default() += 1;
    }

    /// Counts a connection, as open until the guard is dropped.
    pub(crate) fn connection(&self) -> Entered<'_> {
        self.connections.fetch_add(1, Ordering::Relaxed);
        self.open.enter()
    }

    /// Counts a request as being answered until the guard is dropped.
    pub(crate) fn enter(&self) -> Entered<'_> {
        self.in_flight.enter()
    }

    /// All counts, including those of these scopes.
    pub(crate) fn snapshot(&self, mut scopes: Vec<ScopeCounts>) -> Counts {
        let strangers = lock(&self.strangers);
        scopes.extend(strangers.iter().filter_map(|((account, region), meter)| meter.snapshot(account, region)));
        scopes.sort_by(|a, b| (&a.account_id, &a.region).cmp(&(&b.account_id, &b.region)));
        let mut total = OperationCounts { peak_per_second: lock(&self.all).peak, ..OperationCounts::default() };
        for counts in scopes.iter().flat_map(|scope| scope.operations.values()) {
            total.requests += counts.requests;
            total.ok += counts.ok;
            total.throttled += counts.throttled;
            for (code, count) in &counts.errors {
                *total.errors.entry(code.clone()).or_default() += count;
            }
        }
        Counts {
            total,
            scopes,
            assumed_roles: lock(&self.roles).clone(),
            connections: self.connections.load(Ordering::Relaxed),
            open_connections: self.open.now.load(Ordering::Relaxed),
            peak_connections: self.open.peak.load(Ordering::Relaxed),
            peak_concurrent: self.in_flight.peak.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn reset(&self) {
        *lock(&self.all) = Window::default();
        lock(&self.strangers).clear();
        lock(&self.roles).clear();
        self.connections.store(0, Ordering::Relaxed);
        self.open.reset();
        self.in_flight.reset();
    }
}

/// A number that goes up and down, and its peak.
#[derive(Debug, Default)]
struct Gauge {
    now: AtomicU64,
    peak: AtomicU64,
}

impl Gauge {
    fn enter(&self) -> Entered<'_> {
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        self.peak.fetch_max(now, Ordering::Relaxed);
        Entered(self)
    }

    /// Resets the peak to the current number.
    fn reset(&self) {
        self.peak.store(self.now.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

/// Counts in a [`Gauge`] until it is dropped.
#[derive(Debug)]
pub(crate) struct Entered<'a>(&'a Gauge);

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peak_is_the_most_within_one_second() {
        let mut window = Window::default();
        for at in [0, 50, 950, 999, 1_000, 1_050, 1_100, 5_000, 5_001] {
            window.count(at);
        }
        // 950, 999, 1,000, 1,050 and 1,100 lie within ten steps of 100 ms.
        assert_eq!(window.peak, 5);
        assert_eq!(window.sum, 2);
    }
}
