//! The sink `kafka`: produces events to a topic of Apache Kafka, and waits for their acknowledgements.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::future_producer::DeliveryFuture;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use secrecy::ExposeSecret;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::causes::with_causes;
use crate::cloud_event::{self, CloudEvents};
use crate::halves::{EventHalves, Untaken};
use crate::kind::{Destination, Kind, ONE_BY_ONE};
use crate::secret::SecretRef;
use crate::sink::{Delivered, DeliveryError, Event, Refusal, Sink};

/// How long connecting may take, with TLS and SASL.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest wait before it connects again after a failure.
const RECONNECT: Duration = Duration::from_secs(1);
/// How long a topic that no broker knows may take to become known, before an attempt fails.
const TOPIC_TIMEOUT: Duration = Duration::from_secs(5);

/// Where events go, and in which form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaSettings {
    /// Brokers of the cluster, each as `host:port`. They name the others.
    pub brokers: Vec<String>,
    /// The topic.
    pub topic: String,
    /// TLS; `None`: the connection is not encrypted.
    pub tls: Option<KafkaTls>,
    /// How dynacrawl authenticates with SASL.
    pub sasl: Option<KafkaSasl>,
    /// How messages are compressed: `none`, `snappy` or `lz4`.
    pub compression: &'static str,
    /// The most bytes of a message.
    pub max_message_bytes: u32,
    /// Whether events have an envelope of CloudEvents.
    pub cloud_events: CloudEvents,
    /// How long the acknowledgements of a batch may take.
    pub timeout: Duration,
}

/// The certificates of TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KafkaTls {
    /// A PEM file of the certificate authorities to trust instead of the system's.
    pub ca_bundle: Option<PathBuf>,
    /// The PEM files of the certificate by which dynacrawl authenticates, and of its key.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

/// How dynacrawl authenticates with SASL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaSasl {
    /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    pub mechanism: &'static str,
    /// The user.
    pub user: String,
    /// The password.
    pub password: SecretRef,
}

/// A topic of Apache Kafka.
pub(super) struct KafkaSink {
    settings: KafkaSettings,
    producer: Option<(FutureProducer<Reports>, Reports)>,
}

/// What librdkafka reports beside the results of calls: why it has no connection, for example.
#[derive(Clone, Default)]
struct Reports {
    last: Arc<Mutex<Option<String>>>,
    /// A broker refused the credentials, or its certificate is not valid: waiting does not help.
    is_refused: Arc<Notify>,
}

impl ClientContext for Reports {
    fn log(&self, _: RDKafkaLogLevel, _: &str, message: &str) {
        tracing::debug!(message, "librdkafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        // It follows the report of why each of them is down.
        if code == Some(RDKafkaErrorCode::AllBrokersDown) {
            return;
        }
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
        if matches!(code, Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SSL)) {
            self.is_refused.notify_one();
        }
    }
}

impl Reports {
    /// Forgets what was reported before, perhaps while the connection was idle.
    fn clear(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = None;
        _ = self.is_refused.notified().now_or_never();
    }

    /// An error, with the last report.
    fn explain(&self, text: &str) -> DeliveryError {
        match &*self.last.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(report) if !text.contains(report) => DeliveryError::new(format!("{text}: {report}")),
            _ => DeliveryError::new(text),
        }
    }
}

impl KafkaSink {
    /// A sink that has not connected yet.
    pub(super) fn new(settings: KafkaSettings) -> Self {
        Self { settings, producer: None }
    }

    /// Produces events. If the topic accepts less than `max_message_bytes`, it produces each half by itself, to
    /// find out which events it does not accept.
    async fn produce_all(&mut self, batch: &[Event]) -> Result<Delivered, DeliveryError> {
        let mut halves = EventHalves::new(batch, batch.len());
        while let Some(events) = halves.next() {
            let produced = self.produce(events).await;
            halves.answered(events, produced)?;
        }
        halves.delivered()
    }

