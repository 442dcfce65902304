//! Tracks how long all calls of one kind have failed with temporary errors.
//!
//! If a service only hangs, throttles or breaks down, each of ten thousand tables fails after
//! minutes of attempts. So once that has lasted too long, dynacrawl gives up such calls without an
//! attempt. A probe every few seconds finds out whether the service has recovered.

use std::sync::{Mutex as StdMutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::AwsError;

/// How long after a failed probe the next one may be sent.
const PROBE_PAUSE: Duration = Duration::from_secs(2);
/// How long a probe may take, and how long others wait for its outcome. A probe that hung until its
/// time-out would hold up ten thousand tables for as long.
pub const PROBE_TIME: Duration = Duration::from_secs(2);
/// A failure whose attempt was sent this long after the last failure starts a new trouble: no call
/// was made in between. Longer than any wait between two attempts of a call.
const IDLE: Duration = Duration::from_secs(40);

/// The recent failures of calls of one kind, such as DescribeTable in one account and Region.
#[derive(Debug, Default)]
pub struct Trouble {
    state: StdMutex<Option<State>>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    since: Instant,
    last: AwsError,
    last_at: Instant,
    probe: NextProbe,
}

/// When the next probe is sent.
#[derive(Clone, Copy, Debug)]
enum NextProbe {
    At(Instant),
    /// The probe that was sent then is in flight.
    Sent(Instant),
}

/// Permission to send one attempt while other calls are given up. Dropping it wakes the calls that
/// wait for its outcome.
#[derive(Debug)]
pub struct Probe<'a>(&'a Trouble);

impl Trouble {
    /// Records that an attempt sent at `sent` failed with a temporary error.
    pub fn failed(&self, error: &AwsError, sent: Instant) {
        let now = Instant::now();
        let mut state = self.state();
        match &mut *state {
            Some(state) => {
                if sent.saturating_duration_since(state.last_at) > IDLE {
                    state.since = now;
                }
                (state.last, state.last_at) = (error.clone(), now);
            }
            None => *state = Some(State { since: now, last: error.clone(), last_at: now, probe: NextProbe::At(now) }),
        }
    }

    /// Records a response, good or bad, which shows that the service works.
    pub fn answered(&self) {
        let ended = self.state().take().is_some();
        if ended {
            self.changed.notify_waiters();
        }
    }

    /// How long all attempts have failed.
    pub fn age(&self) -> Option<Duration> {
        self.state().as_ref().map(|state| state.since.elapsed())
    }

    /// The last failure, if all attempts have failed for as long as `patience`.
    pub fn older_than(&self, patience: Duration) -> Option<AwsError> {
        self.state().as_ref().filter(|state| state.since.elapsed() >= patience).map(|state| state.last.clone())
    }

    /// Admits an attempt. Once all have failed for as long as `patience`, it admits only a probe
    /// every few seconds. Calls that arrive while a probe is in flight wait for its outcome, for
    /// [`PROBE_TIME`] at most.
    ///
    /// # Errors
    /// The last failure, if the call should be given up.
    pub async fn admit(&self, patience: Duration) -> Result<Option<Probe<'_>>, AwsError> {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // From here on, no change is missed.
            changed.as_mut().enable();
            let wait_until = {
                let mut state = self.state();
                let Some(state) = state.as_mut().filter(|state| state.since.elapsed() >= patience) else {
                    return Ok(None);
                };
                let now = Instant::now();
                match state.probe {
                    NextProbe::At(at) if at <= now => {
                        state.probe = NextProbe::Sent(now);
                        return Ok(Some(Probe(self)));
                    }
                    NextProbe::Sent(at) if now < at + PROBE_TIME => at + PROBE_TIME,
                    NextProbe::At(_) | NextProbe::Sent(_) => return Err(state.last.clone()),
                }
            };
            // After a time-out, the state decides.
            let _ = tokio::time::timeout_at(wait_until, changed).await;
        }
    }

    fn state(&self) -> MutexGuard<'_, Option<State>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        if let Some(state) = &mut *self.0.state() {
            state.probe = NextProbe::At(Instant::now() + PROBE_PAUSE);
        }
        self.0.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{IDLE, PROBE_PAUSE, PROBE_TIME, Trouble};
    use crate::{AwsError, ErrorClass};

    const PATIENCE: Duration = Duration::from_secs(60);

    fn fail(trouble: &Trouble, code: &str, sent: Instant) {
        trouble.failed(&AwsError::new(ErrorClass::Transient, code, "again"), sent);
    }

    async fn in_trouble() -> Trouble {
        let trouble = Trouble::default();
        fail(&trouble, "timeout", Instant::now());
        assert!(trouble.admit(PATIENCE).await.expect("patience").is_none());
        tokio::time::advance(PATIENCE).await;
        trouble
    }

    #[tokio::test(start_paused = true)]
    async fn after_patience_one_probe_is_sent_and_its_failure_is_shared() {
        let trouble = in_trouble().await;
        let probe = trouble.admit(PATIENCE).await.expect("a probe").expect("a probe");
        let waiting = async { trouble.admit(PATIENCE).await.err().map(|error| error.code) };
        let probing = async {
            tokio::task::yield_now().await;
            fail(&trouble, "http_503", Instant::now() - PATIENCE / 2);
            drop(probe);
        };
        let (waited, ()) = tokio::join!(waiting, probing);
        assert_eq!(waited.as_deref(), Some("http_503"));
        assert!(trouble.admit(PATIENCE).await.is_err(), "not so soon");
        tokio::time::advance(PROBE_PAUSE).await;
        assert!(trouble.admit(PATIENCE).await.expect("the next probe").is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_successful_probe_admits_the_waiting_calls() {
        let trouble = in_trouble().await;
        let probe = trouble.admit(PATIENCE).await.expect("a probe");
        let probing = async {
            tokio::task::yield_now().await;
            trouble.answered();
            drop(probe);
        };
        let (waited, ()) = tokio::join!(trouble.admit(PATIENCE), probing);
        assert!(waited.expect("all is well").is_none());
        assert_eq!(trouble.age(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hanging_probe_delays_others_by_its_time_only() {
        let trouble = in_trouble().await;
        let _probe = trouble.admit(PATIENCE).await.expect("a probe");
        let began = Instant::now();
        for _ in 0..10_000 {
            assert!(trouble.admit(PATIENCE).await.is_err());
        }
        assert_eq!(began.elapsed(), PROBE_TIME);
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_dropped_probe_another_one_is_admitted() {
        let trouble = in_trouble().await;
        drop(trouble.admit(PATIENCE).await.expect("a probe"));
        tokio::time::advance(PROBE_PAUSE).await;
        assert!(trouble.admit(PATIENCE).await.expect("another").is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_after_a_long_pause_starts_a_new_trouble() {
        let trouble = in_trouble().await;
        tokio::time::advance(IDLE).await;
        let probe = trouble.admit(PATIENCE).await.expect("a probe");
        fail(&trouble, "http_503", Instant::now());
        drop(probe);
        assert_eq!(trouble.age(), Some(Duration::ZERO));
        assert!(trouble.admit(PATIENCE).await.expect("patience").is_none());
    }
}
