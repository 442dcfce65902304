//! The state after a failure of the process, the file or the disk: changes that were written and
//! not stored are written again, and nothing is lost.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::process::{Command, Output};
use std::time::Duration;

use dynacrawl_sim::{DemoAccount, Effect, FaultRule, Operation, Simulator, fixtures};
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use crate::command::{Crawled, Dynacrawl};
use crate::contract;
use crate::daemon::{Place, keyed, names, number};
use crate::support::{HOME, IRELAND, eventually, ireland};

/// `dynacrawl crawl` with the place's configuration.
fn crawl(place: &Place, sim: &Simulator, home: &DemoAccount) -> Dynacrawl {
    keyed(Dynacrawl::crawl().config(&place.config()), sim, home)
}

fn writing() -> Place {
    let mut place = Place::new();
    place.crawl = "concurrency = 8\n".to_owned();
    place
}

/// A place whose crawls write to standard output, and take longer than the time between two
/// commits.
fn streaming() -> Place {
    let mut place = Place::new();
    place.crawl = "concurrency = 4\n".to_owned();
    place.output = "-".to_owned();
    place
}

fn slowly(sim: &Simulator) {
    sim.set_latency(HOME, IRELAND, Duration::from_millis(10)).expect("the Region is there");
}

/// The records of complete lines. A kill may have cut off the last one.
fn whole_lines(text: &str) -> Vec<Value> {
    contract::lines(text.rsplit_once('\n').map_or("", |(lines, _)| lines))
}

/// The tables that the state would settle for the run in progress.
fn staged(place: &Place) -> BTreeSet<String> {
    let reader = Connection::open_with_flags(place.state(), OpenFlags::SQLITE_OPEN_READ_ONLY).expect("a state");
    let mut query = reader.prepare("SELECT name FROM staged WHERE type = 'table_added'").expect("a table");
    query.query_map([], |row| row.get(0)).and_then(Iterator::collect).expect("names")
}

fn all(sim: &Simulator) -> BTreeSet<String> {
    sim.table_names(HOME, IRELAND).into_iter().collect()
}

/// A crawl that is killed during the run, when some changes are written and committed, and others
/// only written.
fn killed_after_writing(place: &Place, sim: &Simulator, home: &DemoAccount) -> Vec<Value> {
    let mut running = crawl(place, sim, home).start();
    let is_staged = || number(&place.state(), "SELECT count(*) FROM staged").is_ok_and(|staged| staged > 0);
    while !is_staged() {
        running.wait_for_line("\"type\":\"table_added\"");
    }
    for _ in 0..20 {
        running.wait_for_line("\"type\":\"table_added\"");
    }
    running.kill();
    let ended = running.end();
    assert!(ended.status.code().is_none());
    assert_eq!((place.rows("tables"), place.rows("changes")), (0, 0), "nothing is settled before the run has ended");
    whole_lines(&ended.stdout)
}

#[test]
fn a_new_run_repeats_changes_that_a_killed_one_did_not_commit() {
    let (sim, home) = ireland(250);
    for anew in ["--fresh", "--exclude=nothing-like-it"] {
        let place = streaming();
        slowly(&sim);
        killed_after_writing(&place, &sim, &home);
        let committed = staged(&place);
        sim.set_latency(HOME, IRELAND, Duration::ZERO).expect("the Region is there");
        let next = crawl(&place, &sim, &home).arg(anew).records();
        assert!(next.stderr.contains("starting a new run"), "{}", next.stderr);
        let again: BTreeSet<_> = names(&next.records, "table_added").into_iter().collect();
        assert_eq!(again, &all(&sim) - &committed, "{anew}: what was written to standard output cannot be taken back");
        assert_eq!((place.rows("tables"), place.rows("changes")), (250, 250));
        assert_eq!(names(&crawl(&place, &sim, &home).records().records, "table_added").len(), 0);
    }
}

