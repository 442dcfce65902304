//! Any configuration file, cron expression or request to the daemon gives a value or an error, and
//! never a panic.

use std::time::Duration;

use dynacrawl_daemon::schedule::Schedule;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::config::Config;

const REFERENCE: &str = include_str!("../../../config/reference.toml");

fn check(text: &[u8]) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), text).expect("written");
    match Config::check_file(file.path()) {
        Ok(config) => drop(config.run.digest(&config.run.choose(None).expect("all targets"))),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// The reference with all keys set.
fn all_keys() -> String {
    let set = REFERENCE.lines().map(|line| match line.strip_prefix('#') {
        Some(key) if key.contains(" = ") && !key.starts_with(' ') => key,
        _ => line,
    });
    set.collect::<Vec<_>>().join("\n")
}

/// The daemon's response to these bytes. `whole`: they are a request that asks the daemon to close
/// the connection.
fn answer_to(request: &[u8], whole: bool) -> Vec<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let (mut client, server) = tokio::io::duplex(1 << 20);
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "[[target]]\nname = \"home\"\nregions = [\"eu-west-1\"]\n").expect("written");
        let settings = Config::check_file(file.path()).expect("a configuration").for_daemon();
        client.write_all(request).await.expect("there is room");
        if !whole {
            client.shutdown().await.expect("shut down");
        }
        let mut answer = Vec::new();
        let (read, ()) = tokio::join!(client.read_to_end(&mut answer), dynacrawl_daemon::answer_on(server, &settings));
        read.expect("the connection is closed in order");
        answer
    })
}

fn field() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\*",
        "\\*/[0-9]{1,3}",
        "[0-9]{1,3}",
        "[0-9]{1,2}-[0-9]{1,2}",
        "[0-9]{1,2}(,[0-9]{1,2}){0,3}",
        "(MON|SUN|L|W|#|\\?|\\+MON|15W|JAN)"
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_a_configuration_or_an_error(text in prop::collection::vec(any::<u8>(), 0..300)) {
        check(&text);
    }

    #[test]
    fn any_value_of_any_key_is_a_configuration_or_an_error(
        line in any::<prop::sample::Index>(),
        value in "(-?[0-9]{1,22}|[0-9]{0,18}[a-zμ]{0,3}|\"[^\"\\\\\\x00-\\x1f]{0,30}\"|\\[\\]|\\[\".{0,3}\"\\]|\\{\\}|true|nan)",
        commented in any::<bool>(),
    ) {
        let text = if commented { REFERENCE.to_owned() } else { all_keys() };
        let keys: Vec<&str> = text.lines().filter(|line| line.contains(" = ") && !line.starts_with('#')).collect();
        let chosen = keys[line.index(keys.len())];
        let key = chosen.split(" = ").next().expect("a key");
        check(text.replacen(chosen, &format!("{key} = {value}"), 1).as_bytes());
        check(text.replacen(chosen, &format!("{key} = \"{value}\""), 1).as_bytes());
    }

    #[test]
    fn any_cron_expression_has_a_next_time_or_is_an_error(
        fields in prop::collection::vec(field(), 1..7),
        at in 0_i64..4_000_000_000,
        zone in "(UTC|Europe/Berlin|America/Sao_Paulo|Australia/Lord_Howe|.{0,10})",
    ) {
        let Ok(schedule) = Schedule::new(&fields.join(" "), &zone, Duration::ZERO) else { return Ok(()) };
        let at = jiff::Timestamp::from_second(at).expect("a time");
        if let Some(next) = schedule.next(at) {
            prop_assert!(next > at);
            let missed = schedule.missed(at, next);
            prop_assert!(missed.is_some_and(|missed| missed > at && missed <= next), "{fields:?} {zone} {at} {next} {missed:?}");
        }
    }

    #[test]
    fn any_bytes_are_a_request_or_are_refused(request in prop::collection::vec(any::<u8>(), 0..300)) {
        let answer = answer_to(&request, false);
        prop_assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."), "{:?}", String::from_utf8_lossy(&answer));
    }

    #[test]
    fn any_request_is_answered_and_starts_a_run_only_with_the_token(
        method in "(GET|POST|PUT|[A-Z]{1,9})",
        path in "(/healthz|/readyz|/metrics|/api/v1/runs|/[!-~]{0,20})",
        host in "(localhost|127\\.0\\.0\\.1:80|\\[::1\\]|evil\\.example|[!-~]{0,20})",
        token in "(Bearer secret|bearer secret|Bearer x|Basic secret|[ -~]{0,20})",
        body in prop_oneof![
            "\\{\"targets\": ?\\[(\"home\"|\"[^\"\\x00-\\x1f]{0,9}\")?\\]\\}",
            "\\{\"accept_(removals|retirements)\": ?\\[\"[0-9]{12}/[a-z0-9-]{0,12}\"\\]\\}",
            ".{0,60}",
        ],
    ) {
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nconnection: close\r\nhost: {host}\r\nauthorization: {token}\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        let answer = String::from_utf8_lossy(&answer_to(request.as_bytes(), true)).into_owned();
        prop_assert!(answer.starts_with("HTTP/1."), "{request}: {answer}");
        let started = answer.starts_with("HTTP/1.1 202");
        prop_assert!(!started || token.eq_ignore_ascii_case("bearer secret"), "{request}: {answer}");
    }

    #[test]
    fn any_text_is_a_cron_expression_or_an_error(text in ".{0,60}") {
        let _ = Schedule::new(&text, "UTC", Duration::ZERO);
    }
}

#[test]
fn deep_nesting_is_an_error_and_not_an_overflow() {
    for (open, close) in [("[", "]"), ("{a=", "}")] {
        check(format!("a = {}{}", open.repeat(50_000), close.repeat(50_000)).as_bytes());
    }
    check("[a.".repeat(20_000).as_bytes());
    check(vec![b'('; 100_000].as_slice());
    check(format!("[crawl]\ninclude = [\"{}\"]", "(".repeat(5_000)).as_bytes());
}
