//! When to try again.

use std::time::Duration;

use crate::ErrorClass;

/// How often a call is tried, and how long is waited in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts at most, the first one included.
    pub max_attempts: u32,
    /// Attempts at most where the endpoint cannot be reached: it seldom comes back within a call.
    pub max_unreachable: u32,
    /// The longest wait between two attempts.
    pub max_backoff: Duration,
    /// How long AWS may give nothing but throttled answers before calls of which there are many are given up without an
    /// attempt.
    pub patience: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 10,
            max_unreachable: 4,
            max_backoff: Duration::from_secs(5),
            patience: Duration::from_secs(60),
        }
    }
}

impl RetryPolicy {
    /// The longest wait after a throttled attempt: how fast the next ones may come is the budget's to say.
    pub const MAX_THROTTLED_BACKOFF: Duration = Duration::from_secs(1);

    /// How long to wait before the attempt after `attempts` ones that ended like this; `None`: give up.
    ///
    /// Exponential with full jitter above a half, so that many tables throttled together do not come back together.
    pub fn backoff(&self, class: ErrorClass, attempts: u32) -> Option<Duration> {
        let (most, first, longest) = match class {
            ErrorClass::Throttled => (self.max_attempts, Duration::from_millis(100), Self::MAX_THROTTLED_BACKOFF),
            ErrorClass::Transient | ErrorClass::TimedOut => {
                (self.max_attempts, Duration::from_millis(25), self.max_backoff)
            }
            ErrorClass::Unreachable => {
                (self.max_unreachable.min(self.max_attempts), Duration::from_millis(100), self.max_backoff)
            }
            _ => return None,
        };
        if attempts >= most {
            return None;
        }
        let doubled = first.saturating_mul(1 << attempts.saturating_sub(1).min(20));
        Some(doubled.min(longest).min(self.max_backoff).mul_f64(0.5 + fastrand::f64() / 2.0))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::ErrorClass;

    use super::RetryPolicy;

    #[test]
    fn waits_grow_up_to_the_longest_and_end_with_the_attempts() {
        let policy = RetryPolicy::default();
        for attempts in 1..policy.max_attempts {
            let wait = policy.backoff(ErrorClass::Throttled, attempts).expect("another attempt");
            let full = Duration::from_millis(100 << (attempts - 1)).min(RetryPolicy::MAX_THROTTLED_BACKOFF);
            assert!(wait >= full / 2 && wait <= full, "{attempts}: {wait:?}");
            let wait = policy.backoff(ErrorClass::Transient, attempts).expect("another attempt");
            let full = Duration::from_millis(25 << (attempts - 1)).min(policy.max_backoff);
            assert!(wait >= full / 2 && wait <= full, "{attempts}: {wait:?}");
        }
        assert_eq!(policy.backoff(ErrorClass::Throttled, policy.max_attempts), None);
        assert_eq!(policy.backoff(ErrorClass::Unreachable, policy.max_unreachable), None);
    }

    #[test]
    fn what_cannot_get_better_is_not_tried_again() {
        for class in [ErrorClass::Denied, ErrorClass::NotFound, ErrorClass::BadSignature, ErrorClass::Other] {
            assert_eq!(RetryPolicy::default().backoff(class, 1), None, "{class:?}");
        }
    }
}
