//! All sources of credentials, and all ways in which they can be wrong.
//!
//! Web identity calls AssumeRoleWithWebIdentity, which the simulator does not have. It is tested
//! with moto, in `others.rs`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::thread;

use dynacrawl_sim::{Account, Effect, Estate, FaultRule, Operation, Role, Tables};
use serde_json::json;

use crate::command::{Crawled, Dynacrawl};
use crate::support::{HOME, IRELAND, MEMBER, VIRGINIA, ireland, session, simulate, with_role};

/// Checks that all scopes are complete and belong to the account.
#[track_caller]
fn complete(crawled: &Crawled, account: &str) {
    assert_eq!(crawled.code, 0, "{}", crawled.stderr);
    for scope in crawled.of_type("scope_completed") {
        assert_eq!(scope["scope"]["account_id"], account);
        assert_eq!(scope["outcome"], "complete");
    }
    assert!(crawled.of_type("table").count() > 0);
}

/// Checks that nothing was crawled because of the credentials, with this code.
#[track_caller]
fn refused(crawled: &Crawled, code: &str) {
    assert_eq!(crawled.code, 4, "{}", crawled.stderr);
    for scope in crawled.of_type("scope_completed") {
        assert_eq!(scope["outcome"], "auth_failed", "{scope}");
        assert_eq!(scope["problems"][0]["code"], code, "{scope}");
    }
}

fn guarded() -> Role {
    Role::new("team/Reader").trusts(HOME).external_id("acme-42")
}

#[test]
fn a_users_keys_come_from_the_environment() {
    let (sim, home) = ireland(20);
    complete(&Dynacrawl::crawl_of(&sim, &home, IRELAND).records(), HOME);
}

#[test]
fn a_users_keys_come_from_the_places_in_the_configuration() {
    let (sim, home) = ireland(20);
    let crawled = Dynacrawl::crawl()
        .sim(&sim)
        .config(&format!(
            "[[target]]\nname = \"home\"\nregions = [\"{IRELAND}\"]\n\
             credentials = {{ access_key_id = {{ env = \"KEY\" }}, secret_access_key = {{ file = \"secret\" }} }}\n"
        ))
        .env("KEY", &home.access_key_id)
        // Editors end files with a line break.
        .file("secret", &format!("{}\n", home.secret_access_key))
        .secret(&home.secret_access_key)
        // dynacrawl uses the keys of the configuration, not these.
        .aws_keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY", None)
        .records();
    complete(&crawled, HOME);
    assert_eq!(crawled.target("home")["target"], "home");
}

#[test]
fn a_session_from_outside_is_used_with_its_token() {
    let (sim, member) = with_role(&Role::new("Outside").trusts(HOME), 20);
    let keys = session(&sim, &member, member.role_arn.as_deref().expect("a role"));
    let token = keys.session_token.as_deref().expect("a session");
    let by_environment = Dynacrawl::crawl()
        .sim(&sim)
        .aws_keys(&keys.access_key_id, &keys.secret_access_key, Some(token))
        .args(["--region", IRELAND]);
    complete(&by_environment.records(), MEMBER);
    let by_configuration = Dynacrawl::crawl()
        .sim(&sim)
        .config(&format!(
            "[[target]]\nregions = [\"{IRELAND}\"]\n\
             credentials = {{ access_key_id = {{ env = \"K\" }}, secret_access_key = {{ env = \"S\" }}, session_token = {{ env = \"T\" }} }}\n"
        ))
        .env("K", &keys.access_key_id)
        .secret_env("S", &keys.secret_access_key)
        .secret_env("T", token);
    complete(&by_configuration.records(), MEMBER);
}

#[test]
fn a_profile_gives_keys_and_region() {
    let (sim, home) = ireland(20);
    let keys =
        format!("aws_access_key_id = {}\naws_secret_access_key = {}\n", home.access_key_id, home.secret_access_key);
    let crawled = Dynacrawl::crawl()
        .sim(&sim)
        .file(
            "credentials",
            &format!("[other]\naws_access_key_id = AKIA\naws_secret_access_key = x\n[payments]\n{keys}"),
        )
        .file("config", &format!("[profile payments]\nregion = {IRELAND}\n"))
        .secret(&home.secret_access_key)
        // dynacrawl uses the requested profile, not the keys of the environment.
        .aws_keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY", None)
        .args(["--profile", "payments"])
        .records();
    complete(&crawled, HOME);
    assert_eq!(crawled.records[0]["targets"][0]["regions"][0], IRELAND);
}

