//! False responses, and credentials of another account: neither may lead to a wrong result.

use std::time::Duration;

use dynacrawl_engine::{CompletedScope, RunReport};
use dynacrawl_model::{Outcome, RunOutcome, ScopeCompleted};
use dynacrawl_sim::{
    Account, Denial, Effect, Estate, FaultRule, Listing, Operation, Organization, OrganizationalUnit, Role, TableEdit,
    Tables, When,
};
use dynacrawl_testing::inside::HUB;
use dynacrawl_testing::world::{Crawl, OTHER_REGION, REGION, World, counts, table};
use serde_json::json;
use tokio::time::Instant;

const DEV: &str = "444455556666";

fn edit(edit: TableEdit) -> FaultRule {
    FaultRule::new(Effect::EditTable(vec![edit])).operation(Operation::DescribeTable)
}

fn list(listing: Listing) -> FaultRule {
    FaultRule::new(Effect::List(listing)).operation(Operation::ListTables)
}

fn hub_with(account: &str) -> String {
    format!("[[target]]\nname = \"hub\"\nregions = [\"{REGION}\"]\n{account}\n")
}

/// Two accounts with tables of the same names, and a state that has those of the hub.
async fn two_accounts() -> World {
    let account = |id| Account::new(id).region(REGION, Tables::new().generated(20));
    let world = World::of([account(HUB), account(DEV)]);
    assert_eq!(world.crawl_with(&hub_with("")).await.report.outcome, RunOutcome::Complete);
    world
}

/// The one scope of a run, which has only its last record.
fn alone<'a>(report: &'a RunReport, code: &str) -> &'a ScopeCompleted {
    let [CompletedScope { completed: scope, .. }] = &report.notable[..] else { panic!("one scope: {report:?}") };
    assert_eq!(scope.outcome, Outcome::AuthFailed, "{scope:?}");
    assert_eq!((scope.counts.listed, scope.counts.described), (0, 0));
    assert_eq!(scope.problems[0].code, code, "{scope:?}");
    let changes = report.changes.expect("with a state");
    assert_eq!([changes.added, changes.changed, changes.recreated, changes.removed, changes.held], [0; 5]);
    scope
}

async fn nothing_is_lost(world: &World) {
    world.simulator.clear_faults();
    let next = world.crawl_with(&hub_with("")).await;
    assert_eq!((next.changes(), next.report.outcome), (0, RunOutcome::Complete));
}

#[tokio::test(start_paused = true)]
async fn keys_of_another_account_end_the_scope_before_any_record() {
    let world = two_accounts().await;
    let hub = Account::new(HUB).access("hub").access_key_id;
    world.simulator.move_key(&hub, DEV).expect("an account");
    let report = world.crawl_to_nothing(&hub_with(&format!("account_id = \"{HUB}\""))).await;
    let message = &alone(&report, "account_mismatch").problems[0].message;
    assert!(message.contains(DEV) && message.contains(HUB) && message.contains("GetCallerIdentity"), "{message}");
    world.simulator.move_key(&hub, HUB).expect("an account");
    nothing_is_lost(&world).await;
}

#[tokio::test(start_paused = true)]
async fn without_sts_the_first_arn_reveals_keys_of_another_account() {
    let world = two_accounts().await;
    let hub = Account::new(HUB).access("hub").access_key_id;
    world.simulator.move_key(&hub, DEV).expect("an account");
    world.simulator.add_fault(FaultRule::new(Effect::Deny).operation(Operation::GetCallerIdentity));
    let report = world.crawl_to_nothing(&hub_with(&format!("account_id = \"{HUB}\""))).await;
    alone(&report, "account_mismatch");
    world.simulator.move_key(&hub, HUB).expect("an account");
    nothing_is_lost(&world).await;
}