#[test]
fn a_resumed_run_repeats_changes_that_were_not_committed() {
    let (sim, home) = ireland(250);
    slowly(&sim);
    let place = streaming();
    let first: BTreeSet<_> = names(&killed_after_writing(&place, &sim, &home), "table_added").into_iter().collect();
    let committed = staged(&place);
    assert!(!committed.is_empty() && committed.is_subset(&first), "committed changes were written before");
    assert!(committed.len() < first.len(), "and more than that");
    let next = crawl(&place, &sim, &home).run();
    assert_eq!(next.code(), 0, "{}", next.stderr);
    let again: BTreeSet<_> = names(&contract::lines(&next.stdout), "table_added").into_iter().collect();
    assert_eq!(again, &all(&sim) - &committed);
    assert_eq!((place.rows("tables"), place.rows("changes WHERE type = 'table_added'")), (250, 250));
}

#[test]
fn changes_of_a_discarded_file_are_in_the_next_one() {
    let (sim, home) = ireland(250);
    slowly(&sim);
    let place = writing();
    let mut running = crawl(&place, &sim, &home).start();
    eventually("changes are committed", || !place.has(0, "staged") && place.has(1, "runs WHERE output_offset > 0"));
    running.kill();
    drop(running.end());
    let partial = place.partial().expect("it is there");
    assert!(partial.contains("\"type\":\"table_added\""));
    let crawled = end(&place, crawl(&place, &sim, &home).arg("--fresh"));
    assert_eq!(names(&crawled.records, "table_added"), sim.table_names(HOME, IRELAND));
    assert_eq!(place.partial(), None, "the file of the abandoned run is discarded");
}

/// Runs a crawl into the place's file, to its end.
#[track_caller]
fn end(place: &Place, crawl: Dynacrawl) -> Crawled {
    let ended = crawl.run();
    assert!(place.has_output(), "{}", ended.stderr);
    ended.with_records(place.text())
}

/// Changes a crawled estate, and kills the crawl that finds the changes at random moments.
#[test]
fn killed_at_any_moment_each_change_is_written_and_stored_once() {
    for seed in 0..6 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (sim, home) = ireland(200);
        let place = writing();
        assert_eq!(end(&place, crawl(&place, &sim, &home)).code, 0);
        let name = |number: u64| format!("table-{number:06}");
        let removed: Vec<_> = (0..8).map(|n| name(n * 9)).collect();
        let changed: Vec<_> = (0..20).map(|n| name(n * 9 + 1)).collect();
        let recreated: Vec<_> = (0..10).map(|n| name(n * 9 + 2)).collect();
        let added: Vec<_> = (0..10).map(|n| format!("table-00001{n}-new")).collect();
        for one in &removed {
            sim.remove_table(HOME, IRELAND, one).expect("the Region is there");
        }
        for one in &changed {
            let edit = |table: &mut Value| {
                table["DeletionProtectionEnabled"] = (table["DeletionProtectionEnabled"] != true).into();
            };
            assert!(sim.update_table(HOME, IRELAND, one, edit).expect("the Region is there"));
        }
        for one in &recreated {
            assert!(sim.recreate_table(HOME, IRELAND, one).expect("the Region is there"));
        }
        for one in &added {
            sim.put_table(HOME, IRELAND, one, &fixtures::small_table(one, HOME, IRELAND)).expect("the Region is there");
        }
        slowly(&sim);
        for _ in 0..=random.u32(0..3) {
            let enough = sim.counts().total.requests + random.u64(1..230);
            let mut running = crawl(&place, &sim, &home).start();
            eventually("enough requests", || sim.counts().total.requests >= enough || running.has_ended());
            running.kill();
            drop(running.end());
            if !place.has(1, "runs WHERE ended_at IS NOT NULL") {
                break;
            }
        }
        let crawled = if place.has(2, "runs WHERE ended_at IS NOT NULL") {
            contract::lines(&place.text())
        } else {
            end(&place, crawl(&place, &sim, &home)).records
        };
        let kinds = [
            ("table_removed", &removed),
            ("table_changed", &changed),
            ("table_recreated", &recreated),
            ("table_added", &added),
        ];
        for (kind, expected) in kinds {
            assert_eq!(&names(&crawled, kind), expected, "{kind}, seed {seed}");
            let known = expected.len() as i64 + if kind == "table_added" { 200 } else { 0 };
            assert_eq!(place.rows(&format!("changes WHERE type = '{kind}'")), known, "{kind}, seed {seed}");
        }
        assert_eq!((place.rows("tables WHERE status = 'present'"), place.rows("staged")), (202, 0), "seed {seed}");
    }
}