#[test]
fn a_credential_process_gives_keys() {
    let (sim, home) = ireland(20);
    let crawl = Dynacrawl::crawl().sim(&sim).secret(&home.secret_access_key).args(["--region", IRELAND]);
    let answer = format!(
        "{{\"Version\": 1, \"AccessKeyId\": \"{}\", \"SecretAccessKey\": \"{}\"}}",
        home.access_key_id, home.secret_access_key
    );
    let process = format!("[default]\ncredential_process = cat {}\n", crawl.path("answer.json").display());
    complete(&crawl.file("answer.json", &answer).file("config", &process).records(), HOME);
}

#[test]
fn a_failed_credential_process_is_reported_without_its_stderr() {
    let (sim, _) = ireland(20);
    let crawl = Dynacrawl::crawl().sim(&sim).args(["--region", IRELAND]).secret("hunter2-on-stderr");
    let script = crawl.path("fail.sh");
    let process = format!("[default]\ncredential_process = sh {}\n", script.display());
    let crawled = crawl.file("fail.sh", "echo hunter2-on-stderr >&2; exit 1").file("config", &process).records();
    refused(&crawled, "no_credentials");
}

#[test]
fn a_credential_process_that_waits_times_out() {
    let (sim, _) = ireland(20);
    let with = |subcommand| {
        Dynacrawl::new(subcommand)
            .sim(&sim)
            .args(["--region", IRELAND])
            .file("config", "[default]\ncredential_process = sleep 100\n")
            .config("[aws]\ncredentials_timeout = \"1s\"\n")
    };
    let crawled = with("crawl").records();
    refused(&crawled, "credentials_timeout");
    assert!(crawled.stderr.contains("aws.credentials_timeout"), "{}", crawled.stderr);
    let checked = with("check").run();
    assert_eq!(checked.status.code(), Some(4), "{}", checked.stdout);
    assert!(checked.stdout.contains("log in first"), "{}", checked.stdout);
}

#[test]
fn a_blank_or_line_break_in_a_key_is_refused_without_a_panic() {
    let (sim, home) = ireland(20);
    let (id, secret) = (&home.access_key_id, &home.secret_access_key);
    for (id, secret, token) in [
        (format!("{id}\n"), secret.clone(), None),
        (format!("{id} "), secret.clone(), None),
        (id.clone(), format!("{secret}\r\n"), None),
        (id.clone(), secret.clone(), Some("a token-in-two-lines\nof a file")),
    ] {
        let with = |subcommand| Dynacrawl::new(subcommand).sim(&sim).aws_keys(&id, &secret, token);
        for regions in [IRELAND, "all"] {
            let crawled = with("crawl").args(["--region", regions]).records();
            assert_eq!(crawled.code, 4, "{}", crawled.stderr);
            assert!(crawled.stderr.contains("AWS_ACCESS_KEY_ID"), "{}", crawled.stderr);
            assert!(!crawled.stderr.contains("panicked"), "{}", crawled.stderr);
        }
        let checked = with("check").args(["--region", IRELAND]).run();
        assert_eq!(checked.status.code(), Some(4), "{}", checked.stderr);
        assert!(!checked.stderr.contains("panicked"), "{}", checked.stderr);
    }
    assert_eq!(sim.counts().total.requests, 0);
}

#[test]
fn a_container_gives_keys() {
    for profile in ["", "default", "payments"] {
        container_gives_keys(profile);
    }
}

fn container_gives_keys(profile: &str) {
    let (sim, home) = ireland(20);
    let container = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = container.local_addr().expect("an address");
    let keys = json!({
        "AccessKeyId": home.access_key_id, "SecretAccessKey": home.secret_access_key, "Token": "", "Expiration": "2099-01-01T00:00:00Z",
    });
    let body = keys.to_string();
    let served = thread::spawn(move || {
        let (stream, _) = container.accept().expect("a connection");
        let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
        let asked: Vec<_> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
        (&stream).write_all(format!("{head}{body}").as_bytes()).expect("it is sent");
        asked
    });
    let crawled = Dynacrawl::crawl()
        .sim(&sim)
        .args(["--region", IRELAND])
        // Without any profile, the SDK moves on to the container.
        .env("AWS_PROFILE", profile)
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("http://{address}/keys"))
        .env("AWS_CONTAINER_AUTHORIZATION_TOKEN", "Bearer container-token")
        .secret("container-token")
        .secret(&home.secret_access_key)
        .records();
    complete(&crawled, HOME);
    let asked = served.join().expect("it was asked");
    assert!(asked.iter().any(|line| line.to_lowercase() == "authorization: bearer container-token"), "{asked:?}");
}

