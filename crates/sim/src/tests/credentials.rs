//! Signatures, tokens, roles and sessions.

use std::time::Duration;

use super::client::{Client, Keys, exchange};
use super::{HOME, IRELAND, OTHER, ROLE_ARN, start, start_with};
use crate::{Account, Denial, Effect, Estate, FaultRule, Operation, Options, Role, Simulator, Tables};

const IDENTITY: &str = "Action=GetCallerIdentity";

#[test]
fn request_without_signature_is_refused() {
    let (sim, _) = start();
    let answer =
        exchange(sim.addr(), "POST /", &[("host", "x"), ("x-amz-target", "DynamoDB_20120810.ListTables")], "{}")
            .unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (400, "MissingAuthenticationTokenException"));
    let answer =
        exchange(sim.addr(), "POST /", &[("host", "x")], "Action=GetCallerIdentity&Version=2011-06-15").unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (403, "MissingAuthenticationToken"));
    let header = ("authorization", "AWS4-HMAC-SHA256 Credential=AKIA/20260101/eu-west-1/dynamodb/aws4_request");
    let answer = exchange(
        sim.addr(),
        "POST /",
        &[("host", "x"), ("x-amz-target", "DynamoDB_20120810.ListTables"), header],
        "{}",
    )
    .unwrap();
    assert_eq!(answer.code(), "IncompleteSignatureException");
    assert_eq!(sim.counts().total.errors.values().sum::<u64>(), 3);
}

#[test]
fn each_service_has_its_own_codes_for_wrong_credentials() {
    let (_sim, client) = start();
    let unknown = client.with_keys(Keys { id: "AKIAUNKNOWNUNKNOWN00".into(), ..client.keys.clone() });
    assert_eq!(unknown.dynamodb("ListTables", "{}").code(), "UnrecognizedClientException");
    assert_eq!(unknown.sts(IDENTITY).code(), "InvalidClientTokenId");
    let wrong = client.with_keys(Keys { secret: "wrong".into(), ..client.keys.clone() });
    assert_eq!(wrong.dynamodb("ListTables", "{}").code(), "InvalidSignatureException");
    assert_eq!(wrong.sts(IDENTITY).code(), "SignatureDoesNotMatch");
    let token = client.with_keys(Keys { token: Some("invented".into()), ..client.keys.clone() });
    assert_eq!(token.dynamodb("ListTables", "{}").code(), "UnrecognizedClientException");
}

#[test]
fn old_and_early_signatures_are_refused_with_the_reason() {
    let (sim, client) = start();
    for (seconds_off, expected) in [(-1_000, "Signature expired: "), (1_000, "Signature not yet current: ")] {
        let client = Client { seconds_off, ..client.clone() };
        let answer = client.dynamodb("ListTables", "{}");
        assert_eq!(answer.code(), "InvalidSignatureException");
        assert!(answer.json()["message"].as_str().unwrap().starts_with(expected));
        let answer = client.sts(IDENTITY);
        assert_eq!(answer.code(), "SignatureDoesNotMatch");
        assert!(answer.tag("Message").unwrap().starts_with(expected));
    }
    sim.set_clock_skew(1_000);
    assert_eq!(client.dynamodb("ListTables", "{}").code(), "InvalidSignatureException");
    assert_eq!(Client { seconds_off: 1_000, ..client }.dynamodb("ListTables", "{}").status, 200);
}

#[test]
fn verification_can_be_turned_off() {
    let (_sim, client) = start_with(&Options { verify_signatures: false, ..Options::default() });
    let wrong = client.with_keys(Keys { secret: "wrong".into(), ..client.keys.clone() });
    assert_eq!(wrong.dynamodb("ListTables", "{}").status, 200);
}

#[test]
fn region_that_is_not_opted_in_looks_like_a_bad_key() {
    let (sim, client) = start();
    let client = client.in_region("me-central-1");
    assert_eq!(client.dynamodb("ListTables", "{}").code(), "UnrecognizedClientException");
    assert_eq!(client.sts(IDENTITY).code(), "InvalidClientTokenId");
    assert_eq!(client.assume(ROLE_ARN, "&ExternalId=ext-1").code(), "RegionDisabledException");
    assert_eq!(sim.counts().of(HOME, "me-central-1", Operation::ListTables).errors["UnrecognizedClientException"], 1);
}

#[test]
fn identity_names_users_and_sessions() {
    let (_sim, client) = start();
    let answer = client.sts(IDENTITY);
    assert_eq!(answer.tag("Arn").unwrap(), "arn:aws:iam::111122223333:user/crawler");
    assert_eq!(answer.tag("Account").unwrap(), HOME);
    assert_eq!(answer.tag("RequestId").unwrap().len(), 36);
    let session = client.with_keys(client.assume(ROLE_ARN, "&ExternalId=ext-1").keys());
    assert_eq!(session.sts(IDENTITY).tag("Arn").unwrap(), "arn:aws:sts::444455556666:assumed-role/Reader/tester");
}

#[test]
fn other_partitions_have_their_own_arns() {
    let role = Role::new("Reader").trusts("123456789012");
    let account =
        Account::new("123456789012").partition("aws-cn").role(role).region("cn-north-1", Tables::new().generated(1));
    let keys = Keys::of(&account);
    let sim = Simulator::start(Estate::new([account]), &Options::default()).unwrap();
    let client = Client::new(sim.addr(), keys, "cn-north-1");
    assert_eq!(client.sts(IDENTITY).tag("Arn").unwrap(), "arn:aws-cn:iam::123456789012:user/crawler");
    assert_eq!(client.assume("arn:aws:iam::123456789012:role/Reader", "").code(), "AccessDenied");
    let session = client.with_keys(client.assume("arn:aws-cn:iam::123456789012:role/Reader", "").keys());
    let arn = session.describe("table-000000").json()["Table"]["TableArn"].clone();
    assert_eq!(arn, "arn:aws-cn:dynamodb:cn-north-1:123456789012:table/table-000000");
}

