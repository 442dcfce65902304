//! What the daemon answers over HTTP.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use metrics_exporter_prometheus::PrometheusHandle;
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::mpsc;

use super::daemon::Order;
use super::host;
use super::metrics;
use super::queue::Job;
use super::shared::Shared;
use crate::config::{Accepted, scopes};

/// How large a request may be.
const MOST_BYTES: usize = 64 * 1024;
/// How long the body of a request may take.
const BODY_TIME: Duration = Duration::from_secs(10);

/// What requests are answered from.
#[derive(Clone)]
pub(super) struct Daemon {
    pub(super) shared: Arc<Shared>,
    orders: mpsc::Sender<Order>,
    recorded: PrometheusHandle,
}

/// What is answered where.
pub(crate) fn router(shared: Arc<Shared>, orders: mpsc::Sender<Order>, recorded: PrometheusHandle) -> Router {
    let daemon = Daemon { shared, orders, recorded };
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(measured))
        .route("/api/v1/runs", post(start_a_run))
        .layer(from_fn_with_state(daemon.clone(), host::only_allowed))
        .with_state(daemon)
}

async fn ready(State(daemon): State<Daemon>) -> Response {
    if daemon.shared.status().draining {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response();
    }
    "ready\n".into_response()
}

async fn measured(State(daemon): State<Daemon>) -> Response {
    let page = metrics::render(&daemon.recorded, &daemon.shared);
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], page).into_response()
}

/// What a run that is asked for shall do.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RunRequest {
    /// The targets; without it: all.
    targets: Option<Vec<String>>,
    /// The scopes (ACCOUNT/REGION) whose removals a person has accepted.
    #[serde(default)]
    accept_removals: Vec<String>,
    /// The scopes (ACCOUNT/REGION) whose retirement a person has accepted.
    #[serde(default)]
    accept_retirements: Vec<String>,
}

async fn start_a_run(State(daemon): State<Daemon>, request: Request) -> Response {
    // Before anything that somebody without the token sends is read.
    if let Some(refused) = refusal(&daemon.shared, request.headers()) {
        return refused;
    }
    let Ok(body) = tokio::time::timeout(BODY_TIME, to_bytes(request.into_body(), MOST_BYTES)).await else {
        return problem_of(StatusCode::REQUEST_TIMEOUT, "the body takes more than 10 seconds");
    };
    let Ok(body) = body else {
        return problem_of(StatusCode::PAYLOAD_TOO_LARGE, "the body is cut short, or larger than 64 KiB");
    };
    let job = match job(&daemon.shared, &body) {
        Ok(job) => job,
        Err(problem) => return problem_of(StatusCode::BAD_REQUEST, &problem),
    };
    if daemon.shared.status().draining {
        return problem_of(StatusCode::SERVICE_UNAVAILABLE, "dynacrawl is about to end");
    }
    if daemon.orders.try_send(Order::Run(job)).is_err() {
        return problem_of(StatusCode::SERVICE_UNAVAILABLE, "too many requests wait");
    }
    let status = if daemon.shared.status().running { "queued" } else { "started" };
    (StatusCode::ACCEPTED, [(CONTENT_TYPE, "application/json")], format!("{}\n", json!({ "status": status })))
        .into_response()
}

/// The answer to a request without the token. Where there is none, nobody has it.
fn refusal(shared: &Shared, headers: &HeaderMap) -> Option<Response> {
    let status = shared.status();
    let Some(token) = &status.token else {
        let said = "there is no serve.token in the configuration, so nobody may start a run";
        return Some(problem_of(StatusCode::FORBIDDEN, said));
    };
    let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    // Hashed, so that neither the text nor its length shows in how long it takes.
    let same = |given: &str| {
        let hashes = [given, token.expose_secret()].map(Sha256::digest);
        bool::from(hashes[0].as_slice().ct_eq(hashes[1].as_slice()))
    };
    if given.is_some_and(same) {
        return None;
    }
    let mut refused = problem_of(StatusCode::UNAUTHORIZED, "the bearer token is missing or wrong");
    refused.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    Some(refused)
}

fn job(shared: &Shared, body: &[u8]) -> Result<Job, String> {
    let asked: RunRequest = match body.trim_ascii() {
        [] => RunRequest::default(),
        body => serde_json::from_slice(body).map_err(|error| format!("the body cannot be used: {error}"))?,
    };
    let status = shared.status();
    let names = status.target_names.join(", ");
    if asked.targets.as_ref().is_some_and(Vec::is_empty) {
        return Err(format!("targets: is empty; leave it out for all, or name some of {names}"));
    }
    if let Some(unknown) = asked.targets.iter().flatten().find(|name| !status.target_names.contains(name)) {
        return Err(format!("targets: '{}' is unknown; there are {names}", dynacrawl_model::Escaped(unknown)));
    }
    let read = |key: &str, texts: &[String]| scopes(key, texts).map_err(|error| error.to_string());
    let accepted = Accepted {
        removals: read("accept_removals", &asked.accept_removals)?,
        retirements: read("accept_retirements", &asked.accept_retirements)?,
    };
    Ok(Job { targets: asked.targets, accepted, ..Job::default() })
}

pub(super) fn problem_of(status: StatusCode, problem: &str) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], format!("{}\n", json!({ "error": problem }))).into_response()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::mpsc;
    use tokio::time::Instant;
    use tokio_util::sync::CancellationToken;

    use super::{BODY_TIME, router};
    use crate::run::inside::config;
    use crate::serve::metrics::recorder;
    use crate::serve::server::serve;
    use crate::serve::shared::Shared;

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let config = config("[[target]]\nname = \"home\"\nregions = [\"eu-west-1\"]\n");
        let shared = Arc::new(Shared::new(&config, Some("secret".into()), "no-state.db".into()));
        let (orders, mut asked) = mpsc::channel(1);
        let router = router(shared, orders, recorder().expect("a recorder").handle());
        let stop = CancellationToken::new();
        let client = async {
            let mut stream = TcpStream::connect(address).await.expect("it listens");
            let head = "POST /api/v1/runs HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer secret\r\n";
            stream.write_all(format!("{head}content-length: 10\r\n\r\n{{").as_bytes()).await.expect("it is sent");
            let (asked_at, mut answer) = (Instant::now(), [0; 12]);
            stream.read_exact(&mut answer).await.expect("an answer");
            stop.cancel();
            (asked_at.elapsed(), answer)
        };
        let ((), (took, answer)) = tokio::join!(serve(listener, router, &stop), client);
        assert_eq!(&answer, b"HTTP/1.1 408");
        assert!(took >= BODY_TIME && took < 2 * BODY_TIME, "{took:?}");
        assert!(asked.try_recv().is_err(), "no run was asked for");
    }
}
