//! What an AWS SDK with its defaults would get wrong with many accounts.

use dynacrawl_sim::{Account, Effect, Estate, FaultRule, Operation, Options, Role, Simulator, Tables};

use crate::command::Dynacrawl;
use crate::support::{HOME, IRELAND, VIRGINIA, ireland, session, simulate, simulate_with};

fn member_id(number: usize) -> String {
    format!("{:012}", 300_000_000_000_u64 + number as u64)
}

/// Accounts with a role that the home account, or a role of it, may assume.
fn members(count: usize, trusts: &str, tables: u64) -> Vec<Account> {
    let member = |number| {
        Account::new(member_id(number))
            .role(Role::new("Reader").trusts(trusts))
            .region(IRELAND, Tables::new().generated(tables))
            .region(VIRGINIA, Tables::new().generated(tables))
    };
    (0..count).map(member).collect()
}

fn home() -> Account {
    Account::new(HOME).region(IRELAND, Tables::new().generated(5)).region(VIRGINIA, Tables::new())
}

fn all_members(count: usize, regions: &[&str], more: &str) -> String {
    let ids: Vec<_> = (0..count).map(member_id).collect();
    format!(
        "[crawl]\nrate = 0\n{more}[[target]]\nname = \"all\"\nregions = {regions:?}\naccounts = {ids:?}\n\
         assume_role = [{{ arn = \"arn:aws:iam::{{account}}:role/Reader\" }}]\n"
    )
}

fn unverified(accounts: impl IntoIterator<Item = Account>) -> Simulator {
    simulate_with(Estate::new(accounts), &Options { verify_signatures: false, ..Options::default() })
}

/// The SDK's cache has 64 identities, and evicts any of them.
#[test]
fn more_roles_than_the_sdk_caches_cost_one_assume_role_each() {
    let home = home();
    let keys = home.access("home");
    let sim = unverified(members(90, HOME, 3).into_iter().chain([home]));
    let config = all_members(90, &[IRELAND, VIRGINIA], "scopes = 100\n");
    let crawled = Dynacrawl::crawl().sim(&sim).keys(&keys).config(&config).records();
    assert_eq!((crawled.code, crawled.of_type("table").count()), (0, 540));
    let assumed = sim.counts().assumed_roles;
    assert_eq!((assumed.len(), assumed.values().copied().max()), (90, Some(1)));
}

/// The SDK does not limit connections.
#[test]
fn connections_and_requests_are_limited_over_all_scopes() {
    let home = home();
    let keys = home.access("home");
    let sim = unverified(members(8, HOME, 60).into_iter().chain([home]));
    for number in 0..8 {
        sim.set_latency(&member_id(number), IRELAND, std::time::Duration::from_millis(5)).expect("a scope");
    }
    let config = all_members(8, &[IRELAND, VIRGINIA], "connections = 7\n");
    let crawled = Dynacrawl::crawl().sim(&sim).keys(&keys).config(&config).records();
    assert_eq!((crawled.code, crawled.of_type("table").count()), (0, 960));
    // The server may count one more, because it notices a moment later that a connection was
    // closed.
    assert!(sim.counts().peak_connections <= 8, "{}", sim.counts().peak_connections);
    sim.reset_counts();
    let config = all_members(8, &[IRELAND, VIRGINIA], "requests = 5\n[budget.sts]\nconcurrency = 2\n");
    let crawled = Dynacrawl::crawl().sim(&sim).keys(&keys).config(&config).records();
    assert_eq!((crawled.code, crawled.of_type("table").count()), (0, 960));
    // The hub sends two AssumeRole at a time, and each of the eight targets calls STS once, with
    // its own budget. Without a limit each of the sixteen scopes would describe 32 tables at a
    // time.
    let peak = sim.counts().peak_concurrent;
    assert!(peak <= 5 + 2 + 8, "{peak}");
}

/// The SDK's retries share a token bucket between all accounts: after a hundred failures no account
/// would be retried.
#[test]
fn a_failing_account_does_not_use_up_the_retries_of_others() {
    let home = home();
    let keys = home.access("home");
    let sim = unverified(members(3, HOME, 150).into_iter().chain([home]));
    let failing = FaultRule::new(Effect::Status(500)).account(member_id(0)).operation(Operation::DescribeTable);
    sim.add_fault(failing);
    // All attempts except the last one, for each table of another account.
    let last = FaultRule::new(Effect::Status(500)).account(member_id(1)).region(IRELAND);
    let last = sim.add_fault(last.operation(Operation::DescribeTable).first(300));
    let config = all_members(3, &[IRELAND], "max_attempts = 3\n");
    let crawled = Dynacrawl::crawl().sim(&sim).keys(&keys).config(&config).records();
    assert_eq!(sim.fault_hits(last), 300);
    assert_eq!(crawled.code, 3);
    let outcome = |number| crawled.target(&format!("all/{}", member_id(number)))["outcome"].as_str();
    assert_eq!([0, 1, 2].map(outcome), [Some("partial"), Some("complete"), Some("complete")]);
}

