//! What holds for every state: marks, the deletion of old rows, locks, and readers that pause.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use dynacrawl_model::{Outcome, RunId, RunOutcome};
use rusqlite::Connection;

use super::known::{completed, ended, key, known, names, reader, run, staged, table};
use super::{at, commit, new_run, open, scope};
use crate::{
    ChangeQuery, Commit, FileQuery, NewRun, Purpose, Reader, RunFile, ScopeProgress, ScopeRow, State, StateError,
    TableQuery, TableRow, TableStatus, files,
};

const DAY: i64 = 24 * 3600 * 1000;

fn count(state: &State, rows: &str) -> i64 {
    state.connection.query_row(&format!("SELECT count(*) FROM {rows}"), [], |row| row.get(0)).expect("a count")
}

#[test]
fn a_demo_and_real_runs_never_share_a_state() {
    let directory = tempfile::tempdir().expect("a directory");
    let (demo, real) = (directory.path().join("demo.db"), directory.path().join("state.db"));
    State::open_for(&demo, Purpose::Demo).expect("a new one").begin(&new_run(0)).expect("begun");
    assert!(matches!(State::open(&demo), Err(StateError::Demo { .. })));
    State::open_for(&demo, Purpose::Demo).expect("it is a demo's");

    open(directory.path()).begin(&new_run(0)).expect("begun");
    assert!(matches!(State::open_for(&real, Purpose::Demo), Err(StateError::Real { .. })));
    State::open(&real).expect("as ever");
}

#[test]
fn a_demo_refuses_a_state_of_an_old_version_and_leaves_it_alone() {
    for old in [include_str!("version1.sql"), include_str!("version2.sql")] {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("state.db");
        let version = |state: &Connection| state.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0));
        let before = Connection::open(&path).and_then(|state| {
            state.execute_batch(old)?;
            version(&state)
        });
        assert!(matches!(State::open_for(&path, Purpose::Demo), Err(StateError::Real { .. })));
        assert_eq!(Connection::open(&path).and_then(|state| version(&state)), before, "refused before it was changed");
    }
}

#[test]
fn only_an_old_state_gets_the_notice_about_emit_and_only_once() {
    for old in [include_str!("version1.sql"), include_str!("version2.sql")] {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("state.db");
        Connection::open(&path).and_then(|state| state.execute_batch(old)).expect("an old state");
        assert!(open(directory.path()).take_emit_notice().expect("written"), "also when it was opened before");
        assert!(!open(directory.path()).take_emit_notice().expect("written"), "once");
    }
    let directory = tempfile::tempdir().expect("a directory");
    assert!(!open(directory.path()).take_emit_notice().expect("written"));
}

#[test]
fn a_state_of_version_2_keeps_its_content() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("state.db");
    Connection::open(&path).and_then(|old| old.execute_batch(include_str!("version2.sql"))).expect("an old state");
    let mut state = open(directory.path());
    let unfinished = state.unfinished().expect("read").expect("a run");
    assert_eq!(unfinished.output_template, unfinished.output, "there were no templates");
    assert_eq!(names(&reader(directory.path()), "*"), ["audit-log-dev", "audit-log-staging", "audit-log-staging"]);
    run(&mut state, 5, Outcome::Complete, vec![staged(table("ledger"))]);
    assert_eq!(names(&reader(directory.path()), "ledger"), ["ledger"]);
}

/// Versions up to 2 could leave a scope without its account, with tables that were staged under it.
fn without_account(state: &mut State) -> RunId {
    let streamed = new_run(0);
    state.begin(&streamed).expect("begun");
    let walking = scope("one", ScopeProgress::Walking("{}".to_owned()));
    let of_run = commit(streamed.run_id, 0, vec![walking], Vec::new());
    state.commit(&Commit { staged: vec![staged(table("orders"))], ..of_run }).expect("committed");
    state.connection.execute("UPDATE run_scopes SET account_id = NULL", []).expect("brought into that shape");
    streamed.run_id
}

