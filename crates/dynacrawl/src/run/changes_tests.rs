//! What is told to have changed, from crawl to crawl over a simulated estate that changes in between.

use std::sync::Arc;
use std::time::Duration;

use dynacrawl_model::{Outcome, RunOutcome};
use dynacrawl_sim::{
    Account, Denial, Effect, Estate, FaultRule, InProcess, Operation, Options, Organization, OrganizationalUnit, Role,
    Tables, When,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::inside::{HUB, config, plan_of};
use super::{Progress, RunReport, Start};
use crate::commands::crawl_to_output;
use crate::config::Config;

const REGION: &str = "us-east-1";
const OTHER_REGION: &str = "eu-west-1";
const MEMBER: &str = "111122223333";

/// An estate, and what is remembered of it.
struct World {
    simulator: InProcess,
    directory: TempDir,
}

/// What a crawl wrote.
struct Crawl {
    report: RunReport,
    records: Vec<Value>,
}

impl Crawl {
    fn of(&self, kind: &str) -> Vec<&Value> {
        self.records.iter().filter(|record| record["type"] == kind).collect()
    }

    /// The tables that records of a kind are about, sorted.
    fn names(&self, kind: &str) -> Vec<&str> {
        let name = |record: &'_ &Value| {
            let record: &Value = self.records.iter().find(|one| std::ptr::eq(*one, *record)).expect("one of them");
            record["table"].as_str().or_else(|| record["table"]["name"].as_str()).expect("a name")
        };
        let mut names: Vec<_> = self.of(kind).iter().map(name).collect();
        names.sort_unstable();
        names
    }

    /// How many changes there are of all kinds.
    fn changes(&self) -> usize {
        let kinds =
            ["table_added", "table_changed", "table_recreated", "table_removed", "table_unselected", "scope_retired"];
        kinds.iter().map(|kind| self.of(kind).len()).sum()
    }

    fn problem(&self, code: &str) -> &Value {
        let problems =
            self.of("scope_completed").into_iter().flat_map(|scope| scope["problems"].as_array().expect("a list"));
        problems.into_iter().find(|problem| problem["code"] == code).unwrap_or_else(|| panic!("no {code}"))
    }
}

impl World {
    /// The hub's account with so many tables in a Region.
    fn new(tables: u64) -> Self {
        Self::of([Account::new(HUB).region(REGION, Tables::new().generated(tables))])
    }

    fn of(accounts: impl IntoIterator<Item = Account>) -> Self {
        Self::estate(Estate::new(accounts))
    }

