//! `[sink.NAME.kafka]`

use std::path::PathBuf;

use dynacrawl_model::Escaped;
use dynacrawl_sinks::{KafkaSasl, KafkaSettings, KafkaTls, SinkKind};
use serde::Deserialize;

use super::error::ConfigError;
use super::secret::Reference;
use super::values::{cloud_events, in_range, one_of, timeout};

/// The default of `timeout`.
const TIMEOUT: &str = "30s";
/// The default of `max_message_bytes`, which is a little less than the default of brokers.
const MESSAGE_BYTES: u32 = 1_000_000;
/// The bounds of `max_message_bytes`, which librdkafka sets.
const BOUNDS: (u32, u32) = (1_000, 1_000_000_000);
/// The most characters of a topic, which Kafka sets.
const TOPIC_LENGTH: usize = 249;

/// `[sink.NAME.kafka]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawKafka {
    brokers: Option<Vec<String>>,
    topic: Option<String>,
    tls: Option<bool>,
    ca_bundle: Option<String>,
    certificate: Option<String>,
    key: Option<String>,
    sasl: Option<RawSasl>,
    compression: Option<String>,
    max_message_bytes: Option<u32>,
    cloud_events: Option<String>,
    timeout: Option<String>,
}

/// `[sink.NAME.kafka.sasl]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSasl {
    mechanism: Option<String>,
    user: Option<String>,
    password: Option<Reference>,
}

impl RawKafka {
    pub(super) fn validate(self, key: &impl Fn(&str) -> String) -> Result<SinkKind, ConfigError> {
        let key = |field: &str| key(&format!("kafka.{field}"));
        let brokers = self.brokers.unwrap_or_default();
        if brokers.is_empty() {
            return Err(ConfigError::value(key("brokers"), "is missing; expected the form [\"host:9092\"]"));
        }
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '[' | ']' | ':');
        for broker in &brokers {
            let (host, port) = broker.rsplit_once(':').unwrap_or((broker, ""));
            let is_host = !host.is_empty() && host.chars().all(is_plain);
            if !is_host || !port.parse::<u16>().is_ok_and(|port| port > 0) {
                // It may hold a password, so it is not repeated.
                let problem = "has a broker that is not of the form host:port";
                return Err(ConfigError::value(key("brokers"), problem));
            }
        }
        let topic = self.topic.filter(|topic| !topic.is_empty());
        let topic = topic.ok_or_else(|| ConfigError::value(key("topic"), "is missing; expected a topic"))?;
        let is_topic = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if topic.len() > TOPIC_LENGTH || !topic.chars().all(is_topic) {
            let problem = format!(
                "'{}' is not a topic; expected up to {TOPIC_LENGTH} letters, digits, '.', '-' and '_'",
                Escaped(&topic)
            );
            return Err(ConfigError::value(key("topic"), problem));
        }
        let path = |text: Option<String>| text.filter(|path| !path.is_empty()).map(PathBuf::from);
        let ca_bundle = path(self.ca_bundle);
        let certificate = match (path(self.certificate), path(self.key)) {
            (None, None) => None,
            (Some(certificate), Some(private)) => Some((certificate, private)),
            (Some(_), None) => return Err(ConfigError::value(key("key"), "is missing beside certificate")),
            (None, Some(_)) => return Err(ConfigError::value(key("certificate"), "is missing beside key")),
        };
        let tls = match self.tls.unwrap_or(true) {
            true => Some(KafkaTls { ca_bundle, certificate }),
            false if ca_bundle.is_some() => return Err(ConfigError::value(key("ca_bundle"), "needs tls = true")),
            false if certificate.is_some() => {
                return Err(ConfigError::value(key("certificate"), "needs tls = true"));
            }
            false => None,
        };
        let sasl = self.sasl.map(|sasl| sasl.validate(tls.is_some(), &key)).transpose()?;
        let compression = match self.compression.as_deref().unwrap_or("lz4") {
            "none" => "none",
            "snappy" => "snappy",
            "lz4" => "lz4",
            other => return Err(one_of(&key("compression"), other, &["none", "snappy", "lz4"])),
        };
        let bytes = self.max_message_bytes.unwrap_or(MESSAGE_BYTES);
        Ok(SinkKind::Kafka(Box::new(KafkaSettings {
            brokers,
            topic,
            tls,
            sasl,
            compression,
            max_message_bytes: in_range(&key("max_message_bytes"), Some(bytes), BOUNDS.0, BOUNDS.1)?,
            cloud_events: cloud_events(&key("cloud_events"), self.cloud_events.as_deref())?,
            timeout: timeout(&key("timeout"), Some(self.timeout.as_deref().unwrap_or(TIMEOUT)))?,
        })))
    }
}

