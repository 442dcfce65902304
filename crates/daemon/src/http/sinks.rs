//! `/api/v1/sinks`: how the deliveries of each sink went. `/api/v1/sinks/NAME/replay` makes one begin anew.

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::json;

use super::resource::{Daemon, Resource, problem_of};
use super::token;
use crate::daemon::Order;

pub(super) const LIST: Resource = Resource { path: "/api/v1/sinks", any_host: false, methods: || get(list) };
pub(super) const REPLAY: Resource =
    Resource { path: "/api/v1/sinks/{name}/replay", any_host: false, methods: || post(replay) };

async fn list(State(daemon): State<Daemon>, request: Request) -> Response {
    if let Some(refused) = token::refusal(&daemon.shared, request.headers()) {
        return refused;
    }
    // As they are now: the daemon itself reads them only after runs.
    daemon.shared.read_sinks().await;
    let sinks = json!({ "sinks": daemon.shared.status().sinks });
    (StatusCode::OK, [(CONTENT_TYPE, "application/json")], format!("{sinks}\n")).into_response()
}

async fn replay(State(daemon): State<Daemon>, Path(name): Path<String>, request: Request) -> Response {
    if let Some(refused) = token::refusal(&daemon.shared, request.headers()) {
        return refused;
    }
    let names = daemon.shared.status().sink_names.clone();
    if !names.contains(&name) {
        let shown = dynacrawl_model::Escaped(&name).to_string();
        let there_are =
            if names.is_empty() { "there are none".to_owned() } else { format!("there are {}", names.join(", ")) };
        let problem = format!("'{shown}' is not a sink; {there_are}");
        return problem_of(StatusCode::NOT_FOUND, &problem);
    }
    daemon.shared.read_sinks().await;
    if !daemon.shared.status().sinks.iter().any(|sink| sink.name == name) {
        return problem_of(StatusCode::CONFLICT, "the sink is new, and begins with the next run");
    }
    if daemon.shared.status().draining {
        return problem_of(StatusCode::SERVICE_UNAVAILABLE, "dynacrawl is stopping");
    }
    if daemon.orders.try_send(Order::Replay(name)).is_err() {
        return problem_of(StatusCode::SERVICE_UNAVAILABLE, "too many requests wait");
    }
    let body = format!("{}\n", json!({ "status": "started" }));
    (StatusCode::ACCEPTED, [(CONTENT_TYPE, "application/json")], body).into_response()
}
