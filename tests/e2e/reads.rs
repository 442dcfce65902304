//! `dynacrawl status`, `runs`, `tables` and `changes` read a state, also while it is written.

use std::fs;
use std::time::Duration;

use dynacrawl_sim::{Account, DemoAccount, Effect, Estate, FaultRule, Operation, Simulator, Tables, fixtures};
use serde_json::Value;

use crate::command::Dynacrawl;
use crate::contract;
use crate::daemon::{Place, keyed, names, number, target};
use crate::support::{HOME, IRELAND, VIRGINIA, eventually, ireland, simulate};

fn crawl(place: &Place, sim: &Simulator, home: &DemoAccount) -> Dynacrawl {
    keyed(Dynacrawl::crawl().config(&place.config()), sim, home)
}

/// The output of a command that reads the place's state.
#[track_caller]
fn output(place: &Place, command: &str, args: &[&str]) -> String {
    let ended = Dynacrawl::new(command).arg("--state").arg(place.state()).args(args).run();
    assert_eq!(ended.stderr, "");
    ended.succeeded()
}

/// The output of a command as JSON values.
#[track_caller]
fn values(place: &Place, command: &str, args: &[&str]) -> Vec<Value> {
    let text = output(place, command, &[args, &["--format", "json"]].concat());
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    text.lines().map(parse).collect()
}

#[track_caller]
fn status(place: &Place, args: &[&str]) -> Value {
    let text = output(place, "status", &[args, &["--format", "json"]].concat());
    serde_json::from_str(&text).expect("one value")
}

fn fields(values: &[Value], field: &str) -> Vec<String> {
    values.iter().map(|value| value[field].as_str().unwrap_or_default().to_owned()).collect()
}

/// A state with three tables in Ireland and two in Virginia, and the records of the crawl.
fn known() -> (Simulator, DemoAccount, Place, Vec<Value>) {
    let home = Account::new(HOME).region(IRELAND, Tables::new().generated(3));
    let home = home.region(VIRGINIA, Tables::new().generated(2));
    let access = home.access("home");
    let sim = simulate(Estate::new([home]));
    let mut place = Place::new();
    place.rest = target("home", &[IRELAND, VIRGINIA]);
    assert_eq!(crawl(&place, &sim, &access).run().code(), 0);
    let records = place.records();
    (sim, access, place, records)
}

#[test]
fn a_state_can_be_read_while_it_is_written() {
    let (sim, home) = ireland(120);
    let place = Place::new();
    assert_eq!(crawl(&place, &sim, &home).run().code(), 0);
    for number in 200..290 {
        let name = format!("table-{number:06}");
        sim.put_table(HOME, IRELAND, &name, &fixtures::small_table(&name, HOME, IRELAND)).expect("the Region is there");
    }
    let slow = FaultRule::new(Effect::Delay(Duration::from_secs(600))).operation(Operation::DescribeTable);
    sim.add_fault(slow.table("table-000289"));
    let running = crawl(&place, &sim, &home).args(["--grace", "200ms"]).start();
    eventually("something is staged", || place.has(89, "staged"));
    // Readers do not delay the writer, and do not see what is not settled.
    let now = status(&place, &[]);
    assert_eq!(
        (&now["table_count"], &now["last_run"]["ended_at"], &now["last_run"]["outcome"]),
        (&120.into(), &Value::Null, &Value::Null)
    );
    assert!(output(&place, "status", &[]).contains("not ended"));
    let runs = values(&place, "runs", &[]);
    assert_eq!(
        (runs.len(), &runs[0]["run_id"], &runs[1]["outcome"]),
        (2, &now["last_run"]["run_id"], &"complete".into())
    );
    assert_eq!(values(&place, "tables", &[]).len(), 120);
    assert_eq!(values(&place, "changes", &[]).len(), 120);
    assert_eq!(number(&place.state(), "SELECT count(*) FROM estate WHERE status = 'present'"), Ok(120));
    let reader = rusqlite::Connection::open(place.state()).expect("it is there");
    let reading = reader.unchecked_transaction().expect("a reader");
    let known = |reading: &rusqlite::Transaction<'_>| {
        reading.query_row("SELECT count(*) FROM tables", [], |row| row.get::<_, i64>(0)).expect("read")
    };
    assert_eq!(known(&reading), 120);
    sim.clear_faults();
    running.signal("TERM");
    assert_eq!(running.end().code(), 130);
    let ended = crawl(&place, &sim, &home).run();
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    // A transaction still sees the state at its beginning.
    assert_eq!(known(&reading), 120);
    drop(reading);
    assert_eq!(status(&place, &[])["table_count"], 210);
}

