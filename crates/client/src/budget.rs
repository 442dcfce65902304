//! How many requests a second a scope may send.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::sync::Mutex;
use tokio::time::Instant;

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

/// A scope's request budget. ListTables and DescribeTable share one, as they share one quota at AWS.
#[derive(Debug)]
pub struct Budget {
    /// `None`: no limit.
    limiter: Option<Limiter>,
}

#[derive(Debug)]
struct Limiter {
    governor: RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<TokioInstant>>,
    /// First come, first served; and one timer instead of one for each waiter.
    queue: Mutex<()>,
}

impl Budget {
    /// A budget of `rate`; of any number of requests where there is none.
    pub fn new(rate: Option<Rate>) -> Self {
        let limiter = rate.map(|rate| Limiter {
            governor: RateLimiter::direct_with_clock(
                Quota::per_second(rate.per_second).allow_burst(rate.burst),
                TokioClock,
            ),
            queue: Mutex::new(()),
        });
        Self { limiter }
    }

    /// Waits until one more request may be sent.
    pub async fn permit(&self) {
        let Some(limiter) = &self.limiter else { return };
        let _turn = limiter.queue.lock().await;
        while let Err(not_until) = limiter.governor.check() {
            tokio::time::sleep_until(not_until.earliest_possible().0).await;
        }
    }
}

/// tokio's clock, which tests can pause and move; governor's own is out of their reach.
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

    use super::{Budget, Rate};

    fn rate(per_second: u32) -> Rate {
        Rate::per_second(NonZeroU32::new(per_second).expect("not zero"))
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
                    budget.permit().await;
                }
            });
        }
        tasks.join_all().await;
        // 1,024 requests, of which the burst of 10 is free.
        let least = Duration::from_millis(10_140);
        let took = start.elapsed();
        assert!(took >= least - Duration::from_millis(10) && took < least.mul_f64(1.05), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn no_rate_is_no_wait() {
        let start = Instant::now();
        let budget = Budget::new(None);
        for _ in 0..10_000 {
            budget.permit().await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}
