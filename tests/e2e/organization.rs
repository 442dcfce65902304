//! The accounts of an organization, a list of accounts, and the requests that one role in each of
//! them costs.

use std::fs;

use dynacrawl_sim::{
    Account, DemoAccount, Denial, Effect, Estate, FaultRule, Member, MemberState, Operation, Organization,
    OrganizationalUnit, Role, Simulator, Tables,
};
use serde_json::{Value, json};

use crate::command::{Crawled, Dynacrawl};
use crate::support::{HOME, IRELAND, VIRGINIA, simulate};

/// Rates without a limit, so that no test waits.
pub(crate) const UNLIMITED: &str = "[crawl]\nrate = 0\n[budget.organizations]\nrate = 0\n[budget.account]\nrate = 0\n";
pub(crate) const UNIT: &str = "ou-main-aaaaaaaa";
const BELOW: &str = "ou-main-bbbbbbbb";
const BOTTOM: &str = "ou-main-cccccccc";
/// An account that does not exist.
const STRANGER: &str = "999999999999";

/// The id of a member.
pub(crate) fn id(number: usize) -> String {
    (200_000_000_000 + number).to_string()
}

fn arn(account: &str) -> String {
    format!("arn:aws:iam::{account}:role/Crawler")
}

/// Uses this server for all services.
pub(crate) fn everything_at(command: Dynacrawl, url: &str) -> Dynacrawl {
    let others = ["organizations", "account", "ec2"].map(|service| format!("--{service}-endpoint-url"));
    command.endpoint(url).args(others.iter().flat_map(|flag| [flag.as_str(), url]))
}

/// A target with the organization's accounts, in two Regions.
pub(crate) fn target(more: &str) -> String {
    organization(&format!("regions = [\"{IRELAND}\", \"{VIRGINIA}\"]\n{more}"))
}

/// As [`target`], without Regions.
pub(crate) fn organization(more: &str) -> String {
    format!(
        "{UNLIMITED}[[target]]\nname = \"org\"\norganizations = true\n\
         assume_role = [{{ arn = \"arn:{{partition}}:iam::{{account}}:role/Crawler\" }}]\n{more}"
    )
}

/// Two tables in each of two Regions, and a role for the management account.
fn account(id: &str) -> Account {
    let tables = || Tables::new().generated(2);
    Account::new(id).region(IRELAND, tables()).region(VIRGINIA, tables()).role(Role::new("Crawler").trusts(HOME))
}

/// The management account and members 1 to `members`, in this organization.
pub(crate) fn started(members: usize, organization: Organization) -> (Simulator, DemoAccount) {
    let home = account(HOME);
    let access = home.access("home");
    let accounts = std::iter::once(home).chain((1..=members).map(|number| account(&id(number))));
    (simulate(Estate::new(accounts).organization(organization)), access)
}

/// The members 1 to `members` in the root.
pub(crate) fn flat(members: usize) -> Organization {
    let root = (1..=members).fold(OrganizationalUnit::new("r-main"), |root, number| root.account(id(number)));
    Organization::new(HOME).root(root)
}

/// Account 1 in the root, 2 in a unit, 3 in a unit below it, 4 in a unit below that, and 5 in
/// another unit of the root.
pub(crate) fn nested() -> (Simulator, DemoAccount) {
    let bottom = OrganizationalUnit::new(BOTTOM).account(id(4));
    let below = OrganizationalUnit::new(BELOW).account(id(3)).unit(bottom);
    let unit = OrganizationalUnit::new(UNIT).account(id(2)).unit(below);
    let other = OrganizationalUnit::new("ou-main-dddddddd").account(id(5));
    let root = OrganizationalUnit::new("r-main").account(id(1)).unit(unit).unit(other);
    started(5, Organization::new(HOME).root(root))
}

pub(crate) fn command(subcommand: &str, sim: &Simulator, keys: &DemoAccount, config: &str) -> Dynacrawl {
    everything_at(Dynacrawl::new(subcommand), &sim.url()).keys(keys).config(config)
}