#[test]
fn role_needs_trust_and_the_right_external_id() {
    let (sim, client) = start();
    let answer = client.assume(ROLE_ARN, "&ExternalId=ext-1");
    assert_eq!(answer.status, 200);
    assert!(answer.tag("AccessKeyId").unwrap().starts_with("ASIA"));
    for (arn, more) in [
        (ROLE_ARN, "&ExternalId=ext-2"),
        (ROLE_ARN, ""),
        ("arn:aws:iam::444455556666:role/Unknown", ""),
        ("arn:aws:iam::000000000000:role/Reader", ""),
    ] {
        let answer = client.assume(arn, more);
        assert_eq!((answer.status, answer.code().as_str()), (403, "AccessDenied"));
        let expected = format!(
            "User: arn:aws:iam::111122223333:user/crawler is not authorized to perform: sts:AssumeRole on resource: {arn}"
        );
        assert_eq!(answer.tag("Message").unwrap(), expected);
    }
    let stranger = client.with_keys(Keys::of(&Account::new(OTHER)));
    assert_eq!(stranger.assume(ROLE_ARN, "&ExternalId=ext-1").code(), "AccessDenied");
    sim.deny(Denial::new(HOME, Operation::AssumeRole));
    assert_eq!(client.assume(ROLE_ARN, "&ExternalId=ext-1").code(), "AccessDenied");
    assert_eq!(sim.counts().assumed_roles[ROLE_ARN], 5);
}

#[test]
fn session_durations_have_limits() {
    let (_sim, client) = start();
    let open = "arn:aws:iam::444455556666:role/team/Open";
    for (arn, more, expected) in [
        (ROLE_ARN, "&ExternalId=ext-1&DurationSeconds=899", "ValidationError"),
        (ROLE_ARN, "&ExternalId=ext-1&DurationSeconds=43201", "ValidationError"),
        (ROLE_ARN, "&ExternalId=ext-1&DurationSeconds=7201", "ValidationError"),
        (ROLE_ARN, "&ExternalId=ext-1&DurationSeconds=7200", ""),
        (ROLE_ARN, "&ExternalId=%C3%A4%C3%A4", "ValidationError"),
        (open, "&DurationSeconds=43200", ""),
        ("role/Reader", "", "ValidationError"),
    ] {
        assert_eq!(client.assume(arn, more).code(), expected, "{arn} {more}");
    }
    let session = client.with_keys(client.assume(ROLE_ARN, "&ExternalId=ext-1").keys());
    assert_eq!(session.assume(open, "&DurationSeconds=3601").code(), "ValidationError");
    let chained = session.assume(open, "&DurationSeconds=3600");
    assert_eq!(chained.tag("Arn").unwrap(), "arn:aws:sts::444455556666:assumed-role/Open/tester");
}

#[test]
fn session_ends_at_its_expiration() {
    let (sim, client) = start_with(&Options { max_session: Some(Duration::from_secs(60)), ..Options::default() });
    let answer = client.assume(ROLE_ARN, "&ExternalId=ext-1");
    let expiration: jiff::Timestamp = answer.tag("Expiration").unwrap().parse().unwrap();
    let left = expiration.as_second() - jiff::Timestamp::now().as_second();
    assert!((55..=60).contains(&left), "{left}");
    let session = client.with_keys(answer.keys());
    assert_eq!(session.describe("orders").status, 200);
    sim.advance_sessions(Duration::from_secs(61));
    assert_eq!(session.describe("orders").code(), "ExpiredTokenException");
    assert_eq!(session.sts(IDENTITY).code(), "ExpiredToken");
}

#[test]
fn all_sessions_can_be_ended() {
    let (sim, client) = start();
    let session = client.with_keys(client.assume(ROLE_ARN, "&ExternalId=ext-1").keys());
    assert_eq!(session.describe("orders").status, 200);
    sim.expire_sessions();
    assert_eq!(session.describe("orders").code(), "ExpiredTokenException");
    let renewed = client.with_keys(client.assume(ROLE_ARN, "&ExternalId=ext-1").keys());
    assert_eq!(renewed.describe("orders").status, 200);
}

#[test]
fn expire_token_fault_ends_the_session_permanently() {
    let (sim, client) = start();
    let session = client.with_keys(client.assume(ROLE_ARN, "&ExternalId=ext-1").keys());
    sim.add_fault(FaultRule::new(Effect::ExpireToken).account(OTHER).first(1));
    assert_eq!(session.describe("orders").code(), "ExpiredTokenException");
    assert_eq!(session.describe("orders").code(), "ExpiredTokenException");
    assert_eq!(sim.counts().of(OTHER, IRELAND, Operation::DescribeTable).errors["ExpiredTokenException"], 2);
}

#[test]
fn session_needs_its_own_token() {
    let (_sim, client) = start();
    let keys = client.assume(ROLE_ARN, "&ExternalId=ext-1").keys();
    for token in [None, Some("other".to_owned())] {
        let session = client.with_keys(Keys { token, ..keys.clone() });
        assert_eq!(session.describe("orders").code(), "UnrecognizedClientException");
        assert_eq!(session.sts(IDENTITY).code(), "InvalidClientTokenId");
    }
}

#[test]
fn unknown_actions_are_refused() {
    let (_sim, client) = start();
    assert_eq!(client.sts("Action=GetFederationToken").code(), "InvalidAction");
    assert_eq!(client.dynamodb("DeleteTable", "{}").code(), "UnknownOperationException");
}
