//! A cache for one source of credentials.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_smithy_async::time::SharedTimeSource;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::AuthError;
use crate::usable::check;

/// How long before a session expires it is renewed, at most. Short sessions are renewed when a
/// fifth of their life is left.
const MAX_MARGIN: Duration = Duration::from_secs(300);

/// How long new credentials are used although they have expired by the local clock. A clock that is
/// hours ahead must not cost a fetch for each request. If they really have expired, AWS refuses
/// them, and they are invalidated.
const KEPT: Duration = Duration::from_secs(60);
/// The same for credentials that seem valid, but perhaps not for long.
const KEPT_AT_LEAST: Duration = Duration::from_secs(1);

/// How long after a refusal the source is called again. Until then, old credentials are used if
/// they are still valid; otherwise all callers share the failure. So the seventeen Regions of an
/// account whose role cannot be assumed cost one call.
const RETRY_AFTER: Duration = Duration::from_secs(15);
/// The same for a failure that may be temporary: unreachable, throttled, broken.
const RETRY_SOON: Duration = Duration::from_secs(1);

/// The code of the error if a source gave no credentials in time.
pub(crate) const TIMED_OUT: &str = "credentials_timeout";

/// A source of credentials, with a future for each fetch.
pub(crate) trait Source: Send + Sync {
    /// Gets new credentials, within a bounded time.
    fn fetch(&self) -> Pin<Box<dyn Future<Output = Result<Credentials, AuthError>> + Send + '_>>;

    /// Its name in an error.
    fn step(&self) -> String;
}

impl Source for Box<dyn Source> {
    fn fetch(&self) -> Pin<Box<dyn Future<Output = Result<Credentials, AuthError>> + Send + '_>> {
        (**self).fetch()
    }

    fn step(&self) -> String {
        (**self).step()
    }
}

/// Credentials, numbered by fetch, because a source may return the same ones again.
#[derive(Clone)]
pub(crate) struct Lease {
    pub(crate) credentials: Credentials,
    generation: u64,
}

struct Entry {
    lease: Lease,
    /// Until then they are used even if they have expired by the local clock.
    kept_until: Instant,
    renew_at: Option<SystemTime>,
    /// After a failed renewal: when to try it again.
    renew_not_before: Option<Instant>,
}

#[derive(Default)]
struct State {
    entry: Option<Entry>,
    generations: u64,
    /// The last failure, and until when it is returned without a new fetch.
    failed: Option<(AuthError, Instant)>,
}

struct Inner {
    source: Box<dyn Source>,
    clock: SharedTimeSource,
    state: StdMutex<State>,
    /// Held while new credentials are fetched, so that many waiters cost one call.
    fetching: Mutex<()>,
}

/// Credentials that are fetched once and renewed in time.
#[derive(Clone)]
pub struct CachedCredentials(Arc<Inner>);

impl std::fmt::Debug for CachedCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CachedCredentials(** redacted **)")
    }
}

impl Entry {
    fn is_kept(&self) -> bool {
        Instant::now() < self.kept_until
    }

    fn is_valid(&self, now: SystemTime) -> bool {
        self.lease.credentials.expiry().is_none_or(|at| now < at) || self.is_kept()
    }

    fn is_fresh(&self, now: SystemTime) -> bool {
        let renewal_is_paused = || self.renew_not_before.is_some_and(|at| Instant::now() < at);
        let renewal_is_due = self.renew_at.is_some_and(|at| at <= now);
        self.is_valid(now) && (!renewal_is_due || renewal_is_paused() || self.is_kept())
    }
}

impl CachedCredentials {
    pub(crate) fn new(source: impl Source + 'static, clock: SharedTimeSource) -> Self {
        let source = Box::new(source);
        Self(Arc::new(Inner { source, clock, state: StdMutex::default(), fetching: Mutex::new(()) }))
    }

    /// Credentials that are valid now.
    ///
    /// # Errors
    /// If there are none and none can be fetched. While old ones are valid, a failed renewal is no
    /// error.
    pub async fn get(&self) -> Result<Credentials, AuthError> {
        self.lease().await.map(|lease| lease.credentials)
    }

