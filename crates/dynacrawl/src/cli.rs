//! The command line.

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::config::ConcurrencySetting;

mod layer;

/// Crawl the metadata of Amazon DynamoDB tables: every table, key and index of your accounts as JSON lines.
///
/// A flag goes before its environment variable, that before the configuration file, and that before the default.
#[derive(Debug, Parser)]
#[command(name = "dynacrawl", version, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    /// What applies to every command.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// What applies to every command.
#[derive(Clone, Debug, Args)]
pub struct GlobalArgs {
    /// Configuration file (TOML); `dynacrawl config` prints the reference
    #[arg(long, global = true, env = "DYNACRAWL_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// error, warn, info, debug or trace
    #[arg(long, global = true, env = "DYNACRAWL_LOG_LEVEL", value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// text or json; messages go to standard error
    #[arg(long, global = true, env = "DYNACRAWL_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// OpenTelemetry collector that takes traces by OTLP over HTTP (in builds with the feature otlp)
    #[arg(long, global = true, env = "DYNACRAWL_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Describe every table and write one JSON line for each
    Crawl(Box<CrawlArgs>),
    /// Crawl by schedule, tell what changed, and answer over HTTP how it goes
    Serve(Box<ServeArgs>),
    /// Show what the state knows of accounts and Regions, and how the last run went
    Status(StatusArgs),
    /// Show the last runs, newest first
    Runs(RunsArgs),
    /// Show the tables that the state knows
    Tables(TablesArgs),
    /// Show what changed, oldest first
    Changes(ChangesArgs),
    /// Say, before a crawl, whether it would work and what to do if not
    Check(Box<CheckArgs>),
    /// Print the least-privilege IAM policy for the configuration
    Policy(Box<PolicyArgs>),
    /// Print the JSON Schema (2020-12) of the output
    Schema,
    /// Print the reference configuration, or check a file
    Config(ConfigArgs),
    /// Print a shell's completion script
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page (roff)
    Man,
}

/// The target that the command line describes.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Target")]
pub struct TargetArgs {
    /// Region to crawl; repeatable, or separated by commas; "all" for those that the account has enabled
    #[arg(long = "region", env = "DYNACRAWL_REGION", value_name = "REGION", value_delimiter = ',')]
    pub regions: Vec<String>,
    /// Profile of AWS's configuration files
    #[arg(long, env = "DYNACRAWL_PROFILE")]
    pub profile: Option<String>,
    /// The account that the credentials must belong to
    #[arg(long, env = "DYNACRAWL_ACCOUNT_ID", value_name = "ID")]
    pub account_id: Option<String>,
    /// Role to assume
    #[arg(long, env = "DYNACRAWL_ROLE_ARN", value_name = "ARN")]
    pub role_arn: Option<String>,
    /// External id that the role's trust policy asks for
    #[arg(long, env = "DYNACRAWL_EXTERNAL_ID", value_name = "ID", requires = "role_arn")]
    pub external_id: Option<String>,
    /// Name of the role's session [default: dynacrawl]
    #[arg(long, env = "DYNACRAWL_SESSION_NAME", value_name = "NAME", requires = "role_arn")]
    pub session_name: Option<String>,
    /// Length of the role's session, 15m to 12h [default: 1h]
    #[arg(long, env = "DYNACRAWL_DURATION", value_name = "DURATION", requires = "role_arn")]
    pub duration: Option<String>,
    /// Include only this target of the configuration file; repeatable
    #[arg(long = "target", env = "DYNACRAWL_TARGET", value_name = "NAME", value_delimiter = ',')]
    pub targets: Vec<String>,
}

/// Where AWS is.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Endpoints")]
pub struct EndpointArgs {
    /// DynamoDB's endpoint, for anything that speaks its protocol
    #[arg(long, env = "DYNACRAWL_ENDPOINT_URL", value_name = "URL")]
    pub endpoint_url: Option<String>,
    /// STS's endpoint
    #[arg(long, env = "DYNACRAWL_STS_ENDPOINT_URL", value_name = "URL")]
    pub sts_endpoint_url: Option<String>,
    /// Endpoint of AWS Organizations
    #[arg(long, env = "DYNACRAWL_ORGANIZATIONS_ENDPOINT_URL", value_name = "URL")]
    pub organizations_endpoint_url: Option<String>,
    /// Endpoint of AWS Account Management, which lists Regions
    #[arg(long, env = "DYNACRAWL_ACCOUNT_ENDPOINT_URL", value_name = "URL")]
    pub account_endpoint_url: Option<String>,
    /// Endpoint of Amazon EC2, which lists Regions where Account Management does not
    #[arg(long, env = "DYNACRAWL_EC2_ENDPOINT_URL", value_name = "URL")]
    pub ec2_endpoint_url: Option<String>,
    /// PEM file of the certificate authorities to trust instead of the system's
    #[arg(long, env = "DYNACRAWL_CA_BUNDLE", value_name = "FILE")]
    pub ca_bundle: Option<String>,
    /// FIPS endpoints
    #[arg(long, env = "DYNACRAWL_FIPS", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub fips: Option<bool>,
    /// Dual-stack (IPv6) endpoints
    #[arg(long, env = "DYNACRAWL_DUAL_STACK", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub dual_stack: Option<bool>,
    /// Endpoints that carry the account's id: disabled, preferred or required
    #[arg(long, env = "DYNACRAWL_ACCOUNT_ID_ENDPOINTS", value_name = "MODE")]
    pub account_id_endpoints: Option<String>,
}

