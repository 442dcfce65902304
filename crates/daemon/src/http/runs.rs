//! `/api/v1/runs`: starts a run.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use dynacrawl_engine::settings::{Accepted, scopes};
use serde::Deserialize;
use serde_json::json;

use super::resource::{Daemon, Resource, json_body, problem_of};
use super::token;
use crate::daemon::Order;
use crate::queue::Job;
use crate::shared::Shared;

pub(super) const RESOURCE: Resource = Resource { path: "/api/v1/runs", any_host: false, methods: || post(start) };

/// The body of a request for a run.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RunRequest {
    /// The targets; `None`: all.
    targets: Option<Vec<String>>,
    /// The scopes (ACCOUNT/REGION) whose removals a person has accepted.
    #[serde(default)]
    accept_removals: Vec<String>,
    /// The scopes (ACCOUNT/REGION) whose retirement a person has accepted.
    #[serde(default)]
    accept_retirements: Vec<String>,
}

async fn start(State(daemon): State<Daemon>, request: Request) -> Response {
    // Checked before the body is read, so that a client without the token cannot send one.
    if let Some(refused) = token::refusal(&daemon.shared, request.headers()) {
        return refused;
    }
    let requested = match json_body(request).await {
        Ok(requested) => requested,
        Err(refused) => return refused,
    };
    let job = match job(&daemon.shared, requested) {
        Ok(job) => job,
        Err(problem) => return problem_of(StatusCode::BAD_REQUEST, &problem),
    };
    if daemon.shared.status().draining {
        return problem_of(StatusCode::SERVICE_UNAVAILABLE, "dynacrawl is stopping");
    }
    if daemon.orders.try_send(Order::Run(job)).is_err() {
        return problem_of(StatusCode::SERVICE_UNAVAILABLE, "too many requests wait");
    }
    let status = if daemon.shared.status().running { "queued" } else { "started" };
    (StatusCode::ACCEPTED, [(CONTENT_TYPE, "application/json")], format!("{}\n", json!({ "status": status })))
        .into_response()
}

fn job(shared: &Shared, requested: RunRequest) -> Result<Job, String> {
    let status = shared.status();
    let names = status.target_names.join(", ");
    if requested.targets.as_ref().is_some_and(Vec::is_empty) {
        return Err(format!("targets: is empty; leave it out for all, or name some of {names}"));
    }
    if let Some(unknown) = requested.targets.iter().flatten().find(|name| !status.target_names.contains(name)) {
        return Err(format!("targets: '{}' is unknown; there are {names}", dynacrawl_model::Escaped(unknown)));
    }
    let read = |key: &str, texts: &[String]| scopes(key, texts).map_err(|error| error.to_string());
    let accepted = Accepted {
        removals: read("accept_removals", &requested.accept_removals)?,
        retirements: read("accept_retirements", &requested.accept_retirements)?,
    };
    Ok(Job { targets: requested.targets, accepted, ..Job::default() })
}