#[test]
fn a_scope_without_account_is_settled_under_its_tables_account() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut state = open(directory.path());
    let broken = without_account(&mut state);
    state.settle_abandoned(broken, at(9)).expect("settled");
    assert!(state.unfinished().expect("read").is_none());
    let reader = reader(directory.path());
    assert_eq!(names(&reader, "*"), ["orders"]);
    let lines = reader.scope_lines(false).expect("read");
    assert_eq!((lines[0].target.as_str(), lines[0].last_outcome.as_str()), ("one", "cancelled"));
    // The same holds for a run that ends by itself.
    let next = without_account(&mut state);
    state.settle(next, &completed(10)).expect("settled");
    assert_eq!(known(&reader).key, key());
}

#[test]
fn a_commit_never_loses_an_account() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut state = open(directory.path());
    let of = new_run(0);
    state.begin(&of).expect("begun");
    let walking = |account: Option<&str>| ScopeRow {
        account_id: account.map(|id| id.parse().expect("an account")),
        ..scope("one", ScopeProgress::Walking("{}".to_owned()))
    };
    let account = |state: &State| state.unfinished().expect("read").expect("a run").scopes[0].account_id.clone();
    for (next, there) in [(None, None), (Some("123456789012"), Some("123456789012")), (None, Some("123456789012"))] {
        state.commit(&commit(of.run_id, 0, vec![walking(next)], Vec::new())).expect("committed");
        assert_eq!(account(&state).as_ref().map(ToString::to_string).as_deref(), there);
    }
}

/// A complete run that began at that time.
fn run_at(state: &mut State, millis: i64, keep: Duration, found: Vec<crate::Staged>) {
    let run = NewRun { keep, ..new_run(millis) };
    state.begin(&run).expect("begun");
    let of_run = commit(run.run_id, 0, vec![scope("one", ended(Outcome::Complete, 0))], Vec::new());
    state.commit(&Commit { at: at(millis), staged: found, ..of_run }).expect("committed");
    state.settle(run.run_id, &completed(millis)).expect("settled");
}

#[test]
fn old_rows_are_deleted_but_present_tables_never() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut state = open(directory.path());
    let keep = Duration::from_millis(u64::try_from(10 * DAY).expect("a time"));
    let gone = TableRow { status: TableStatus::Removed, ..table("gone") };
    run_at(&mut state, 0, keep, vec![staged(table("orders")), staged(gone)]);
    run_at(&mut state, 9 * DAY, keep, Vec::new());
    let rows = |state: &State| ["tables", "records", "changes", "runs"].map(|rows| count(state, rows));
    assert_eq!(rows(&state), [2, 2, 2, 2]);
    run_at(&mut state, 11 * DAY, keep, Vec::new());
    assert_eq!(rows(&state), [1, 1, 0, 2], "the same rule applies to runs and changes");
}

#[test]
fn an_excluded_table_is_kept_as_long_as_it_is_listed() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut state = open(directory.path());
    let keep = Duration::from_millis(u64::try_from(10 * DAY).expect("a time"));
    let unselected =
        |name: &str, last_seen_at| TableRow { status: TableStatus::Unselected, last_seen_at, ..table(name) };
    run_at(
        &mut state,
        0,
        keep,
        vec![staged(unselected("listed", None)), staged(unselected("lost", Some(at(5 * DAY))))],
    );
    run_at(&mut state, 14 * DAY, keep, Vec::new());
    assert_eq!(count(&state, "tables"), 2, "the other one was listed nine days ago");
    run_at(&mut state, 16 * DAY, keep, Vec::new());
    assert_eq!(count(&state, "tables"), 1);
    run_at(&mut state, 40 * DAY, keep, Vec::new());
    assert_eq!(count(&state, "tables"), 1);
}

