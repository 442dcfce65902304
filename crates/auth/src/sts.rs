//! The two calls to STS.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sdk_sts::config::Builder;
use aws_smithy_runtime::client::retries::RetryPartition;
use aws_smithy_types::retry::RetryConfig;
use aws_types::SdkConfig;
use dynacrawl_aws::{AwsError, ErrorClass, Quota, RetryPolicy};
use dynacrawl_model::{AccountId, Operation};

use crate::cache::TIMED_OUT;
use crate::{AssumeRole, AuthError, CachedCredentials, Caller, ExternalId};

/// The owner of credentials, from GetCallerIdentity, which needs no permission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerIdentity {
    /// `Account`.
    pub account_id: AccountId,
    /// `Arn` of the user or of the role's session.
    pub arn: String,
}

/// An STS client that signs with one source of credentials.
#[derive(Clone, Debug)]
pub struct StsClient {
    client: aws_sdk_sts::Client,
    /// For GetCallerIdentity. It fails soon if there is no STS, as with an emulator of DynamoDB.
    asking: Caller,
    /// For AssumeRole, without which an account cannot be crawled.
    assuming: Caller,
    timeout: Duration,
}

/// Fewer attempts than for tables, because whole scopes wait for the response. But an account is
/// not given up after only a few seconds without STS.
fn retry(patience: Duration) -> RetryPolicy {
    RetryPolicy {
        max_attempts: 5,
        max_unreachable: 5,
        max_backoff: Duration::from_secs(2),
        patience,
        ..RetryPolicy::default()
    }
}

/// The name of a step in an error.
pub(crate) fn step_name(step: &AssumeRole) -> String {
    format!("assuming {}", step.arn)
}

impl StsClient {
    /// A client for the Region of `config`; `url` replaces that Region's endpoint. `quota` paces
    /// requests, because a run may start by assuming a thousand roles. A call is repeated for at
    /// most `timeout` from its first attempt on; the wait for its turn before that does not count.
    pub fn new(
        config: &SdkConfig,
        url: Option<&str>,
        credentials: CachedCredentials,
        quota: Quota,
        timeout: Duration,
    ) -> Self {
        let mut builder = Builder::from(config)
            .credentials_provider(credentials.clone())
            .retry_config(RetryConfig::disabled())
            .retry_partition(RetryPartition::custom("").build());
        if let Some(url) = url {
            builder = builder.endpoint_url(url);
        }
        let asking = Caller::within(quota, credentials, retry(timeout)).within_time(timeout);
        let assuming = asking.clone().awaiting_endpoint();
        Self { client: aws_sdk_sts::Client::from_conf(builder.build()), asking, assuming, timeout }
    }

    /// sts:GetCallerIdentity
    ///
    /// # Errors
    /// If there are no credentials, or STS refuses them or cannot be reached.
    pub async fn caller_identity(&self) -> Result<CallerIdentity, AuthError> {
        let answer = self
            .call(Operation::GetCallerIdentity, "GetCallerIdentity", || async {
                self.client.get_caller_identity().send().await.map_err(|e| AwsError::from_sdk(&e))
            })
            .await?;
        let unusable = || AuthError {
            step: "GetCallerIdentity".to_owned(),
            error: AwsError::new(ErrorClass::Other, "invalid_response", "the answer has no account id"),
        };
        Ok(CallerIdentity {
            account_id: answer.account().and_then(|id| id.parse().ok()).ok_or_else(unusable)?,
            arn: answer.arn().unwrap_or_default().to_owned(),
        })
    }

    /// sts:AssumeRole, with the step's external id.
    ///
    /// # Errors
    /// If there are no credentials, or STS refuses to assume the role.
    pub async fn assume_role(&self, step: &AssumeRole) -> Result<Credentials, AuthError> {
        self.assume_role_as(step, step.external_id.as_ref()).await
    }

    /// sts:AssumeRole with another external id, or none: tests whether the trust policy requires
    /// one.
    ///
    /// # Errors
    /// If there are no credentials, or STS refuses to assume the role.
    pub async fn assume_role_as(
        &self,
        step: &AssumeRole,
        external_id: Option<&ExternalId>,
    ) -> Result<Credentials, AuthError> {
        let name = step_name(step);
        let answer = self
            .call(Operation::AssumeRole, &name, || async {
                self.client
                    .assume_role()
                    .role_arn(step.arn.as_str())
                    .role_session_name(step.session_name.as_str())
                    .duration_seconds(i32::try_from(step.duration().as_secs()).unwrap_or(i32::MAX))
                    .set_external_id(external_id.map(|id| id.as_str().to_owned()))
                    .send()
                    .await
                    .map_err(|e| AwsError::from_sdk(&e))
            })
            .await?;
        let Some(session) = answer.credentials() else {
            let error = AwsError::new(ErrorClass::Other, "invalid_response", "the answer has no credentials");
            return Err(AuthError { step: name, error });
        };
        let expiry = SystemTime::try_from(*session.expiration()).ok();
        let mut builder = Credentials::builder()
            .access_key_id(session.access_key_id())
            .secret_access_key(session.secret_access_key())
            .session_token(session.session_token())
            .account_id(step.arn.account_id().as_str())
            .provider_name("AssumeRole");
        builder.set_expiry(expiry);
        Ok(builder.build())
    }

    /// STS counts requests against the caller's account, so each caller has its own budget.
    async fn call<T, F>(&self, operation: Operation, step: &str, call: impl Fn() -> F) -> Result<T, AuthError>
    where
        F: Future<Output = Result<T, AwsError>>,
    {
        let caller = if operation == Operation::AssumeRole { &self.assuming } else { &self.asking };
        caller.call(operation, |_| {}, call).await.map_err(|failed| match failed.no_credentials {
            Some(before) => before,
            None => AuthError { step: step.to_owned(), error: self.explained(failed.error) },
        })
    }

    /// Adds advice to a time-out.
    fn explained(&self, error: AwsError) -> AwsError {
        if error.class != ErrorClass::TimedOut {
            return error;
        }
        let message = format!(
            "STS gave no answer within {:?}: check the network path to it, or raise aws.credentials_timeout ({})",
            self.timeout, error.message
        );
        AwsError::new(error.class, TIMED_OUT, message)
    }
}
