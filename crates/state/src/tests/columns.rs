//! Any text in the JSON columns of a state, as after a fault of the disk or of another program, is
//! read as a value or is an error.

use proptest::prelude::*;

use super::{ScopeProgress, State, TargetRow, commit, ended, new_run, open, scope};
use crate::{ChangeQuery, Reader, TableQuery};

/// Every column that holds JSON or one of dynacrawl's words.
const COLUMNS: [(&str, &str); 12] = [
    ("runs", "targets"),
    ("runs", "accepted"),
    ("runs", "completed"),
    ("runs", "outcome"),
    ("runs", "run_id"),
    ("run_scopes", "counts"),
    ("run_scopes", "requests"),
    ("run_scopes", "changes"),
    ("run_scopes", "checkpoint"),
    ("run_scopes", "outcome"),
    ("run_targets", "accounts_discovered"),
    ("run_targets", "regions_discovered"),
];

fn text() -> impl Strategy<Value = String> {
    let json = prop_oneof!["[0-9]{1,30}", "-?[0-9]{1,4}\\.[0-9]e[0-9]{1,4}", Just("null".to_owned()), "\"[a-z]{0,8}\""];
    let object = prop::collection::vec(("(listed|selected|described|sent|at)", json), 0..5).prop_map(|members| {
        let members: Vec<String> = members.into_iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", members.join(","))
    });
    prop_oneof![".{0,60}", object, Just("[".repeat(50_000)), Just("{\"a\":".repeat(50_000))]
}

fn read_all(state: &State, reader: &Reader) {
    // Whether it can be read does not matter here.
    let _ = state.unfinished();
    let _ = reader.runs(10);
    let _ = reader.scope_lines(true);
    let _ = reader.tables(&TableQuery { all: true, records: true, ..TableQuery::default() }, |_| true);
    let _ = reader.changes(&ChangeQuery::default(), |_| true);
}

#[test]
fn columns_with_any_text_are_read_without_a_panic() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut state = open(directory.path());
    let run = new_run(0);
    state.begin(&run).expect("begun");
    let walking = scope("one", ScopeProgress::Walking("{}".to_owned()));
    let found =
        TargetRow { target: "one".to_owned(), accounts_discovered: Some("{}".to_owned()), ..TargetRow::default() };
    state.commit(&commit(run.run_id, 1, vec![walking, scope("two", ended())], vec![found])).expect("committed");
    let reader = Reader::open(&directory.path().join("state.db")).expect("a reader");
    state.connection.execute_batch("PRAGMA foreign_keys = OFF").expect("set");
    let config = ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() };
    let property = |(at, text): (usize, String)| {
        let (table, column) = COLUMNS[at];
        state.connection.execute_batch("BEGIN").expect("begun");
        let set = format!("UPDATE {table} SET {column} = ? WHERE rowid IS NOT NULL");
        let set = if table == "runs" { set } else { format!("UPDATE {table} SET {column} = ?") };
        let done = state.connection.execute(&set, [&text]);
        read_all(&state, &reader);
        state.connection.execute_batch("ROLLBACK").expect("rolled back");
        prop_assert!(done.is_ok(), "{done:?}");
        Ok(())
    };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    runner.run(&(0..COLUMNS.len(), text()), property).expect("no panic");
}
