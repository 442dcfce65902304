//! The sink `eventbridge`: puts events on an event bus of Amazon EventBridge.

use std::collections::HashSet;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::config::retry::RetryConfig;
use aws_sdk_eventbridge::config::{Builder, IdentityCache};
use aws_sdk_eventbridge::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_eventbridge::operation::describe_event_bus::DescribeEventBusError;
use aws_sdk_eventbridge::primitives::DateTime;
use aws_sdk_eventbridge::types::builders::PutEventsRequestEntryBuilder;
use aws_sdk_eventbridge::types::{PutEventsRequestEntry, PutEventsResultEntry};
use dynacrawl_model::Region;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use crate::aws::AwsIdentity;
use crate::causes::with_causes;
use crate::cloud_event::{self, CloudEvents};
use crate::kind::{Destination, Kind, ONE_BY_ONE};
use crate::secret::SecretRef;
use crate::sink::{Delivered, DeliveryError, Event, Refusal, Sink};

/// The most entries of a call, which AWS sets.
const ENTRIES: usize = 10;
/// The most bytes of a call with several entries. AWS's limit was as low as this, and is 1 MB in most Regions now.
const BYTES: usize = 256 * 1024;
/// How long the event bus counts as found.
const FOUND_FOR: Duration = Duration::from_secs(60);
/// What AWS counts for the time of an entry.
const TIME_BYTES: usize = 14;

/// Where events go, and in which form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventBridgeSettings {
    /// The event bus, by its name or ARN.
    pub bus: String,
    /// Its Region.
    pub region: Region,
    /// The endpoint, instead of the Region's.
    pub endpoint: Option<String>,
    /// Who calls EventBridge.
    pub identity: AwsIdentity,
    /// The source of the events, which rules match.
    pub source: String,
    /// Whether the detail of an event is an envelope of CloudEvents.
    pub cloud_events: CloudEvents,
    /// How long one call may take.
    pub timeout: Duration,
    /// A PEM file of the certificate authorities to trust instead of the system's.
    pub ca_bundle: Option<PathBuf>,
}

/// An event bus.
pub(super) struct EventBridgeSink {
    settings: EventBridgeSettings,
    /// When the event bus was last found with it.
    client: Option<(Client, Instant)>,
    /// Of a batch that failed, the ids of the events that the bus has taken.
    taken: HashSet<String>,
}

impl EventBridgeSink {
    /// A sink that has called nothing yet.
    pub(super) fn new(settings: EventBridgeSettings) -> Self {
        Self { settings, client: None, taken: HashSet::new() }
    }

    async fn put_all(&mut self, batch: &[Event]) -> Result<Vec<Refusal>, DeliveryError> {
        let of_batch: HashSet<&str> = batch.iter().map(|event| event.id.as_str()).collect();
        self.taken.retain(|id| of_batch.contains(id.as_str()));
        let client = self.client().await?;
        let left: Vec<&Event> = batch.iter().filter(|event| !self.taken.contains(&event.id)).collect();
        let entries: Vec<_> = left.iter().map(|event| self.entry(event)).collect::<Result<_, _>>()?;
        let sizes: Vec<_> = entries.iter().map(size).collect();
        let mut entries = entries.into_iter();
        let mut refused = Vec::new();
        for call in calls(&sizes) {
            let (events, bytes) = (&left[call.clone()], sizes[call.clone()].iter().sum());
            let of_call = entries.by_ref().take(call.len()).collect();
            refused.extend(self.put(&client, events, of_call, bytes).await?);
        }
        Ok(refused)
    }

