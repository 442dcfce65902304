//! `[export]`: how tables are named in catalogs.

use std::collections::BTreeMap;

use dynacrawl_catalogs::Template;
use dynacrawl_catalogs::atlan::{Atlan, Connection};
use dynacrawl_catalogs::datahub::{DataHub, ENVIRONMENTS};
use dynacrawl_catalogs::openmetadata::{Names, OpenMetadata};
use dynacrawl_engine::settings::scopes;
use dynacrawl_model::Escaped;

use super::error::ConfigError;
use super::raw;
use super::values::{one_of, required};

/// The settings of each catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportSettings {
    /// DataHub.
    pub datahub: DataHub,
    /// OpenMetadata.
    pub openmetadata: OpenMetadata,
    /// Atlan.
    pub atlan: Atlan,
}

impl raw::Export {
    pub(super) fn validate(self) -> Result<ExportSettings, ConfigError> {
        let (datahub, openmetadata) = (self.datahub.validate()?, self.openmetadata.validate()?);
        Ok(ExportSettings { datahub, openmetadata, atlan: self.atlan.validate()? })
    }
}

impl raw::ExportDataHub {
    fn validate(self) -> Result<DataHub, ConfigError> {
        let key = |field: &str| match field {
            "env" => "export.datahub.env (--env)".to_owned(),
            other => format!("export.datahub.{other} (--platform-instance)"),
        };
        let env = required(&key("env"), self.env)?;
        datahub(env, &required(&key("platform_instance"), self.platform_instance)?, &key)
    }
}

impl raw::ExportOpenMetadata {
    fn validate(self) -> Result<OpenMetadata, ConfigError> {
        let key = |field: &str| format!("export.openmetadata.{field} (--{field})");
        openmetadata(&required(&key("names"), self.names)?, self.service, &key)
    }
}

/// How DataHub names tables.
pub(super) fn datahub(
    env: String,
    platform_instance: &str,
    key: &impl Fn(&str) -> String,
) -> Result<DataHub, ConfigError> {
    if !ENVIRONMENTS.contains(&env.as_str()) {
        return Err(one_of(&key("env"), &env, &ENVIRONMENTS));
    }
    Ok(DataHub { env, platform_instance: template(&key("platform_instance"), platform_instance)? })
}

/// How OpenMetadata names tables.
pub(super) fn openmetadata(
    names: &str,
    service: Option<String>,
    key: &impl Fn(&str) -> String,
) -> Result<OpenMetadata, ConfigError> {
    let names = match names {
        "scoped" => {
            let service = service.unwrap_or_else(|| "dynamodb".to_owned());
            let parsed = template(&key("service"), &service)?;
            if parsed.has_account() || parsed.has_region() {
                let problem = "has a placeholder, but names = \"scoped\" has one service for all accounts and Regions";
                return Err(ConfigError::value(key("service"), problem));
            }
            Names::Scoped { service: parsed.to_string() }
        }
        "connector" => {
            let service = service.unwrap_or_else(|| "dynamodb-{account}-{region}".to_owned());
            Names::Connector { service: template(&key("service"), &service)? }
        }
        other => return Err(one_of(&key("names"), other, &["scoped", "connector"])),
    };
    Ok(OpenMetadata { names })
}

impl raw::ExportAtlan {
    fn validate(self) -> Result<Atlan, ConfigError> {
        atlan(self.connections.unwrap_or_default(), "export.atlan.connections (--connection)")
    }
}

/// The connections of Atlan.
pub(super) fn atlan(raw: BTreeMap<String, String>, key: &str) -> Result<Atlan, ConfigError> {
    let mut connections = BTreeMap::new();
    for (scope, connection) in raw {
        let shown = Escaped(&scope).to_string();
        let named = scopes(key, std::slice::from_ref(&scope))?;
        let parsed: Connection = connection.parse().map_err(|error| {
            ConfigError::value(key, format!("'{}' of {shown} is not a connection: {error}", Escaped(&connection)))
        })?;
        if let Some((other, _)) = connections.iter().find(|(_, other)| **other == parsed) {
            let problem =
                format!("{shown} and {other} have the same connection; each account and Region needs its own");
            return Err(ConfigError::value(key, problem));
        }
        connections.extend(named.iter().map(|(account, region)| (format!("{account}/{region}"), parsed.clone())));
    }
    Ok(Atlan { connections })
}

fn template(key: &str, text: &str) -> Result<Template, ConfigError> {
    text.parse().map_err(|error| ConfigError::value(key, format!("'{}' {error}", Escaped(text))))
}

#[cfg(test)]
mod tests {
    use super::raw::Export;
    use crate::config::{Config, Layer};

    fn config(text: &str) -> Result<Config, String> {
        let mut layer = Layer::reference();
        layer.overlay(Layer::parse(text, "test").map_err(|error| error.to_string())?);
        Config::validate(layer).map_err(|error| error.to_string())
    }

    #[test]
    fn names_that_could_collide_are_refused() {
        let valid =
            config("[export.openmetadata]\nnames = \"connector\"\n[export.datahub]\nenv = \"DEV\"\n").expect("valid");
        assert_eq!(valid.export.datahub.env, "DEV");
        for (text, problem) in [
            ("[export.datahub]\nenv = \"prod\"\n", "export.datahub.env (--env)"),
            ("[export.datahub]\nplatform_instance = \"{account},x\"\n", "has the character ','"),
            ("[export.openmetadata]\nnames = \"other\"\n", "export.openmetadata.names (--names)"),
            ("[export.openmetadata]\nservice = \"a-{region}\"\n", "has one service"),
            ("[export.atlan]\nconnections = { \"eu-west-1\" = \"default/dynamodb/1\" }\n", "--connection"),
            (
                "[export.atlan]\nconnections = { \"111122223333/eu-west-1\" = \"dynamodb/1\" }\n",
                "expected default/dynamodb/EPOCH",
            ),
            (
                "[export.atlan.connections]\n\"111122223333/eu-west-1\" = \"default/dynamodb/1\"\n\
                 \"111122223333/eu-west-2\" = \"default/dynamodb/1\"\n",
                "have the same connection",
            ),
        ] {
            let error = config(text).map(drop).expect_err(text);
            assert!(error.contains(problem), "{error}");
        }
        assert!(Export::default().validate().is_err(), "the reference has the defaults");
    }
}
