//! `[budget.…]` and `[state]`: how much of AWS's quotas dynacrawl uses, and what it keeps between
//! processes.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use dynacrawl_aws::{Quota, Rate};
use dynacrawl_engine::settings::{Budgets, StateSettings};
use dynacrawl_model::QuotaName;
use dynacrawl_state::Purpose;

use super::error::ConfigError;
use super::raw;
use super::values::{duration, in_range, required};

impl raw::Budgets {
    pub(super) fn validate(&self) -> Result<Budgets, ConfigError> {
        Ok(Budgets {
            sts: quota(QuotaName::Sts, "budget.sts", &self.sts)?,
            organizations: quota(QuotaName::Organizations, "budget.organizations", &self.organizations)?,
            account: quota(QuotaName::Account, "budget.account", &self.account)?,
        })
    }
}

fn quota(name: QuotaName, section: &str, raw: &raw::Budget) -> Result<Quota, ConfigError> {
    let concurrency = in_range(&format!("{section}.concurrency"), raw.concurrency, 1, 1000)?;
    Ok(Quota { name, rate: rate(section, raw.rate, raw.burst)?, concurrency })
}

/// A rate and its burst. A burst of 0 means a tenth of a second's worth; a rate of 0 means no
/// limit.
pub(super) fn rate(section: &str, per_second: Option<u32>, burst: Option<u32>) -> Result<Option<Rate>, ConfigError> {
    let flag = |name: &str| if section == "crawl" { format!(" (--{name})") } else { String::new() };
    let per_second = required(&format!("{section}.rate{}", flag("rate")), per_second)?;
    let burst = required(&format!("{section}.burst{}", flag("burst")), burst)?;
    Ok(NonZeroU32::new(per_second).map(|per_second| match NonZeroU32::new(burst) {
        Some(burst) => Rate { per_second, burst },
        None => Rate::per_second(per_second),
    }))
}

impl raw::State {
    pub(super) fn validate(self) -> Result<Option<StateSettings>, ConfigError> {
        let resume_within = duration("state.resume_within", self.resume_within.as_deref())?;
        let path = self.path.filter(|path| !path.is_empty()).map(PathBuf::from);
        let keep = in_range("state.keep_days", self.keep_days, 1, 36_500)?;
        let undelivered = in_range("state.undelivered_days", self.undelivered_days, 1, 36_500)?;
        let most_undelivered = in_range("state.undelivered_events", self.undelivered_events, 1, 1_000_000_000)?;
        let days = |days: u32| Duration::from_secs(u64::from(days) * 24 * 3600);
        let (keep, undelivered) = (days(keep), days(undelivered));
        Ok(path.map(|path| StateSettings {
            path,
            purpose: Purpose::Real,
            resume_within,
            keep,
            undelivered,
            most_undelivered,
        }))
    }
}
