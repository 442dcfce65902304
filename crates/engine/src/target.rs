//! A target's connection, shared by its scopes: the SDK's settings, the credentials, and their
//! account.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_config::SdkConfig;
use aws_types::endpoint_config::AccountIdEndpointMode;
use aws_types::service_config::ServiceConfigKey;
use dynacrawl_auth::{AuthError, CallerIdentity, CredentialChain, CredentialPool, CredentialSpec};
use dynacrawl_aws::{AwsError, AwsSettings, EndpointSettings, ErrorClass, Places, may_be_disabled};
use dynacrawl_client::{Rate, RetryPolicy, ScopeClient, ScopeSettings};
use dynacrawl_model::{AccountId, Escaped, Operation, Problem, Region, Scope};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::stop_reason::StopReason;
use crate::settings::{Settings, Target};

/// The account that emulators put into their ARNs.
pub(crate) const EMULATOR_ACCOUNT: &str = "000000000000";

/// GetCallerIdentity is optional: an unreachable STS must not hold up a crawl for long.
const IDENTITY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a failure of GetCallerIdentity is shared: the Regions of one account call it at the
/// same time.
const SHARED_FAILURE: Duration = Duration::from_secs(1);

/// What a target's scopes share.
#[derive(Debug)]
pub struct TargetConnection {
    /// The target.
    pub target: Target,
    /// The SDK's settings.
    pub sdk: SdkConfig,
    /// The credentials, role by role.
    pub chain: CredentialChain,
    /// The Region whose STS endpoint is called.
    pub sts_region: Region,
    /// Whether DynamoDB is called at another endpoint than AWS's own.
    pub custom_endpoint: bool,
    requests: Places,
    settings: ConnectionSettings,
    /// The clients of the target's scopes. A scope keeps its client, and the budget in it, between its steps.
    clients: std::sync::Mutex<HashMap<Region, Arc<ScopeClient>>>,
    identity: Mutex<Option<Identity>>,
    /// The account that STS or a table's ARN has proven.
    proven: OnceLock<AccountId>,
    /// Whether a Region has accepted the credentials.
    accepted: AtomicBool,
}

/// What STS answered about the account of the credentials.
#[derive(Debug)]
enum Identity {
    Caller(CallerIdentity),
    /// The call failed; until when the failure is shared.
    Failed(AuthError, Instant),
}

/// What names the account that a scope is expected to belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamedBy {
    /// The configuration of this target.
    Configuration(String),
    /// The ARN of the role that is assumed last.
    Role(String),
    /// The process that began the run.
    EarlierProcess,
}

impl fmt::Display for NamedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration(target) => {
                write!(f, "account_id (--account-id) of the target '{}'", Escaped(target))
            }
            Self::Role(arn) => write!(f, "the role {}", Escaped(arn)),
            Self::EarlierProcess => f.write_str("the process that began this run"),
        }
    }
}

/// A target whose secrets were read and that can be connected.
#[derive(Clone, Debug)]
pub struct ReadyTarget {
    /// The target.
    pub target: Target,
    spec: CredentialSpec,
    sts_region: Region,
}

impl ReadyTarget {
    /// A target with its secrets.
    pub fn new(target: Target, spec: CredentialSpec, sts_region: Region) -> Self {
        Self { target, spec, sts_region }
    }

    /// Another target with the same base credentials.
    pub fn beside(&self, target: Target, settings: &Settings) -> Self {
        let spec = CredentialSpec { base: self.spec.base.clone(), chain: target.chain.clone() };
        let sts_region = settings.sts_region(&target);
        Self { target, spec, sts_region }
    }
}

/// What all connections have in common.
#[derive(Clone, Debug)]
struct ConnectionSettings {
    endpoints: EndpointSettings,
    /// Requests per second in a scope.
    rate: Option<Rate>,
    retry: RetryPolicy,
}

/// Connects targets. They share the SDK's settings of a profile, credentials, and the places for
/// requests in flight.
#[derive(Debug)]
pub struct Connector {
    aws: AwsSettings,
    pool: CredentialPool,
    settings: ConnectionSettings,
    loaded: Mutex<HashMap<(Option<String>, Region), SdkConfig>>,
    requests: Places,
}

