//! The SDK's shared configuration, set once for each target.

use aws_config::SdkConfig;
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::ProvideRegion;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::identity::SharedIdentityCache;
use aws_smithy_runtime_api::client::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_smithy_types::retry::RetryConfig;
use aws_types::app_name::AppName;
use aws_types::endpoint_config::AccountIdEndpointMode;
use aws_types::region::Region as SdkRegion;
use dynacrawl_model::Region;

use crate::HttpStack;

/// Which endpoints are called. What is `None` is left to AWS's own environment variables and profile.
#[derive(Clone, Debug, Default)]
pub struct EndpointSettings {
    /// DynamoDB's endpoint, instead of the Region's.
    pub dynamodb_url: Option<String>,
    /// STS's endpoint, instead of the Region's.
    pub sts_url: Option<String>,
    /// FIPS endpoints.
    pub use_fips: Option<bool>,
    /// Dual-stack (IPv6) endpoints.
    pub use_dual_stack: Option<bool>,
    /// Whether endpoints carry the account's id. `None` is `disabled`, unlike the SDK's default: an
    /// endpoint of its own means a DNS look-up, connections and a firewall rule for each account.
    pub account_id_endpoint_mode: Option<AccountIdEndpointMode>,
}

/// What every client of a run has in common.
#[derive(Clone, Debug)]
pub struct AwsSettings {
    /// The HTTP stack.
    pub http: HttpStack,
}

impl AwsSettings {
    /// Loads the SDK's configuration of a profile (or of the environment), for calls in `region`.
    ///
    /// Its credentials provider is the profile if one is named, else AWS's default chain. Calls made with this configuration as it is (by the
    /// chain itself, and to STS) are retried by the SDK.
    pub async fn sdk_config(&self, profile: Option<&str>, region: &Region, endpoints: &EndpointSettings) -> SdkConfig {
        let mut loader = aws_config::defaults(crate::behavior_version())
            .http_client(self.http.client().clone())
            .region(SdkRegion::new(region.as_str().to_owned()))
            .app_name(app_name())
            // Resolved by a cache of our own, one for each role: the SDK's is shared, and evicts arbitrarily.
            .identity_cache(no_identity_cache())
            .retry_config(RetryConfig::standard().with_max_attempts(3))
            // The time-out of an attempt is the HTTP stack's: the SDK's would count waiting for a connection, too. It covers
            // slow bodies, at no cost for each request.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        if let Some(profile) = profile {
            // The default chain would take keys from the environment first, and so crawl another account.
            loader = loader.profile_name(profile).no_credentials();
        }
        if let Some(use_fips) = endpoints.use_fips {
            loader = loader.use_fips(use_fips);
        }
        if let Some(use_dual_stack) = endpoints.use_dual_stack {
            loader = loader.use_dual_stack(use_dual_stack);
        }
        let config = loader.load().await;
        let mode = endpoints.account_id_endpoint_mode.clone().or_else(|| config.account_id_endpoint_mode().cloned());
        let credentials = profile.map(|profile| self.profile_credentials(profile, &config));
        let mut config = config.into_builder();
        if let Some(credentials) = credentials {
            config = config.credentials_provider(credentials);
        }
        config.account_id_endpoint_mode(mode.unwrap_or(AccountIdEndpointMode::Disabled)).build()
    }

    /// A profile's credentials, from the kind of endpoints that `config` is for: a profile's role is assumed by the
    /// provider itself.
    fn profile_credentials(&self, profile: &str, config: &SdkConfig) -> SharedCredentialsProvider {
        let provider = ProviderConfig::default()
            .with_http_client(self.http.client().clone())
            .with_region(config.region().cloned())
            .with_use_fips(config.use_fips())
            .with_use_dual_stack(config.use_dual_stack());
        let profile = ProfileFileCredentialsProvider::builder().configure(&provider).profile_name(profile).build();
        SharedCredentialsProvider::new(profile)
    }
}

/// The Region of `AWS_REGION`, else of the profile. The instance's metadata service is not asked: a Region that nobody
/// configured is no Region to crawl.
pub async fn ambient_region(profile: Option<&str>) -> Option<String> {
    let environment = EnvironmentVariableRegionProvider::new().region().await;
    let region = match environment {
        Some(region) => Some(region),
        None => {
            let mut from_profile = ProfileFileRegionProvider::builder();
            if let Some(profile) = profile {
                from_profile = from_profile.profile_name(profile);
            }
            from_profile.build().region().await
        }
    };
    region.map(|region| region.as_ref().to_owned())
}

/// How dynacrawl names itself in CloudTrail's user agents.
fn app_name() -> AppName {
    AppName::new(concat!("dynacrawl-", env!("CARGO_PKG_VERSION"))).unwrap_or_else(|_| unreachable!("a valid name"))
}

fn no_identity_cache() -> SharedIdentityCache {
    aws_config::identity::IdentityCache::no_cache()
}
