//! The arguments of each command. The first line of a comment is what `-h` shows.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::config::ConcurrencySetting;

/// The target that the command line describes.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Target")]
pub struct TargetArgs {
    /// Regions to crawl, or "all"
    ///
    /// Repeatable, or separated by commas. "all" stands for the Regions that the account has enabled. Without this flag:
    /// AWS_REGION, or the Region of the profile.
    #[arg(long = "region", env = "DYNACRAWL_REGION", value_name = "REGION", value_delimiter = ',')]
    pub regions: Vec<String>,
    /// Profile in AWS's configuration files
    #[arg(long, env = "DYNACRAWL_PROFILE")]
    pub profile: Option<String>,
    /// Account that the credentials must belong to
    #[arg(long, env = "DYNACRAWL_ACCOUNT_ID", value_name = "ID", hide_short_help = true)]
    pub account_id: Option<String>,
    /// Role to assume
    #[arg(long, env = "DYNACRAWL_ROLE_ARN", value_name = "ARN")]
    pub role_arn: Option<String>,
    /// External id of the role
    ///
    /// The role's trust policy has it as the condition sts:ExternalId.
    #[arg(long, env = "DYNACRAWL_EXTERNAL_ID", value_name = "ID", requires = "role_arn")]
    pub external_id: Option<String>,
    /// Name of the role's session [default: dynacrawl]
    #[arg(long, env = "DYNACRAWL_SESSION_NAME", value_name = "NAME", requires = "role_arn", hide_short_help = true)]
    pub session_name: Option<String>,
    /// Length of the role's session, 15m to 12h [default: 1h]
    #[arg(long, env = "DYNACRAWL_DURATION", value_name = "DURATION", requires = "role_arn", hide_short_help = true)]
    pub duration: Option<String>,
    /// Only this target of the configuration file
    ///
    /// Repeatable, or separated by commas.
    #[arg(long = "target", env = "DYNACRAWL_TARGET", value_name = "NAME", value_delimiter = ',')]
    pub targets: Vec<String>,
}

/// AWS's endpoints.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Endpoints")]
pub struct EndpointArgs {
    /// Endpoint of DynamoDB, or of anything that speaks its protocol
    #[arg(long, env = "DYNACRAWL_ENDPOINT_URL", value_name = "URL", hide_short_help = true)]
    pub endpoint_url: Option<String>,
    /// Endpoint of STS
    #[arg(long, env = "DYNACRAWL_STS_ENDPOINT_URL", value_name = "URL", hide_short_help = true)]
    pub sts_endpoint_url: Option<String>,
    /// Endpoint of AWS Organizations
    #[arg(long, env = "DYNACRAWL_ORGANIZATIONS_ENDPOINT_URL", value_name = "URL", hide_short_help = true)]
    pub organizations_endpoint_url: Option<String>,
    /// Endpoint of AWS Account Management, which lists Regions
    #[arg(long, env = "DYNACRAWL_ACCOUNT_ENDPOINT_URL", value_name = "URL", hide_short_help = true)]
    pub account_endpoint_url: Option<String>,
    /// Endpoint of Amazon EC2, which lists Regions if Account Management does not
    #[arg(long, env = "DYNACRAWL_EC2_ENDPOINT_URL", value_name = "URL", hide_short_help = true)]
    pub ec2_endpoint_url: Option<String>,
    /// PEM file of the certificate authorities to trust instead of the system's
    #[arg(long, env = "DYNACRAWL_CA_BUNDLE", value_name = "FILE", hide_short_help = true)]
    pub ca_bundle: Option<String>,
    /// Use FIPS endpoints
    #[arg(long, env = "DYNACRAWL_FIPS", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_short_help = true)]
    pub fips: Option<bool>,
    /// Use dual-stack (IPv6) endpoints
    #[arg(long, env = "DYNACRAWL_DUAL_STACK", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_short_help = true)]
    pub dual_stack: Option<bool>,
    /// Endpoints that contain the account's id: disabled, preferred or required [default: disabled]
    #[arg(long, env = "DYNACRAWL_ACCOUNT_ID_ENDPOINTS", value_name = "MODE", hide_short_help = true)]
    pub account_id_endpoints: Option<String>,
}

