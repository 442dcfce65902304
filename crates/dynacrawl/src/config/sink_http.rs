//! `[sink.NAME.http]`

use std::collections::BTreeMap;
use std::path::PathBuf;

use dynacrawl_model::Escaped;
use dynacrawl_sinks::{CloudEvents, HttpAuth, HttpSettings, RESERVED_HEADERS};
use serde::Deserialize;

use super::error::ConfigError;
use super::secret::Reference;
use super::values::{cloud_events, one_of, timeout, url};

/// The default of `timeout`.
const TIMEOUT: &str = "30s";

/// `[sink.NAME.http]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHttp {
    url: Option<String>,
    format: Option<String>,
    gzip: Option<bool>,
    headers: Option<BTreeMap<String, String>>,
    bearer: Option<Reference>,
    basic: Option<RawBasic>,
    signing_key: Option<Reference>,
    cloud_events: Option<String>,
    timeout: Option<String>,
    ca_bundle: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBasic {
    user: String,
    password: Reference,
}

impl RawHttp {
    pub(super) fn validate(self, key: &impl Fn(&str) -> String) -> Result<HttpSettings, ConfigError> {
        let key = |field: &str| key(&format!("http.{field}"));
        let text = self.url.unwrap_or_default();
        let (base, query) = text.split_once('?').unwrap_or((&text, ""));
        let missing = || ConfigError::value(key("url"), "is missing; expected the form https://host/path");
        url(&key("url"), Some(base.to_owned()))?.ok_or_else(missing)?;
        if !query.bytes().all(|b| b.is_ascii_graphic() && b != b'#') {
            return Err(ConfigError::value(key("url"), "has a query with characters that must be percent-encoded"));
        }
        let single = match self.format.as_deref().unwrap_or("ndjson") {
            "ndjson" => false,
            "single" => true,
            other => return Err(one_of(&key("format"), other, &["ndjson", "single"])),
        };
        let cloud_events = cloud_events(&key("cloud_events"), self.cloud_events.as_deref())?;
        if cloud_events == CloudEvents::Binary && !single {
            let problem = "\"binary\" has the attributes of one event in headers; it needs format = \"single\"";
            return Err(ConfigError::value(key("cloud_events"), problem));
        }
        let auth = match (self.bearer, self.basic) {
            (Some(_), Some(_)) => {
                return Err(ConfigError::value(key("bearer"), "cannot be used together with basic"));
            }
            (Some(token), None) => Some(HttpAuth::Bearer(token.validate(&key("bearer"))?)),
            (None, Some(RawBasic { user, password })) => {
                if user.contains(|c: char| c == ':' || c.is_control()) {
                    return Err(ConfigError::value(key("basic.user"), "must not have a colon or control characters"));
                }
                Some(HttpAuth::Basic { user, password: password.validate(&key("basic.password"))? })
            }
            (None, None) => None,
        };
        let timeout = timeout(&key("timeout"), Some(self.timeout.as_deref().unwrap_or(TIMEOUT)))?;
        Ok(HttpSettings {
            url: text,
            single,
            gzip: self.gzip.unwrap_or_default(),
            headers: headers(self.headers.unwrap_or_default(), &key("headers"))?,
            auth,
            signing_key: self.signing_key.map(|raw| raw.validate(&key("signing_key"))).transpose()?,
            cloud_events,
            timeout,
            ca_bundle: self.ca_bundle.filter(|path| !path.is_empty()).map(PathBuf::from),
        })
    }
}

fn headers(raw: BTreeMap<String, String>, key: &str) -> Result<Vec<(String, String)>, ConfigError> {
    for (name, value) in &raw {
        let shown = Escaped(name);
        if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
            return Err(ConfigError::value(key, format!("'{shown}' is not the name of a header")));
        }
        let lower = name.to_ascii_lowercase();
        if RESERVED_HEADERS.contains(&lower.as_str()) || lower.starts_with("ce-") {
            let problem = format!("{shown} is set by dynacrawl; use bearer, basic, signing_key or cloud_events");
            return Err(ConfigError::value(key, problem));
        }
        if http::HeaderValue::from_str(value).is_err() {
            return Err(ConfigError::value(
                key,
                format!("the value of {shown} has characters that no header can have"),
            ));
        }
    }
    Ok(raw.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use dynacrawl_sinks::{CloudEvents, HttpAuth, SecretRef, SinkKind};

    use crate::config::{Config, Layer};

    fn config(section: &str) -> Result<Config, String> {
        let mut layer = Layer::reference();
        let text = format!("[sink.hook.http]\n{section}");
        layer.overlay(Layer::parse(&text, "test").map_err(|error| error.to_string())?);
        Config::validate(layer).map_err(|error| error.to_string())
    }

    #[test]
    fn every_key_has_its_place() {
        let text = "url = \"https://example.com/events?team=a\"\nformat = \"single\"\ngzip = true\n\
                    headers = { X-Team = \"data\" }\nbasic = { user = \"u\", password = { env = \"P\" } }\n\
                    signing_key = { file = \"/k\" }\ncloud_events = \"binary\"\ntimeout = \"5s\"\n";
        let settings = config(text).expect("valid").run.sinks;
        let SinkKind::Http(http) = &settings[0].sink.kind else { panic!("http") };
        assert!(http.single && http.gzip && http.cloud_events == CloudEvents::Binary);
        assert_eq!(http.headers, [("X-Team".to_owned(), "data".to_owned())]);
        let password = SecretRef::Env("P".to_owned());
        assert_eq!(http.auth, Some(HttpAuth::Basic { user: "u".to_owned(), password }));
        assert_eq!(http.signing_key, Some(SecretRef::File("/k".into())));
    }

    #[test]
    fn wrong_values_are_named() {
        for (text, problem) in [
            ("gzip = true\n", "sink.hook.http.url: is missing"),
            ("url = \"ftp://a\"\n", "sink.hook.http.url"),
            ("url = \"https://user:pass@a/\"\n", "sink.hook.http.url: not a URL"),
            ("url = \"https://a\"\nformat = \"xml\"\n", "sink.hook.http.format"),
            ("url = \"https://a\"\ncloud_events = \"binary\"\n", "needs format = \"single\""),
            ("url = \"https://a\"\nheaders = { Authorization = \"x\" }\n", "Authorization is set by dynacrawl"),
            ("url = \"https://a\"\nheaders = { \"a b\" = \"x\" }\n", "'a b' is not the name of a header"),
            ("url = \"https://a\"\ntimeout = \"1h\"\n", "sink.hook.http.timeout: is out of range"),
            (
                "url = \"https://a\"\nbearer = { env = \"A\" }\nbasic = { user = \"u\", password = { env = \"P\" } }\n",
                "together",
            ),
        ] {
            let error = config(text).map(drop).expect_err(text);
            assert!(error.contains(problem), "{error}");
        }
        let secret = config("url = \"https://a\"\nbearer = \"hunter2\"\n").map(drop).expect_err("a secret");
        assert!(secret.contains("{ env = \"NAME\" }") && !secret.contains("hunter2"), "{secret}");
    }
}
