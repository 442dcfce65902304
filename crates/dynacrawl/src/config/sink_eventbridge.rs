//! `[sink.NAME.eventbridge]`

use std::path::PathBuf;

use dynacrawl_model::{AccountId, Escaped};
use dynacrawl_sinks::{CloudEvents, EventBridgeSettings};
use serde::Deserialize;

use super::aws_identity::RawIdentity;
use super::error::ConfigError;
use super::secret::Reference;
use super::values::{cloud_events, timeout, url};

/// The default of `source`.
const SOURCE: &str = "dynacrawl";
/// The default of `timeout`.
const TIMEOUT: &str = "30s";
/// The most bytes of `source`.
const SOURCE_LENGTH: usize = 256;

/// `[sink.NAME.eventbridge]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEventBridge {
    bus: Option<String>,
    region: Option<String>,
    endpoint: Option<String>,
    source: Option<String>,
    profile: Option<String>,
    role_arn: Option<String>,
    external_id: Option<String>,
    access_key_id: Option<Reference>,
    secret_access_key: Option<Reference>,
    cloud_events: Option<String>,
    timeout: Option<String>,
    ca_bundle: Option<String>,
}

impl RawEventBridge {
    pub(super) fn validate(self, key: &impl Fn(&str) -> String) -> Result<Box<EventBridgeSettings>, ConfigError> {
        let key = |field: &str| key(&format!("eventbridge.{field}"));
        let bus = self.bus.filter(|bus| !bus.is_empty());
        let bus = bus.ok_or_else(|| {
            ConfigError::value(key("bus"), "is missing; expected the name or ARN of an event bus, such as \"default\"")
        })?;
        let name = match &bus.splitn(6, ':').collect::<Vec<_>>()[..] {
            ["arn", _, "events", _, account, rest] if account.parse::<AccountId>().is_ok() => {
                rest.strip_prefix("event-bus/").unwrap_or_default()
            }
            ["arn", ..] => "",
            _ => &bus,
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/');
        if name.is_empty() || name.len() > 256 || !name.chars().all(is_name) {
            let problem = format!("'{}' is not the name or ARN of an event bus", Escaped(&bus));
            return Err(ConfigError::value(key("bus"), problem));
        }
        let region = self.region.filter(|region| !region.is_empty());
        let region =
            region.ok_or_else(|| ConfigError::value(key("region"), "is missing; expected the event bus's Region"))?;
        let region = region.parse().map_err(|error| ConfigError::value(key("region"), error))?;
        if let Some(of_bus) = bus.strip_prefix("arn:").and_then(|arn| arn.split(':').nth(2))
            && of_bus != format!("{region}")
        {
            let problem = format!("{region} is not the Region of bus, {}", Escaped(of_bus));
            return Err(ConfigError::value(key("region"), problem));
        }
        let source = self.source.unwrap_or_else(|| SOURCE.to_owned());
        if source.is_empty() || source.len() > SOURCE_LENGTH || source.chars().any(char::is_control) {
            let problem = format!("expected a text of 1 to {SOURCE_LENGTH} bytes");
            return Err(ConfigError::value(key("source"), problem));
        }
        if source.starts_with("aws.") {
            let problem = format!("'{}' begins with \"aws.\", which only AWS's own events may have", Escaped(&source));
            return Err(ConfigError::value(key("source"), problem));
        }
        let cloud_events = cloud_events(&key("cloud_events"), self.cloud_events.as_deref())?;
        if cloud_events == CloudEvents::Binary {
            let problem =
                "\"binary\" has attributes in headers, which events of EventBridge do not have; use \"structured\"";
            return Err(ConfigError::value(key("cloud_events"), problem));
        }
        let identity = RawIdentity {
            profile: self.profile,
            role_arn: self.role_arn,
            external_id: self.external_id,
            access_key_id: self.access_key_id,
            secret_access_key: self.secret_access_key,
        };
        Ok(Box::new(EventBridgeSettings {
            bus,
            region,
            endpoint: url(&key("endpoint"), self.endpoint)?,
            identity: identity.validate(&key)?,
            source,
            cloud_events,
            timeout: timeout(&key("timeout"), Some(self.timeout.as_deref().unwrap_or(TIMEOUT)))?,
            ca_bundle: self.ca_bundle.filter(|path| !path.is_empty()).map(PathBuf::from),
        }))
    }
}

#[cfg(test)]
mod tests {
    use dynacrawl_sinks::SinkKind;

    use crate::config::{Config, Layer};

    fn config(section: &str) -> Result<SinkKind, String> {
        let mut layer = Layer::reference();
        let text = format!("[sink.bus.eventbridge]\n{section}");
        layer.overlay(Layer::parse(&text, "test").map_err(|error| error.to_string())?);
        let config = Config::validate(layer).map_err(|error| error.to_string())?;
        Ok(config.run.sinks[0].sink.kind.clone())
    }

    #[test]
    fn a_bus_has_defaults() {
        let kind =
            config("bus = \"arn:aws:events:eu-west-1:111122223333:event-bus/metadata\"\nregion = \"eu-west-1\"\n");
        let Ok(SinkKind::EventBridge(bus)) = kind else { panic!("an event bus: {kind:?}") };
        assert_eq!((bus.source.as_str(), bus.timeout.as_secs()), ("dynacrawl", 30));
    }

    #[test]
    fn wrong_values_are_named() {
        let bus = "bus = \"default\"\nregion = \"eu-west-1\"\n";
        for (text, problem) in [
            ("region = \"eu-west-1\"\n".to_owned(), "sink.bus.eventbridge.bus: is missing"),
            ("bus = \"a b\"\nregion = \"eu-west-1\"\n".to_owned(), "sink.bus.eventbridge.bus: 'a b' is not the name"),
            (
                "bus = \"arn:aws:sqs:x:111122223333:event-bus/q\"\n".to_owned(),
                "sink.bus.eventbridge.bus: 'arn:aws:sqs:x:",
            ),
            ("bus = \"default\"\n".to_owned(), "sink.bus.eventbridge.region: is missing"),
            (
                "bus = \"arn:aws:events:eu-west-2:111122223333:event-bus/a\"\nregion = \"eu-west-1\"\n".to_owned(),
                "sink.bus.eventbridge.region: eu-west-1 is not the Region of bus, eu-west-2",
            ),
            (format!("{bus}source = \"aws.dynamodb\"\n"), "sink.bus.eventbridge.source: 'aws.dynamodb' begins with"),
            (format!("{bus}timeout = \"10m\"\n"), "sink.bus.eventbridge.timeout: is out of range"),
            (format!("{bus}source = \"\"\n"), "sink.bus.eventbridge.source: expected a text"),
            (format!("{bus}cloud_events = \"binary\"\n"), "sink.bus.eventbridge.cloud_events: \"binary\" has"),
            (format!("{bus}external_id = \"x\"\n"), "sink.bus.eventbridge.external_id: needs role_arn"),
            (format!("{bus}secret_access_key = \"hunter2\"\n"), "{ env = \"NAME\" }"),
        ] {
            let error = config(&text).map(drop).expect_err(&text);
            assert!(error.contains(problem) && !error.contains("hunter2"), "{error}");
        }
    }
}
