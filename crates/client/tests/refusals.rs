//! Credentials that AWS refuses during a run, on simulated time.

use std::fmt;
use std::time::{Duration, SystemTime};

use aws_smithy_runtime::client::identity::IdentityCache;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::DateTime;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::date_time::Format;
use aws_types::SdkConfig;
use aws_types::region::Region as SdkRegion;
use dynacrawl_auth::{AssumeRole, BaseCredentials, CredentialPool, CredentialSpec, SessionName, UserKeys};
use dynacrawl_aws::{Connections, Places};
use dynacrawl_client::{CallError, DecodeFailure, ErrorClass, RetryPolicy, ScopeClient, ScopeSettings};
use dynacrawl_model::TableName;
use dynacrawl_sim::{Account, Effect, Estate, FaultRule, InProcess, Operation, Options, Role, Tables};
use tokio::time::Instant;

const HOME: &str = "111111111111";
const MEMBER: &str = "222222222222";
const REGION: &str = "eu-west-1";

/// The simulator as a network. The dates of its responses are `ahead` of the local clock.
#[derive(Clone)]
struct Inside {
    simulator: InProcess,
    ahead: Duration,
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
        let Self { simulator, ahead } = self.clone();
        HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
            let request = request.map(|body| body.bytes().unwrap_or_default().to_vec().into());
            let answer = simulator.answer(request).await.map_err(|error| ConnectorError::io(error.into()))?;
            let mut answer = HttpResponse::try_from(answer.map(SdkBody::from))
                .map_err(|error| ConnectorError::user(error.into()))?;
            let date = DateTime::from(SystemTime::now() + ahead).fmt(Format::HttpDate);
            answer.headers_mut().insert("date", date.map_err(|error| ConnectorError::user(error.into()))?);
            Ok(answer)
        })
    }
}

fn simulator(skew: Duration) -> InProcess {
    let home = Account::new(HOME).region(REGION, Tables::new());
    let member = Account::new(MEMBER).role(Role::new("Reader").trusts(HOME)).region(REGION, Tables::new().generated(5));
    let simulator = InProcess::new(Estate::new(vec![home, member]), &Options::default());
    simulator.set_clock_skew(i64::try_from(skew.as_secs()).expect("a number"));
    simulator
}

/// A client for the member's account, through its role.
fn client(simulator: &InProcess, region: &str, opt_in: bool, ahead: Duration) -> ScopeClient {
    let http = SharedHttpClient::new(Inside { simulator: simulator.clone(), ahead });
    let config = SdkConfig::builder()
        .behavior_version(dynacrawl_aws::behavior_version())
        .region(SdkRegion::new(REGION))
        .identity_cache(IdentityCache::no_cache())
        .http_client(http)
        .build();
    let access = Account::new(HOME).access("home");
    let keys = UserKeys {
        access_key_id: access.access_key_id,
        secret_access_key: access.secret_access_key.into(),
        session_token: None,
    };
    let arn = format!("arn:aws:iam::{MEMBER}:role/Reader").parse().expect("an ARN");
    let role = AssumeRole::new(arn, None, SessionName::default(), Duration::from_secs(900)).expect("a role");
    let spec = CredentialSpec { base: BaseCredentials::Keys(keys), chain: vec![role] };
    let credentials = CredentialPool::default().chain(&spec, None, &config, Some("http://simulator"));
    let settings = ScopeSettings {
        region: region.parse().expect("a Region"),
        dynamodb_url: Some("http://simulator".to_owned()),
        rate: None,
        requests: Places::new(64, 64, &Connections::default()).share("test"),
        retry: RetryPolicy::default(),
        opt_in,
    };
    ScopeClient::new(&config, credentials.last().credentials.clone(), settings)
}