/// Which tables are wanted.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Tables")]
pub struct FilterArgs {
    /// Only tables whose whole name matches; repeatable
    #[arg(long, env = "DYNACRAWL_INCLUDE", value_name = "REGEX")]
    pub include: Vec<String>,
    /// No tables whose whole name matches, even where included; repeatable
    #[arg(long, env = "DYNACRAWL_EXCLUDE", value_name = "REGEX")]
    pub exclude: Vec<String>,
}

/// How fast.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Speed")]
pub struct SpeedArgs {
    /// Requests a second for each account and Region, 0 for no limit [default: 250]
    #[arg(long, env = "DYNACRAWL_RATE", value_name = "N")]
    pub rate: Option<u32>,
    /// Requests that may be sent at once after a pause, 0 for a tenth of the rate [default: 0]
    #[arg(long, env = "DYNACRAWL_BURST", value_name = "N")]
    pub burst: Option<u32>,
    /// Tables described at once in each account and Region: auto, or an upper bound [default: auto]
    #[arg(long, env = "DYNACRAWL_CONCURRENCY", value_name = "auto|N")]
    pub concurrency: Option<ConcurrencySetting>,
    /// Accounts and Regions crawled at once [default: 64]
    #[arg(long, env = "DYNACRAWL_SCOPES", value_name = "N")]
    pub scopes: Option<usize>,
    /// Requests to DynamoDB in flight at once, over all accounts and Regions [default: 256]
    #[arg(long, env = "DYNACRAWL_REQUESTS", value_name = "N")]
    pub requests: Option<usize>,
    /// Connections at most, over all endpoints [default: 512]
    #[arg(long, env = "DYNACRAWL_CONNECTIONS", value_name = "N")]
    pub connections: Option<usize>,
    /// Attempts for each call [default: 10]
    #[arg(long, env = "DYNACRAWL_MAX_ATTEMPTS", value_name = "N")]
    pub max_attempts: Option<u32>,
    /// How long throttling, server errors, broken answers and time-outs are waited out in an account and Region [default: 60s]
    #[arg(long, env = "DYNACRAWL_PATIENCE", value_name = "DURATION")]
    pub patience: Option<String>,
}

/// The embedded estate, instead of AWS.
#[derive(Clone, Copy, Debug, Default, Args)]
#[command(next_help_heading = "Demo")]
pub struct DemoArgs {
    /// Use the embedded simulator: two accounts, three Regions, some 200 tables; no account, no network
    #[arg(long)]
    pub demo: bool,
    /// The same with a denied table, a throttled Region and an account whose role cannot be assumed
    #[arg(long)]
    pub demo_faults: bool,
}

/// `dynacrawl crawl`
#[derive(Clone, Debug, Default, Args)]
#[expect(missing_docs, reason = "the groups say it")]
pub struct CrawlArgs {
    #[command(flatten)]
    pub target: TargetArgs,
    #[command(flatten)]
    pub filter: FilterArgs,
    #[command(flatten)]
    pub output: OutputArgs,
    #[command(flatten)]
    pub state: StateArgs,
    /// Begin anew, even where the state has a crawl to go on with
    #[arg(long, help_heading = "State", env = "DYNACRAWL_FRESH", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false")]
    pub fresh: bool,
    #[command(flatten)]
    pub speed: SpeedArgs,
    #[command(flatten)]
    pub endpoints: EndpointArgs,
    #[command(flatten)]
    pub demo: DemoArgs,
}

