//! `[log]` and `[telemetry]`: which messages dynacrawl shows, and where it sends spans.

use super::error::ConfigError;
use super::raw;
use super::values::{one_of, required, url};

/// Which messages dynacrawl shows, and where it sends spans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// Which messages are shown. `None`: the default of the command.
    pub level: Option<LogLevel>,
    /// How messages are shown.
    pub format: LogFormat,
    /// The endpoint for OpenTelemetry spans, if any.
    pub otlp_endpoint: Option<String>,
}

/// Which messages are shown.
pub type LogLevel = tracing::level_filters::LevelFilter;

/// How messages are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object for each line.
    Json,
}

impl raw::Log {
    pub(super) fn validate(self, telemetry: raw::Telemetry) -> Result<LogSettings, ConfigError> {
        Ok(LogSettings {
            level: self.level.as_deref().map(level).transpose()?,
            format: match required("log.format (--log-format)", self.format)?.as_str() {
                "text" => LogFormat::Text,
                "json" => LogFormat::Json,
                other => return Err(one_of("log.format (--log-format)", other, &["text", "json"])),
            },
            otlp_endpoint: url("telemetry.otlp_endpoint (--otlp-endpoint)", telemetry.otlp_endpoint)?,
        })
    }
}

fn level(level: &str) -> Result<LogLevel, ConfigError> {
    match level {
        "error" => Ok(LogLevel::ERROR),
        "warn" => Ok(LogLevel::WARN),
        "info" => Ok(LogLevel::INFO),
        "debug" => Ok(LogLevel::DEBUG),
        "trace" => Ok(LogLevel::TRACE),
        other => Err(one_of("log.level (--log-level)", other, &["error", "warn", "info", "debug", "trace"])),
    }
}
