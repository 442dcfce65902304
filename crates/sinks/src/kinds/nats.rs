//! The sink `nats`: publishes events to a stream of JetStream, and waits for each acknowledgement.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, Context, ErrorCode};
use async_nats::{ConnectOptions, HeaderMap};
use dynacrawl_model::{AccountId, RecordKind};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use secrecy::ExposeSecret;

use crate::causes::with_causes;
use crate::cloud_event::{self, CloudEvents};
use crate::kind::{Destination, Kind, ONE_BY_ONE};
use crate::secret::SecretRef;
use crate::sink::{Delivered, DeliveryError, Event, Refusal, Sink};
use crate::web::version;

/// The first version with JetStream.
const OLDEST: [u64; 3] = [2, 2, 0];
/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Where events go, and in which form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatsSettings {
    /// The servers of a cluster, such as `nats://127.0.0.1:4222` or `tls://nats.example.com`.
    pub servers: Vec<String>,
    /// The subject of an event.
    pub subject: SubjectTemplate,
    /// How dynacrawl authenticates.
    pub auth: Option<NatsAuth>,
    /// Whether events have an envelope of CloudEvents.
    pub cloud_events: CloudEvents,
    /// How long an acknowledgement may take.
    pub timeout: Duration,
    /// A PEM file of certificate authorities to trust besides the system's.
    pub ca_bundle: Option<PathBuf>,
}

/// How dynacrawl authenticates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NatsAuth {
    /// A file with a JWT and the seed of a key, as `nsc` writes it.
    CredentialsFile(PathBuf),
    /// A token.
    Token(SecretRef),
    /// A user with a password.
    User {
        /// The user.
        user: String,
        /// The password.
        password: SecretRef,
    },
}

/// A subject with the placeholders `{account}`, `{region}` and `{kind}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectTemplate(String);

/// Why a text is not the template of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubjectError {
    /// A part between two dots is empty.
    #[error("has an empty part; expected parts that are separated by dots")]
    Empty,
    /// A character that a subject cannot have, or that is a wildcard.
    #[error(
        "has the character {0:?}; expected letters, digits, - and _, and the placeholders {{account}}, {{region}}, {{kind}}"
    )]
    Character(char),
}

/// In the place of an account or Region in events that are about none.
const NO_SCOPE: &str = "_";

impl std::str::FromStr for SubjectTemplate {
    type Err = SubjectError;

    fn from_str(text: &str) -> Result<Self, SubjectError> {
        let plain = text.replace("{account}", "a").replace("{region}", "r").replace("{kind}", "k");
        if let Some(odd) = plain.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))) {
            return Err(SubjectError::Character(odd));
        }
        if plain.split('.').any(str::is_empty) { Err(SubjectError::Empty) } else { Ok(Self(text.to_owned())) }
    }
}

impl SubjectTemplate {
    fn fill(&self, event: &Event) -> String {
        let scope = event.record.scope.as_deref();
        let account = scope.and_then(|scope| scope.account_id.as_ref()).map_or(NO_SCOPE, AccountId::as_str);
        let region = scope.map_or(NO_SCOPE, |scope| scope.region.as_str());
        self.fill_with(account, region, event.record.kind().as_str())
    }

    fn fill_with(&self, account: &str, region: &str, kind: &str) -> String {
        self.0.replace("{account}", account).replace("{region}", region).replace("{kind}", kind)
    }
}

/// A stream of JetStream.
#[derive(Debug)]
pub(super) struct NatsSink {
    settings: NatsSettings,
    client: Option<async_nats::Client>,
}

/// How a message was not taken.
enum Untaken {
    Refused(Refusal),
    Failed(DeliveryError),
}

impl NatsSink {
    /// A sink that has not connected yet.
    pub(super) fn new(settings: NatsSettings) -> Self {
        Self { settings, client: None }
    }