/// Which tables are selected.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Tables")]
pub struct FilterArgs {
    /// Only tables whose whole name matches
    ///
    /// A regular expression; repeatable.
    #[arg(long, env = "DYNACRAWL_INCLUDE", value_name = "REGEX")]
    pub include: Vec<String>,
    /// No tables whose whole name matches
    ///
    /// A regular expression; repeatable. It takes precedence over --include.
    #[arg(long, env = "DYNACRAWL_EXCLUDE", value_name = "REGEX")]
    pub exclude: Vec<String>,
}

/// How fast dynacrawl sends requests.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Speed")]
pub struct SpeedArgs {
    /// Requests a second for each account and Region [default: 250]
    ///
    /// ListTables and DescribeTable share them. AWS's quota is 2,500; 0 means no limit.
    #[arg(long, env = "DYNACRAWL_RATE", value_name = "N", value_parser = number, allow_negative_numbers = true)]
    pub rate: Option<u32>,
    /// Requests that may be sent at once after a pause [default: a tenth of the rate]
    #[arg(long, env = "DYNACRAWL_BURST", value_name = "N", value_parser = number, allow_negative_numbers = true, hide_short_help = true)]
    pub burst: Option<u32>,
    /// Tables described at once in each account and Region: auto, or an upper bound [default: auto]
    #[arg(
        long,
        env = "DYNACRAWL_CONCURRENCY",
        value_name = "auto|N",
        allow_negative_numbers = true,
        hide_short_help = true
    )]
    pub concurrency: Option<ConcurrencySetting>,
    /// Accounts and Regions crawled at once [default: 64]
    #[arg(long, env = "DYNACRAWL_SCOPES", value_name = "N", value_parser = count, allow_negative_numbers = true, hide_short_help = true)]
    pub scopes: Option<usize>,
    /// Requests to DynamoDB in flight, over all accounts and Regions [default: 256]
    #[arg(long, env = "DYNACRAWL_REQUESTS", value_name = "N", value_parser = count, allow_negative_numbers = true, hide_short_help = true)]
    pub requests: Option<usize>,
    /// Connections, over all endpoints [default: 512]
    #[arg(long, env = "DYNACRAWL_CONNECTIONS", value_name = "N", value_parser = count, allow_negative_numbers = true, hide_short_help = true)]
    pub connections: Option<usize>,
    /// Attempts for each call [default: 10]
    #[arg(
        long,
        env = "DYNACRAWL_MAX_ATTEMPTS",
        value_name = "N",
        value_parser = number,
        allow_negative_numbers = true,
        hide_short_help = true
    )]
    pub max_attempts: Option<u32>,
    /// How long to wait out throttling, server errors and time-outs of an account and Region [default: 60s]
    #[arg(long, env = "DYNACRAWL_PATIENCE", value_name = "DURATION", hide_short_help = true)]
    pub patience: Option<String>,
}

/// Reads a whole number.
fn number(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| "expected a whole number, such as 250".to_owned())
}

/// Reads a number of things.
fn count(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "expected a whole number, such as 64".to_owned())
}

/// The embedded simulator, instead of AWS.
#[derive(Clone, Copy, Debug, Default, Args)]
#[command(next_help_heading = "Demo")]
pub struct DemoArgs {
    /// Crawl an embedded simulator instead of AWS
    ///
    /// It has two accounts, three Regions and some 200 tables. No account and no network are needed.
    #[arg(long)]
    pub demo: bool,
    /// The same with faults
    ///
    /// A table is denied, a Region is throttled, and the role of an account cannot be assumed.
    #[arg(long)]
    pub demo_faults: bool,
}

/// `dynacrawl crawl`
#[derive(Clone, Debug, Default, Args)]
#[command(after_long_help = "\
Examples:
  dynacrawl crawl --demo --output tables.jsonl
  dynacrawl crawl --region eu-west-1,us-east-1 --profile payments --output tables.jsonl
  dynacrawl crawl --region all --role-arn arn:aws:iam::123456789012:role/Crawler --external-id acme-42
  dynacrawl crawl --config dynacrawl.toml --state crawl.db --emit changes --output 'changes-{run_id}.jsonl'
  dynacrawl crawl --region eu-west-1 --include 'orders-.*' --dry-run")]