#[test]
fn missing_credentials_are_reported() {
    let (sim, _) = ireland(20);
    let crawled = Dynacrawl::crawl().sim(&sim).args(["--region", IRELAND]).records();
    refused(&crawled, "no_credentials");
    assert_eq!(sim.counts().total.requests, 0);
}

#[test]
fn a_role_is_assumed_with_its_external_id_once_for_all_regions() {
    let (sim, member) = with_role(&guarded(), 30);
    let role = member.role_arn.clone().expect("a role");
    let crawled = Dynacrawl::crawl()
        .sim(&sim)
        .keys(&member)
        .args(["--region", IRELAND, "--region", VIRGINIA, "--role-arn", &role, "--external-id", "acme-42"])
        .records();
    complete(&crawled, MEMBER);
    assert_eq!(crawled.of_type("table").count(), 60);
    assert_eq!(sim.counts().assumed_roles[&role], 1);
    assert_eq!(sim.counts().requests(Operation::GetCallerIdentity), 1, "all Regions have the same identity");
    assert_eq!(crawled.records[0]["targets"][0]["role_arn"], role.as_str());
    assert!(!crawled.text.contains("acme-42"), "an external id is not written");
}

#[test]
fn a_role_is_assumed_despite_transient_faults() {
    for effect in
        [Effect::Throttle, Effect::Status(500), Effect::DropConnection, Effect::TruncateBody, Effect::GarbageBody]
    {
        let (sim, member) = with_role(&Role::new("Reader").trusts(HOME), 5);
        sim.add_fault(FaultRule::new(effect.clone()).operation(Operation::AssumeRole).first(1));
        let crawled = Dynacrawl::crawl()
            .sim(&sim)
            .keys(&member)
            .args(["--region", IRELAND, "--role-arn", member.role_arn.as_deref().expect("a role")])
            .records();
        assert_eq!(crawled.code, 0, "{effect:?}: {}", crawled.stderr);
    }
}

#[test]
fn a_role_that_cannot_be_assumed_is_named() {
    let (sim, member) = with_role(&guarded(), 5);
    let role = member.role_arn.clone().expect("a role");
    let nobody = role.replace("Reader", "Nobody");
    for (role, external_id) in [(&role, Some("acme-43")), (&role, None), (&nobody, Some("acme-42"))] {
        let crawl = Dynacrawl::crawl()
            .sim(&sim)
            .keys(&member)
            .args(["--region", IRELAND, "--region", VIRGINIA, "--role-arn", role])
            .args(external_id.iter().flat_map(|id| ["--external-id", id]));
        let crawled = crawl.records();
        refused(&crawled, "AccessDenied");
        let message = crawled.scope(IRELAND)["problems"][0]["message"].as_str().expect("a message");
        assert!(message.contains(&format!("assuming {role}")), "{message}");
        assert!(crawled.stderr.contains("AccessDenied"), "{}", crawled.stderr);
    }
    assert_eq!(sim.counts().requests(Operation::ListTables), 0);
}

