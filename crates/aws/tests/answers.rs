//! How the HTTP stack and the classifier handle the responses of servers, proxies and portals.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region, SharedHttpClient};
use aws_smithy_types::retry::RetryConfig;
use dynacrawl_aws::{AwsError, ErrorClass, HttpSettings, HttpStack};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

fn stack() -> HttpStack {
    HttpSettings::plain(Duration::from_secs(20)).build().expect("an HTTP stack")
}

async fn describe(http: &SharedHttpClient, url: &str) -> Result<(), AwsError> {
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .http_client(http.clone())
        .region(Region::new("eu-west-1"))
        .credentials_provider(Credentials::new("AKIA", "secret", None, None, "test"))
        .retry_config(RetryConfig::disabled())
        .endpoint_url(url)
        .build();
    let client = aws_sdk_dynamodb::Client::from_conf(config);
    let call = Box::pin(client.describe_table().table_name("orders").send());
    call.await.map(drop).map_err(|error| AwsError::from_sdk(&error))
}

/// Reads a request and responds with `head`; if `endless`, a body follows until the client closes.
async fn answer(mut stream: TcpStream, head: &[u8], endless: bool) {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let mut sent = stream.write_all(head).await;
    let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
    while endless && sent.is_ok() {
        sent = stream.write_all(&chunk).await;
    }
    let _ = stream.shutdown().await;
}

/// The error that a response leads to.
async fn error_of(head: impl Into<Vec<u8>>, endless: bool) -> AwsError {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let head = head.into();
    let server = async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            answer(stream, &head, endless).await;
        }
    };
    let http = stack();
    tokio::select! {
        answered = describe(http.client(), &url) => answered.expect_err("no description"),
        () = server => unreachable!("it does not end"),
    }
}

