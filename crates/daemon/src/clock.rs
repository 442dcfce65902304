//! What time it is. Schedules go by the clock on the wall, which goes on while the machine sleeps; timers do not.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// How long is waited at most before the clock is looked at again.
const LOOK: Duration = Duration::from_secs(15);

/// A clock on the wall.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The system's.
    System,
    /// One that began at a time, and goes by the runtime's timers: for tests on simulated time.
    Simulated {
        /// The time at which it began.
        began_at: Timestamp,
        /// The same by the runtime's timers.
        began: Instant,
    },
}

impl Clock {
    /// Now.
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => Timestamp::now(),
            Self::Simulated { began_at, began } => *began_at + began.elapsed(),
        }
    }

    /// Waits until a time, or until the clock is set back; without end for none.
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