#[test]
fn a_run_whose_file_is_still_to_be_deleted_is_kept() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut state = open(directory.path());
    let keep = Duration::from_millis(u64::try_from(10 * DAY).expect("a time"));
    let asked = FileQuery { template: "/data/{run_id}.jsonl".to_owned(), schedule: None };
    for week in 0..5 {
        let run = NewRun {
            keep,
            keeps_files: true,
            output: format!("/data/{week}.jsonl"),
            output_template: asked.template.clone(),
            is_replaced: true,
            ..new_run(week * 7 * DAY)
        };
        state.begin(&run).expect("begun");
        state.settle(run.run_id, &completed(week * 7 * DAY)).expect("settled");
    }
    let old = state.old_files(&asked, 3).expect("read");
    assert_eq!(
        old.iter().map(|file| file.path.display().to_string()).collect::<Vec<_>>(),
        ["/data/0.jsonl", "/data/1.jsonl"]
    );
    state.files_are_deleted(&old).expect("marked");
    run_at(&mut state, 5 * 7 * DAY, keep, Vec::new());
    assert!(count(&state, "runs") < 5, "runs with deleted files are deleted, and without keep_files all old ones");
}

#[test]
fn more_than_a_thousand_runs_are_kept_as_long_as_their_changes() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut state = open(directory.path());
    for number in 0..1_020 {
        let run = new_run(number);
        state.begin(&run).expect("begun");
        state.give_up(run.run_id, at(number), RunOutcome::Failed).expect("ended");
    }
    assert_eq!(count(&state, "runs"), 1_020);
}

#[test]
fn a_clock_that_is_far_ahead_does_not_delete_the_history() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut state = open(directory.path());
    let keep = Duration::from_millis(u64::try_from(365 * DAY).expect("a time"));
    let gone = TableRow { status: TableStatus::Removed, ..table("gone") };
    run_at(&mut state, 0, keep, vec![staged(table("orders")), staged(gone)]);
    let ten_years = 3650 * DAY;
    for hour in 0..48 {
        run_at(&mut state, ten_years + hour * DAY / 24, keep, Vec::new());
    }
    let rows =
        |state: &State| ["tables", "changes", "runs WHERE started_at < 1800000000000"].map(|rows| count(state, rows));
    assert_eq!(rows(&state), [2, 2, 1]);
    // The clock is right again, and once at 1970: only what is really old is deleted.
    run_at(&mut state, 3 * DAY, keep, Vec::new());
    run_at(&mut state, -1_690_000_000_000, keep, Vec::new());
    for day in (4..364).step_by(20) {
        run_at(&mut state, day * DAY, keep, Vec::new());
    }
    assert_eq!(rows(&state)[..2], [2, 2]);
    for day in (370..450).step_by(20) {
        run_at(&mut state, day * DAY, keep, Vec::new());
    }
    assert_eq!(rows(&state)[..2], [1, 0]);
}

#[test]
fn new_files_have_mode_0600_and_existing_ones_keep_theirs() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("state.db");
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    let mut state = open(directory.path());
    run(&mut state, 0, Outcome::Complete, vec![staged(table("orders"))]);
    let there: Vec<_> = files(&path).into_iter().filter(|file| file.exists()).collect();
    assert_eq!(there.len(), 4, "{there:?}");
    assert!(there.iter().all(|file| mode(file) == 0o600), "{there:?}");
    drop(state);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("changed");
    let _state = open(directory.path());
    assert_eq!(mode(&path), 0o640);
}

#[test]
fn a_run_truncates_the_log_even_while_a_reader_is_paused() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut state = open(directory.path());
    let many = |from: usize| (from..from + 700).map(|number| staged(table(&format!("t{number:05}")))).collect();
    run(&mut state, 0, Outcome::Complete, many(0));
    let log = || fs::metadata(directory.path().join("state.db-wal")).expect("it is there").len();
    assert_eq!(log(), 0);
    let reader = reader(directory.path());
    let mut seen = 0;
    let each = |_| {
        // Paused in the middle of a page.
        if seen == 10 || seen == 450 {
            run(&mut state, seen, Outcome::Complete, many(700));
            assert_eq!(log(), 0, "the reader holds nothing");
        }
        seen += 1;
        true
    };
    reader.tables(&TableQuery::default(), each).expect("read");
    assert_eq!(seen, 1_400, "tables that were added meanwhile are on a later page");
    let mut changes = Vec::new();
    let each = |change: crate::ChangeLine| {
        if changes.len() == 10 {
            run(&mut state, 1_000, Outcome::Complete, vec![staged(table("late"))]);
            assert_eq!(log(), 0, "the reader holds nothing");
        }
        changes.push(change.change_id);
        true
    };
    reader.changes(&ChangeQuery::default(), each).expect("read");
    assert!(changes.is_sorted() && changes.len() == 2_101, "{}", changes.len());
}

