//! Sources of credentials that do not answer, answer late, or return invalid keys.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_types::SdkConfig;
use aws_types::region::Region as SdkRegion;
use dynacrawl_auth::{
    AssumeRole, AuthError, BaseCredentials, CredentialChain, CredentialPool, CredentialSpec, DEFAULT_DURATION,
    SessionName, UserKeys,
};
use dynacrawl_aws::ErrorClass;
use dynacrawl_sim::{Account, Effect, Estate, FaultRule, InProcess, Operation, Options, Role, Tables};
use tokio::time::Instant;

const HOME: &str = "111111111111";
const MEMBER: &str = "222222222222";
const REGION: &str = "eu-west-1";

/// The simulator as a network that works only from `reachable_from` on.
#[derive(Clone)]
struct Inside {
    simulator: InProcess,
    reachable_from: Instant,
}

impl fmt::Debug for Inside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inside")
    }
}

impl HttpClient for Inside {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Inside {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let Self { simulator, reachable_from } = self.clone();
        HttpConnectorFuture::new(async move {
            if Instant::now() < reachable_from {
                return Err(ConnectorError::io("tcp connect error: connection refused".into()));
            }
            let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
            let request = request.map(|body| body.bytes().unwrap_or_default().to_vec().into());
            let answer = simulator.answer(request).await.map_err(|error| ConnectorError::io(error.into()))?;
            HttpResponse::try_from(answer.map(SdkBody::from)).map_err(|error| ConnectorError::user(error.into()))
        })
    }
}

fn simulator() -> InProcess {
    let home = Account::new(HOME).region(REGION, Tables::new());
    let member = Account::new(MEMBER).role(Role::new("Reader").trusts(HOME)).region(REGION, Tables::new());
    InProcess::new(Estate::new(vec![home, member]), &Options { verify_signatures: false, ..Options::default() })
}

fn config(simulator: &InProcess, unreachable: Duration) -> SdkConfig {
    let reachable_from = Instant::now() + unreachable;
    SdkConfig::builder()
        .behavior_version(dynacrawl_aws::behavior_version())
        .region(SdkRegion::new(REGION))
        .http_client(SharedHttpClient::new(Inside { simulator: simulator.clone(), reachable_from }))
        .build()
}

/// The member's role, assumed with the home account's keys.
fn role(config: &SdkConfig) -> CredentialChain {
    let access = Account::new(HOME).access("home");
    let keys = UserKeys {
        access_key_id: access.access_key_id,
        secret_access_key: access.secret_access_key.into(),
        session_token: None,
    };
    let arn = format!("arn:aws:iam::{MEMBER}:role/Reader").parse().expect("an ARN");
    let step = AssumeRole::new(arn, None, SessionName::default(), DEFAULT_DURATION).expect("a role");
    let spec = CredentialSpec { base: BaseCredentials::Keys(keys), chain: vec![step] };
    CredentialPool::default().chain(&spec, None, config, Some("http://simulator"))
}

/// The credentials of AWS's default chain if it finds only `provider`.
async fn from_chain(provider: impl ProvideCredentials + 'static, timeout: Duration) -> Result<Credentials, AuthError> {
    let config = SdkConfig::builder()
        .behavior_version(dynacrawl_aws::behavior_version())
        .region(SdkRegion::new(REGION))
        .credentials_provider(SharedCredentialsProvider::new(provider))
        .build();
    let spec = CredentialSpec { base: BaseCredentials::DefaultChain, chain: Vec::new() };
    let budget = dynacrawl_aws::Quota { name: dynacrawl_model::QuotaName::Sts, rate: None, concurrency: 1 };
    CredentialPool::new(budget, timeout).chain(&spec, None, &config, None).last().credentials.get().await
}

#[tokio::test(start_paused = true)]
async fn an_account_survives_seconds_of_sts_errors() {
    for status in [500, 503] {
        let simulator = simulator();
        simulator.add_fault(FaultRule::new(Effect::Status(status)).operation(Operation::AssumeRole).first(12));
        let started = Instant::now();
        role(&config(&simulator, Duration::ZERO)).last().credentials.get().await.expect("a session");
        assert!(started.elapsed() > Duration::from_secs(5), "{:?}", started.elapsed());
        assert_eq!(simulator.counts().requests(Operation::AssumeRole), 13);
    }
}

#[tokio::test(start_paused = true)]
async fn an_account_survives_seconds_of_unreachable_sts() {
    let simulator = simulator();
    let chain = role(&config(&simulator, Duration::from_secs(20)));
    chain.last().credentials.get().await.expect("a session");
    assert_eq!(simulator.counts().requests(Operation::AssumeRole), 1);
}

