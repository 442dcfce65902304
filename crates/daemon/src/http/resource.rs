//! What all resources share.

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
    /// Whether it is answered whichever host a request names: probes and scrapers use any name, and
    /// change nothing.
    pub(super) any_host: bool,
    pub(super) methods: fn() -> MethodRouter<Daemon>,
}

/// The data and channels that handlers of requests use.
#[derive(Clone)]
pub(super) struct Daemon {
    pub(super) shared: Arc<Shared>,
    pub(super) orders: mpsc::Sender<Order>,
    pub(super) recorded: PrometheusHandle,
}

/// A response that describes the problem with the request.
pub(super) fn problem_of(status: StatusCode, problem: &str) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], format!("{}\n", json!({ "error": problem }))).into_response()
}