    /// Makes one call. Fails if EventBridge did not take an entry, unless it never will.
    async fn put(
        &mut self,
        client: &Client,
        events: &[&Event],
        entries: Vec<PutEventsRequestEntry>,
        bytes: usize,
    ) -> Result<Vec<Refusal>, DeliveryError> {
        let answer = match client.put_events().set_entries(Some(entries)).send().await {
            Ok(answer) => answer,
            Err(error) => {
                let reason = message(&error);
                return match events {
                    [event] if bytes > BYTES && is_too_large(&error) => {
                        Ok(vec![Refusal { id: event.id.clone(), reason: format!("{reason} ({bytes} bytes)") }])
                    }
                    _ => Err(DeliveryError::new(reason)),
                };
            }
        };
        let (mut refused, mut failed) = (Vec::new(), None);
        for (number, event) in events.iter().enumerate() {
            let result = answer.entries().get(number);
            if result.is_some_and(|result| result.event_id().is_some() && result.error_code().is_none()) {
                self.taken.insert(event.id.clone());
                continue;
            }
            let reason = result.map_or_else(|| "the answer has no result for the event".to_owned(), reason);
            match result.and_then(PutEventsResultEntry::error_code) {
                // What the event contains is wrong: waiting does not help.
                Some("InvalidArgument" | "MalformedDetail" | "RedactionFailure") => {
                    refused.push(Refusal { id: event.id.clone(), reason });
                }
                _ => failed = failed.or(Some(reason)),
            }
        }
        match failed {
            Some(reason) => Err(DeliveryError::new(reason)),
            None => Ok(refused),
        }
    }

    fn entry(&self, event: &Event) -> Result<PutEventsRequestEntry, DeliveryError> {
        let (_, detail) = cloud_event::content(event, self.settings.cloud_events)
            .map_err(|error| DeliveryError::new(error.to_string()))?;
        let detail = String::from_utf8(detail).map_err(|error| DeliveryError::new(error.to_string()))?;
        let time = cloud_event::time(&event.record.body).map(|time| DateTime::from_millis(time.as_millis()));
        let entry = self.empty_entry(event.record.kind().as_str()).detail(detail).set_time(time);
        Ok(entry.set_resources(cloud_event::table_arn(event).map(|arn| vec![arn.to_owned()])).build())
    }

    fn empty_entry(&self, detail_type: &str) -> PutEventsRequestEntryBuilder {
        PutEventsRequestEntry::builder()
            .event_bus_name(&self.settings.bus)
            .source(&self.settings.source)
            .detail_type(detail_type)
    }

    /// A client that has just found the event bus: a call for a bus that does not exist could succeed.
    async fn client(&mut self) -> Result<Client, DeliveryError> {
        let client = match self.client.take() {
            Some((client, found)) if found.elapsed() < FOUND_FOR => {
                self.client = Some((client.clone(), found));
                return Ok(client);
            }
            Some((client, _)) => client,
            None => self.new_client().await?,
        };
        self.find_bus(&client).await?;
        self.client = Some((client.clone(), Instant::now()));
        Ok(client)
    }

    async fn new_client(&self) -> Result<Client, DeliveryError> {
        let settings = &self.settings;
        let config =
            settings.identity.sdk_config(&settings.region, settings.ca_bundle.as_deref(), settings.timeout).await;
        let config = config.map_err(DeliveryError::new)?;
        let mut config = Builder::from(&config)
            .identity_cache(IdentityCache::lazy().build())
            // The driver repeats what failed, with its own pauses.
            .retry_config(RetryConfig::disabled());
        config.set_endpoint_url(settings.endpoint.clone());
        Ok(Client::from_conf(config.build()))
    }

    async fn find_bus(&self, client: &Client) -> Result<(), DeliveryError> {
        let (bus, region) = (&self.settings.bus, &self.settings.region);
        match client.describe_event_bus().name(bus).send().await {
            Ok(_) => Ok(()),
            Err(error) if is_missing(&error) => {
                Err(DeliveryError::new(format!("there is no event bus {bus} in {region}")))
            }
            // The bus of another account often permits only PutEvents. A name may be misspelt.
            Err(error) if error.code() == Some("AccessDeniedException") && bus.starts_with("arn:") => Ok(()),
            Err(error) => Err(DeliveryError::new(format!("cannot look for the event bus: {}", message(&error)))),
        }
    }
}

impl Kind for EventBridgeSettings {
    fn destination(&self) -> Destination {
        Destination::Events(Box::new(EventBridgeSink::new(self.clone())))
    }

