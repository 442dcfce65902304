//! How to crawl, and how AWS's quotas are used.

use std::time::Duration;

use dynacrawl_aws::Quota;
use dynacrawl_client::{Rate, RetryPolicy};
use dynacrawl_fetcher::{Concurrency, Probe};
use dynacrawl_sinks::Lines;
use dynacrawl_walker::TableFilter;

use super::output::Destination;

/// How to crawl.
#[derive(Clone, Debug)]
pub struct CrawlSettings {
    /// Requests per second in a scope; `None`: no limit.
    pub rate: Option<Rate>,
    /// Tables described at once in a scope.
    pub concurrency: Concurrency,
    /// Scopes crawled at once.
    pub scopes: usize,
    /// Requests to DynamoDB in flight at once, over all scopes.
    pub requests: usize,
    /// How often a call is tried.
    pub retry: RetryPolicy,
    /// How long after a `ResourceNotFoundException` a listed table is requested again.
    pub recheck_after: Duration,
    /// The additional calls for each table.
    pub probes: Vec<&'static Probe>,
    /// Include expressions.
    pub include: Vec<String>,
    /// Exclude expressions.
    pub exclude: Vec<String>,
    /// Both, compiled.
    pub filter: TableFilter,
    /// Which lines the output gets.
    pub lines: Lines,
    /// Where the records go.
    pub output: Destination,
    /// How many finished files of a template are kept; 0: all.
    pub keep_files: u32,
    /// How long sinks may take to accept the events of a run before the run fails.
    pub deliver_within: Duration,
    /// How long the scopes under way may take to end after an interrupt.
    pub grace: Duration,
    /// Whether tables are only listed.
    pub dry_run: bool,
}

/// How the quotas of other services than DynamoDB are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budgets {
    /// AWS STS, for each caller.
    pub sts: Quota,
    /// AWS Organizations, for each organization.
    pub organizations: Quota,
    /// account:ListRegions and ec2:DescribeRegions, for each account.
    pub account: Quota,
}
