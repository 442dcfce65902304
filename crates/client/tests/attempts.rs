//! The retry loop, seen from the simulator's side.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dynacrawl_auth::{BaseCredentials, CredentialPool, CredentialSpec, UserKeys};
use dynacrawl_aws::{AwsSettings, EndpointSettings, HttpSettings, Places};
use dynacrawl_client::{CallError, DecodeFailure, ErrorClass, Rate, RetryPolicy, ScopeClient, ScopeSettings};
use dynacrawl_model::{Region, TableName};
use dynacrawl_sim::{Account, DemoAccount, Effect, Estate, FaultRule, Operation, Options, Simulator, Tables, When};

const HOME: &str = "111111111111";
const REGION: &str = "eu-west-1";

fn simulator(tables: u64) -> Simulator {
    let home = Account::new(HOME).region(REGION, Tables::new().generated(tables));
    Simulator::start(Estate::new(vec![home]), &Options::default()).expect("a simulator")
}

async fn client(simulator: &Simulator, access: &DemoAccount, rate: Option<u32>) -> ScopeClient {
    let second = Duration::from_secs(5);
    let http = HttpSettings::plain(second);
    let aws = AwsSettings { http: http.build().expect("an HTTP stack") };
    let region: Region = REGION.parse().expect("a Region");
    let endpoints = EndpointSettings::default();
    let sdk = aws.sdk_config(None, &region, &endpoints).await;
    let keys = UserKeys {
        access_key_id: access.access_key_id.clone(),
        secret_access_key: access.secret_access_key.clone().into(),
        session_token: None,
    };
    let spec = CredentialSpec { base: BaseCredentials::Keys(keys), chain: Vec::new() };
    let credentials = CredentialPool::default().chain(&spec, None, &sdk, Some(&simulator.url()));
    let settings = ScopeSettings {
        region,
        dynamodb_url: Some(simulator.url()),
        rate: rate.map(|rate| Rate::per_second(NonZeroU32::new(rate).expect("not zero"))),
        requests: Places::new(64, 1, aws.http.connections()).share("simulator"),
        retry: RetryPolicy { max_attempts: 3, ..RetryPolicy::default() },
        opt_in: false,
    };
    ScopeClient::new(&sdk, credentials.last().credentials.clone(), settings)
}

async fn as_user(simulator: &Simulator) -> ScopeClient {
    client(simulator, &Account::new(HOME).access("home"), None).await
}

async fn describe(client: &ScopeClient, simulator: &Simulator) -> Result<usize, CallError> {
    let name = TableName::from(simulator.table_names(HOME, REGION)[0].as_str());
    client.describe_table(&name, |body| Ok::<_, DecodeFailure>(body.len())).await
}

#[tokio::test]
async fn the_raw_body_is_passed_on_unchanged() {
    let simulator = simulator(1);
    let client = as_user(&simulator).await;
    let name = simulator.table_names(HOME, REGION)[0].clone();
    let body =
        client.describe_table(&TableName::from(name.as_str()), |body| Ok::<_, DecodeFailure>(body.to_vec())).await;
    let answer: serde_json::Value = serde_json::from_slice(&body.expect("an answer")).expect("JSON");
    assert_eq!(Some(answer["Table"].clone()), simulator.describe_json(HOME, REGION, &name));
}

#[tokio::test]
async fn every_attempt_is_counted_and_throttles_separately() {
    let simulator = simulator(1);
    simulator.add_fault(FaultRule::new(Effect::Throttle).operation(Operation::DescribeTable).first(1));
    simulator.add_fault(FaultRule::new(Effect::Status(503)).operation(Operation::DescribeTable).first(1));
    let client = as_user(&simulator).await;
    describe(&client, &simulator).await.expect("the third attempt");
    let counts = client.requests().of(dynacrawl_model::Operation::DescribeTable);
    assert_eq!((counts.sent, counts.throttled), (3, 1));
    assert_eq!(simulator.counts().of(HOME, REGION, Operation::DescribeTable).requests, 3);
}