#[tokio::test(start_paused = true)]
async fn keys_that_change_their_account_in_mid_run_remove_no_table() {
    let account = |id, tables| Account::new(id).region(REGION, Tables::new().generated(tables));
    let world = World::of([account(HUB, 20), account(DEV, 18)]);
    assert_eq!(world.crawl_with(&hub_with("")).await.report.outcome, RunOutcome::Complete);
    // From the listing on, or with some tables described before.
    for before in 2..=21 {
        let moved = FaultRule::new(Effect::AsAccount(DEV.to_owned())).when(When::After(before));
        world.simulator.add_fault(moved);
        let report = world.crawl_to_nothing(&hub_with("")).await;
        let changes = report.changes.expect("with a state");
        assert_eq!((changes.removed, changes.recreated, changes.changed), (0, 0, 0), "after {before} requests");
        assert_ne!(report.outcome, RunOutcome::Complete, "after {before} requests");
        world.simulator.clear_faults();
    }
    nothing_is_lost(&world).await;
    // A deleted table is still removed.
    world.simulator.remove_table(HUB, REGION, &table(3)).expect("a table");
    assert_eq!(world.crawl_with(&hub_with("")).await.of("table_removed").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_role_session_of_another_account_ends_the_scope() {
    let reader = Role::new("Reader").trusts(HUB);
    let member = Account::new(DEV).role(reader).region(REGION, Tables::new().generated(3));
    let world = World::of([Account::new(HUB).region(REGION, Tables::new().generated(3)), member]);
    world.simulator.add_fault(FaultRule::new(Effect::AsAccount(HUB.to_owned())).operation(Operation::AssumeRole));
    let role = format!("assume_role = [{{ arn = \"arn:aws:iam::{DEV}:role/Reader\" }}]");
    let report = world.crawl_to_nothing(&hub_with(&role)).await;
    let message = &alone(&report, "account_mismatch").problems[0].message;
    assert!(message.contains("role/Reader"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn tables_of_another_region_end_the_scope() {
    for without_sts in [false, true] {
        let world = two_accounts().await;
        world.simulator.add_fault(edit(TableEdit::ArnRegion(OTHER_REGION.to_owned())));
        if without_sts {
            world.simulator.add_fault(FaultRule::new(Effect::Deny).operation(Operation::GetCallerIdentity));
        }
        let report = world.crawl_to_nothing(&hub_with("")).await;
        let message = &alone(&report, "region_mismatch").problems[0].message;
        assert!(message.contains(OTHER_REGION) && message.contains(REGION), "{message}");
        nothing_is_lost(&world).await;
    }
}

#[tokio::test(start_paused = true)]
async fn once_the_identity_is_proven_a_foreign_arn_fails_its_table() {
    for foreign in [TableEdit::ArnAccount(DEV.to_owned()), TableEdit::ArnRegion(OTHER_REGION.to_owned())] {
        let world = World::new(20);
        world.crawl().await;
        world.simulator.add_fault(edit(foreign).table(table(7)));
        let crawl = world.crawl().await;
        assert_eq!((crawl.changes(), crawl.report.outcome), (0, RunOutcome::Partial));
        let [failed] = crawl.of("table_failed")[..] else { panic!("one table") };
        assert_eq!((&failed["table_name"], &failed["code"]), (&json!(table(7)), &json!("invalid_response")));
        assert_eq!(crawl.scope()["counts"]["described"], 19);
    }
}

#[tokio::test(start_paused = true)]
async fn an_emulators_arns_are_a_note() {
    for odd in [TableEdit::ArnRegion("ddblocal".to_owned()), TableEdit::ArnAccount("000000000000".to_owned())] {
        let world = World::new(5);
        world.simulator.add_fault(edit(odd));
        let crawl = world.crawl_with(&hub_with(&format!("account_id = \"{HUB}\""))).await;
        assert_eq!(crawl.report.outcome, RunOutcome::Complete);
        assert_eq!((crawl.of("table").len(), crawl.scope()["problems"].as_array().map(Vec::len)), (5, Some(1)));
        crawl.problem("emulator_arn");
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_about_something_else_fails_its_table() {
    for wrong in [TableEdit::Name("other".to_owned()), TableEdit::Stub] {
        let world = World::new(20);
        world.crawl().await;
        world.simulator.add_fault(edit(wrong).table("table-00000*"));
        let crawl = world.crawl().await;
        assert_eq!((crawl.changes(), crawl.report.outcome), (0, RunOutcome::Partial));
        let failed = crawl.of("table_failed");
        assert_eq!(failed.len(), 10);
        assert!(failed.iter().all(|failed| failed["code"] == "invalid_response"), "{failed:?}");
        world.simulator.clear_faults();
        assert_eq!(world.crawl().await.changes(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_field_missing_in_a_response_does_not_recreate_a_table() {
    for lacking in ["/TableId", "/TableArn", "/CreationDateTime"] {
        let world = World::new(5);
        world.crawl().await;
        let rule = world.simulator.add_fault(edit(TableEdit::Without(lacking.to_owned())).table(table(2)));
        let crawl = world.crawl().await;
        assert_eq!((crawl.changes(), crawl.report.outcome), (0, RunOutcome::Complete), "{lacking}");
        // A change besides it is still found, and reported once.
        world.edit(&table(2), |table| table["DeletionProtectionEnabled"] = json!(false));
        let crawl = world.crawl().await;
        assert_eq!(crawl.names("table_changed"), [table(2)], "{lacking}");
        assert_eq!(crawl.of("table_changed")[0]["changes"].as_array().map(Vec::len), Some(1));
        world.simulator.remove_fault(rule);
        assert_eq!(world.crawl().await.changes(), 0, "{lacking}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_listed_twice_counts_once() {
    for listing in [Listing::RepeatInPage, Listing::RepeatOnPages, Listing::InclusiveStart] {
        let world = World::new(250);
        world.simulator.add_fault(list(listing.clone()));
        let crawl = world.crawl().await;
        assert_eq!(crawl.scope()["counts"]["listed"], 250, "{listing:?}");
        assert_eq!((counts(&crawl), crawl.of("table").len()), ([250, 0, 0, 0, 0, 0], 250), "{listing:?}");
        let mut names = crawl.names("table");
        names.dedup();
        assert_eq!(names.len(), 250);
    }
}

#[tokio::test(start_paused = true)]
async fn a_listing_without_an_end_is_incomplete() {
    for listing in [Listing::Cycle, Listing::EmptyPages] {
        let world = World::new(250);
        world.crawl().await;
        world.simulator.add_fault(list(listing.clone()));
        let began = Instant::now();
        let crawl = world.crawl().await;
        assert!(began.elapsed() < Duration::from_secs(120), "{listing:?}: {:?}", began.elapsed());
        assert_eq!((crawl.report.outcome, crawl.changes()), (RunOutcome::Partial, 0), "{listing:?}");
        assert_eq!(crawl.scope()["outcome"], "incomplete_listing");
        assert_eq!(crawl.problem("invalid_response")["operation"], "ListTables");
        let described = crawl.names("table");
        let mut once = described.clone();
        once.dedup();
        assert_eq!(described, once, "no table twice");
    }
}

#[tokio::test(start_paused = true)]
async fn a_table_that_the_listing_leaves_out_is_still_described() {
    let world = World::new(20);
    world.crawl().await;
    world.edit(&table(3), |table| table["DeletionProtectionEnabled"] = json!(false));
    world.simulator.add_fault(list(Listing::LeaveOut(vec!["table-00000*".to_owned()])));
    let crawl = world.crawl().await;
    assert_eq!((crawl.of("table").len(), crawl.names("table_changed"), crawl.changes()), (20, vec![&*table(3)], 1));
    let scope = crawl.scope();
    let count = |name: &str| scope["counts"][name].as_u64().expect("a number");
    assert_eq!([count("listed"), count("selected"), count("unlisted"), count("described")], [10, 10, 10, 20]);
    assert_eq!(scope["outcome"], "partial");
    assert_eq!(crawl.problem("unlisted")["table_count"], 10);
    // Killed in between, none of them is written twice.
    world.simulator.add_fault(
        FaultRule::new(Effect::Delay(Duration::from_secs(600))).operation(Operation::DescribeTable).table(table(9)),
    );
    world.crawl_until_killed("", Duration::from_secs(5)).await;
    world.simulator.clear_faults();
    world.simulator.add_fault(list(Listing::LeaveOut(vec!["table-00000*".to_owned()])));
    let crawl = world.crawl().await;
    assert_eq!(crawl.names("table").len(), 20);
    assert_eq!(crawl.scope()["counts"]["unlisted"], 10);
}

#[tokio::test(start_paused = true)]
async fn a_scope_is_partial_if_every_listed_table_vanishes() {
    let world = World::new(2);
    world.simulator.add_fault(FaultRule::new(Effect::NotFound).operation(Operation::DescribeTable));
    let crawl = world.crawl().await;
    assert_eq!(crawl.scope()["outcome"], "partial");
    crawl.problem("all_vanished");
}

/// An organization whose accounts each have a table.
fn organization(accounts: usize) -> World {
    let members = (0..accounts).map(|number| format!("{:012}", 100 + number));
    let mut root = OrganizationalUnit::new("r-ab12").account(HUB);
    let mut all = vec![Account::new(HUB).region(REGION, Tables::new())];
    for id in members {
        root = root.account(id.as_str());
        all.push(Account::new(&id).role(Role::new("Reader").trusts(HUB)).region(REGION, Tables::new().generated(1)));
    }
    World::estate(Estate::new(all).organization(Organization::new(HUB).root(root)))
}

fn of_organization(changes: &str) -> String {
    format!(
        "{changes}\n[[target]]\nname = \"org\"\nregions = [\"{REGION}\"]\norganizations = true\nexclude_accounts = [\"{HUB}\"]\n\
         assume_role = [{{ arn = \"arn:{{partition}}:iam::{{account}}:role/Reader\" }}]"
    )
}

#[tokio::test(start_paused = true)]
async fn a_short_list_of_accounts_retires_nothing_by_itself() {
    let world = organization(20);
    assert_eq!(world.crawl_with(&of_organization("")).await.of("table").len(), 20);
    world.simulator.add_fault(FaultRule::new(Effect::FirstAccounts(2)).operation(Operation::ListAccounts));
    let crawl = world.crawl_with(&of_organization("")).await;
    assert_eq!((crawl.of("scope_retired").len(), crawl.report.outcome), (0, RunOutcome::Partial));
    let [completed] = crawl.of("run_completed")[..] else { panic!("one") };
    let held = completed["retirements_held"]["count"].as_u64().expect("a number");
    assert!(held >= 18, "{completed}");
    assert!(completed["retirements_held"]["reason"].is_string() && completed["outcome"] == "partial");
    let accepted = format!("[changes]\nemit = \"both\"\naccept_retirements = [\"000000000119/{REGION}\"]");
    let crawl = world.crawl_with(&of_organization(&accepted)).await;
    let [retired] = crawl.of("scope_retired")[..] else { panic!("one: {:?}", crawl.report) };
    assert_eq!(retired["scope"]["account_id"], "000000000119");
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_account_does_not_keep_others_from_retiring() {
    let world = organization(20);
    world.crawl_with(&of_organization("")).await;
    let denied = FaultRule::new(Effect::Deny).operation(Operation::AssumeRole);
    world.simulator.add_fault(denied.role("arn:aws:iam::000000000100:role/Reader"));
    world.simulator.add_fault(FaultRule::new(Effect::FirstAccounts(20)).operation(Operation::ListAccounts));
    let crawl = world.crawl_with(&of_organization("")).await;
    let [retired] = crawl.of("scope_retired")[..] else { panic!("one: {:?}", crawl.report) };
    assert_eq!(retired["scope"]["account_id"], "000000000119");
}

#[tokio::test(start_paused = true)]
async fn scopes_outside_the_flags_are_retired_only_if_named() {
    let regions = [REGION, OTHER_REGION];
    let account =
        regions.iter().fold(Account::new(HUB), |account, region| account.region(*region, Tables::new().generated(2)));
    let world = World::of([account]);
    let both = format!("[[target]]\nname = \"default\"\nregions = {regions:?}");
    world.crawl_with(&both).await;
    let mut part = world.config(&hub_with(""));
    part.request.described_by_flags = true;
    let crawl = world.crawl_as(part).await;
    assert_eq!((crawl.of("scope_retired").len(), crawl.report.outcome), (0, RunOutcome::Partial));
    let held = crawl.report.retirements_held.as_ref().expect("with a state");
    assert_eq!((held.count, held.scopes[0].region.as_str()), (1, OTHER_REGION));
    let mut part = world.config(&hub_with(""));
    part.request.described_by_flags = true;
    part.request.accepted.retirements.extend([(HUB.parse().expect("an account"), OTHER_REGION.parse().expect("one"))]);
    let crawl = world.crawl_as(part).await;
    assert_eq!((crawl.of("scope_retired").len(), crawl.report.outcome), (1, RunOutcome::Complete));
}

#[tokio::test(start_paused = true)]
async fn a_scope_that_failed_for_a_while_is_retried_at_the_end() {
    // Longer than a call waits, and over before the retry gives up.
    let long = When::For(Duration::from_secs(90));
    for rule in [
        FaultRule::new(Effect::Status(503)).operation(Operation::ListTables).region(OTHER_REGION).when(long.clone()),
        FaultRule::new(Effect::DropConnection).operation(Operation::ListTables).region(OTHER_REGION).when(long),
    ] {
        let account = [REGION, OTHER_REGION]
            .iter()
            .fold(Account::new(HUB), |account, region| account.region(*region, Tables::new().generated(250)));
        let world = World::of([account]);
        let slow = FaultRule::new(Effect::Delay(Duration::from_secs(15))).operation(Operation::DescribeTable);
        world.simulator.add_fault(slow.region(REGION));
        world.simulator.add_fault(rule);
        let both = format!("[[target]]\nname = \"hub\"\nregions = {:?}", [REGION, OTHER_REGION]);
        let crawl = world.crawl_with(&both).await;
        assert_eq!(crawl.report.outcome, RunOutcome::Complete, "{:?}", crawl.report.notable);
        assert_eq!((crawl.of("table").len(), crawl.of("scope_completed").len()), (500, 2));
        assert_eq!(crawl.changes(), 500);
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_continues_where_the_first_attempt_stopped() {
    let world = World::new(250);
    // The second page does not come, however long the listing waits; at the end it does.
    let rule = FaultRule::new(Effect::Status(503))
        .operation(Operation::ListTables)
        .when(When::Between(Duration::from_millis(30), Duration::from_secs(75)));
    world.simulator.add_fault(rule);
    let crawl: Crawl = world.crawl().await;
    assert_eq!(crawl.report.outcome, RunOutcome::Complete, "{:?}", crawl.report.notable);
    assert_eq!((crawl.of("table").len(), crawl.changes(), crawl.of("scope_completed").len()), (250, 250, 1));
    assert_eq!(crawl.scope()["counts"]["listed"], 250);
    assert_eq!(world.crawl().await.changes(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_retry_does_not_continue_in_another_account() {
    let account = |id| Account::new(id).region(REGION, Tables::new().generated(250));
    let world = World::of([account(HUB), account(DEV)]);
    assert_eq!(world.crawl_with(&hub_with("")).await.report.outcome, RunOutcome::Complete);
    // An ARN proves the account in the first attempt, and the keys are another account's in the
    // retry.
    world.simulator.add_fault(FaultRule::new(Effect::Deny).operation(Operation::GetCallerIdentity).first(1));
    let listing = FaultRule::new(Effect::Status(503)).operation(Operation::ListTables);
    world.simulator.add_fault(listing.when(When::Between(Duration::from_millis(30), Duration::from_secs(75))));
    let moving = async {
        tokio::time::sleep(Duration::from_secs(40)).await;
        let hub = Account::new(HUB).access("hub").access_key_id;
        world.simulator.move_key(&hub, DEV).expect("an account");
    };
    let settings = hub_with("");
    let (report, ()) = tokio::join!(world.crawl_to_nothing(&settings), moving);
    let [CompletedScope { completed: scope, .. }] = &report.notable[..] else { panic!("one scope: {report:?}") };
    assert_eq!(scope.problems[0].code, "account_mismatch", "{scope:?}");
    assert_eq!(scope.counts.described, 100, "those of the first attempt were written: {scope:?}");
    assert_eq!(report.changes.map(|changes| changes.changed + changes.recreated + changes.removed), Some(0));
}

#[tokio::test(start_paused = true)]
async fn results_that_are_held_back_do_not_hold_up_the_listing() {
    let world = World::new(1200);
    world.simulator.add_fault(FaultRule::new(Effect::Deny).operation(Operation::GetCallerIdentity));
    world.simulator.add_fault(FaultRule::new(Effect::Deny).operation(Operation::DescribeTable));
    let one = format!("[crawl]\ninclude = [\"{}\"]\n{}", table(0), hub_with(""));
    let crawl = tokio::time::timeout(Duration::from_secs(3600), world.crawl_to_nothing(&one)).await;
    let report = crawl.expect("it ends");
    assert_eq!((report.counts.listed, report.counts.denied), (1200, 1));
}

#[tokio::test(start_paused = true)]
async fn a_default_region_never_has_the_outcome_not_opted_in() {
    let world = World::new(3);
    world.simulator.add_fault(FaultRule::new(Effect::UnrecognizedClient).operation(Operation::ListTables));
    let report = world.crawl_to_nothing(&hub_with("")).await;
    assert_eq!(report.notable[0].completed.outcome, Outcome::AuthFailed);
    // A denied STS does not change that.
    world.simulator.deny(Denial::new(HUB, Operation::GetCallerIdentity));
    assert_eq!(world.crawl_to_nothing(&hub_with("")).await.notable[0].completed.outcome, Outcome::AuthFailed);
}
