//! `/healthz` and `/readyz`, for probes.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::resource::{Daemon, Resource};

pub(super) const LIVE: Resource = Resource { path: "/healthz", any_host: true, methods: || get(async || "ok\n") };
pub(super) const READY: Resource = Resource { path: "/readyz", any_host: true, methods: || get(ready) };

async fn ready(State(daemon): State<Daemon>) -> Response {
    if daemon.shared.status().draining {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response();
    }
    "ready\n".into_response()
}
