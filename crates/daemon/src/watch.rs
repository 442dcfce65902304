//! Notices that the configuration may have changed.

use std::path::Path;
use std::time::Duration;

use tokio::signal::unix::Signal;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::daemon::Order;

const STEP: Duration = Duration::from_secs(1);

/// Checks a file repeatedly and forever. Compares its content instead of its modification time,
/// because Kubernetes replaces a ConfigMap through a link. `known` is the content that was read
/// before the configuration was loaded.
pub async fn file(path: &Path, mut known: Option<Vec<u8>>, every: impl Fn() -> Duration, orders: &mpsc::Sender<Order>) {
    loop {
        // In steps, because a reload may change the interval.
        let looked_at = Instant::now();
        while looked_at.elapsed() < every() {
            tokio::time::sleep(every().saturating_sub(looked_at.elapsed()).min(STEP)).await;
        }
        // A file that is missing for a moment is being replaced.
        let Ok(now) = std::fs::read(path) else { continue };
        if known.as_ref() != Some(&now) {
            known = Some(now);
            // The send fails only if the daemon ends.
            let _ = orders.send(Order::Reload).await;
        }
    }
}

/// Orders a reload for each SIGHUP, forever.
pub async fn hangups(mut signal: Signal, orders: &mpsc::Sender<Order>) {
    while signal.recv().await.is_some() {
        let _ = orders.send(Order::Reload).await;
    }
    std::future::pending::<()>().await;
}