    /// Produces events, and waits until all are acknowledged. After a failure, or if nobody waits any longer, the
    /// producer is dropped, so that nothing that still waits is sent after the next attempt's messages.
    async fn produce(&mut self, events: &[Event]) -> Result<Vec<Refusal>, Untaken> {
        let producer = self.take_producer().map_err(Untaken::Failed)?;
        let produced = self.try_to_produce(&producer, events).await;
        match produced.is_ok() {
            true => self.producer = Some(producer),
            // It waits for its thread.
            false => drop(tokio::task::spawn_blocking(move || drop(producer))),
        }
        produced
    }

    async fn try_to_produce(
        &self,
        (producer, reports): &(FutureProducer<Reports>, Reports),
        events: &[Event],
    ) -> Result<Vec<Refusal>, Untaken> {
        reports.clear();
        let (mut waiting, mut refused) = (Vec::with_capacity(events.len()), Vec::new());
        for event in events {
            let unwritable = |error: serde_json::Error| Untaken::Failed(DeliveryError::new(error.to_string()));
            let (key, headers, payload) = self.message(event).map_err(unwritable)?;
            let record = FutureRecord::to(&self.settings.topic).key(&key).payload(&payload).headers(headers);
            match producer.send_result(record) {
                Ok(acknowledgement) => waiting.push(acknowledgement),
                Err((error, _)) if is_too_large(&error) => {
                    let (bytes, most) = (key.len() + payload.len(), self.settings.max_message_bytes);
                    let reason = format!("the message has {bytes} bytes, and max_message_bytes is {most}");
                    refused.push(Refusal { id: event.id.clone(), reason });
                }
                Err((error, _)) => return Err(Untaken::Failed(reports.explain(&in_words(&error)))),
            }
        }
        let late = || {
            let timeout = self.settings.timeout;
            format!("the brokers did not acknowledge all events within {timeout:?}; are min.insync.replicas in sync?")
        };
        tokio::select! {
            biased;
            acknowledged = all_acknowledged(waiting, reports) => acknowledged?,
            () = reports.is_refused.notified() => return Err(Untaken::Failed(reports.explain("cannot connect"))),
            () = sleep(self.settings.timeout) => return Err(Untaken::Failed(reports.explain(&late()))),
        }
        Ok(refused)
    }

    /// The key, the headers and the payload of an event. The events of a table have its ARN as their key, so
    /// that they are in one partition, in order.
    fn message(&self, event: &Event) -> serde_json::Result<(String, OwnedHeaders, Vec<u8>)> {
        let key = cloud_event::table_arn(event).map_or_else(|| cloud_event::source(event), str::to_owned);
        let (content_type, payload) = cloud_event::content(event, self.settings.cloud_events)?;
        let header = |headers: OwnedHeaders, key: &str, value: &str| headers.insert(Header { key, value: Some(value) });
        let mut headers = header(OwnedHeaders::new(), "content-type", content_type);
        match self.settings.cloud_events {
            CloudEvents::Off => headers = header(headers, "event_id", &event.id),
            CloudEvents::Structured => {}
            CloudEvents::Binary => {
                for (name, value) in cloud_event::header_attributes(event) {
                    headers = header(headers, &format!("ce_{name}"), &value);
                }
            }
        }
        Ok((key, headers, payload))
    }

    /// The producer that is at hand, or a new one.
    fn take_producer(&mut self) -> Result<(FutureProducer<Reports>, Reports), DeliveryError> {
        if let Some(producer) = self.producer.take() {
            return Ok(producer);
        }
        let reports = Reports::default();
        let made = self.configuration()?.create_with_context(reports.clone());
        let producer = made.map_err(|error| reports.explain(&in_words(&error)))?;
        Ok((producer, reports))
    }

