//! The sink `http`: posts events to a URL, in batches of JSON lines or one by one.

mod signature;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dynacrawl_model::Timestamp;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, StatusCode};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

use crate::answer::{self, Answer, read_answer};
use crate::cloud_event::{self, CloudEvents};
use crate::event_json;
use crate::halves::{EventHalves, Untaken};
use crate::kind::{Destination, Kind, ONE_BY_ONE};
use crate::secret::SecretRef;
use crate::sink::{Delivered, DeliveryError, Event, Sink};
use crate::web;

/// How much of an answer is read.
const MOST_BYTES: usize = 4096;

/// Where events go, and in which form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpSettings {
    /// The address to which events are posted.
    pub url: String,
    /// Whether each event is a request of its own.
    pub single: bool,
    /// Whether bodies are compressed.
    pub gzip: bool,
    /// Further headers. They are no secrets.
    pub headers: Vec<(String, String)>,
    /// How dynacrawl authenticates.
    pub auth: Option<HttpAuth>,
    /// The key of the signature.
    pub signing_key: Option<SecretRef>,
    /// Whether events have an envelope of CloudEvents.
    pub cloud_events: CloudEvents,
    /// How long a request may take.
    pub timeout: Duration,
    /// A PEM file of the certificate authorities to trust instead of the system's.
    pub ca_bundle: Option<PathBuf>,
}

/// How dynacrawl authenticates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpAuth {
    /// `Authorization: Bearer`.
    Bearer(SecretRef),
    /// `Authorization: Basic`.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: SecretRef,
    },
}

/// A URL that events are posted to.
#[derive(Debug)]
pub(super) struct HttpSink {
    settings: HttpSettings,
    client: Option<Client>,
}

impl HttpSink {
    /// A sink that has not connected yet.
    pub(super) fn new(settings: HttpSettings) -> Self {
        Self { settings, client: None }
    }

    /// Posts events in their order. If the destination refuses several of them at once, posts each
    /// half by itself, to find out which ones it refuses.
    async fn post_all(&mut self, batch: &[Event]) -> Result<Delivered, DeliveryError> {
        let mut halves = EventHalves::new(batch, if self.settings.single { 1 } else { batch.len() });
        while let Some(events) = halves.next() {
            let posted = self.post(events).await;
            halves.answered(events, posted.map(|()| Vec::new()))?;
        }
        halves.delivered()
    }

    async fn post(&mut self, events: &[Event]) -> Result<(), Untaken> {
        let own = |message: String| Untaken::Failed(DeliveryError::new(message));
        let (content_type, body) = self.body(events).map_err(|error| own(error.to_string()))?;
        let mut headers = self.headers(events, &body).map_err(Untaken::Failed)?;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        let body = match self.settings.gzip {
            false => body,
            true => {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                compressed(&body).map_err(|error| own(error.to_string()))?
            }
        };
        let answer = self.send(Method::POST, headers, body).await.map_err(Untaken::Failed)?;
        match answer.status {
            // The form of such an answer is not known: some events may not have been taken.
            StatusCode::MULTI_STATUS => Err(Untaken::Refused(answer.in_words())),
            status if status.is_success() => Ok(()),
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
                Err(Untaken::Refused(answer.in_words()))
            }
            _ => Err(Untaken::Failed(answer.into_error())),
        }
    }

    /// The body, before it is compressed, and its type.
    fn body(&self, events: &[Event]) -> serde_json::Result<(&'static str, Vec<u8>)> {
        if let ([event], true) = (events, self.settings.single) {
            return cloud_event::content(event, self.settings.cloud_events);
        }
        let mut body = Vec::new();
        let joined = |body: &mut Vec<u8>, append: fn(&mut Vec<u8>, &Event) -> serde_json::Result<()>, by: u8| {
            events.iter().enumerate().try_for_each(|(number, event)| {
                if number > 0 {
                    body.push(by);
                }
                append(body, event)
            })
        };
        let content_type = match self.settings.cloud_events {
            CloudEvents::Structured => {
                body.push(b'[');
                joined(&mut body, cloud_event::append_structured, b',')?;
                body.push(b']');
                "application/cloudevents-batch+json"
            }
            CloudEvents::Off | CloudEvents::Binary => {
                joined(&mut body, event_json::append, b'\n')?;
                body.push(b'\n');
                "application/x-ndjson"
            }
        };
        Ok((content_type, body))
    }

    /// All headers but those of the body. `payload`: the body before it is compressed.
    fn headers(&self, events: &[Event], payload: &[u8]) -> Result<HeaderMap, DeliveryError> {
        let mut headers = HeaderMap::new();
        let mut add = |name: &str, value: &str| -> Result<(), DeliveryError> {
            let name =
                HeaderName::from_bytes(name.as_bytes()).map_err(|_| DeliveryError::new("a header has a wrong name"))?;
            let value = HeaderValue::from_str(value)
                .map_err(|_| DeliveryError::new(format!("the header {name} cannot have its value")))?;
            headers.insert(name, value);
            Ok(())
        };
        for (name, value) in &self.settings.headers {
            add(name, value)?;
        }
        if let (true, Some(first)) = (self.settings.single, events.first()) {
            add("idempotency-key", &first.id)?;
        }
        if let (CloudEvents::Binary, Some(first)) = (self.settings.cloud_events, events.first()) {
            for (name, value) in cloud_event::header_attributes(first) {
                add(&format!("ce-{name}"), &cloud_event::percent_encoded(&value))?;
            }
        }
        if let Some(key) = &self.settings.signing_key {
            let key = key.read().map_err(|error| DeliveryError::new(format!("signing_key: {error}")))?;
            let (id, at) = (webhook_id(events), Timestamp::now().as_millis() / 1000);
            let signature = signature::sign(key.expose_secret(), &id, at, payload).map_err(DeliveryError::new)?;
            add("webhook-id", &id)?;
            add("webhook-timestamp", &at.to_string())?;
            add("webhook-signature", &signature)?;
        }
        Ok(headers)
    }

    /// Sends a request with the credentials. Reads the secrets each time, so that they can be
    /// renewed.
    async fn send(&mut self, method: Method, headers: HeaderMap, body: Vec<u8>) -> Result<Answer, DeliveryError> {
        let read = |secret: &SecretRef| secret.read().map_err(|error| DeliveryError::new(format!("auth: {error}")));
        let client = self.client()?;
        let mut request = client.request(method, &self.settings.url).headers(headers).body(body);
        let mut secrets = Vec::new();
        match &self.settings.auth {
            None => {}
            Some(HttpAuth::Bearer(token)) => {
                let token = read(token)?;
                request = request.bearer_auth(token.expose_secret());
                secrets.push(token.expose_secret().to_owned());
            }
            Some(HttpAuth::Basic { user, password }) => {
                let password = read(password)?;
                request = request.basic_auth(user, Some(password.expose_secret()));
                let encoded = STANDARD.encode(format!("{user}:{}", password.expose_secret()));
                secrets.extend([encoded, password.expose_secret().to_owned()]);
            }
        }
        let answer = request.send().await.map_err(|error| DeliveryError::new(answer::in_words(&error)))?;
        Ok(read_answer(answer, &secrets, MOST_BYTES).await)
    }

    fn client(&mut self) -> Result<Client, DeliveryError> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let client = web::client(self.settings.timeout, self.settings.ca_bundle.as_deref())?;
        self.client = Some(client.clone());
        Ok(client)
    }
}

