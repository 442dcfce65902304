//! An HTTP client for one destination.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Method};
use secrecy::ExposeSecret;
use serde_json::Value;

use crate::answer::{self, Answer, read_answer};
use crate::secret::SecretRef;
use crate::sink::DeliveryError;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer of a catalog that is read, in bytes.
const MOST_BYTES: usize = 32 * 1024 * 1024;

/// A client that follows no redirects: the credentials are meant for one address.
pub(crate) fn client(timeout: Duration, ca_bundle: Option<&Path>) -> Result<Client, DeliveryError> {
    let mut builder = Client::builder()
        .user_agent(concat!("dynacrawl/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(timeout)
        .redirect(Policy::none());
    if let Some(path) = ca_bundle {
        let unusable = |error: String| DeliveryError::new(format!("ca_bundle: {}: {error}", path.display()));
        let pem = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
        let authorities = Certificate::from_pem_bundle(&pem).map_err(|error| unusable(error.to_string()))?;
        builder = builder.tls_certs_only(authorities);
    }
    builder.build().map_err(|error| DeliveryError::new(answer::in_words(&error)))
}

/// Where the API of a catalog is, and how dynacrawl authenticates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiSettings {
    /// The address, without a slash at its end.
    pub url: String,
    /// The token of `Authorization: Bearer`.
    pub token: Option<SecretRef>,
    /// How long a request may take.
    pub timeout: Duration,
    /// A PEM file of the certificate authorities to trust instead of the system's.
    pub ca_bundle: Option<PathBuf>,
}

/// The API of a catalog.
#[derive(Debug)]
pub(crate) struct Api {
    settings: ApiSettings,
    headers: &'static [(&'static str, &'static str)],
    client: Option<Client>,
}

impl Api {
    /// An API that has not been called yet. `headers` are sent with each request.
    pub(crate) fn new(settings: ApiSettings, headers: &'static [(&'static str, &'static str)]) -> Self {
        Self { settings, headers, client: None }
    }

    /// Makes the client, so that requests can share it.
    pub(crate) fn open(&mut self) -> Result<&Self, DeliveryError> {
        if self.client.is_none() {
            self.client = Some(client(self.settings.timeout, self.settings.ca_bundle.as_deref())?);
        }
        Ok(self)
    }

    /// Sends a request, with the token as it is now. `path` begins with a slash.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Option<&Value>,
    ) -> Result<Answer, DeliveryError> {
        let Some(client) = &self.client else { return Err(DeliveryError::new("the client is not open")) };
        let mut headers = HeaderMap::new();
        for (name, value) in self.headers {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let mut request = client.request(method, format!("{}{path}", self.settings.url)).headers(headers);
        let mut secrets = Vec::new();
        if let Some(token) = &self.settings.token {
            let token = token.read().map_err(|error| DeliveryError::new(format!("token: {error}")))?;
            request = request.bearer_auth(token.expose_secret());
            secrets.push(token.expose_secret().to_owned());
        }
        if let Some(body) = body {
            let body = serde_json::to_vec(body).map_err(|error| DeliveryError::new(error.to_string()))?;
            request = request.header("content-type", content_type).body(body);
        }
        let answer = request.send().await.map_err(|error| DeliveryError::new(answer::in_words(&error)))?;
        let answer = read_answer(answer, &secrets, MOST_BYTES).await;
        if let Some(error) = answer.broke_off {
            return Err(DeliveryError::new(error));
        }
        if answer.status.is_success() && !answer.body.is_empty() {
            answer.json()?;
        }
        Ok(answer)
    }
}

/// A server's version, such as `v1.2.3rc4`, as its first three numbers.
pub(crate) fn version(text: &str) -> [u64; 3] {
    let mut parts = text.trim_start_matches('v').split('.').map(|part| {
        let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap_or(0)
    });
    std::array::from_fn(|_| parts.next().unwrap_or(0))
}

/// A part of a path, percent-encoded.
pub(crate) fn encoded(text: &str) -> String {
    let mut path = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => path.push(byte.into()),
            _ => path.push_str(&format!("%{byte:02X}")),
        }
    }
    path
}