    fn estate(estate: Estate) -> Self {
        let options = Options { verify_signatures: false, latency: Duration::from_millis(20), ..Options::default() };
        let directory = tempfile::tempdir().expect("a directory");
        Self { simulator: InProcess::new(estate, &options), directory }
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    fn config(&self, settings: &str) -> Config {
        let target = if settings.contains("[[target]]") {
            String::new()
        } else {
            format!("[[target]]\nname = \"hub\"\nregions = [\"{REGION}\"]\n")
        };
        let (state, output) = (self.path("state.db"), self.path("out.jsonl"));
        let crawl = settings.strip_prefix("[crawl]\n").map_or(settings.to_owned(), str::to_owned);
        config(&format!("[state]\npath = \"{state}\"\n[crawl]\noutput = \"{output}\"\n{crawl}\n{target}"))
    }

    async fn crawl(&self) -> Crawl {
        self.crawl_with("").await
    }

    async fn crawl_with(&self, settings: &str) -> Crawl {
        self.crawl_as(self.config(settings)).await
    }

    async fn crawl_as(&self, config: Config) -> Crawl {
        let plan = plan_of(&self.simulator, config);
        let start = Start::new(plan.config(), false).expect("a start");
        let (stop, progress) = (CancellationToken::new(), Arc::new(Progress::default()));
        let (report, written) = crawl_to_output(&plan, start, &stop, &progress).await;
        written.expect("written");
        let text = std::fs::read_to_string(self.path("out.jsonl")).unwrap_or_else(|_| panic!("no output: {report:?}"));
        let records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        Crawl { report, records }
    }

    fn remove(&self, numbers: std::ops::Range<u64>) {
        for number in numbers {
            let there = self.simulator.remove_table(HUB, REGION, &table(number)).expect("a scope");
            assert!(there, "{number}");
        }
    }

    fn edit(&self, name: &str, edit: impl FnOnce(&mut Value)) {
        assert!(self.simulator.update_table(HUB, REGION, name, edit).expect("a scope"), "{name}");
    }
}

fn table(number: u64) -> String {
    format!("table-{number:06}")
}

fn counts(crawl: &Crawl) -> [u64; 6] {
    let counts = crawl.report.changes.expect("with a state");
    [counts.added, counts.changed, counts.recreated, counts.removed, counts.unselected, counts.held]
}

#[tokio::test(start_paused = true)]
async fn the_first_crawl_adds_every_table_and_the_next_tells_nothing() {
    let world = World::new(250);
    let first = world.crawl().await;
    assert_eq!((first.of("table").len(), first.of("table_added").len(), first.changes()), (250, 250, 250));
    assert_eq!(counts(&first), [250, 0, 0, 0, 0, 0]);
    let (added, table) = (first.of("table_added")[0], first.of("table")[0]);
    assert_eq!(added["table"], table["table"], "the whole table");
    let second = world.crawl().await;
    assert_eq!((second.of("table").len(), second.changes()), (250, 0));
    assert_eq!((second.report.outcome, counts(&second)), (RunOutcome::Complete, [0; 6]));
    assert_eq!(second.of("scope_completed")[0]["changes"]["added"], 0);
}

#[tokio::test(start_paused = true)]
async fn a_change_is_told_once_with_what_was_and_what_is() {
    let world = World::new(3);
    let first = world.crawl().await;
    world.edit(&table(1), |table| table["DeletionProtectionEnabled"] = json!(false));
    let second = world.crawl().await;
    let [change] = second.of("table_changed")[..] else { panic!("one change") };
    assert_eq!(change["table"]["name"], table(1));
    assert_eq!(change["table"]["deletion_protection_enabled"], false);
    assert_eq!(change["changes"], json!([{"path": "/deletion_protection_enabled", "before": true, "after": false}]));
    let before = first.of("table").into_iter().find(|one| one["table"]["name"] == table(1)).expect("it was there");
    assert_eq!(change["fingerprint_before"], before["fingerprint"]);
    assert_ne!(change["fingerprint_before"], change["fingerprint"]);
    assert_eq!((second.changes(), counts(&second)), (1, [0, 1, 0, 0, 0, 0]));
    assert_eq!(world.crawl().await.changes(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_table_that_comes_later_is_added_and_one_that_goes_is_removed() {
    let world = World::new(3);
    world.crawl().await;
    let mut description = world.simulator.describe_json(HUB, REGION, &table(0)).expect("a table");
    description["TableName"] = json!("another");
    description["TableId"] = json!("00000000-0000-0000-0000-000000000001");
    world.simulator.put_table(HUB, REGION, "another", &description).expect("a scope");
    world.remove(2..3);
    let second = world.crawl().await;
    assert_eq!((second.names("table_added"), second.changes()), (vec!["another"], 2));
    let [removed] = second.of("table_removed")[..] else { panic!("one removal") };
    assert_eq!(removed["table"], table(2));
    assert!(removed["arn"].as_str().expect("an ARN").ends_with(&table(2)) && removed["last_seen_at"].is_string());
    assert_eq!(second.report.outcome, RunOutcome::Complete);
    assert_eq!(world.crawl().await.changes(), 0);
}

#[tokio::test(start_paused = true)]
async fn dropped_and_created_under_the_same_name_is_recreated() {
    let world = World::new(3);
    world.crawl().await;
    let before = world.simulator.describe_json(HUB, REGION, &table(1)).expect("a table")["TableId"].clone();
    world.simulator.recreate_table(HUB, REGION, &table(1)).expect("a scope");
    let second = world.crawl().await;
    let [recreated] = second.of("table_recreated")[..] else { panic!("one") };
    assert_eq!((&recreated["id_before"], second.changes()), (&before, 1));
    assert_ne!(recreated["table"]["id"], before);
    let paths: Vec<_> = recreated["changes"].as_array().expect("a list").iter().map(|change| &change["path"]).collect();
    assert_eq!(paths, ["/created_at", "/id"]);
    assert_eq!(world.crawl().await.changes(), 0);
}

#[tokio::test(start_paused = true)]
async fn without_ids_the_time_of_creation_tells_a_table_from_another() {
    let world = World::new(1);
    world.edit(&table(0), |table| table["TableId"] = Value::Null);
    world.crawl().await;
    world.edit(&table(0), |table| table["CreationDateTime"] = json!(1_750_000_000.5));
    assert_eq!(world.crawl().await.names("table_recreated"), [table(0)]);
}

#[tokio::test(start_paused = true)]
async fn drift_is_told_only_where_it_is_asked_for() {
    let world = World::new(3);
    world.crawl().await;
    world.simulator.set_items(HUB, REGION, &table(1), 4711).expect("a scope");
    world.edit(&table(2), |table| table["TableStatus"] = json!("UPDATING"));
    assert_eq!(world.crawl().await.changes(), 0);
    let asked = world.crawl_with("[changes]\ndrift = true").await;
    assert_eq!(asked.names("table_changed"), [table(1), table(2)]);
    let items = &asked.of("table_changed")[0]["changes"];
    assert!(items.as_array().expect("a list").iter().any(|one| one["path"] == "/item_count" && one["after"] == 4711));
    assert_eq!(world.crawl_with("[changes]\ndrift = true").await.changes(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_emitted_is_chosen() {
    let world = World::new(3);
    let changes = world.crawl_with("[changes]\nemit = \"changes\"").await;
    assert_eq!((changes.of("table").len(), changes.of("table_added").len()), (0, 3));
    world.edit(&table(0), |table| table["DeletionProtectionEnabled"] = json!(false));
    let snapshot = world.crawl_with("[changes]\nemit = \"snapshot\"").await;
    assert_eq!((snapshot.of("table").len(), snapshot.changes(), counts(&snapshot)), (3, 0, [0, 1, 0, 0, 0, 0]));
    assert_eq!(world.crawl().await.changes(), 0, "it is known all the same");
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_breaks_off_removes_nothing() {
    for effect in [Effect::Deny, Effect::Throttle, Effect::Status(500), Effect::DropConnection] {
        let world = World::new(250);
        world.crawl().await;
        world.remove(240..250);
        let fault = FaultRule::new(effect.clone()).operation(Operation::ListTables);
        // The first page comes, no other does.
        world.simulator.add_fault(fault.when(When::After(1)));
        let crawl = world.crawl_with("max_attempts = 1\npatience = \"1s\"").await;
        assert_eq!((crawl.changes(), crawl.report.outcome), (0, RunOutcome::Partial), "{effect:?}");
        world.simulator.clear_faults();
        let after = world.crawl().await;
        assert_eq!((after.of("table_removed").len(), after.changes()), (10, 10), "{effect:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_denied_listing_and_an_unreachable_region_remove_nothing() {
    for effect in [Effect::Deny, Effect::DropConnection] {
        let world = World::new(12);
        world.crawl().await;
        world.simulator.add_fault(FaultRule::new(effect.clone()).operation(Operation::ListTables));
        let crawl = world.crawl_to_nothing("max_attempts = 1").await;
        assert_eq!(crawl.outcome, RunOutcome::Failed, "{effect:?}");
        world.simulator.clear_faults();
        assert_eq!(world.crawl().await.changes(), 0, "{effect:?}");
    }
}

impl World {
    /// A crawl that does not get a single page: its output is not put in its place.
    async fn crawl_to_nothing(&self, settings: &str) -> RunReport {
        let plan = plan_of(&self.simulator, self.config(settings));
        let start = Start::new(plan.config(), false).expect("a start");
        let (stop, progress) = (CancellationToken::new(), Arc::new(Progress::default()));
        crawl_to_output(&plan, start, &stop, &progress).await.0
    }
}

#[tokio::test(start_paused = true)]
async fn a_table_that_cannot_be_described_any_more_is_not_removed() {
    let world = World::new(12);
    world.crawl().await;
    // Listed, and denied.
    world.simulator.deny(Denial::new(HUB, Operation::DescribeTable).table(table(3)));
    let crawl = world.crawl().await;
    assert_eq!((crawl.changes(), crawl.report.outcome), (0, RunOutcome::Partial));
    // Not listed, and nobody tells whether it is gone.
    world.remove(3..4);
    let crawl = world.crawl().await;
    assert_eq!((crawl.changes(), crawl.report.outcome), (0, RunOutcome::Partial));
    assert_eq!(crawl.problem("removal_unconfirmed")["tables"], json!([table(3)]));
    world.simulator.clear_denials();
    let crawl = world.crawl().await;
    assert_eq!((crawl.names("table_removed"), crawl.changes()), (vec![table(3).as_str()], 1));
}

#[tokio::test(start_paused = true)]
async fn a_table_that_vanishes_between_listing_and_describing_is_removed() {
    let world = World::new(12);
    world.crawl().await;
    let fault = FaultRule::new(Effect::NotFound).operation(Operation::DescribeTable).table(table(3));
    world.simulator.add_fault(fault);
    let crawl = world.crawl().await;
    assert_eq!((crawl.of("table_failed").len(), crawl.names("table_removed")), (1, vec![table(3).as_str()]));
    assert_eq!(crawl.report.outcome, RunOutcome::Complete);
}

#[tokio::test(start_paused = true)]
async fn a_changed_filter_unselects_and_selects_again() {
    let world = World::new(12);
    world.crawl().await;
    let filtered = "exclude = [\"table-00000[0-8]\"]";
    let crawl = world.crawl_with(filtered).await;
    assert_eq!((crawl.of("table_unselected").len(), crawl.changes()), (9, 9), "nothing is removed");
    let unselected = crawl.of("table_unselected")[0];
    assert_eq!(unselected["rule"], json!({"kind": "exclude", "pattern": "table-00000[0-8]"}));
    assert_eq!(crawl.report.outcome, RunOutcome::Complete);
    assert_eq!(world.crawl_with(filtered).await.changes(), 0);
    let back = world.crawl().await;
    assert_eq!((back.of("table_added").len(), back.changes()), (9, 9));
}

#[tokio::test(start_paused = true)]
async fn where_too_many_are_gone_they_stay_until_a_person_accepts_it() {
    let world = World::new(20);
    world.crawl().await;
    world.remove(0..10);
    for _ in 0..2 {
        let crawl = world.crawl().await;
        assert_eq!((crawl.changes(), crawl.report.outcome, counts(&crawl)[5]), (0, RunOutcome::Partial, 10));
        let held = crawl.problem("removals_held");
        assert_eq!((&held["table_count"], held["tables"].as_array().expect("names").len()), (&json!(10), 10));
        let said = held["message"].as_str().expect("a message");
        assert!(said.contains("10 of 20") && said.contains(&format!("--accept-removals {HUB}/{REGION}")), "{said}");
        assert_eq!(crawl.of("scope_completed")[0]["outcome"], "partial");
    }
    let other = world.crawl_with(&format!("[changes]\naccept_removals = [\"{HUB}/{OTHER_REGION}\"]")).await;
    assert_eq!(other.changes(), 0, "accepted for another scope");
    let accepted = world.crawl_with(&format!("[changes]\naccept_removals = [\"{HUB}/{REGION}\"]")).await;
    assert_eq!((accepted.of("table_removed").len(), accepted.report.outcome), (10, RunOutcome::Complete));
    assert_eq!(world.crawl().await.changes(), 0);
}

#[tokio::test(start_paused = true)]
async fn fewer_than_the_share_go_by_themselves_and_those_that_are_back_stay() {
    let world = World::new(20);
    world.crawl().await;
    world.remove(0..5);
    let crawl = world.crawl().await;
    assert_eq!((crawl.of("table_removed").len(), crawl.report.outcome), (5, RunOutcome::Complete));
    let description = world.simulator.describe_json(HUB, REGION, &table(10)).expect("a table");
    world.remove(10..15);
    assert_eq!(counts(&world.crawl().await)[5], 5, "held back: 5 of 15");
    world.simulator.put_table(HUB, REGION, &table(10), &description).expect("a scope");
    let crawl = world.crawl().await;
    assert_eq!((crawl.of("table_removed").len(), crawl.changes()), (4, 4), "4 of 15");
}

#[tokio::test(start_paused = true)]
async fn a_scope_does_not_fall_to_zero_by_itself() {
    let world = World::new(2);
    world.crawl().await;
    world.remove(0..2);
    let crawl = world.crawl().await;
    assert_eq!((crawl.changes(), crawl.report.outcome, counts(&crawl)[5]), (0, RunOutcome::Partial, 2));
    let accepted = world.crawl_with(&format!("[changes]\naccept_removals = [\"{HUB}/{REGION}\"]")).await;
    assert_eq!(accepted.of("table_removed").len(), 2);

    let world = World::new(1);
    world.crawl().await;
    world.remove(0..1);
    assert_eq!(world.crawl().await.of("table_removed").len(), 1, "a single table may go");
}

#[tokio::test(start_paused = true)]
async fn a_table_that_was_not_listed_was_seen_last_when_it_was() {
    let world = World::new(20);
    let seen = |name: &str| -> i64 {
        let state = rusqlite::Connection::open(world.path("state.db")).expect("a state");
        let sql = "SELECT COALESCE(t.last_seen_at, s.last_listed_at) FROM tables t JOIN scopes s USING (scope_id) WHERE name = ?";
        state.query_row(sql, [name], |row| row.get(0)).expect("a table")
    };
    world.crawl().await;
    let (first, description) =
        (seen(&table(0)), world.simulator.describe_json(HUB, REGION, &table(0)).expect("a table"));
    world.remove(0..10);
    world.crawl().await;
    assert_eq!(seen(&table(0)), first);
    assert!(seen(&table(15)) > first);
    world.crawl().await;
    assert_eq!(seen(&table(0)), first);
    world.simulator.put_table(HUB, REGION, &table(0), &description).expect("a scope");
    world.crawl().await;
    assert_eq!(seen(&table(0)), seen(&table(15)));
}

#[tokio::test(start_paused = true)]
async fn another_version_of_the_fingerprint_or_a_new_field_is_no_change() {
    let world = World::new(5);
    world.crawl().await;
    for number in 0..5 {
        world.edit(&table(number), |table| table["FieldOfTomorrow"] = json!({"a": 1}));
    }
    assert_eq!(world.crawl().await.changes(), 0);
    let state = rusqlite::Connection::open(world.path("state.db")).expect("a state");
    state.execute("UPDATE tables SET fingerprint = '0:' || substr(fingerprint, 3, 9)", []).expect("written");
    assert_eq!(world.crawl().await.changes(), 0);
    let rebased: i64 = state
        .query_row("SELECT count(*) FROM tables WHERE fingerprint LIKE '1:%'", [], |row| row.get(0))
        .expect("a count");
    assert_eq!(rebased, 5);
    world.edit(&table(0), |table| table["DeletionProtectionEnabled"] = json!(false));
    assert_eq!(world.crawl().await.names("table_changed"), [table(0)]);
}

#[tokio::test(start_paused = true)]
async fn a_scope_that_left_the_configuration_is_retired_and_comes_back_anew() {
    let tables = || Tables::new().generated(12);
    let world = World::of([Account::new(HUB).region(REGION, tables()).region(OTHER_REGION, tables())]);
    let both = format!("[[target]]\nname = \"hub\"\nregions = [\"{REGION}\", \"{OTHER_REGION}\"]");
    assert_eq!(world.crawl_with(&both).await.of("table_added").len(), 24);
    let crawl = world.crawl().await;
    let [retired] = crawl.of("scope_retired")[..] else { panic!("one") };
    assert_eq!((&retired["scope"]["region"], &retired["tables"]), (&json!(OTHER_REGION), &json!(12)));
    assert_eq!((crawl.changes(), crawl.report.outcome), (1, RunOutcome::Complete), "nothing is removed");
    assert_eq!(world.crawl().await.changes(), 0);
    let back = world.crawl_with(&both).await;
    assert_eq!((back.of("table_added").len(), back.changes()), (12, 12));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_crawled_this_time_or_cannot_be_reached_is_not_retired() {
    let reader = Role::new("Reader").trusts(HUB);
    let member = Account::new(MEMBER).role(reader).region(REGION, Tables::new().generated(12));
    let world = World::of([Account::new(HUB).region(REGION, Tables::new().generated(3)), member]);
    let settings = format!(
        "[[target]]\nname = \"hub\"\nregions = [\"{REGION}\"]\n[[target]]\nname = \"member\"\nregions = [\"{REGION}\"]\n\
         assume_role = [{{ arn = \"arn:aws:iam::{MEMBER}:role/Reader\" }}]"
    );
    assert_eq!(world.crawl_with(&settings).await.of("table_added").len(), 15);
    let mut part = world.config(&settings);
    part.restrict(&["hub".to_owned()]).expect("a target");
    assert_eq!(world.crawl_as(part).await.changes(), 0);
    world.simulator.deny(Denial::new(HUB, Operation::AssumeRole));
    let crawl = world.crawl_with(&settings).await;
    assert_eq!((crawl.changes(), crawl.report.scopes.auth_failed), (0, 1));
}

fn organization(tables: u64) -> World {
    let member = |id: &str| {
        let regions = [REGION, OTHER_REGION];
        let account = Account::new(id).role(Role::new("Reader").trusts(HUB));
        regions.iter().fold(account, |account, region| account.region(*region, Tables::new().generated(tables)))
    };
    let accounts = [member(HUB), member(MEMBER)];
    let root = OrganizationalUnit::new("r-ab12").account(HUB).account(MEMBER);
    World::estate(Estate::new(accounts).organization(Organization::new(HUB).root(root)))
}

const ORGANIZATION: &str = "[[target]]\nname = \"organization\"\nregions = \"all\"\norganizations = true\n\
                            exclude_accounts = [\"999999999999\"]\n\
                            assume_role = [{ arn = \"arn:aws:iam::{account}:role/Reader\" }]";

#[tokio::test(start_paused = true)]
async fn an_account_that_is_gone_and_a_region_that_was_opted_out_remove_nothing() {
    let world = organization(12);
    let crawl = world.crawl_with(ORGANIZATION).await;
    assert_eq!((crawl.of("table_added").len(), crawl.report.outcome), (24, RunOutcome::Complete), "{:?}", crawl.report);
    world.simulator.opt_out(MEMBER, OTHER_REGION).expect("a scope");
    let crawl = world.crawl_with(ORGANIZATION).await;
    let [retired] = crawl.of("scope_retired")[..] else { panic!("one: {:?}", crawl.report) };
    assert_eq!((&retired["scope"]["region"], crawl.changes()), (&json!(OTHER_REGION), 1));
    world.simulator.opt_in(MEMBER, OTHER_REGION).expect("a scope");
    assert_eq!(world.crawl_with(ORGANIZATION).await.of("table_added").len(), 12);
    world.simulator.suspend_account(MEMBER).expect("an account");
    let report = world.crawl_to_nothing(ORGANIZATION).await;
    assert_eq!((report.outcome, report.changes.expect("a state").removed), (RunOutcome::Failed, 0));
    world.simulator.reactivate_account(MEMBER).expect("an account");
    assert_eq!(world.crawl_with(ORGANIZATION).await.changes(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_an_organization_does_not_tell_is_not_retired() {
    let world = organization(3);
    world.crawl_with(ORGANIZATION).await;
    for (operation, said) in [(Operation::ListAccounts, "accounts"), (Operation::ListRegions, "Regions")] {
        world.simulator.add_fault(FaultRule::new(Effect::Deny).operation(operation));
        let report = world.crawl_to_nothing(ORGANIZATION).await;
        assert_ne!(report.outcome, RunOutcome::Cancelled, "{said}");
        world.simulator.clear_faults();
        assert_eq!(world.crawl_with(ORGANIZATION).await.changes(), 0, "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_scope_that_is_never_complete_tells_each_table_once() {
    let world = World::new(12);
    world.simulator.deny(Denial::new(HUB, Operation::DescribeTable).table(table(3)));
    let first = world.crawl().await;
    assert_eq!(
        (first.of("table_added").len(), first.of("scope_completed")[0]["outcome"].as_str()),
        (11, Some("partial"))
    );
    assert_eq!(world.crawl().await.changes(), 0);
    world.simulator.clear_denials();
    let complete = world.crawl().await;
    assert_eq!((complete.names("table_added"), complete.report.scopes.complete), (vec![table(3).as_str()], 1));
}

#[tokio::test(start_paused = true)]
async fn the_first_layout_or_the_other_changes_hold_the_whole_table() {
    let world = World::new(2);
    let crawl = world.crawl_with("layout = \"entities\"").await;
    assert!(crawl.of("table")[0]["table"]["key_schema"].is_null());
    assert!(crawl.of("table_added")[0]["table"]["key_schema"].is_array());
    let outcome = crawl.of("scope_completed")[0]["outcome"].clone();
    assert_eq!(outcome, serde_json::to_value(Outcome::Complete).expect("a word"));
}
