//! The HTTP stack: one connection pool for the process, shared by all scopes.

use std::path::PathBuf;
use std::time::Duration;

use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_http_client::pool::ConnectionPool;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{self, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::connections::Gate;
use crate::gated::Gated;

/// How long an idle connection is kept: longer than the pauses of a crawl, and no longer than
/// others should wait for it to be closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);

/// How connections are made.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// How long connecting may take, DNS and TCP together.
    pub connect_timeout: Duration,
    /// How long one attempt of a call may take, from connecting to the last byte of the response.
    pub answer_timeout: Duration,
    /// The maximum number of connections, over all endpoints.
    pub connections: usize,
    /// A PEM file of the certificate authorities to trust instead of the system's.
    pub ca_bundle: Option<PathBuf>,
    /// Whether the proxies of `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` are used.
    pub use_proxies: bool,
    /// Whether to use only plain HTTP, as with a simulator.
    pub plain: bool,
}

/// The HTTP stack that every SDK client of the process shares.
#[derive(Clone, Debug)]
pub struct HttpStack {
    client: SharedHttpClient,
    connections: Connections,
}

/// The connections of an HTTP stack; those of another HTTP client are not tracked.
#[derive(Clone, Debug, Default)]
pub struct Connections(Option<Gate>);

impl Connections {
    pub(crate) fn of(gate: Gate) -> Self {
        Self(Some(gate))
    }

    pub(crate) fn gate(&self) -> Option<&Gate> {
        self.0.as_ref()
    }
}

impl HttpStack {
    /// The HTTP client for SDK clients.
    pub fn client(&self) -> &SharedHttpClient {
        &self.client
    }

    /// The connections for [`Places`](crate::Places), which gives them together with places.
    pub fn connections(&self) -> &Connections {
        &self.connections
    }

    /// Allows unreachable endpoints to be tried again.
    pub fn forget_unreachable(&self) {
        if let Some(gate) = self.connections.gate() {
            gate.forget_unreachable();
        }
    }
}

impl From<SharedHttpClient> for HttpStack {
    /// Another HTTP client, which manages its own connections.
    fn from(client: SharedHttpClient) -> Self {
        Self { client, connections: Connections::default() }
    }
}

/// Why the HTTP stack could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The CA bundle could not be read.
    #[error("cannot read the CA bundle {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The system has no CA certificates.
    #[error("the system has no CA certificates; install them (ca-certificates), or name a PEM file with --ca-bundle")]
    NoRoots,
    /// The pool of connections could not be set up.
    #[error("the connections cannot be set up: {0}")]
    Pool(String),
    /// The CA bundle is invalid.
    #[error("the CA bundle {} {problem}; expected a PEM file of CA certificates", path.display())]
    Bundle {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

impl HttpSettings {
    /// Plain HTTP to a simulator, with `timeout` as both time-outs.
    pub fn plain(timeout: Duration) -> Self {
        Self {
            connect_timeout: timeout,
            answer_timeout: timeout,
            connections: 256,
            ca_bundle: None,
            use_proxies: false,
            plain: true,
        }
    }

    /// Builds the HTTP stack.
    ///
    /// # Errors
    /// If the CA bundle is missing or invalid.
    pub fn build(&self) -> Result<HttpStack, HttpError> {
        let gate = Gate::new(self.connections);
        let mut builder = ConnectionPool::builder()
            .sleep_impl(TokioSleep::new())
            .tcp_nodelay(true)
            .idle_timeout(IDLE_TIMEOUT)
            .max_connections_per_host(self.connections)
            .event_listener(gate.clone());
        builder.set_proxy_config(self.use_proxies.then(proxy_from_env).flatten());
        let pool = match self.trust()? {
            None => builder.build_http(),
            Some(trust) => {
                let tls = TlsContext::builder().with_trust_store(trust).build().map_err(|error| HttpError::Bundle {
                    path: self.ca_bundle.clone().unwrap_or_default(),
                    problem: error.to_string(),
                })?;
                let provider = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc);
                builder.tls_provider(provider).tls_context(tls).build_https()
            }
        };
        let pool = pool.map_err(|error| HttpError::Pool(error.to_string()))?;
        let client =
            aws_smithy_http_client::pool::Client::new(&pool).map_err(|error| HttpError::Pool(error.to_string()))?;
        let connections = Connections::of(gate.clone());
        let client = SharedHttpClient::new(Gated::new(client, gate, self.connect_timeout, self.answer_timeout));
        Ok(HttpStack { client, connections })
    }

    /// The certificates to trust; `None` without TLS. The TLS library would panic over an empty
    /// trust store.
    fn trust(&self) -> Result<Option<TrustStore>, HttpError> {
        if self.plain {
            return Ok(None);
        }
        if let Some(path) = &self.ca_bundle {
            return Ok(Some(TrustStore::empty().with_pem_certificate(read_bundle(path)?)));
        }
        if rustls_native_certs::load_native_certs().certs.is_empty() {
            return Err(HttpError::NoRoots);
        }
        Ok(Some(TrustStore::default()))
    }
}

/// The proxies of the environment, if any: a look-up at each request would cost time.
fn proxy_from_env() -> Option<ProxyConfig> {
    ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"]
        .iter()
        .any(|name| std::env::var_os(name).or_else(|| std::env::var_os(name.to_lowercase())).is_some())
        .then(ProxyConfig::from_env)
}

/// Reads and checks a bundle: the TLS library would panic over a broken one.
fn read_bundle(path: &PathBuf) -> Result<Vec<u8>, HttpError> {
    let wrong = |problem: String| HttpError::Bundle { path: path.clone(), problem };
    let pem = std::fs::read(path).map_err(|source| HttpError::Read { path: path.clone(), source })?;
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| wrong(format!("is not valid PEM ({error})")))?;
        roots.add(certificate).map_err(|error| wrong(format!("holds a certificate that cannot be used ({error})")))?;
    }
    if roots.is_empty() { Err(wrong("holds no certificate".to_owned())) } else { Ok(pem) }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use super::{HttpError, HttpSettings};

    fn with_bundle(path: PathBuf) -> Result<(), HttpError> {
        let second = Duration::from_secs(1);
        let settings = HttpSettings {
            connect_timeout: second,
            answer_timeout: second,
            connections: 1,
            ca_bundle: Some(path),
            use_proxies: false,
            plain: false,
        };
        settings.build().map(drop)
    }

    #[test]
    fn an_invalid_bundle_is_an_error_and_not_a_panic() {
        assert!(matches!(with_bundle("/nonexistent/ca.pem".into()), Err(HttpError::Read { .. })));
        let this_file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/http.rs");
        assert!(matches!(with_bundle(this_file), Err(HttpError::Bundle { .. })));
        let garbage = std::env::temp_dir().join(format!("dynacrawl-bundle-{}.pem", std::process::id()));
        std::fs::write(&garbage, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").expect("write");
        let refused = with_bundle(garbage.clone());
        std::fs::remove_file(garbage).expect("remove");
        assert!(matches!(refused, Err(HttpError::Bundle { .. })), "{refused:?}");
    }
}
