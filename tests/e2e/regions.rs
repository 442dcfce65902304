//! The Regions that an account has enabled, and the permissions of discovering accounts and
//! Regions.

use dynacrawl_sim::{Account, DemoAccount, Denial, Effect, FaultRule, Operation, Simulator, Tables};
use serde_json::{Value, json};

use crate::check::checked;
use crate::command::{Crawled, Dynacrawl};
use crate::organization::{
    UNIT, UNLIMITED, command, everything_at, failure, flat, id, nested, organization, started, target,
    with_failed_targets,
};
use crate::support::{BAHRAIN, HOME, IRELAND, MEMBER, VIRGINIA};

const ALL: &str = "[[target]]\nname = \"home\"\nregions = \"all\"\n";

/// Tables in two Regions that every account has, and in one that needs an opt-in.
fn three() -> (Simulator, DemoAccount) {
    let tables = || Tables::new().generated(2);
    crate::support::started(
        Account::new(HOME).region(IRELAND, tables()).region(VIRGINIA, tables()).region(BAHRAIN, tables()),
    )
}

fn crawl(sim: &Simulator, keys: &DemoAccount) -> Dynacrawl {
    command("crawl", sim, keys, &format!("{UNLIMITED}{ALL}"))
}

fn deny(sim: &Simulator, operations: &[Operation]) {
    operations.iter().for_each(|operation| sim.deny(Denial::new(HOME, *operation)));
}

/// The one record about the account's Regions.
#[track_caller]
fn discovered(crawled: &Crawled) -> &Value {
    let found: Vec<_> = crawled.of_type("regions_discovered").collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0]
}

#[track_caller]
fn discovered_by(crawled: &Crawled, source: &str, not_by: &[&str]) {
    let found = discovered(crawled);
    assert_eq!((&found["source"], &found["regions"]), (&json!(source), &json!([IRELAND, BAHRAIN, VIRGINIA])));
    let problems = found["problems"].as_array().expect("a list");
    assert_eq!(problems.len(), not_by.len(), "{found}");
    for (problem, action) in problems.iter().zip(not_by) {
        assert!(problem["message"].as_str().is_some_and(|message| message.contains(action)), "{problem}");
    }
    assert_eq!((crawled.code, crawled.names().len()), (0, 6), "{}", crawled.stderr);
}

#[test]
fn all_regions_means_those_that_the_account_has_enabled() {
    let (sim, home) = three();
    discovered_by(&crawl(&sim, &home).records(), "account:ListRegions", &[]);
    let by_flag = everything_at(Dynacrawl::crawl(), &sim.url()).keys(&home).args(["--region", "all"]);
    discovered_by(&by_flag.records(), "account:ListRegions", &[]);
    assert_eq!(sim.counts().requests(Operation::DescribeRegions), 0);
}

#[test]
fn ec2_lists_the_regions_if_account_management_does_not() {
    let (sim, home) = three();
    deny(&sim, &[Operation::ListRegions]);
    let crawled = crawl(&sim, &home).records();
    discovered_by(&crawled, "ec2:DescribeRegions", &["account:ListRegions"]);
    assert_eq!(discovered(&crawled)["problems"][0]["code"], "AccessDeniedException");
}

/// Whether an account has to enable the Region.
fn opens(region: &Value) -> bool {
    dynacrawl_aws::may_be_disabled(&region.as_str().expect("a name").parse().expect("a Region"))
}

#[test]
fn every_region_is_tried_if_neither_service_lists_them() {
    let (sim, home) = three();
    deny(&sim, &[Operation::ListRegions, Operation::DescribeRegions]);
    let crawled = crawl(&sim, &home).records();
    assert_eq!(crawled.code, 3);
    let found = discovered(&crawled);
    assert_eq!(found["source"], "built_in");
    let problems = found["problems"].to_string();
    assert!(problems.contains("account:ListRegions") && problems.contains("ec2:DescribeRegions"), "{problems}");
    let regions = found["regions"].as_array().expect("a list");
    assert!(
        regions.len() > 30 && regions.iter().all(|name| name.as_str().is_some_and(|name| !name.starts_with("cn-")))
    );
    for region in regions {
        let scope = crawled.scope(region.as_str().expect("a Region"));
        let enabled = [IRELAND, VIRGINIA, BAHRAIN].iter().any(|one| region == one);
        // A Region that every account has is always enabled, so refused credentials have another
        // cause.
        let closed = if opens(region) { "not_opted_in" } else { "auth_failed" };
        assert_eq!(scope["outcome"], if enabled { "complete" } else { closed }, "{scope}");
    }
    assert_eq!(crawled.names().len(), 6);
}

