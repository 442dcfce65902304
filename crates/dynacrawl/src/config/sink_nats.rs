//! `[sink.NAME.nats]`

use std::path::PathBuf;

use dynacrawl_model::Escaped;
use dynacrawl_sinks::{NatsAuth, NatsSettings};
use serde::Deserialize;

use super::error::ConfigError;
use super::secret::Reference;
use super::values::{cloud_events, duration};

/// The default of `subject`.
const SUBJECT: &str = "dynacrawl.{account}.{region}.{kind}";
/// The default of `timeout`.
const TIMEOUT: &str = "10s";

/// `[sink.NAME.nats]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawNats {
    servers: Option<Vec<String>>,
    subject: Option<String>,
    credentials_file: Option<String>,
    token: Option<Reference>,
    user: Option<String>,
    password: Option<Reference>,
    cloud_events: Option<String>,
    timeout: Option<String>,
    ca_bundle: Option<String>,
}

impl RawNats {
    pub(super) fn validate(self, key: &impl Fn(&str) -> String) -> Result<NatsSettings, ConfigError> {
        let key = |field: &str| key(&format!("nats.{field}"));
        let servers = self.servers.clone().unwrap_or_default();
        if servers.is_empty() {
            return Err(ConfigError::value(key("servers"), "is missing; expected the form [\"nats://host:4222\"]"));
        }
        for server in &servers {
            let host = ["nats://", "tls://"].iter().find_map(|scheme| server.strip_prefix(scheme));
            let is_plain = |host: &str| {
                !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._[]:".contains(&b))
            };
            if !host.is_some_and(is_plain) {
                // It may hold a password, so it is not repeated.
                let problem =
                    "has a server that is not of the form nats://host:port or tls://host:port, without a user";
                return Err(ConfigError::value(key("servers"), problem));
            }
        }
        let subject = self.subject.as_deref().unwrap_or(SUBJECT);
        let subject = subject
            .parse()
            .map_err(|error| ConfigError::value(key("subject"), format!("'{}' {error}", Escaped(subject))))?;
        Ok(NatsSettings {
            servers,
            subject,
            cloud_events: cloud_events(&key("cloud_events"), self.cloud_events.as_deref())?,
            timeout: duration(&key("timeout"), Some(self.timeout.as_deref().unwrap_or(TIMEOUT)))?,
            ca_bundle: self.ca_bundle.clone().filter(|path| !path.is_empty()).map(PathBuf::from),
            auth: self.auth(&key)?,
        })
    }

    fn auth(self, key: &impl Fn(&str) -> String) -> Result<Option<NatsAuth>, ConfigError> {
        let file = self.credentials_file.filter(|path| !path.is_empty()).map(PathBuf::from);
        match (file, self.token, self.user, self.password) {
            (None, None, None, None) => Ok(None),
            (Some(path), None, None, None) => Ok(Some(NatsAuth::CredentialsFile(path))),
            (None, Some(token), None, None) => Ok(Some(NatsAuth::Token(token.validate(&key("token"))?))),
            (None, None, Some(user), Some(password)) => {
                Ok(Some(NatsAuth::User { user, password: password.validate(&key("password"))? }))
            }
            _ => {
                let problem = "needs one of credentials_file, token, and user with password";
                Err(ConfigError::value(key("user"), problem))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Layer};

    #[test]
    fn wrong_values_are_named() {
        let config = |section: &str| {
            let mut layer = Layer::reference();
            let text = format!("[sink.bus.nats]\n{section}");
            layer.overlay(Layer::parse(&text, "test").map_err(|error| error.to_string())?);
            Config::validate(layer).map_err(|error| error.to_string())
        };
        let server = "servers = [\"nats://localhost:4222\"]\n";
        assert!(config(&format!("{server}user = \"u\"\npassword = {{ env = \"P\" }}\n")).is_ok());
        for (text, problem) in [
            ("timeout = \"1s\"\n".to_owned(), "sink.bus.nats.servers: is missing"),
            ("servers = [\"nats://u:p@a\"]\n".to_owned(), "sink.bus.nats.servers: has a server"),
            (format!("{server}subject = \"a.*\"\n"), "sink.bus.nats.subject: 'a.*' has the character '*'"),
            (format!("{server}user = \"u\"\n"), "sink.bus.nats.user: needs one of"),
            (format!("{server}cloud_events = \"yes\"\n"), "sink.bus.nats.cloud_events"),
            (format!("{server}token = \"hunter2\"\n"), "{ env = \"NAME\" }"),
        ] {
            let error = config(&text).map(drop).expect_err(&text);
            assert!(error.contains(problem) && !error.contains("hunter2"), "{error}");
        }
    }
}
