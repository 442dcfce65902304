//! Request quotas: a token bucket whose caller passes the time.

use std::sync::Mutex;

use tokio::time::Instant;

use crate::locks::lock;

/// A token bucket: `burst` requests at once, refilled at `per_second`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quota {
    /// Tokens that are refilled in a second.
    pub per_second: f64,
    /// Tokens in a full bucket.
    pub burst: u32,
}

impl Quota {
    /// What AWS grants an account for ListAccounts.
    pub const LIST_ACCOUNTS: Self = Self { per_second: 8.0, burst: 12 };
    /// What AWS grants an account for ListRegions.
    pub const LIST_REGIONS: Self = Self { per_second: 5.0, burst: 5 };

    /// A quota of `per_second` requests, with a burst of one second's worth.
    #[must_use]
    pub fn per_second(per_second: u32) -> Self {
        Self { per_second: f64::from(per_second), burst: per_second }
    }

    /// The same quota with another burst.
    #[must_use]
    pub fn with_burst(self, burst: u32) -> Self {
        Self { burst, ..self }
    }
}

/// The state of a quota.
#[derive(Debug)]
pub(crate) struct Bucket {
    quota: Quota,
    tokens: f64,
    filled_at: Instant,
}

impl Bucket {
    /// A full bucket.
    pub(crate) fn new(quota: Quota, now: Instant) -> Self {
        Self { quota, tokens: f64::from(quota.burst), filled_at: now }
    }

    /// Takes a token. Returns false if there is none.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.filled_at).as_secs_f64();
        self.tokens = (self.tokens + elapsed * self.quota.per_second).min(f64::from(self.quota.burst));
        self.filled_at = now;
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}

/// A quota that can be replaced, or none.
#[derive(Debug)]
pub(crate) struct Limit(Mutex<Option<Bucket>>);

impl Limit {
    pub(crate) fn new(quota: Option<Quota>) -> Self {
        Self(Mutex::new(quota.map(|quota| Bucket::new(quota, Instant::now()))))
    }

    /// Replaces the quota; the new bucket is full.
    pub(crate) fn set(&self, quota: Option<Quota>) {
        *lock(&self.0) = quota.map(|quota| Bucket::new(quota, Instant::now()));
    }

    /// Counts a request against the quota. Returns false if the quota is used up.
    pub(crate) fn admits(&self, now: Instant) -> bool {
        lock(&self.0).as_mut().is_none_or(|bucket| bucket.take(now))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn burst_is_spent_then_refilled_at_the_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(Quota::per_second(10).with_burst(3), start);
        assert!((0..3).all(|_| bucket.take(start)));
        assert!(!bucket.take(start));
        assert!(bucket.take(start + Duration::from_millis(100)));
        assert!(!bucket.take(start + Duration::from_millis(100)));
        let later = start + Duration::from_secs(60);
        assert_eq!((0..10).filter(|_| bucket.take(later)).count(), 3);
    }
}
