//! `/metrics`, for Prometheus.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::resource::{Daemon, Resource};
use crate::metrics;

pub(super) const RESOURCE: Resource = Resource { path: "/metrics", any_host: true, methods: || get(page) };

async fn page(State(daemon): State<Daemon>) -> Response {
    daemon.shared.read_sinks().await;
    let page = metrics::render(&daemon.recorded, &daemon.shared);
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], page).into_response()
}