fn crawl(sim: &Simulator, keys: &DemoAccount, config: &str) -> Dynacrawl {
    command("crawl", sim, keys, config)
}

/// Runs a crawl in which this many targets fail as a whole. The run is then partial even if all its
/// scopes are complete.
#[track_caller]
pub(crate) fn with_failed_targets(crawl: Dynacrawl, failed: usize) -> Crawled {
    let crawled = crawl.records();
    assert_eq!(crawled.of_type("target_failed").count(), failed);
    crawled
}

/// The failure of a target as a whole: its outcome, code and message.
#[track_caller]
pub(crate) fn failure<'a>(crawled: &'a Crawled, target: &str) -> (&'a str, &'a str, &'a str) {
    let failed = crawled.of_type("target_failed").find(|record| record["target"] == target);
    let failed = failed.unwrap_or_else(|| panic!("{target} has not failed: {}", crawled.text));
    ["outcome", "code", "message"].map(|field| failed[field].as_str().expect("a text")).into()
}

/// The one record about the organization's accounts.
#[track_caller]
pub(crate) fn discovered(crawled: &Crawled) -> &Value {
    let found: Vec<_> = crawled.of_type("accounts_discovered").collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0]
}

/// Checks that exactly these accounts were found, and that exactly their scopes are complete.
#[track_caller]
fn complete(crawled: &Crawled, accounts: &[String]) {
    let found = discovered(crawled)["accounts"].as_array().expect("a list");
    let ids: Vec<_> = found.iter().map(|account| account["id"].as_str().expect("an id")).collect();
    assert_eq!(ids, accounts);
    scopes_complete(crawled, accounts);
}

#[track_caller]
fn scopes_complete(crawled: &Crawled, accounts: &[String]) {
    let mut expected: Vec<_> = accounts
        .iter()
        .flat_map(|id| [IRELAND, VIRGINIA].map(|region| (format!("org/{id}"), id.clone(), region.to_owned())))
        .collect();
    let mut ended: Vec<_> = crawled
        .of_type("scope_completed")
        .filter(|scope| scope["outcome"] == "complete" && scope["counts"]["described"] == 2)
        .map(|scope| {
            let text = |pointer: &str| scope.pointer(pointer).and_then(Value::as_str).expect("a text").to_owned();
            (text("/target"), text("/scope/account_id"), text("/scope/region"))
        })
        .collect();
    expected.sort();
    ended.sort();
    assert_eq!(ended, expected, "{}", crawled.stderr);
}

#[test]
fn the_active_accounts_of_all_pages_are_crawled() {
    let not_active = [(3, MemberState::Suspended), (5, MemberState::PendingClosure), (50, MemberState::Closed)];
    for states in [true, false] {
        let root = (1..=50).fold(OrganizationalUnit::new("r-main"), |root, number| {
            let state =
                not_active.iter().find(|(one, _)| *one == number).map_or(MemberState::Active, |(_, state)| *state);
            root.account(Member::new(id(number)).state(state))
        });
        let organization = Organization::new(HOME).root(root).with_empty_pages();
        let organization = if states { organization } else { organization.without_states() };
        let (sim, home) = started(50, organization);
        let crawled = crawl(&sim, &home, &target("")).records();
        assert_eq!(crawled.code, 0, "{}", crawled.stderr);
        let active = (1..=50).filter(|number| not_active.iter().all(|(one, _)| one != number)).map(id);
        let active: Vec<_> = std::iter::once(HOME.to_owned()).chain(active).collect();
        complete(&crawled, &active);
        let found = discovered(&crawled);
        assert_eq!((&found["target"], &found["listed"]), (&json!("org"), &json!(51)));
        assert_eq!((&found["inactive"], &found["filtered"]), (&json!(3), &json!(0)));
        assert_eq!(sim.counts().requests(Operation::ListAccounts), 6, "each of three pages comes after an empty one");
        assert!(not_active.iter().all(|(number, _)| !sim.counts().assumed_roles.contains_key(&arn(&id(*number)))));
    }
}

