//! ListTables, DescribeTable, Scan, denials, quotas and counts.

use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::client::exchange;
use super::{HOME, IRELAND, OTHER, start, start_with};
use crate::fixtures::small_table;
use crate::{Counts, Denial, Operation, Options, Quota};

#[test]
fn pages_are_sorted_and_complete() {
    let (sim, client) = start();
    let mut names: Vec<String> = Vec::new();
    let mut body = "{}".to_owned();
    let mut sizes = Vec::new();
    loop {
        let page = client.dynamodb("ListTables", &body).json();
        let page_names = page["TableNames"].as_array().unwrap();
        sizes.push(page_names.len());
        names.extend(page_names.iter().map(|name| name.as_str().unwrap().to_owned()));
        let Some(last) = page.get("LastEvaluatedTableName") else { break };
        assert_eq!(last.as_str(), names.last().map(String::as_str));
        body = json!({"ExclusiveStartTableName": last, "Limit": 100}).to_string();
    }
    assert_eq!(sizes, [100, 100, 50]);
    assert_eq!(names, sim.table_names(HOME, IRELAND));
    let empty = client.in_region("us-east-1").dynamodb("ListTables", "{}");
    assert_eq!(empty.text(), "{\"TableNames\":[]}");
}

#[test]
fn full_last_page_has_no_next_page() {
    let (_sim, client) = start();
    let page = client.dynamodb("ListTables", "{\"ExclusiveStartTableName\":\"table-000149\"}").json();
    assert_eq!(page["TableNames"].as_array().unwrap().len(), 100);
    assert_eq!(page.get("LastEvaluatedTableName"), None);
}

#[test]
fn limits_outside_the_range_are_invalid() {
    let (_sim, client) = start();
    for limit in [0, 101, -3] {
        assert_eq!(client.dynamodb("ListTables", &format!("{{\"Limit\":{limit}}}")).code(), "ValidationException");
    }
    assert_eq!(client.dynamodb("ListTables", "{\"Limit\":1}").json()["TableNames"], json!(["table-000000"]));
    assert_eq!(client.dynamodb("ListTables", "{\"Limit\":\"x\"}").code(), "SerializationException");
    assert_eq!(client.dynamodb("DescribeTable", "{}").code(), "ValidationException");
}

#[test]
fn answer_has_a_request_id_and_a_checksum() {
    let (_sim, client) = start();
    let answer = client.describe("table-000001");
    assert_eq!(answer.header("content-type"), Some("application/x-amz-json-1.0"));
    assert_eq!(answer.header("x-amz-crc32"), Some(crc32fast::hash(&answer.body).to_string().as_str()));
    assert_eq!(answer.header("x-amzn-requestid").map(str::len), Some(52));
}

#[test]
fn table_is_described_by_name_and_by_arn() {
    let (sim, client) = start();
    let arn = "arn:aws:dynamodb:eu-west-1:111122223333:table/table-000007";
    let by_name = client.describe("table-000007").json()["Table"].clone();
    assert_eq!(by_name["TableArn"], arn);
    assert_eq!(by_name, client.describe(arn).json()["Table"]);
    assert_eq!(Some(by_name), sim.describe_json(HOME, IRELAND, "table-000007"));
    let missing = client.describe("nope");
    assert_eq!((missing.status, missing.code().as_str()), (400, "ResourceNotFoundException"));
    assert_eq!(missing.json()["message"], "Requested resource not found: Table: nope not found");
    let foreign = client.describe("arn:aws:dynamodb:eu-west-1:444455556666:table/orders");
    assert_eq!(foreign.code(), "AccessDeniedException");
    assert_eq!(client.describe("arn:aws:dynamodb:us-east-1:111122223333:table/x").code(), "ValidationException");
}

#[test]
fn tables_are_created_and_removed_at_runtime() {
    let (sim, client) = start();
    sim.put_table(HOME, IRELAND, "aaa", &small_table("aaa", HOME, IRELAND)).unwrap();
    assert_eq!(client.dynamodb("ListTables", "{\"Limit\":1}").json()["TableNames"], json!(["aaa"]));
    assert_eq!(client.describe("aaa").json()["Table"]["TableName"], "aaa");
    assert_eq!(sim.remove_table(HOME, IRELAND, "aaa"), Ok(true));
    assert_eq!(sim.remove_table(HOME, IRELAND, "aaa"), Ok(false));
    assert_eq!(client.describe("aaa").code(), "ResourceNotFoundException");
    assert!(sim.put_table(HOME, "mars-1", "aaa", &json!({})).is_err());
}

#[test]
fn denial_applies_to_its_tables_and_names_the_caller() {
    let (sim, client) = start();
    sim.deny(Denial::new(HOME, Operation::DescribeTable).region(IRELAND).table("table-00001*"));
    let answer = client.describe("table-000017");
    assert_eq!((answer.status, answer.code().as_str()), (400, "AccessDeniedException"));
    assert_eq!(
        answer.json()["Message"],
        "User: arn:aws:iam::111122223333:user/crawler is not authorized to perform: dynamodb:DescribeTable on resource: \
         arn:aws:dynamodb:eu-west-1:111122223333:table/table-000017 because no identity-based policy allows the dynamodb:DescribeTable action"
    );
    assert_eq!(client.describe("table-000020").status, 200);
    assert_eq!(client.dynamodb("ListTables", "{}").status, 200);
    sim.deny(Denial::new(HOME, Operation::ListTables));
    assert_eq!(client.dynamodb("ListTables", "{}").code(), "AccessDeniedException");
    sim.clear_denials();
    assert_eq!(client.describe("table-000017").status, 200);
}

