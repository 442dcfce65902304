//! What every resource has.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;
use tokio::sync::mpsc;

use crate::daemon::Order;
use crate::shared::Shared;

/// A resource.
pub(super) struct Resource {
    pub(super) path: &'static str,
    /// Whether it is answered whatever the Host header names: probes and scrapers use what they like, and change nothing.
    pub(super) any_host: bool,
    pub(super) methods: fn() -> MethodRouter<Daemon>,
}

/// What requests are answered from.
#[derive(Clone)]
pub(super) struct Daemon {
    pub(super) shared: Arc<Shared>,
    pub(super) orders: mpsc::Sender<Order>,
    pub(super) recorded: PrometheusHandle,
}

/// An answer that says what is wrong with the request.
pub(super) fn problem_of(status: StatusCode, problem: &str) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], format!("{}\n", json!({ "error": problem }))).into_response()
}