    fn configuration(&self) -> Result<ClientConfig, DeliveryError> {
        let settings = &self.settings;
        let milliseconds = |duration: Duration| duration.as_millis().to_string();
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", settings.brokers.join(","))
            .set("client.id", "dynacrawl")
            // All replicas in sync have the message, once and in order, also if the producer repeats it.
            .set("enable.idempotence", "true")
            .set("enable.gapless.guarantee", "true")
            // No message ends by itself, because later ones would follow: the sink drops the producer instead.
            .set("message.timeout.ms", "0")
            .set("message.max.bytes", settings.max_message_bytes.to_string())
            .set("compression.type", settings.compression)
            .set("socket.connection.setup.timeout.ms", milliseconds(CONNECT_TIMEOUT))
            .set("reconnect.backoff.max.ms", milliseconds(RECONNECT))
            .set("topic.metadata.propagation.max.ms", milliseconds(TOPIC_TIMEOUT.min(settings.timeout / 2)))
            // A misspelt topic must not be created.
            .set("allow.auto.create.topics", "false");
        let protocol = match (&settings.tls, &settings.sasl) {
            (None, None) => "plaintext",
            (None, Some(_)) => "sasl_plaintext",
            (Some(_), None) => "ssl",
            (Some(_), Some(_)) => "sasl_ssl",
        };
        config.set("security.protocol", protocol);
        if let Some(tls) = &settings.tls {
            let files = [("ca_bundle", tls.ca_bundle.as_ref())]
                .into_iter()
                .chain(tls.certificate.iter().flat_map(|(of, key)| [("certificate", Some(of)), ("key", Some(key))]));
            for (key, file) in files {
                let Some(file) = file else { continue };
                // librdkafka would name neither.
                std::fs::File::open(file).map_err(|error| {
                    DeliveryError::new(format!("kafka.{key}: cannot read {}: {error}", file.display()))
                })?;
            }
            let path = |path: &PathBuf| path.display().to_string();
            match &tls.ca_bundle {
                Some(bundle) => config.set("ssl.ca.location", path(bundle)),
                // The usual places of all distributions: OpenSSL may have been built for another one.
                None => config.set("ssl.ca.location", "probe"),
            };
            if let Some((certificate, key)) = &tls.certificate {
                config.set("ssl.certificate.location", path(certificate)).set("ssl.key.location", path(key));
            }
        }
        if let Some(sasl) = &settings.sasl {
            let password =
                sasl.password.read().map_err(|error| DeliveryError::new(format!("sasl.password: {error}")))?;
            config
                .set("sasl.mechanism", sasl.mechanism)
                .set("sasl.username", &sasl.user)
                .set("sasl.password", password.expose_secret());
        }
        Ok(config)
    }

    /// Whether a broker answers, and knows the topic.
    async fn find_topic(&mut self) -> Result<(), DeliveryError> {
        let (producer, reports) = self.take_producer()?;
        let timeout = self.settings.timeout.min(CONNECT_TIMEOUT);
        // Of all topics: to ask for a single one could create it.
        let asked = tokio::task::spawn_blocking(move || producer.client().fetch_metadata(None, timeout));
        let metadata = match asked.await {
            Ok(Ok(metadata)) => metadata,
            Ok(Err(_)) => return Err(reports.explain(&format!("no broker answered within {timeout:?}"))),
            Err(_) => return Err(DeliveryError::new("the request for the topics was interrupted")),
        };
        let topic = &self.settings.topic;
        match metadata.topics().iter().any(|known| known.name() == topic) {
            true => Ok(()),
            false => {
                Err(DeliveryError::new(format!("the topic {topic} does not exist, or the user may not describe it")))
            }
        }
    }
}

impl Kind for KafkaSettings {
    fn destination(&self) -> Destination {
        Destination::Events(Box::new(KafkaSink::new(self.clone())))
    }

    fn largest_batch(&self) -> usize {
        20 * ONE_BY_ONE
    }

    fn secrets(&self) -> Vec<(&'static str, &SecretRef)> {
        self.sasl.iter().map(|sasl| ("kafka.sasl.password", &sasl.password)).collect()
    }
}

impl Sink for KafkaSink {
    fn deliver<'a>(&'a mut self, batch: &'a [Event]) -> BoxFuture<'a, Result<Delivered, DeliveryError>> {
        self.produce_all(batch).boxed()
    }

    /// Asks a broker for its topics.
    fn health(&mut self) -> BoxFuture<'_, Result<(), DeliveryError>> {
        self.find_topic().boxed()
    }
}