impl Kind for HttpSettings {
    fn destination(&self) -> Destination {
        Destination::Events(Box::new(HttpSink::new(self.clone())))
    }

    fn largest_batch(&self) -> usize {
        if self.single { ONE_BY_ONE } else { usize::MAX }
    }

    fn secrets(&self) -> Vec<(&'static str, &SecretRef)> {
        let auth = self.auth.as_ref().map(|auth| match auth {
            HttpAuth::Bearer(token) => ("http.bearer", token),
            HttpAuth::Basic { password, .. } => ("http.basic.password", password),
        });
        auth.into_iter().chain(self.signing_key.as_ref().map(|key| ("http.signing_key", key))).collect()
    }
}

impl Sink for HttpSink {
    fn deliver<'a>(&'a mut self, batch: &'a [Event]) -> BoxFuture<'a, Result<Delivered, DeliveryError>> {
        self.post_all(batch).boxed()
    }

    /// OPTIONS with the credentials: it shows whether the destination answers and accepts them, and
    /// posts nothing. Many destinations do not know OPTIONS, or permit only POST, so 403, 404 and 405
    /// are no failures.
    fn health(&mut self) -> BoxFuture<'_, Result<(), DeliveryError>> {
        async move {
            let headers = self.headers(&[], &[])?;
            let answer = self.send(Method::OPTIONS, headers, Vec::new()).await?;
            let refuses =
                [StatusCode::UNAUTHORIZED, StatusCode::PROXY_AUTHENTICATION_REQUIRED].contains(&answer.status);
            let fails = answer.status.is_server_error() && answer.status != StatusCode::NOT_IMPLEMENTED;
            // It is not followed, so nothing would be delivered.
            let redirects = answer.status.is_redirection();
            if refuses || fails || redirects { Err(answer.into_error()) } else { Ok(()) }
        }
        .boxed()
    }
}

/// The id of a request: that of its event or, if it has several, a hash of their ids. A receiver that
/// drops a request whose id it has seen then drops no event that it has not seen.
fn webhook_id(events: &[Event]) -> String {
    if let [event] = events {
        return event.id.clone();
    }
    let mut hash = Sha256::new();
    events.iter().for_each(|event| hash.update(&event.id));
    let digits: String = hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("batch_{digits}")
}

fn compressed(body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 8), Compression::default());
    encoder.write_all(body)?;
    encoder.finish()
}

/// The headers that dynacrawl sets itself.
pub const RESERVED_HEADERS: [&str; 9] = [
    "authorization",
    "content-type",
    "content-encoding",
    "content-length",
    "host",
    "idempotency-key",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
];
