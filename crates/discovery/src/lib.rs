//! What there is to crawl: the accounts of an AWS organization, and the Regions that an account has enabled.
//!
//! This crate does not know what is crawled there.

mod ec2;
mod organization;
mod regions;

pub use organization::{AccountFilter, FoundAccounts, InvalidUnit, Organization, UnitId};
pub use regions::{AccountRegions, FoundRegions};

use std::sync::Arc;

use dynacrawl_auth::{CachedCredentials, CallFailed, Caller};
use dynacrawl_aws::{AwsError, Budget, BudgetSettings, RetryPolicy};
use tokio::sync::Semaphore;

/// The endpoints to ask, where they are not AWS's own.
#[derive(Clone, Debug, Default)]
pub struct DiscoveryUrls {
    /// AWS Organizations.
    pub organizations: Option<String>,
    /// AWS Account Management.
    pub account: Option<String>,
    /// Amazon EC2.
    pub ec2: Option<String>,
}

/// A call that failed for good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{action}: {error}")]
#[non_exhaustive]
pub struct DiscoveryError {
    /// The call, by its IAM action.
    pub action: &'static str,
    /// What its last attempt failed with.
    pub error: AwsError,
}

impl DiscoveryError {
    fn of(action: &'static str) -> impl Fn(CallFailed) -> Self {
        move |failed| Self { action, error: failed.error }
    }
}

fn caller(credentials: &CachedCredentials, budget: BudgetSettings, retry: RetryPolicy) -> Caller {
    let requests = Arc::new(Semaphore::new(budget.concurrency));
    Caller::new(credentials.clone(), Arc::new(Budget::new(budget.rate)), requests, retry)
}
