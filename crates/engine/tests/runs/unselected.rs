//! Tables that dynacrawl no longer follows, because the filters exclude them or their scope was
//! retired. A catalog may still have them, so their removal is reported too.

use dynacrawl_model::{RunOutcome, Timestamp};
use dynacrawl_sim::{Account, Denial, Effect, FaultRule, Listing, Operation, Tables, When};
use dynacrawl_testing::inside::HUB;
use dynacrawl_testing::world::{OTHER_REGION, REGION, World, counts, table};
use serde_json::json;

/// Excludes the tables 0 to 9.
const FILTERED: &str = "exclude = [\"table-00000.\"]";

/// A world whose filters have excluded ten of its tables.
async fn filtered(tables: u64) -> World {
    let world = World::new(tables);
    world.crawl().await;
    assert_eq!(world.crawl_with(FILTERED).await.of("table_unselected").len(), 10);
    world
}

#[tokio::test(start_paused = true)]
async fn an_excluded_table_that_is_deleted_is_removed() {
    let world = filtered(12).await;
    world.crawl_with(FILTERED).await;
    let listed = ended_at(&world);
    world.remove(3..5);
    let crawl = world.crawl_with(FILTERED).await;
    assert_eq!((crawl.names("table_removed"), crawl.changes()), (vec![&*table(3), &*table(4)], 2));
    let removed = crawl.of("table_removed")[0];
    assert!(removed["table_arn"].is_string(), "{removed}");
    assert_eq!(removed["last_seen_at"], listed, "it was listed as long as it was there");
    assert_eq!(crawl.report.outcome, RunOutcome::Complete);
    assert_eq!(world.crawl_with(FILTERED).await.changes(), 0, "once");
    let back = world.crawl().await;
    assert_eq!((back.of("table_added").len(), back.changes()), (8, 8));
}

#[tokio::test(start_paused = true)]
async fn a_failure_does_not_remove_an_excluded_table() {
    let world = filtered(120).await;
    world.remove(3..5);
    let only_the_first_page = FaultRule::new(Effect::Deny).operation(Operation::ListTables).when(When::After(1));
    world.simulator.add_fault(only_the_first_page);
    assert_eq!(world.crawl_with(FILTERED).await.changes(), 0, "it may be on the missing page");
    world.simulator.clear_faults();

    // Whether it exists is unknown. The filters exclude it, so nothing is missing.
    world.simulator.deny(Denial::new(HUB, Operation::DescribeTable).table(table(3)));
    let crawl = world.crawl_with(FILTERED).await;
    assert_eq!((crawl.names("table_removed"), crawl.changes()), (vec![&*table(4)], 1));
    assert_eq!((crawl.report.outcome, &crawl.scope()["problems"]), (RunOutcome::Complete, &json!([])));
    world.simulator.clear_denials();
    assert_eq!(world.crawl_with(FILTERED).await.names("table_removed"), [table(3)]);
}

/// When the scope of a crawl was listed, as the state has it.
fn ended_at(world: &World) -> serde_json::Value {
    let state = rusqlite::Connection::open(world.path("state.db")).expect("a state");
    let at = state.query_row("SELECT last_listed_at FROM scopes", [], |row| row.get(0)).expect("a time");
    serde_json::to_value(Timestamp::from_millis(at).expect("a time")).expect("JSON")
}

/// ListTables leaves the table out, and DescribeTable finds it.
#[tokio::test(start_paused = true)]
async fn an_excluded_table_that_the_listing_leaves_out_is_not_written() {
    let world = World::new(12);
    world.crawl().await;
    let without = Effect::List(Listing::LeaveOut(vec![table(3)]));
    world.simulator.add_fault(FaultRule::new(without).operation(Operation::ListTables));
    let crawl = world.crawl_with(FILTERED).await;
    assert_eq!((crawl.of("table_unselected").len(), crawl.changes()), (10, 10), "also the one that is not listed");
    assert_eq!((crawl.of("table").len(), crawl.report.outcome), (2, RunOutcome::Partial));
    assert_eq!(crawl.problem("unlisted")["table_names"], json!([table(3)]), "there may be more");
    let again = world.crawl_with(FILTERED).await;
    assert_eq!((again.changes(), again.of("table").len(), again.report.outcome), (0, 2, RunOutcome::Partial));
    world.simulator.clear_faults();
    assert_eq!(world.crawl_with(FILTERED).await.report.outcome, RunOutcome::Complete);
    let listed = ended_at(&world);
    world.remove(3..4);
    assert_eq!(world.crawl_with(FILTERED).await.of("table_removed")[0]["last_seen_at"], listed, "seen again");
}

