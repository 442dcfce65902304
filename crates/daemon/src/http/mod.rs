//! The HTTP interface of the daemon: one file for each resource, and one list of them.

mod health;
mod host;
mod page;
mod resource;
mod runs;
pub mod server;
mod sinks;
mod token;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::mpsc;

use self::host::Guard;
use self::resource::{Daemon, Resource};
use crate::daemon::Order;
use crate::shared::Shared;

/// Every resource.
const RESOURCES: [Resource; 6] =
    [health::LIVE, health::READY, page::RESOURCE, runs::RESOURCE, sinks::LIST, sinks::REPLAY];

/// The router of all resources.
pub fn router(shared: Arc<Shared>, orders: mpsc::Sender<Order>, recorded: PrometheusHandle) -> Router {
    let daemon = Daemon { shared, orders, recorded };
    let add = |router: Router<Daemon>, resource: &Resource| router.route(resource.path, (resource.methods)());
    let any_host = RESOURCES.iter().filter(|resource| resource.any_host).map(|resource| resource.path).collect();
    let guard = Guard { shared: daemon.shared.clone(), any_host };
    RESOURCES.iter().fold(Router::new(), add).layer(from_fn_with_state(guard, host::only_allowed)).with_state(daemon)
}
