//! Include and exclude expressions, and the dry run that explains them.

use dynacrawl_sim::Operation;
use serde_json::json;

use crate::command::Dynacrawl;
use crate::support::{HOME, IRELAND, alone, named};

const NAMES: [&str; 6] = ["my-orders", "orders", "orders-dev", "orders-prod", "orders.prod", "users"];

/// The names that a crawl with these flags describes.
#[track_caller]
fn selected(flags: &[&str]) -> Vec<String> {
    let (sim, home) = alone(named(&NAMES));
    let crawled = Dynacrawl::crawl_of(&sim, &home, IRELAND).args(flags).records();
    assert_eq!(crawled.code, 0, "excluded tables are not missing");
    let counts = &crawled.scope(IRELAND)["counts"];
    let names: Vec<_> = crawled.names().into_iter().map(str::to_owned).collect();
    assert_eq!((&counts["listed"], &counts["selected"]), (&6.into(), &names.len().into()));
    assert_eq!(counts["unselected"], 6 - names.len());
    assert_eq!(sim.counts().requests(Operation::DescribeTable), names.len() as u64);
    names
}

#[test]
fn an_expression_has_to_match_the_whole_name() {
    assert_eq!(selected(&["--include", "orders"]), ["orders"]);
    assert_eq!(selected(&["--include", "orders.*"]), ["orders", "orders-dev", "orders-prod", "orders.prod"]);
    assert_eq!(selected(&["--include", ".*orders"]), ["my-orders", "orders"]);
    assert_eq!(selected(&["--include", r"orders\.prod"]), ["orders.prod"]);
    assert_eq!(selected(&["--include", "users|orders"]), ["orders", "users"]);
    assert_eq!(selected(&["--include", "ORDERS"]), [""; 0]);
    assert_eq!(selected(&["--include", "(?i)ORDERS"]), ["orders"]);
}

#[test]
fn exclude_takes_precedence_over_include() {
    assert_eq!(selected(&["--exclude", "orders.*"]), ["my-orders", "users"]);
    assert_eq!(
        selected(&["--include", "orders-.*", "--include", "users", "--exclude", ".*-dev"]),
        ["orders-prod", "users"]
    );
    assert_eq!(selected(&["--include", "users", "--exclude", ".*"]), [""; 0]);
}

#[test]
fn without_expressions_every_table_is_selected() {
    assert_eq!(selected(&[]), NAMES);
}

#[test]
fn a_dry_run_writes_names_with_rules_and_describes_nothing() {
    let (sim, home) = alone(named(&NAMES));
    let crawled = Dynacrawl::crawl_of(&sim, &home, IRELAND)
        .args(["--dry-run", "--include", "orders-.*", "--include", "users", "--exclude", ".*-dev"])
        .records();
    assert_eq!(crawled.code, 0);
    let mut verdicts: Vec<_> = crawled
        .of_type("table_listed")
        .map(|listed| {
            json!([listed["table_name"], listed["is_selected"], listed["rule"]["kind"], listed["rule"]["pattern"]])
        })
        .collect();
    verdicts.sort_by_key(|verdict| verdict[0].to_string());
    assert_eq!(
        verdicts,
        [
            json!(["my-orders", false, "no_include_matched", null]),
            json!(["orders", false, "no_include_matched", null]),
            json!(["orders-dev", false, "exclude", ".*-dev"]),
            json!(["orders-prod", true, "include", "orders-.*"]),
            json!(["orders.prod", false, "no_include_matched", null]),
            json!(["users", true, "include", "users"]),
        ]
    );
    assert_eq!(crawled.of_type("table").count(), 0);
    let counts = sim.counts();
    assert_eq!(counts.requests(Operation::DescribeTable), 0);
    assert_eq!(counts.of(HOME, IRELAND, Operation::ListTables).requests, 1);
    let ended = &crawled.scope(IRELAND)["counts"];
    assert_eq!((&ended["selected"], &ended["unselected"], &ended["not_attempted"]), (&2.into(), &4.into(), &2.into()));
}

#[test]
fn a_dry_run_without_expressions_names_the_default_rule() {
    let (sim, home) = alone(named(&NAMES));
    let crawled = Dynacrawl::crawl_of(&sim, &home, IRELAND).arg("--dry-run").records();
    assert!(
        crawled.of_type("table_listed").all(|listed| listed["rule"] == json!({"kind": "default", "pattern": null}))
    );
    assert_eq!(crawled.of_type("table_listed").count(), 6);
}
