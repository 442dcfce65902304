//! Small estates, and helpers that several tests use.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dynacrawl_sim::sigv4::{Signable, SigningScope, amz_date, authorization};
use dynacrawl_sim::{Account, DemoAccount, Estate, Options, Role, Simulator, Tables, fixtures};

use crate::servers::Creds;

/// The account of most tests.
pub(crate) const HOME: &str = "111122223333";
/// An account that is reached with a role.
pub(crate) const MEMBER: &str = "444455556666";
pub(crate) const IRELAND: &str = "eu-west-1";
pub(crate) const VIRGINIA: &str = "us-east-1";
/// A Region that an account has to opt in to.
pub(crate) const BAHRAIN: &str = "me-south-1";
/// All commands.
pub(crate) const COMMANDS: [&str; 16] = [
    "crawl",
    "serve",
    "check",
    "policy",
    "status",
    "runs",
    "tables",
    "changes",
    "sinks",
    "dead-letters",
    "replay",
    "export",
    "schema",
    "config",
    "completions",
    "man",
];

/// Starts a simulator.
pub(crate) fn simulate(estate: Estate) -> Simulator {
    simulate_with(estate, &Options::default())
}

/// Starts a simulator with options.
pub(crate) fn simulate_with(estate: Estate, options: &Options) -> Simulator {
    Simulator::start(estate, options).expect("a loopback port is free")
}

/// The account of most tests, with generated tables in Ireland.
pub(crate) fn ireland(tables: u64) -> (Simulator, DemoAccount) {
    alone(Tables::new().generated(tables))
}

/// The account of most tests, with these tables in Ireland.
pub(crate) fn alone(tables: Tables) -> (Simulator, DemoAccount) {
    started(Account::new(HOME).region(IRELAND, tables))
}

/// A simulator of one account, and its keys.
pub(crate) fn started(account: Account) -> (Simulator, DemoAccount) {
    let access = account.access("home");
    (simulate(Estate::new([account])), access)
}

/// Small tables with these names in Ireland.
pub(crate) fn named(names: &[&str]) -> Tables {
    names.iter().fold(Tables::new(), |tables, name| tables.table(*name, &fixtures::small_table(name, HOME, IRELAND)))
}

/// A home account without tables, and a member account with generated tables in Ireland and Virginia and this role.
pub(crate) fn with_role(role: &Role, tables: u64) -> (Simulator, DemoAccount) {
    let home = Account::new(HOME).region(IRELAND, Tables::new()).region(VIRGINIA, Tables::new());
    let member = Account::new(MEMBER)
        .region(IRELAND, Tables::new().generated(tables))
        .region(VIRGINIA, Tables::new().generated(tables))
        .role(role.clone());
    let access = member.access_by_role("member", role, &home);
    (simulate(Estate::new([home, member])), access)
}

/// An endpoint without a listener.
pub(crate) fn closed_port() -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    format!("http://{}", listener.local_addr().expect("an address"))
}

/// Waits until a condition holds, for at most a minute.
#[track_caller]
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "not within a minute: {what}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// Assumes a role of a simulator outside of dynacrawl, and returns the keys of that session.
pub(crate) fn session(sim: &Simulator, from: &DemoAccount, role_arn: &str) -> Creds {
    let form = format!(
        "Action=AssumeRole&Version=2011-06-15&RoleSessionName=outside&RoleArn={}",
        role_arn.replace(':', "%3A").replace('/', "%2F")
    );
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let date = amz_date(i64::try_from(now).expect("seconds"));
    let host = sim.addr().to_string();
    let mut headers = vec![
        ("host", host.as_str()),
        ("x-amz-date", date.as_str()),
        ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
    ];
    let request = Signable { method: "POST", path: "/", query: "", headers: &headers, body: form.as_bytes() };
    let scope = SigningScope { amz_date: &date, region: VIRGINIA, service: "sts" };
    let signed = authorization(&from.access_key_id, &from.secret_access_key, &scope, &request);
    headers.push(("authorization", &signed));
    let mut stream = TcpStream::connect(sim.addr()).expect("the simulator listens");
    let mut text = format!("POST / HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n", form.len());
    headers.iter().for_each(|(name, value)| text.push_str(&format!("{name}: {value}\r\n")));
    stream.write_all(format!("{text}\r\n{form}").as_bytes()).expect("it is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let tag = |name: &str| {
        let (_, rest) = answer.split_once(&format!("<{name}>")).unwrap_or_else(|| panic!("no {name} in {answer}"));
        rest.split("</").next().unwrap_or_default().to_owned()
    };
    Creds { session_token: Some(tag("SessionToken")), ..Creds::new(&tag("AccessKeyId"), &tag("SecretAccessKey")) }
}
