//! How many connections there are at once, over all endpoints.
//!
//! The SDK's pool bounds the connections to one endpoint, and a crawl has an endpoint for each Region. So a request that
//! would need a new connection waits here until there may be one more. At the start of a run, when every request would
//! need one, that also paces the handshakes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_smithy_http_client::pool::{Client, ConnectionEvent, ConnectionEventListener, ConnectionProtocol, OriginKey};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::{RuntimeComponents, RuntimeComponentsBuilder};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;
use http_body_util::BodyExt;
use tokio::sync::Notify;

/// How many handshakes may be under way at once.
const HANDSHAKES: usize = 32;

/// Counts connections, and lets requests through.
#[derive(Clone, Debug)]
pub(crate) struct Gate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    most: usize,
    loads: Mutex<HashMap<OriginKey, Load>>,
    changed: Notify,
}

/// What one endpoint has.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    open: usize,
    in_flight: usize,
    /// Whether its connections carry many requests at once (HTTP/2).
    multiplexed: bool,
}

impl Load {
    /// The connections that there are, or are about to be.
    fn connections(self) -> usize {
        self.open + self.starting()
    }

    /// The connections that are about to be.
    fn starting(self) -> usize {
        if self.multiplexed && self.open > 0 { 0 } else { self.in_flight.saturating_sub(self.open) }
    }

    /// Whether an open connection is there for one more request.
    fn is_free(self) -> bool {
        self.open > 0 && (self.multiplexed || self.in_flight < self.open)
    }
}

impl Gate {
    pub(crate) fn new(most: usize) -> Self {
        Self(Arc::new(Inner { most, loads: Mutex::default(), changed: Notify::new() }))
    }

    fn loads(&self) -> MutexGuard<'_, HashMap<OriginKey, Load>> {
        self.0.loads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a request may be sent to `origin`.
    async fn admit(&self, origin: OriginKey) -> Admitted {
        loop {
            let mut changed = std::pin::pin!(self.0.changed.notified());
            // From here on, no change is missed.
            changed.as_mut().enable();
            if self.try_admit(&origin) {
                return Admitted { gate: self.clone(), origin };
            }
            changed.await;
        }
    }

    fn try_admit(&self, origin: &OriginKey) -> bool {
        let mut loads = self.loads();
        let load = loads.get(origin).copied().unwrap_or_default();
        let may = load.is_free() || {
            let (connections, starting) = loads.values().fold((0, 0), |(connections, starting), load| {
                (connections + load.connections(), starting + load.starting())
            });
            connections < self.0.most && starting < HANDSHAKES
        };
        if may {
            loads.entry(origin.clone()).or_default().in_flight += 1;
        }
        may
    }

    fn change(&self, origin: &OriginKey, change: impl FnOnce(&mut Load)) {
        let mut loads = self.loads();
        let load = loads.entry(origin.clone()).or_default();
        change(load);
        if load.open == 0 && load.in_flight == 0 {
            loads.remove(origin);
        }
        drop(loads);
        self.0.changed.notify_waiters();
    }
}

impl ConnectionEventListener for Gate {
    fn on_event(&self, event: &ConnectionEvent<'_>) {
        match event {
            ConnectionEvent::Opened(opened) => self.change(opened.establishment().origin(), |load| {
                load.open += 1;
                load.multiplexed = opened.connection().protocol() == ConnectionProtocol::Http2;
            }),
            ConnectionEvent::LogicalClose(closed) => {
                self.change(closed.connection().origin(), |load| load.open = load.open.saturating_sub(1));
            }
            _ => {}
        }
    }
}

/// A request that was let through.
struct Admitted {
    gate: Gate,
    origin: OriginKey,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.gate.change(&self.origin, |load| load.in_flight = load.in_flight.saturating_sub(1));
    }
}

/// The pool behind the gate.
#[derive(Debug)]
pub(crate) struct Gated {
    client: Client,
    gate: Gate,
    settings: HttpConnectorSettings,
    answer_timeout: Duration,
}

