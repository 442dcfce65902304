//! What a state holds about tables, from version to version and from run to run.

use std::path::Path;

use dynacrawl_model::{ChangeCounts, Counts, RunCompleted, ScopeTotals, TableName};
use rusqlite::Connection;

use super::{at, commit, new_run, open, scope};
use crate::{
    ChangeQuery, Commit, EndedScope, KnownScope, Reader, ScopeKey, ScopeProgress, Staged, StagedChange, State,
    StateError, TableQuery, TableRow, TableStatus,
};
use dynacrawl_model::{Outcome, Requests, RunId, RunOutcome};

pub(super) fn key() -> ScopeKey {
    ScopeKey {
        partition: "aws".into(),
        account_id: "123456789012".parse().expect("an account"),
        region: "eu-west-1".parse().expect("a Region"),
    }
}

pub(super) fn table(name: &str) -> TableRow {
    TableRow {
        name: TableName::from(name),
        status: TableStatus::Present,
        fingerprint: "1:a".to_owned(),
        first_seen_at: at(1),
        changed_at: at(1),
        last_seen_at: None,
        arn: None,
        table_id: Some("id".to_owned()),
        record_id: None,
    }
}

pub(super) fn staged(table: TableRow) -> Staged {
    let change = StagedChange { kind: "table_added", json: "{\"a\":1}".to_owned() };
    let record = Some(format!("{{\"table\":\"{}\"}}", table.name));
    Staged { scope: key(), at: at(2), table: Some(table), record, change: Some(change), stats: None }
}

pub(super) fn ended(outcome: Outcome, held: u64) -> ScopeProgress {
    ScopeProgress::Ended(EndedScope {
        outcome,
        counts: Counts::default(),
        requests: Requests::default(),
        changes: Some(ChangeCounts { held, ..ChangeCounts::default() }),
        listed_a_page: true,
        problems: Vec::new(),
    })
}

pub(super) fn completed(millis: i64) -> RunCompleted {
    RunCompleted {
        ended_at: at(millis),
        outcome: RunOutcome::Complete,
        scope_counts: ScopeTotals::default(),
        counts: Counts::default(),
        requests: Requests::default(),
        change_counts: None,
        retirements_held: None,
        duration_ms: 1,
    }
}

/// A run with a scope that ended so, which staged `found` at that time, and has not ended.
fn begun(state: &mut State, millis: i64, outcome: Outcome, found: Vec<Staged>) -> RunId {
    let run = new_run(millis);
    state.begin(&run).expect("begun");
    let of_run = commit(run.run_id, 0, vec![scope("one", ended(outcome, 0))], Vec::new());
    state.commit(&Commit { at: at(millis), staged: found, ..of_run }).expect("committed");
    run.run_id
}

/// The same run, which has ended.
pub(super) fn run(state: &mut State, millis: i64, outcome: Outcome, found: Vec<Staged>) -> RunId {
    let run_id = begun(state, millis, outcome, found);
    state.settle(run_id, &completed(millis)).expect("settled");
    run_id
}

pub(super) fn reader(directory: &Path) -> Reader {
    Reader::open(&directory.join("state.db")).expect("a reader")
}

pub(super) fn known(reader: &Reader) -> KnownScope {
    reader.scope(&key()).expect("read").expect("a scope")
}

pub(super) fn names(reader: &Reader, pattern: &str) -> Vec<String> {
    let mut names = Vec::new();
    let asked = TableQuery { pattern: Some(pattern.to_owned()), ..TableQuery::default() };
    reader
        .tables(&asked, |table| {
            names.push(table.table_name);
            true
        })
        .expect("read");
    names
}

/// The state was made by `dynacrawl crawl --demo-faults --state` of that version, and dumped by
/// sqlite3.
#[test]
fn a_state_of_version_1_is_upgraded_and_keeps_its_run() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("state.db");
    Connection::open(&path).and_then(|old| old.execute_batch(include_str!("version1.sql"))).expect("an old state");
    assert!(matches!(Reader::open(&path), Err(StateError::Older { found: 1, .. })), "reading changes nothing");
    let mut state = open(directory.path());
    let unfinished = state.unfinished().expect("read").expect("a run");
    assert_eq!((unfinished.output.as_str(), unfinished.scopes.len(), unfinished.only), ("/data/estate.jsonl", 7, None));
    run(&mut state, 5, Outcome::Complete, vec![staged(table("orders"))]);
    drop(state);
    assert_eq!(names(&reader(directory.path()), "*"), ["orders"]);
    drop(open(directory.path()));
}

