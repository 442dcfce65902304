//! A cache for one source of credentials.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_smithy_async::time::SharedTimeSource;
use tokio::sync::Mutex;

use crate::AuthError;

/// How long before the end of a session the next one is asked for, at most; short sessions are renewed
/// when a fifth of their life is left.
const MAX_MARGIN: Duration = Duration::from_secs(300);

/// How long after a failure the source is asked again. Until then old credentials that still hold are used, and without any
/// all who ask share the failure: the seventeen Regions of an account whose role cannot be assumed cost one call.
const RETRY_AFTER: Duration = Duration::from_secs(15);
/// The same for a failure that may pass at any moment: not reached, throttled, broken.
const RETRY_SOON: Duration = Duration::from_secs(1);

/// A source of credentials: a future for each request of new ones.
pub(crate) trait Source: Send + Sync {
    /// Gets new credentials.
    fn fetch(&self) -> Pin<Box<dyn Future<Output = Result<Credentials, AuthError>> + Send + '_>>;
}

impl Source for Box<dyn Source> {
    fn fetch(&self) -> Pin<Box<dyn Future<Output = Result<Credentials, AuthError>> + Send + '_>> {
        (**self).fetch()
    }
}

#[derive(Clone)]
struct Entry {
    credentials: Credentials,
    renew_at: Option<SystemTime>,
}

struct Inner {
    source: Box<dyn Source>,
    clock: SharedTimeSource,
    entry: StdMutex<Option<Entry>>,
    /// Why there were none the last time, and until when that is taken for the answer.
    failed: StdMutex<Option<(AuthError, SystemTime)>>,
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

impl CachedCredentials {
    pub(crate) fn new(source: impl Source + 'static, clock: SharedTimeSource) -> Self {
        let source = Box::new(source);
        Self(Arc::new(Inner {
            source,
            clock,
            entry: StdMutex::default(),
            failed: StdMutex::default(),
            fetching: Mutex::new(()),
        }))
    }

    /// Credentials that are good now.
    ///
    /// # Errors
    /// When there are none and none can be had. While old ones still hold, a failed renewal is no error.
    pub async fn get(&self) -> Result<Credentials, AuthError> {
        if let Some(credentials) = self.fresh() {
            return Ok(credentials);
        }
        let _fetching = self.0.fetching.lock().await;
        if let Some(credentials) = self.fresh() {
            return Ok(credentials);
        }
        if let Some(error) = self.failed_lately() {
            return Err(error);
        }
        match self.0.source.fetch().await {
            Ok(credentials) => {
                let entry = Entry { renew_at: self.renew_at(&credentials), credentials: credentials.clone() };
                *self.entry() = Some(entry);
                Ok(credentials)
            }
            Err(error) => {
                let pause = if error.error.class.may_pass() { RETRY_SOON } else { RETRY_AFTER };
                let again_at = self.0.clock.now() + pause;
                let Some(credentials) = self.valid() else {
                    *self.failed() = Some((error.clone(), again_at));
                    return Err(error);
                };
                // Not with every call: as long as the old ones hold, asking again can wait.
                if let Some(entry) = &mut *self.entry() {
                    entry.renew_at = Some(again_at);
                }
                Ok(credentials)
            }
        }
    }

    fn failed(&self) -> std::sync::MutexGuard<'_, Option<(AuthError, SystemTime)>> {
        self.0.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed_lately(&self) -> Option<AuthError> {
        let failed = self.failed();
        failed.as_ref().filter(|(_, again_at)| self.0.clock.now() < *again_at).map(|(error, _)| error.clone())
    }

    /// Forgets `used`, after AWS has said that their session ended. Credentials that were renewed meanwhile stay.
    pub fn invalidate(&self, used: &Credentials) {
        let mut entry = self.entry();
        if entry.as_ref().is_some_and(|e| e.credentials.access_key_id() == used.access_key_id()) {
            *entry = None;
        }
    }

    fn entry(&self) -> std::sync::MutexGuard<'_, Option<Entry>> {
        self.0.entry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fresh(&self) -> Option<Credentials> {
        let entry = self.entry();
        let entry = entry.as_ref()?;
        let now = self.0.clock.now();
        let good = entry.renew_at.is_none_or(|at| now < at) && entry.credentials.expiry().is_none_or(|at| now < at);
        good.then(|| entry.credentials.clone())
    }

    fn valid(&self) -> Option<Credentials> {
        let entry = self.entry();
        let entry = entry.as_ref()?;
        entry.credentials.expiry().is_none_or(|at| self.0.clock.now() < at).then(|| entry.credentials.clone())
    }

