//! What is reported as removed, and above all what is not.

use std::time::Duration;

use dynacrawl_model::RunOutcome;
use dynacrawl_sim::{
    Account, Denial, Effect, Estate, FaultRule, Operation, Organization, OrganizationalUnit, Role, Tables, When,
};
use dynacrawl_testing::inside::HUB;
use dynacrawl_testing::world::{OTHER_REGION, REGION, World, counts, table};
use serde_json::json;

const MEMBER: &str = "111122223333";

#[tokio::test(start_paused = true)]
async fn an_incomplete_listing_removes_nothing() {
    for effect in [Effect::Deny, Effect::Throttle, Effect::Status(500), Effect::DropConnection] {
        let world = World::new(250);
        world.crawl().await;
        world.remove(240..250);
        let fault = FaultRule::new(effect.clone()).operation(Operation::ListTables);
        // Only the first page comes.
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

#[tokio::test(start_paused = true)]
async fn a_table_that_can_no_longer_be_described_is_not_removed() {
    let world = World::new(12);
    world.crawl().await;
    // Listed, and denied.
    world.simulator.deny(Denial::new(HUB, Operation::DescribeTable).table(table(3)));
    let crawl = world.crawl().await;
    assert_eq!((crawl.changes(), crawl.report.outcome), (0, RunOutcome::Partial));
    // Not listed, and whether it was deleted is unknown.
    world.remove(3..4);
    let crawl = world.crawl().await;
    assert_eq!((crawl.changes(), crawl.report.outcome), (0, RunOutcome::Partial));
    assert_eq!(crawl.problem("removal_unconfirmed")["table_names"], json!([table(3)]));
    world.simulator.clear_denials();
    let crawl = world.crawl().await;
    assert_eq!((crawl.names("table_removed"), crawl.changes()), (vec![table(3).as_str()], 1));
}

#[tokio::test(start_paused = true)]
async fn a_table_that_vanishes_after_its_listing_is_removed() {
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
async fn too_many_removals_wait_until_a_person_accepts_them() {
    let world = World::new(20);
    world.crawl().await;
    world.remove(0..10);
    for _ in 0..2 {
        let crawl = world.crawl().await;
        assert_eq!((crawl.changes(), crawl.report.outcome, counts(&crawl)[5]), (0, RunOutcome::Partial, 10));
        let held = crawl.problem("removals_held");
        assert_eq!((&held["table_count"], held["table_names"].as_array().expect("names").len()), (&json!(10), 10));
        let text = held["message"].as_str().expect("a message");
        assert!(text.contains("10 of 20") && text.contains(&format!("--accept-removals {HUB}/{REGION}")), "{text}");
        assert_eq!(crawl.of("scope_completed")[0]["outcome"], "partial");
    }
    let other = world.crawl_with(&format!("[changes]\naccept_removals = [\"{HUB}/{OTHER_REGION}\"]")).await;
    assert_eq!(other.changes(), 0, "accepted for another scope");
    let accepted = world.crawl_with(&format!("[changes]\naccept_removals = [\"{HUB}/{REGION}\"]")).await;
    assert_eq!((accepted.of("table_removed").len(), accepted.report.outcome), (10, RunOutcome::Complete));
    assert_eq!(world.crawl().await.changes(), 0);
}

#[tokio::test(start_paused = true)]
async fn removals_below_the_share_need_no_person() {
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

/// A removal that was reported before a kill is not reported again, but still counts.
#[tokio::test(start_paused = true)]
async fn after_a_kill_the_fail_safe_still_holds() {
    let world = World::new(50);
    world.crawl().await;
    world.remove(0..30);
    // One is unselected before the kill, and the others are being confirmed.
    let settings = "exclude = [\"table-000040\"]";
    let hangs = FaultRule::new(Effect::Delay(Duration::from_secs(600))).operation(Operation::DescribeTable);
    world.simulator.add_fault(hangs.table("table-00000*"));
    world.crawl_until_killed(settings, Duration::from_secs(5)).await;
    world.simulator.clear_faults();
    let crawl = world.crawl_with(settings).await;
    assert_eq!((crawl.of("run_started")[0]["resumed"].as_bool(), counts(&crawl)[5]), (Some(false), 30), "one file");
    assert_eq!((crawl.of("table_removed").len(), crawl.report.outcome), (0, RunOutcome::Partial));
    assert_eq!(crawl.names("table_unselected"), ["table-000040"]);
    let accepted = format!("{settings}\n[changes]\naccept_removals = [\"{HUB}/{REGION}\"]");
    assert_eq!(world.crawl_with(&accepted).await.of("table_removed").len(), 30);
}

#[tokio::test(start_paused = true)]
async fn accepted_removals_stay_accepted_after_a_kill() {
    let world = World::new(50);
    world.crawl().await;
    world.remove(0..30);
    let hangs = FaultRule::new(Effect::Delay(Duration::from_secs(600))).operation(Operation::DescribeTable);
    world.simulator.add_fault(hangs.table("table-00000*"));
    let accepted = format!("[changes]\naccept_removals = [\"{HUB}/{REGION}\"]");
    world.crawl_until_killed(&accepted, Duration::from_secs(5)).await;
    world.simulator.clear_faults();
    assert_eq!(world.crawl().await.of("table_removed").len(), 30, "the resumed run is the one it was accepted for");
}

#[tokio::test(start_paused = true)]
async fn without_proof_of_the_account_nothing_is_removed() {
    let world = World::new(20);
    world.crawl().await;
    world.remove(0..20);
    world.simulator.add_fault(FaultRule::new(Effect::Deny).operation(Operation::GetCallerIdentity));
    let crawl = world.crawl().await;
    assert_eq!((crawl.changes(), crawl.report.outcome), (0, RunOutcome::Partial));
    crawl.problem("identity_unproven");
    world.simulator.clear_faults();
    assert_eq!(counts(&world.crawl().await)[5], 20, "held back");
}

#[tokio::test(start_paused = true)]
async fn a_renamed_target_is_covered_even_if_it_is_not_reached() {
    let reader = Role::new("Reader").trusts(HUB);
    let member = Account::new(MEMBER).role(reader).region(REGION, Tables::new().generated(12));
    let world = World::of([Account::new(HUB).region(REGION, Tables::new().generated(3)), member]);
    let settings = |name: &str| {
        format!(
            "[[target]]\nname = \"hub\"\nregions = [\"{REGION}\"]\n[[target]]\nname = \"{name}\"\nregions = [\"{REGION}\"]\n\
             assume_role = [{{ arn = \"arn:aws:iam::{MEMBER}:role/Reader\" }}]"
        )
    };
    assert_eq!(world.crawl_with(&settings("member")).await.of("table_added").len(), 15);
    let mut part = world.config(&settings("renamed"));
    part.request.targets = Some(vec!["hub".to_owned()]);
    assert_eq!(world.crawl_as(part).await.changes(), 0, "not crawled");
    world.simulator.deny(Denial::new(HUB, Operation::AssumeRole));
    assert_eq!(world.crawl_with(&settings("renamed")).await.changes(), 0, "not reached");
    world.simulator.clear_denials();
    assert_eq!(world.crawl_with(&settings("renamed")).await.changes(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_removal_of_all_tables_waits_for_a_person() {
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
    assert_eq!(world.crawl().await.of("table_removed").len(), 1, "a single table may be removed");
}

#[tokio::test(start_paused = true)]
async fn a_table_was_last_seen_when_it_was_last_listed() {
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
async fn a_scope_that_leaves_the_configuration_is_retired() {
    let tables = || Tables::new().generated(12);
    let world = World::of([Account::new(HUB).region(REGION, tables()).region(OTHER_REGION, tables())]);
    let both = format!("[[target]]\nname = \"hub\"\nregions = [\"{REGION}\", \"{OTHER_REGION}\"]");
    assert_eq!(world.crawl_with(&both).await.of("table_added").len(), 24);
    let crawl = world.crawl().await;
    let [retired] = crawl.of("scope_retired")[..] else { panic!("one") };
    assert_eq!((&retired["scope"]["region"], &retired["table_count"]), (&json!(OTHER_REGION), &json!(12)));
    assert_eq!((crawl.changes(), crawl.report.outcome), (1, RunOutcome::Complete), "nothing is removed");
    assert_eq!(world.crawl().await.changes(), 0);
    let back = world.crawl_with(&both).await;
    assert_eq!((back.of("table_added").len(), back.changes()), (12, 12));
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_not_crawled_or_reached_is_not_retired() {
    let reader = Role::new("Reader").trusts(HUB);
    let member = Account::new(MEMBER).role(reader).region(REGION, Tables::new().generated(12));
    let world = World::of([Account::new(HUB).region(REGION, Tables::new().generated(3)), member]);
    let settings = format!(
        "[[target]]\nname = \"hub\"\nregions = [\"{REGION}\"]\n[[target]]\nname = \"member\"\nregions = [\"{REGION}\"]\n\
         assume_role = [{{ arn = \"arn:aws:iam::{MEMBER}:role/Reader\" }}]"
    );
    assert_eq!(world.crawl_with(&settings).await.of("table_added").len(), 15);
    let mut part = world.config(&settings);
    part.request.targets = Some(vec!["hub".to_owned()]);
    assert_eq!(world.crawl_as(part).await.changes(), 0);
    world.simulator.deny(Denial::new(HUB, Operation::AssumeRole));
    let crawl = world.crawl_with(&settings).await;
    assert_eq!((crawl.changes(), crawl.report.scopes.auth_failed), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_suspended_account_and_a_disabled_region_remove_nothing() {
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
async fn accounts_and_regions_that_are_not_listed_are_not_retired() {
    let world = organization(3);
    world.crawl_with(ORGANIZATION).await;
    for (operation, what) in [(Operation::ListAccounts, "accounts"), (Operation::ListRegions, "Regions")] {
        world.simulator.add_fault(FaultRule::new(Effect::Deny).operation(operation));
        let report = world.crawl_to_nothing(ORGANIZATION).await;
        assert_ne!(report.outcome, RunOutcome::Cancelled, "{what}");
        world.simulator.clear_faults();
        assert_eq!(world.crawl_with(ORGANIZATION).await.changes(), 0, "{what}");
    }
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
async fn keys_that_end_while_removals_are_confirmed_end_the_scope() {
    let world = World::new(250);
    world.crawl().await;
    world.remove(0..100);
    // Of the many requests that wait for the budget, one is refused permanently. The ones after it
    // must not hold up what follows.
    let refused = FaultRule::new(Effect::UnrecognizedClient).operation(Operation::DescribeTable);
    world.simulator.add_fault(refused.table(table(10)));
    let settings = format!("rate = 20\n[changes]\naccept_removals = [\"{HUB}/{REGION}\"]");
    let crawl = tokio::time::timeout(Duration::from_secs(3600), world.crawl_with(&settings)).await;
    let crawl = crawl.expect("it ends");
    assert_eq!(crawl.report.outcome, RunOutcome::Partial);
    let removed = crawl.of("table_removed").len() as u64;
    let unconfirmed = crawl.problem("removal_unconfirmed")["table_count"].as_u64().expect("a number");
    assert!(removed > 0 && unconfirmed > 0, "{removed} {unconfirmed}");
    assert_eq!(removed + unconfirmed, 100);
}
