//! `[check]`

use super::error::ConfigError;
use super::raw;
use super::values::{in_range, one_of, required};

/// The settings of `dynacrawl check`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckSettings {
    /// How many tables of a scope to describe.
    pub tables: usize,
    /// How to show the findings.
    pub format: CheckFormat,
    /// Whether to try to assume roles without their external id, too.
    pub external_id_probe: bool,
}

/// How `dynacrawl check` shows its findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckFormat {
    /// For people.
    Text,
    /// One JSON object.
    Json,
}

impl raw::Check {
    pub(super) fn validate(self) -> Result<CheckSettings, ConfigError> {
        Ok(CheckSettings {
            tables: match (required("check.all", self.all)?, self.tables) {
                (true, _) => usize::MAX,
                (false, tables) => in_range("check.tables", tables, 1, 10_000)?,
            },
            format: match required("check.format (--format)", self.format)?.as_str() {
                "text" => CheckFormat::Text,
                "json" => CheckFormat::Json,
                other => return Err(one_of("check.format (--format)", other, &["text", "json"])),
            },
            external_id_probe: required("check.external_id_probe", self.external_id_probe)?,
        })
    }
}