    /// The same, for callers that may have to [`invalidate`](Self::invalidate) them.
    pub(crate) async fn lease(&self) -> Result<Lease, AuthError> {
        if let Some(lease) = self.fresh() {
            return Ok(lease);
        }
        // One caller renews; while the old ones are valid, the others use them.
        let _fetching = match (self.valid(), self.0.fetching.try_lock()) {
            (_, Ok(fetching)) => fetching,
            (Some(lease), Err(_)) => return Ok(lease),
            (None, Err(_)) => self.0.fetching.lock().await,
        };
        if let Some(lease) = self.fresh() {
            return Ok(lease);
        }
        if let Some(error) = self.failed_lately() {
            return Err(error);
        }
        match self.fetch().await {
            Ok(credentials) => Ok(self.keep(credentials)),
            Err(error) => {
                let again_at = Instant::now() + pause(&error);
                let valid = self.valid();
                let mut state = self.state();
                match (&mut state.entry, valid) {
                    // Not with every call: while the old ones are valid, the next renewal can wait.
                    (Some(entry), Some(lease)) => {
                        entry.renew_not_before = Some(again_at);
                        Ok(lease)
                    }
                    _ => {
                        state.failed = Some((error.clone(), again_at));
                        Err(error)
                    }
                }
            }
        }
    }

    async fn fetch(&self) -> Result<Credentials, AuthError> {
        let credentials = self.0.source.fetch().await?;
        check(&credentials).map_err(|error| AuthError { step: self.0.source.step(), error })?;
        Ok(credentials)
    }

    fn keep(&self, credentials: Credentials) -> Lease {
        let now = self.0.clock.now();
        let seem_expired = credentials.expiry().is_some_and(|at| at <= now);
        let kept_until = Instant::now() + if seem_expired { KEPT } else { KEPT_AT_LEAST };
        let renew_at = renew_at(&credentials, now);
        let mut state = self.state();
        state.generations += 1;
        let lease = Lease { credentials, generation: state.generations };
        state.entry = Some(Entry { lease: lease.clone(), kept_until, renew_at, renew_not_before: None });
        lease
    }

    fn failed_lately(&self) -> Option<AuthError> {
        let state = self.state();
        state.failed.as_ref().filter(|(_, again_at)| Instant::now() < *again_at).map(|(error, _)| error.clone())
    }