/// What is written, and where.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// File to write, with {run_id}, {date} and {schedule} in its path if wanted; - for standard output [default: -]
    #[arg(long, short, env = "DYNACRAWL_OUTPUT", value_name = "FILE")]
    pub output: Option<String>,
    /// table: one line for each table; entities: keys and indexes as lines of their own [default: table]
    #[arg(long, env = "DYNACRAWL_LAYOUT", value_name = "LAYOUT")]
    pub layout: Option<String>,
    /// Only list: one line for each table with the filters' verdict, and no DescribeTable
    #[arg(long, env = "DYNACRAWL_DRY_RUN", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub dry_run: Option<bool>,
    /// After an interrupt: how long what is under way may take to end [default: 20s]
    #[arg(long, env = "DYNACRAWL_GRACE", value_name = "DURATION")]
    pub grace: Option<String>,
    /// No summary and no progress on standard error
    #[arg(long, short, env = "DYNACRAWL_QUIET", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub quiet: Option<bool>,
}

/// What is remembered between processes.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "State")]
pub struct StateArgs {
    /// File that remembers what is known, so that changes are told, and a crawl that was killed goes on where it stopped
    #[arg(long, env = "DYNACRAWL_STATE", value_name = "FILE")]
    pub state: Option<String>,
    /// snapshot: every table; changes: what changed since the last crawl; both [default: snapshot]
    #[arg(long, env = "DYNACRAWL_EMIT", value_name = "WHAT")]
    pub emit: Option<String>,
    /// Count as changes also what drifts by itself: item counts, sizes, states in passing
    #[arg(long, env = "DYNACRAWL_DRIFT", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub drift: Option<bool>,
    /// Let the tables of this account and Region go, however many are gone; repeatable
    #[arg(long, env = "DYNACRAWL_ACCEPT_REMOVALS", value_name = "ACCOUNT/REGION", value_delimiter = ',')]
    pub accept_removals: Vec<String>,
    /// Retire this account and Region, which the configuration does not cover any more; repeatable
    #[arg(long, env = "DYNACRAWL_ACCEPT_RETIREMENTS", value_name = "ACCOUNT/REGION", value_delimiter = ',')]
    pub accept_retirements: Vec<String>,
}

/// `dynacrawl serve`
#[derive(Clone, Debug, Default, Args)]
#[expect(missing_docs, reason = "the groups say it")]
pub struct ServeArgs {
    #[command(flatten)]
    pub serve: ListenArgs,
    #[command(flatten)]
    pub filter: FilterArgs,
    #[command(flatten)]
    pub output: OutputArgs,
    #[command(flatten)]
    pub state: StateArgs,
    #[command(flatten)]
    pub speed: SpeedArgs,
    #[command(flatten)]
    pub endpoints: EndpointArgs,
}

/// Where the daemon answers, and when it begins.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Daemon")]
pub struct ListenArgs {
    /// Address to answer HTTP on; one that other machines reach needs serve.token [default: 127.0.0.1:9464]
    #[arg(long, env = "DYNACRAWL_LISTEN", value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Crawl at the start, besides what is due
    #[arg(long, env = "DYNACRAWL_RUN_AT_START", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub run_at_start: Option<bool>,
}

/// How something is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For machines: one JSON object, or one for each line.
    Json,
}