#[test]
fn filters_choose_accounts_and_exclude_takes_precedence() {
    let (sim, home) = nested();
    let [one, two, three, four, five] = [1, 2, 3, 4, 5].map(id);
    let all = [HOME, &one, &two, &three, &four, &five];
    for (filter, expected) in [
        (String::new(), all.to_vec()),
        ("include_ous = [\"r-main\"]".to_owned(), all.to_vec()),
        (format!("include_ous = [\"{UNIT}\"]"), vec![&*two, &*three, &*four]),
        (format!("include_ous = [\"{UNIT}\"]\nexclude_ous = [\"{BELOW}\"]"), vec![&*two]),
        (
            format!("include_ous = [\"{BELOW}\"]\nexclude_ous = [\"{UNIT}\"]\ninclude_accounts = [\"{one}\"]"),
            vec![&*one],
        ),
        (format!("exclude_ous = [\"{BELOW}\"]"), vec![HOME, &*one, &*two, &*five]),
        (format!("include_accounts = [\"{five}\", \"{one}\"]"), vec![&*one, &*five]),
        (format!("include_accounts = [\"{one}\"]\ninclude_ous = [\"{BELOW}\"]"), vec![&*one, &*three, &*four]),
        (format!("include_ous = [\"{UNIT}\"]\nexclude_accounts = [\"{three}\"]"), vec![&*two, &*four]),
        (format!("include_accounts = [\"{one}\", \"{four}\"]\nexclude_ous = [\"{BOTTOM}\"]"), vec![&*one]),
        (format!("include_accounts = [\"{one}\", \"{two}\"]\nexclude_accounts = [\"{two}\"]"), vec![&*one]),
    ] {
        let crawled = crawl(&sim, &home, &target(&filter)).records();
        assert_eq!(crawled.code, 0, "{filter}: {}", crawled.stderr);
        complete(&crawled, &expected.iter().map(|&id| id.to_owned()).collect::<Vec<_>>());
        assert_eq!(discovered(&crawled)["filtered"], 6 - expected.len(), "{filter}");
    }
}

#[test]
fn an_included_account_that_is_not_active_is_a_failed_target() {
    let root =
        OrganizationalUnit::new("r-main").account(id(1)).account(Member::new(id(2)).state(MemberState::Suspended));
    let (sim, home) = started(2, Organization::new(HOME).root(root));
    let filter = format!("include_accounts = [\"{}\", \"{}\", \"{STRANGER}\"]", id(1), id(2));
    let crawled = with_failed_targets(crawl(&sim, &home, &target(&filter)), 2);
    assert_eq!(crawled.code, 3);
    complete(&crawled, &[id(1)]);
    for account in [id(2), STRANGER.to_owned()] {
        let (outcome, code, message) = failure(&crawled, &format!("org/{account}"));
        assert_eq!((outcome, code), ("failed", "account_not_found"));
        assert!(message.contains("include_accounts") && message.contains(&account), "{message}");
    }
}

#[test]
fn filters_that_leave_no_account_are_reported() {
    let (sim, home) = started(1, Organization::new(HOME).root(OrganizationalUnit::new("r-main").account(id(1))));
    let crawled = with_failed_targets(crawl(&sim, &home, &target("exclude_ous = [\"r-main\"]")), 1);
    assert_eq!((crawled.code, failure(&crawled, "org").1), (4, "no_accounts"));
    assert!(crawled.stderr.contains("none of the organization's"), "{}", crawled.stderr);
}

