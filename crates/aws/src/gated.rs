//! The SDK's connection pool behind the gate.

use std::cell::Cell;
use std::time::Duration;

use aws_smithy_http_client::pool::{Client, OriginKey};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::connection::CaptureSmithyConnection;
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::{RuntimeComponents, RuntimeComponentsBuilder};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::connections::{Admission, Gate};
use crate::fault::Fault;
use crate::unreachable::shown;

/// The largest response in bytes: many times AWS's largest.
const LARGEST_ANSWER: usize = 16 << 20;

tokio::task_local! {
    /// The admission of the current attempt: the connector runs inside the attempt's future.
    static ADMISSION: Cell<Option<Admission>>;
}

/// Runs an attempt, whose first request uses `admission`.
pub(crate) fn admitted<F: Future>(
    admission: Option<Admission>,
    attempt: F,
) -> impl Future<Output = F::Output> + use<F> {
    ADMISSION.scope(Cell::new(admission), attempt)
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
        // The time-outs are those of the process, whatever a client's configuration sets.
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

impl HttpConnector for GatedConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (inner, gate, answer_timeout) = (self.inner.clone(), self.gate.clone(), self.answer_timeout);
        HttpConnectorFuture::new(async move {
            let origin = request.uri().parse().map_err(BoxError::from);
            let origin = origin.and_then(|uri| OriginKey::from_uri(&uri).map_err(BoxError::from));
            let origin = origin.map_err(ConnectorError::user)?;
            let before = ADMISSION.try_with(Cell::take).ok().flatten();
            let admission = match before.and_then(|admission| admission.bind(&origin)) {
                Some(admission) => admission,
                None => gate.admit(origin.clone()).await?,
            };
            let connection = request.extension::<CaptureSmithyConnection>().cloned();
            let answer = async {
                let answer = inner.call(request).await?;
                if gate.takes_back(&origin)
                    && let Some(connection) = connection.and_then(|connection| connection.get())
                {
                    connection.poison();
                }
                whole(answer, &origin).await
            };
            // The server does not cause the wait for a connection, so the time-out begins now. The
            // connection is in use until the last byte of the response. Responses are small.
            let answer = tokio::time::timeout(answer_timeout, answer).await;
            drop(admission);
            answer.unwrap_or_else(|_| Err(Fault::TooSlow(answer_timeout).into()))
        })
    }
}

/// The response with its body in memory.
async fn whole(mut answer: HttpResponse, origin: &OriginKey) -> Result<HttpResponse, ConnectorError> {
    let encoding = answer.headers().get("content-encoding").unwrap_or("identity");
    if !encoding.eq_ignore_ascii_case("identity") && !encoding.is_empty() {
        let encoding = encoding.chars().take(20).collect();
        return Err(Fault::Compressed { origin: shown(origin), encoding }.into());
    }
    if answer.body().bytes().is_some() {
        return Ok(answer);
    }
    let too_large = |answer: &HttpResponse| {
        let server = answer.headers().get("server").map(|server| server.chars().take(60).collect::<String>());
        Fault::TooLarge {
            origin: shown(origin),
            limit: LARGEST_ANSWER,
            status: answer.status().as_u16(),
            server: server.map(|server| format!(", server {server}")).unwrap_or_default(),
        }
    };
    let announced = answer.headers().get("content-length").and_then(|length| length.parse::<usize>().ok());
    if announced.is_some_and(|length| length > LARGEST_ANSWER) {
        return Err(too_large(&answer).into());
    }
    let body = std::mem::replace(answer.body_mut(), SdkBody::taken());
    match Limited::new(body, LARGEST_ANSWER).collect().await {
        Ok(collected) => *answer.body_mut() = SdkBody::from(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => return Err(too_large(&answer).into()),
        Err(error) => return Err(ConnectorError::io(error)),
    }
    Ok(answer)
}
