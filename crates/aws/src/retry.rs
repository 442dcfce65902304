//! When to retry a call.

use std::time::Duration;

use tokio::time::Instant;

use crate::{AwsError, ErrorClass};

/// How often a call is attempted, and how long to wait in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Maximum number of attempts, including the first.
    pub max_attempts: u32,
    /// Maximum number of attempts if the endpoint cannot be reached: it seldom recovers within a
    /// call.
    pub max_unreachable: u32,
    /// Maximum number of attempts that time out: each takes the whole time-out.
    pub max_timeouts: u32,
    /// The longest wait between two attempts.
    pub max_backoff: Duration,
    /// How long a patient call is repeated after its attempts are used up, counted from its first
    /// failure. High-volume calls are given up without an attempt when all of their kind have
    /// failed for that long.
    pub patience: Duration,
    /// Whether patience also covers an endpoint that cannot be reached.
    pub awaits_endpoint: bool,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 10,
            max_unreachable: 4,
            max_timeouts: 3,
            max_backoff: Duration::from_secs(5),
            patience: Duration::from_secs(60),
            awaits_endpoint: false,
        }
    }
}

/// The failed attempts of one call.
#[derive(Debug, Default)]
pub struct Failures {
    first_at: Option<Instant>,
    attempts: u32,
    timed_out: u32,
    refused: u32,
}

impl RetryPolicy {
    /// The longest wait after a throttled attempt: the budget decides how fast the next ones may follow.
    pub const MAX_THROTTLED_BACKOFF: Duration = Duration::from_secs(1);
    /// Maximum number of attempts with refused credentials. With the waits in between they take
    /// some seconds: a new access key or session becomes valid everywhere only after a while.
    pub const MAX_REFUSED: u32 = 4;
    /// The wait after the first refusal; it doubles with each one.
    const FIRST_REFUSED_BACKOFF: Duration = Duration::from_secs(1);

    /// How long to wait before the next attempt, after one that failed with `error`; `None`: give
    /// up.
    ///
    /// Exponential, with jitter between half and the full wait, so that many tables throttled
    /// together do not retry together. If the service asks for a longer wait, that one applies.
    pub fn backoff(&self, error: &AwsError, failures: &mut Failures, patient: bool) -> Option<Duration> {
        let since = *failures.first_at.get_or_insert_with(Instant::now);
        failures.attempts += 1;
        let (attempts, most, first, longest) = match error.class {
            ErrorClass::Throttled => {
                (failures.attempts, self.max_attempts, Duration::from_millis(100), Self::MAX_THROTTLED_BACKOFF)
            }
            ErrorClass::Transient => {
                (failures.attempts, self.max_attempts, Duration::from_millis(25), self.max_backoff)
            }
            ErrorClass::Unreachable => {
                (failures.attempts, self.max_unreachable, Duration::from_millis(100), self.max_backoff)
            }
            ErrorClass::TimedOut => {
                failures.timed_out += 1;
                (failures.timed_out, self.max_timeouts, Duration::from_millis(25), self.max_backoff)
            }
            class if class.is_refusal() => return failures.refused(class),
            _ => return None,
        };
        let longest = longest.min(self.max_backoff);
        let wait = if attempts < most && failures.attempts < self.max_attempts {
            first.saturating_mul(1 << (attempts - 1).min(20)).min(longest)
        } else if patient && self.covers(error.class) && since.elapsed() < self.patience {
            longest
        } else {
            return None;
        };
        Some(wait.mul_f64(0.5 + fastrand::f64() / 2.0).max(error.retry_after.unwrap_or_default()))
    }

    fn covers(&self, class: ErrorClass) -> bool {
        class != ErrorClass::Unreachable || self.awaits_endpoint
    }
}

impl Failures {
    /// Whether credentials were refused before.
    pub fn were_refused(&self) -> bool {
        self.refused > 0
    }