async fn describe(client: &ScopeClient, simulator: &InProcess, number: usize) -> Result<usize, CallError> {
    let name = TableName::from(simulator.table_names(MEMBER, REGION)[number].as_str());
    client.describe_table(&name, |body| Ok::<_, DecodeFailure>(body.len())).await
}

fn unknown() -> Effect {
    Effect::Error {
        code: "com.amazon.coral.service#UnrecognizedClientException".to_owned(),
        message: "The security token included in the request is invalid.".to_owned(),
        status: 400,
    }
}

#[tokio::test(start_paused = true)]
async fn an_expired_session_is_renewed_at_once_but_not_for_ever() {
    let simulator = simulator(Duration::ZERO);
    let client = client(&simulator, REGION, false, Duration::ZERO);
    client.list_tables(None).await.expect("a page");
    simulator.expire_sessions();
    let started = Instant::now();
    client.list_tables(None).await.expect("a page with a new session");
    assert_eq!((simulator.counts().requests(Operation::AssumeRole), started.elapsed()), (2, Duration::ZERO));

    simulator.add_fault(FaultRule::new(Effect::ExpireToken).operation(Operation::ListTables));
    let failed = client.list_tables(None).await.expect_err("expired");
    assert_eq!((failed.error.class, failed.attempts), (ErrorClass::ExpiredCredentials, 4));
    assert!(started.elapsed() <= Duration::from_secs(8), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn unknown_credentials_are_fetched_again_during_a_run() {
    for times in 1..=3 {
        let simulator = simulator(Duration::ZERO);
        let client = client(&simulator, REGION, false, Duration::ZERO);
        describe(&client, &simulator, 0).await.expect("described");
        simulator.add_fault(FaultRule::new(unknown()).operation(Operation::DescribeTable).first(times));
        describe(&client, &simulator, 1).await.expect("described with a new session");
        assert_eq!(simulator.counts().requests(Operation::AssumeRole), 1 + times);
    }
    let simulator = simulator(Duration::ZERO);
    simulator.add_fault(FaultRule::new(unknown()).operation(Operation::DescribeTable));
    let started = Instant::now();
    let client = client(&simulator, REGION, false, Duration::ZERO);
    let failed = describe(&client, &simulator, 0).await.expect_err("refused");
    assert_eq!((failed.error.class, failed.attempts), (ErrorClass::UnknownCredentials, 4));
    assert!(started.elapsed() <= Duration::from_secs(8), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_disabled_region_costs_one_retry_and_no_new_session() {
    let simulator = simulator(Duration::ZERO);
    let client = client(&simulator, "af-south-1", true, Duration::ZERO);
    let started = Instant::now();
    let failed = client.list_tables(None).await.expect_err("not enabled");
    assert_eq!((failed.error.class, failed.attempts), (ErrorClass::UnknownCredentials, 2));
    assert_eq!(started.elapsed(), Duration::from_secs(1));
    assert_eq!(simulator.counts().requests(Operation::AssumeRole), 1);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_clock_is_corrected_for_all_tables() {
    let hour = Duration::from_secs(3600);
    let simulator = simulator(hour);
    let client = client(&simulator, REGION, false, hour);
    for number in 0..5 {
        describe(&client, &simulator, number).await.expect("described");
    }
    assert_eq!(
        client.requests().of(dynacrawl_model::Operation::DescribeTable).sent,
        6,
        "one with the wrong clock, and five with the right one"
    );
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_cannot_be_corrected_is_a_temporary_error() {
    let simulator = simulator(Duration::ZERO);
    let client = client(&simulator, REGION, false, Duration::ZERO);
    client.list_tables(None).await.expect("a page");
    simulator.set_clock_skew(3600);
    let failed = describe(&client, &simulator, 0).await.expect_err("skewed");
    assert_eq!((failed.error.class, failed.attempts, failed.may_pass), (ErrorClass::ClockSkew, 4, true));
    assert_eq!(simulator.counts().requests(Operation::AssumeRole), 1, "a new session does not fix a clock");
}