#[test]
fn findings_of_a_run_are_visible_only_after_it_has_ended() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut state = open(directory.path());
    begun(&mut state, 0, Outcome::Complete, vec![staged(table("orders"))]);
    let reader = reader(directory.path());
    assert_eq!(reader.scope(&key()).expect("read"), None);

    // The first run is abandoned, and what it staged is dropped.
    run(&mut state, 10, Outcome::Complete, vec![staged(table("ledger"))]);
    assert_eq!(names(&reader, "*"), ["ledger"]);
    let scope = known(&reader);
    assert_eq!(reader.count(scope.id).expect("read"), 1);
    assert_eq!((scope.last_complete_at, scope.last_listed_at), (Some(at(10)), Some(at(10))));
    let ledger = reader.table(scope.id, &"ledger".into()).expect("read").expect("a table");
    assert_eq!(reader.record(&ledger).expect("read").as_deref(), Some("{\"table\":\"ledger\"}"));
    let runs: Vec<_> = reader.runs(9).expect("read").into_iter().map(|run| run.outcome.unwrap_or_default()).collect();
    assert_eq!(runs, ["complete", "abandoned"]);
}

/// A table that was only noted as not listed has not been reported.
#[test]
fn retirements_of_a_run_are_those_with_an_event() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut state = open(directory.path());
    let row = |name: &str, status| staged(TableRow { status, ..table(name) });
    let reported = |name: &str, status, kind| Staged {
        change: Some(StagedChange { kind, json: "{}".to_owned() }),
        ..row(name, status)
    };
    let found = vec![
        Staged { change: None, ..row("kept", TableStatus::Unselected) },
        reported("excluded", TableStatus::Unselected, "table_unselected"),
        reported("gone", TableStatus::Removed, "table_removed"),
    ];
    let run_id = begun(&mut state, 0, Outcome::Complete, found);
    let retired = reader(directory.path()).staged_retirements(run_id, &key()).expect("read");
    assert_eq!(retired, [("excluded".to_owned(), false), ("gone".to_owned(), true)].into());
}

#[test]
fn only_present_tables_that_are_always_listed_are_returned() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut state = open(directory.path());
    let gone = TableRow { status: TableStatus::Removed, ..table("gone") };
    let unseen = TableRow { last_seen_at: Some(at(0)), ..table("unseen") };
    run(&mut state, 0, Outcome::Complete, vec![staged(table("orders")), staged(gone.clone()), staged(unseen.clone())]);
    let reader = reader(directory.path());
    let scope = known(&reader).id;
    let row = |name: &str| {
        let row = reader.table(scope, &name.into()).expect("read");
        row.map(|row| TableRow { record_id: None, ..row })
    };
    assert_eq!(row("orders"), Some(table("orders")));
    assert_eq!(row("gone"), Some(gone));
    assert_eq!(row("unseen"), Some(unseen));
    assert_eq!(row("other"), None);
    let names = ["orders", "gone", "unseen", "other"].map(TableName::from);
    let mut as_ever = Vec::new();
    let each =
        |name: &TableName, fingerprint: &str, stats| as_ever.push((name.to_string(), fingerprint.to_owned(), stats));
    reader.listed(scope, &names, each).expect("read");
    assert_eq!(as_ever, [("orders".to_owned(), "1:a".to_owned(), None)]);
    let mut present = Vec::new();
    reader.present(scope, |name| present.push(name.to_owned())).expect("read");
    assert_eq!(present, ["orders", "unseen"]);
}

