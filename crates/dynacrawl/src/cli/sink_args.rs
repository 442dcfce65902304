//! The arguments of the commands about sinks. The first line of a comment is what `-h` shows.

use clap::Args;

use super::args::{Format, ReadArgs};

/// `dynacrawl sinks`
#[derive(Clone, Debug, Default, Args)]
#[command(after_long_help = "\
Examples:
  dynacrawl sinks --state crawl.db
  dynacrawl sinks --state crawl.db --format json | jq 'select(.owed > 0)'")]
pub struct SinksArgs {
    /// Which state.
    #[command(flatten)]
    pub read: ReadArgs,
}

/// `dynacrawl dead-letters`
#[derive(Clone, Debug, Default, Args)]
#[command(after_long_help = "\
Examples:
  dynacrawl dead-letters --config dynacrawl.toml
  dynacrawl dead-letters --config dynacrawl.toml --sink events --retry")]
pub struct DeadLettersArgs {
    /// Only those of this sink
    ///
    /// Repeatable, or separated by commas.
    #[arg(long = "sink", value_name = "NAME", value_delimiter = ',')]
    pub sinks: Vec<String>,
    /// Deliver them again
    ///
    /// Those that the destination refuses again stay.
    #[arg(long)]
    pub retry: bool,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// `dynacrawl replay`
#[derive(Clone, Debug, Default, Args)]
#[command(after_long_help = "\
Examples:
  dynacrawl replay --sink hub --config dynacrawl.toml
  dynacrawl replay --sink bus --since 7d --config dynacrawl.toml")]
pub struct ReplayArgs {
    /// Sink of the configuration file
    #[arg(long, value_name = "NAME")]
    pub sink: String,
    /// Only tables that have changed, were removed or were left out since then
    ///
    /// A time such as 2026-01-31T00:00:00Z, or how long ago: 90m, 36h, 7d.
    #[arg(long, value_name = "TIME", conflicts_with = "all")]
    pub since: Option<String>,
    /// All tables, which is the default
    #[arg(long)]
    pub all: bool,
    /// State to read [default: that of the configuration file]
    #[arg(long, env = "DYNACRAWL_STATE", value_name = "FILE")]
    pub state: Option<String>,
}