impl Connector {
    /// A connector for the runs of these settings.
    pub fn new(aws: AwsSettings, settings: &Settings) -> Self {
        Self {
            requests: Places::new(settings.crawl.requests, settings.crawl.scopes, aws.http.connections()),
            aws,
            pool: CredentialPool::new(settings.budgets.sts, settings.credentials_timeout),
            settings: ConnectionSettings {
                endpoints: settings.endpoints.clone(),
                rate: settings.crawl.rate,
                retry: settings.crawl.retry,
            },
            loaded: Mutex::default(),
        }
    }

    /// Allows endpoints that could not be reached to be tried again.
    pub fn forget_unreachable(&self) {
        self.aws.http.forget_unreachable();
    }

    /// Loads the SDK's settings, and sets up the credentials. Makes no call to AWS yet.
    pub async fn connect(&self, ready: &ReadyTarget) -> TargetConnection {
        let ReadyTarget { target, spec, sts_region } = ready;
        let endpoints = &self.settings.endpoints;
        let sdk = self.sdk(target.profile(), sts_region).await;
        let chain = self.pool.chain(spec, target.profile(), &sdk, endpoints.sts_url.as_deref());
        TargetConnection {
            target: target.clone(),
            chain,
            sts_region: sts_region.clone(),
            custom_endpoint: endpoints.dynamodb_url.is_some() || has_custom_endpoint(&sdk),
            sdk,
            requests: self.requests.clone(),
            settings: self.settings.clone(),
            clients: std::sync::Mutex::default(),
            identity: Mutex::default(),
            proven: OnceLock::new(),
            accepted: AtomicBool::new(false),
        }
    }

    async fn sdk(&self, profile: Option<&str>, region: &Region) -> SdkConfig {
        let mut loaded = self.loaded.lock().await;
        let key = (profile.map(str::to_owned), region.clone());
        if let Some(known) = loaded.get(&key) {
            return known.clone();
        }
        let sdk = self.aws.sdk_config(profile, region, &self.settings.endpoints).await;
        loaded.insert(key, sdk.clone());
        sdk
    }
}

impl TargetConnection {
    /// The client for one of the target's Regions.
    pub fn client(&self, region: &Region) -> Arc<ScopeClient> {
        let mut clients = self.clients.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        clients.entry(region.clone()).or_insert_with(|| self.new_client(region)).clone()
    }

    /// Drops the client of a Region whose scope has ended, with its budget and its share of the
    /// requests in flight.
    pub(crate) fn forget_client(&self, region: &Region) {
        self.clients.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(region);
    }

    fn new_client(&self, region: &Region) -> Arc<ScopeClient> {
        let settings = ScopeSettings {
            region: region.clone(),
            dynamodb_url: self.settings.endpoints.dynamodb_url.clone(),
            rate: self.settings.rate,
            requests: self.requests.share(&self.endpoint(region)),
            retry: self.settings.retry,
            opt_in: may_be_disabled(region),
        };
        Arc::new(ScopeClient::new(&self.sdk, self.chain.last().credentials.clone(), settings))
    }

    /// What identifies the endpoint of a client: the Region, and whatever may lead to another
    /// endpoint.
    fn endpoint(&self, region: &Region) -> String {
        let account = match self.sdk.account_id_endpoint_mode() {
            Some(AccountIdEndpointMode::Disabled) | None => "",
            Some(_) => &self.target.name,
        };
        format!("dynamodb {region} {} {account}", self.target.profile().unwrap_or_default())
    }

    /// Which account the credentials belong to. An answer is kept; a failure is shared only by
    /// calls at the same time.
    pub async fn identity(&self) -> Result<CallerIdentity, AuthError> {
        let mut known = self.identity.lock().await;
        match &*known {
            Some(Identity::Caller(caller)) => return Ok(caller.clone()),
            Some(Identity::Failed(error, until)) if Instant::now() < *until => return Err(error.clone()),
            _ => {}
        }
        let answer = self.ask_sts().await;
        *known = Some(match &answer {
            Ok(caller) => Identity::Caller(caller.clone()),
            Err(error) => Identity::Failed(error.clone(), Instant::now() + SHARED_FAILURE),
        });
        answer
    }