#[test]
fn old_files_are_those_beyond_the_number_to_keep() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut state = open(directory.path());
    let write = |state: &mut State, number: i64, schedule: Option<&str>, outcome: RunOutcome| {
        let run = NewRun {
            output: format!("/data/{number}.jsonl"),
            output_template: "/data/{run_id}.jsonl".to_owned(),
            schedule: schedule.map(str::to_owned),
            ..new_run(number)
        };
        state.begin(&run).expect("begun");
        match outcome {
            RunOutcome::Failed => state.give_up(run.run_id, at(number), outcome).expect("ended"),
            _ => state.settle(run.run_id, &completed(number)).expect("ended"),
        }
        RunFile { run_id: run.run_id.to_string(), path: format!("/data/{number}.jsonl").into(), may_be_empty: true }
    };
    let first = write(&mut state, 0, Some("nightly"), RunOutcome::Complete);
    let failed = write(&mut state, 1, Some("nightly"), RunOutcome::Failed);
    let second = write(&mut state, 2, None, RunOutcome::Complete);
    write(&mut state, 3, Some("nightly"), RunOutcome::Complete);
    let asked = FileQuery { template: "/data/{run_id}.jsonl".to_owned(), schedule: None };
    let old = |state: &State, asked: &FileQuery, keep| state.old_files(asked, keep).expect("read");
    assert_eq!(old(&state, &asked, 3), []);
    assert_eq!(old(&state, &asked, 2), [first.clone(), failed.clone()], "failed runs do not count");
    assert_eq!(old(&state, &asked, 1), [first.clone(), failed.clone(), second]);
    let nightly = FileQuery { schedule: Some(Some("nightly".to_owned())), ..asked.clone() };
    assert_eq!(old(&state, &nightly, 1), [first.clone(), failed.clone()]);
    assert_eq!(old(&state, &FileQuery { schedule: Some(None), ..asked.clone() }, 1), []);
    assert_eq!(old(&state, &FileQuery { template: "/data/x.jsonl".to_owned(), schedule: None }, 1), []);
    state.files_are_deleted(&[first]).expect("written");
    assert_eq!(old(&state, &asked, 2), [failed]);

    // Two runs of one day write the same file.
    for number in [10, 11] {
        let run = NewRun {
            output: "/data/today.jsonl".to_owned(),
            output_template: "/data/{date}.jsonl".to_owned(),
            ..new_run(number)
        };
        state.begin(&run).expect("begun");
        state.settle(run.run_id, &completed(number)).expect("ended");
    }
    let asked = FileQuery { template: "/data/{date}.jsonl".to_owned(), schedule: None };
    assert_eq!(old(&state, &asked, 1).iter().map(|file| file.may_be_empty).collect::<Vec<_>>(), [false]);
}

#[test]
fn removing_the_lock_file_does_not_admit_a_second_writer() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("state.db");
    let mut state = open(directory.path());
    fs::remove_file(directory.path().join("state.db.lock")).expect("it is there");
    assert!(matches!(State::open(&path), Err(StateError::Busy { .. })));
    run(&mut state, 0, Outcome::Complete, vec![staged(table("orders"))]);
    drop(state);
    open(directory.path());
}

#[test]
fn only_a_regular_file_can_be_a_state() {
    let directory = tempfile::tempdir().expect("a directory");
    assert!(matches!(State::open(directory.path()), Err(StateError::Open { .. })));
    assert!(matches!(State::open(Path::new("/dev/null")), Err(StateError::Open { .. })));
    assert!(matches!(Reader::open(Path::new("/dev/null")), Err(StateError::Open { .. })));
    assert!(!Path::new("/dev/null.lock").exists());
}
