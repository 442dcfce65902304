//! The measurements, and the report.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::args::Peer;

/// Cargo's profile with which this program was built, from its build script.
pub(crate) const PROFILE: &str = env!("DYNACRAWL_BENCH_PROFILE");

/// The result, which is printed as one line.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Cargo's profile with which this program was built. Releases and comparisons use `dist`.
    pub(crate) profile: &'static str,
    /// Tables described, over all scopes.
    pub(crate) tables: u64,
    pub(crate) output_lines: u64,
    pub(crate) output_bytes: u64,
    /// As the simulator counted them.
    pub(crate) describe_requests: u64,
    pub(crate) seconds: f64,
    pub(crate) tables_per_second: f64,
    /// CPU time of only the crawler's process, in microseconds.
    pub(crate) cpu_us_per_table: f64,
    /// The peak memory of the crawler's process, in MiB.
    pub(crate) peak_rss_mb: f64,
    /// Accounts times Regions.
    pub(crate) scopes: u64,
    pub(crate) scopes_complete: u64,
    /// Whether every scope is complete, and the numbers of tables, lines and requests match the
    /// estate exactly.
    pub(crate) exact: bool,
    /// As the simulator counted them.
    pub(crate) assume_role_requests: u64,
    /// The most connections at once, as the simulator counted them.
    pub(crate) peak_connections: u64,
    /// The most requests in one second, as the simulator counted them.
    pub(crate) peak_requests_per_second: u64,
    pub(crate) floor_requests: u64,
    pub(crate) floor_seconds: f64,
    pub(crate) floor_requests_per_second: f64,
    pub(crate) floor_cpu_us_per_request: f64,
    pub(crate) floor_peak_rss_mb: f64,
    /// The crawler's CPU time for a table, divided by the floor's for a request.
    pub(crate) cpu_ratio_to_floor: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<StateReport>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) peers: BTreeMap<Peer, PeerReport>,
}

/// The report of a process about itself.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) done: u64,
    pub(crate) output_lines: u64,
    pub(crate) output_bytes: u64,
    pub(crate) scopes_complete: u64,
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: f64,
    pub(crate) peak_rss_mb: f64,
}

/// The cost of a peer. The figures are those of its whole process, including the start of the
/// interpreter.
#[derive(Debug, Serialize)]
pub(crate) struct PeerReport {
    /// Tables in its output.
    pub(crate) tables: u64,
    /// Whether it succeeded, and its output has exactly as many tables as the estate.
    pub(crate) exact: bool,
    pub(crate) seconds: f64,
    pub(crate) cpu_us_per_table: f64,
    pub(crate) peak_rss_mb: f64,
    /// Its CPU time for a table, divided by the crawler's.
    pub(crate) cpu_ratio_to_crawl: f64,
}

/// The cost of a state.
#[derive(Debug, Serialize)]
pub(crate) struct StateReport {
    /// CPU time of the crawl that adds every table, in microseconds for each table.
    pub(crate) first_cpu_us_per_table: f64,
    /// The median of crawls that find nothing new.
    pub(crate) unchanged_cpu_us_per_table: f64,
    /// The median of crawls without a state.
    pub(crate) without_cpu_us_per_table: f64,
    /// The share of the state in the CPU time of a crawl that finds nothing new: for the tables and
    /// for the progress.
    pub(crate) share_of_cpu: f64,
    /// The rows that crawls that find nothing new have written to the tables `tables`, `records`,
    /// `changes` and `staged`.
    pub(crate) unchanged_rows_written: i64,
    pub(crate) state_bytes: u64,
    pub(crate) peak_rss_mb: f64,
}

pub(crate) fn per(total: f64, count: u64) -> f64 {
    if count == 0 { 0.0 } else { total / count as f64 }
}

pub(crate) fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
