//! The service without sockets, on a paused clock.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use bytes::Bytes;
use hyper::{Request, Response};
use serde_json::Value;
use tokio::time::{Instant, advance};

use super::client::{Client, Keys};
use super::{HOME, IRELAND, OTHER, estate};
use crate::{Account, Denial, Effect, FaultRule, InProcess, Operation, Options, Quota};

const HOST: &str = "dynamodb.eu-west-1.amazonaws.com";
pub(super) const DESCRIBE: &str = "{\"TableName\":\"table-000001\"}";

/// A signed request as an HTTP client receives it: with an absolute URI and without a `Host`
/// header.
fn signed(service: &str, host: &str, headers: &[(&str, &str)], body: &'static str) -> Request<Bytes> {
    let client = Client::new((Ipv4Addr::LOCALHOST, 0).into(), Keys::of(&Account::new(HOME)), IRELAND);
    let headers = client.sign(service, "/", host, headers, body);
    let request = Request::post(format!("https://{host}/"));
    let headers = headers.into_iter().filter(|(name, _)| name != "host");
    let request = headers.fold(request, |request, (name, value)| request.header(name, value));
    request.body(Bytes::from_static(body.as_bytes())).unwrap()
}

pub(super) fn request(operation: &str, body: &'static str) -> Request<Bytes> {
    signed("dynamodb", HOST, &[("x-amz-target", &format!("DynamoDB_20120810.{operation}"))], body)
}

fn json(answer: io::Result<Response<Bytes>>) -> Value {
    serde_json::from_slice(answer.unwrap().body()).unwrap()
}

fn service(options: &Options) -> InProcess {
    InProcess::new(estate(), options)
}

#[tokio::test(start_paused = true)]
async fn answers_come_after_the_latency_of_the_paused_clock() {
    let service = service(&Options { latency: Duration::from_secs(3), ..Options::default() });
    let start = Instant::now();
    let names = json(service.answer(request("ListTables", "{}")).await)["TableNames"].clone();
    assert_eq!(names.as_array().map(Vec::len), Some(100));
    assert_eq!(start.elapsed(), Duration::from_secs(3));
    service.set_latency(HOME, IRELAND, Duration::from_secs(60)).unwrap();
    let answer = service.answer(request("DescribeTable", DESCRIBE)).await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(63));
    assert_eq!(answer.headers()["content-length"], answer.body().len().to_string().as_str());
    assert_eq!(answer.headers()["x-amz-crc32"], crc32fast::hash(answer.body()).to_string().as_str());
    let described = service.describe_json(HOME, IRELAND, "table-000001").unwrap();
    assert_eq!(json(Ok(answer))["Table"], described);
}

#[tokio::test(start_paused = true)]
async fn quota_is_refilled_by_the_paused_clock() {
    let service = service(&Options { quota: Some(Quota::per_second(2)), ..Options::default() });
    let mut throttled = 0;
    for wait in [0, 0, 0, 499, 1, 0, 1_000, 0, 0] {
        advance(Duration::from_millis(wait)).await;
        let answer = service.answer(request("DescribeTable", DESCRIBE)).await.unwrap();
        throttled += u64::from(answer.status() == 400);
    }
    // The bucket has two tokens. The third request, the one at 499 ms, the second at 500 ms and the
    // last found it empty.
    assert_eq!(throttled, 4);
    let counts = service.counts().of(HOME, IRELAND, Operation::DescribeTable);
    assert_eq!((counts.requests, counts.throttled, counts.peak_per_second), (9, 4, 6));
    service.set_quota(HOME, IRELAND, None).unwrap();
    assert_eq!(service.answer(request("DescribeTable", DESCRIBE)).await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn broken_answers_are_errors_and_slow_ones_are_late() {
    let service = service(&Options::default());
    service.add_fault(FaultRule::new(Effect::DropConnection).nth(1));
    service.add_fault(FaultRule::new(Effect::TruncateBody).nth(1));
    service.add_fault(FaultRule::new(Effect::SlowBody { chunk_delay: Duration::from_secs(2) }).nth(1));
    let start = Instant::now();
    let answers = [service.clone(), service.clone(), service].map(|service| async move {
        let answer = service.answer(request("DescribeTable", DESCRIBE)).await;
        (answer, service.counts().total.errors)
    });
    let [dropped, truncated, slow] = answers;
    assert!(dropped.await.0.is_err());
    let (answer, errors) = truncated.await;
    assert!(answer.is_err());
    assert_eq!((errors["DropConnection"], errors["TruncateBody"]), (1, 1));
    assert_eq!(json(slow.await.0)["Table"]["TableName"], "table-000001");
    assert_eq!(start.elapsed(), Duration::from_secs(32));
}

#[tokio::test(start_paused = true)]
async fn requests_in_flight_are_counted_with_their_peak() {
    let service = service(&Options { latency: Duration::from_secs(1), ..Options::default() });
    let list = || service.answer(request("ListTables", "{}"));
    let start = Instant::now();
    let (first, second, third) = tokio::join!(list(), list(), list());
    assert!([first, second, third].into_iter().all(|answer| answer.unwrap().status() == 200));
    list().await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(2));
    let counts = service.counts();
    assert_eq!((counts.peak_concurrent, counts.total.ok, counts.connections), (3, 4, 0));
}

#[tokio::test(start_paused = true)]
async fn signature_is_checked_against_the_host_of_the_uri() {
    let service = service(&Options::default());
    let mut elsewhere = request("ListTables", "{}");
    *elsewhere.uri_mut() = "https://dynamodb.us-east-1.amazonaws.com/".parse().unwrap();
    let answer = service.answer(elsewhere).await.unwrap();
    assert!(answer.body().starts_with(b"{\"__type\":\"com.amazon.coral.service#InvalidSignatureException\""));
    let mut with_header = request("ListTables", "{}");
    *with_header.uri_mut() = "http://127.0.0.1:1/".parse().unwrap();
    with_header.headers_mut().insert("host", HOST.parse().unwrap());
    assert_eq!(service.answer(with_header).await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn accounts_and_regions_can_change_without_sockets() {
    let service = service(&Options::default());
    let list = async || service.answer(request("ListTables", "{}")).await.unwrap();
    let form = "Action=AssumeRole&Version=2011-06-15&RoleSessionName=tester&ExternalId=ext-1&\
                RoleArn=arn%3Aaws%3Aiam%3A%3A444455556666%3Arole%2FReader";
    let role = async || service.answer(signed("sts", "sts.eu-west-1.amazonaws.com", &[], form)).await.unwrap();
    assert_eq!((list().await.status().as_u16(), role().await.status().as_u16()), (200, 200));
    service.opt_out(HOME, IRELAND).unwrap();
    assert!(list().await.body().starts_with(b"{\"__type\":\"com.amazon.coral.service#UnrecognizedClientException\""));
    service.opt_in(HOME, IRELAND).unwrap();
    service.suspend_account(OTHER).unwrap();
    assert_eq!((list().await.status().as_u16(), role().await.status().as_u16()), (200, 403));
    service.reactivate_account(OTHER).unwrap();
    assert_eq!(role().await.status(), 200);
}

#[test]
fn service_is_created_and_controlled_outside_of_a_runtime() {
    let service = service(&Options { quota: Some(Quota::per_second(1)), ..Options::default() });
    service.deny(Denial::new(HOME, Operation::ListTables));
    assert!(service.remove_table(HOME, IRELAND, "table-000000").unwrap());
    assert_eq!(service.table_names(HOME, IRELAND).len(), 249);
    assert_eq!(service.counts().total.requests, 0);
}