#[test]
fn a_record_is_kept_as_long_as_a_table_uses_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut state = open(directory.path());
    let records = |state: &State| -> Vec<String> {
        let mut query = state.connection.prepare("SELECT record FROM records ORDER BY record_id").expect("a query");
        query.query_map([], |row| row.get(0)).and_then(Iterator::collect).expect("records")
    };
    let recorded = |record: &str| Staged { record: Some(record.to_owned()), ..staged(table("orders")) };
    run(&mut state, 0, Outcome::Complete, vec![recorded("a"), recorded("b")]);
    assert_eq!(records(&state), ["b"], "staged twice");
    run(&mut state, 1, Outcome::Complete, vec![recorded("c")]);
    assert_eq!(records(&state), ["c"]);
    let row = || {
        let reader = reader(directory.path());
        reader.table(known(&reader).id, &"orders".into()).expect("read").expect("a table")
    };
    let unselected = TableRow { status: TableStatus::Unselected, ..row() };
    run(&mut state, 2, Outcome::Complete, vec![recorded("d"), Staged { record: None, ..staged(unselected) }]);
    assert_eq!(records(&state), ["d"], "a row without a new record keeps the old one");
    let given_up = new_run(3);
    state.begin(&given_up).expect("begun");
    let of_run = commit(given_up.run_id, 0, Vec::new(), Vec::new());
    state.commit(&Commit { staged: vec![recorded("e")], ..of_run }).expect("committed");
    state.give_up(given_up.run_id, at(4), RunOutcome::Failed).expect("ended");
    assert_eq!(records(&state), ["d"]);
}

#[test]
fn an_unchanged_run_updates_only_the_times_of_its_scopes() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut state = open(directory.path());
    run(&mut state, 0, Outcome::Complete, vec![staged(table("orders"))]);
    let reader = reader(directory.path());
    let seen = |reader: &Reader| {
        let mut seen = None;
        reader
            .tables(&TableQuery::default(), |table| {
                seen = table.last_seen_at;
                true
            })
            .expect("read");
        seen
    };
    assert_eq!(seen(&reader), Some(at(0)));
    run(&mut state, 10, Outcome::Partial, Vec::new());
    assert_eq!((seen(&reader), known(&reader).last_complete_at), (Some(at(10)), Some(at(0))), "listed, not complete");
    run(&mut state, 20, Outcome::Denied, Vec::new());
    assert_eq!(seen(&reader), Some(at(10)), "not listed");
    run(&mut state, 30, Outcome::IncompleteListing, Vec::new());
    assert_eq!((seen(&reader), known(&reader).last_complete_at), (Some(at(10)), Some(at(0))));
}

#[test]
fn a_scope_retires_with_its_tables_and_may_come_back() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut state = open(directory.path());
    run(&mut state, 0, Outcome::Complete, vec![staged(table("orders"))]);
    let change = Some(StagedChange { kind: "scope_retired", json: "{}".to_owned() });
    let retired = Staged { scope: key(), at: at(7), table: None, record: None, change, stats: None };
    let next = new_run(5);
    state.begin(&next).expect("begun");
    let of_run = commit(next.run_id, 0, Vec::new(), Vec::new());
    state.commit(&Commit { staged: vec![retired], ..of_run }).expect("committed");
    let reader = reader(directory.path());
    assert_eq!(reader.scopes(next.run_id).expect("read"), [], "its retirement is already staged");
    assert_eq!(reader.scopes(RunId::generate()).expect("read").len(), 1);
    state.settle(next.run_id, &completed(8)).expect("settled");
    assert_eq!(reader.scopes(RunId::generate()).expect("read"), []);
    let lines = reader.scope_lines(true).expect("read");
    assert_eq!((lines[0].retired_at, lines[0].table_count), (Some(at(7)), 0));
    run(&mut state, 10, Outcome::Complete, Vec::new());
    let back = known(&reader);
    let row = reader.table(back.id, &"orders".into()).expect("read").expect("a table");
    assert_eq!(
        (reader.count(back.id).expect("read"), row.status),
        (0, TableStatus::Retired),
        "it is added again when it is described"
    );
}

#[test]
fn tables_and_changes_are_filtered_by_the_query() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut state = open(directory.path());
    let mut removed = staged(TableRow { status: TableStatus::Removed, ..table("old") });
    removed.at = at(50);
    let first =
        run(&mut state, 0, Outcome::Complete, vec![staged(table("orders-1")), staged(table("orders_2")), removed]);
    let reader = reader(directory.path());
    assert_eq!(names(&reader, "orders-*"), ["orders-1"]);
    assert_eq!(names(&reader, "orders?2"), ["orders_2"]);
    assert_eq!(names(&reader, "*"), ["orders-1", "orders_2"], "those that are present");
    let count = |asked: &ChangeQuery| {
        let mut count = 0;
        reader
            .changes(asked, |change| {
                assert_eq!((change.run_id.as_str(), &change.change), (first.as_str(), &serde_json::json!({"a": 1})));
                count += 1;
                true
            })
            .expect("read");
        count
    };
    assert_eq!(count(&ChangeQuery::default()), 3);
    assert_eq!(count(&ChangeQuery { since: Some(at(0)), ..ChangeQuery::default() }), 3, "known since the run ended");
    assert_eq!(count(&ChangeQuery { since: Some(at(1)), ..ChangeQuery::default() }), 0);
    assert_eq!(count(&ChangeQuery { region: Some("us-east-1".to_owned()), ..ChangeQuery::default() }), 0);
    assert_eq!(count(&ChangeQuery { pattern: Some("or*".to_owned()), ..ChangeQuery::default() }), 2);
}