impl RawSasl {
    fn validate(self, is_encrypted: bool, key: &impl Fn(&str) -> String) -> Result<KafkaSasl, ConfigError> {
        let key = |field: &str| key(&format!("sasl.{field}"));
        let mechanism = match self.mechanism.as_deref().unwrap_or("scram-sha-512") {
            "plain" if !is_encrypted => {
                let problem = "\"plain\" sends the password as it is; it needs tls = true";
                return Err(ConfigError::value(key("mechanism"), problem));
            }
            "plain" => "PLAIN",
            "scram-sha-256" => "SCRAM-SHA-256",
            "scram-sha-512" => "SCRAM-SHA-512",
            other => return Err(one_of(&key("mechanism"), other, &["plain", "scram-sha-256", "scram-sha-512"])),
        };
        let missing = |field: &str| ConfigError::value(key(field), "is missing");
        let user = self.user.filter(|user| !user.is_empty()).ok_or_else(|| missing("user"))?;
        let password = self.password.ok_or_else(|| missing("password"))?.validate(&key("password"))?;
        Ok(KafkaSasl { mechanism, user, password })
    }
}

#[cfg(test)]
mod tests {
    use dynacrawl_sinks::{KafkaTls, SinkKind};

    use crate::config::{Config, Layer};

    fn config(section: &str) -> Result<SinkKind, String> {
        let mut layer = Layer::reference();
        let text = format!("[sink.bus.kafka]\n{section}");
        layer.overlay(Layer::parse(&text, "test").map_err(|error| error.to_string())?);
        let config = Config::validate(layer).map_err(|error| error.to_string())?;
        Ok(config.run.sinks[0].sink.kind.clone())
    }

    #[test]
    fn a_topic_has_defaults() {
        let kind = config("brokers = [\"kafka-1.example.com:9094\"]\ntopic = \"dynamodb.metadata\"\n");
        let Ok(SinkKind::Kafka(kafka)) = kind else { panic!("a topic: {kind:?}") };
        assert_eq!((kafka.tls, kafka.compression), (Some(KafkaTls::default()), "lz4"));
        assert_eq!((kafka.max_message_bytes, kafka.timeout.as_secs()), (1_000_000, 30));
    }

    #[test]
    fn wrong_values_are_named() {
        let topic = "brokers = [\"localhost:9092\"]\ntopic = \"t\"\n";
        for (text, problem) in [
            ("topic = \"t\"\n".to_owned(), "sink.bus.kafka.brokers: is missing"),
            ("brokers = [\"u:hunter2@a:1\"]\n".to_owned(), "sink.bus.kafka.brokers: has a broker"),
            ("brokers = [\"localhost\"]\n".to_owned(), "sink.bus.kafka.brokers: has a broker"),
            ("brokers = [\"localhost:9092\"]\n".to_owned(), "sink.bus.kafka.topic: is missing"),
            ("brokers = [\"localhost:9092\"]\ntopic = \"a b\"\n".to_owned(), "sink.bus.kafka.topic: 'a b' is not"),
            (format!("{topic}certificate = \"/c\"\n"), "sink.bus.kafka.key: is missing beside certificate"),
            (format!("{topic}key = \"/c\"\n"), "sink.bus.kafka.certificate: is missing beside key"),
            (format!("{topic}tls = false\nca_bundle = \"/c\"\n"), "sink.bus.kafka.ca_bundle: needs tls = true"),
            (format!("{topic}compression = \"gzip\"\n"), "sink.bus.kafka.compression: 'gzip' is unknown"),
            (format!("{topic}max_message_bytes = 1\n"), "sink.bus.kafka.max_message_bytes: 1 is out of range"),
            (format!("{topic}timeout = \"10m\"\n"), "sink.bus.kafka.timeout: is out of range"),
            (format!("{topic}cloud_events = \"x\"\n"), "sink.bus.kafka.cloud_events: 'x' is unknown"),
            (format!("{topic}sasl.user = \"u\"\n"), "sink.bus.kafka.sasl.password: is missing"),
            (format!("{topic}sasl.mechanism = \"gssapi\"\n"), "sink.bus.kafka.sasl.mechanism: 'gssapi' is"),
            (
                format!("{topic}tls = false\nsasl.mechanism = \"plain\"\n"),
                "sink.bus.kafka.sasl.mechanism: \"plain\" sends the password as it is",
            ),
            (format!("{topic}sasl.password = \"hunter2\"\n"), "{ env = \"NAME\" }"),
        ] {
            let error = config(&text).map(drop).expect_err(&text);
            assert!(error.contains(problem) && !error.contains("hunter2"), "{error}");
        }
    }
}
