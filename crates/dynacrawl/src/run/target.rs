//! A target's connection, shared by its scopes: the SDK's settings, the credentials, and whose they are.

use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use dynacrawl_auth::{AuthError, CachedCredentials, CallerIdentity, CredentialChain, CredentialSpec, StsClient};
use dynacrawl_aws::{AwsError, AwsSettings, ErrorClass};
use dynacrawl_client::{ScopeClient, ScopeSettings};
use dynacrawl_model::{AccountId, Operation, Problem, Region, Scope};
use tokio::sync::OnceCell;

use super::tracker::Stopped;
use crate::config::{Config, Target};

/// GetCallerIdentity is a convenience: a missing STS must not hold up a crawl for long.
const IDENTITY_TIMEOUT: Duration = Duration::from_secs(10);

/// What a target's scopes share.
#[derive(Debug)]
pub(crate) struct TargetConnection {
    pub(crate) target: Target,
    pub(crate) sdk: SdkConfig,
    pub(crate) chain: CredentialChain,
    pub(crate) sts_region: Region,
    sts: StsClient,
    sts_url: Option<String>,
    identity: OnceCell<Result<CallerIdentity, AuthError>>,
}

/// A target whose secrets were read and that can be connected.
#[derive(Clone, Debug)]
pub(crate) struct ReadyTarget {
    pub(crate) target: Target,
    spec: CredentialSpec,
    sts_region: Region,
}

impl ReadyTarget {
    pub(crate) fn new(target: Target, spec: CredentialSpec, sts_region: Region) -> Self {
        Self { target, spec, sts_region }
    }

    /// Loads the SDK's settings. Nothing is called yet.
    pub(crate) async fn connect(self, aws: &AwsSettings, config: &Config) -> TargetConnection {
        let sdk = aws.sdk_config(self.target.profile(), &self.sts_region, &config.endpoints).await;
        let sts_url = config.endpoints.sts_url.as_deref();
        let chain = dynacrawl_auth::connect(&self.spec, &sdk, sts_url);
        TargetConnection {
            sts: StsClient::new(&sdk, sts_url, chain.last().clone()),
            target: self.target,
            sdk,
            chain,
            sts_region: self.sts_region,
            sts_url: sts_url.map(str::to_owned),
            identity: OnceCell::new(),
        }
    }
}

impl TargetConnection {
    /// A client for one of the target's Regions.
    pub(crate) fn client(&self, region: &Region, config: &Config) -> Arc<ScopeClient> {
        let settings = ScopeSettings {
            region: region.clone(),
            dynamodb_url: config.endpoints.dynamodb_url.clone(),
            rate: config.crawl.rate,
            retry: config.crawl.retry,
        };
        Arc::new(ScopeClient::new(&self.sdk, self.chain.last().clone(), settings))
    }

    /// An STS client that signs with other credentials of the target.
    pub(crate) fn sts(&self, credentials: CachedCredentials) -> StsClient {
        StsClient::new(&self.sdk, self.sts_url.as_deref(), credentials)
    }

    /// Whose credentials they are; asked once.
    pub(crate) async fn identity(&self) -> Result<CallerIdentity, AuthError> {
        let ask = || async {
            match tokio::time::timeout(IDENTITY_TIMEOUT, self.sts.caller_identity()).await {
                Ok(answer) => answer,
                Err(_) => Err(AuthError::new(
                    Operation::GetCallerIdentity.name(),
                    AwsError::new(ErrorClass::Unreachable, "timeout", "STS did not answer in time"),
                )),
            }
        };
        self.identity.get_or_init(ask).await.clone()
    }

    /// The account, from the configuration, the role's ARN or STS.
    pub(crate) async fn account_id(&self) -> Result<AccountId, AuthError> {
        match &self.target.account_id {
            Some(id) => Ok(id.clone()),
            None => self.identity().await.map(|identity| identity.account_id),
        }
    }

    /// The scope of a Region, as far as it is known without a call.
    pub(crate) fn scope(&self, region: &Region) -> Scope {
        scope_of(&self.target, region)
    }

    /// A Region that is not opted in refuses good credentials as if they were unknown. Told apart by whether STS knows them.
    pub(crate) async fn told_apart(&self, error: &AwsError, stopped: Stopped) -> Stopped {
        if error.class != ErrorClass::UnknownCredentials || self.identity().await.is_err() {
            return stopped;
        }
        let message = format!(
            "the Region is not enabled for the account: it refuses credentials that STS accepts ({}: {})",
            error.code, error.message
        );
        Stopped { outcome: dynacrawl_model::Outcome::NotOptedIn, problem: Problem { message, ..stopped.problem } }
    }
}

/// The scope of a target's Region, as far as the configuration tells it.
pub(crate) fn scope_of(target: &Target, region: &Region) -> Scope {
    Scope { partition: region.partition(), account_id: target.account_id.clone(), region: region.clone() }
}