    /// Drops `used`, after AWS has refused them. Credentials that were fetched since then stay,
    /// even the same ones: of many requests refused together, one fetches.
    pub(crate) fn invalidate(&self, used: &Lease) {
        let mut state = self.state();
        if state.entry.as_ref().is_some_and(|entry| entry.lease.generation == used.generation) {
            state.entry = None;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fresh(&self) -> Option<Lease> {
        let now = self.0.clock.now();
        self.state().entry.as_ref().filter(|entry| entry.is_fresh(now)).map(|entry| entry.lease.clone())
    }

    fn valid(&self) -> Option<Lease> {
        let now = self.0.clock.now();
        self.state().entry.as_ref().filter(|entry| entry.is_valid(now)).map(|entry| entry.lease.clone())
    }
}

fn renew_at(credentials: &Credentials, now: SystemTime) -> Option<SystemTime> {
    let expiry = credentials.expiry()?;
    let life = expiry.duration_since(now).unwrap_or_default();
    expiry.checked_sub((life / 5).min(MAX_MARGIN))
}

/// How long a failure is shared. A source that timed out would take the whole time again.
fn pause(error: &AuthError) -> Duration {
    if error.error.class.may_pass() && error.error.code != TIMED_OUT { RETRY_SOON } else { RETRY_AFTER }
}

impl ProvideCredentials for CachedCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        match self.fresh() {
            Some(lease) => future::ProvideCredentials::ready(Ok(lease.credentials)),
            None => {
                future::ProvideCredentials::new(async { self.get().await.map_err(CredentialsError::provider_error) })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::Pin;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
    use std::sync::{Arc, Mutex};
    use std::time::{Duration, SystemTime};

    use aws_credential_types::Credentials;
    use aws_smithy_async::time::{SharedTimeSource, TimeSource};
    use dynacrawl_aws::{AwsError, ErrorClass};

    use super::{CachedCredentials, KEPT, Source};
    use crate::AuthError;

    const HOUR: Duration = Duration::from_secs(3600);

    /// The wall clock; tokio's is paused.
    #[derive(Clone, Debug)]
    struct Clock(Arc<Mutex<SystemTime>>);

    impl Clock {
        async fn advance(&self, by: Duration) {
            *self.0.lock().expect("clock") += by;
            tokio::time::advance(by).await;
        }
    }

    impl TimeSource for Clock {
        fn now(&self) -> SystemTime {
            *self.0.lock().expect("clock")
        }
    }

    #[derive(Clone)]
    struct Sessions {
        asked: Arc<AtomicU32>,
        fetched: Arc<AtomicU32>,
        broken: Arc<Mutex<Option<ErrorClass>>>,
        slow: Arc<AtomicBool>,
        same: bool,
        clock: Clock,
    }

    impl Source for Sessions {
        fn fetch(&self) -> Pin<Box<dyn Future<Output = Result<Credentials, AuthError>> + Send + '_>> {
            Box::pin(async {
                tokio::task::yield_now().await;
                self.asked.fetch_add(1, Ordering::SeqCst);
                if self.slow.load(Ordering::SeqCst) {
                    tokio::time::sleep(Duration::from_secs(30)).await;
                }
                if let Some(class) = *self.broken.lock().expect("broken") {
                    return Err(AuthError { step: self.step(), error: AwsError::new(class, "code", "no") });
                }
                let number = self.fetched.fetch_add(1, Ordering::SeqCst);
                let key = if self.same { "key".to_owned() } else { format!("key{number}") };
                Ok(Credentials::new(key, "secret", None, Some(self.clock.now() + HOUR), "test"))
            })
        }

        fn step(&self) -> String {
            "test".to_owned()
        }
    }

    impl Sessions {
        fn break_with(&self, class: Option<ErrorClass>) {
            *self.broken.lock().expect("broken") = class;
        }

        fn asked(&self) -> u32 {
            self.asked.load(Ordering::SeqCst)
        }
    }

    fn sessions() -> Sessions {
        let clock = Clock(Arc::new(Mutex::new(SystemTime::UNIX_EPOCH + 24 * HOUR)));
        Sessions {
            asked: Arc::default(),
            fetched: Arc::default(),
            broken: Arc::default(),
            slow: Arc::default(),
            same: false,
            clock,
        }
    }

    fn cached() -> (CachedCredentials, Sessions) {
        let sessions = sessions();
        let clock = SharedTimeSource::new(sessions.clock.clone());
        (CachedCredentials::new(sessions.clone(), clock), sessions)
    }

    async fn key(cache: &CachedCredentials) -> String {
        cache.get().await.expect("credentials").access_key_id().to_owned()
    }

    #[tokio::test(start_paused = true)]
    async fn many_waiters_cost_one_call() {
        let (cache, sessions) = cached();
        let keys = futures_util::future::join_all((0..50).map(|_| key(&cache))).await;
        assert!(keys.iter().all(|key| key == "key0"));
        assert_eq!(sessions.asked(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_is_renewed_before_it_ends() {
        let (cache, sessions) = cached();
        assert_eq!(key(&cache).await, "key0");
        sessions.clock.advance(HOUR - Duration::from_secs(301)).await;
        assert_eq!(key(&cache).await, "key0");
        sessions.clock.advance(Duration::from_secs(2)).await;
        assert_eq!(key(&cache).await, "key1");
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_does_not_block_the_use_of_a_valid_session() {
        let (cache, sessions) = cached();
        assert_eq!(key(&cache).await, "key0");
        sessions.clock.advance(HOUR - Duration::from_secs(100)).await;
        sessions.slow.store(true, Ordering::SeqCst);
        let renewing = tokio::spawn({
            let cache = cache.clone();
            async move { key(&cache).await }
        });
        while sessions.asked() < 2 {
            tokio::task::yield_now().await;
        }
        let started = tokio::time::Instant::now();
        for _ in 0..1000 {
            assert_eq!(key(&cache).await, "key0");
        }
        assert_eq!(started.elapsed(), Duration::ZERO);
        assert_eq!(renewing.await.expect("no panic"), "key1");
        assert_eq!((key(&cache).await.as_str(), sessions.asked()), ("key1", 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_renewal_is_an_error_only_after_the_session_expires() {
        let (cache, sessions) = cached();
        assert_eq!(key(&cache).await, "key0");
        sessions.break_with(Some(ErrorClass::Denied));
        sessions.clock.advance(HOUR - Duration::from_secs(100)).await;
        for _ in 0..5 {
            assert_eq!(key(&cache).await, "key0");
        }
        assert_eq!(sessions.asked(), 2, "a failed renewal is not retried with every call");
        sessions.clock.advance(Duration::from_secs(101)).await;
        assert_eq!(cache.get().await.expect_err("ended").error.class, ErrorClass::Denied);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_shared_for_longer_than_a_temporary_failure() {
        for (class, seconds) in [(ErrorClass::Denied, 15), (ErrorClass::Transient, 1), (ErrorClass::TimedOut, 1)] {
            let (cache, sessions) = cached();
            sessions.break_with(Some(class));
            for _ in 0..17 {
                assert_eq!(cache.get().await.expect_err("none").error.class, class);
            }
            sessions.break_with(None);
            sessions.clock.advance(Duration::from_secs(seconds) - Duration::from_millis(1)).await;
            assert_eq!(cache.get().await.expect_err("shared").error.class, class);
            assert_eq!(sessions.asked(), 1, "{class:?}");
            sessions.clock.advance(Duration::from_millis(1)).await;
            assert_eq!(key(&cache).await, "key0");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_session_that_was_refused_is_dropped() {
        let (cache, _) = cached();
        let first = cache.lease().await.expect("credentials");
        cache.invalidate(&first);
        assert_eq!(key(&cache).await, "key1");
        cache.invalidate(&first);
        assert_eq!(key(&cache).await, "key1");
    }

    #[tokio::test(start_paused = true)]
    async fn requests_refused_together_cost_one_fetch_of_the_same_key() {
        let sessions = Sessions { same: true, ..sessions() };
        let cache = CachedCredentials::new(sessions.clone(), SharedTimeSource::new(sessions.clock.clone()));
        let mut used = Vec::new();
        for _ in 0..32 {
            used.push(cache.lease().await.expect("credentials"));
        }
        for used in &used {
            cache.invalidate(used);
            key(&cache).await;
        }
        assert_eq!(sessions.asked(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_far_ahead_does_not_cost_a_fetch_for_each_request() {
        let sessions = sessions();
        let ahead = Clock(Arc::new(Mutex::new(sessions.clock.now() + 10 * HOUR)));
        let cache = CachedCredentials::new(sessions.clone(), SharedTimeSource::new(ahead));
        for _ in 0..4000 {
            assert_eq!(key(&cache).await, "key0");
        }
        tokio::time::advance(KEPT).await;
        assert_eq!(key(&cache).await, "key1");
        let refused = cache.lease().await.expect("credentials");
        cache.invalidate(&refused);
        assert_eq!(key(&cache).await, "key2");
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_of_a_few_seconds_is_renewed_before_it_ends() {
        let sessions = sessions();
        // The source's sessions last an hour; by this clock, three seconds.
        let behind_its_end = Clock(Arc::new(Mutex::new(sessions.clock.now() + HOUR - Duration::from_secs(3))));
        let cache = CachedCredentials::new(sessions.clone(), SharedTimeSource::new(behind_its_end.clone()));
        assert_eq!(key(&cache).await, "key0");
        behind_its_end.advance(Duration::from_millis(2300)).await;
        assert_eq!(key(&cache).await, "key0");
        behind_its_end.advance(Duration::from_millis(200)).await;
        assert_eq!(key(&cache).await, "key1");
    }

    #[tokio::test(start_paused = true)]
    async fn debug_output_has_no_secret() {
        let (cache, _) = cached();
        assert_eq!(format!("{cache:?}"), "CachedCredentials(** redacted **)");
    }
}
