//! What calls to all AWS services share: the HTTP stack with its time-outs, proxies and trusted
//! certificates, the endpoint settings, budgets and retries, and the error classifier.

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

/// The behavior version of every SDK client, fixed so that an SDK upgrade does not change it.
pub fn behavior_version() -> aws_smithy_runtime_api::client::behavior_version::BehaviorVersion {
    aws_smithy_runtime_api::client::behavior_version::BehaviorVersion::v2026_01_12()
}
