//! `[export]`: how tables are named in catalogs.

use dynacrawl_catalogs::atlan::Atlan;
use dynacrawl_catalogs::datahub::DataHub;
use dynacrawl_catalogs::openmetadata::OpenMetadata;

use super::catalog_names::{atlan, datahub, openmetadata};
use super::error::ConfigError;
use super::raw;
use super::values::required;

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

impl raw::ExportAtlan {
    fn validate(self) -> Result<Atlan, ConfigError> {
        atlan(self.connections.unwrap_or_default(), "export.atlan.connections (--connection)")
    }
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
