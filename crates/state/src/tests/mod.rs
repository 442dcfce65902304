use std::path::Path;
use std::time::Duration;

use dynacrawl_model::{Counts, Outcome, Requests, RunId, RunOutcome, Timestamp};
use rusqlite::Connection;

use super::{Commit, EndedScope, NewRun, ScopeProgress, ScopeRow, State, StateError, TargetRow};

mod columns;
mod known;
mod trust;
mod upgrade;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + millis).expect("a time")
}

fn new_run(started: i64) -> NewRun {
    NewRun {
        keeps_files: false,
        run_id: RunId::generate(),
        version: "0.1.0".to_owned(),
        config_digest: "digest".to_owned(),
        started_at: at(started),
        output: "-".to_owned(),
        output_template: "-".to_owned(),
        output_format: 1,
        keep: Duration::from_secs(3600),
        schedule: None,
        only: None,
        accepted: Vec::new(),
        is_replaced: true,
    }
}

fn scope(target: &str, progress: ScopeProgress) -> ScopeRow {
    ScopeRow {
        target: target.to_owned(),
        region: "eu-west-1".parse().expect("a Region"),
        partition: "aws".into(),
        account_id: "123456789012".parse().ok(),
        account_name: None,
        progress,
    }
}

fn ended() -> ScopeProgress {
    let counts = Counts { listed: 3, selected: 3, described: 3, ..Counts::default() };
    ScopeProgress::Ended(EndedScope {
        outcome: Outcome::IncompleteListing,
        counts,
        requests: Requests::default(),
        changes: None,
        listed_a_page: true,
        problems: Vec::new(),
    })
}

fn commit(run_id: RunId, offset: u64, scopes: Vec<ScopeRow>, targets: Vec<TargetRow>) -> Commit {
    Commit {
        run_id,
        at: at(5),
        active_ms: 5,
        output_offset: offset,
        output_lines: 2,
        scopes,
        targets,
        staged: Vec::new(),
        ends: Vec::new(),
    }
}

fn open(directory: &Path) -> State {
    State::open(&directory.join("state.db")).expect("a state")
}

#[test]
fn what_was_committed_survives_a_kill() {
    let directory = tempfile::tempdir().expect("a directory");
    let run = new_run(0);
    let walking = scope("one", ScopeProgress::Walking("{\"a\":1}".to_owned()));
    let found =
        TargetRow { target: "one".to_owned(), regions_discovered: Some("{}".to_owned()), ..TargetRow::default() };
    {
        let mut state = open(directory.path());
        assert!(state.unfinished().expect("read").is_none());
        state.begin(&run).expect("begun");
        state.commit(&commit(run.run_id, 70, vec![walking.clone()], vec![found.clone()])).expect("committed");
        let failed = TargetRow { target: "one".to_owned(), failed: true, ..TargetRow::default() };
        state.commit(&commit(run.run_id, 90, vec![scope("two", ended())], vec![failed])).expect("committed");
    }
    let there = open(directory.path()).unfinished().expect("read").expect("a run");
    assert_eq!((there.run_id, there.output_offset, there.output_lines, there.active_ms), (run.run_id, 90, 2, 5));
    assert_eq!((there.config_digest.as_str(), there.output.as_str(), there.updated_at), ("digest", "-", at(5)));
    assert_eq!(there.scopes, [walking, scope("two", ended())]);
    assert_eq!(there.targets, [TargetRow { failed: true, ..found }]);
}

#[test]
fn ended_and_abandoned_runs_are_not_resumed() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut state = open(directory.path());
    let (first, second) = (new_run(0), new_run(1));
    state.begin(&first).expect("begun");
    let walking = scope("one", ScopeProgress::Walking("{}".to_owned()));
    state.commit(&commit(first.run_id, 0, vec![walking], Vec::new())).expect("committed");
    state.begin(&second).expect("begun");
    assert_eq!(state.unfinished().expect("read").expect("a run").run_id, second.run_id);
    state.give_up(second.run_id, at(9), RunOutcome::Partial).expect("ended");
    assert!(state.unfinished().expect("read").is_none(), "the first one was given up");
    let outcomes: Vec<String> = state
        .connection
        .prepare("SELECT outcome FROM runs ORDER BY started_at")
        .and_then(|mut select| select.query_map([], |row| row.get(0))?.collect())
        .expect("outcomes");
    assert_eq!(outcomes, ["abandoned", "partial"]);
}

#[test]
fn the_clock_does_not_decide_which_run_is_the_last() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut state = open(directory.path());
    let (ahead, last) = (new_run(1_000_000), new_run(0));
    state.begin(&ahead).expect("begun");
    state.begin(&last).expect("begun");
    assert_eq!(state.unfinished().expect("read").expect("a run").run_id, last.run_id);
    let of_no_run = commit(RunId::generate(), 0, Vec::new(), Vec::new());
    assert!(state.commit(&of_no_run).is_err(), "of a run that never began");
}

#[test]
fn a_kill_during_creation_leaves_a_usable_state() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("state.db");
    // SQLite writes the first page when the journal mode is set.
    Connection::open(&path).and_then(|new| new.execute_batch("PRAGMA journal_mode = WAL")).expect("a database");
    open(directory.path()).begin(&new_run(0)).expect("begun");
}

#[test]
fn only_the_last_30_runs_keep_their_scopes() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut state = open(directory.path());
    for number in 0..40 {
        let run = new_run(number);
        state.begin(&run).expect("begun");
        state.commit(&commit(run.run_id, 0, vec![scope("one", ended())], Vec::new())).expect("committed");
        state.give_up(run.run_id, at(number), RunOutcome::Complete).expect("ended");
    }
    let count = |table: &str| -> i64 {
        let count = format!("SELECT count(*) FROM {table}");
        state.connection.query_row(&count, [], |row| row.get(0)).expect("a count")
    };
    assert_eq!((count("runs"), count("run_scopes")), (40, 30));
}

#[test]
fn one_process_writes_and_others_read() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut state = open(directory.path());
    let path = directory.path().join("state.db");
    assert!(matches!(State::open(&path), Err(StateError::Busy { .. })));
    state.begin(&new_run(0)).expect("begun");
    let reader = Connection::open(&path).expect("a reader");
    let runs: i64 = reader.query_row("SELECT count(*) FROM runs", [], |row| row.get(0)).expect("a count");
    assert_eq!(runs, 1);
}

#[test]
fn foreign_and_newer_files_are_refused_and_left_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("other.db");
    Connection::open(&path).and_then(|other| other.execute_batch("CREATE TABLE theirs (a)")).expect("another's");
    assert!(matches!(State::open(&path), Err(StateError::Foreign { .. })));

    let path = directory.path().join("text");
    std::fs::write(&path, "this is not a database, but a text file with another purpose\n").expect("written");
    assert!(matches!(State::open(&path), Err(StateError::Database { .. })));
    assert!(std::fs::read_to_string(&path).expect("read").starts_with("this is"));

    drop(open(directory.path()));
    let path = directory.path().join("state.db");
    Connection::open(&path).and_then(|newer| newer.pragma_update(None, "user_version", 99)).expect("newer");
    let refused = State::open(&path).expect_err("newer").to_string();
    assert!(refused.contains("version 99") && refused.contains("use a newer one"), "{refused}");
}