#[test]
fn transient_faults_of_listing_regions_are_retried() {
    for effect in [Effect::Throttle, Effect::Status(500), Effect::DropConnection, Effect::GarbageBody] {
        let (sim, home) = three();
        let fault = sim.add_fault(FaultRule::new(effect.clone()).operation(Operation::ListRegions).first(2));
        discovered_by(&crawl(&sim, &home).records(), "account:ListRegions", &[]);
        assert_eq!((sim.fault_hits(fault), sim.counts().requests(Operation::ListRegions)), (2, 3), "{effect:?}");

        deny(&sim, &[Operation::ListRegions]);
        let fault = sim.add_fault(FaultRule::new(effect.clone()).operation(Operation::DescribeRegions).first(2));
        discovered_by(&crawl(&sim, &home).records(), "ec2:DescribeRegions", &["account:ListRegions"]);
        assert_eq!((sim.fault_hits(fault), sim.counts().requests(Operation::DescribeRegions)), (2, 3), "{effect:?}");
    }
}

#[test]
fn wrong_keys_are_reported_once_and_not_for_each_region() {
    let (sim, home) = three();
    let wrong = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY12".to_owned();
    for keys in [
        DemoAccount { secret_access_key: wrong.clone(), ..home.clone() },
        DemoAccount { access_key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(), secret_access_key: wrong, ..home },
    ] {
        let crawled = with_failed_targets(crawl(&sim, &keys), 1);
        assert_eq!((crawled.code, failure(&crawled, "home").0), (4, "auth_failed"), "{}", crawled.stderr);
        assert_eq!(crawled.of_type("scope_completed").count(), 0);
    }
    assert_eq!(sim.counts().requests(Operation::ListTables), 0);
}

/// The statements of a policy: action and resources.
#[track_caller]
fn statements(command: Dynacrawl) -> Vec<(String, Value)> {
    let policy: Value = serde_json::from_str(&command.run().succeeded()).expect("JSON");
    let statements = policy["Statement"].as_array().expect("a list").iter();
    statements.map(|one| (one["Action"].as_str().expect("an action").to_owned(), one["Resource"].clone())).collect()
}

fn stated(statements: &[(&str, &str)]) -> Vec<(String, Value)> {
    statements.iter().map(|(action, resource)| ((*action).to_owned(), json!([resource]))).collect()
}

#[test]
fn the_policies_allow_the_calls_of_discovery() {
    let policy = || Dynacrawl::new("policy");
    let all = stated(&[
        ("dynamodb:ListTables", "*"),
        ("dynamodb:DescribeTable", "arn:aws:dynamodb:*:*:table/*"),
        ("account:ListRegions", "*"),
        ("ec2:DescribeRegions", "*"),
    ]);
    assert_eq!(statements(policy().args(["--region", "all"])), all);
    assert_eq!(statements(policy().config(&organization("regions = \"all\""))), all);
    let ireland = organization(&format!("regions = [\"{IRELAND}\"]\n"));
    let named = [("dynamodb:ListTables", "*"), ("dynamodb:DescribeTable", "arn:aws:dynamodb:eu-west-1:*:table/*")];
    assert_eq!(statements(policy().config(&ireland)), stated(&named));

    let assume = |config: &str| statements(policy().arg("--assume").config(config));
    let crawler = ("sts:AssumeRole", "arn:aws:iam::*:role/Crawler");
    assert_eq!(assume(&ireland), stated(&[("organizations:ListAccounts", "*"), crawler]));
    for filter in ["include_ous", "exclude_ous"] {
        let units = [
            ("organizations:ListAccounts", "*"),
            ("organizations:ListAccountsForParent", "*"),
            ("organizations:ListOrganizationalUnitsForParent", "*"),
            crawler,
        ];
        assert_eq!(assume(&target(&format!("{filter} = [\"{UNIT}\"]"))), stated(&units));
    }
    let list = target("").replace("organizations = true", &format!("accounts = [\"{MEMBER}\"]"));
    assert_eq!(assume(&list), stated(&[("sts:AssumeRole", &format!("arn:aws:iam::{MEMBER}:role/Crawler"))]));
    let chinese = "regions = [\"cn-north-1\"]";
    assert_eq!(
        assume(&organization(chinese)),
        stated(&[("organizations:ListAccounts", "*"), ("sts:AssumeRole", "arn:aws-cn:iam::*:role/Crawler")])
    );
}

