//! Sources of credentials: an IAM user's keys, AWS's default chain (environment, profile, web
//! identity, container, instance), and roles assumed on top of either. Also finds their owner.
//!
//! Every step has one cache for the process. So one role costs one AssumeRole per session, however
//! many targets and Regions are crawled with it.

mod cache;
mod caller;
mod pool;
mod provider;
mod role;
mod sts;
mod usable;

pub use cache::CachedCredentials;
pub use caller::{Attempt, CallFailed, Caller};
pub use pool::{CredentialChain, CredentialPool, Step};
pub use provider::{BaseCredentials, CredentialSpec, UserKeys};
pub use role::{AssumeRole, DEFAULT_DURATION, ExternalId, InvalidRole, RoleArn, SessionName};
pub use sts::{CallerIdentity, StsClient};

use dynacrawl_aws::AwsError;

/// Why there are no credentials: the step that failed, and AWS's error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{step}: {error}")]
#[non_exhaustive]
pub struct AuthError {
    /// The step, such as `base credentials` or `assuming arn:aws:iam::123456789012:role/Crawler`.
    pub step: String,
    /// What went wrong there.
    pub error: AwsError,
}

impl AuthError {
    /// An error in a step.
    pub fn new(step: impl Into<String>, error: AwsError) -> Self {
        Self { step: step.into(), error }
    }
}