#[test]
fn a_role_that_cannot_be_assumed_fails_only_its_account() {
    let accounts = [HOME.to_owned(), id(1), id(2)].map(|id| account(&id));
    let closed = account(&id(3)).role(Role::new("Other"));
    let closed = Account { roles: vec![Role::new("Crawler").trusts(STRANGER)], ..closed };
    let home = accounts[0].access("home");
    let sim = simulate(Estate::new(accounts.into_iter().chain([closed])).organization(flat(3)));
    let others = [HOME.to_owned(), id(1), id(2)];

    let crawled = crawl(&sim, &home, &target("")).records();
    assert_eq!((crawled.code, sim.counts().assumed_roles[&arn(&id(3))]), (3, 1));
    scopes_complete(&crawled, &others);
    let denied: Vec<_> = crawled.of_type("scope_completed").filter(|scope| scope["outcome"] == "auth_failed").collect();
    let regions = denied.iter().map(|scope| scope["scope"]["region"].as_str().expect("a Region"));
    let regions: std::collections::BTreeSet<_> = regions.collect();
    assert_eq!((denied.len(), regions), (2, [IRELAND, VIRGINIA].into()));
    assert!(
        denied
            .iter()
            .all(|scope| scope["scope"]["account_id"] == *id(3) && scope["problems"][0]["code"] == "AccessDenied")
    );

    // Without a session, the Regions cannot be listed.
    let crawled = with_failed_targets(crawl(&sim, &home, &organization("regions = \"all\"\n")), 1);
    assert_eq!((crawled.code, sim.counts().assumed_roles[&arn(&id(3))]), (3, 2));
    scopes_complete(&crawled, &others);
    let name = format!("org/{}", id(3));
    assert_eq!(failure(&crawled, &name).0, "auth_failed");
    assert_eq!(crawled.of_type("target_failed").next().expect("it")["account_id"], *id(3));
    assert_eq!(crawled.of_type("regions_discovered").count(), 3);
}

#[test]
fn a_denied_listing_fails_only_its_target() {
    let (sim, home) = started(2, flat(2));
    sim.deny(Denial::new(HOME, Operation::ListAccounts));
    let crawled = with_failed_targets(crawl(&sim, &home, &target("")), 1);
    let (outcome, code, message) = failure(&crawled, "org");
    assert_eq!((crawled.code, outcome, code), (4, "denied", "AccessDeniedException"));
    assert!(message.contains("organizations:ListAccounts"), "{message}");
    let other = format!("[[target]]\nname = \"other\"\nregions = [\"{IRELAND}\"]\n");
    let crawled = with_failed_targets(crawl(&sim, &home, &target(&other)), 1);
    assert_eq!((crawled.code, &crawled.target("other")["outcome"]), (3, &json!("complete")));

    sim.clear_denials();
    let wrong = DemoAccount { secret_access_key: "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY12".to_owned(), ..home };
    let crawled = with_failed_targets(crawl(&sim, &wrong, &target("")), 1);
    assert_eq!((crawled.code, failure(&crawled, "org").0), (4, "auth_failed"));
    let member = account(&id(1)).access("member");
    let crawled = with_failed_targets(crawl(&sim, &member, &target("")), 1);
    assert_eq!((crawled.code, failure(&crawled, "org").0), (4, "denied"), "it is not the management account");
    assert_eq!(sim.counts().requests(Operation::AssumeRole), 0);
}

#[test]
fn accounts_listed_before_a_listing_breaks_off_are_crawled() {
    for effect in [Effect::Deny, Effect::Throttle, Effect::Status(500), Effect::DropConnection, Effect::GarbageBody] {
        let (sim, home) = started(45, flat(45));
        // The third of three pages, permanently. A rule does not see requests that an earlier rule
        // has hit.
        for _ in 0..100 {
            sim.add_fault(FaultRule::new(effect.clone()).operation(Operation::ListAccounts).nth(3));
        }
        let config = target("").replacen("rate = 0", "rate = 0\nmax_attempts = 2\npatience = \"1s\"", 1);
        let crawled = with_failed_targets(crawl(&sim, &home, &config), 1);
        assert_eq!((crawled.code, failure(&crawled, "org").0), (3, "incomplete_listing"), "{effect:?}");
        let before: Vec<_> = std::iter::once(HOME.to_owned()).chain((1..40).map(id)).collect();
        complete(&crawled, &before);
        assert_eq!(discovered(&crawled)["listed"], 40);
    }
}

