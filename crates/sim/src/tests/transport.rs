//! Answers that are broken in transit: bodies, headers, proxies and redirects.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout};

use super::inprocess::{DESCRIBE, request};
use super::{estate, start};
use crate::{Effect, FaultRule, InProcess, Operation, Options};

fn redirect(status: u16) -> Effect {
    Effect::Redirect { status, location: "http://elsewhere.example.com/".into() }
}

#[test]
fn proxies_and_redirects_answer_instead_of_every_service() {
    let (sim, client) = start();
    for (effect, status, header, value) in [
        (Effect::ProxyPage(407), 407, "proxy-authenticate", "Basic realm=\"proxy.example.com\""),
        (Effect::ProxyPage(403), 403, "content-type", "text/html; charset=utf-8"),
        (redirect(301), 301, "location", "http://elsewhere.example.com/"),
        (redirect(307), 307, "location", "http://elsewhere.example.com/"),
    ] {
        let id = sim.add_fault(FaultRule::new(effect));
        for answer in [client.describe("table-000001"), client.sts("Action=GetCallerIdentity")] {
            assert_eq!((answer.status, answer.header(header)), (status, Some(value)));
        }
        sim.remove_fault(id);
    }
    let errors = sim.counts().total.errors;
    assert_eq!((errors["ProxyPage"], errors["Redirect"]), (4, 4));
}

#[test]
fn only_errors_have_a_retry_after_header() {
    let (sim, client) = start();
    for effect in [Effect::Throttle, Effect::Status(503), Effect::ProxyPage(502)] {
        sim.add_fault(FaultRule::new(effect).retry_after("7").first(1));
        assert_eq!(client.describe("table-000001").header("retry-after"), Some("7"));
    }
    sim.add_fault(FaultRule::new(Effect::LargeBody(1)).retry_after("7"));
    assert_eq!(client.describe("table-000001").header("retry-after"), None);
}

#[test]
fn unrecognized_client_has_the_format_of_its_service() {
    let (sim, client) = start();
    sim.add_fault(FaultRule::new(Effect::UnrecognizedClient));
    assert_eq!(client.dynamodb("ListTables", "{}").code(), "UnrecognizedClientException");
    assert_eq!(client.sts("Action=GetCallerIdentity").code(), "InvalidClientTokenId");
    assert_eq!(client.in_region("us-east-1").organizations("ListAccounts", "{}").code(), "UnrecognizedClientException");
    let regions = client.in_region("us-east-1").list_regions("{}");
    assert_eq!((regions.status, regions.code().as_str()), (403, "UnrecognizedClientException"));
    assert_eq!(client.describe_regions("").code(), "AuthFailure");
    let code = Effect::Error { code: "com.amazonaws.x#SomeException".into(), message: "no".into(), status: 400 };
    sim.clear_faults();
    sim.add_fault(FaultRule::new(code));
    for answer in [client.dynamodb("ListTables", "{}"), client.sts("Action=GetCallerIdentity")] {
        assert_eq!(answer.code(), "SomeException");
    }
}

#[test]
fn bodies_are_large_nested_or_wrongly_compressed() {
    let (sim, client) = start();
    let whole = client.describe("table-000001");
    sim.add_fault(FaultRule::new(Effect::LargeBody(3 << 20)).first(1));
    let large = client.describe("table-000001");
    assert_eq!((large.body.len(), large.announced, large.json()), (3 << 20, 3 << 20, whole.json()));
    sim.add_fault(FaultRule::new(Effect::NestedBody(10_000)).first(2));
    assert!(client.describe("table-000001").text().contains(&"[".repeat(10_000)));
    assert!(client.describe_regions("").text().contains(&"<a>".repeat(10_000)));
    sim.add_fault(FaultRule::new(Effect::FalseGzip).first(1));
    let gzip = client.describe("table-000001");
    assert_eq!((gzip.status, gzip.header("content-encoding")), (200, Some("gzip")));
    sim.add_fault(FaultRule::new(Effect::OversizedHeader(600_000)).first(1));
    let oversized = client.describe("table-000001");
    assert_eq!(oversized.header("x-oversized").map(str::len), Some(600_000));
    assert_eq!(client.describe("table-000001").body, whole.body);
}

#[test]
fn broken_http_affects_one_answer_of_its_connection() {
    let (sim, client) = start();
    let id = sim.add_fault(FaultRule::new(Effect::BrokenHttp).first(1));
    let answer = client.describe("table-000001");
    assert!(answer.head.starts_with("\u{16}\u{3}\u{1} OOP"), "{}", answer.head);
    assert!(client.describe("table-000001").head.starts_with("HTTP/1.1 200"));
    assert_eq!(sim.fault_hits(id), 1);
}

#[test]
fn endless_body_has_no_length_and_never_ends() {
    let (sim, client) = start();
    sim.add_fault(FaultRule::new(Effect::EndlessBody));
    let address = client.address.to_string();
    let target = [("x-amz-target", "DynamoDB_20120810.ListTables")];
    let headers = client.sign("dynamodb", "/", &address, &target, "{}");
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let mut stream = TcpStream::connect(client.address).unwrap();
    stream.write_all(format!("POST / HTTP/1.1\r\n{headers}content-length: 2\r\n\r\n{{}}").as_bytes()).unwrap();
    let mut read = vec![0; 20 << 20];
    stream.read_exact(&mut read).unwrap();
    let head = String::from_utf8_lossy(&read[..400]).to_ascii_lowercase();
    assert!(head.contains("transfer-encoding: chunked") && !head.contains("content-length"), "{head}");
    assert_eq!(sim.counts().total.errors["EndlessBody"], 1);
}

#[tokio::test(start_paused = true)]
async fn broken_answers_without_sockets_break_the_connection() {
    for effect in [Effect::BrokenHttp, Effect::OversizedHeader(300_000), Effect::EndlessBody] {
        let service = InProcess::new(estate(), &Options::default());
        service.add_fault(FaultRule::new(effect.clone()).first(1));
        assert!(service.answer(request("DescribeTable", DESCRIBE)).await.is_err(), "{effect:?}");
        assert_eq!(service.answer(request("DescribeTable", DESCRIBE)).await.unwrap().status(), 200);
    }
}

#[tokio::test(start_paused = true)]
async fn endless_body_can_be_read_piece_by_piece() {
    let service = InProcess::new(estate(), &Options::default());
    service.add_fault(FaultRule::new(Effect::EndlessBody));
    let mut body = service.begin(request("DescribeTable", DESCRIBE)).await.unwrap().into_body();
    let mut read = 0;
    while read < InProcess::MOST * 2 {
        let piece: Bytes = body.frame().await.unwrap().unwrap().into_data().unwrap();
        read += piece.len();
    }
}

#[tokio::test(start_paused = true)]
async fn hang_affects_only_its_operation_for_its_duration() {
    let service = InProcess::new(estate(), &Options::default());
    let hour = Duration::from_secs(3_600);
    service.add_fault(FaultRule::new(Effect::Delay(hour)).operation(Operation::DescribeTable));
    let start = Instant::now();
    assert_eq!(service.answer(request("ListTables", "{}")).await.unwrap().status(), 200);
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert!(timeout(Duration::from_secs(60), service.answer(request("DescribeTable", DESCRIBE))).await.is_err());
    assert_eq!(service.answer(request("DescribeTable", DESCRIBE)).await.unwrap().status(), 200);
    assert_eq!(start.elapsed(), Duration::from_secs(60) + hour);
}
