//! What there is to crawl: the accounts of an AWS organization, and the Regions that an account has enabled.
//!
//! This crate does not know what is crawled there.

mod ec2;
mod organization;
mod regions;

pub use organization::{AccountFilter, FoundAccounts, InvalidUnit, Organization, UnitId};
pub use regions::{AccountRegions, FoundRegions};

use dynacrawl_auth::Caller;
use dynacrawl_aws::{AwsError, ErrorClass};

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

/// AWS's name of a call, from its IAM action.
fn operation(action: &'static str) -> &'static str {
    action.rsplit(':').next().unwrap_or(action)
}

/// All pages of a listing, and what ended it early. A page may be empty and not be the last.
async fn pages<C, T, F>(
    caller: &Caller,
    action: &'static str,
    page: impl Fn(Option<String>) -> F,
) -> (C, Option<DiscoveryError>)
where
    C: Default + Extend<T> + IntoIterator<Item = T>,
    F: Future<Output = Result<(C, Option<String>), AwsError>>,
{
    let mut all = C::default();
    let mut next: Option<String> = None;
    loop {
        let (items, following) = match caller.call(operation(action), |_| {}, || page(next.clone())).await {
            Ok(answer) => answer,
            Err(failed) => return (all, Some(DiscoveryError { action, error: failed.error })),
        };
        all.extend(items);
        let following = following.filter(|token| !token.is_empty());
        if following.is_none() {
            return (all, None);
        }
        if following == next {
            let said = "NextToken is that of the page before: the listing would never end";
            let error = AwsError::new(ErrorClass::Other, "invalid_response", said);
            return (all, Some(DiscoveryError { action, error }));
        }
        next = following;
    }
}
