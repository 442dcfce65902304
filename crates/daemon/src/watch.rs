//! Who notices that the configuration may have changed.

use std::path::Path;
use std::time::Duration;

use tokio::signal::unix::Signal;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::daemon::Order;

const STEP: Duration = Duration::from_secs(1);

/// Looks at a file again and again, without end. What is in it counts, and not its time of change: a ConfigMap is exchanged by
/// a link. `known` was read before the configuration was.
pub async fn file(path: &Path, mut known: Option<Vec<u8>>, every: impl Fn() -> Duration, orders: &mpsc::Sender<Order>) {
    loop {
        // In steps, because how often it is looked at may change with it.
        let looked_at = Instant::now();
        while looked_at.elapsed() < every() {
            tokio::time::sleep(every().saturating_sub(looked_at.elapsed()).min(STEP)).await;
        }
        // What is not there for a moment is being exchanged.
        let Ok(now) = std::fs::read(path) else { continue };
        if known.as_ref() != Some(&now) {
            known = Some(now);
            // Nobody takes it only where the daemon ends.
            let _ = orders.send(Order::Reload).await;
        }
    }
}

/// Waits for SIGHUP again and again, without end.
pub async fn hangups(mut signal: Signal, orders: &mpsc::Sender<Order>) {
    while signal.recv().await.is_some() {
        let _ = orders.send(Order::Reload).await;
    }
    std::future::pending::<()>().await;
}