/// Waits for all acknowledgements, also after a failure.
async fn all_acknowledged(waiting: Vec<DeliveryFuture>, reports: &Reports) -> Result<(), Untaken> {
    let mut failed = None;
    for acknowledgement in waiting {
        match acknowledgement.await {
            Ok(Ok(_)) => {}
            Ok(Err((error, _))) if is_too_large(&error) => return Err(Untaken::Refused(in_words(&error))),
            Ok(Err((error, message))) => {
                failed = failed.or_else(|| Some(format!("producing to {}: {}", message.topic(), in_words(&error))));
            }
            Err(_) => failed = failed.or_else(|| Some("the producer was closed".to_owned())),
        }
    }
    failed.map_or(Ok(()), |text| Err(Untaken::Failed(reports.explain(&text))))
}

fn is_too_large(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge)
}

/// The text of an error, without a value of the configuration, which could be a password.
fn in_words(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, problem, key, _) => format!("librdkafka does not accept {key}: {problem}"),
        KafkaError::ClientCreation(problem) => format!("cannot create a producer: {problem}"),
        other => with_causes(other),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use dynacrawl_model::{FailureReason, Record, RunId, Scope, TableFailed};
    use rdkafka::mocking::MockCluster;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::{KafkaSettings, KafkaSink};
    use crate::cloud_event::CloudEvents;
    use crate::sink::{Event, Part, Sink};

    fn event(name: &str) -> Event {
        let region = "eu-west-1".parse().expect("a Region");
        let scope = Scope { partition: "aws".into(), account_id: None, region };
        let failed = TableFailed {
            table_name: name.into(),
            reason: FailureReason::Denied,
            code: "AccessDeniedException".to_owned(),
            message: String::new(),
            attempts: 1,
        };
        let record = Record::of_scope(RunId::generate(), scope.into(), failed);
        Event { id: name.to_owned(), record, table: None, target: None, part: Part::Whole }
    }

    fn sink(cluster: &MockCluster<'_, impl rdkafka::client::ClientContext>) -> KafkaSink {
        cluster.create_topic("metadata", 1, 1).expect("a topic");
        KafkaSink::new(KafkaSettings {
            brokers: vec![cluster.bootstrap_servers()],
            topic: "metadata".to_owned(),
            tls: None,
            sasl: None,
            compression: "none",
            max_message_bytes: 1_000_000,
            cloud_events: CloudEvents::Off,
            timeout: Duration::from_secs(20),
        })
    }

    const TOO_LARGE: RDKafkaRespErr = RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;

    #[tokio::test]
    async fn an_event_that_a_topic_finds_too_large_is_refused_alone() {
        let cluster = MockCluster::new(1).expect("a cluster");
        let mut sink = sink(&cluster);
        // All four, then the first half of them, then the first one alone.
        cluster.request_errors(RDKafkaApiKey::Produce, &[TOO_LARGE; 3]);
        let events = ["a", "b", "c", "d"].map(event);
        let delivered = sink.deliver(&events).await.expect("the others are delivered");
        let refused: Vec<_> = delivered.refused.iter().map(|refusal| &*refusal.id).collect();
        assert_eq!(refused, ["a"]);
        assert!(delivered.refused[0].reason.contains("large"), "{:?}", delivered.refused);
    }

    #[tokio::test]
    async fn a_failure_that_may_pass_refuses_nothing() {
        let cluster = MockCluster::new(1).expect("a cluster");
        let mut sink = sink(&cluster);
        cluster.request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS; 2]);
        let delivered = sink.deliver(&["a", "b"].map(event)).await.expect("librdkafka repeats the request");
        assert!(delivered.refused.is_empty(), "{:?}", delivered.refused);
        cluster.request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED]);
        let error = sink.deliver(&["a", "b"].map(event)).await.expect_err("nothing was taken");
        assert!(error.to_string().contains("metadata"), "{error}");
        assert!(sink.deliver(&["a", "b"].map(event)).await.expect("it may now").refused.is_empty());
    }
}