#[test]
fn no_account_is_crawled_before_the_excluded_ones_are_known() {
    for operation in [Operation::ListAccountsForParent, Operation::ListOrganizationalUnitsForParent] {
        let (sim, home) = nested();
        sim.deny(Denial::new(HOME, operation));
        let crawled = with_failed_targets(crawl(&sim, &home, &target(&format!("exclude_ous = [\"{UNIT}\"]\n"))), 1);
        assert_eq!((crawled.code, failure(&crawled, "org").0), (4, "denied"));
        assert!(failure(&crawled, "org").2.contains(operation.as_str()), "{:?}", failure(&crawled, "org"));
        assert_eq!((sim.counts().requests(Operation::AssumeRole), &discovered(&crawled)["accounts"]), (0, &json!([])));
    }
    let (sim, home) = nested();
    let crawled = with_failed_targets(crawl(&sim, &home, &target("exclude_ous = [\"ou-main-eeeeeeee\"]\n")), 1);
    assert_eq!((crawled.code, failure(&crawled, "org").1), (4, "ParentNotFoundException"), "a unit that is not there");
}

#[test]
fn a_list_of_accounts_needs_no_organization_and_no_partition() {
    let (beijing, ids) = ("cn-north-1", [1, 2].map(id));
    let chinese = |id: &str| Account::new(id).partition("aws-cn").region(beijing, Tables::new().generated(2));
    let home = chinese(HOME);
    let access = home.access("home");
    let member = |id: &String| chinese(id).role(Role::new("Crawler").trusts(HOME).external_id(format!("acme-{id}")));
    let sim = simulate(Estate::new(ids.iter().map(member).chain([home])));
    let config = format!(
        "[[target]]\nname = \"org\"\nregions = [\"{beijing}\"]\naccounts = {ids:?}\nassume_role = \
         [{{ arn = \"arn:{{partition}}:iam::{{account}}:role/Crawler\", external_id = \"acme-{{account}}\" }}]\n"
    );
    let crawled = crawl(&sim, &access, &config).records();
    assert_eq!(crawled.code, 0, "{}", crawled.stderr);
    for id in &ids {
        let scope = crawled.target(&format!("org/{id}"));
        assert_eq!(scope["scope"], json!({"partition": "aws-cn", "account_id": id, "region": beijing}));
        assert_eq!(sim.counts().assumed_roles[&format!("arn:aws-cn:iam::{id}:role/Crawler")], 1);
    }
    assert_eq!((crawled.names().len(), sim.counts().requests(Operation::ListAccounts)), (4, 0));
}

#[test]
fn a_role_is_assumed_once_for_all_regions_also_if_denied() {
    let third = "eu-central-1";
    let member = |number| account(&id(number)).region(third, Tables::new().generated(2));
    let accounts = std::iter::once(account(HOME)).chain((1..=29).map(member));
    let denied = Account { roles: vec![Role::new("Crawler").trusts(STRANGER)], ..member(30) };
    let sim = simulate(Estate::new(accounts.chain([denied])).organization(flat(30)));
    let more = format!("regions = [\"{IRELAND}\", \"{VIRGINIA}\", \"{third}\"]\nexclude_accounts = [\"{HOME}\"]\n");
    let crawled = crawl(&sim, &account(HOME).access("home"), &organization(&more)).records();
    assert_eq!(crawled.code, 3);
    let totals = &crawled.records.last().expect("the end")["scope_counts"];
    assert_eq!((&totals["complete"], &totals["auth_failed"]), (&json!(87), &json!(3)));
    let expected = (1..=30).map(|number| (arn(&id(number)), 1)).collect();
    assert_eq!(sim.counts().assumed_roles, expected);
}

