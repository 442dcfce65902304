//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};

mod args;
mod export_args;
mod layer;
mod sink_args;
mod typed;

pub use args::{
    ChangesArgs, CheckArgs, ChosenArgs, ConfigArgs, ConfigCommand, CrawlArgs, DemoArgs, EndpointArgs, FilterArgs,
    Format, ListenArgs, OutputArgs, PolicyArgs, ReadArgs, ReportArgs, RunsArgs, ServeArgs, SinkArgs, SpeedArgs,
    StateArgs, StatusArgs, TablesArgs, TargetArgs,
};
pub use export_args::{CatalogArgs, ExportArgs, ExportForm};
pub use sink_args::{DeadLettersArgs, ReplayArgs, SinksArgs};
pub use typed::Typed;

/// Crawl the metadata of Amazon DynamoDB tables
///
/// dynacrawl lists and describes every table of your accounts and Regions, and writes tables, keys and indexes as JSON lines.
/// Its output is complete, or names exactly what is missing.
///
/// A flag takes precedence over its environment variable, the variable over the configuration file, and the file over the
/// default.
#[derive(Debug, Parser)]
#[command(name = "dynacrawl", version, propagate_version = true, max_term_width = 100, after_long_help = EXAMPLES)]
pub struct Cli {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
    /// What applies to every command.
    #[command(flatten)]
    pub global: GlobalArgs,
}

const EXAMPLES: &str = "\
Examples:
  dynacrawl crawl --demo                         Crawl an embedded simulator: no account, no network
  dynacrawl check --region eu-west-1             Find out whether a crawl would work
  dynacrawl crawl --region eu-west-1             Crawl with AWS's default credentials
  dynacrawl crawl --config dynacrawl.toml --output tables.jsonl
  dynacrawl serve --config dynacrawl.toml        Crawl by schedule";

/// What applies to every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// Configuration file (TOML)
    ///
    /// `dynacrawl config` prints the reference, in which every key is explained.
    #[arg(long, global = true, env = "DYNACRAWL_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// error, warn, info, debug or trace
    #[arg(long, global = true, env = "DYNACRAWL_LOG_LEVEL", value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// text or json
    ///
    /// Messages go to standard error.
    #[arg(long, global = true, env = "DYNACRAWL_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// OpenTelemetry collector for traces
    ///
    /// Traces are sent by OTLP over HTTP, in builds with the feature otlp.
    #[arg(long, global = true, env = "DYNACRAWL_OTLP_ENDPOINT", value_name = "URL", hide_short_help = true)]
    pub otlp_endpoint: Option<String>,
    /// What the user typed.
    #[arg(skip)]
    pub typed: Typed,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Describe every table, and write JSON lines
    Crawl(Box<CrawlArgs>),
    /// Crawl by schedule, and serve metrics and health over HTTP
    Serve(Box<ServeArgs>),
    /// Check whether a crawl would work, and what to change if not
    Check(Box<CheckArgs>),
    /// Print the least-privilege IAM policy
    Policy(Box<PolicyArgs>),
    /// Show the accounts and Regions in the state, and the last run
    Status(StatusArgs),
    /// Show the last runs, newest first
    Runs(RunsArgs),
    /// Show the tables in the state
    Tables(TablesArgs),
    /// Show what changed, oldest first
    Changes(ChangesArgs),
    /// Show the sinks, what they are owed, and how their deliveries went
    Sinks(SinksArgs),
    /// Show the events that destinations refused, or deliver them again
    DeadLetters(DeadLettersArgs),
    /// Send what the state knows to a sink again
    Replay(ReplayArgs),
    /// Convert tables to the form of a data catalog, or to CSV
    Export(Box<ExportArgs>),
    /// Print the JSON Schema of the output
    Schema,
    /// Print the reference configuration, or check a file
    Config(ConfigArgs),
    /// Print a shell completion script
    Completions {
        /// Shell to complete for
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

impl Cli {
    /// Reads the command line and the environment. An error ends the process with exit code 2.
    pub fn from_process() -> Self {
        let mut command = Self::command().mut_subcommands(|command| command.mut_args(|arg| arg.hide_env_values(true)));
        command.build();
        let arguments: Vec<OsString> = std::env::args_os().collect();
        if arguments.iter().any(|argument| argument == "-h") {
            command = briefly(command);
        }
        // The environment may hold settings for other runs, such as their state. A demo uses only what was typed.
        let alone = without_environment(Self::command()).try_get_matches_from(&arguments);
        let read = || command.clone().try_get_matches_from(&arguments);
        let matches = alone.ok().filter(is_demo).map_or_else(read, Ok);
        let matches = matches.unwrap_or_else(|error| typed::exit(&error, &command, &arguments));
        let typed = |args: &ArgMatches, id: &str| args.value_source(id) == Some(ValueSource::CommandLine);
        if let Some((_, args)) = matches.subcommand()
            && let Some(demo) = demo(args)
            && let Some(other) = NOT_WITH_DEMO.into_iter().find(|id| typed(args, id))
        {
            let flags = [demo, other].map(|id| format!("--{}", id.replace('_', "-").replace("regions", "region")));
            let error = format!("{} cannot be used with {}: the simulator has its own accounts\n", flags[0], flags[1]);
            Self::command().error(ErrorKind::ArgumentConflict, error).exit();
        }
        let mut cli = Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        let variables = std::env::vars_os().map(|(name, _)| name).filter(|_| !is_demo(&matches));
        cli.global.typed = Typed::new(&command, &matches, variables);
        cli
    }
}

/// For `-h`: one line for each option, without variables and possible values.
fn briefly(command: clap::Command) -> clap::Command {
    let brief = |arg: Arg| {
        let shows_values = arg.get_id() == "format" || arg.is_positional();
        arg.hide_env(true).hide_possible_values(!shows_values)
    };
    command.mut_args(brief).mut_subcommands(|command| command.mut_args(brief))
}

/// The flag that asks for the embedded simulator.
fn demo(args: &ArgMatches) -> Option<&'static str> {
    ["demo", "demo_faults"].into_iter().find(|id| matches!(args.try_get_one(id), Ok(Some(true))))
}

fn is_demo(matches: &ArgMatches) -> bool {
    matches.subcommand().is_some_and(|(_, args)| demo(args).is_some())
}

/// The same command line without environment variables, except those about messages.
fn without_environment(command: clap::Command) -> clap::Command {
    const OF_MESSAGES: [&str; 3] = ["log_level", "log_format", "quiet"];
    let ignore = |arg: Arg| if OF_MESSAGES.contains(&arg.get_id().as_str()) { arg } else { arg.env(None) };
    command.mut_args(ignore).mut_subcommands(|command| command.mut_args(ignore))
}

/// The ids of the arguments that describe a target or an endpoint.
const NOT_WITH_DEMO: [&str; 10] = [
    "regions",
    "profile",
    "role_arn",
    "account_id",
    "targets",
    "endpoint_url",
    "sts_endpoint_url",
    "organizations_endpoint_url",
    "account_endpoint_url",
    "ec2_endpoint_url",
];