#[test]
fn what_an_abandoned_run_has_delivered_is_settled() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut state = open(directory.path());
    let streamed = new_run(0);
    state.begin(&streamed).expect("begun");
    let walking = scope("one", ScopeProgress::Walking("{}".to_owned()));
    let of_run = commit(streamed.run_id, 0, vec![walking], Vec::new());
    state.commit(&Commit { staged: vec![staged(table("orders"))], ..of_run }).expect("committed");
    state.settle_abandoned(streamed.run_id, at(9)).expect("settled");
    assert!(state.unfinished().expect("read").is_none());
    let reader = reader(directory.path());
    assert_eq!(names(&reader, "*"), ["orders"]);
    let scope = known(&reader);
    assert_eq!(
        (scope.last_listed_at, reader.scope_lines(false).expect("read")[0].last_outcome.as_str()),
        (None, "cancelled")
    );
}

#[test]
fn a_link_to_a_state_that_is_in_use_is_busy() {
    let directory = tempfile::tempdir().expect("a directory");
    let _state = open(directory.path());
    let link = directory.path().join("link.db");
    std::os::unix::fs::symlink(directory.path().join("state.db"), &link).expect("a link");
    assert!(matches!(State::open(&link), Err(StateError::Busy { .. })));
}

#[test]
fn the_last_due_time_of_a_schedule_is_stored() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut state = open(directory.path());
    assert_eq!(state.last_due("nightly").expect("read"), None);
    state.was_due("nightly", at(3)).expect("written");
    assert_eq!(state.last_due("nightly").expect("read"), Some(at(3)));
}

#[test]
fn readers_do_not_block_the_writer() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut state = open(directory.path());
    run(&mut state, 0, Outcome::Complete, vec![staged(table("orders")), staged(table("ledger"))]);
    let reader = reader(directory.path());
    let mut seen = 0;
    reader
        .tables(&TableQuery::default(), |_| {
            // In the middle of a read.
            run(&mut state, 1, Outcome::Complete, vec![staged(table(&format!("new-{seen}")))]);
            seen += 1;
            true
        })
        .expect("read");
    assert_eq!(seen, 2, "the tables that were there when the read began");
}

#[test]
fn tables_and_changes_are_read_page_by_page() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut state = open(directory.path());
    let many = ["d", "a", "c", "b", "e"].map(|name| staged(table(name)));
    run(&mut state, 10, Outcome::Complete, many.to_vec());
    let reader = reader(directory.path());
    let mut all = Vec::new();
    reader
        .tables(&TableQuery::default(), |line| {
            all.push(line);
            true
        })
        .expect("read");
    let (mut paged, mut after) = (Vec::new(), None);
    loop {
        let mut page = Vec::new();
        let query = TableQuery { after: after.clone(), limit: Some(2), ..TableQuery::default() };
        reader
            .tables(&query, |line| {
                page.push(line);
                true
            })
            .expect("read");
        assert!(page.len() <= 2);
        let Some(last) = page.last() else { break };
        after = Some(last.cursor());
        paged.append(&mut page);
    }
    assert_eq!((paged.len(), &paged), (5, &all));
    let (mut numbers, mut after) = (Vec::new(), None);
    loop {
        let before = numbers.len();
        let query = ChangeQuery { after, limit: Some(2), ..ChangeQuery::default() };
        reader
            .changes(&query, |line| {
                numbers.push(line.change_id);
                true
            })
            .expect("read");
        after = numbers.last().copied();
        if numbers.len() == before {
            break;
        }
        assert!(numbers.len() <= before + 2);
    }
    assert!(numbers.is_sorted() && numbers.len() == 5, "{numbers:?}");
}
