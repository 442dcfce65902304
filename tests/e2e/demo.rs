//! `--demo`: a crawl without an account.

use dynacrawl_sim::{Estate, Options, Simulator};

use crate::command::Dynacrawl;
use crate::support::closed_port;

#[test]
fn the_demo_is_complete() {
    let crawled = Dynacrawl::crawl().arg("--demo").records();
    assert_eq!(crawled.code, 0);
    assert_eq!(crawled.of_type("scope_completed").count(), 6);
    let tables = crawled.of_type("table").count();
    assert!((180..=260).contains(&tables), "{tables}");
    let kinds = |kind: &str| crawled.text.contains(&format!("{{\"kind\":\"{kind}\""));
    assert!(kinds("global") && kinds("local") && kinds("vector"), "every kind of index is shown");
    assert!(crawled.stderr.starts_with("6 of 6 scopes complete"), "{}", crawled.stderr);
}

#[test]
fn the_demo_ignores_settings_of_aws_and_of_the_network() {
    let crawled = Dynacrawl::crawl()
        .arg("--demo")
        .env("AWS_ENDPOINT_URL", "http://192.0.2.1")
        .env("AWS_USE_FIPS_ENDPOINT", "true")
        .env("AWS_CA_BUNDLE", "/nowhere")
        .env("HTTP_PROXY", "http://192.0.2.1")
        .env("AWS_PROFILE", "nobody")
        .aws_keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY", None)
        .records();
    assert_eq!(crawled.code, 0);
}

#[test]
fn the_demo_with_faults_names_everything_that_is_missing() {
    let crawled = Dynacrawl::crawl().arg("--demo-faults").records();
    assert_eq!(crawled.code, 3);
    let estate = Simulator::start(Estate::demo(), &Options::default()).expect("a simulator");
    let throttled = estate.table_names("444455556666", "ap-southeast-2");
    assert!(throttled.len() > 10, "{throttled:?}");
    let mut expected = vec![
        ("ledger-2025", "denied", "AccessDeniedException"),
        ("tmp-migration-0042", "vanished", "ResourceNotFoundException"),
    ];
    expected.extend(throttled.iter().map(|name| (name.as_str(), "throttled", "ThrottlingException")));
    expected.sort_unstable();
    assert_eq!(crawled.failures(), expected);
    assert_eq!(crawled.target("fraud")["outcome"], "auth_failed");
    assert_eq!(crawled.of_type("scope_completed").filter(|scope| scope["outcome"] == "complete").count(), 4);
    let more = format!("and {} more", throttled.len() - 5);
    for expected in ["ledger-2025", "16 throttled", &more, "auth failed", "777788889999/eu-west-1"] {
        assert!(crawled.stderr.contains(expected), "no {expected} in {}", crawled.stderr);
    }
}

#[test]
fn the_demo_ignores_variables_that_are_meant_for_other_runs() {
    let crawled = Dynacrawl::crawl()
        .args(["--demo", "--include", "orders.*"])
        .env("DYNACRAWL_REGION", "eu-central-1")
        .env("DYNACRAWL_ENDPOINT_URL", "http://127.0.0.1:1")
        .env("HTTP_PROXY", "http://127.0.0.1:1")
        .env("AWS_CA_BUNDLE", "/nonexistent.pem")
        .env("SSL_CERT_FILE", "/nonexistent.pem")
        .env("SSL_CERT_DIR", "/nonexistent")
        .records();
    assert_eq!(crawled.code, 0);
    let typed = Dynacrawl::crawl().args(["--demo", "--region", "eu-west-1"]).run();
    typed.fails_with(2, "--demo cannot be used with --region");
}

/// A test ends after three minutes, and `crawl.deliver_within` is five minutes by default.
#[test]
fn a_demo_delivers_to_a_named_sink_for_as_long_as_the_file_says() {
    let config = format!("[crawl]\ndeliver_within = \"1s\"\n[sink.web.http]\nurl = \"{}\"\n", closed_port());
    let ended = Dynacrawl::crawl().config(&config).args(["--demo", "--sink", "web"]).run();
    assert_eq!(ended.code(), 5, "{}", ended.stderr);
    assert!(ended.stderr.contains("the sink 'web'"), "{}", ended.stderr);
}