#[expect(missing_docs, reason = "the groups are documented")]
pub struct CrawlArgs {
    #[command(flatten)]
    pub target: TargetArgs,
    #[command(flatten)]
    pub filter: FilterArgs,
    #[command(flatten)]
    pub output: OutputArgs,
    #[command(flatten)]
    pub state: StateArgs,
    /// Start a new run, even if the state has one to resume
    #[arg(long, help_heading = "State", env = "DYNACRAWL_FRESH", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", hide_short_help = true, hide_default_value = true)]
    pub fresh: bool,
    #[command(flatten)]
    pub sinks: SinkArgs,
    #[command(flatten)]
    pub speed: SpeedArgs,
    #[command(flatten)]
    pub endpoints: EndpointArgs,
    #[command(flatten)]
    pub demo: DemoArgs,
}

/// Which sinks a crawl delivers to.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Sinks")]
pub struct SinkArgs {
    /// Deliver only to this sink of the configuration file
    ///
    /// Repeatable, or separated by commas. With a state, the other sinks receive the events later. A demo delivers only to sinks
    /// that are named here, because its tables are invented.
    #[arg(long = "sink", env = "DYNACRAWL_SINK", value_name = "NAME", value_delimiter = ',', hide_short_help = true)]
    pub sinks: Vec<String>,
    /// Deliver to no sink
    ///
    /// With a state, the sinks receive the events later.
    #[arg(long, env = "DYNACRAWL_NO_SINKS", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", hide_short_help = true, hide_default_value = true)]
    pub no_sinks: bool,
}

/// What dynacrawl writes, and where.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// File to write, or - for standard output [default: -, and nothing if there are sinks]
    ///
    /// The path may contain {run_id}, {date} and {schedule}. A file is replaced when the crawl is over; until then the lines are
    /// in FILE.partial.
    #[arg(long, short, env = "DYNACRAWL_OUTPUT", value_name = "FILE")]
    pub output: Option<String>,
    /// table: one line for each table; entities: keys and indexes as lines of their own [default: table]
    #[arg(long, env = "DYNACRAWL_LAYOUT", value_name = "LAYOUT", hide_short_help = true)]
    pub layout: Option<String>,
    /// Write only these record types [default: all]
    ///
    /// Repeatable, or separated by commas: --records table,scope_completed
    #[arg(long, env = "DYNACRAWL_RECORDS", value_name = "TYPE", value_delimiter = ',')]
    pub records: Vec<String>,
    /// List tables without describing them
    ///
    /// dynacrawl writes a line for each table that says whether the filters select it, and which rule decides.
    #[arg(long, env = "DYNACRAWL_DRY_RUN", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub dry_run: Option<bool>,
    /// How long requests in flight may take to end after an interrupt [default: 20s]
    #[arg(long, env = "DYNACRAWL_GRACE", value_name = "DURATION", hide_short_help = true)]
    pub grace: Option<String>,
    /// Print no summary and no progress
    #[arg(long, short, env = "DYNACRAWL_QUIET", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub quiet: Option<bool>,
}

/// What dynacrawl keeps between runs.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "State")]
pub struct StateArgs {
    /// Database that keeps tables and progress between runs
    ///
    /// With it dynacrawl reports changes, and resumes a run that was killed or interrupted.
    #[arg(long, env = "DYNACRAWL_STATE", value_name = "FILE")]
    pub state: Option<String>,
    /// snapshot: every table; changes: what changed since the last run; both [default: snapshot]
    #[arg(long, env = "DYNACRAWL_EMIT", value_name = "WHAT")]
    pub emit: Option<String>,
    /// Report drift as changes, too
    ///
    /// Drift is what changes by itself: item counts, sizes, provisioned capacity, transient states.
    #[arg(long, env = "DYNACRAWL_DRIFT", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_short_help = true)]
    pub drift: Option<bool>,
    /// Confirm the held removals of this account and Region
    ///
    /// Repeatable, or separated by commas.
    #[arg(long, env = "DYNACRAWL_ACCEPT_REMOVALS", value_name = "ACCOUNT/REGION", value_delimiter = ',')]
    pub accept_removals: Vec<String>,
    /// Confirm the held retirement of this account and Region
    ///
    /// Repeatable, or separated by commas.
    #[arg(long, env = "DYNACRAWL_ACCEPT_RETIREMENTS", value_name = "ACCOUNT/REGION", value_delimiter = ',')]
    pub accept_retirements: Vec<String>,
}

