//! How many requests a second may be sent against one AWS quota.
//!
//! The rate is the configured one until AWS throttles. Then it is halved at once, and climbs back
//! by a step each second: additive increase, multiplicative decrease. Each quota of each account
//! and Region has its own budget, so the others are not affected.

use std::num::NonZeroU32;
use std::sync::{Mutex as StdMutex, MutexGuard, PoisonError};
use std::time::Duration;

use dynacrawl_model::{Pace, QuotaName};
use governor::RateLimiter;
use governor::clock::{Clock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::{AwsError, Trouble};

/// A rate of requests, at least one a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Requests a second.
    pub per_second: NonZeroU32,
    /// How many may be sent at once after a pause.
    pub burst: NonZeroU32,
}

impl Rate {
    /// A rate whose burst is a tenth of a second's worth.
    pub fn per_second(per_second: NonZeroU32) -> Self {
        Self { per_second, burst: NonZeroU32::new(per_second.get() / 10).unwrap_or(NonZeroU32::MIN) }
    }
}

/// How dynacrawl uses one AWS quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Its name, which determines the operations that share it.
    pub name: QuotaName,
    /// Requests a second; `None`: no limit.
    pub rate: Option<Rate>,
    /// Requests in flight at once.
    pub concurrency: usize,
}

/// However hard AWS throttles, some requests are still sent: only they can show that it has
/// stopped. They are this part of the throttled rate, and at least one in two seconds.
const LEAST_PART: f64 = 0.008;
const LEAST: f64 = 0.5;
/// Without a limit, the throttled rate is taken to be at least this: a tenth of DynamoDB's quota.
const UNLIMITED: f64 = 250.0;
/// The part of the throttled rate that comes back each second.
const STEP: f64 = 0.05;
const SECOND: Duration = Duration::from_secs(1);

/// The requests that may be sent against one quota in one account and Region.
#[derive(Debug)]
pub struct Budget {
    configured: Option<Rate>,
    state: StdMutex<State>,
    /// Requests are served in order of arrival, with one timer instead of one for each.
    queue: Mutex<()>,
}

#[derive(Debug)]
struct State {
    /// `None`: no limit.
    limit: Option<Limit>,
    /// The lowest limit that throttling led to.
    lowest: Option<f64>,
    /// When the rate was last lowered.
    lowered_at: Option<Instant>,
    sent: Sent,
}

/// A limit below the configured rate climbs; at the configured rate it stays.
#[derive(Debug)]
struct Limit {
    governor: Governor,
    per_second: f64,
    /// What is added each second; zero if the limit is the configured rate.
    step: f64,
    /// How low it may go.
    least: f64,
    changed_at: Instant,
}

type Governor = RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<TokioInstant>>;

/// Permission to send one request.
#[derive(Clone, Copy, Debug)]
pub struct Permit {
    given_at: Instant,
}

impl Budget {
    /// A budget of `rate`; without a rate, any number of requests.
    pub fn new(rate: Option<Rate>) -> Self {
        let state = State { limit: rate.map(Limit::configured), lowest: None, lowered_at: None, sent: Sent::default() };
        Self { configured: rate, state: StdMutex::new(state), queue: Mutex::new(()) }
    }

    /// Waits until one more request may be sent.
    ///
    /// With `give_up`, it stops waiting once that trouble is older than the patience: at the lowest
    /// rate, ten thousand tables would hold up a crawl for half a day.
    ///
    /// # Errors
    /// The trouble's last failure, if it gives up.
    pub async fn permit(&self, give_up: Option<(&Trouble, Duration)>) -> Result<Permit, AwsError> {
        let _turn = self.queue.lock().await;
        loop {
            let taken = self.state().take(self.configured, Instant::now());
            let wait_until = match taken {
                Ok(permit) => return Ok(permit),
                Err(not_until) => not_until,
            };
            if let Some(error) = give_up.and_then(|(trouble, patience)| trouble.older_than(patience)) {
                return Err(error);
            }
            tokio::time::sleep_until(wait_until).await;
        }
    }

    /// Halves the rate, because AWS throttled the request of this permit. Of many requests in
    /// flight together only the first one counts: the others were sent before the rate was halved.
    pub fn throttled(&self, permit: Permit) {
        self.state().lower(permit, Instant::now());
    }

    /// How many requests a second are permitted now; `None`: any number.
    pub fn rate(&self) -> Option<f64> {
        self.state().limit.as_ref().map(|limit| limit.per_second)
    }

