//! Sources of credentials, as configured.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_types::SdkConfig;
use dynacrawl_aws::{AwsError, ErrorClass};
use futures_util::FutureExt;
use secrecy::{ExposeSecret, SecretString};

use crate::cache::{Source, TIMED_OUT};
use crate::sts::step_name;
use crate::{AssumeRole, AuthError, StsClient};

/// An IAM user's access key, or the keys of a session that was started elsewhere.
#[derive(Clone, Debug)]
pub struct UserKeys {
    /// The access key's id; not a secret.
    pub access_key_id: String,
    /// The secret access key.
    pub secret_access_key: SecretString,
    /// The session token, for temporary credentials.
    pub session_token: Option<SecretString>,
}

/// Credentials for the first role or, without roles, for DynamoDB.
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
    /// The base credentials.
    pub base: BaseCredentials,
    /// The roles to assume, in order.
    pub chain: Vec<AssumeRole>,
}

impl UserKeys {
    /// Exposes the secrets to `show` alone.
    pub(crate) fn with_secrets<T>(&self, show: impl FnOnce(&str, &str, Option<&str>) -> T) -> T {
        let token = self.session_token.as_ref().map(|token| token.expose_secret());
        show(&self.access_key_id, self.secret_access_key.expose_secret(), token)
    }
}

/// The source of base credentials. AWS's default chain gets `timeout` to find them.
pub(crate) fn base_source(base: &BaseCredentials, config: &SdkConfig, timeout: Duration) -> Box<dyn Source> {
    match base {
        BaseCredentials::DefaultChain => Box::new(Chain { provider: config.credentials_provider(), timeout }),
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

    fn step(&self) -> String {
        "configured keys".to_owned()
    }
}

struct Chain {
    provider: Option<SharedCredentialsProvider>,
    timeout: Duration,
}

impl Source for Chain {
    fn fetch(&self) -> Fetch<'_> {
        Box::pin(async {
            let found = match &self.provider {
                // The SDK panics if it signs with a profile's key that has a line break.
                Some(provider) => {
                    let found = AssertUnwindSafe(provider.provide_credentials()).catch_unwind();
                    tokio::time::timeout(self.timeout, found).await
                }
                None => Ok(Ok(Err(CredentialsError::not_loaded("no credentials provider")))),
            };
            let error = match found {
                Ok(Ok(Ok(credentials))) => return Ok(credentials),
                Ok(Ok(Err(error))) => describe(&error),
                Ok(Err(_)) => panicked(),
                Err(_) => self.too_slow(),
            };
            Err(AuthError { step: self.step(), error })
        })
    }

    fn step(&self) -> String {
        "base credentials".to_owned()
    }
}

impl Chain {
    fn too_slow(&self) -> AwsError {
        let message = format!(
            "the profile, its credential_process, web identity, the container or the instance gave no credentials within \
             {:?}: log in first if it waits for a code or a password, or raise aws.credentials_timeout",
            self.timeout
        );
        AwsError::new(ErrorClass::TimedOut, TIMED_OUT, message)
    }
}

/// A panic's message may contain anything, so it is not repeated.
fn panicked() -> AwsError {
    let message = "the AWS SDK cannot use the keys it found: look for blanks and line breaks in the profile's keys";
    AwsError::new(ErrorClass::NoCredentials, "no_credentials", message)
}

/// The chain's error, without the standard error of a credential process: it may contain anything.
fn describe(error: &CredentialsError) -> AwsError {
    let (class, code, message) = match error {
        CredentialsError::CredentialsNotLoaded(_) => (
            ErrorClass::NoCredentials,
            "no_credentials",
            "none found in the environment, the profile, web identity, the container or the instance".to_owned(),
        ),
        CredentialsError::ProviderTimedOut(_) => {
            (ErrorClass::TimedOut, TIMED_OUT, "the provider did not answer in time".to_owned())
        }
        CredentialsError::InvalidConfiguration(_) => {
            (ErrorClass::NoCredentials, "no_credentials", format!("the configuration is not valid: {}", causes(error)))
        }
        _ => (ErrorClass::NoCredentials, "no_credentials", format!("the provider failed: {}", causes(error))),
    };
    AwsError::new(class, code, message)
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

    fn step(&self) -> String {
        step_name(&self.step)
    }
}