    /// Whether an account is that of emulators, behind an endpoint that may be one.
    pub fn is_emulated(&self, account_id: &AccountId) -> bool {
        self.custom_endpoint && account_id.as_str() == EMULATOR_ACCOUNT
    }

    /// Asks STS which account the credentials belong to now.
    pub async fn ask_sts(&self) -> Result<CallerIdentity, AuthError> {
        // Getting the credentials has its own time-out, and its error says more about what is
        // wrong.
        self.chain.last().credentials.get().await?;
        match tokio::time::timeout(IDENTITY_TIMEOUT, self.chain.last().sts().caller_identity()).await {
            Ok(answer) => answer,
            Err(_) => Err(AuthError::new(
                Operation::GetCallerIdentity.name(),
                AwsError::new(ErrorClass::Unreachable, "timeout", "STS did not answer in time"),
            )),
        }
    }

    /// The account that STS or the tables of one of the target's scopes have proven.
    pub fn proven_account(&self) -> Option<AccountId> {
        self.proven.get().cloned()
    }

    /// Takes note that a Region has accepted the credentials.
    pub fn accept(&self) {
        self.accepted.store(true, Ordering::Relaxed);
    }

    /// Takes note of the account that STS, or a table of one of the target's scopes, has proven.
    pub fn prove(&self, account_id: AccountId) {
        // All scopes have the same credentials.
        let _ = self.proven.set(account_id);
    }

    /// The account that the target is expected to have, and what names it.
    pub fn expected_account(&self) -> Option<(AccountId, NamedBy)> {
        let account_id = self.target.account_id.clone()?;
        let by = match self.target.chain.last() {
            Some(role) => NamedBy::Role(role.arn.to_string()),
            None => NamedBy::Configuration(self.target.name.clone()),
        };
        Some((account_id, by))
    }

    /// The account, from the configuration, the role's ARN or STS.
    pub async fn account_id(&self) -> Result<AccountId, AuthError> {
        match &self.target.account_id {
            Some(id) => Ok(id.clone()),
            None => self.identity().await.map(|identity| identity.account_id),
        }
    }

    /// The scope of a Region, as far as it is known without a call.
    pub fn scope(&self, region: &Region) -> Scope {
        scope_of(&self.target, region)
    }

    /// A Region that is not enabled refuses valid credentials as if they were unknown. STS
    /// distinguishes the two cases. It is called now, because a key that was valid at the start of
    /// the run may have been deleted since.
    pub async fn not_enabled_or_refused(&self, region: &Region, error: &AwsError, reason: StopReason) -> StopReason {
        if error.class == ErrorClass::NotOptedIn && !may_be_disabled(region) {
            return StopReason { outcome: dynacrawl_model::Outcome::AuthFailed, ..reason };
        }
        if error.class != ErrorClass::UnknownCredentials || !may_be_disabled(region) {
            return reason;
        }
        let accepted = match self.ask_sts().await {
            Ok(_) => "STS accepts",
            // STS gives no answer, so that another Region has accepted them has to suffice.
            Err(failed) if !failed.error.class.is_about_credentials() && self.accepted.load(Ordering::Relaxed) => {
                "other Regions accept"
            }
            Err(_) => return reason,
        };
        let message = format!(
            "the Region is not enabled for the account: it refuses credentials that {accepted} ({}: {})",
            error.code, error.message
        );
        let problem = Problem { message, ..reason.problem };
        StopReason::for_good(dynacrawl_model::Outcome::NotOptedIn, problem)
    }
}

/// Whether AWS's own settings (environment, profile) name an endpoint for DynamoDB.
fn has_custom_endpoint(sdk: &SdkConfig) -> bool {
    let key =
        ServiceConfigKey::builder().service_id("DynamoDB").env("AWS_ENDPOINT_URL").profile("endpoint_url").build();
    let named = key.ok().and_then(|key| sdk.service_config()?.load_config(key));
    named.is_some() || sdk.endpoint_url().is_some()
}

/// The scope of a target's Region, as far as the configuration names it.
pub(crate) fn scope_of(target: &Target, region: &Region) -> Scope {
    Scope { partition: region.partition(), account_id: target.account_id.clone(), region: region.clone() }
}
