//! Standard error: messages, and on a terminal a line that shows the progress of the run.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use dynacrawl_engine::Progress;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{ConfigError, LogFormat, LogLevel, LogSettings};
use crate::telemetry::{self, Telemetry};

/// Standard error. Messages and the progress line do not overwrite each other.
#[derive(Clone, Debug)]
pub struct Terminal {
    bars: MultiProgress,
}

impl Terminal {
    /// Takes over standard error.
    pub fn new() -> Self {
        let target =
            if io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self { bars: MultiProgress::with_draw_target(target) }
    }

    /// Starts to show messages. Only dynacrawl's own follow `level`. Of the SDK and the HTTP stack
    /// only errors are shown: their other messages quote whole requests and responses, with session
    /// tokens.
    ///
    /// # Errors
    /// If the settings name an endpoint for spans, and dynacrawl cannot send spans to it.
    pub fn show_messages(&self, settings: &LogSettings, default: LogLevel) -> Result<Telemetry, ConfigError> {
        let level = settings.level.unwrap_or(default);
        let filter = Targets::new().with_default(LogLevel::ERROR).with_target("dynacrawl", level);
        let layer = tracing_subscriber::fmt::layer().with_writer(self.clone());
        let layer = match settings.format {
            LogFormat::Json => layer.json().flatten_event(true).boxed(),
            LogFormat::Text => layer.with_ansi(io::stderr().is_terminal()).with_target(false).boxed(),
        };
        let (telemetry, spans) = telemetry::spans(settings.otlp_endpoint.as_deref())?;
        tracing_subscriber::registry().with(layer.with_filter(filter)).with(spans).init();
        Ok(telemetry)
    }

    /// Writes text unchanged.
    pub fn write(&self, text: &str) {
        self.bars.suspend(|| {
            // If standard error is closed, there is nowhere to report it.
            let _ = io::stderr().write_all(text.as_bytes());
        });
    }

    /// Shows the progress of the run until the future is dropped. Shows nothing if standard error
    /// is not a terminal.
    pub async fn follow(&self, progress: &Arc<Progress>) {
        if self.bars.is_hidden() {
            return std::future::pending().await;
        }
        let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})")
            .unwrap_or_else(|_| ProgressStyle::default_spinner());
        let line = Cleared(self.bars.add(ProgressBar::new_spinner().with_style(style)));
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        loop {
            tick.tick().await;
            let now = progress.now();
            line.0.set_message(format!(
                "{} of {} scopes, {} tables listed, {} described, {} failed",
                now.scopes_ended, now.scopes_planned, now.listed, now.described, now.failed
            ));
            line.0.tick();
        }
    }
}

impl Default for Terminal {
    fn default() -> Self {
        Self::new()
    }
}

/// A progress line that is cleared when it is dropped.
struct Cleared(ProgressBar);

impl Drop for Cleared {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

impl<'a> MakeWriter<'a> for Terminal {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Write for Terminal {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bars.suspend(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
