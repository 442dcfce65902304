//! The examples in the documentation are what the program prints. `BLESS=1` writes them anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use dynacrawl_model::{Record, RecordKind};
use dynacrawl_sim::{
    Account, DemoAccount, Denial, Estate, Index, Member, Operation, Organization, OrganizationalUnit, Role, Simulator,
    TableBuilder, Tables,
};
use serde_json::{Value, json};

use crate::command::Dynacrawl;
use crate::daemon::Place;
use crate::organization::everything_at;
use crate::support::{COMMANDS, HOME, IRELAND, VIRGINIA, ireland, simulate};

const MEMBER: &str = "444455556666";
const RUN: &str = "01KC8Z4M6R9T2V5X7Y0B3D6F8H";

fn generated() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/generated")
}

/// Compares the examples with the committed files, or writes them.
#[track_caller]
fn are_in_the_book(examples: &BTreeMap<String, String>) {
    let bless = std::env::var_os("BLESS").is_some();
    for (name, text) in examples {
        let path = generated().join(name);
        if bless {
            fs::create_dir_all(generated()).expect("a directory");
            fs::write(&path, text).expect("written");
        }
        let there = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            &there, text,
            "docs/reference/generated/{name} is not what dynacrawl prints; BLESS=1 writes it anew"
        );
    }
}

/// A record whose ids, times and durations are the same in each run.
fn settled(mut record: Value) -> Value {
    fn walk(key: &str, value: &mut Value) {
        match value {
            Value::Object(members) => members.iter_mut().for_each(|(key, value)| walk(key, value)),
            Value::Array(elements) => elements.iter_mut().for_each(|element| walk(key, element)),
            Value::String(text) => {
                if let Some(settled) = settled_text(key, text) {
                    *text = settled;
                }
            }
            Value::Number(_) if key == "duration_ms" => *value = json!(1_517),
            Value::Number(_) if key == "reached" => *value = json!(5),
            _ => {}
        }
    }
    fn settled_text(key: &str, text: &str) -> Option<String> {
        let is_time = text.len() == 24 && text.ends_with('Z') && text.as_bytes()[10] == b'T';
        Some(match key {
            "run_id" => RUN.to_owned(),
            "fingerprint" => "3:71d66904e7564720ba4a0c2289c4f9ef".to_owned(),
            "fingerprint_before" => "3:b7c8796f613d4930f6aa1cb65d81689e".to_owned(),
            "config_digest" => "5a3f51487b20efe775b40b9be8c29902".to_owned(),
            "last_seen_at" | "last_complete_at" if is_time => "2026-01-30T03:17:09.215Z".to_owned(),
            "started_at" | "ended_at" | "observed_at" if is_time => "2026-01-31T03:17:08.904Z".to_owned(),
            _ => return None,
        })
    }
    walk("", &mut record);
    record
}

/// Text whose ids, times and durations are the same in each run.
fn settled_words(text: &str) -> String {
    let mut settled = String::new();
    let is_ulid =
        |word: &str| word.len() == 26 && word.starts_with("01") && word.bytes().all(|b| b.is_ascii_alphanumeric());
    for line in text.lines() {
        let mut line = line.to_owned();
        let words: Vec<String> = line.split(|c: char| !c.is_ascii_alphanumeric()).map(str::to_owned).collect();
        for ulid in words.iter().filter(|word| is_ulid(word)) {
            line = line.replace(ulid.as_str(), RUN);
        }
        // "2026-11-28 12:27"
        let times: Vec<String> = (0..line.len())
            .filter_map(|at| line.get(at..at + 16))
            .filter(|time| {
                let shape = time.bytes().map(|b| if b.is_ascii_digit() { b'0' } else { b }).collect::<Vec<_>>();
                shape == b"0000-00-00 00:00"
            })
            .map(str::to_owned)
            .collect();
        for time in times {
            line = line.replace(&time, "2026-01-31 03:17");
        }
        // The seconds of a run, in a column.
        let seconds = line.split_whitespace().nth(2).filter(|word| word.parse::<f64>().is_ok() && word.contains('.'));
        if let Some(seconds) = seconds.map(str::to_owned) {
            line = line.replacen(&format!(" {seconds} "), " 1.5 ", 1);
        }
        if let Some((before, _)) = line.split_once(" requests, ") {
            line = format!("{before} requests, 1.5 s");
            // How often a throttled call is sent depends on the time.
            if let Some((before, _)) = line.clone().rsplit_once("; ") {
                line = format!("{before}; 224 requests, 1.5 s");
            }
        }
        settled.push_str(&line);
        settled.push('\n');
    }
    settled
}