#[test]
fn the_commands_print_what_was_crawled() {
    let (_sim, _home, place, records) = known();
    let run = &records[0]["run_id"];
    let now = status(&place, &[]);
    assert_eq!((&now["last_run"]["run_id"], &now["last_run"]["outcome"]), (run, &"complete".into()));
    assert_eq!((&now["table_count"], &now["held"]), (&5.into(), &0.into()));
    assert_eq!(fields(now["scopes"].as_array().expect("scopes"), "region"), [IRELAND, VIRGINIA]);
    let runs = values(&place, "runs", &[]);
    let mut completed = records.last().expect("a record").clone();
    completed.as_object_mut().expect("an object").remove("type");
    assert_eq!((runs.len(), &runs[0]["completed"]), (1, &completed));
    let tables = values(&place, "tables", &[]);
    assert_eq!(tables.len(), 5);
    for table in &tables {
        let same = |record: &&Value| {
            record["type"] == "table"
                && record["scope"]["region"] == table["region"]
                && record["table"]["name"] == table["table_name"]
        };
        assert_eq!(Some(&table["record"]), records.iter().find(same), "the line that was written");
        contract::lines(&table["record"].to_string());
    }
    let changes = values(&place, "changes", &[]);
    assert_eq!(fields(&changes, "type"), ["table_added"; 5]);
    assert!(changes.iter().all(|change| change["run_id"] == *run && change["change"]["table"].is_null()));
    assert!(changes.is_sorted_by_key(|change| change["change_id"].as_u64()));
    for (command, heads) in
        [("status", "OUTCOME"), ("runs", "SCHEDULE"), ("tables", "CHANGED (UTC)"), ("changes", "FOUND")]
    {
        let text = output(&place, command, &[]);
        assert!(text.contains(heads) && text.lines().all(|line| line == line.trim_end()), "{text}");
    }
    assert_eq!(output(&place, "tables", &[]).lines().filter(|line| line.contains("present")).count(), 5);
}

#[test]
fn queries_can_be_narrowed() {
    let (sim, home, place, _) = known();
    sim.remove_table(HOME, IRELAND, "table-000001").expect("the Region is there");
    assert_eq!(crawl(&place, &sim, &home).run().code(), 0);
    let count = |command: &str, args: &[&str]| values(&place, command, args).len();
    assert_eq!(count("tables", &[]), 4);
    assert_eq!(count("tables", &["--all"]), 5);
    assert_eq!(count("tables", &["--region", VIRGINIA]), 2);
    assert_eq!((count("tables", &["--account", HOME]), count("tables", &["--account", "999999999999"])), (4, 0));
    assert_eq!((count("tables", &["table-*"]), count("tables", &["*2"]), count("tables", &["table"])), (4, 1, 0));
    // SQL's wildcards are no wildcards here, and names are case-sensitive, as in DynamoDB.
    assert_eq!((count("tables", &["table%"]), count("tables", &["TABLE-*"])), (0, 0));
    assert_eq!(count("tables", &["table-00000?"]), 4);
    assert_eq!((count("changes", &[]), count("changes", &["*1"]), count("changes", &["--region", IRELAND])), (6, 3, 4));
    assert_eq!((count("changes", &["--since", "1h"]), count("changes", &["--since", "2099-01-01T00:00:00Z"])), (6, 0));
    assert_eq!((count("runs", &[]), count("runs", &["--limit", "1"])), (2, 1));
    let removed = values(&place, "tables", &["--all", "*1", "--region", IRELAND]);
    assert_eq!((removed.len(), &removed[0]["status"]), (1, &"removed".into()));
}

#[test]
fn a_retired_scope_is_shown_on_request() {
    let (sim, home, mut place, _) = known();
    place.rest = target("home", &[IRELAND]);
    assert_eq!(crawl(&place, &sim, &home).run().code(), 0);
    let regions = |args: &[&str]| fields(status(&place, args)["scopes"].as_array().expect("scopes"), "region");
    assert_eq!(
        (regions(&[]), regions(&["--all"])),
        (vec![IRELAND.to_owned()], vec![IRELAND.to_owned(), VIRGINIA.to_owned()])
    );
    assert!(output(&place, "status", &["--all"]).contains("retired"));
    assert_eq!(values(&place, "tables", &["--all", "--region", VIRGINIA])[0]["status"], "retired");
}

