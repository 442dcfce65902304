//! A DynamoDB client for one scope: one account in one Region.
//!
//! Only this crate, `dynacrawl-aws`, `dynacrawl-auth` and `dynacrawl-discovery` use the SDK.
//! Every attempt of every call goes through the retry loop of `dynacrawl-auth`, takes a permit of
//! the scope's budget, and is counted. The SDK's own retries are off: a limiter around them could
//! neither meter nor count them.

mod endpoint;
mod latency;
mod raw;
mod scope_client;
mod sign;

pub use dynacrawl_aws::{AwsError, Budget, ErrorClass, Rate, RetryPolicy};
pub use latency::Latency;
pub use scope_client::{CallError, DecodeFailure, Page, ScopeClient, ScopeSettings};