    async fn publish_all(&mut self, batch: &[Event]) -> Result<Vec<Refusal>, DeliveryError> {
        let mut context = jetstream::new(self.client().await?);
        context.set_timeout(self.settings.timeout);
        let mut refused = Vec::new();
        let mut left = batch;
        while !left.is_empty() {
            // What is about a run comes after everything before it.
            let of_scopes = left.iter().position(|event| event.record.scope.is_none()).unwrap_or(left.len());
            let (scopes, rest) = left.split_at(of_scopes);
            let (run, rest) = rest.split_at(usize::from(!rest.is_empty()));
            left = rest;
            let mut by_scope: BTreeMap<String, Vec<&Event>> = BTreeMap::new();
            for event in scopes {
                let scope = event.record.scope.as_deref().map(ToString::to_string).unwrap_or_default();
                by_scope.entry(scope).or_default().push(event);
            }
            // The events of a scope one after the other: after a lost message, none may overtake it.
            let in_order = by_scope.into_values().map(|events| self.publish_in_order(&context, events));
            let published = join_all(in_order).await;
            for result in published {
                refused.extend(result?);
            }
            refused.extend(self.publish_in_order(&context, run.iter().collect()).await?);
        }
        Ok(refused)
    }

    async fn publish_in_order(&self, context: &Context, events: Vec<&Event>) -> Result<Vec<Refusal>, DeliveryError> {
        let mut refused = Vec::new();
        for event in events {
            match self.publish(context, event).await {
                Ok(()) => {}
                Err(Untaken::Refused(refusal)) => refused.push(refusal),
                Err(Untaken::Failed(error)) => return Err(error),
            }
        }
        Ok(refused)
    }

    async fn publish(&self, context: &Context, event: &Event) -> Result<(), Untaken> {
        let subject = self.settings.subject.fill(event);
        let (headers, payload) =
            self.message(event, &subject).map_err(|error| Untaken::Failed(DeliveryError::new(error.to_string())))?;
        let bytes = payload.len();
        let failed = |error: &PublishError| {
            let text = format!("publishing to {subject}: {}", with_causes(error));
            if is_too_large(error) {
                let reason = format!("{text} ({bytes} bytes)");
                return Untaken::Refused(Refusal { id: event.id.clone(), reason });
            }
            Untaken::Failed(DeliveryError::new(text))
        };
        let acknowledged = context
            .publish_with_headers(subject.clone(), headers, payload.into())
            .await
            .map_err(|error| failed(&error))?;
        acknowledged.await.map(drop).map_err(|error| failed(&error))
    }

    /// The headers and the payload of an event. JetStream drops a message whose id the stream has
    /// seen within its window, under whatever subject: two sinks may have the same stream.
    fn message(&self, event: &Event, subject: &str) -> serde_json::Result<(HeaderMap, Vec<u8>)> {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", format!("{}@{subject}", event.id));
        let (content_type, payload) = cloud_event::content(event, self.settings.cloud_events)?;
        headers.insert("content-type", content_type);
        if self.settings.cloud_events == CloudEvents::Binary {
            for (name, value) in cloud_event::header_attributes(event) {
                headers.insert(format!("ce-{name}"), cloud_event::percent_encoded(&value));
            }
        }
        Ok((headers, payload))
    }

    async fn client(&mut self) -> Result<async_nats::Client, DeliveryError> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let read = |secret: &SecretRef| {
            let secret = secret.read().map_err(|error| DeliveryError::new(format!("auth: {error}")))?;
            Ok::<_, DeliveryError>(secret.expose_secret().to_owned())
        };
        let mut options = ConnectOptions::new()
            .name("dynacrawl")
            .connection_timeout(CONNECT_TIMEOUT)
            // The driver connects again, with its own pauses.
            .max_reconnects(1);
        options = match &self.settings.auth {
            None => options,
            Some(NatsAuth::Token(token)) => options.token(read(token)?),
            Some(NatsAuth::User { user, password }) => options.user_and_password(user.clone(), read(password)?),
            Some(NatsAuth::CredentialsFile(path)) => options.credentials_file(path).await.map_err(|error| {
                // The message could quote the file.
                DeliveryError::new(format!("cannot use the credentials in {}: {:?}", path.display(), error.kind()))
            })?,
        };
        if let Some(path) = &self.settings.ca_bundle {
            options = options.add_root_certificates(path.clone());
        }
        let connected = options.connect(&self.settings.servers[..]).await;
        let client =
            connected.map_err(|error| DeliveryError::new(format!("cannot connect: {}", with_causes(&error))))?;
        let found = client.server_info().version;
        if version(&found) < OLDEST {
            let [major, minor, _] = OLDEST;
            let problem = format!("the server has version {found}; JetStream needs {major}.{minor} or newer");
            return Err(DeliveryError::new(problem));
        }
        self.client = Some(client.clone());
        Ok(client)
    }
}

