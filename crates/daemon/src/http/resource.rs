//! What all resources share.

use std::sync::Arc;
use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use metrics_exporter_prometheus::PrometheusHandle;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::sync::mpsc;

use crate::daemon::Order;
use crate::shared::Shared;

/// How large the body of a request may be.
const MOST_BYTES: usize = 64 * 1024;
/// How long the body of a request may take.
const BODY_TIME: Duration = Duration::from_secs(10);

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

/// The body of a request as JSON. An empty one is the default. Clients that cannot authenticate must not get here.
///
/// # Errors
/// The response that describes the problem.
pub(super) async fn json_body<T: DeserializeOwned + Default>(request: Request) -> Result<T, Response> {
    let Ok(body) = tokio::time::timeout(BODY_TIME, to_bytes(request.into_body(), MOST_BYTES)).await else {
        return Err(problem_of(StatusCode::REQUEST_TIMEOUT, "the body takes more than 10 seconds"));
    };
    let Ok(body) = body else {
        let problem = "the body is cut short, or larger than 64 KiB";
        return Err(problem_of(StatusCode::PAYLOAD_TOO_LARGE, problem));
    };
    match body.trim_ascii() {
        [] => Ok(T::default()),
        body => serde_json::from_slice(body)
            .map_err(|error| problem_of(StatusCode::BAD_REQUEST, &format!("the body cannot be used: {error}"))),
    }
}