    fn largest_batch(&self) -> usize {
        4 * ONE_BY_ONE
    }

    fn secrets(&self) -> Vec<(&'static str, &SecretRef)> {
        match &self.identity {
            AwsIdentity::Ambient { .. } => Vec::new(),
            AwsIdentity::Keys { access_key_id, secret_access_key } => {
                vec![("eventbridge.access_key_id", access_key_id), ("eventbridge.secret_access_key", secret_access_key)]
            }
        }
    }
}

impl Sink for EventBridgeSink {
    fn deliver<'a>(&'a mut self, batch: &'a [Event]) -> BoxFuture<'a, Result<Delivered, DeliveryError>> {
        async move {
            match self.put_all(batch).await {
                Ok(refused) => Delivered::with_refused(batch, refused),
                Err(error) => {
                    // The next attempt reads the secrets again, and looks for the bus.
                    self.client = None;
                    Err(error)
                }
            }
        }
        .boxed()
    }

    /// Puts an entry without a detail: EventBridge refuses the entry if it permits the call, and else the call.
    fn health(&mut self) -> BoxFuture<'_, Result<(), DeliveryError>> {
        async move {
            let client = self.client().await?;
            let answer = client.put_events().entries(self.empty_entry("check").build()).send().await;
            let answer = answer.map_err(|error| DeliveryError::new(message(&error)))?;
            match answer.entries() {
                [result] if result.error_code() == Some("InvalidArgument") => Ok(()),
                [result] if result.error_code().is_some() => Err(DeliveryError::new(reason(result))),
                _ => Err(DeliveryError::new("EventBridge did not refuse an entry without a detail")),
            }
        }
        .boxed()
    }
}

/// Which entries each call has, by their sizes in bytes. An entry that is too large has its own.
fn calls(sizes: &[usize]) -> Vec<Range<usize>> {
    let mut calls = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (number, size) in sizes.iter().enumerate() {
        if number > start && (number - start == ENTRIES || bytes + size > BYTES) {
            calls.push(start..number);
            (start, bytes) = (number, 0);
        }
        bytes += size;
    }
    if start < sizes.len() {
        calls.push(start..sizes.len());
    }
    calls
}

/// The size of an entry, as AWS counts it.
fn size(entry: &PutEventsRequestEntry) -> usize {
    let texts = [entry.source(), entry.detail_type(), entry.detail()].into_iter().flatten();
    let texts: usize = texts.chain(entry.resources().iter().map(String::as_str)).map(str::len).sum();
    texts + entry.time().map_or(0, |_| TIME_BYTES)
}

fn reason(result: &PutEventsResultEntry) -> String {
    match (result.error_code(), result.error_message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (code, message) => code.or(message).unwrap_or("EventBridge did not take the event").to_owned(),
    }
}

fn message<E: ProvideErrorMetadata + std::error::Error + 'static>(error: &SdkError<E>) -> String {
    match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        _ => match error.raw_response().map(|response| response.status().as_u16()) {
            // It is not EventBridge that answers: a proxy, for example.
            Some(status) => format!("status {status} from something other than EventBridge, such as a proxy"),
            None => with_causes(error),
        },
    }
}

fn is_missing(error: &SdkError<DescribeEventBusError>) -> bool {
    error.as_service_error().is_some_and(DescribeEventBusError::is_resource_not_found_exception)
}

fn is_too_large<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    let status = error.raw_response().map(|response| response.status().as_u16());
    status == Some(413) || error.code() == Some("ValidationException")
}

#[cfg(test)]
mod tests {
    use super::{BYTES, calls};

    #[test]
    fn a_call_has_ten_entries_and_256_kilobytes() {
        assert!(calls(&[]).is_empty());
        assert_eq!(calls(&[1; 25]), [0..10, 10..20, 20..25]);
        assert_eq!(calls(&[BYTES - 1, 1, 1]), [0..2, 2..3]);
        assert_eq!(calls(&[1, BYTES + 1, 1]), [0..1, 1..2, 2..3]);
    }
}