impl Kind for NatsSettings {
    fn destination(&self) -> Destination {
        Destination::Events(Box::new(NatsSink::new(self.clone())))
    }

    fn largest_batch(&self) -> usize {
        4 * ONE_BY_ONE
    }

    fn secrets(&self) -> Vec<(&'static str, &SecretRef)> {
        match &self.auth {
            None | Some(NatsAuth::CredentialsFile(_)) => Vec::new(),
            Some(NatsAuth::Token(token)) => vec![("nats.token", token)],
            Some(NatsAuth::User { password, .. }) => vec![("nats.password", password)],
        }
    }
}

impl Sink for NatsSink {
    fn deliver<'a>(&'a mut self, batch: &'a [Event]) -> BoxFuture<'a, Result<Delivered, DeliveryError>> {
        async move {
            let published = self.publish_all(batch).await;
            if published.is_err() {
                // What is still waiting to be sent must not follow later.
                self.client = None;
            }
            Ok(Delivered { refused: published? })
        }
        .boxed()
    }

    fn health(&mut self) -> BoxFuture<'_, Result<(), DeliveryError>> {
        async move {
            let mut context = jetstream::new(self.client().await?);
            context.set_timeout(self.settings.timeout);
            let subject = self.settings.subject.fill_with("*", "*", "*");
            context.stream_by_subject(subject.clone()).await.map_err(|error| {
                let error = with_causes(&error);
                DeliveryError::new(format!("no stream of JetStream takes the subject {subject}: {error}"))
            })?;
            may_publish(
                &context,
                &self.settings.subject.fill_with(NO_SCOPE, NO_SCOPE, RecordKind::RunCompleted.as_str()),
            )
            .await
        }
        .boxed()
    }
}

/// Whether the user may publish to a subject. The message names a stream that does not exist, so that the server
/// checks the permission and then refuses the message.
async fn may_publish(context: &Context, subject: &str) -> Result<(), DeliveryError> {
    let message = PublishMessage::build().expected_stream("dynacrawl-check");
    let published = async { context.send_publish(subject.to_owned(), message).await?.await };
    match published.await {
        Err(error) if code_of(&error) == Some(ErrorCode::STREAM_NOT_MATCH) => Ok(()),
        Err(error) if error.kind() == PublishErrorKind::TimedOut => {
            let problem = "the server does not answer, which it does if the user may not publish to it";
            Err(DeliveryError::new(format!("publishing to {subject}: {problem}")))
        }
        Err(error) => Err(DeliveryError::new(format!("publishing to {subject}: {}", with_causes(&error)))),
        Ok(_) => Err(DeliveryError::new(format!("{subject} takes messages that are meant for another stream"))),
    }
}

fn code_of(error: &PublishError) -> Option<ErrorCode> {
    error.source().and_then(|cause| cause.downcast_ref::<jetstream::Error>()).map(jetstream::Error::error_code)
}

/// Whether the server or the stream takes no message of this size: waiting does not help.
fn is_too_large(error: &PublishError) -> bool {
    error.kind() == PublishErrorKind::MaxPayloadExceeded
        || code_of(error) == Some(ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM)
}

#[cfg(test)]
mod tests {
    use super::{SubjectError, SubjectTemplate};

    #[test]
    fn a_subject_has_parts_and_no_wildcards() {
        let parsed = |text: &str| text.parse::<SubjectTemplate>();
        let subject = parsed("dynacrawl.{account}.{region}.{kind}").expect("valid");
        assert_eq!(subject.fill_with("1", "eu-west-1", "table_added"), "dynacrawl.1.eu-west-1.table_added");
        assert_eq!(parsed("a..b"), Err(SubjectError::Empty));
        assert_eq!(parsed("a.>"), Err(SubjectError::Character('>')));
        assert_eq!(parsed("a.{table}"), Err(SubjectError::Character('{')));
    }
}
