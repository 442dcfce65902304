//! Sessions that AssumeRole issued.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::locks::{read, write};

/// If there are more sessions than this, expired ones are removed, so that memory does not grow.
const KEEP: usize = 10_000;

/// The temporary credentials of a role.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
    pub(crate) token: String,
    /// The number of the role's account in the estate.
    pub(crate) account: usize,
    /// The role's name without its path.
    pub(crate) role: String,
    pub(crate) role_arn: String,
    pub(crate) name: String,
    expires_ms: AtomicI64,
}

/// All sessions by access key, and their clock.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    by_key: RwLock<HashMap<String, Arc<Session>>>,
    ahead_ms: AtomicI64,
}

impl Sessions {
    /// The time of the sessions' clock, in milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> i64 {
        unix_ms() + self.ahead_ms.load(Ordering::Relaxed)
    }

    /// Advances the sessions' clock.
    pub(crate) fn advance(&self, by: Duration) {
        self.ahead_ms.fetch_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// Issues a session, and returns it with its expiration. As in AWS's answers, that is a whole
    /// second, unless the session is shorter than two seconds.
    pub(crate) fn issue(
        &self,
        account: usize,
        role_arn: &str,
        name: &str,
        life: Duration,
    ) -> (Arc<Session>, jiff::Timestamp) {
        let mut expires_ms = self.now_ms() + i64::try_from(life.as_millis()).unwrap_or(i64::MAX / 4);
        if life >= Duration::from_secs(2) {
            expires_ms -= expires_ms % 1_000;
        }
        let session = Arc::new(Session {
            access_key_id: format!("ASIA{}", random_text(16, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")),
            secret_access_key: random_text(40, BASE64),
            token: format!("IQoJb3JpZ2luX2Vj{}==", random_text(330, BASE64)),
            account,
            role: role_arn.rsplit('/').next().unwrap_or_default().to_owned(),
            role_arn: role_arn.to_owned(),
            name: name.to_owned(),
            expires_ms: AtomicI64::new(expires_ms),
        });
        let mut by_key = write(&self.by_key);
        if by_key.len() >= KEEP {
            let now = self.now_ms();
            by_key.retain(|_, session| session.expires_ms.load(Ordering::Relaxed) > now);
        }
        by_key.insert(session.access_key_id.clone(), Arc::clone(&session));
        (session, jiff::Timestamp::from_millisecond(expires_ms).unwrap_or(jiff::Timestamp::MAX))
    }

    pub(crate) fn get(&self, access_key_id: &str) -> Option<Arc<Session>> {
        read(&self.by_key).get(access_key_id).cloned()
    }

    pub(crate) fn is_expired(&self, session: &Session) -> bool {
        session.expires_ms.load(Ordering::Relaxed) <= self.now_ms()
    }

    pub(crate) fn expire(&self, session: &Session) {
        session.expires_ms.store(0, Ordering::Relaxed);
    }

    pub(crate) fn expire_all(&self) {
        read(&self.by_key).values().for_each(|session| self.expire(session));
    }
}

const BASE64: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn random_text(length: usize, alphabet: &[u8]) -> String {
    (0..length).map(|_| char::from(alphabet[fastrand::usize(..alphabet.len())])).collect()
}

/// Milliseconds since 1970.
pub(crate) fn unix_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