/// Overwrites the first page of a table, or of the whole file.
fn damage(place: &Place, table: &str) {
    let sql = format!("SELECT COALESCE((SELECT rootpage FROM sqlite_master WHERE name = '{table}'), 1)");
    let page = number(&place.state(), &sql).expect("a page");
    let size = number(&place.state(), "PRAGMA page_size").expect("a size");
    let file = fs::File::options().write(true).open(place.state()).expect("it is there");
    let garbage = vec![0xa5; usize::try_from(size).expect("a size")];
    file.write_all_at(&garbage, u64::try_from((page - 1) * size).expect("a place")).expect("it is written");
}

#[test]
fn a_damaged_state_is_named_and_the_previous_output_stays() {
    let (sim, home) = ireland(60);
    // A state that cannot be opened needs a person. A failure during the run may be caused by the
    // disk.
    for (table, code) in [("", 2), ("runs", 2), ("staged", 2), ("run_scopes", 5), ("scopes", 5), ("tables", 5)] {
        let place = Place::new();
        assert_eq!(end(&place, crawl(&place, &sim, &home)).code, 0);
        let before = place.text();
        damage(&place, table);
        let ended = crawl(&place, &sim, &home).run();
        assert_eq!(ended.code(), code, "{table}: {}", ended.stderr);
        let expected = if table.is_empty() { "not a database" } else { "malformed" };
        assert!(ended.stderr.contains("state.db") && ended.stderr.contains(expected), "{table}: {}", ended.stderr);
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
        assert_eq!(place.text(), before, "{table}");
        // It works again with a new file.
        fs::remove_file(place.state()).expect("it is there");
        assert_eq!(end(&place, crawl(&place, &sim, &home)).code, 0);
    }
}

#[test]
fn a_truncated_state_is_refused() {
    let (sim, home) = ireland(60);
    let place = Place::new();
    assert_eq!(end(&place, crawl(&place, &sim, &home)).code, 0);
    let file = fs::File::options().write(true).open(place.state()).expect("it is there");
    file.set_len(file.metadata().expect("a length").len() / 2).expect("it is cut");
    sim.reset_counts();
    crawl(&place, &sim, &home).run().fails_with(2, "state.db: database disk image is malformed");
    assert_eq!(sim.counts().total.requests, 0);
}

#[test]
fn a_daemon_with_a_damaged_state_logs_it_and_does_not_end() {
    let (sim, home) = ireland(60);
    let place = Place::new();
    assert_eq!(end(&place, crawl(&place, &sim, &home)).code, 0);
    let before = place.text();
    damage(&place, "tables");
    let daemon = place.daemon(&sim, &home);
    daemon.crawl("{}");
    assert!(daemon.running.wait_for_message("the output failed").contains("state.db"));
    assert_eq!(daemon.ended("failed"), 1.0);
    assert_eq!((daemon.get("/healthz").status, place.text()), (200, before));
    let ended = daemon.stop();
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
}

/// From now on a table of the state refuses rows for which `when` holds.
fn refuse(place: &Place, table: &str, when: &str) {
    let refusal = "SELECT RAISE(ABORT, 'refused by a test')";
    place.write(&format!("CREATE TRIGGER refusal BEFORE INSERT ON {table} WHEN {when} BEGIN {refusal}; END"));
}

#[test]
fn a_run_that_could_not_write_its_state_is_resumed_later() {
    let (sim, home) = ireland(150);
    let place = Place::new();
    place.daemon(&sim, &home).stop();
    refuse(&place, "staged", "NEW.name = 'table-000140'");
    let slow = FaultRule::new(Effect::Delay(Duration::from_secs(1))).operation(Operation::DescribeTable);
    sim.add_fault(slow.table("table-000140").first(1));
    let daemon = place.daemon(&sim, &home);
    daemon.crawl("{}");
    assert!(daemon.running.wait_for_message("the output failed").contains("refused by a test"));
    assert_eq!(daemon.ended("failed"), 1.0);
    assert!(!place.has_output(), "it is not complete");
    let staged = place.rows("staged");
    assert!(staged >= 100, "{staged} were committed before");
    daemon.stop();
    place.write("DROP TRIGGER refusal");
    sim.reset_counts();
    let daemon = place.daemon(&sim, &home);
    daemon.wait_for_runs(1.0);
    let records = contract::check(&place.text(), 0, "");
    assert_eq!(names(&records, "table_added"), sim.table_names(HOME, IRELAND));
    assert!(sim.counts().requests(Operation::DescribeTable) <= 50, "it continued where it had stopped");
    daemon.stop();
    assert_eq!((place.rows("runs"), place.rows("tables")), (1, 150));
}