    fn refused(&mut self, class: ErrorClass) -> Option<Duration> {
        self.refused += 1;
        if self.refused >= RetryPolicy::MAX_REFUSED {
            return None;
        }
        // A new session or a corrected clock needs no wait.
        let at_once = self.refused == 1 && class != ErrorClass::UnknownCredentials;
        let wait = RetryPolicy::FIRST_REFUSED_BACKOFF * (1 << (self.refused - 1));
        Some(if at_once { Duration::ZERO } else { wait })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::{AwsError, ErrorClass};

    use super::{Failures, RetryPolicy};

    fn error(class: ErrorClass) -> AwsError {
        AwsError::new(class, "code", "message")
    }

    /// How many attempts a call makes, and how long it waits in all, if each attempt takes `each`
    /// and fails with `class`.
    async fn tried(policy: &RetryPolicy, class: ErrorClass, patient: bool, each: Duration) -> (u32, Duration) {
        let (mut failures, mut attempts, mut waited) = (Failures::default(), 0, Duration::ZERO);
        loop {
            tokio::time::advance(each).await;
            attempts += 1;
            let Some(wait) = policy.backoff(&error(class), &mut failures, patient) else { return (attempts, waited) };
            tokio::time::advance(wait).await;
            waited += wait;
        }
    }

    #[test]
    fn waits_grow_to_a_maximum_until_the_attempts_are_used_up() {
        let policy = RetryPolicy::default();
        for (class, first, longest) in [
            (ErrorClass::Throttled, 100, RetryPolicy::MAX_THROTTLED_BACKOFF),
            (ErrorClass::Transient, 25, policy.max_backoff),
        ] {
            let mut failures = Failures::default();
            for attempts in 1..policy.max_attempts {
                let wait = policy.backoff(&error(class), &mut failures, false).expect("another attempt");
                let full = Duration::from_millis(first << (attempts - 1)).min(longest);
                assert!(wait >= full / 2 && wait <= full, "{class:?} {attempts}: {wait:?}");
            }
            assert_eq!(policy.backoff(&error(class), &mut failures, false), None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn time_outs_and_unreachable_endpoints_have_fewer_attempts() {
        let policy = RetryPolicy::default();
        for (class, attempts) in [(ErrorClass::TimedOut, 3), (ErrorClass::Unreachable, 4)] {
            assert_eq!(tried(&policy, class, false, Duration::ZERO).await.0, attempts, "{class:?}");
        }
        let few = RetryPolicy { max_attempts: 2, ..policy };
        for class in [ErrorClass::TimedOut, ErrorClass::Unreachable, ErrorClass::Transient] {
            assert_eq!(tried(&few, class, false, Duration::ZERO).await.0, 2, "{class:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_patient_call_outlasts_every_transient_fault() {
        let policy = RetryPolicy::default();
        for class in [ErrorClass::Throttled, ErrorClass::Transient] {
            let (_, waited) = tried(&policy, class, true, Duration::ZERO).await;
            assert!((60..=66).contains(&waited.as_secs()), "{class:?}: {waited:?}");
        }
        // 20 s each, and some 60 s from the end of the first to the end of the last.
        let (attempts, _) = tried(&policy, ErrorClass::TimedOut, true, Duration::from_secs(20)).await;
        assert_eq!(attempts, 4);
        assert_eq!(tried(&policy, ErrorClass::Unreachable, true, Duration::ZERO).await.0, 4);
        let awaiting = RetryPolicy { awaits_endpoint: true, ..policy };
        let (_, waited) = tried(&awaiting, ErrorClass::Unreachable, true, Duration::ZERO).await;
        assert!((60..=66).contains(&waited.as_secs()), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn refused_credentials_are_retried_for_some_seconds() {
        let policy = RetryPolicy { max_attempts: 1, ..RetryPolicy::default() };
        for (class, seconds) in
            [(ErrorClass::UnknownCredentials, 7), (ErrorClass::ExpiredCredentials, 6), (ErrorClass::ClockSkew, 6)]
        {
            let tried = tried(&policy, class, false, Duration::ZERO).await;
            assert_eq!(tried, (RetryPolicy::MAX_REFUSED, Duration::from_secs(seconds)), "{class:?}");
        }
    }

    #[test]
    fn the_wait_that_a_service_asks_for_is_respected() {
        let mut asked = error(ErrorClass::Transient);
        asked.retry_after = Some(Duration::from_secs(20));
        let wait = RetryPolicy::default().backoff(&asked, &mut Failures::default(), false);
        assert_eq!(wait, Some(Duration::from_secs(20)));
    }

    #[test]
    fn permanent_errors_are_not_retried() {
        for class in [ErrorClass::Denied, ErrorClass::NotFound, ErrorClass::BadSignature, ErrorClass::Other] {
            assert_eq!(
                RetryPolicy::default().backoff(&error(class), &mut Failures::default(), true),
                None,
                "{class:?}"
            );
        }
    }
}
