//! Serves one connection without a daemon.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::settings::DaemonSettings;
use crate::shared::Shared;
use crate::{http, metrics};

/// Answers the requests of one connection as the daemon would, for tests with arbitrary requests.
/// The token is `secret`, and no run starts.
#[doc(hidden)]
pub async fn answer_on(stream: impl AsyncRead + AsyncWrite + Unpin, settings: &DaemonSettings) {
    let Ok(recorder) = metrics::recorder() else { return };
    let shared = Arc::new(Shared::new(settings, Some("secret".into()), "no-state.db".into()));
    let (orders, _waiting) = mpsc::channel(1);
    let router = http::router(shared, orders, recorder.handle());
    http::server::connection(stream, router, CancellationToken::new()).await;
}
