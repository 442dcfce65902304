//! How the simulated service behaves.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::quota::Quota;

/// The behavior of a [`Simulator`](crate::Simulator) or an [`InProcess`](crate::InProcess) service,
/// which is set when it starts.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether signatures (and the age of requests) are checked. Benchmarks turn it off.
    pub verify_signatures: bool,
    /// How long every request takes.
    pub latency: Duration,
    /// Latencies of single scopes, by account id and Region.
    pub latency_overrides: BTreeMap<(String, String), Duration>,
    /// The quota that ListTables and DescribeTable share in each account and Region. `None` means
    /// no limit.
    pub quota: Option<Quota>,
    /// Quotas of single scopes, by account id and Region. `None` means no limit.
    pub quota_overrides: BTreeMap<(String, String), Option<Quota>>,
    /// The quota of ListAccounts in each account. `None` means no limit. AWS has
    /// [`Quota::LIST_ACCOUNTS`].
    pub list_accounts_quota: Option<Quota>,
    /// The quota of ListRegions in each account. `None` means no limit. AWS has
    /// [`Quota::LIST_REGIONS`].
    pub list_regions_quota: Option<Quota>,
    /// The loopback port; 0 lets the system choose.
    pub port: u16,
    /// Ends every session after this time, whatever the request says. The `Expiration` in the
    /// answer shows it.
    pub max_session: Option<Duration>,
    /// The most names on a page of ListTables, also if the client requests more. `None` means AWS's
    /// 100.
    pub list_page_size: Option<usize>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            verify_signatures: true,
            latency: Duration::ZERO,
            latency_overrides: BTreeMap::new(),
            quota: None,
            quota_overrides: BTreeMap::new(),
            list_accounts_quota: None,
            list_regions_quota: None,
            port: 0,
            max_session: None,
            list_page_size: None,
        }
    }
}