#[tokio::test]
async fn no_attempt_follows_the_last_one() {
    let simulator = simulator(1);
    simulator.add_fault(FaultRule::new(Effect::Throttle).operation(Operation::DescribeTable).when(When::Always));
    let failed = describe(&as_user(&simulator).await, &simulator).await.expect_err("throttled");
    assert_eq!((failed.error.class, failed.attempts), (ErrorClass::Throttled, 3));
    assert_eq!(simulator.counts().requests(Operation::DescribeTable), 3);
}

#[tokio::test]
async fn a_broken_response_is_retried() {
    for effect in [Effect::DropConnection, Effect::TruncateBody, Effect::Status(500)] {
        let simulator = simulator(1);
        simulator.add_fault(FaultRule::new(effect.clone()).operation(Operation::DescribeTable).first(1));
        let client = as_user(&simulator).await;
        describe(&client, &simulator).await.unwrap_or_else(|error| panic!("{effect:?}: {error}"));
        assert_eq!(client.requests().of(dynacrawl_model::Operation::DescribeTable).sent, 2, "{effect:?}");
    }
}

#[tokio::test]
async fn a_response_that_cannot_be_decoded_is_retried_once() {
    let simulator = simulator(1);
    let client = as_user(&simulator).await;
    let name = TableName::from(simulator.table_names(HOME, REGION)[0].as_str());
    let failure = |class| DecodeFailure { class, message: "broken".to_owned() };
    let tries = AtomicU32::new(0);
    let decode = |_: &[u8]| match tries.fetch_add(1, Ordering::SeqCst) {
        0 => Err(failure(ErrorClass::Other)),
        _ => Ok(()),
    };
    client.describe_table(&name, decode).await.expect("the second answer");
    assert_eq!(client.requests().of(dynacrawl_model::Operation::DescribeTable).sent, 2);

    // Three attempts are allowed. A damaged body uses them all; a well-formed one that is not a
    // description does not.
    for (class, attempts) in [(ErrorClass::Other, 2), (ErrorClass::Transient, 3)] {
        let decode = |_: &[u8]| Err::<(), _>(failure(class));
        let failed = client.describe_table(&name, decode).await.expect_err("broken");
        assert_eq!((failed.error.code.as_str(), failed.error.message.as_str()), ("invalid_response", "broken"));
        assert_eq!((failed.error.class, failed.attempts), (class, attempts));
    }
}

#[tokio::test]
async fn a_denied_call_is_not_retried() {
    let simulator = simulator(1);
    simulator.add_fault(FaultRule::new(Effect::Deny));
    let failed = describe(&as_user(&simulator).await, &simulator).await.expect_err("denied");
    assert_eq!((failed.error.class, failed.attempts), (ErrorClass::Denied, 1));
}

#[tokio::test]
async fn all_pages_are_listed_in_order() {
    let simulator = simulator(250);
    let client = as_user(&simulator).await;
    let (mut names, mut start) = (Vec::new(), None);
    loop {
        let page = client.list_tables(start.as_ref()).await.expect("a page");
        names.extend(page.names.into_iter().map(|name| name.to_string()));
        start = page.next;
        if start.is_none() {
            break;
        }
    }
    assert_eq!(names, simulator.table_names(HOME, REGION));
    assert_eq!(client.requests().of(dynacrawl_model::Operation::ListTables).sent, 3);
}

#[tokio::test]
async fn retries_take_permits_of_the_budget_too() {
    let simulator = simulator(1);
    simulator.add_fault(FaultRule::new(Effect::Status(500)).operation(Operation::DescribeTable).first(2));
    let client = client(&simulator, &Account::new(HOME).access("home"), Some(2)).await;
    let started = tokio::time::Instant::now();
    describe(&client, &simulator).await.expect("the third attempt");
    // Two a second with a burst of one: the third request cannot come before a second has passed.
    // This is a lower bound, not a measurement.
    assert!(started.elapsed() >= Duration::from_millis(990), "{:?}", started.elapsed());
}