/// The base credentials end during the run: targets with a session continue, others fail with the
/// reason, and a target with its own keys is not affected.
#[test]
fn expired_base_credentials_fail_only_targets_that_need_them() {
    let base = Role::new("Base").trusts(HOME);
    let hub = home().role(base.clone());
    let from = hub.access_by_role("hub", &base, &hub);
    let own = Account::new("400000000000").region(IRELAND, Tables::new().generated(40));
    let own_keys = own.access("own");
    let sim = simulate(Estate::new(members(6, HOME, 40).into_iter().chain([hub, own])));
    let keys = session(&sim, &from, from.role_arn.as_deref().expect("a role"));
    let ended = FaultRule::new(Effect::ExpireToken).account(HOME).operation(Operation::AssumeRole);
    let ended = sim.add_fault(ended.nth(4));
    let ids: Vec<_> = (0..6).map(member_id).collect();
    let secret = |key: &str, variable: &str| format!("{key} = {{ env = \"{variable}\" }}");
    let config = format!(
        "[crawl]\nrate = 0\n[budget.sts]\nconcurrency = 1\n\
         [[target]]\nname = \"all\"\nregions = [\"{IRELAND}\"]\naccounts = {ids:?}\n\
         credentials = {{ {}, {}, {} }}\nassume_role = [{{ arn = \"arn:aws:iam::{{account}}:role/Reader\" }}]\n\
         [[target]]\nname = \"own\"\nregions = [\"{IRELAND}\"]\ncredentials = {{ {}, {} }}\n",
        secret("access_key_id", "K1"),
        secret("secret_access_key", "S1"),
        secret("session_token", "T1"),
        secret("access_key_id", "K2"),
        secret("secret_access_key", "S2"),
    );
    let crawled = Dynacrawl::crawl()
        .sim(&sim)
        .config(&config)
        .env("K1", &keys.access_key_id)
        .secret_env("S1", &keys.secret_access_key)
        .secret_env("T1", keys.session_token.as_deref().expect("a session"))
        .env("K2", &own_keys.access_key_id)
        .secret_env("S2", &own_keys.secret_access_key)
        .records();
    assert_eq!(sim.fault_hits(ended), 1);
    assert_eq!(crawled.code, 3, "{}", crawled.stderr);
    assert_eq!(crawled.target("own")["outcome"], "complete");
    let scopes: Vec<_> = (0..6).map(|number| crawled.target(&format!("all/{}", member_id(number)))).collect();
    let complete = scopes.iter().filter(|scope| scope["outcome"] == "complete").count();
    let failed: Vec<_> = scopes.iter().filter(|scope| scope["outcome"] == "auth_failed").collect();
    assert_eq!((complete, failed.len()), (3, 3));
    assert!(failed.iter().all(|scope| scope["problems"][0]["code"] == "ExpiredTokenException"
        || scope["problems"][0]["code"] == "ExpiredToken"));
}

/// The default features of the SDK crates include a second, older HTTP and TLS stack.
#[test]
fn there_is_one_http_stack_and_one_tls_stack() {
    let lock = include_str!("../../Cargo.lock");
    let versions = |name: &str| {
        let mut lines = lock.lines();
        let mut found = Vec::new();
        while let Some(line) = lines.next() {
            if line == format!("name = \"{name}\"") {
                found.extend(lines.next());
            }
        }
        found
    };
    for (name, major) in [("hyper", "version = \"1."), ("rustls", "version = \"0.23."), ("h2", "version = \"0.4.")] {
        let found = versions(name);
        assert!(found.len() == 1 && found[0].starts_with(major), "{name}: {found:?}");
    }
}

#[test]
fn a_scope_reports_its_requests_and_the_rate_that_it_reached() {
    let (sim, home) = ireland(300);
    sim.add_fault(FaultRule::new(Effect::Throttle).operation(Operation::DescribeTable).nth(100));
    let crawled = Dynacrawl::crawl_of(&sim, &home, IRELAND).args(["--rate", "200", "--burst", "5"]).records();
    let scope = crawled.scope(IRELAND);
    assert_eq!((&scope["pace"]["limit"], &scope["pace"]["lowest"]), (&200.into(), &100.0.into()));
    let reached = scope["pace"]["reached"].as_u64().expect("a number");
    assert!((60..=205).contains(&reached), "{scope}");
    assert_eq!(scope["requests"]["DescribeTable"]["throttled"], 1);
}
