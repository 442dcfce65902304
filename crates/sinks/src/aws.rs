//! Who calls AWS for a sink, and with which credentials.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use dynacrawl_aws::{AwsSettings, EndpointSettings, HttpSettings};
use dynacrawl_model::Region;
use secrecy::ExposeSecret;

use crate::secret::{SecretError, SecretRef};

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The most connections of a sink.
const CONNECTIONS: usize = 8;

/// The identity that calls AWS for a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AwsIdentity {
    /// That of a profile, or of AWS's default chain.
    Ambient {
        /// The profile.
        profile: Option<String>,
        /// A role to assume with its credentials.
        role: Option<AwsRole>,
    },
    /// An IAM user, by its keys.
    Keys {
        /// The access key.
        access_key_id: SecretRef,
        /// The secret key.
        secret_access_key: SecretRef,
    },
}

/// A role that a sink assumes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsRole {
    /// Its ARN.
    pub arn: String,
    /// The external ID that its trust policy requires.
    pub external_id: Option<String>,
}

impl fmt::Display for AwsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ambient { profile: Some(profile), .. } => write!(f, "the profile {profile}"),
            Self::Ambient { profile: None, .. } => f.write_str("AWS's default chain"),
            Self::Keys { .. } => f.write_str("the configured keys"),
        }
    }
}

impl AwsIdentity {
    /// The SDK's configuration with the identity's credentials, which nothing caches yet.
    ///
    /// `timeout`: how long one request may take.
    ///
    /// # Errors
    /// If a secret or the file of certificate authorities cannot be read.
    pub(crate) async fn sdk_config(
        &self,
        region: &Region,
        ca_bundle: Option<&Path>,
        timeout: Duration,
    ) -> Result<SdkConfig, String> {
        let of_environment = || std::env::var_os("AWS_CA_BUNDLE").filter(|path| !path.is_empty()).map(PathBuf::from);
        let http = HttpSettings {
            connect_timeout: CONNECT_TIMEOUT,
            answer_timeout: timeout,
            connections: CONNECTIONS,
            ca_bundle: ca_bundle.map(Path::to_owned).or_else(of_environment),
            use_proxies: true,
            plain: false,
        };
        let settings = AwsSettings { http: http.build().map_err(|error| error.to_string())? };
        let profile = match self {
            Self::Ambient { profile, .. } => profile.as_deref(),
            Self::Keys { .. } => None,
        };
        let config = settings.sdk_config(profile, region, &EndpointSettings::default()).await;
        let provider = match self {
            Self::Ambient { role: None, .. } => return Ok(config),
            Self::Ambient { role: Some(role), .. } => {
                let mut builder = AssumeRoleProvider::builder(&role.arn).session_name("dynacrawl").configure(&config);
                if let Some(id) = &role.external_id {
                    builder = builder.external_id(id);
                }
                SharedCredentialsProvider::new(builder.build().await)
            }
            Self::Keys { access_key_id, secret_access_key } => {
                let read = |key: &str, secret: &SecretRef| {
                    secret.read().map_err(|error: SecretError| format!("{key}: {error}"))
                };
                let id = read("access_key_id", access_key_id)?;
                let secret = read("secret_access_key", secret_access_key)?;
                let keys = Credentials::new(id.expose_secret(), secret.expose_secret(), None, None, "configuration");
                SharedCredentialsProvider::new(keys)
            }
        };
        Ok(config.into_builder().credentials_provider(provider).build())
    }
}
