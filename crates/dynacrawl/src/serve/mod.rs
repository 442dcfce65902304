//! `dynacrawl serve`: crawls by schedule, tells what changed, and can be watched.

mod causes;
pub(crate) mod clock;
pub(crate) mod daemon;
#[cfg(test)]
mod daemon_tests;
mod due;
pub(crate) mod http;
pub(crate) mod metrics;
#[cfg(test)]
mod pages_tests;
mod queue;
pub mod schedule;
pub mod settings;
pub(crate) mod shared;
#[cfg(test)]
mod soak_tests;
pub(crate) mod watch;

/// Answers what comes over one connection as the daemon does that is not running: for tests of what anybody may send. The
/// token is `secret`, and no run starts.
#[doc(hidden)]
pub async fn answer_on(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    settings: &settings::DaemonSettings,
) {
    let Ok(recorder) = metrics::recorder() else { return };
    let shared = std::sync::Arc::new(shared::Shared::new(settings, Some("secret".into()), "no-state.db".into()));
    let (orders, _waiting) = tokio::sync::mpsc::channel(1);
    let router = http::router(shared, orders, recorder.handle());
    http::server::connection(stream, router, tokio_util::sync::CancellationToken::new()).await;
}
