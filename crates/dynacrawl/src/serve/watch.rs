//! Who notices that the configuration may have changed.

use std::path::Path;
use std::time::Duration;

use tokio::signal::unix::Signal;
use tokio::sync::mpsc;

use super::daemon::Order;

/// Looks at a file again and again, without end. What is in it counts, and not its time of change: a ConfigMap is exchanged by
/// a link. `known` was read before the configuration was.
pub(crate) async fn file(
    path: &Path,
    mut known: Option<Vec<u8>>,
    every: impl Fn() -> Duration,
    orders: &mpsc::Sender<Order>,
) {
    loop {
        tokio::time::sleep(every()).await;
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
pub(crate) async fn hangups(mut signal: Signal, orders: &mpsc::Sender<Order>) {
    while signal.recv().await.is_some() {
        let _ = orders.send(Order::Reload).await;
    }
    std::future::pending::<()>().await;
}