#[tokio::test(start_paused = true)]
async fn too_many_removals_of_excluded_tables_wait_for_a_person() {
    let world = filtered(120).await;
    world.remove(0..10);
    let crawl = world.crawl_with(FILTERED).await;
    let held = crawl.problem("removals_held");
    assert_eq!((crawl.changes(), counts(&crawl)[5], &held["table_count"]), (0, 10, &json!(10)));
    let text = held["message"].as_str().expect("a message");
    assert!(text.contains("lists 10 of 10 tables that the filters exclude"), "{text}");
    // They do not hold up the others.
    world.remove(50..51);
    let crawl = world.crawl_with(FILTERED).await;
    assert_eq!((crawl.names("table_removed"), counts(&crawl)[5]), (vec![&*table(50)], 10));
    let accepted = world.crawl_with(&format!("{FILTERED}\n[changes]\naccept_removals = [\"{HUB}/{REGION}\"]")).await;
    assert_eq!((accepted.of("table_removed").len(), accepted.report.outcome), (10, RunOutcome::Complete));

    // Those that are excluded do not make the others look like few.
    let filters = "exclude = [\"table-00000.\", \"table-0000[1-9].\"]";
    assert_eq!(world.crawl_with(filters).await.of("table_unselected").len(), 89);
    world.remove(100..110);
    assert_eq!(counts(&world.crawl_with(filters).await)[5], 10, "10 of 20");
    // What looks like a fault for the others is no removal of an excluded one either.
    world.remove(60..61);
    assert_eq!(counts(&world.crawl_with(filters).await)[5], 11);
}

/// Once the other tables are followed again, there are fewer that may be held.
#[tokio::test(start_paused = true)]
async fn what_is_held_of_a_scope_that_is_back_stays_held() {
    let world = World::of([Account::new(HUB)
        .region(OTHER_REGION, Tables::new().generated(3))
        .region(REGION, Tables::new().generated(30))]);
    let both = format!("[[target]]\nname = \"hub\"\nregions = [\"{REGION}\", \"{OTHER_REGION}\"]");
    let other = format!("[[target]]\nname = \"hub\"\nregions = [\"{OTHER_REGION}\"]");
    world.crawl_with(&both).await;
    assert_eq!(world.crawl_with(&other).await.of("scope_retired").len(), 1);
    world.remove(0..12);
    assert_eq!(counts(&world.crawl_with(&both).await)[5], 12, "12 of 30");
    let again = world.crawl_with(&both).await;
    assert_eq!((again.changes(), counts(&again)[5]), (0, 12), "12 of 12");
}

#[tokio::test(start_paused = true)]
async fn all_of_a_few_excluded_tables_may_be_removed() {
    let world = World::new(12);
    world.crawl().await;
    let filters = "exclude = [\"table-00000[01]\"]";
    assert_eq!(world.crawl_with(filters).await.of("table_unselected").len(), 2);
    world.remove(0..2);
    let crawl = world.crawl_with(filters).await;
    assert_eq!((crawl.of("table_removed").len(), crawl.report.outcome), (2, RunOutcome::Complete));
}

#[tokio::test(start_paused = true)]
async fn a_table_that_was_deleted_while_its_scope_was_retired_is_removed() {
    let tables = || Tables::new().generated(12);
    let world = World::of([Account::new(HUB).region(OTHER_REGION, tables()).region(REGION, tables())]);
    let both = format!("[[target]]\nname = \"hub\"\nregions = [\"{REGION}\", \"{OTHER_REGION}\"]");
    let other = format!("[[target]]\nname = \"hub\"\nregions = [\"{OTHER_REGION}\"]");
    world.crawl_with(&both).await;
    assert_eq!(world.crawl_with(&other).await.of("scope_retired").len(), 1);
    world.remove(3..4);
    let back = world.crawl_with(&both).await;
    assert_eq!((back.names("table_removed"), back.of("table_added").len()), (vec![&*table(3)], 11));
    assert_eq!(back.report.outcome, RunOutcome::Complete);
    assert_eq!(world.crawl_with(&both).await.changes(), 0);
}
