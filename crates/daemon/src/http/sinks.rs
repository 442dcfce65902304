//! `/api/v1/sinks`: how the deliveries of each sink went. `/api/v1/sinks/NAME/replay` sends its tables again.

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use dynacrawl_engine::query;
use dynacrawl_model::Escaped;
use dynacrawl_sinks::count_dead_letters;
use dynacrawl_state::SinkLine;
use serde::Deserialize;
use serde_json::json;

use super::resource::{Daemon, Resource, json_body, problem_of};
use super::token;
use crate::daemon::Order;

pub(super) const LIST: Resource = Resource { path: "/api/v1/sinks", any_host: false, methods: || get(list) };
pub(super) const REPLAY: Resource =
    Resource { path: "/api/v1/sinks/{name}/replay", any_host: false, methods: || post(replay) };

/// The body of a request that sends tables again.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplayRequest {
    /// Only tables that have changed, were removed or were left out since then; `None`: all.
    since: Option<String>,
}

async fn list(State(daemon): State<Daemon>, request: Request) -> Response {
    if let Some(refused) = token::refusal(&daemon.shared, request.headers()) {
        return refused;
    }
    // As they are now: the daemon itself reads them only after runs.
    daemon.shared.read_sinks().await;
    let (mut sinks, known) = {
        let status = daemon.shared.status();
        let names = status.sinks_by_name.keys().map(String::as_str);
        (SinkLine::with_new(status.sinks.clone(), names), status.sinks_by_name.clone())
    };
    let counting = move || {
        for sink in &mut sinks {
            let file = known.get(&sink.name).and_then(|known| known.dead_letters.as_deref());
            sink.dead_letters = file.and_then(|file| count_dead_letters(file).ok());
        }
        sinks
    };
    let sinks = json!({ "sinks": tokio::task::spawn_blocking(counting).await.unwrap_or_default() });
    (StatusCode::OK, [(CONTENT_TYPE, "application/json")], format!("{sinks}\n")).into_response()
}

async fn replay(State(daemon): State<Daemon>, Path(name): Path<String>, request: Request) -> Response {
    if let Some(refused) = token::refusal(&daemon.shared, request.headers()) {
        return refused;
    }
    let requested: ReplayRequest = match json_body(request).await {
        Ok(requested) => requested,
        Err(refused) => return refused,
    };
    let sinks = daemon.shared.status().sinks_by_name.clone();
    let Some(takes_snapshots) = sinks.get(&name).map(|sink| sink.takes_snapshots) else {
        let names = sinks.into_keys().collect::<Vec<_>>().join(", ");
        let there_are = if names.is_empty() { "there are none".to_owned() } else { format!("there are {names}") };
        return problem_of(StatusCode::NOT_FOUND, &format!("'{}' is not a sink; {there_are}", Escaped(&name)));
    };
    let since = match requested.since.as_deref().map(|text| query::since("since", text)).transpose() {
        Ok(Some(_)) if takes_snapshots => {
            let problem = format!("since: '{name}' gets snapshots of all tables; leave it out");
            return problem_of(StatusCode::BAD_REQUEST, &problem);
        }
        Ok(since) => since,
        Err(error) => return problem_of(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    daemon.shared.read_sinks().await;
    if !daemon.shared.status().sinks.iter().any(|sink| sink.name == name) {
        return problem_of(StatusCode::CONFLICT, "the sink is new, and begins with the next run");
    }
    if daemon.shared.status().draining {
        return problem_of(StatusCode::SERVICE_UNAVAILABLE, "dynacrawl is stopping");
    }
    if daemon.orders.try_send(Order::Replay { sink: name, since }).is_err() {
        return problem_of(StatusCode::SERVICE_UNAVAILABLE, "too many requests wait");
    }
    let body = format!("{}\n", json!({ "status": "started" }));
    (StatusCode::ACCEPTED, [(CONTENT_TYPE, "application/json")], body).into_response()
}
