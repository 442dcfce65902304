//! Crawls of other projects' servers, compared table by table with what another client reads.

use serde_json::{Map, Value, json};

use crate::command::{Crawled, Dynacrawl};
use crate::facts;
use crate::servers::{self, Creds, Server};
use crate::support::{IRELAND, VIRGINIA};

/// A crawl with the keys that every server accepts.
fn crawl(server: &Server, regions: &[&str]) -> Dynacrawl {
    let keys = Creds::test();
    Dynacrawl::crawl().endpoint(&server.url).aws_keys(&keys.access_key_id, &keys.secret_access_key, None).args([
        "--region",
        &regions.join(","),
        "--rate",
        "0",
    ])
}

/// Compares every table of a Region with what boto3 read.
#[track_caller]
pub(crate) fn same_as_oracle(crawled: &Crawled, region: &str, oracle: &Value, tables: usize) {
    let oracle = oracle.as_object().expect("tables by name");
    assert_eq!(oracle.len(), tables, "all seeded tables");
    let mut found = Map::new();
    for record in crawled.of_type("table").filter(|record| record["scope"]["region"] == region) {
        found.insert(record["table"]["name"].as_str().expect("a name").to_owned(), record["table"].clone());
    }
    let names = |tables: &Map<String, Value>| tables.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&found), names(oracle));
    for (name, theirs) in oracle {
        let ours = &found[name];
        assert_eq!(facts::of_record(ours), facts::of_oracle(name, theirs));
        for (field, pointer) in [
            ("arn", "/arn"),
            ("id", "/id"),
            ("status", "/status"),
            ("item_count", "/item_count"),
            ("stream_view", "/stream/view_type"),
            ("sse", "/encryption/status"),
            ("table_class", "/table_class"),
            ("deletion_protection", "/deletion_protection_enabled"),
        ] {
            // A field that was not sent has the value that AWS documents for that case.
            let expected = match (field, theirs[field].is_null()) {
                ("sse", true) => Value::from("ENABLED"),
                ("table_class", true) => Value::from("STANDARD"),
                _ => theirs[field].clone(),
            };
            assert_eq!(ours.pointer(pointer).unwrap_or(&Value::Null), &expected, "{field} of {name}");
        }
    }
}

/// Fills a server, crawls it completely, and compares.
#[track_caller]
fn whole(server: &Server, regions: &[&str], tables: usize) -> Crawled {
    let seeded = servers::seed(server, tables, regions, &Creds::test());
    assert_eq!(seeded["created"], tables * regions.len(), "{seeded}");
    let crawled = crawl(server, regions).records();
    assert_eq!(crawled.code, 0, "{}\n{}", crawled.stderr, server.log_tail());
    for region in regions {
        let scope = crawled.scope(region);
        assert_eq!(scope["counts"]["described"], tables, "{scope}");
        // Some servers have their own account or Region in their ARNs, which is only a note.
        let problems = scope["problems"].as_array().expect("a list");
        assert!(problems.iter().all(|problem| problem["code"] == "emulator_arn"), "{scope}");
        assert!(scope["scope"]["account_id"].is_string(), "{scope}");
        same_as_oracle(&crawled, region, &servers::oracle(server, region, &Creds::test()), tables);
    }
    crawled
}

#[test]
fn moto_is_crawled_completely_and_its_errors_are_handled() {
    let server = servers::moto();
    whole(&server, &[IRELAND, VIRGINIA], 500);

    // Another account, with a role. In moto the role need not be created.
    let by_role = crawl(&server, &[IRELAND])
        .args(["--role-arn", "arn:aws:iam::210987654321:role/Crawler", "--external-id", "acme-42"])
        .records();
    assert_eq!((by_role.code, by_role.names().len()), (0, 0));
    assert_eq!(by_role.scope(IRELAND)["scope"]["account_id"], "210987654321");

    let by_web_identity = Dynacrawl::crawl()
        .endpoint(&server.url)
        .env("AWS_ENDPOINT_URL_STS", &server.url)
        .env("AWS_WEB_IDENTITY_TOKEN_FILE", "token")
        .env("AWS_ROLE_ARN", "arn:aws:iam::210987654321:role/Pod")
        .file("token", "a-web-identity-token")
        .secret("a-web-identity-token")
        .args(["--region", IRELAND])
        .records();
    assert_eq!(by_web_identity.code, 0, "{}", by_web_identity.stderr);
    assert_eq!(by_web_identity.scope(IRELAND)["scope"]["account_id"], "210987654321");

    // From here on moto checks permissions. It answers unknown keys with XML, although the protocol
    // is JSON.
    let (status, _) = server.request("POST", "/moto-api/reset-auth", "0").expect("an answer");
    assert_eq!(status, 200);
    let denied = crawl(&server, &[IRELAND]).args(["--max-attempts", "3"]).records();
    assert_eq!(denied.code, 4, "{}", denied.stderr);
    let scope = denied.scope(IRELAND);
    assert_eq!((&scope["outcome"], &scope["problems"][0]["code"]), (&json!("failed"), &json!("http_403")));
}

#[test]
fn ministack_is_crawled_completely() {
    let server = servers::ministack(false);
    let crawled = whole(&server, &[IRELAND, VIRGINIA], 500);
    assert_eq!(crawled.scope(IRELAND)["scope"]["account_id"], "000000000000");

    // The fingerprints are stable, and entities have the same facts on separate lines.
    let again = crawl(&server, &[IRELAND, VIRGINIA]).records();
    let fingerprints = |crawled: &Crawled| {
        let of = |record: &Value| (record["table"]["arn"].to_string(), record["fingerprint"].to_string());
        let mut all: Vec<_> = crawled.of_type("table").map(of).collect();
        all.sort();
        all
    };
    assert_eq!(fingerprints(&again), fingerprints(&crawled));
    let split = crawl(&server, &[IRELAND]).args(["--layout", "entities"]).records();
    let indexes = crawled.of_type("table").filter(|record| record["scope"]["region"] == IRELAND);
    let indexes: usize = indexes.map(|record| record["table"]["indexes"].as_array().expect("indexes").len()).sum();
    assert_eq!((split.of_type("index").count(), split.of_type("key_schema").count()), (indexes, 500 + indexes));
}

#[test]
fn dynoxide_is_crawled_completely_without_an_sts() {
    let server = servers::dynoxide();
    whole(&server, &[IRELAND], 1_000);
    let configured = crawl(&server, &[IRELAND]).args(["--account-id", "123456789012"]).records();
    assert_eq!((configured.code, configured.names().len()), (0, 1_000));
    assert_eq!(configured.scope(IRELAND)["scope"]["account_id"], "123456789012");
}

#[test]
fn dynalite_is_crawled_completely_without_an_sts() {
    let server = servers::dynalite();
    whole(&server, &[IRELAND], 1_000);
    let some = crawl(&server, &[IRELAND]).args(["--include", "orders-.*", "--exclude", ".*7"]).records();
    let names = some.names();
    assert!(!names.is_empty() && names.iter().all(|name| name.starts_with("orders-") && !name.ends_with('7')));
}