/// `dynacrawl serve`
#[derive(Clone, Debug, Default, Args)]
#[command(after_long_help = "\
Examples:
  dynacrawl serve --config dynacrawl.toml
  dynacrawl serve --config dynacrawl.toml --listen 0.0.0.0:9464 --run-at-start

Send SIGHUP to reload the configuration, SIGTERM to stop.")]
#[expect(missing_docs, reason = "the groups are documented")]
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

/// Where the daemon listens, and when it runs.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Daemon")]
pub struct ListenArgs {
    /// Address for HTTP [default: 127.0.0.1:9464]
    ///
    /// An address that other machines can reach needs serve.token.
    #[arg(long, env = "DYNACRAWL_LISTEN", value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Crawl at startup, too
    #[arg(long, env = "DYNACRAWL_RUN_AT_START", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub run_at_start: Option<bool>,
}

/// How something is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// For programs: one JSON object, or one for each line
    Json,
}

/// Which state is read, and how it is shown.
#[derive(Clone, Debug, Default, Args)]
pub struct ReadArgs {
    /// State to read [default: that of the configuration file]
    #[arg(long, env = "DYNACRAWL_STATE", value_name = "FILE")]
    pub state: Option<String>,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// `dynacrawl status`
#[derive(Clone, Debug, Default, Args)]
#[command(after_long_help = "\
Examples:
  dynacrawl status --state crawl.db
  dynacrawl status --state crawl.db --format json | jq '.scopes[] | select(.last_outcome != \"complete\")'")]
pub struct StatusArgs {
    /// Which state.
    #[command(flatten)]
    pub read: ReadArgs,
    /// Show retired accounts and Regions, too
    #[arg(long)]
    pub all: bool,
}

/// `dynacrawl runs`
#[derive(Clone, Debug, Default, Args)]
#[command(after_long_help = "\
Examples:
  dynacrawl runs --state crawl.db --limit 5")]
pub struct RunsArgs {
    /// Which state.
    #[command(flatten)]
    pub read: ReadArgs,
    /// Number of runs
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: u32,
}

/// Which tables are asked for.
#[derive(Clone, Debug, Default, Args)]
pub struct ChosenArgs {
    /// Pattern for the whole table name, with * and ?
    pub pattern: Option<String>,
    /// Only this account
    #[arg(long, value_name = "ID")]
    pub account: Option<String>,
    /// Only this Region
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
}

/// `dynacrawl tables`
#[derive(Clone, Debug, Default, Args)]
#[command(after_long_help = "\
Examples:
  dynacrawl tables --state crawl.db
  dynacrawl tables 'orders-*' --region eu-west-1 --all --state crawl.db
  dynacrawl tables --state crawl.db --format json | jq .record.table.indexes")]
pub struct TablesArgs {
    /// Which tables.
    #[command(flatten)]
    pub chosen: ChosenArgs,
    /// Which state.
    #[command(flatten)]
    pub read: ReadArgs,
    /// Show removed, unselected and retired tables, too
    #[arg(long)]
    pub all: bool,
}

/// `dynacrawl changes`
#[derive(Clone, Debug, Default, Args)]
#[command(after_long_help = "\
Examples:
  dynacrawl changes --since 7d --state crawl.db
  dynacrawl changes 'orders-*' --since 2026-01-31T00:00:00Z --state crawl.db --format json")]
pub struct ChangesArgs {
    /// Of which tables.
    #[command(flatten)]
    pub chosen: ChosenArgs,
    /// Which state.
    #[command(flatten)]
    pub read: ReadArgs,
    /// Only changes found since then
    ///
    /// A time such as 2026-01-31T00:00:00Z, or an age such as 90m, 36h or 7d.
    #[arg(long, value_name = "WHEN")]
    pub since: Option<String>,
}

/// `dynacrawl check`
#[derive(Clone, Debug, Default, Args)]
#[command(after_long_help = "\
Examples:
  dynacrawl check --region eu-west-1
  dynacrawl check --region all --role-arn arn:aws:iam::123456789012:role/Crawler --external-id acme-42
  dynacrawl check --config dynacrawl.toml --format json")]
#[expect(missing_docs, reason = "the groups are documented")]
pub struct CheckArgs {
    #[command(flatten)]
    pub target: TargetArgs,
    #[command(flatten)]
    pub filter: FilterArgs,
    #[command(flatten)]
    pub report: ReportArgs,
    #[command(flatten)]
    pub speed: SpeedArgs,
    #[command(flatten)]
    pub endpoints: EndpointArgs,
    #[command(flatten)]
    pub demo: DemoArgs,
}

/// What `dynacrawl check` looks at, and how it reports.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Checks")]
pub struct ReportArgs {
    /// text or json [default: text]
    #[arg(long, env = "DYNACRAWL_CHECK_FORMAT", value_name = "FORMAT")]
    pub format: Option<String>,
    /// Describe all selected tables, not only 20 in each account and Region
    #[arg(long, env = "DYNACRAWL_CHECK_ALL", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub all: Option<bool>,
    /// Print only warnings and failures
    #[arg(long, short, env = "DYNACRAWL_QUIET", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub quiet: Option<bool>,
    /// Do not try to assume roles without their external id
    #[arg(long, env = "DYNACRAWL_NO_EXTERNAL_ID_PROBE", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_short_help = true)]
    pub no_external_id_probe: Option<bool>,
}

/// `dynacrawl policy`
#[derive(Clone, Debug, Default, Args)]
#[command(after_long_help = "\
Examples:
  dynacrawl policy --region eu-west-1 --account-id 123456789012
  dynacrawl policy --config dynacrawl.toml --assume
  dynacrawl policy --trust --role-arn arn:aws:iam::123456789012:role/Crawler --external-id acme-42 \\
      --principal arn:aws:iam::999999999999:user/dynacrawl")]
#[expect(missing_docs, reason = "the groups are documented")]
pub struct PolicyArgs {
    #[command(flatten)]
    pub target: TargetArgs,
    #[command(flatten)]
    pub filter: FilterArgs,
    /// Print the trust policy of the role instead
    ///
    /// It has the external id as a condition.
    #[arg(long, conflicts_with = "assume")]
    pub trust: bool,
    /// Print the policy that lets the crawler's own identity assume the roles instead
    #[arg(long)]
    pub assume: bool,
    /// Print the policy that lets the sinks call S3 and EventBridge instead
    #[arg(long, conflicts_with_all = ["trust", "assume", "split"])]
    pub sinks: bool,
    /// Print several policies that fit IAM's limit
    ///
    /// A JSON array of policies of at most 6,144 characters each, the limit of a managed policy.
    #[arg(long, conflicts_with = "trust")]
    pub split: bool,
    /// With --trust: ARN of the identity that assumes the role
    #[arg(long, value_name = "ARN", requires = "trust")]
    pub principal: Option<String>,
}

/// `dynacrawl config`
#[derive(Clone, Debug, Args)]
#[command(after_long_help = "\
Examples:
  dynacrawl config > dynacrawl.toml
  dynacrawl config check dynacrawl.toml")]
pub struct ConfigArgs {
    /// What to do; without it, dynacrawl prints the reference configuration.
    #[command(subcommand)]
    pub command: Option<ConfigCommand>,
}

/// The commands of `dynacrawl config`.
#[derive(Clone, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check a configuration file
    ///
    /// dynacrawl checks its keys and values, and not the secrets that it refers to.
    Check {
        /// File to check
        file: PathBuf,
    },
}