    fn renew_at(&self, credentials: &Credentials) -> Option<SystemTime> {
        let expiry = credentials.expiry()?;
        let life = expiry.duration_since(self.0.clock.now()).unwrap_or_default();
        expiry.checked_sub((life / 5).min(MAX_MARGIN))
    }
}

impl ProvideCredentials for CachedCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        match self.fresh() {
            Some(credentials) => future::ProvideCredentials::ready(Ok(credentials)),
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

    use super::{CachedCredentials, Source};
    use crate::AuthError;

    const HOUR: Duration = Duration::from_secs(3600);

    #[derive(Clone, Debug)]
    struct Clock(Arc<Mutex<SystemTime>>);

    impl Clock {
        fn advance(&self, by: Duration) {
            *self.0.lock().expect("clock") += by;
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
        broken: Arc<AtomicBool>,
        clock: Clock,
    }

    impl Source for Sessions {
        fn fetch(&self) -> Pin<Box<dyn Future<Output = Result<Credentials, AuthError>> + Send + '_>> {
            Box::pin(async {
                tokio::task::yield_now().await;
                self.asked.fetch_add(1, Ordering::SeqCst);
                if self.broken.load(Ordering::SeqCst) {
                    let error = AwsError::new(ErrorClass::Denied, "AccessDenied", "no");
                    return Err(AuthError { step: "test".to_owned(), error });
                }
                let number = self.fetched.fetch_add(1, Ordering::SeqCst);
                Ok(Credentials::new(format!("key{number}"), "secret", None, Some(self.clock.now() + HOUR), "test"))
            })
        }
    }

    fn cached() -> (CachedCredentials, Sessions) {
        let clock = Clock(Arc::new(Mutex::new(SystemTime::UNIX_EPOCH)));
        let sessions =
            Sessions { asked: Arc::default(), fetched: Arc::default(), broken: Arc::default(), clock: clock.clone() };
        (CachedCredentials::new(sessions.clone(), SharedTimeSource::new(clock)), sessions)
    }

    async fn key(cache: &CachedCredentials) -> String {
        cache.get().await.expect("credentials").access_key_id().to_owned()
    }

    #[tokio::test]
    async fn many_waiters_cost_one_call() {
        let (cache, sessions) = cached();
        let waiters: Vec<_> = (0..50)
            .map(|_| {
                let cache = cache.clone();
                tokio::spawn(async move { key(&cache).await })
            })
            .collect();
        for waiter in waiters {
            assert_eq!(waiter.await.expect("waiter"), "key0");
        }
        assert_eq!(sessions.fetched.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_session_is_renewed_before_it_ends() {
        let (cache, sessions) = cached();
        assert_eq!(key(&cache).await, "key0");
        sessions.clock.advance(HOUR - Duration::from_secs(301));
        assert_eq!(key(&cache).await, "key0");
        sessions.clock.advance(Duration::from_secs(2));
        assert_eq!(key(&cache).await, "key1");
    }

    #[tokio::test]
    async fn a_failed_renewal_is_an_error_only_once_the_old_session_has_ended() {
        let (cache, sessions) = cached();
        assert_eq!(key(&cache).await, "key0");
        sessions.broken.store(true, Ordering::SeqCst);
        sessions.clock.advance(HOUR - Duration::from_secs(100));
        for _ in 0..5 {
            assert_eq!(key(&cache).await, "key0");
        }
        assert_eq!(sessions.asked.load(Ordering::SeqCst), 2, "a failed renewal is not tried with every call");
        sessions.clock.advance(Duration::from_secs(101));
        assert_eq!(cache.get().await.expect_err("ended").error.code, "AccessDenied");
    }

    #[tokio::test]
    async fn a_failure_is_shared_and_forgotten_after_a_while() {
        let (cache, sessions) = cached();
        sessions.broken.store(true, Ordering::SeqCst);
        for _ in 0..17 {
            assert_eq!(cache.get().await.expect_err("none").error.code, "AccessDenied");
        }
        assert_eq!(sessions.asked.load(Ordering::SeqCst), 1);
        sessions.broken.store(false, Ordering::SeqCst);
        sessions.clock.advance(Duration::from_secs(16));
        assert_eq!(key(&cache).await, "key0");
    }

    #[tokio::test]
    async fn only_the_session_that_was_used_is_forgotten() {
        let (cache, _) = cached();
        let first = cache.get().await.expect("credentials");
        cache.invalidate(&first);
        assert_eq!(key(&cache).await, "key1");
        cache.invalidate(&first);
        assert_eq!(key(&cache).await, "key1");
    }

    #[test]
    fn debug_output_has_no_secret() {
        let (cache, _) = cached();
        assert_eq!(format!("{cache:?}"), "CachedCredentials(** redacted **)");
    }
}
