//! The HTTP stack: one connector for the process, so that all scopes share its connections.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{self, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::{HttpClient, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// How connections are made.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// How long making a connection may take, DNS and TCP together.
    pub connect_timeout: Duration,
    /// How long the first byte of an answer may take.
    pub read_timeout: Duration,
    /// A PEM file of the certificate authorities to trust instead of the system's.
    pub ca_bundle: Option<PathBuf>,
    /// Whether the proxies of `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` are used.
    pub use_proxies: bool,
    /// Whether only plain HTTP is spoken, as with a simulator.
    pub plain: bool,
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
    /// Nothing says which servers to trust.
    #[error("the system has no CA certificates; install them (ca-certificates), or name a PEM file with --ca-bundle")]
    NoRoots,
    /// The CA bundle is not what it should be.
    #[error("the CA bundle {} {problem}; expected a PEM file of CA certificates", path.display())]
    Bundle {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

impl HttpSettings {
    /// Builds the client that every SDK client of the process shares.
    ///
    /// # Errors
    /// When the CA bundle is missing or is none.
    pub fn build(&self) -> Result<SharedHttpClient, HttpError> {
        let settings = HttpConnectorSettings::builder()
            .connect_timeout(self.connect_timeout)
            .read_timeout(self.read_timeout)
            .build();
        let mut builder = Connector::builder().connector_settings(settings).sleep_impl(TokioSleep::new());
        builder.set_proxy_config(self.use_proxies.then(proxy_from_env).flatten());
        let connector = match self.trust()? {
            None => builder.build_http(),
            Some(trust) => {
                let tls = TlsContext::builder().with_trust_store(trust).build().map_err(|error| HttpError::Bundle {
                    path: self.ca_bundle.clone().unwrap_or_default(),
                    problem: error.to_string(),
                })?;
                let provider = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc);
                builder.tls_provider(provider).tls_context(tls).build()
            }
        };
        Ok(SharedHttpClient::new(OneConnector(SharedHttpConnector::new(connector))))
    }

    /// Whom to trust; `None` where TLS is not used. The TLS library would panic over an empty trust store.
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

/// Looking for a proxy at each request costs time, so without one in the environment it is not done.
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

/// Hands out the same connector to every client, whatever time-outs its configuration repeats.
struct OneConnector(SharedHttpConnector);

impl fmt::Debug for OneConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OneConnector")
    }
}

impl HttpClient for OneConnector {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        self.0.clone()
    }
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
            read_timeout: second,
            ca_bundle: Some(path),
            use_proxies: false,
            plain: false,
        };
        settings.build().map(drop)
    }

    #[test]
    fn a_bundle_that_is_none_is_an_error_and_no_panic() {
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