#[test]
fn a_run_whose_end_cannot_be_stored_repeats_all_its_changes() {
    let (sim, home) = ireland(20);
    let place = Place::new();
    assert_eq!(end(&place, crawl(&place, &sim, &home)).code, 0);
    for name in ["one", "two"] {
        sim.put_table(HOME, IRELAND, name, &fixtures::small_table(name, HOME, IRELAND)).expect("the Region is there");
    }
    refuse(&place, "changes", "NEW.name = 'two'");
    crawl(&place, &sim, &home).run().fails_with(5, "refused by a test");
    assert_eq!((place.rows("tables"), place.rows("changes")), (20, 20), "all of it or nothing");
    place.write("DROP TRIGGER refusal");
    // The file is in place, but a reader that checks the exit code has not used it.
    let crawled = end(&place, crawl(&place, &sim, &home));
    assert_eq!(names(&crawled.records, "table_added"), ["one", "two"]);
    assert_eq!((place.rows("tables"), place.rows("changes"), place.rows("staged")), (22, 22, 0));
}

/// Runs `dynacrawl crawl` with a limit for the size of files, in KiB, as on a full disk.
fn limited(place: &Place, sim: &Simulator, home: &DemoAccount, kib: u32) -> Output {
    let config = place.path("limited.toml");
    fs::write(&config, place.config()).expect("written");
    // Without the signal, writing fails with an error.
    let script = format!("trap '' XFSZ && ulimit -f {} && exec \"$0\" \"$@\"", kib * 2);
    let url = sim.url();
    let flags = ["--endpoint-url", url.as_str(), "--sts-endpoint-url", url.as_str()];
    let limited = Command::new("sh")
        .args(["-c", &script, env!("CARGO_BIN_EXE_dynacrawl"), "crawl", "--config"])
        .arg(&config)
        .args(flags)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", place.path(""))
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("K", &home.access_key_id)
        .env("S", &home.secret_access_key)
        .output();
    limited.expect("sh is there")
}

#[test]
fn a_full_disk_ends_the_run_and_the_state_is_as_before() {
    let (sim, home) = ireland(10);
    let place = streaming();
    assert_eq!(crawl(&place, &sim, &home).run().code(), 0);
    let known = fs::metadata(place.state()).expect("it is there").len() / 1024;
    for number in 10..300 {
        let name = format!("table-{number:06}");
        sim.put_table(HOME, IRELAND, &name, &fixtures::full_table(&name, HOME, IRELAND)).expect("the Region is there");
    }
    for more in [8, 100, 200] {
        let output = limited(&place, &sim, &home, u32::try_from(known).expect("small") + more);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(5), "{more}: {stderr}");
        assert!(stderr.contains("state.db") && !stderr.contains("panicked"), "{more}: {stderr}");
        assert_eq!((place.rows("tables"), place.rows("runs WHERE outcome = 'complete'")), (10, 1), "{more}");
    }
    let next = crawl(&place, &sim, &home).run();
    assert_eq!(next.code(), 0, "{}", next.stderr);
    assert_eq!((place.rows("tables WHERE status = 'present'"), place.rows("changes")), (300, 300));
}

#[test]
fn after_a_full_disk_the_run_is_resumed() {
    let (sim, home) = ireland(300);
    slowly(&sim);
    let place = writing();
    // Large enough for the first commits.
    let output = limited(&place, &sim, &home, 600);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{stderr}");
    assert!(!place.has_output(), "it is not complete");
    let crawled = end(&place, crawl(&place, &sim, &home));
    assert!(crawled.stderr.contains("resuming run"), "{}", crawled.stderr);
    assert_eq!(names(&crawled.records, "table_added"), sim.table_names(HOME, IRELAND));
}