impl Gated {
    pub(crate) fn new(client: Client, gate: Gate, connect_timeout: Duration, answer_timeout: Duration) -> Self {
        let settings = HttpConnectorSettings::builder().connect_timeout(connect_timeout).build();
        Self { client, gate, settings, answer_timeout }
    }
}

impl HttpClient for Gated {
    fn http_connector(&self, _: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        // The time-outs are the process's, whatever a client's configuration repeats.
        let inner = self.client.http_connector(&self.settings, components);
        SharedHttpConnector::new(GatedConnector { inner, gate: self.gate.clone(), answer_timeout: self.answer_timeout })
    }

    fn validate_base_client_config(
        &self,
        components: &RuntimeComponentsBuilder,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.client.validate_base_client_config(components, config)
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.client.connector_metadata()
    }
}

#[derive(Debug)]
struct GatedConnector {
    inner: SharedHttpConnector,
    gate: Gate,
    answer_timeout: Duration,
}

/// The whole answer did not come in time.
#[derive(Debug, thiserror::Error)]
#[error("the answer was not whole after {0:?}")]
struct TooSlow(Duration);

impl HttpConnector for GatedConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (inner, gate, answer_timeout) = (self.inner.clone(), self.gate.clone(), self.answer_timeout);
        HttpConnectorFuture::new(async move {
            let origin = request.uri().parse().map_err(BoxError::from);
            let origin = origin.and_then(|uri| OriginKey::from_uri(&uri).map_err(BoxError::from));
            let admitted = gate.admit(origin.map_err(ConnectorError::user)?).await;
            // Waiting here is nobody's fault but ours, so the time-out begins now. The connection is taken until the last byte
            // of the answer. None of the answers is large.
            let answer = tokio::time::timeout(answer_timeout, async { whole(inner.call(request).await?).await }).await;
            drop(admitted);
            answer.unwrap_or_else(|_| Err(ConnectorError::timeout(TooSlow(answer_timeout).into())))
        })
    }
}

async fn whole(mut answer: HttpResponse) -> Result<HttpResponse, ConnectorError> {
    if answer.body().bytes().is_none() {
        let body = std::mem::replace(answer.body_mut(), SdkBody::taken());
        let body = body.collect().await.map_err(ConnectorError::io)?;
        *answer.body_mut() = SdkBody::from(body.to_bytes());
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use aws_smithy_http_client::pool::OriginKey;

    use super::{Gate, HANDSHAKES};

    fn origin(host: &str) -> OriginKey {
        OriginKey::from_uri(&format!("https://{host}/").parse().expect("a URI")).expect("an origin")
    }

    #[tokio::test]
    async fn no_more_connections_than_allowed_over_all_endpoints() {
        let gate = Gate::new(3);
        let (one, two) = (origin("one.example"), origin("two.example"));
        let first = gate.admit(one.clone()).await;
        gate.change(&one, |load| load.open = 2);
        drop(first);
        // Two are open to the first endpoint, so the second one gets one.
        let second = gate.admit(two.clone()).await;
        assert!(!gate.try_admit(&two));
        // The open ones are there to be used.
        let again = gate.admit(one.clone()).await;
        let more = gate.admit(one.clone()).await;
        assert!(!gate.try_admit(&one));
        drop((second, again, more));
        assert!(gate.try_admit(&two));
    }

    #[tokio::test]
    async fn who_waits_goes_on_when_a_connection_is_closed() {
        let gate = Gate::new(1);
        let (one, two) = (origin("one.example"), origin("two.example"));
        gate.change(&one, |load| load.open = 1);
        let (waiting, ()) = tokio::join!(gate.admit(two), async {
            tokio::task::yield_now().await;
            gate.change(&one, |load| load.open = 0);
        });
        drop(waiting);
        assert!(gate.loads().is_empty());
    }

    #[tokio::test]
    async fn handshakes_are_paced() {
        let gate = Gate::new(1000);
        let one = origin("one.example");
        assert!((0..HANDSHAKES).all(|_| gate.try_admit(&one)));
        assert!(!gate.try_admit(&one));
        gate.change(&one, |load| load.open += 1);
        assert!(gate.try_admit(&one));
    }
}