#[test]
fn list_and_describe_share_the_quota_of_their_scope() {
    // One token in about three hours: none is refilled during the test.
    let quota = Quota { per_second: 0.000_1, burst: 3 };
    let (sim, client) = start_with(&Options { quota: Some(quota), ..Options::default() });
    assert_eq!(client.dynamodb("ListTables", "{}").status, 200);
    assert_eq!([(); 3].map(|()| client.describe("table-000001").code()), ["", "", "ThrottlingException"]);
    let throttled = client.dynamodb("ListTables", "{}");
    assert_eq!((throttled.status, throttled.code().as_str()), (400, "ThrottlingException"));
    assert_eq!(throttled.json()["message"], "Rate of requests exceeds the allowed throughput.");
    assert_eq!(client.in_region("us-east-1").dynamodb("ListTables", "{}").status, 200);
    assert_eq!(client.sts("Action=GetCallerIdentity").status, 200);
    assert_eq!(sim.counts().of(HOME, IRELAND, Operation::DescribeTable).throttled, 1);
    sim.set_quota(HOME, IRELAND, None).unwrap();
    assert_eq!(client.describe("table-000001").status, 200);
}

#[test]
fn quota_override_replaces_the_default() {
    let scope = (HOME.to_owned(), IRELAND.to_owned());
    let quota = Some(Quota { per_second: 0.000_1, burst: 1 });
    let options = Options { quota, quota_overrides: [(scope, None)].into(), ..Options::default() };
    let (_sim, client) = start_with(&options);
    assert_eq!([(); 3].map(|()| client.describe("table-000001").status), [200, 200, 200]);
}

#[test]
fn everything_is_counted_and_can_be_reset() {
    let (sim, client) = start();
    client.describe("table-000001");
    client.describe("nope");
    client.dynamodb("ListTables", "{}");
    client.sts("Action=GetCallerIdentity");
    let counts = sim.counts();
    let describe = counts.of(HOME, IRELAND, Operation::DescribeTable);
    assert_eq!((describe.requests, describe.ok, describe.errors["ResourceNotFoundException"]), (2, 1, 1));
    assert!((1..=2).contains(&describe.peak_per_second));
    assert_eq!((counts.total.requests, counts.total.ok, counts.connections), (4, 3, 4));
    assert_eq!(counts.requests(Operation::ListTables), 1);
    assert_eq!(counts.of(OTHER, IRELAND, Operation::ListTables).requests, 0);
    assert_eq!(counts.peak_concurrent, 1);
    let answer = exchange(sim.addr(), "GET /_sim/counts", &[("host", "x")], "").unwrap();
    assert_eq!(answer.json()["total"]["requests"], 4);
    assert_eq!(answer.json()["scopes"][0]["operations"]["DescribeTable"]["ok"], 1);
    exchange(sim.addr(), "POST /_sim/reset", &[("host", "x")], "").unwrap();
    let counts = sim.counts();
    let Counts { connections, open_connections, peak_connections, .. } = counts;
    assert_eq!(counts, Counts { connections, open_connections, peak_connections, ..Counts::default() });
}

#[test]
fn scan_finds_nothing_and_does_not_use_the_quota() {
    let quota = Some(Quota { per_second: 0.000_1, burst: 1 });
    let (sim, client) = start_with(&Options { quota, ..Options::default() });
    let scan = |table: &str| client.dynamodb("Scan", &json!({"TableName": table, "Limit": 5}).to_string());
    for _ in 0..3 {
        assert_eq!(scan("table-000001").json(), json!({"Items": [], "Count": 0, "ScannedCount": 0}));
    }
    assert_eq!(scan("nope").code(), "ResourceNotFoundException");
    assert_eq!(client.dynamodb("Scan", "{}").code(), "ValidationException");
    sim.deny(Denial::new(HOME, Operation::Scan).table("table-*"));
    let denied = scan("table-000001").json()["Message"].as_str().unwrap().to_owned();
    assert!(denied.contains("dynamodb:Scan on resource: arn:aws:dynamodb:eu-west-1:111122223333:table/table-000001"));
    let counts = sim.counts();
    let scans = counts.of(HOME, IRELAND, Operation::Scan);
    assert_eq!((scans.requests, scans.ok, scans.throttled), (6, 3, 0));
    assert_eq!(counts.scopes[0].peak_per_second, 0);
}

#[test]
fn open_connections_are_counted_with_their_peak() {
    let (sim, _) = start();
    // The server sees the beginning and the end of a connection a moment later.
    let eventually = |open: u64| {
        let deadline = Instant::now() + Duration::from_secs(60);
        while sim.counts().open_connections != open {
            assert!(Instant::now() < deadline, "{:?}", sim.counts());
            thread::yield_now();
        }
    };
    let connections = [(); 3].map(|()| TcpStream::connect(sim.addr()).unwrap());
    eventually(3);
    drop(connections);
    eventually(0);
    let _last = TcpStream::connect(sim.addr()).unwrap();
    eventually(1);
    let counts = sim.counts();
    assert_eq!((counts.connections, counts.peak_connections), (4, 3));
    sim.reset_counts();
    assert_eq!((sim.counts().connections, sim.counts().peak_connections), (0, 1));
}
