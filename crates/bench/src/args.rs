//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};
use dynacrawl::config::ConcurrencySetting;
use serde::Serialize;

/// Measure a crawl of the simulator, and the floor, and print one JSON line
#[derive(Debug, Parser)]
#[command(
    name = "dynacrawl-bench",
    version = concat!(env!("CARGO_PKG_VERSION"), " (profile ", env!("DYNACRAWL_BENCH_PROFILE"), ")"),
    args_conflicts_with_subcommands = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) estate: EstateArgs,
    #[command(subcommand)]
    pub(crate) part: Option<Part>,
}

/// The estate to crawl, and how to crawl it.
#[derive(Clone, Debug, Args)]
pub(crate) struct EstateArgs {
    /// Tables in each scope
    #[arg(long, default_value_t = 20_000)]
    pub(crate) tables: u64,
    /// Accounts
    #[arg(long, default_value_t = 1)]
    pub(crate) accounts: usize,
    /// Regions of each account
    #[arg(long, default_value_t = 1)]
    pub(crate) regions: usize,
    /// How long the simulator takes for each request, in milliseconds
    #[arg(long, default_value_t = 0)]
    pub(crate) latency_ms: u64,
    /// Requests a second that the simulator allows in each scope [default: no limit]
    #[arg(long)]
    pub(crate) quota: Option<u32>,
    /// Requests a second that the crawler allows itself in each scope, 0 for no limit [default: the quota]
    #[arg(long)]
    pub(crate) rate: Option<u32>,
    /// Tables described at once in each scope: auto, or an upper bound [default: the crawler's own]
    #[arg(long, value_name = "auto|N")]
    pub(crate) concurrency: Option<ConcurrencySetting>,
    /// Where the crawl writes its lines
    #[arg(long, default_value = "/dev/null")]
    pub(crate) output: String,
    /// Also measure the cost of a state, in this directory or a temporary one
    #[arg(long, value_name = "DIRECTORY", num_args = 0..=1, default_missing_value = "")]
    pub(crate) state: Option<String>,
    /// Compare with other tools, if crates/bench/peers/setup has installed them
    #[arg(
        long,
        value_enum,
        value_name = "PEERS",
        value_delimiter = ',',
        num_args = 0..,
        require_equals = true,
        default_missing_value = "boto3,datahub"
    )]
    pub(crate) peers: Vec<Peer>,
}

/// The processes that the program itself starts.
#[derive(Debug, Subcommand)]
pub(crate) enum Part {
    #[command(hide = true)]
    Simulator(dynacrawl_sim::Args),
    #[command(hide = true)]
    Crawl { config: std::path::PathBuf },
    #[command(hide = true)]
    Floor {
        #[arg(long)]
        url: String,
        #[arg(long)]
        requests: u64,
        #[arg(long)]
        connections: usize,
        #[arg(long)]
        access_key_id: String,
        #[arg(long)]
        region: String,
    },
}

/// The tools to compare the crawler with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Peer {
    /// A script with boto3 and 50 threads, over all accounts and Regions
    Boto3,
    /// DataHub's source for DynamoDB, over the first Region of the first account, because it
    /// supports only one
    #[value(name = "datahub")]
    DataHub,
}
