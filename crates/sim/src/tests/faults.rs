//! Faults as a client sees them.

use std::io;
use std::time::{Duration, Instant};

use super::{HOME, IRELAND, start};
use crate::{Effect, FaultRule, Operation};

#[test]
fn error_faults_answer_with_their_codes() {
    let (sim, client) = start();
    let custom = Effect::Error { code: "LimitExceededException".into(), message: "too many".into(), status: 400 };
    for (effect, status, code) in [
        (Effect::Throttle, 400, "ThrottlingException"),
        (Effect::Status(500), 500, "InternalServerError"),
        (Effect::Status(503), 503, "ServiceUnavailable"),
        (Effect::Status(502), 502, "InternalFailure"),
        (Effect::Deny, 400, "AccessDeniedException"),
        (Effect::ExpireToken, 400, "ExpiredTokenException"),
        (Effect::NotFound, 400, "ResourceNotFoundException"),
        (custom, 400, "LimitExceededException"),
    ] {
        let id = sim.add_fault(FaultRule::new(effect).operation(Operation::DescribeTable));
        let answer = client.describe("table-000001");
        assert_eq!((answer.status, answer.code().as_str()), (status, code));
        assert_eq!(sim.fault_hits(id), 1);
        assert_eq!(sim.counts().of(HOME, IRELAND, Operation::DescribeTable).errors[code], 1);
        sim.remove_fault(id);
    }
    assert_eq!(client.describe("table-000001").status, 200);
}

#[test]
fn sts_faults_are_xml() {
    let (sim, client) = start();
    sim.add_fault(FaultRule::new(Effect::Throttle).operation(Operation::GetCallerIdentity).first(1));
    sim.add_fault(FaultRule::new(Effect::Status(503)).operation(Operation::GetCallerIdentity).first(1));
    let codes = [(); 3].map(|()| client.sts("Action=GetCallerIdentity").code());
    assert_eq!(codes, ["Throttling", "ServiceUnavailable", ""]);
}

#[test]
fn dropped_connection_sends_nothing() {
    let (sim, client) = start();
    let id = sim.add_fault(FaultRule::new(Effect::DropConnection).first(1));
    let error = client.try_dynamodb("ListTables", "{}").unwrap_err();
    assert!(matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset), "{error}");
    assert_eq!(sim.fault_hits(id), 1);
    assert_eq!(client.dynamodb("ListTables", "{}").status, 200);
    assert_eq!(sim.counts().of(HOME, IRELAND, Operation::ListTables).errors["DropConnection"], 1);
}

#[test]
fn truncated_body_announces_more_than_it_sends() {
    let (sim, client) = start();
    let whole = client.describe("table-000001");
    assert_eq!(whole.announced, whole.body.len());
    sim.add_fault(FaultRule::new(Effect::TruncateBody).first(1));
    let half = client.describe("table-000001");
    assert_eq!((half.status, half.announced), (200, whole.body.len()));
    assert_eq!(half.body, whole.body[..whole.body.len() / 2]);
    assert_eq!(client.describe("table-000001").body, whole.body);
}

#[test]
fn slow_body_arrives_completely_and_late() {
    let (sim, client) = start();
    let whole = client.describe("table-000001");
    sim.add_fault(FaultRule::new(Effect::SlowBody { chunk_delay: Duration::from_millis(5) }).first(1));
    let start = Instant::now();
    let slow = client.describe("table-000001");
    assert!(start.elapsed() >= Duration::from_millis(80));
    assert_eq!(slow.body, whole.body);
}

#[test]
fn delay_and_latency_add_up() {
    let (sim, client) = start();
    sim.add_fault(FaultRule::new(Effect::Delay(Duration::from_millis(40))).first(1));
    sim.set_latency(HOME, IRELAND, Duration::from_millis(20)).unwrap();
    let start = Instant::now();
    assert_eq!(client.describe("table-000001").status, 200);
    assert!(start.elapsed() >= Duration::from_millis(60));
}

#[test]
fn garbage_is_html_with_status_200() {
    let (sim, client) = start();
    sim.add_fault(FaultRule::new(Effect::GarbageBody).first(2));
    for answer in [client.dynamodb("ListTables", "{}"), client.sts("Action=GetCallerIdentity")] {
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
        assert!(answer.text().starts_with("<!DOCTYPE html>"));
    }
    assert_eq!(sim.counts().total.errors["GarbageBody"], 2);
}

#[test]
fn cleared_fault_does_not_affect_later_requests() {
    let (sim, client) = start();
    let id = sim.add_fault(FaultRule::new(Effect::Throttle).account(HOME).region(IRELAND).table("table-*"));
    assert_eq!(client.describe("table-000001").code(), "ThrottlingException");
    assert_eq!(client.dynamodb("ListTables", "{}").status, 200);
    sim.clear_faults();
    assert_eq!(client.describe("table-000001").status, 200);
    assert_eq!(sim.fault_hits(id), 1);
}