#[test]
fn held_removals_are_shown_with_what_to_do() {
    let (sim, home) = ireland(20);
    let place = Place::new();
    assert_eq!(crawl(&place, &sim, &home).run().code(), 0);
    (0..10).for_each(|n| drop(sim.remove_table(HOME, IRELAND, &format!("table-{n:06}"))));
    assert_eq!(crawl(&place, &sim, &home).run().code(), 3);
    assert_eq!(status(&place, &[])["held"], 10);
    let text = output(&place, "status", &[]);
    assert!(text.contains("10 removals are held") && text.contains("--accept-removals"), "{text}");
}

#[test]
fn names_from_outside_are_escaped_on_the_terminal() {
    let (sim, home) = ireland(1);
    let mut place = Place::new();
    let evil = "evil\u{1b}]0;x\u{7}\u{9b}31m\r\u{202e}";
    let mut table = fixtures::small_table("evil", HOME, IRELAND);
    table["TableName"] = evil.into();
    table["TableArn"] = format!("arn:aws:dynamodb:{IRELAND}:{HOME}:table/{evil}").into();
    sim.put_table(HOME, IRELAND, evil, &table).expect("the Region is there");
    place.rest = target("home\\u001b[31m", &[IRELAND]);
    assert_eq!(crawl(&place, &sim, &home).run().code(), 0);
    place.write("UPDATE runs SET schedule = 'x' || char(27) || '[2J'");
    for command in ["status", "runs", "tables", "changes"] {
        let text = output(&place, command, &[]);
        assert!(
            !text.contains(|c: char| c.is_control() && c != '\n') && !text.contains('\u{202e}'),
            "{command}: {text:?}"
        );
    }
    assert!(
        fields(&values(&place, "tables", &[]), "table_name").contains(&evil.to_owned()),
        "JSON has the original names"
    );
}

#[test]
fn a_state_that_cannot_be_read_is_named() {
    let place = Place::new();
    let read = |command: &str, state: &str| Dynacrawl::new(command).args(["--state", state]).run();
    let foreign = place.path("foreign.db");
    rusqlite::Connection::open(&foreign).and_then(|db| db.execute_batch("CREATE TABLE t (x)")).expect("made");
    fs::write(place.path("text"), "no database\n".repeat(100)).expect("written");
    fs::write(place.path("empty"), "").expect("written");
    for command in ["status", "runs", "tables", "changes"] {
        Dynacrawl::new(command).run().fails_with(2, "state.path (--state)");
        read(command, "/no/such/state.db").fails_with(2, "/no/such/state.db");
        read(command, &foreign.display().to_string()).fails_with(2, "another program's database");
        read(command, &place.path("text").display().to_string()).fails_with(2, "not a database");
        read(command, &place.path("empty").display().to_string()).fails_with(2, "empty");
    }
    assert!(!fs::exists("/no/such").expect("it can be checked"));
    let (_sim, _home, place, _) = known();
    let changes = Dynacrawl::new("changes").arg("--state").arg(place.state()).args(["--since", "yesterday"]).run();
    changes.fails_with(2, "--since: 'yesterday' is not a time; expected 2026-01-31T00:00:00Z");
}

#[test]
fn the_configured_state_is_read_without_the_targets_secrets() {
    let (_sim, _home, place, _) = known();
    let ended = Dynacrawl::new("tables").config(&place.config()).args(["--format", "json"]).run();
    assert_eq!(ended.succeeded().lines().count(), 5);
}

#[test]
fn a_closed_standard_output_is_not_a_failure() {
    let (sim, home) = ireland(1000);
    let place = Place::new();
    assert_eq!(crawl(&place, &sim, &home).run().code(), 0);
    for args in [[].as_slice(), &["--format", "json"]] {
        let mut running = Dynacrawl::new("tables").arg("--state").arg(place.state()).args(args).start();
        running.wait_for_line("table-0000");
        running.close_stdout();
        let ended = running.end();
        assert_eq!((ended.code(), ended.stderr.as_str()), (0, ""));
    }
    assert_eq!(names(&place.records(), "table").len(), 1000);
}
