//! How AWS's quotas are used, and what is remembered between processes.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use dynacrawl_aws::{Quota, Rate};
use dynacrawl_model::QuotaName;
use dynacrawl_state::Purpose;

use super::ConfigError;
use super::raw;
use super::values::{duration, in_range, required};

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

/// What is remembered between processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateSettings {
    /// The file.
    pub path: PathBuf,
    /// What for.
    pub purpose: Purpose,
    /// How old the last commit of a run may be for the run to be gone on with.
    pub resume_within: Duration,
    /// For how long changes, and tables that are gone, are remembered.
    pub keep: Duration,
}

impl Budgets {
    pub(super) fn validate(raw: &raw::Budgets) -> Result<Self, ConfigError> {
        Ok(Self {
            sts: quota(QuotaName::Sts, "budget.sts", &raw.sts)?,
            organizations: quota(QuotaName::Organizations, "budget.organizations", &raw.organizations)?,
            account: quota(QuotaName::Account, "budget.account", &raw.account)?,
        })
    }
}

fn quota(name: QuotaName, section: &str, raw: &raw::Budget) -> Result<Quota, ConfigError> {
    let concurrency = in_range(&format!("{section}.concurrency"), raw.concurrency, 1, 1000)?;
    Ok(Quota { name, rate: rate(section, raw.rate, raw.burst)?, concurrency })
}

/// A rate, with its burst or a tenth of a second's worth; none for 0.
pub(super) fn rate(section: &str, per_second: Option<u32>, burst: Option<u32>) -> Result<Option<Rate>, ConfigError> {
    let flag = |name: &str| if section == "crawl" { format!(" (--{name})") } else { String::new() };
    let per_second = required(&format!("{section}.rate{}", flag("rate")), per_second)?;
    let burst = required(&format!("{section}.burst{}", flag("burst")), burst)?;
    Ok(NonZeroU32::new(per_second).map(|per_second| match NonZeroU32::new(burst) {
        Some(burst) => Rate { per_second, burst },
        None => Rate::per_second(per_second),
    }))
}

impl StateSettings {
    pub(super) fn validate(raw: raw::State) -> Result<Option<Self>, ConfigError> {
        let resume_within = duration("state.resume_within", raw.resume_within.as_deref())?;
        let path = raw.path.filter(|path| !path.is_empty()).map(PathBuf::from);
        let days = in_range("state.keep_days", raw.keep_days, 1, 36_500)?;
        let keep = Duration::from_secs(u64::from(days) * 24 * 3600);
        Ok(path.map(|path| Self { path, purpose: Purpose::Real, resume_within, keep }))
    }
}
