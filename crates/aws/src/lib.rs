//! What every AWS call shares, whichever service it goes to: the HTTP stack with its time-outs,
//! proxies and trusted certificates, the endpoint settings, budgets and retries, and the one classifier of errors.

mod budget;
mod cause;
mod class;
mod connections;
mod error;
mod fault;
mod gated;
mod http;
mod places;
mod region;
mod retry;
mod settings;
mod trouble;
mod unreachable;

pub use budget::{Budget, Permit, Quota, Rate};
pub use class::ErrorClass;
pub use error::AwsError;
pub use http::{Connections, HttpError, HttpSettings, HttpStack};
pub use places::{Place, Places, Share};
pub use region::{
    default_sts_region, global_region, is_known_region, is_opt_in_region, known_regions, may_be_disabled,
};
pub use retry::{Failures, RetryPolicy};
pub use settings::{AwsSettings, EndpointSettings, ambient_region, profiles};
pub use trouble::{PROBE_TIME, Probe, Trouble};

/// What every SDK client of this project behaves like; a newer SDK must not change it by itself.
pub fn behavior_version() -> aws_smithy_runtime_api::client::behavior_version::BehaviorVersion {
    aws_smithy_runtime_api::client::behavior_version::BehaviorVersion::v2026_01_12()
}
