//! From what is configured to a source of credentials.

use std::future::Future;
use std::pin::Pin;

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_types::SdkConfig;
use dynacrawl_aws::{AwsError, ErrorClass};
use secrecy::{ExposeSecret, SecretString};

use crate::cache::Source;
use crate::{AssumeRole, AuthError, StsClient};

/// An IAM user's access key, or the keys of a session that someone else began.
#[derive(Clone, Debug)]
pub struct UserKeys {
    /// The access key's id; not a secret.
    pub access_key_id: String,
    /// The secret access key.
    pub secret_access_key: SecretString,
    /// The session token, for temporary credentials.
    pub session_token: Option<SecretString>,
}

/// What the first role, or DynamoDB itself, is called with.
#[derive(Clone, Debug)]
pub enum BaseCredentials {
    /// AWS's default chain: environment, profile, web identity, container, instance.
    DefaultChain,
    /// Keys from the configuration.
    Keys(UserKeys),
}

/// How to get a target's credentials.
#[derive(Clone, Debug)]
pub struct CredentialSpec {
    /// What it begins with.
    pub base: BaseCredentials,
    /// The roles to assume, in order.
    pub chain: Vec<AssumeRole>,
}

impl UserKeys {
    /// Shows the secrets to `show`, for a moment.
    pub(crate) fn with_secrets<T>(&self, show: impl FnOnce(&str, &str, Option<&str>) -> T) -> T {
        let token = self.session_token.as_ref().map(|token| token.expose_secret());
        show(&self.access_key_id, self.secret_access_key.expose_secret(), token)
    }
}

/// Where base credentials come from.
pub(crate) fn base_source(base: &BaseCredentials, config: &SdkConfig) -> Box<dyn Source> {
    match base {
        BaseCredentials::DefaultChain => Box::new(Chain(config.credentials_provider())),
        BaseCredentials::Keys(keys) => Box::new(Keys(keys.clone())),
    }
}

type Fetch<'a> = Pin<Box<dyn Future<Output = Result<Credentials, AuthError>> + Send + 'a>>;

struct Keys(UserKeys);

impl Source for Keys {
    fn fetch(&self) -> Fetch<'_> {
        let credentials = self.0.with_secrets(|id, secret, token| {
            Credentials::new(id, secret, token.map(str::to_owned), None, "configured keys")
        });
        Box::pin(std::future::ready(Ok(credentials)))
    }
}

struct Chain(Option<SharedCredentialsProvider>);

impl Source for Chain {
    fn fetch(&self) -> Fetch<'_> {
        Box::pin(async {
            let provider = self.0.as_ref().ok_or(CredentialsError::not_loaded("no credentials provider"));
            let credentials = match provider {
                Ok(provider) => provider.provide_credentials().await,
                Err(error) => Err(error),
            };
            credentials.map_err(|error| AuthError { step: "base credentials".to_owned(), error: describe(&error) })
        })
    }
}

/// The chain's error, without what a credential process wrote to its standard error: that may be anything.
fn describe(error: &CredentialsError) -> AwsError {
    let said = match error {
        CredentialsError::CredentialsNotLoaded(_) => {
            "none found in the environment, the profile, web identity, the container or the instance".to_owned()
        }
        CredentialsError::ProviderTimedOut(_) => "the provider did not answer in time".to_owned(),
        CredentialsError::InvalidConfiguration(_) => format!("the configuration is not valid: {}", causes(error)),
        _ => format!("the provider failed: {}", causes(error)),
    };
    AwsError::new(ErrorClass::NoCredentials, "no_credentials", said)
}

fn causes(error: &CredentialsError) -> String {
    let mut texts = Vec::new();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        texts.push(error.to_string());
        cause = error.source();
    }
    texts.dedup();
    let text = texts.join(": ");
    text.split_once("Stderr:").map_or(text.as_str(), |(before, _)| before.trim_end()).to_owned()
}

/// A role to assume.
pub(crate) struct Role {
    pub(crate) sts: StsClient,
    pub(crate) step: AssumeRole,
}

impl Source for Role {
    fn fetch(&self) -> Fetch<'_> {
        Box::pin(self.sts.assume_role(&self.step))
    }
}