/// An organization of two accounts, each with the tables of a shop.
fn shop() -> (Simulator, DemoAccount) {
    let tables = |account: &str, region: &str| {
        let orders = TableBuilder::new(account, region, "orders")
            .hash("customer_id", "S")
            .range("placed_at", "N")
            .attribute("status", "S")
            .gsi(Index::new("by_status").hash("status").range("placed_at").include(&["currency", "total"]))
            .stream("NEW_AND_OLD_IMAGES")
            .protected();
        let small = |name: &str| TableBuilder::new(account, region, name).hash("id", "S").provisioned(5, 5).build();
        Tables::new()
            .table("orders", &orders.build())
            .table("carts", &small("carts"))
            .table("sessions", &small("sessions"))
            .table("audit-log", &small("audit-log"))
            .table("ledger", &small("ledger"))
    };
    let account = |id: &str| {
        Account::new(id)
            .region(IRELAND, tables(id, IRELAND))
            .region(VIRGINIA, Tables::new())
            .role(Role::new("Crawler").trusts(HOME))
    };
    let home = account(HOME);
    let access = home.access("home");
    let named = |id: &str, name: &str| Member::new(id).name(name);
    let root = OrganizationalUnit::new("r-main").account(named(HOME, "payments")).account(named(MEMBER, "analytics"));
    let estate = Estate::new([home, account(MEMBER)]).organization(Organization::new(HOME).root(root));
    (simulate(estate), access)
}

fn target(more: &str) -> String {
    format!(
        "[state]\npath = \"state.db\"\n[changes]\nemit = \"both\"\n[crawl]\noutput = \"run-{{run_id}}.jsonl\"\n{more}\
         [[target]]\nname = \"organization\"\norganizations = true\n\
         assume_role = [{{ arn = \"arn:{{partition}}:iam::{{account}}:role/Crawler\" }}]\n"
    )
}