#[test]
fn a_role_is_assumed_through_another_role() {
    let hub = Role::new("Hub").trusts(HOME).external_id("hub-1");
    let home = Account::new(HOME).region(IRELAND, Tables::new());
    let middle = Account::new("222233334444").role(hub).region(IRELAND, Tables::new());
    let hub_arn = middle.role_arn("Hub");
    let last = Account::new(MEMBER)
        .role(Role::new("Reader").trusts(&hub_arn).external_id("reader-2"))
        .region(IRELAND, Tables::new().generated(30));
    let reader_arn = last.role_arn("Reader");
    let access = home.access("home");
    let sim = simulate(Estate::new([home, middle, last]));
    let with_chain = |chain: &str| {
        let target = format!("[[target]]\nname = \"last\"\nregions = [\"{IRELAND}\"]\nassume_role = [{chain}]\n");
        Dynacrawl::crawl().sim(&sim).keys(&access).config(&target).records()
    };
    let step = |arn: &str, id: &str| format!("{{ arn = \"{arn}\", external_id = \"{id}\", session_name = \"e2e\" }}");
    let crawled = with_chain(&format!("{}, {}", step(&hub_arn, "hub-1"), step(&reader_arn, "reader-2")));
    complete(&crawled, MEMBER);
    assert_eq!(crawled.names().len(), 30);
    assert_eq!((sim.counts().assumed_roles[&hub_arn], sim.counts().assumed_roles[&reader_arn]), (1, 1));

    // The message names the role that could not be assumed.
    let crawled = with_chain(&format!("{}, {}", step(&hub_arn, "hub-1"), step(&reader_arn, "wrong")));
    refused(&crawled, "AccessDenied");
    assert!(crawled.stderr.contains(&format!("assuming {reader_arn}")), "{}", crawled.stderr);
    let crawled = with_chain(&format!("{}, {}", step(&hub_arn, "wrong"), step(&reader_arn, "reader-2")));
    refused(&crawled, "AccessDenied");
    assert!(crawled.stderr.contains(&format!("assuming {hub_arn}")), "{}", crawled.stderr);
    let crawled = with_chain(&step(&reader_arn, "reader-2"));
    refused(&crawled, "AccessDenied");
}

#[test]
fn a_session_longer_than_the_role_allows_is_refused_with_reason() {
    let (sim, member) = with_role(&Role::new("Short").trusts(HOME), 5);
    let crawled = Dynacrawl::crawl()
        .sim(&sim)
        .keys(&member)
        .args(["--region", IRELAND, "--role-arn", member.role_arn.as_deref().expect("a role"), "--duration", "2h"])
        .records();
    refused(&crawled, "ValidationError");
    assert!(crawled.stderr.contains("MaxSessionDuration"), "{}", crawled.stderr);
}

#[test]
fn wrong_secrets_unknown_keys_and_ended_sessions_are_distinct() {
    let (sim, home) = ireland(5);
    let wrong = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY12";
    let crawl = || Dynacrawl::crawl().sim(&sim).args(["--region", IRELAND]);
    refused(&crawl().aws_keys(&home.access_key_id, wrong, None).records(), "InvalidSignatureException");
    refused(&crawl().aws_keys("AKIAIOSFODNN7EXAMPLE", wrong, None).records(), "UnrecognizedClientException");
    refused(&crawl().keys(&home).env("AWS_SESSION_TOKEN", "bogus").records(), "UnrecognizedClientException");

    let (sim, member) = with_role(&Role::new("Outside").trusts(HOME), 5);
    let keys = session(&sim, &member, member.role_arn.as_deref().expect("a role"));
    sim.expire_sessions();
    let crawled = Dynacrawl::crawl()
        .sim(&sim)
        .aws_keys(&keys.access_key_id, &keys.secret_access_key, keys.session_token.as_deref())
        .args(["--region", IRELAND])
        .records();
    refused(&crawled, "ExpiredTokenException");
}

#[test]
fn a_clock_that_is_off_is_named() {
    for seconds in [3_600, -3_600] {
        let (sim, home) = ireland(5);
        sim.set_clock_skew(seconds);
        let crawled = Dynacrawl::crawl_of(&sim, &home, IRELAND).records();
        refused(&crawled, "InvalidSignatureException");
        let message = crawled.scope(IRELAND)["problems"][0]["message"].as_str().expect("a message");
        assert!(message.contains("Signature expired") || message.contains("not yet current"), "{message}");
    }
}

#[test]
fn the_most_verbose_log_level_shows_no_secret() {
    let (sim, member) = with_role(&guarded(), 5);
    let wrong = Dynacrawl::crawl()
        .sim(&sim)
        .aws_keys(&member.access_key_id, "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY12", None)
        .args(["--region", IRELAND, "--log-level", "trace"])
        .records();
    assert_eq!(wrong.code, 4);
    let right = Dynacrawl::crawl()
        .sim(&sim)
        .keys(&member)
        .args(["--region", IRELAND, "--log-level", "trace", "--log-format", "json", "--external-id", "acme-42"])
        .args(["--role-arn", member.role_arn.as_deref().expect("a role")])
        .records();
    complete(&right, MEMBER);
}