/// Which state is read, and how it is shown.
#[derive(Clone, Debug, Default, Args)]
pub struct ReadArgs {
    /// The state [default: that of the configuration file]
    #[arg(long, env = "DYNACRAWL_STATE", value_name = "FILE")]
    pub state: Option<String>,
    /// For people or for machines
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// `dynacrawl status`
#[derive(Clone, Debug, Default, Args)]
pub struct StatusArgs {
    /// Which state.
    #[command(flatten)]
    pub read: ReadArgs,
    /// Also accounts and Regions that the configuration does not cover any more
    #[arg(long)]
    pub all: bool,
}

/// `dynacrawl runs`
#[derive(Clone, Debug, Default, Args)]
pub struct RunsArgs {
    /// Which state.
    #[command(flatten)]
    pub read: ReadArgs,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: u32,
}

/// Which tables are asked for.
#[derive(Clone, Debug, Default, Args)]
pub struct ChosenArgs {
    /// Only tables whose whole name matches, with * and ?
    pub pattern: Option<String>,
    /// Only of this account
    #[arg(long, value_name = "ID")]
    pub account: Option<String>,
    /// Only of this Region
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
}

/// `dynacrawl tables`
#[derive(Clone, Debug, Default, Args)]
pub struct TablesArgs {
    /// Which tables.
    #[command(flatten)]
    pub chosen: ChosenArgs,
    /// Which state.
    #[command(flatten)]
    pub read: ReadArgs,
    /// Also tables that are removed, unselected or retired
    #[arg(long)]
    pub all: bool,
}

/// `dynacrawl changes`
#[derive(Clone, Debug, Default, Args)]
pub struct ChangesArgs {
    /// Of which tables.
    #[command(flatten)]
    pub chosen: ChosenArgs,
    /// Which state.
    #[command(flatten)]
    pub read: ReadArgs,
    /// Only what became known since then: 2026-01-31T00:00:00Z, or 90m, 36h, 7d ago
    #[arg(long, value_name = "WHEN")]
    pub since: Option<String>,
}

/// `dynacrawl check`
#[derive(Clone, Debug, Default, Args)]
#[expect(missing_docs, reason = "the groups say it")]
pub struct CheckArgs {
    #[command(flatten)]
    pub target: TargetArgs,
    #[command(flatten)]
    pub filter: FilterArgs,
    #[command(flatten)]
    pub speed: SpeedArgs,
    #[command(flatten)]
    pub endpoints: EndpointArgs,
    #[command(flatten)]
    pub demo: DemoArgs,
    #[command(flatten)]
    pub report: ReportArgs,
}

/// What `dynacrawl check` looks at, and how it tells.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Checks")]
pub struct ReportArgs {
    /// text or json [default: text]
    #[arg(long, env = "DYNACRAWL_CHECK_FORMAT", value_name = "FORMAT")]
    pub format: Option<String>,
    /// Describe all selected tables, not only the first 20 of each account and Region
    #[arg(long, env = "DYNACRAWL_CHECK_ALL", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub all: Option<bool>,
    /// Do not try to assume roles without their external id
    #[arg(long, env = "DYNACRAWL_NO_EXTERNAL_ID_PROBE", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub no_external_id_probe: Option<bool>,
}

/// `dynacrawl policy`
#[derive(Clone, Debug, Default, Args)]
#[expect(missing_docs, reason = "the groups say it")]
pub struct PolicyArgs {
    #[command(flatten)]
    pub target: TargetArgs,
    #[command(flatten)]
    pub filter: FilterArgs,
    /// Print the trust policy of the role instead, with its external id as a condition
    #[arg(long, conflicts_with = "assume")]
    pub trust: bool,
    /// Print the policy that lets the crawler's own identity assume the roles instead
    #[arg(long)]
    pub assume: bool,
    /// Print several policies that each fit a managed one (6,144 characters), as a JSON array
    #[arg(long, conflicts_with = "trust")]
    pub split: bool,
    /// With --trust: the identity that assumes the role, as an ARN
    #[arg(long, value_name = "ARN", requires = "trust")]
    pub principal: Option<String>,
}

/// `dynacrawl config`
#[derive(Clone, Debug, Args)]
pub struct ConfigArgs {
    /// What to do; without it the reference configuration is printed
    #[command(subcommand)]
    pub command: Option<ConfigCommand>,
}

/// The commands of `dynacrawl config`.
#[derive(Clone, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check a configuration file: its keys and values, not the secrets that it points to
    Check {
        /// The file
        file: PathBuf,
    },
}

impl Cli {
    /// Reads the command line and the environment. What is wrong with it ends the process, with exit code 2.
    pub fn from_process() -> Self {
        let command = Self::command();
        // The environment may hold what other runs need, such as their state. A demo goes by what was typed alone.
        let alone = without_environment(Self::command()).try_get_matches();
        let matches = alone.ok().filter(is_demo).unwrap_or_else(|| command.get_matches());
        let typed = |args: &ArgMatches, id: &str| args.value_source(id) == Some(ValueSource::CommandLine);
        if let Some((_, args)) = matches.subcommand()
            && let Some(demo) = demo(args)
            && let Some(other) = NOT_WITH_DEMO.into_iter().find(|id| typed(args, id))
        {
            let flags = [demo, other].map(|id| format!("--{}", id.replace('_', "-").replace("regions", "region")));
            let said = format!("{} cannot be used with {}: the simulator has its own accounts\n", flags[0], flags[1]);
            Self::command().error(ErrorKind::ArgumentConflict, said).exit();
        }
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// The flag that asks for the embedded simulator.
fn demo(args: &ArgMatches) -> Option<&'static str> {
    ["demo", "demo_faults"].into_iter().find(|id| matches!(args.try_get_one(id), Ok(Some(true))))
}

fn is_demo(matches: &ArgMatches) -> bool {
    matches.subcommand().is_some_and(|(_, args)| demo(args).is_some())
}

/// The same command line without environment variables, but for those that are about messages.
fn without_environment(command: clap::Command) -> clap::Command {
    const OF_MESSAGES: [&str; 3] = ["log_level", "log_format", "quiet"];
    let ignore = |arg: Arg| if OF_MESSAGES.contains(&arg.get_id().as_str()) { arg } else { arg.env(None) };
    command.mut_args(ignore).mut_subcommands(|command| command.mut_args(ignore))
}

/// What describes a target or an endpoint, by the names of the arguments.
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
