//! What the daemon answers over HTTP: one file for each resource, and one list of them.

mod health;
mod host;
mod page;
mod runs;
pub(crate) mod server;
mod token;

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;
use tokio::sync::mpsc;

use super::daemon::Order;
use super::shared::Shared;

/// Every resource.
const RESOURCES: [Resource; 4] = [health::LIVE, health::READY, page::RESOURCE, runs::RESOURCE];

/// A resource.
struct Resource {
    path: &'static str,
    /// Whether it is answered whatever the Host header names: probes and scrapers use what they like, and change nothing.
    any_host: bool,
    methods: fn() -> MethodRouter<Daemon>,
}

/// What requests are answered from.
#[derive(Clone)]
struct Daemon {
    shared: Arc<Shared>,
    orders: mpsc::Sender<Order>,
    recorded: PrometheusHandle,
}

/// What is answered at which path.
pub(crate) fn router(shared: Arc<Shared>, orders: mpsc::Sender<Order>, recorded: PrometheusHandle) -> Router {
    let daemon = Daemon { shared, orders, recorded };
    let add = |router: Router<Daemon>, resource: &Resource| router.route(resource.path, (resource.methods)());
    RESOURCES
        .iter()
        .fold(Router::new(), add)
        .layer(from_fn_with_state(daemon.clone(), host::only_allowed))
        .with_state(daemon)
}

fn problem_of(status: StatusCode, problem: &str) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], format!("{}\n", json!({ "error": problem }))).into_response()
}