    /// The configured, the highest and the lowest rate so far.
    pub fn pace(&self) -> Pace {
        let state = self.state();
        Pace {
            limit: self.configured.map(|rate| rate.per_second.get()),
            reached: state.sent.most,
            lowest: state.lowest.map(|rate| (rate * 10.0).round() / 10.0),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes a permit, or returns when to ask again.
    fn take(&mut self, configured: Option<Rate>, now: Instant) -> Result<Permit, Instant> {
        if let Some(limit) = &mut self.limit {
            limit.governor.check().map_err(|not_until| not_until.earliest_possible().0)?;
            // After the check: a new limiter starts empty, and would discard a permit that is
            // almost due.
            limit.climb(configured, now);
        }
        self.sent.count(now);
        Ok(Permit { given_at: now })
    }

    fn lower(&mut self, permit: Permit, now: Instant) {
        if self.lowered_at.is_some_and(|at| permit.given_at <= at) {
            return;
        }
        // Without a limit, the throttled rate is what was sent within the last second. A scope that
        // has only just started has sent too little to judge by.
        let lately = (self.sent.lately(now) as f64).max(UNLIMITED);
        let too_much = self.limit.as_ref().map_or(lately, |limit| limit.per_second);
        let (step, least) = match &self.limit {
            // Another throttle while the rate climbs must not slow the climb.
            Some(limit) if limit.step > 0.0 => (limit.step, limit.least),
            _ => ((too_much * STEP).max(0.1), (too_much * LEAST_PART).max(LEAST)),
        };
        let per_second = (too_much / 2.0).max(least);
        self.limit = Some(Limit::lowered(per_second, step, least, now));
        self.lowest = Some(self.lowest.map_or(per_second, |lowest| lowest.min(per_second)));
        self.lowered_at = Some(now);
    }
}

impl Limit {
    fn configured(rate: Rate) -> Self {
        let quota = governor::Quota::per_second(rate.per_second).allow_burst(rate.burst);
        Self {
            governor: RateLimiter::direct_with_clock(quota, TokioClock),
            per_second: f64::from(rate.per_second.get()),
            step: 0.0,
            least: LEAST,
            changed_at: Instant::now(),
        }
    }

    fn lowered(per_second: f64, step: f64, least: f64, now: Instant) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a tenth of a rate of requests")]
        let burst = NonZeroU32::new((per_second / 10.0) as u32).unwrap_or(NonZeroU32::MIN);
        let period = governor::Quota::with_period(SECOND.div_f64(per_second));
        let quota = period.unwrap_or(governor::Quota::per_second(NonZeroU32::MIN)).allow_burst(burst);
        let governor = RateLimiter::direct_with_clock(quota, TokioClock);
        // A new limiter starts with a full burst, which would be a reward for having been
        // throttled.
        let _ = governor.check_n(burst);
        Self { governor, per_second, step, least, changed_at: now }
    }

    fn climb(&mut self, configured: Option<Rate>, now: Instant) {
        let seconds = now.saturating_duration_since(self.changed_at).as_secs();
        if self.step == 0.0 || seconds == 0 {
            return;
        }
        let per_second = self.per_second + self.step * seconds as f64;
        *self = match configured {
            Some(rate) if per_second >= f64::from(rate.per_second.get()) => Self::configured(rate),
            _ => Self::lowered(per_second, self.step, self.least, now),
        };
    }
}

/// The requests sent in each second.
#[derive(Debug, Default)]
struct Sent {
    since: Option<Instant>,
    /// In the second that began at `since`, and in the one before.
    now: u64,
    before: u64,
    most: u64,
}

impl Sent {
    fn count(&mut self, now: Instant) {
        self.turn(now);
        self.now += 1;
        self.most = self.most.max(self.now);
    }

    fn lately(&mut self, now: Instant) -> u64 {
        self.turn(now);
        self.now.max(self.before)
    }

    fn turn(&mut self, now: Instant) {
        let since = *self.since.get_or_insert(now);
        let seconds = now.saturating_duration_since(since).as_secs();
        if seconds > 0 {
            self.before = if seconds == 1 { self.now } else { 0 };
            self.now = 0;
            self.since = Some(since + SECOND * u32::try_from(seconds).unwrap_or(u32::MAX));
        }
    }
}

/// tokio's clock, which tests can pause and advance, unlike governor's own.
#[derive(Clone, Debug)]
struct TokioClock;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct TokioInstant(Instant);

impl Clock for TokioClock {
    type Instant = TokioInstant;

    fn now(&self) -> TokioInstant {
        TokioInstant(Instant::now())
    }
}

impl std::ops::Add<Nanos> for TokioInstant {
    type Output = Self;

    fn add(self, nanos: Nanos) -> Self {
        Self(self.0 + Duration::from(nanos))
    }
}

impl Reference for TokioInstant {
    fn duration_since(&self, earlier: Self) -> Nanos {
        self.0.saturating_duration_since(earlier.0).into()
    }

    fn saturating_sub(&self, duration: Nanos) -> Self {
        Self(self.0.checked_sub(duration.into()).unwrap_or(self.0))
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Budget, Permit, Rate};
    use crate::{AwsError, ErrorClass, Trouble};

