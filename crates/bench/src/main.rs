//! dynacrawl-bench: how much a crawl costs, beside the least that any client could cost, in one run.
//!
//! Three processes, all of this program: the simulator, the crawl with the real pipeline, and the floor, a raw HTTP client
//! that sends the same requests and throws the answers away. Their CPU time is counted apart. On request the peers follow,
//! what others would run for the same tables.

mod crawl;
mod floor;
mod measure;
mod peers;
mod processes;
mod state;

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use serde::{Deserialize, Serialize};

use dynacrawl::config::ConcurrencySetting;

use crate::peers::{Peer, PeerReport};
use crate::state::StateReport;

/// The crawler's allocator, so that the same is measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Cargo's profile that this program was built with, from its build script.
const PROFILE: &str = env!("DYNACRAWL_BENCH_PROFILE");

/// Measure a crawl of the simulator, and the floor beside it; prints one JSON line.
#[derive(Debug, Parser)]
#[command(
    name = "dynacrawl-bench",
    version = concat!(env!("CARGO_PKG_VERSION"), " (profile ", env!("DYNACRAWL_BENCH_PROFILE"), ")"),
    args_conflicts_with_subcommands = true
)]
struct Cli {
    #[command(flatten)]
    estate: EstateArgs,
    #[command(subcommand)]
    part: Option<Part>,
}

/// What is crawled, and how.
#[derive(Clone, Debug, Args)]
struct EstateArgs {
    /// Tables in each scope
    #[arg(long, default_value_t = 20_000)]
    tables: u64,
    /// Accounts
    #[arg(long, default_value_t = 1)]
    accounts: usize,
    /// Regions of each account
    #[arg(long, default_value_t = 1)]
    regions: usize,
    /// How long the simulator takes for each request, in milliseconds
    #[arg(long, default_value_t = 0)]
    latency_ms: u64,
    /// Requests a second that the simulator allows in each scope [default: no limit]
    #[arg(long)]
    quota: Option<u32>,
    /// Requests a second that the crawler allows itself in each scope, 0 for no limit [default: the quota]
    #[arg(long)]
    rate: Option<u32>,
    /// Tables described at once in each scope: auto, or an upper bound [default: the crawler's own]
    #[arg(long, value_name = "auto|N")]
    concurrency: Option<ConcurrencySetting>,
    /// Where the crawl writes its lines
    #[arg(long, default_value = "/dev/null")]
    output: String,
    /// Also crawl with a state, in this directory or one that is made for it: what knowing every table costs
    #[arg(long, value_name = "DIRECTORY", num_args = 0..=1, default_missing_value = "")]
    state: Option<String>,
    /// Compare with what others would run, as far as crates/bench/peers/setup has installed it
    #[arg(
        long,
        value_enum,
        value_name = "PEERS",
        value_delimiter = ',',
        num_args = 0..,
        require_equals = true,
        default_missing_value = "boto3,datahub"
    )]
    peers: Vec<Peer>,
}

/// The processes; started by the program itself.
#[derive(Debug, Subcommand)]
enum Part {
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

/// The result: one line.
#[derive(Debug, Serialize)]
struct Report {
    /// Cargo's profile that this program was built with. What is shipped, and compared, is `dist`.
    profile: &'static str,
    /// Tables described, over all scopes.
    tables: u64,
    output_lines: u64,
    output_bytes: u64,
    /// As the simulator counted them.
    describe_requests: u64,
    seconds: f64,
    tables_per_second: f64,
    /// CPU time of the crawler's process alone, in microseconds.
    cpu_us_per_table: f64,
    /// The most memory that the crawler's process had, in MiB.
    peak_rss_mb: f64,
    /// Accounts times Regions.
    scopes: u64,
    scopes_complete: u64,
    /// Whether every scope is complete, and tables, lines and requests are as many as there are tables, none more.
    exact: bool,
    /// As the simulator counted them.
    assume_role_requests: u64,
    /// The most connections at once, as the simulator saw them.
    peak_connections: u64,
    /// The most requests in one second, as the simulator saw them.
    peak_requests_per_second: u64,
    floor_requests: u64,
    floor_seconds: f64,
    floor_requests_per_second: f64,
    floor_cpu_us_per_request: f64,
    floor_peak_rss_mb: f64,
    /// The crawler's CPU time for a table over the floor's for a request.
    cpu_ratio_to_floor: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<StateReport>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    peers: BTreeMap<Peer, PeerReport>,
}

/// What a process of its own reports of itself.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Measured {
    done: u64,
    output_lines: u64,
    output_bytes: u64,
    scopes_complete: u64,
    seconds: f64,
    cpu_seconds: f64,
    peak_rss_mb: f64,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.part {
        None => processes::run(&cli.estate),
        Some(Part::Simulator(args)) => dynacrawl_sim::run(&args, false).map_err(Into::into),
        Some(Part::Crawl { config }) => crawl::run(&config),
        Some(Part::Floor { url, requests, connections, access_key_id, region }) => {
            floor::run(&url, requests, connections, &access_key_id, &region)
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
