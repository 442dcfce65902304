//! OpenTelemetry: sends runs and scopes as spans, by OTLP over HTTP. It needs the feature `otlp`
//! and an endpoint in the configuration.

use crate::config::ConfigError;

/// The exporter of spans. Dropping it sends the spans that are left.
#[derive(Debug, Default)]
#[must_use]
pub struct Telemetry {
    #[cfg(feature = "otlp")]
    provider: Option<opentelemetry_sdk::trace::SdkTracerProvider>,
}

#[cfg(not(feature = "otlp"))]
mod without {
    use super::{ConfigError, Telemetry};

    /// A layer that sends nothing.
    pub(crate) type Spans = tracing_subscriber::layer::Identity;

    pub(crate) fn spans(endpoint: Option<&str>) -> Result<(Telemetry, Spans), ConfigError> {
        match endpoint {
            None => Ok((Telemetry::default(), Spans::new())),
            Some(_) => {
                let problem = "this dynacrawl was built without OpenTelemetry; build it with --features otlp";
                Err(ConfigError::value("telemetry.otlp_endpoint (--otlp-endpoint)", problem))
            }
        }
    }
}

#[cfg(not(feature = "otlp"))]
pub(crate) use without::spans;

#[cfg(feature = "otlp")]
mod with {
    use opentelemetry::trace::TracerProvider;
    use opentelemetry_otlp::{SpanExporter, WithExportConfig};
    use opentelemetry_sdk::Resource;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing::Subscriber;
    use tracing_subscriber::Layer;
    use tracing_subscriber::filter::{LevelFilter, Targets};
    use tracing_subscriber::registry::LookupSpan;

    use super::{ConfigError, Telemetry};

    /// The layer that records dynacrawl's own spans, and the exporter that sends them.
    pub(crate) fn spans<S>(endpoint: Option<&str>) -> Result<(Telemetry, impl Layer<S> + use<S>), ConfigError>
    where
        S: Subscriber + for<'s> LookupSpan<'s>,
    {
        let provider = endpoint.map(provider).transpose()?;
        let layer = provider.as_ref().map(|provider| {
            let own = Targets::new().with_target("dynacrawl", LevelFilter::DEBUG);
            tracing_opentelemetry::layer().with_tracer(provider.tracer("dynacrawl")).with_filter(own)
        });
        Ok((Telemetry { provider }, layer))
    }

    fn provider(endpoint: &str) -> Result<SdkTracerProvider, ConfigError> {
        let endpoint = endpoint.trim_end_matches('/');
        let traces =
            if endpoint.ends_with("/v1/traces") { endpoint.to_owned() } else { format!("{endpoint}/v1/traces") };
        let exporter = SpanExporter::builder().with_http().with_endpoint(traces).build();
        let exporter =
            exporter.map_err(|error| ConfigError::value("telemetry.otlp_endpoint (--otlp-endpoint)", error))?;
        let service = Resource::builder().with_service_name("dynacrawl").build();
        Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(service).build())
    }

    impl Drop for Telemetry {
        fn drop(&mut self) {
            if let Some(Err(error)) = self.provider.take().map(|provider| provider.shutdown()) {
                tracing::warn!(%error, "the last spans were not sent");
            }
        }
    }
}

#[cfg(feature = "otlp")]
pub(crate) use with::spans;

#[cfg(all(test, feature = "otlp"))]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{Ipv4Addr, TcpListener};

    use tracing_subscriber::layer::SubscriberExt;

    use super::spans;

    #[test]
    fn dropping_the_exporter_sends_the_last_spans() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let collector = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let (mut request, mut some) = (Vec::new(), [0; 4096]);
            while !request.windows(6).any(|text| text == b"region") {
                let read = stream.read(&mut some).expect("a request");
                assert!(read > 0, "the request ended without the span");
                request.extend_from_slice(&some[..read]);
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").expect("answered");
            request
        });
        let (telemetry, layer) = spans(Some(&endpoint)).expect("a layer");
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            drop(tracing::debug_span!(target: "dynacrawl::run", "scope", region = "eu-west-1").entered());
            drop(tracing::debug_span!(target: "hyper", "theirs").entered());
        });
        drop(telemetry);
        let request = collector.join().expect("the collector");
        let has = |text: &[u8]| request.windows(text.len()).any(|window| window == text);
        assert!(request.starts_with(b"POST /v1/traces ") && has(b"scope") && has(b"eu-west-1") && has(b"dynacrawl"));
        assert!(!has(b"theirs"), "only dynacrawl's own spans are sent");
    }
}
