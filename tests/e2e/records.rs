//! Record types, names of accounts, and problems of tables.

use std::fs;

use dynacrawl_sim::{
    Account, DemoAccount, Estate, Member, Organization, OrganizationalUnit, Role, Simulator, TableBuilder, Tables,
};
use serde_json::{Value, json};

use crate::command::Dynacrawl;
use crate::contract;
use crate::organization::{UNLIMITED, everything_at, failure, with_failed_targets};
use crate::support::{HOME, IRELAND, alone, ireland, simulate};

fn types(text: &str) -> Vec<String> {
    let records = contract::lines(text);
    records.iter().map(|record| record["type"].as_str().expect("a type").to_owned()).collect()
}

#[test]
fn only_the_selected_record_types_are_written() {
    let (sim, home) = ireland(3);
    let crawl = |args: &[&str]| {
        let ended = Dynacrawl::crawl_of(&sim, &home, IRELAND).args(args).run();
        assert_eq!(ended.code(), 0, "{}", ended.stderr);
        types(&ended.stdout)
    };
    assert_eq!(crawl(&["--records", "table,scope_completed"]), ["table", "table", "table", "scope_completed"]);
    assert_eq!(crawl(&["--records", "run_completed"]), ["run_completed"]);
    let indexes = crawl(&["--layout", "entities", "--records", "index"]);
    assert!(!indexes.is_empty() && indexes.iter().all(|kind| kind == "index"), "{indexes:?}");
    assert_eq!(crawl(&["--dry-run", "--records", "table_listed"]), ["table_listed"; 3]);
    assert_eq!(crawl(&["--state", "s.db", "--emit", "both", "--records", "table_added"]), ["table_added"; 3]);
}

#[test]
fn a_run_that_writes_some_record_types_is_resumed() {
    let (sim, home) = ireland(300);
    let place = tempfile::tempdir().expect("a directory");
    let crawl = || {
        let command = Dynacrawl::crawl_of(&sim, &home, IRELAND).in_directory(place.path());
        command.args([
            "--records",
            "table",
            "--state",
            "s.db",
            "--output",
            "t.jsonl",
            "--grace",
            "100ms",
            "--rate",
            "200",
        ])
    };
    let running = crawl().start();
    crate::support::eventually("tables are described", || {
        sim.counts().requests(dynacrawl_sim::Operation::DescribeTable) > 100
    });
    running.signal("INT");
    assert_eq!(running.end().code(), 130);
    assert_eq!(crawl().run().code(), 0);
    let text = fs::read_to_string(place.path().join("t.jsonl")).expect("the output");
    let mut names: Vec<_> = contract::lines(&text).iter().map(|line| line["table"]["name"].to_string()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!((names.len(), text.lines().count()), (300, 300), "each table once");
}

#[test]
fn a_key_with_an_undefined_attribute_is_a_problem() {
    let odd = TableBuilder::new(HOME, IRELAND, "odd").hash("id", "S").field("AttributeDefinitions", json!([]));
    let (sim, home) = alone(Tables::new().table("odd", &odd.build()).generated(2));
    let crawled = Dynacrawl::crawl_of(&sim, &home, IRELAND).records();
    assert_eq!(crawled.code, 0, "nothing is missing");
    let problem = &crawled.table("odd")["problems"][0];
    assert_eq!((&problem["code"], &problem["table_names"]), (&json!("undefined_attribute"), &json!(["odd"])));
    assert!(problem["message"].as_str().is_some_and(|message| message.ends_with(": id (table)")), "{problem}");
    assert_eq!(crawled.scope(IRELAND)["problems"][0]["code"], "undefined_attribute");
    assert!(
        crawled.of_type("table").filter(|table| table["table"]["name"] != "odd").all(|t| t["problems"] == json!([]))
    );
}

/// An organization with one account, which has this name.
fn named(name: &str) -> (Simulator, DemoAccount) {
    let account =
        Account::new(HOME).region(IRELAND, Tables::new().generated(2)).role(Role::new("Crawler").trusts(HOME));
    let access = account.access("home");
    let root = OrganizationalUnit::new("r-main").account(Member::new(HOME).name(name));
    (simulate(Estate::new([account]).organization(Organization::new(HOME).root(root))), access)
}

fn organization(more: &str) -> String {
    let crawl = UNLIMITED.replacen("[crawl]\n", "[crawl]\noutput = \"out-{run_id}.jsonl\"\n", 1);
    format!(
        "{crawl}[state]\npath = \"s.db\"\n[changes]\nemit = \"both\"\n[[target]]\nname = \"org\"\n\
         organizations = true\nregions = [\"{IRELAND}\"]\n\
         assume_role = [{{ arn = \"arn:{{partition}}:iam::{{account}}:role/Crawler\" }}]\n{more}"
    )
}

#[test]
fn a_renamed_account_is_not_a_change() {
    let place = tempfile::tempdir().expect("a directory");
    let mut found: Vec<Vec<Value>> = Vec::new();
    for name in ["payments", "payments-eu"] {
        let (sim, access) = named(name);
        let command = everything_at(Dynacrawl::crawl().in_directory(place.path()), &sim.url()).keys(&access);
        let ended = command.config(&organization("")).run();
        assert_eq!(ended.code(), 0, "{}", ended.stderr);
        let files = fs::read_dir(place.path()).expect("a directory").filter_map(Result::ok).map(|file| file.path());
        let newest = files.filter(|path| path.extension().is_some_and(|end| end == "jsonl")).max().expect("a file");
        found.push(contract::lines(&fs::read_to_string(newest).expect("text")));
    }
    for (records, name) in found.iter().zip(["payments", "payments-eu"]) {
        let of_scope: Vec<_> = records.iter().filter(|record| record["scope"].is_object()).collect();
        assert!(of_scope.len() > 2 && of_scope.iter().all(|record| record["account_name"] == name), "{of_scope:?}");
        assert!(of_scope.iter().all(|record| record["scope"].as_object().is_some_and(|scope| scope.len() == 3)));
        let discovered = records.iter().find(|record| record["type"] == "accounts_discovered").expect("one");
        assert_eq!(discovered["accounts"][0]["name"], name);
    }
    let changes = |records: &[Value]| records.iter().filter(|record| record["type"] == "table_added").count();
    assert_eq!((changes(&found[0]), changes(&found[1])), (2, 0));
    let counts = &found[1].last().expect("the end")["change_counts"];
    assert_eq!(counts, &json!({"added": 0, "changed": 0, "recreated": 0, "removed": 0, "unselected": 0, "held": 0}));
}

#[test]
fn an_organization_without_accounts_is_a_failure() {
    let (sim, access) = named("payments");
    let config = organization(&format!("exclude_accounts = [\"{HOME}\"]\n"));
    let run = |command: &str| everything_at(Dynacrawl::new(command), &sim.url()).keys(&access).config(&config);
    let check = run("check").run();
    assert_eq!(check.code(), 4, "{}", check.stdout);
    assert!(check.stdout.contains("FAIL organization") && check.stdout.contains("0 accounts to crawl of 1"));
    let crawled = run("crawl").args(["--output", "-", "--emit", "snapshot"]);
    let crawled = with_failed_targets(crawled, 1);
    assert_eq!((crawled.code, failure(&crawled, "org").1), (4, "no_accounts"));
}