    fn rate(per_second: u32) -> Rate {
        Rate::per_second(NonZeroU32::new(per_second).expect("not zero"))
    }

    async fn permit(budget: &Budget) -> Permit {
        budget.permit(None).await.expect("a permit")
    }

    fn throttle(budget: &Budget, permit: Permit) {
        budget.throttled(permit);
    }

    /// How many permits the budget gives within a time.
    async fn within(budget: &Budget, time: Duration) -> usize {
        let end = Instant::now() + time;
        let mut given = 0;
        while tokio::time::timeout_at(end, permit(budget)).await.is_ok() {
            given += 1;
        }
        given
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_is_kept_and_reached() {
        let budget = Arc::new(Budget::new(Some(rate(100))));
        let start = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..32 {
            let budget = budget.clone();
            tasks.spawn(async move {
                for _ in 0..32 {
                    permit(&budget).await;
                }
            });
        }
        tasks.join_all().await;
        // 1,024 requests, of which the burst of 10 is free.
        let least = Duration::from_millis(10_140);
        let took = start.elapsed();
        assert!(took >= least - Duration::from_millis(10) && took < least.mul_f64(1.05), "{took:?}");
        let pace = budget.pace();
        assert_eq!((pace.limit, pace.lowest), (Some(100), None));
        assert!((100..=111).contains(&pace.reached), "{pace:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_rate_nothing_waits() {
        let start = Instant::now();
        let budget = Budget::new(None);
        for _ in 0..10_000 {
            permit(&budget).await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_throttle_halves_the_rate_which_then_climbs_back() {
        let budget = Budget::new(Some(rate(100)));
        within(&budget, Duration::from_secs(2)).await;
        let last = permit(&budget).await;
        assert_eq!(budget.rate(), Some(100.0));
        throttle(&budget, last);
        assert_eq!(budget.rate(), Some(50.0));
        let first = within(&budget, Duration::from_secs(1)).await;
        assert!((48..=51).contains(&first), "{first}");
        let second = within(&budget, Duration::from_secs(1)).await;
        assert!((52..=57).contains(&second), "{second}");
        // From 50 in steps of 5: ten seconds.
        within(&budget, Duration::from_secs(9)).await;
        let last = within(&budget, Duration::from_secs(5)).await;
        assert!((490..=515).contains(&last), "{last}");
        assert_eq!(budget.pace().lowest, Some(50.0));
    }

    #[tokio::test(start_paused = true)]
    async fn requests_in_flight_together_lower_the_rate_once() {
        let budget = Budget::new(Some(rate(100)));
        let mut permits = Vec::new();
        for _ in 0..8 {
            permits.push(permit(&budget).await);
        }
        permits.into_iter().for_each(|permit| throttle(&budget, permit));
        assert_eq!(budget.pace().lowest, Some(50.0));
        tokio::time::advance(Duration::from_millis(100)).await;
        let later = permit(&budget).await;
        throttle(&budget, later);
        assert_eq!(budget.pace().lowest, Some(25.0));
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_never_falls_to_zero() {
        let budget = Budget::new(Some(rate(3)));
        for _ in 0..20 {
            let last = permit(&budget).await;
            throttle(&budget, last);
        }
        assert_eq!(budget.pace().lowest, Some(0.5));
        assert!((1..=2).contains(&within(&budget, Duration::from_secs(3)).await));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_a_throttle_halves_the_sent_rate() {
        let budget = Budget::new(None);
        for _ in 0..400 {
            permit(&budget).await;
        }
        let last = permit(&budget).await;
        throttle(&budget, last);
        let given = within(&budget, Duration::from_secs(1)).await;
        assert!((195..=202).contains(&given), "{given}");
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_wait_for_a_permit_give_up_after_patience() {
        let budget = Budget::new(Some(rate(250)));
        let trouble = Trouble::default();
        let give_up = Some((&trouble, Duration::from_secs(60)));
        let start = Instant::now();
        let given_up = loop {
            match budget.permit(give_up).await {
                Ok(sent) => {
                    throttle(&budget, sent);
                    let error = AwsError::new(ErrorClass::Throttled, "ThrottlingException", "slow down");
                    trouble.failed(&error, Instant::now());
                }
                Err(error) => break error,
            }
        };
        assert_eq!(given_up.code, "ThrottlingException");
        assert!((60..62).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
        assert!(budget.permit(give_up).await.is_err(), "it gives up at once");
        assert!(tokio::time::timeout(Duration::from_secs(2), budget.permit(None)).await.is_ok(), "other calls wait");
        trouble.answered();
        let waited = tokio::time::timeout(Duration::from_secs(2), budget.permit(give_up)).await;
        waited.expect("in time").expect("a permit");
    }
}