fn records(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// An example of each record type, and what the commands show of the state after two runs.
#[test]
fn examples_of_records_and_reports_are_what_is_printed() {
    let (sim, access) = shop();
    let home = tempfile::tempdir().expect("a directory");
    let run = |subcommand: &str, config: &str, args: &[&str]| {
        fs::write(home.path().join("shop.toml"), config).expect("written");
        let command = Dynacrawl::new(subcommand).in_directory(home.path());
        let command = if subcommand == "crawl" { everything_at(command, &sim.url()).keys(&access) } else { command };
        command.env("COLUMNS", "80").args(["--config", "shop.toml"]).args(args).run()
    };
    let output = || {
        let mut files: Vec<_> = fs::read_dir(home.path()).expect("a directory").filter_map(Result::ok).collect();
        files.retain(|file| file.path().extension().is_some_and(|end| end == "jsonl"));
        let newest = files.into_iter().map(|file| file.path()).max().expect("a file");
        records(&fs::read_to_string(newest).expect("text"))
    };
    let all = format!("{}regions = \"all\"\n", target(""));
    let first = run("crawl", &all, &[]);
    assert_eq!(first.code(), 0, "{}", first.stderr);
    let mut found = output();

    sim.update_table(HOME, IRELAND, "orders", |table| {
        table["DeletionProtectionEnabled"] = json!(false);
        table["GlobalSecondaryIndexes"][0]["Projection"] = json!({"ProjectionType": "ALL"});
    })
    .expect("a scope");
    sim.recreate_table(HOME, IRELAND, "sessions").expect("a scope");
    sim.remove_table(HOME, IRELAND, "carts").expect("a scope");
    sim.deny(Denial::new(HOME, Operation::DescribeTable).table("ledger"));
    let less = format!(
        "{}regions = [\"{IRELAND}\"]\ninclude_accounts = [\"{HOME}\", \"{MEMBER}\", \"999999999999\"]\n",
        target("exclude = [\"audit-.*\"]\n")
    );
    let second = run("crawl", &less, &["--accept-removals", &format!("{HOME}/{IRELAND}")]);
    assert_eq!(second.code(), 3, "{}", second.stderr);
    found.extend(output());
    let apart = "[crawl]\noutput = \"apart-{run_id}.jsonl\"\n";
    for more in [&["--layout", "entities"][..], &["--dry-run"]] {
        let keyed = everything_at(Dynacrawl::crawl(), &sim.url()).keys(&access).config(apart);
        let written = keyed.args(["--region", IRELAND, "--output", "-"]).args(more).run();
        found.extend(records(&written.stdout));
    }

    let mut examples = BTreeMap::new();
    for kind in RecordKind::ALL {
        // The one that has most to show.
        let of_kind =
            found.iter().filter(|record| record["type"] == kind.as_str() && record["account_name"] != "analytics");
        let score = |record: &&Value| {
            let is_orders = record.to_string().contains("orders") && record["table"].is_object();
            (is_orders, record["problems"].as_array().map_or(0, Vec::len), record["index_name"].is_string())
        };
        let example = of_kind.max_by_key(score).unwrap_or_else(|| panic!("no {}", kind.as_str()));
        let text = serde_json::to_string_pretty(&in_order(settled(example.clone()))).expect("JSON");
        examples.insert(format!("record-{}.json", kind.as_str()), format!("{text}\n"));
    }
    examples.insert("crawl.txt".to_owned(), settled_words(&second.stderr));
    for (command, args) in
        [("status", &[][..]), ("runs", &[]), ("tables", &["o*"]), ("changes", &["--account", HOME, "o*"])]
    {
        let shown = run(command, &less, args);
        assert_eq!((shown.code(), shown.stderr.as_str()), (0, ""));
        let lines = settled_words(&shown.stdout);
        assert!(lines.lines().all(|line| line.chars().count() <= 80), "{lines}");
        examples.insert(format!("{command}.txt"), lines);
    }
    let state = rusqlite::Connection::open(home.path().join("state.db")).expect("the state");
    let sql =
        "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY type DESC, name";
    let tables: Vec<String> =
        state.prepare(sql).and_then(|mut all| all.query_map([], |row| row.get(0))?.collect()).expect("the tables");
    examples.insert("state-tables.sql".to_owned(), tables.iter().map(|sql| format!("{sql};\n")).collect());
    are_in_the_book(&examples);
}

/// serde_json keeps the order of members only as text. The record's own order is that of the line.
fn in_order(record: Value) -> Record {
    serde_json::from_value(record).expect("a record")
}

#[test]
fn examples_of_help_and_of_the_demo_are_what_is_printed() {
    let mut examples = BTreeMap::new();
    let help = |command: Dynacrawl| command.run().succeeded();
    examples.insert("help-dynacrawl.txt".to_owned(), help(Dynacrawl::new("--help")));
    for command in COMMANDS {
        examples.insert(format!("help-{command}.txt"), help(Dynacrawl::new(command).arg("--help")));
    }
    let demo = Dynacrawl::crawl().args(["--demo", "--output", "tables.jsonl"]).run();
    examples.insert("crawl-demo.txt".to_owned(), settled_words(&demo.stderr));
    let faults = Dynacrawl::crawl().args(["--demo-faults", "--output", "tables.jsonl"]).run();
    examples.insert("crawl-demo-faults.txt".to_owned(), settled_words(&faults.stderr));
    let check = Dynacrawl::new("check").arg("--demo-faults").run();
    examples.insert("check.txt".to_owned(), settled_words(&check.stdout));
    are_in_the_book(&examples);
}

/// What alerts and the dashboard may use.
const LISTED: &str = include_str!("../deploy/metrics.txt");

#[test]
fn the_list_of_metrics_is_what_the_daemon_serves() {
    let (sim, home) = ireland(3);
    let mut place = Place::new();
    place.rest += &format!("[sink.audit.file]\npath = \"{}\"\n", place.path("events.jsonl").display());
    place.rest += &crate::daemon::schedule("nightly", "17 3 * * *");
    let daemon = place.daemon(&sim, &home);
    daemon.crawl("{}");
    crate::support::eventually("the sink has everything", || {
        daemon.metrics().families.contains_key("dynacrawl_sink_events_total")
    });
    let page = daemon.metrics();
    let mut text = String::new();
    for (name, family) in page.families.iter().filter(|(name, _)| name.starts_with("dynacrawl_")) {
        let listed = LISTED.lines().find_map(|line| line.strip_prefix(name.as_str())?.strip_prefix(' '));
        let listed = listed.unwrap_or_else(|| panic!("tests/deploy/metrics.txt does not list {name}"));
        let labels = listed.split_whitespace().skip(1).map(|label| label.split('=').next().unwrap_or(label));
        let labels: Vec<_> = labels.collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        text.push_str(&format!(
            "{name}{labels}\n    {}: {}\n",
            family.kind,
            family.help.as_deref().unwrap_or_default()
        ));
    }
    are_in_the_book(&BTreeMap::from([("metrics.txt".to_owned(), text)]));
}

/// The reference names every environment variable and every key of the configuration.
#[test]
fn the_reference_names_every_environment_variable() {
    let page = fs::read_to_string(generated().join("../configuration.md")).expect("the reference");
    let mut missing = BTreeSet::new();
    for entry in fs::read_dir(generated()).expect("the examples").filter_map(Result::ok) {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        for (_, rest) in text.match_indices("[env: ").map(|(at, found)| (at, &text[at + found.len()..])) {
            let name = rest.split([']', '=']).next().unwrap_or_default().trim();
            if name.starts_with("DYNACRAWL_") && !page.contains(name) {
                missing.insert(name.to_owned());
            }
        }
    }
    assert!(missing.is_empty(), "docs/reference/configuration.md does not name {missing:?}");
}

fn page(name: &str) -> String {
    fs::read_to_string(generated().join("..").join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn the_reference_names_every_exit_code() {
    let (reference, manual) = (page("exit-codes.md"), Dynacrawl::new("man").run().succeeded());
    let status = manual.split_once(".SH \"EXIT STATUS\"").expect("the section").1;
    for code in ["0", "2", "3", "4", "5", "130"] {
        assert!(status.contains(&format!(".TP\n{code}\n")), "{code} is not in the manual page");
        assert!(reference.contains(&format!("| {code} |")) || reference.contains(&format!("| `{code}` |")), "{code}");
    }
    for section in ["EXAMPLES", "FILES", "ENVIRONMENT"] {
        assert!(manual.contains(&format!(".SH {section}\n")), "{section}");
    }
}

#[test]
fn the_daemon_answers_every_path_of_the_reference() {
    let (sim, home) = ireland(1);
    let daemon = Place::new().daemon(&sim, &home);
    let reference = page("http.md");
    let mut paths = BTreeSet::new();
    for method in ["GET", "POST"] {
        for (_, rest) in reference.match_indices(&format!("`{method} /")).map(|(at, _)| (at, &reference[at + 1..])) {
            let request = rest.split('`').next().expect("a request");
            paths.insert(request.split_once(' ').expect("a method and a path"));
        }
    }
    assert!(paths.len() >= 4, "{paths:?}");
    for (method, path) in paths {
        let answer = daemon.ask(method, path, &[], "");
        assert!(![404, 405].contains(&answer.status), "{method} {path}: {}", answer.status);
    }
}
