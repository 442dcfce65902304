//! The HTTP server.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Body;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::answer::{Reply, answer};
use crate::services::Call;
use crate::socket::Spoiled;
use crate::state::State;
use crate::wire::{AnswerBody, Delivery};

const MAX_REQUEST: usize = 1 << 20;

/// Serves connections until `stop` is cancelled, and then closes the open ones.
pub(crate) async fn serve(listener: TcpListener, state: Arc<State>, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => {
                // The connection is closed already, or file descriptors are short for a moment.
                let Ok((stream, _)) = accepted else {
                    tokio::task::yield_now().await;
                    continue;
                };
                connections.spawn(connection(stream, Arc::clone(&state)));
            }
            Some(_) = connections.join_next() => {}
        }
    }
    connections.shutdown().await;
}

async fn connection(stream: TcpStream, state: Arc<State>) {
    let _open = state.meters.connection();
    // If this fails, answers only arrive later.
    let _ = stream.set_nodelay(true);
    let (stream, spoiler) = Spoiled::new(stream);
    let (state, spoiler) = (&state, &spoiler);
    let service = service_fn(|request| async move {
        let answer = handle(state, request).await?;
        if answer.extensions().get::<NotHttp>().is_some() {
            spoiler.spoil_next();
        }
        io::Result::Ok(answer)
    });
    // A connection ends with an error if the client closes it or a fault breaks it. Neither
    // concerns the server.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// Marks an answer whose status line is not HTTP.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NotHttp;

/// Answers one request. After an error, hyper closes the connection without an answer.
pub(crate) async fn handle<B>(state: &State, request: Request<B>) -> io::Result<Response<AnswerBody>>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>,
{
    let (head, body) = request.into_parts();
    if head.uri.path().starts_with("/_sim/") {
        return Ok(control(state, &head.method, head.uri.path()));
    }
    let _in_flight = state.meters.enter();
    let body = Limited::new(body, MAX_REQUEST).collect().await.map_err(io::Error::other)?.to_bytes();
    let reply = answer(state, &Call::new(&head.method, &head.uri, &head.headers, &body));
    if !reply.delay.is_zero() {
        tokio::time::sleep(reply.delay).await;
    }
    if reply.delivery == Delivery::Dropped {
        return Err(io::Error::other("the connection is dropped on purpose"));
    }
    Ok(response(reply))
}

fn response(reply: Reply) -> Response<AnswerBody> {
    let crc = reply.checksum.then(|| HeaderValue::from(crc32fast::hash(&reply.body)));
    let mut response = Response::new(AnswerBody::new(reply.body, reply.delivery));
    if reply.delivery == Delivery::NotHttp {
        response.extensions_mut().insert(NotHttp);
    }
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    if let Ok(id) = HeaderValue::try_from(reply.request_id) {
        headers.insert("x-amzn-requestid", id);
    }
    if let Some(code) = reply.error_type.and_then(|code| HeaderValue::try_from(code).ok()) {
        headers.insert("x-amzn-errortype", code);
    }
    if let Some(crc) = crc.filter(|_| reply.delivery != Delivery::Endless) {
        headers.insert("x-amz-crc32", crc);
    }
    headers.extend(reply.headers);
    response
}

/// The simulator's own endpoints.
fn control(state: &State, method: &Method, path: &str) -> Response<AnswerBody> {
    let (status, body) = match (method, path) {
        (&Method::GET, "/_sim/counts") => (StatusCode::OK, serde_json::to_vec(&state.counts()).unwrap_or_default()),
        (&Method::GET, "/_sim/access") => (StatusCode::OK, serde_json::to_vec(&state.access).unwrap_or_default()),
        (&Method::POST, "/_sim/reset") => {
            state.reset_counts();
            (StatusCode::OK, b"{}".to_vec())
        }
        _ => (
            StatusCode::NOT_FOUND,
            b"{\"message\":\"there are GET /_sim/counts, GET /_sim/access and POST /_sim/reset\"}".to_vec(),
        ),
    };
    let mut response = Response::new(AnswerBody::new(Bytes::from(body), Delivery::Whole));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Binds the loopback interface.
pub(crate) async fn bind(port: u16) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}
