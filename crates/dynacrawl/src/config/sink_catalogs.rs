//! `[sink.NAME.datahub]`, `[sink.NAME.openmetadata]` and `[sink.NAME.atlan]`

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use dynacrawl_sinks::{ApiSettings, AtlanSettings, CatalogSettings, DataHubSettings, OpenMetadataSettings};
use serde::Deserialize;

use super::catalog_names;
use super::error::ConfigError;
use super::secret::Reference;
use super::values::{duration, one_of, url};

/// The default of `timeout`: a server may work on a request for most of a minute.
const TIMEOUT: &str = "60s";
/// The longest `timeout`: an attempt of the driver takes no longer.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(300);
/// The default of `stats_every`.
const STATS_EVERY: &str = "24h";

/// `[sink.NAME.datahub]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDataHub {
    url: Option<String>,
    token: Option<Reference>,
    env: Option<String>,
    platform_instance: Option<String>,
    on_retired: Option<String>,
    stats_every: Option<String>,
    timeout: Option<String>,
    ca_bundle: Option<String>,
}

/// `[sink.NAME.openmetadata]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawOpenMetadata {
    url: Option<String>,
    token: Option<Reference>,
    names: Option<String>,
    service: Option<String>,
    on_retired: Option<String>,
    stats_every: Option<String>,
    timeout: Option<String>,
    ca_bundle: Option<String>,
}

/// `[sink.NAME.atlan]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAtlan {
    url: Option<String>,
    token: Option<Reference>,
    connections: Option<BTreeMap<String, String>>,
    on_retired: Option<String>,
    stats_every: Option<String>,
    timeout: Option<String>,
    ca_bundle: Option<String>,
}

impl RawAtlan {
    pub(super) fn validate(self, key: &impl Fn(&str) -> String) -> Result<Box<AtlanSettings>, ConfigError> {
        let key = |field: &str| key(&format!("atlan.{field}"));
        if self.token.is_none() {
            let problem = "is missing; expected where an API token is, such as { env = \"ATLAN_TOKEN\" }";
            return Err(ConfigError::value(key("token"), problem));
        }
        let catalog = catalog_names::atlan(self.connections.unwrap_or_default(), &key("connections"))?;
        if catalog.connections.is_empty() {
            let problem =
                "is missing; expected the form { \"123456789012/eu-west-1\" = \"default/dynamodb/1735689600\" }";
            return Err(ConfigError::value(key("connections"), problem));
        }
        // Atlan recommends to wait longer than for others.
        let timeout = self.timeout.as_deref().or(Some("120s"));
        Ok(Box::new(AtlanSettings {
            api: api(self.url, self.token, timeout, self.ca_bundle, &key)?,
            catalog,
            follow: follow(self.on_retired.as_deref(), self.stats_every.as_deref(), &key)?,
        }))
    }
}

impl RawDataHub {
    pub(super) fn validate(self, key: &impl Fn(&str) -> String) -> Result<Box<DataHubSettings>, ConfigError> {
        let key = |field: &str| key(&format!("datahub.{field}"));
        let env = self.env.unwrap_or_else(|| "PROD".to_owned());
        let instance = self.platform_instance.as_deref().unwrap_or("{account}");
        Ok(Box::new(DataHubSettings {
            api: api(self.url, self.token, self.timeout.as_deref(), self.ca_bundle, &key)?,
            catalog: catalog_names::datahub(env, instance, &key)?,
            follow: follow(self.on_retired.as_deref(), self.stats_every.as_deref(), &key)?,
        }))
    }
}

impl RawOpenMetadata {
    pub(super) fn validate(self, key: &impl Fn(&str) -> String) -> Result<Box<OpenMetadataSettings>, ConfigError> {
        let key = |field: &str| key(&format!("openmetadata.{field}"));
        if self.token.is_none() {
            let problem = "is missing; expected where the token of a bot is, such as { env = \"OPENMETADATA_TOKEN\" }";
            return Err(ConfigError::value(key("token"), problem));
        }
        Ok(Box::new(OpenMetadataSettings {
            api: api(self.url, self.token, self.timeout.as_deref(), self.ca_bundle, &key)?,
            catalog: catalog_names::openmetadata(self.names.as_deref().unwrap_or("scoped"), self.service, &key)?,
            follow: follow(self.on_retired.as_deref(), self.stats_every.as_deref(), &key)?,
        }))
    }
}

