//! Faults that another project's proxy injects in front of another project's server.

use serde_json::{Value, json};

use crate::command::Dynacrawl;
use crate::others::same_as_oracle;
use crate::servers::{self, Creds};
use crate::support::IRELAND;

#[test]
fn throttling_errors_and_broken_connections_lose_nothing() {
    let server = servers::dynalite();
    servers::seed(&server, 300, &[IRELAND], &Creds::test());
    let rule = |operation: &str, more: Value| {
        let mut rule = json!({"service": "dynamodb", "operation": operation});
        rule.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        rule
    };
    // The first matching rule that has not fired often enough decides, so all of them fire
    // completely.
    let rules = json!({"rules": [
        rule("ListTables", json!({"error": {"code": "ThrottlingException", "status": 400}, "times": 2})),
        rule("ListTables", json!({"error": {"code": "InternalServerError", "status": 500}, "times": 1})),
        rule("ListTables", json!({"reset": true, "times": 1})),
        rule("DescribeTable", json!({"error": {"code": "ThrottlingException", "status": 400}, "times": 40})),
        rule("DescribeTable", json!({"error": {"code": "InternalServerError", "status": 500}, "times": 40})),
        rule("DescribeTable", json!({"error": {"code": "ServiceUnavailable", "status": 503}, "times": 20})),
        rule("DescribeTable", json!({"reset": true, "times": 40})),
    ]});
    let proxy = servers::microburst(&server, &rules.to_string());
    let keys = Creds::test();
    // The account is configured, so that tables are described in parallel from the start. Otherwise
    // the first table alone would get all faults.
    let crawled = Dynacrawl::crawl()
        .args(["--endpoint-url", &proxy.url, "--account-id", "000000000000", "--region", IRELAND, "--rate", "0"])
        .aws_keys(&keys.access_key_id, &keys.secret_access_key, None)
        .records();
    let (_, stats) = proxy.request("GET", "/_microburst/stats", "").expect("the statistics");
    assert_eq!(crawled.code, 0, "{}\n{stats}", crawled.stderr);
    same_as_oracle(&crawled, IRELAND, &servers::oracle(&server, IRELAND, &keys), 300);
    let scope = crawled.scope(IRELAND);
    let sent = |api: &str| (scope["requests"][api]["sent"].as_u64(), scope["requests"][api]["throttled"].as_u64());
    assert_eq!(sent("ListTables"), (Some(3 + 4), Some(2)), "{stats}");
    assert_eq!(sent("DescribeTable"), (Some(300 + 140), Some(40)), "{stats}");
    let stats: Value = serde_json::from_str(&stats).expect("JSON");
    assert_eq!(stats["requests"]["faulted"], 144, "{stats}");
}
