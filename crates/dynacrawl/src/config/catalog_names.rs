//! How catalogs name tables, for exports and for sinks.

use std::collections::BTreeMap;

use dynacrawl_catalogs::Template;
use dynacrawl_catalogs::atlan::{Atlan, Connection};
use dynacrawl_catalogs::datahub::{DataHub, ENVIRONMENTS};
use dynacrawl_catalogs::openmetadata::{Names, OpenMetadata};
use dynacrawl_engine::settings::scopes;
use dynacrawl_model::Escaped;

use super::error::ConfigError;
use super::values::one_of;

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
