//! The clock for schedules. They use the system's clock, which keeps running while the machine
//! sleeps; timers do not.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// The longest wait before the clock is read again.
const LOOK: Duration = Duration::from_secs(15);

/// A wall clock.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The system's clock.
    System,
    /// A clock that begins at a given time and follows the runtime's timers, for tests on simulated
    /// time.
    Simulated {
        /// The time at which it begins.
        began_at: Timestamp,
        /// The same moment on the runtime's clock.
        began: Instant,
    },
}

impl Clock {
    /// The current time.
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => Timestamp::now(),
            Self::Simulated { began_at, began } => *began_at + began.elapsed(),
        }
    }

    /// Waits until a time, or until the clock is set back. Never returns for `None`.
    pub async fn until(&self, at: Option<Timestamp>) {
        let Some(at) = at else { return std::future::pending().await };
        let mut last = self.now();
        loop {
            let now = self.now();
            let left = at.duration_since(now);
            if left <= SignedDuration::ZERO || now < last {
                return;
            }
            last = now;
            tokio::time::sleep(Duration::try_from(left).unwrap_or_default().min(LOOK)).await;
        }
    }
}
