//! The HTTP server. It has few connections, and each of them is limited in time. Clients that can
//! reach the address must not be able to use up the file descriptors that a crawl needs, nor to
//! delay the answer to a probe.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1::Builder;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

/// The most connections at once; one more ends the oldest.
const CONNECTIONS: usize = 64;
/// How long a request's head may take, and how long a connection may wait for the next request.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// How large a request's head may be.
const HEAD_BYTES: usize = 16 * 1024;
/// After this time a connection accepts no further request.
const LIFETIME: Duration = Duration::from_secs(60);
/// How long the last answer of a connection may take.
const LAST_ANSWER: Duration = Duration::from_secs(2);
/// How long to wait if a connection cannot be accepted, as when the system has no file descriptor
/// left.
const NO_DESCRIPTOR: Duration = Duration::from_secs(1);

/// Answers requests until `stop` is cancelled, then finishes the answers in progress.
pub async fn serve(listener: TcpListener, router: Router, stop: &CancellationToken) {
    let mut tasks = JoinSet::new();
    let mut connections: VecDeque<AbortHandle> = VecDeque::with_capacity(CONNECTIONS);
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = tasks.join_next() => {
                if let Err(error) = ended && error.is_panic() {
                    tracing::error!("an HTTP connection panicked");
                }
                connections.retain(|connection| !connection.is_finished());
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                if connections.len() >= CONNECTIONS
                    && let Some(oldest) = connections.pop_front()
                {
                    oldest.abort();
                }
                connections.push_back(tasks.spawn(connection(stream, router.clone(), stop.clone())));
            }
            Err(error) if is_the_clients(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept an HTTP connection");
                tokio::time::sleep(NO_DESCRIPTOR).await;
            }
        }
    }
    // Each connection also waits for `stop`, and ends within `LAST_ANSWER`.
    while tasks.join_next().await.is_some() {}
}

/// Answers the requests of one connection.
pub async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin, router: Router, stop: CancellationToken) {
    let serving = Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_header_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        // Errors of a client are not reported.
        _ = serving.as_mut() => return,
        () = tokio::time::sleep(LIFETIME) => {}
        () = stop.cancelled() => {}
    }
    serving.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(LAST_ANSWER, serving).await;
}

/// Whether only this connection failed, so that the next one can be accepted at once.
fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};
    use std::time::Duration;

    use axum::Router;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::task::JoinSet;
    use tokio::time::{Instant, sleep, timeout};
    use tokio_util::sync::CancellationToken;

    use super::{CONNECTIONS, HEAD_TIME, LIFETIME, serve};

    const ASKED: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";

    /// Starts a server, which runs as long as `tasks` lives.
    async fn server(stop: &CancellationToken, tasks: &mut JoinSet<()>) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let slow = get(|| async {
            sleep(Duration::from_secs(1)).await;
            "slow\n"
        });
        let router = Router::new().route("/healthz", get(|| async { "ok\n" })).route("/slow", slow);
        let stop = stop.clone();
        tasks.spawn(async move { serve(listener, router, &stop).await });
        address
    }

    /// Reads a whole answer, or what arrives before the connection ends.
    async fn answer(stream: &mut TcpStream) -> String {
        let mut text = Vec::new();
        let mut some = [0; 512];
        while !text.ends_with(b"ok\n") && !text.ends_with(b"slow\n") {
            match stream.read(&mut some).await {
                Ok(0) | Err(_) => break,
                Ok(count) => text.extend_from_slice(&some[..count]),
            }
        }
        String::from_utf8(text).expect("text")
    }

    /// Sends one byte of an endless head each second. Returns how long the connection lasted.
    async fn drip(mut stream: TcpStream) -> Duration {
        let began = Instant::now();
        let mut some = [0; 64];
        while began.elapsed() < 10 * LIFETIME {
            let sent = stream.write_all(b"G").await;
            match timeout(Duration::from_secs(1), stream.read(&mut some)).await {
                Ok(Ok(0) | Err(_)) => break,
                _ if sent.is_err() => break,
                _ => {}
            }
        }
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_request_head_ends_its_connection() {
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        let address = server(&stop, &mut tasks).await;
        let lasted = drip(TcpStream::connect(address).await.expect("it listens")).await;
        assert!(lasted >= HEAD_TIME && lasted <= HEAD_TIME + Duration::from_secs(3), "{lasted:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn slow_connections_do_not_delay_a_probe() {
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        let address = server(&stop, &mut tasks).await;
        let mut dripping = JoinSet::new();
        for _ in 0..CONNECTIONS {
            dripping.spawn(drip(TcpStream::connect(address).await.expect("it listens")));
        }
        let asked = Instant::now();
        for _ in 0..3 {
            let mut probe = TcpStream::connect(address).await.expect("it listens");
            probe.write_all(ASKED).await.expect("it is sent");
            assert!(answer(&mut probe).await.starts_with("HTTP/1.1 200"));
        }
        assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
        let first = dripping.join_next().await.expect("one ends").expect("it ends by itself");
        assert!(first < HEAD_TIME, "the oldest makes room: {first:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_keeps_sending_requests_ends_too() {
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        let address = server(&stop, &mut tasks).await;
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        let mut answers = 0;
        while answers < 1000 && stream.write_all(ASKED).await.is_ok() && answer(&mut stream).await.ends_with("ok\n") {
            answers += 1;
            sleep(Duration::from_secs(5)).await;
        }
        assert!((11..=13).contains(&answers), "{answers} answers, one each 5 s of {LIFETIME:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_connection_ends() {
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        let address = server(&stop, &mut tasks).await;
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        let began = Instant::now();
        assert_eq!(answer(&mut stream).await, "");
        assert!(began.elapsed() <= HEAD_TIME + Duration::from_secs(1), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn shutdown_waits_only_for_answers_in_progress() {
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        let address = server(&stop, &mut tasks).await;
        let _silent = TcpStream::connect(address).await.expect("it listens");
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        stream.write_all(b"GET /slow HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("it is sent");
        sleep(Duration::from_millis(500)).await;
        let stopped = Instant::now();
        stop.cancel();
        assert!(answer(&mut stream).await.ends_with("slow\n"));
        tasks.join_next().await.expect("the server").expect("it has ended");
        assert!(stopped.elapsed() <= Duration::from_secs(3), "{:?}", stopped.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_is_too_large_is_refused() {
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        let address = server(&stop, &mut tasks).await;
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        let large = format!("GET /healthz HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(17 * 1024));
        stream.write_all(large.as_bytes()).await.expect("it is sent");
        assert!(answer(&mut stream).await.starts_with("HTTP/1.1 431"));
    }
}
