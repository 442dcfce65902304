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

/// The endpoints to call. AWS's own environment variables and profile decide what is `None`.
#[derive(Clone, Debug, Default)]
pub struct EndpointSettings {
    /// DynamoDB's endpoint, instead of the Region's.
    pub dynamodb_url: Option<String>,
    /// STS's endpoint, instead of the Region's.
    pub sts_url: Option<String>,
    /// Whether to use FIPS endpoints.
    pub use_fips: Option<bool>,
    /// Whether to use dual-stack (IPv6) endpoints.
    pub use_dual_stack: Option<bool>,
    /// Whether endpoints contain the account's id. `None` is `disabled`, unlike the SDK's default:
    /// a separate endpoint needs a DNS look-up, connections and a firewall rule for each account.
    pub account_id_endpoint_mode: Option<AccountIdEndpointMode>,
}

/// What every client of a run has in common.
#[derive(Clone, Debug)]
pub struct AwsSettings {
    /// The HTTP stack.
    pub http: HttpStack,
}

impl AwsSettings {
    /// Loads the SDK's configuration from a profile (or the environment), for calls in `region`.
    ///
    /// Its credentials provider is the profile if one is named, else AWS's default chain. The SDK
    /// retries calls that use this configuration unchanged (those of the chain itself, and to STS).
    pub async fn sdk_config(&self, profile: Option<&str>, region: &Region, endpoints: &EndpointSettings) -> SdkConfig {
        let mut loader = aws_config::defaults(crate::behavior_version())
            .http_client(self.http.client().clone())
            .region(SdkRegion::new(region.as_str().to_owned()))
            .app_name(app_name())
            // dynacrawl has its own cache for each role: the SDK's is shared, and evicts
            // arbitrarily.
            .identity_cache(no_identity_cache())
            .retry_config(RetryConfig::standard().with_max_attempts(3))
            // The HTTP stack times out attempts: the SDK would count the wait for a connection,
            // too. That covers slow bodies, at no cost for each request.
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

    /// The settings of credential providers. A profile's role is assumed at the kind of endpoint
    /// that `config` selects.
    fn provider_config(&self, config: &SdkConfig) -> ProviderConfig {
        ProviderConfig::default()
            .with_http_client(self.http.client().clone())
            .with_region(config.region().cloned())
            .with_use_fips(config.use_fips())
            .with_use_dual_stack(config.use_dual_stack())
    }
}

/// The Region of `AWS_REGION`, else of the profile. The instance metadata service is not queried:
/// dynacrawl does not crawl a Region that is not configured.
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

/// The name of dynacrawl in CloudTrail's user agents.
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

    /// Records where requests go, and fails them.
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
            HttpConnectorFuture::ready(Err(ConnectorError::user("no response".into())))
        }
    }

    /// The STS endpoint at which a profile's role is assumed.
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
        provider.provide_credentials().await.expect_err("no response");
        let asked = recorder.0.lock().expect("the list");
        asked.first().cloned().unwrap_or_default()
    }

    #[tokio::test]
    async fn a_profiles_role_is_assumed_at_the_selected_endpoint_kind() {
        let fips = EndpointSettings { use_fips: Some(true), ..EndpointSettings::default() };
        assert_eq!(sts_of_a_profiles_role(&fips).await, "https://sts-fips.us-east-1.amazonaws.com/");
        let dual_stack = EndpointSettings { use_dual_stack: Some(true), ..EndpointSettings::default() };
        assert_eq!(sts_of_a_profiles_role(&dual_stack).await, "https://sts.us-east-1.api.aws/");
        let neither = EndpointSettings::default();
        assert_eq!(sts_of_a_profiles_role(&neither).await, "https://sts.us-east-1.amazonaws.com/");
    }
}