#[test]
fn base_credentials_of_many_roles_are_fetched_once() {
    let (sim, home) = started(20, flat(20));
    let targets = (1..=20).map(|number| {
        let arn = arn(&id(number));
        format!("[[target]]\nname = \"{number}\"\nregions = [\"{IRELAND}\"]\nprofile = \"base\"\nassume_role = [{{ arn = \"{arn}\" }}]\n")
    });
    let crawl = everything_at(Dynacrawl::crawl(), &sim.url()).secret(&home.secret_access_key);
    let answer = format!(
        "echo run >> runs\necho '{{\"Version\": 1, \"AccessKeyId\": \"{}\", \"SecretAccessKey\": \"{}\"}}'\n",
        home.access_key_id, home.secret_access_key
    );
    let profile = format!("[profile base]\ncredential_process = sh {}\n", crawl.path("process").display());
    let crawled =
        crawl.file("process", &answer).file("config", &profile).config(&targets.collect::<String>()).records();
    assert_eq!((crawled.code, crawled.names().len()), (0, 40), "{}", crawled.stderr);
    assert_eq!(fs::read_to_string(crawled.home.path().join("runs")).expect("it ran"), "run\n");
}

#[test]
fn contradictory_targets_are_refused_before_any_call() {
    let (sim, home) = started(1, flat(1));
    let role = "assume_role = [{ arn = \"arn:aws:iam::{account}:role/Crawler\" }]\n";
    let one = "assume_role = [{ arn = \"arn:aws:iam::210987654321:role/Crawler\" }]\n";
    let org = format!("organizations = true\n{role}");
    for (setting, key) in [
        (format!("{org}regions = [\"all\", \"eu-west-1\"]"), "regions"),
        (format!("{org}accounts = [\"210987654321\"]"), "accounts"),
        (format!("{org}account_id = \"210987654321\""), "account_id"),
        (format!("{org}include_accounts = [\"21\"]"), "include_accounts"),
        (format!("{org}exclude_accounts = [\"21\"]"), "exclude_accounts"),
        (format!("{org}include_ous = [\"ou-main\"]"), "include_ous"),
        (format!("{org}exclude_ous = [\"OU-main-aaaaaaaa\"]"), "exclude_ous"),
        (format!("{role}accounts = [\"210987654321\"]\ninclude_accounts = []"), "include_accounts"),
        (format!("{one}exclude_accounts = [\"210987654321\"]"), "exclude_accounts"),
        (format!("{one}include_ous = [\"r-main\"]"), "include_ous"),
        (format!("{one}organizations = false\nexclude_ous = [\"r-main\"]"), "exclude_ous"),
        (format!("{role}accounts = []"), "accounts"),
        (format!("{role}accounts = [\"21\"]"), "accounts"),
        (format!("{role}accounts = [\"210987654321\", \"210987654321\"]"), "accounts"),
        (format!("{one}organizations = true"), "assume_role"),
        ("organizations = true".to_owned(), "assume_role"),
        (format!("{one}accounts = [\"210987654321\"]"), "assume_role"),
        (role.to_owned(), "assume_role"),
        (format!("organizations = true\n{}", role.replace("Crawler", "{team}")), "assume_role"),
        (format!("{org}partition = \"mars\""), "partition"),
    ] {
        let regions = if setting.contains("regions") { "" } else { "regions = [\"eu-west-1\"]\n" };
        let config = format!("[[target]]\nname = \"acme\"\n{regions}{setting}\n");
        crawl(&sim, &home, &config).run().fails_with(2, &format!("target 'acme': {key}"));
    }
    crawl(&sim, &home, &organization("regions = \"eu-west-1\"\n")).run().fails_with(2, "\"all\"");
    assert_eq!(sim.counts().total.requests, 0);
}