/// The exit code of `check`, its problems, and the message of the first check of a kind.
#[track_caller]
fn look(command: Dynacrawl, kind: &str) -> (i32, Vec<(String, String)>, String) {
    let found = checked(command);
    let troubles = found.troubles().into_iter().map(|(status, code)| (status.to_owned(), code.to_owned())).collect();
    let check = found.checks.iter().find(|check| check["id"] == kind);
    let check = check.unwrap_or_else(|| panic!("no {kind} in {:?}", found.checks));
    (found.code, troubles, check["message"].as_str().expect("a message").to_owned())
}

fn trouble(status: &str, code: &str) -> Vec<(String, String)> {
    vec![(status.to_owned(), code.to_owned())]
}

#[test]
fn a_check_reports_whether_an_organization_lists_its_accounts() {
    let (sim, home) = nested();
    let run = |more: &str| look(command("check", &sim, &home, &target(more)), "organization");
    let (code, troubles, text) = run(&format!("exclude_ous = [\"{UNIT}\"]\n"));
    assert_eq!((code, troubles), (0, vec![]));
    assert!(text.contains("3 accounts to crawl of 6 (0 not active, 3 excluded)"), "{text}");
    let (code, troubles, _) = run(&format!("include_accounts = [\"{}\", \"999999999999\"]\n", id(1)));
    assert_eq!((code, troubles), (3, trouble("fail", "account_not_found")));
    sim.deny(Denial::new(HOME, Operation::ListAccounts));
    let (code, troubles, text) = run("");
    assert_eq!((code, troubles), (4, trouble("fail", "accounts_not_listed")));
    assert!(text.contains("organizations:ListAccounts"), "{text}");
}

#[test]
fn a_check_of_an_organization_checks_every_account() {
    let (sim, home) = started(2, flat(3));
    // The third member does not exist in the simulator, so it has no role.
    let found = checked(command("check", &sim, &home, &target("")));
    assert_eq!((found.code, found.troubles()), (3, vec![("fail", "assume_role_denied")]));
    let failed = found.checks.iter().find(|check| check["status"] == "fail").expect("it");
    assert_eq!(failed["target"], format!("org/{}", id(3)));
    assert_eq!(found.ids().iter().filter(|&&kind| kind == "describe_table").count(), 6);
}

#[test]
fn a_check_of_all_regions_names_their_source() {
    let (sim, home) = three();
    let run = || look(command("check", &sim, &home, &format!("{UNLIMITED}{ALL}")), "regions");
    let (code, troubles, text) = run();
    assert_eq!((code, troubles), (0, vec![]));
    assert!(text.contains("3 Regions, from account:ListRegions"), "{text}");
    deny(&sim, &[Operation::ListRegions]);
    let (code, troubles, text) = run();
    assert_eq!((code, troubles), (0, vec![]));
    assert!(text.contains("3 Regions, from ec2:DescribeRegions"), "{text}");
    deny(&sim, &[Operation::DescribeRegions]);
    let (code, troubles, text) = run();
    assert_eq!((code, &troubles[0]), (3, &trouble("warn", "regions_unknown")[0]));
    assert!(
        troubles[1..].iter().all(|(status, code)| {
            // The second code is that of Regions that every account has.
            status == "fail" && ["not_opted_in", "invalid_access_key"].contains(&&**code)
        }),
        "{troubles:?}"
    );
    assert!(text.contains("account:ListRegions") && text.contains("ec2:DescribeRegions"), "{text}");
}
