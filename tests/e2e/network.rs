//! The connection to AWS: proxies, certificates and endpoints.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use dynacrawl_sim::Simulator;

use crate::command::Dynacrawl;
use crate::fronts::Front;
use crate::support::{IRELAND, ireland};

/// A proxy that records the requested destinations, and refuses them.
struct RefusingProxy {
    url: String,
    asked: Arc<Mutex<BTreeSet<String>>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl RefusingProxy {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (asked, ended) = (Arc::<Mutex<BTreeSet<String>>>::default(), Arc::<AtomicBool>::default());
        let (written, stop) = (asked.clone(), ended.clone());
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                let mut line = String::new();
                if BufReader::new(&stream).read_line(&mut line).is_ok() {
                    written.lock().expect("the list").extend(line.split(' ').nth(1).map(str::to_owned));
                }
                // The client may have closed the connection already.
                let _ = (&stream).write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n");
            }
        });
        Self { url, asked, ended, thread: Some(thread) }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("the list").iter().cloned().collect()
    }
}

impl Drop for RefusingProxy {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes up the thread, so that it notices `ended`.
        let _ = TcpStream::connect(self.url.trim_start_matches("http://"));
        self.thread.take().into_iter().for_each(|thread| drop(thread.join()));
    }
}

/// The endpoints that a crawl of AWS itself would connect to.
fn endpoints(change: impl FnOnce(Dynacrawl) -> Dynacrawl) -> Vec<String> {
    let proxy = RefusingProxy::start();
    let crawl = Dynacrawl::crawl()
        .aws_keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY", None)
        .args(["--region", "us-east-1", "--max-attempts", "1"])
        .env("HTTPS_PROXY", &proxy.url);
    let crawled = change(crawl).records();
    assert_eq!(crawled.code, 4, "the proxy refuses");
    let scope = crawled.scope("us-east-1");
    assert_eq!(scope["outcome"], "unreachable", "{}", crawled.stderr);
    let message = scope["problems"][0]["message"].as_str().expect("a message");
    assert!(message.contains("the proxy refused the connection; check HTTPS_PROXY"), "{message}");
    proxy.asked()
}

#[test]
fn aws_is_called_through_the_proxy_at_its_regional_endpoints() {
    let asked = endpoints(|crawl| crawl);
    assert_eq!(asked, ["dynamodb.us-east-1.amazonaws.com:443", "sts.us-east-1.amazonaws.com:443"]);
}

#[test]
fn fips_and_dual_stack_endpoints_are_called_on_request() {
    let fips = ["dynamodb-fips.us-east-1.amazonaws.com:443", "sts-fips.us-east-1.amazonaws.com:443"];
    assert_eq!(endpoints(|crawl| crawl.arg("--fips")), fips);
    assert_eq!(endpoints(|crawl| crawl.env("DYNACRAWL_FIPS", "true")), fips);
    assert_eq!(endpoints(|crawl| crawl.env("AWS_USE_FIPS_ENDPOINT", "true")), fips);
    assert_eq!(endpoints(|crawl| crawl.config("[aws]\nfips = true\n")), fips);
    let dual_stack = ["dynamodb.us-east-1.api.aws:443", "sts.us-east-1.api.aws:443"];
    assert_eq!(endpoints(|crawl| crawl.arg("--dual-stack")), dual_stack);
}

#[test]
fn a_profiles_role_is_assumed_at_a_fips_endpoint_on_request() {
    let proxy = RefusingProxy::start();
    let profiles = "[profile member]\nrole_arn = arn:aws:iam::123456789012:role/Reader\nsource_profile = hub\n\
                    [profile hub]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = secret\n";
    let crawl = Dynacrawl::crawl()
        .file("config", profiles)
        .args(["--profile", "member", "--fips", "--region", "us-east-1", "--max-attempts", "1"])
        .env("HTTPS_PROXY", &proxy.url);
    assert_eq!(crawl.records().code, 4, "the proxy refuses");
    assert_eq!(proxy.asked(), ["sts-fips.us-east-1.amazonaws.com:443"]);
}

#[test]
fn endpoints_with_the_account_id_are_called_only_on_request() {
    let with_account =
        |crawl: Dynacrawl| crawl.env("AWS_ACCOUNT_ID", "123456789012").args(["--account-id", "123456789012"]);
    let sts = "sts.us-east-1.amazonaws.com:443";
    assert_eq!(endpoints(with_account), ["dynamodb.us-east-1.amazonaws.com:443", sts]);
    let own = ["123456789012.ddb.us-east-1.amazonaws.com:443", sts];
    assert_eq!(endpoints(|crawl| with_account(crawl).args(["--account-id-endpoints", "preferred"])), own);
    assert_eq!(endpoints(|crawl| with_account(crawl).env("AWS_ACCOUNT_ID_ENDPOINT_MODE", "preferred")), own);
}

#[test]
fn plain_http_uses_its_proxy_unless_no_proxy_names_the_host() {
    let (sim, home) = ireland(3);
    // The simulator is the proxy, because this host can be reached in no other way.
    let crawl = |sim: &Simulator| {
        Dynacrawl::crawl()
            .keys(&home)
            .args(["--region", IRELAND, "--max-attempts", "1"])
            .endpoint("http://dynamodb.invalid")
            .env("HTTP_PROXY", sim.url())
    };
    let crawled = crawl(&sim).records();
    assert_eq!((crawled.code, crawled.names().len()), (0, 3));
    let crawled = crawl(&sim).env("NO_PROXY", "dynamodb.invalid").records();
    assert_eq!(crawled.code, 4);
    assert_eq!(crawled.scope(IRELAND)["outcome"], "unreachable");
}

#[test]
fn only_servers_with_a_trusted_certificate_are_used() {
    let (sim, home) = ireland(3);
    let directory = tempfile::tempdir().expect("a directory");
    let authority = directory.path().join("authority.pem");
    let front = Front::tls(sim.addr(), &authority);
    let crawl = || {
        let crawl = Dynacrawl::crawl().keys(&home).args(["--region", IRELAND, "--max-attempts", "1"]);
        crawl.endpoint(&front.https())
    };
    let authority = authority.to_str().expect("a path");

    let refused = crawl().records();
    assert_eq!((refused.code, &refused.scope(IRELAND)["outcome"]), (4, &"unreachable".into()), "{}", refused.stderr);
    for trusting in [
        crawl().args(["--ca-bundle", authority]),
        crawl().env("DYNACRAWL_CA_BUNDLE", authority),
        crawl().env("AWS_CA_BUNDLE", authority),
        crawl().config(&format!("[aws]\nca_bundle = {authority:?}\n")),
    ] {
        let crawled = trusting.records();
        assert_eq!((crawled.code, crawled.names().len()), (0, 3));
    }
}

#[test]
fn an_invalid_ca_bundle_is_refused_before_any_call() {
    let (sim, home) = ireland(1);
    let crawl = || Dynacrawl::crawl().keys(&home).args(["--region", IRELAND]).sim(&sim);
    crawl().args(["--ca-bundle", "/nonexistent.pem"]).run().fails_with(2, "/nonexistent.pem");
    crawl()
        .file("page.pem", "<html>")
        .env("AWS_CA_BUNDLE", crawl().path("page.pem"))
        .run()
        .fails_with(2, "AWS_CA_BUNDLE");
    assert_eq!(sim.counts().total.requests, 0);
}