async fn plain(status: &str, headers: &str, body: &str) -> AwsError {
    let length = body.len();
    error_of(format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n{body}"), false).await
}

fn check(error: &AwsError, class: ErrorClass, code: &str, words: &[&str]) {
    assert_eq!((error.class, error.code.as_str()), (class, code), "{error}");
    for word in words {
        assert!(error.message.contains(word), "'{word}' is not in: {error}");
    }
}

#[tokio::test]
async fn a_redirect_names_its_target_and_the_likely_cause() {
    let error = plain("302 Found", "location: https://portal.example/login\r\n", "<html>moved</html>").await;
    let words = ["302", "https://portal.example/login", "endpoint", "captive portal"];
    check(&error, ErrorClass::Other, "http_302", &words);
}

#[tokio::test]
async fn a_refusal_by_a_proxy_is_explained() {
    let error = plain("407 Proxy Authentication Required", "", "<html>who are you?</html>").await;
    check(&error, ErrorClass::Other, "http_407", &["proxy asks for a user", "HTTPS_PROXY", "who are you?"]);
    let error = plain("403 Forbidden", "content-type: text/html\r\n", "<html>blocked by policy</html>").await;
    check(&error, ErrorClass::Other, "http_403", &["proxy or firewall refused", "NO_PROXY", "blocked by policy"]);
}

#[tokio::test]
async fn a_refusal_by_aws_is_not_mistaken_for_a_proxys() {
    let body = r#"{"__type":"com.amazon.coral.service#AccessDeniedException","Message":"not authorized"}"#;
    let error = plain("400 Bad Request", "content-type: application/x-amz-json-1.0\r\n", body).await;
    check(&error, ErrorClass::Denied, "AccessDeniedException", &[]);
    assert_eq!(error.message, "not authorized");
}

#[tokio::test]
async fn a_compressed_response_is_explained_by_a_proxy() {
    let error = plain("200 OK", "content-encoding: gzip\r\n", "\u{1f}\u{8b}").await;
    check(&error, ErrorClass::Transient, "answer_compressed", &["gzip", "proxy"]);
}

#[tokio::test]
async fn a_wrong_clock_is_measured() {
    let body = r#"{"__type":"com.amazon.coral.service#InvalidSignatureException","message":"Signature expired: 1"}"#;
    let error = plain("400 Bad Request", "date: Sun, 30 Aug 2015 12:36:00 GMT\r\n", body).await;
    check(&error, ErrorClass::ClockSkew, "InvalidSignatureException", &["the local clock (", "ahead of AWS's"]);
}

#[tokio::test]
async fn an_empty_table_name_is_attributed_to_the_listing() {
    let message = "1 validation error detected: Value '' at 'tableName' failed to satisfy constraint: Member must have \
                   length greater than or equal to 1";
    let body = format!(r#"{{"__type":"com.amazon.coral.validate#ValidationException","message":"{message}"}}"#);
    let error = plain("400 Bad Request", "", &body).await;
    check(&error, ErrorClass::Other, "ValidationException", &["the listing gave an empty table name"]);
}

#[tokio::test]
async fn broken_http_is_a_transient_error() {
    for broken in [
        "SSH-2.0-OpenSSH_9.6\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nbad header\u{0}: x\r\n\r\n".to_owned(),
        format!("HTTP/1.1 200 OK\r\nx-large: {}\r\n\r\n", "x".repeat(2 << 20)),
        format!("HTTP/1.1 200 OK\r\n{}\r\n", "x-one-more: header\r\n".repeat(5_000)),
    ] {
        let error = error_of(broken, false).await;
        assert_eq!((error.class, error.code.as_str()), (ErrorClass::Transient, "invalid_response"), "{error}");
    }
}

#[tokio::test]
async fn an_endless_response_is_cut_off() {
    let head = "HTTP/1.1 200 OK\r\nserver: evil\r\ntransfer-encoding: chunked\r\n\r\n";
    let error = error_of(head, true).await;
    check(&error, ErrorClass::Transient, "answer_too_large", &["http://127.0.0.1:", "16777216", "server evil"]);
    let error = error_of("HTTP/1.1 200 OK\r\ncontent-length: 40000000\r\n\r\n", true).await;
    check(&error, ErrorClass::Transient, "answer_too_large", &["HTTP 200"]);
}

#[tokio::test]
async fn a_response_in_many_chunks_is_reassembled() {
    let pieces: String = r#"{"Table":{"TableName":"orders"}}"#.chars().map(|c| format!("1\r\n{c}\r\n")).collect();
    let head = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n{pieces}0\r\n\r\n");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let server = async {
        let (stream, _) = listener.accept().await.expect("a connection");
        answer(stream, head.as_bytes(), false).await;
    };
    let http = stack();
    let (described, ()) = tokio::join!(describe(http.client(), &url), server);
    described.expect("a description");
}

/// Makes many calls at once to an endpoint that refuses connections.
async fn call_all(http: &HttpStack, url: &str, calls: usize) -> Vec<AwsError> {
    let mut tasks = JoinSet::new();
    for _ in 0..calls {
        let (http, url) = (http.client().clone(), url.to_owned());
        tasks.spawn(async move { describe(&http, &url).await.expect_err("no server") });
    }
    tasks.join_all().await
}

/// The clock is paused and advanced by hand, so nothing here waits in real time.
#[tokio::test(start_paused = true)]
async fn an_unreachable_endpoint_is_remembered_until_forgotten() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let url = format!("http://{address}");
    drop(listener);
    let http = stack();
    for second in 0..6 {
        for error in call_all(&http, &url, 200).await {
            assert_eq!(error.class, ErrorClass::Unreachable, "{second}: {error}");
        }
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    let error = describe(http.client(), &url).await.expect_err("no server");
    check(&error, ErrorClass::Unreachable, "endpoint_unreachable", &[&url, "does not try it again"]);
    assert!(error.ends_call());
    let connections = error.message.split(" connections failed").next().and_then(|text| text.rsplit(' ').next());
    let connections: u32 = connections.and_then(|number| number.parse().ok()).expect("a number");
    assert!(connections < 40, "{connections} connections for 1,200 calls");

    tokio::time::resume();
    let listener = TcpListener::bind(address).await.expect("the port");
    let accepted = Arc::new(AtomicUsize::new(0));
    let served = accepted.clone();
    let server = tokio::spawn(async move {
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            served.fetch_add(1, Ordering::SeqCst);
            answer(stream, head.as_bytes(), false).await;
        }
    });
    let error = describe(http.client(), &url).await.expect_err("it is remembered");
    assert_eq!((error.code.as_str(), accepted.load(Ordering::SeqCst)), ("endpoint_unreachable", 0));
    http.forget_unreachable();
    describe(http.client(), &url).await.expect("an answer");
    assert_eq!(accepted.load(Ordering::SeqCst), 1);
    server.abort();
}