#[tokio::test(start_paused = true)]
async fn without_sts_the_caller_identity_fails_soon() {
    let chain = role(&config(&simulator(), Duration::from_secs(3600)));
    let started = Instant::now();
    let failed = chain.base.sts().caller_identity().await.expect_err("no STS");
    assert_eq!(failed.error.class, ErrorClass::Unreachable);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_broken_sts_is_given_up_in_time_and_called_again_soon() {
    let simulator = simulator();
    let fault = simulator.add_fault(FaultRule::new(Effect::Status(503)).operation(Operation::AssumeRole));
    let chain = role(&config(&simulator, Duration::ZERO));
    let started = Instant::now();
    let failed = chain.last().credentials.get().await.expect_err("broken");
    assert_eq!(failed.error.class, ErrorClass::Transient);
    assert!((25..=30).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
    simulator.remove_fault(fault);
    tokio::time::advance(Duration::from_secs(1)).await;
    chain.last().credentials.get().await.expect("a temporary failure is not kept");
}

#[tokio::test(start_paused = true)]
async fn a_hanging_sts_is_given_up_in_time_and_named() {
    let simulator = simulator();
    simulator.add_fault(FaultRule::new(Effect::Delay(Duration::from_secs(3600))).operation(Operation::AssumeRole));
    let started = Instant::now();
    let failed = role(&config(&simulator, Duration::ZERO)).last().credentials.get().await.expect_err("hangs");
    assert_eq!((failed.error.class, &*failed.error.code), (ErrorClass::TimedOut, "credentials_timeout"));
    assert!(failed.to_string().contains("role/Reader") && failed.to_string().contains("aws.credentials_timeout"));
    assert_eq!(started.elapsed(), Duration::from_secs(30));
}

#[derive(Debug)]
struct Waits;

impl ProvideCredentials for Waits {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(std::future::pending())
    }
}

#[tokio::test(start_paused = true)]
async fn a_hanging_source_is_given_up_in_time() {
    let started = Instant::now();
    let failed = from_chain(Waits, Duration::from_secs(7)).await.expect_err("it waits for a code");
    assert_eq!((failed.error.class, &*failed.error.code), (ErrorClass::TimedOut, "credentials_timeout"));
    assert!(failed.to_string().contains("credential_process"), "{failed}");
    assert_eq!(started.elapsed(), Duration::from_secs(7));
}

#[tokio::test(start_paused = true)]
async fn callers_that_wait_for_a_source_share_its_time_out() {
    let config = SdkConfig::builder()
        .behavior_version(dynacrawl_aws::behavior_version())
        .region(SdkRegion::new(REGION))
        .credentials_provider(SharedCredentialsProvider::new(Waits))
        .build();
    let spec = CredentialSpec { base: BaseCredentials::DefaultChain, chain: Vec::new() };
    let pool = Arc::new(CredentialPool::default());
    let started = Instant::now();
    let waiting = (0..64).map(|_| async {
        let chain = pool.chain(&spec, None, &config, None);
        chain.last().credentials.get().await.expect_err("it waits for a code").error.code
    });
    let codes = futures_util::future::join_all(waiting).await;
    assert!(codes.iter().all(|code| code == "credentials_timeout"));
    assert_eq!(started.elapsed(), Duration::from_secs(30), "not one after the other");
}

#[tokio::test]
async fn keys_with_a_line_break_are_refused_from_any_source() {
    let broken = Credentials::new("AKIAEXAMPLE\n", "hidden", None, None, "test");
    let failed = from_chain(broken, Duration::from_secs(30)).await.expect_err("no key");
    assert_eq!((failed.error.class, &*failed.step), (ErrorClass::NoCredentials, "base credentials"));

    let keys = UserKeys {
        access_key_id: "AKIAEXAMPLE".to_owned(),
        secret_access_key: "hid den".to_owned().into(),
        session_token: None,
    };
    let spec = CredentialSpec { base: BaseCredentials::Keys(keys), chain: Vec::new() };
    let config = config(&simulator(), Duration::ZERO);
    let chain = CredentialPool::default().chain(&spec, None, &config, None);
    let failed = chain.last().sts().caller_identity().await.expect_err("no key");
    assert_eq!((failed.error.class, &*failed.step), (ErrorClass::NoCredentials, "configured keys"));
    assert!(!failed.to_string().contains("hid"), "{failed}");
}

#[derive(Debug)]
struct Panics;

impl ProvideCredentials for Panics {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async { panic!("on purpose, with a secret") })
    }
}

#[tokio::test]
async fn an_sdk_panic_is_an_error_without_its_message() {
    let failed = from_chain(Panics, Duration::from_secs(30)).await.expect_err("a panic");
    assert_eq!(failed.error.class, ErrorClass::NoCredentials);
    assert!(!failed.to_string().contains("secret"), "{failed}");
}
