//! Sessions that end during a crawl.

use std::time::Duration;

use dynacrawl_sim::{Account, Effect, Estate, FaultRule, Operation, Options, Role, Tables};

use crate::command::Dynacrawl;
use crate::support::{HOME, IRELAND, MEMBER, VIRGINIA, session, simulate, simulate_with, with_role};

#[test]
fn a_roles_session_that_ends_early_is_renewed_once() {
    let (sim, member) = with_role(&Role::new("Reader").trusts(HOME), 300);
    let role = member.role_arn.clone().expect("a role");
    // The request itself ends the session, which affects many requests in flight.
    let expired =
        sim.add_fault(FaultRule::new(Effect::ExpireToken).account(MEMBER).operation(Operation::DescribeTable).nth(100));
    let crawled = Dynacrawl::crawl()
        .sim(&sim)
        .keys(&member)
        .args(["--region", IRELAND, "--region", VIRGINIA, "--rate", "0", "--role-arn", &role])
        .records();
    assert_eq!(sim.fault_hits(expired), 1);
    assert_eq!((crawled.code, crawled.of_type("table").count()), (0, 600), "{}", crawled.stderr);
    assert_eq!(sim.counts().assumed_roles[&role], 2);
}

#[test]
fn sessions_shorter_than_the_crawl_are_renewed_in_time() {
    let home = Account::new(HOME).region(IRELAND, Tables::new());
    let role = Role::new("Reader").trusts(HOME);
    let member = Account::new(MEMBER).region(IRELAND, Tables::new().generated(150)).role(role.clone());
    let access = member.access_by_role("member", &role, &home);
    let options = Options { max_session: Some(Duration::from_secs(4)), ..Options::default() };
    let sim = simulate_with(Estate::new([home, member]), &options);
    let arn = access.role_arn.clone().expect("a role");
    // At 25 a second the crawl takes six seconds.
    let crawled = Dynacrawl::crawl()
        .sim(&sim)
        .keys(&access)
        .args(["--region", IRELAND, "--rate", "25", "--role-arn", &arn])
        .records();
    assert_eq!((crawled.code, crawled.names().len()), (0, 150), "{}", crawled.stderr);
    assert!(sim.counts().assumed_roles[&arn] >= 2, "{:?}", sim.counts().assumed_roles);
    assert_eq!(sim.counts().total.errors.get("ExpiredTokenException"), None, "renewed before it ended");
}

#[test]
fn a_session_that_cannot_be_renewed_stops_only_its_scope() {
    let home = Account::new(HOME).region(IRELAND, Tables::new().generated(150)).region(VIRGINIA, Tables::new());
    let role = Role::new("Outside").trusts(HOME);
    let member = Account::new(MEMBER).region(IRELAND, Tables::new().generated(150)).role(role.clone());
    let (user, access) = (home.access("home"), member.access_by_role("member", &role, &home));
    let sim = simulate(Estate::new([home, member]));
    let keys = session(&sim, &access, access.role_arn.as_deref().expect("a role"));
    let end = FaultRule::new(Effect::ExpireToken).account(MEMBER).operation(Operation::DescribeTable).nth(60);
    sim.add_fault(end);
    let crawled = Dynacrawl::crawl()
        .sim(&sim)
        .config(&format!(
            "[crawl]\nrate = 0\n\
             [[target]]\nname = \"home\"\nregions = [\"{IRELAND}\"]\n\
             credentials = {{ access_key_id = {{ env = \"K1\" }}, secret_access_key = {{ env = \"S1\" }} }}\n\
             [[target]]\nname = \"member\"\nregions = [\"{IRELAND}\"]\n\
             credentials = {{ access_key_id = {{ env = \"K2\" }}, secret_access_key = {{ env = \"S2\" }}, session_token = {{ env = \"T2\" }} }}\n"
        ))
        .env("K1", &user.access_key_id)
        .secret_env("S1", &user.secret_access_key)
        .env("K2", &keys.access_key_id)
        .secret_env("S2", &keys.secret_access_key)
        .secret_env("T2", keys.session_token.as_deref().expect("a session"))
        .records();
    assert_eq!(crawled.code, 3);
    assert_eq!(crawled.target("home")["outcome"], "complete");
    assert_eq!(crawled.target("home")["counts"]["described"], 150);
    let stopped = crawled.target("member");
    assert!(stopped["outcome"] == "partial" || stopped["outcome"] == "incomplete_listing", "{stopped}");
    assert_eq!(stopped["problems"][0]["code"], "ExpiredTokenException");
    let count = |name: &str| stopped["counts"][name].as_u64().expect("a number");
    assert!(count("described") >= 20 && count("described") < 60, "{stopped}");
    assert_eq!(count("not_attempted"), count("selected") - count("described"));
    assert_eq!(count("vanished") + count("failed") + count("denied"), 0, "the end of the credentials fails no table");
    assert!(crawled.stderr.contains("not attempted"), "{}", crawled.stderr);
}

#[test]
fn a_role_that_can_no_longer_be_assumed_stops_its_scopes() {
    let (sim, member) = with_role(&Role::new("Reader").trusts(HOME), 150);
    let role = member.role_arn.clone().expect("a role");
    sim.add_fault(FaultRule::new(Effect::ExpireToken).operation(Operation::DescribeTable).nth(60));
    // The role can be assumed once, and not again.
    sim.add_fault(FaultRule::new(Effect::Deny).operation(Operation::AssumeRole).nth(2));
    sim.add_fault(FaultRule::new(Effect::Deny).operation(Operation::AssumeRole).nth(2));
    sim.add_fault(FaultRule::new(Effect::Deny).operation(Operation::AssumeRole).nth(2));
    let crawled = Dynacrawl::crawl()
        .sim(&sim)
        .keys(&member)
        .args(["--region", IRELAND, "--rate", "0", "--role-arn", &role])
        .records();
    assert_eq!(crawled.code, 3);
    let scope = crawled.scope(IRELAND);
    assert!(scope["counts"]["not_attempted"].as_u64().is_some_and(|count| count > 50), "{scope}");
    assert_eq!(scope["problems"][0]["code"], "AccessDenied");
    assert_eq!(scope["counts"]["denied"], 0, "no table was denied");
}
