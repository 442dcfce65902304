//! From what is configured to a source of credentials.

use std::future::Future;
use std::pin::Pin;

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_smithy_async::time::SharedTimeSource;
use aws_types::SdkConfig;
use dynacrawl_aws::{AwsError, ErrorClass};
use secrecy::{ExposeSecret, SecretString};

use crate::cache::Source;
use crate::{AssumeRole, AuthError, CachedCredentials, StsClient};

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

/// The credentials of a target, step by step.
#[derive(Clone, Debug)]
pub struct CredentialChain {
    /// What the first role, or DynamoDB itself, is called with.
    pub base: CachedCredentials,
    /// What each role gives, in order.
    pub roles: Vec<CachedCredentials>,
}

impl CredentialChain {
    /// What DynamoDB is called with.
    pub fn last(&self) -> &CachedCredentials {
        self.roles.last().unwrap_or(&self.base)
    }

    /// What the role of this number is assumed with.
    pub fn before(&self, role: usize) -> &CachedCredentials {
        role.checked_sub(1).and_then(|previous| self.roles.get(previous)).unwrap_or(&self.base)
    }
}

/// Sets up the credentials of `spec`: a cache for the base and for each role. Nothing is called yet.
pub fn connect(spec: &CredentialSpec, config: &SdkConfig, sts_url: Option<&str>) -> CredentialChain {
    let clock = config.time_source().unwrap_or_default();
    let base = base(&spec.base, config, clock.clone());
    let mut chain = CredentialChain { base, roles: Vec::new() };
    for step in &spec.chain {
        let sts = StsClient::new(config, sts_url, chain.last().clone());
        chain.roles.push(CachedCredentials::new(Role { sts, step: step.clone() }, clock.clone()));
    }
    chain
}

fn base(base: &BaseCredentials, config: &SdkConfig, clock: SharedTimeSource) -> CachedCredentials {
    match base {
        BaseCredentials::DefaultChain => CachedCredentials::new(Chain(config.credentials_provider()), clock),
        BaseCredentials::Keys(keys) => CachedCredentials::new(Keys(keys.clone()), clock),
    }
}

type Fetch<'a> = Pin<Box<dyn Future<Output = Result<Credentials, AuthError>> + Send + 'a>>;

struct Keys(UserKeys);

impl Source for Keys {
    fn fetch(&self) -> Fetch<'_> {
        let Self(UserKeys { access_key_id, secret_access_key, session_token }) = self;
        let token = session_token.as_ref().map(|token| token.expose_secret().to_owned());
        let credentials =
            Credentials::new(access_key_id, secret_access_key.expose_secret(), token, None, "configured keys");
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

struct Role {
    sts: StsClient,
    step: AssumeRole,
}

impl Source for Role {
    fn fetch(&self) -> Fetch<'_> {
        Box::pin(self.sts.assume_role(&self.step))
    }
}
