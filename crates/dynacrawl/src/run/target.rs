//! A target's connection, shared by its scopes: the SDK's settings, the credentials, and whose they are.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use dynacrawl_auth::{AuthError, CallerIdentity, CredentialChain, CredentialPool, CredentialSpec};
use dynacrawl_aws::{AwsError, AwsSettings, ErrorClass};
use dynacrawl_client::{ScopeClient, ScopeSettings};
use dynacrawl_model::{AccountId, Operation, Problem, Region, Scope};
use tokio::sync::{Mutex, OnceCell, Semaphore};

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
    requests: Arc<Semaphore>,
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

    /// Another target with the same base credentials.
    pub(crate) fn beside(&self, target: Target, config: &Config) -> Self {
        let spec = CredentialSpec { base: self.spec.base.clone(), chain: target.chain.clone() };
        let sts_region = config.sts_region(&target);
        Self { target, spec, sts_region }
    }
}

/// Connects targets. What they have in common is there once: the SDK's settings of a profile, credentials, and the places
/// for requests in flight.
#[derive(Debug)]
pub(crate) struct Connector {
    aws: AwsSettings,
    pool: CredentialPool,
    settings: Mutex<HashMap<(Option<String>, Region), SdkConfig>>,
    requests: Arc<Semaphore>,
}

impl Connector {
    pub(crate) fn new(aws: AwsSettings, config: &Config) -> Self {
        Self {
            aws,
            pool: CredentialPool::new(config.budgets.sts, config.credentials_timeout),
            settings: Mutex::default(),
            requests: Arc::new(Semaphore::new(config.crawl.requests)),
        }
    }

    /// Loads the SDK's settings, and sets up the credentials. Nothing is called yet.
    pub(crate) async fn connect(&self, ready: &ReadyTarget, config: &Config) -> TargetConnection {
        let ReadyTarget { target, spec, sts_region } = ready;
        let sdk = self.settings(target.profile(), sts_region, config).await;
        let chain = self.pool.chain(spec, target.profile(), &sdk, config.endpoints.sts_url.as_deref());
        TargetConnection {
            target: target.clone(),
            sdk,
            chain,
            sts_region: sts_region.clone(),
            requests: self.requests.clone(),
            identity: OnceCell::new(),
        }
    }

    async fn settings(&self, profile: Option<&str>, region: &Region, config: &Config) -> SdkConfig {
        let mut settings = self.settings.lock().await;
        let key = (profile.map(str::to_owned), region.clone());
        if let Some(known) = settings.get(&key) {
            return known.clone();
        }
        let loaded = self.aws.sdk_config(profile, region, &config.endpoints).await;
        settings.insert(key, loaded.clone());
        loaded
    }
}

impl TargetConnection {
    /// A client for one of the target's Regions.
    pub(crate) fn client(&self, region: &Region, config: &Config) -> Arc<ScopeClient> {
        let settings = ScopeSettings {
            region: region.clone(),
            dynamodb_url: config.endpoints.dynamodb_url.clone(),
            rate: config.crawl.rate,
            requests: self.requests.clone(),
            retry: config.crawl.retry,
            opt_in: false,
        };
        Arc::new(ScopeClient::new(&self.sdk, self.chain.last().credentials.clone(), settings))
    }

    /// Whose credentials they are; asked once.
    pub(crate) async fn identity(&self) -> Result<CallerIdentity, AuthError> {
        let ask = || async {
            // Getting the credentials has a time-out of its own, and says more about what is wrong.
            self.chain.last().credentials.get().await?;
            match tokio::time::timeout(IDENTITY_TIMEOUT, self.chain.last().sts().caller_identity()).await {
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
