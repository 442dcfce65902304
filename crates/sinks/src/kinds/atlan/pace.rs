//! Atlan takes 400 requests a minute from all programs together, and then none for a minute.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Five requests a second leave room for others.
const BETWEEN: Duration = Duration::from_millis(200);
/// How many requests may follow each other at once after a pause.
const BURST: u32 = 20;

/// When the next request may be sent.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When the requests so far would have been sent, one after the other.
    next: Option<Instant>,
}

impl Pace {
    pub(super) async fn wait(&mut self) {
        let now = Instant::now();
        let next = self.next.unwrap_or(now).max(now.checked_sub(BETWEEN * BURST).unwrap_or(now));
        self.next = Some(next + BETWEEN);
        if next > now {
            sleep_until(next).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{BETWEEN, BURST, Pace};

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_followed_by_five_requests_a_second() {
        let (mut pace, began) = (Pace::default(), Instant::now());
        tokio::time::advance(Duration::from_secs(60)).await;
        for _ in 0..BURST {
            pace.wait().await;
        }
        let first = began.elapsed();
        for _ in 0..50 {
            pace.wait().await;
        }
        assert!(began.elapsed() - first >= BETWEEN * 30, "{:?}", began.elapsed() - first);
    }
}