fn api(
    address: Option<String>,
    token: Option<Reference>,
    timeout: Option<&str>,
    ca_bundle: Option<String>,
    key: &impl Fn(&str) -> String,
) -> Result<ApiSettings, ConfigError> {
    let missing = || ConfigError::value(key("url"), "is missing; expected the form https://host");
    let address = url(&key("url"), address)?.ok_or_else(missing)?;
    let timeout = duration(&key("timeout"), Some(timeout.unwrap_or(TIMEOUT)))?;
    if timeout > LONGEST_TIMEOUT {
        return Err(ConfigError::value(key("timeout"), "is out of range; expected at most 5m"));
    }
    Ok(ApiSettings {
        url: address.trim_end_matches('/').to_owned(),
        token: token.map(|raw| raw.validate(&key("token"))).transpose()?,
        timeout,
        ca_bundle: ca_bundle.filter(|path| !path.is_empty()).map(PathBuf::from),
    })
}

fn follow(
    on_retired: Option<&str>,
    stats_every: Option<&str>,
    key: &impl Fn(&str) -> String,
) -> Result<CatalogSettings, ConfigError> {
    let remove_retired = match on_retired.unwrap_or("keep") {
        "keep" => false,
        "remove" => true,
        other => return Err(one_of(&key("on_retired"), other, &["keep", "remove"])),
    };
    Ok(CatalogSettings {
        remove_retired,
        stats_every: duration(&key("stats_every"), Some(stats_every.unwrap_or(STATS_EVERY)))?,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use dynacrawl_sinks::SinkKind;

    use crate::config::Config;

    fn config(text: &str) -> Result<SinkKind, String> {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("test.toml");
        std::fs::write(&file, text).expect("written");
        let error = |error: crate::config::ConfigError| error.to_string();
        let config = Config::check_file(&file)
            .map_err(error)
            .map_err(|error| error.split_once(": ").expect("a file").1.to_owned())?;
        Ok(config.run.sinks[0].sink.kind.clone())
    }

    #[test]
    fn a_catalog_has_defaults() {
        let kind = config("[sink.hub.datahub]\nurl = \"https://hub/api/gms/\"\n").expect("valid");
        let SinkKind::DataHub(hub) = kind else { panic!("DataHub") };
        assert_eq!((hub.api.url.as_str(), hub.catalog.env.as_str()), ("https://hub/api/gms", "PROD"));
        assert_eq!((hub.follow.remove_retired, hub.follow.stats_every), (false, Duration::from_secs(24 * 3600)));
    }

    #[test]
    fn an_error_names_the_key_and_what_would_be_right() {
        for (text, problem) in [
            ("[sink.a.datahub]\n", "sink.a.datahub.url: is missing; expected the form https://host"),
            ("[sink.a.datahub]\nurl = \"hub\"\n", "sink.a.datahub.url: "),
            ("[sink.a.datahub]\nurl = \"https://a\"\nenv = \"prod\"\n", "sink.a.datahub.env: 'prod' is unknown"),
            ("[sink.a.datahub]\nurl = \"https://a\"\non_retired = \"drop\"\n", "sink.a.datahub.on_retired: 'drop'"),
            ("[sink.a.datahub]\nurl = \"https://a\"\nstats_every = \"x\"\n", "sink.a.datahub.stats_every: 'x' is"),
            ("[sink.a.datahub]\nurl = \"https://a\"\ntimeout = \"1h\"\n", "sink.a.datahub.timeout: is out of range"),
            ("[sink.a.openmetadata]\nurl = \"https://a\"\n", "sink.a.openmetadata.token: is missing; expected"),
            (
                "[sink.a.openmetadata]\nurl = \"https://a\"\ntoken = { env = \"T\" }\nnames = \"x\"\n",
                "sink.a.openmetadata.names: 'x' is unknown",
            ),
            (
                "[sink.a.openmetadata]\nurl = \"https://a\"\ntoken = { env = \"T\" }\nservice = \"{region}\"\n",
                "sink.a.openmetadata.service: has a placeholder",
            ),
            (
                "[sink.a.atlan]\nurl = \"https://a\"\ntoken = { env = \"T\" }\n",
                "sink.a.atlan.connections: is missing; expected the form",
            ),
            (
                "[sink.a.atlan]\nurl = \"https://a\"\ntoken = { env = \"T\" }\nconnections = { \"x\" = \"default/dynamodb/1\" }\n",
                "sink.a.atlan.connections: ",
            ),
            ("[sink.a]\nrecords = [\"table\"]\n[sink.a.datahub]\nurl = \"https://a\"\n", "sink.a.records: "),
        ] {
            let error = config(text).map(drop).expect_err(text);
            assert!(error.starts_with(problem), "{error}");
        }
    }

    #[test]
    fn a_token_in_the_file_is_not_repeated() {
        let error =
            config("[sink.a.datahub]\nurl = \"https://a\"\ntoken = \"hunter2\"\n").map(drop).expect_err("a secret");
        assert!(!error.contains("hunter2"), "{error}");
    }
}
