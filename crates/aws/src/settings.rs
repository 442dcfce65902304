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

    /// A profile's credentials.
    fn profile_credentials(&self, profile: &str, config: &SdkConfig) -> SharedCredentialsProvider {
        let provider = ProfileFileCredentialsProvider::builder().configure(&self.provider_config(config));
        SharedCredentialsProvider::new(provider.profile_name(profile).build())
    }

    /// What credential providers go by: a profile's role is assumed at the kind of endpoint that `config` is for.
    fn provider_config(&self, config: &SdkConfig) -> ProviderConfig {
        ProviderConfig::default()
            .with_http_client(self.http.client().clone())
            .with_region(config.region().cloned())
            .with_use_fips(config.use_fips())
            .with_use_dual_stack(config.use_dual_stack())
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

/// The profiles of AWS's configuration files. `None` if the files cannot be read.
pub async fn profiles() -> Option<Vec<String>> {
    let files = aws_runtime::env_config::file::EnvConfigFiles::default();
    let (fs, env) = (aws_types::os_shim_internal::Fs::real(), aws_types::os_shim_internal::Env::real());
    let loaded = aws_config::profile::load(&fs, &env, &files, None).await.ok()?;
    let mut names: Vec<_> = loaded.profiles().map(str::to_owned).collect();
    names.sort_unstable();
    Some(names)
}

/// How dynacrawl names itself in CloudTrail's user agents.
fn app_name() -> AppName {
    AppName::new(concat!("dynacrawl-", env!("CARGO_PKG_VERSION"))).unwrap_or_else(|_| unreachable!("a valid name"))
}

fn no_identity_cache() -> SharedIdentityCache {
    aws_config::identity::IdentityCache::no_cache()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use aws_config::profile::ProfileFileCredentialsProvider;
    use aws_credential_types::provider::ProvideCredentials;
    use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
    use aws_smithy_runtime_api::client::http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
    };
    use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
    use aws_smithy_runtime_api::client::result::ConnectorError;
    use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

    use super::{AwsSettings, EndpointSettings};

    /// Writes down where requests go, and answers none.
    #[derive(Clone, Debug, Default)]
    struct Recorder(Arc<Mutex<Vec<String>>>);

    impl HttpClient for Recorder {
        fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
            SharedHttpConnector::new(self.clone())
        }
    }

    impl HttpConnector for Recorder {
        fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
            self.0.lock().expect("the list").push(request.uri().to_owned());
            HttpConnectorFuture::ready(Err(ConnectorError::user("nobody answers".into())))
        }
    }

    /// Where the role of a profile is assumed.
    async fn sts_of_a_profiles_role(endpoints: &EndpointSettings) -> String {
        let recorder = Recorder::default();
        let aws = AwsSettings { http: SharedHttpClient::new(recorder.clone()).into() };
        let region = "us-east-1".parse().expect("a Region");
        let config = aws.sdk_config(Some("member"), &region, endpoints).await;
        let profiles = "[profile member]\nrole_arn = arn:aws:iam::123456789012:role/Reader\nsource_profile = hub\n\
                        [profile hub]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = secret\n";
        let files = EnvConfigFiles::builder().with_contents(EnvConfigFileKind::Config, profiles).build();
        let provider = ProfileFileCredentialsProvider::builder().configure(&aws.provider_config(&config));
        let provider = provider.profile_files(files).profile_name("member").build();
        provider.provide_credentials().await.expect_err("nobody answers");
        let asked = recorder.0.lock().expect("the list");
        asked.first().cloned().unwrap_or_default()
    }

    #[tokio::test]
    async fn a_profiles_role_is_assumed_at_the_kind_of_endpoint_that_is_asked_for() {
        let fips = EndpointSettings { use_fips: Some(true), ..EndpointSettings::default() };
        assert_eq!(sts_of_a_profiles_role(&fips).await, "https://sts-fips.us-east-1.amazonaws.com/");
        let dual_stack = EndpointSettings { use_dual_stack: Some(true), ..EndpointSettings::default() };
        assert_eq!(sts_of_a_profiles_role(&dual_stack).await, "https://sts.us-east-1.api.aws/");
        let neither = EndpointSettings::default();
        assert_eq!(sts_of_a_profiles_role(&neither).await, "https://sts.us-east-1.amazonaws.com/");
    }
}
