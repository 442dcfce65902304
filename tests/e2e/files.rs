//! Files that must not be lost or replaced by mistake: the state, the output of other runs, and
//! files that are not dynacrawl's.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use dynacrawl_sim::{DemoAccount, Effect, FaultRule, Operation, Simulator};
use rusqlite::Connection;
use serde_json::Value;

use crate::command::Dynacrawl;
use crate::contract;
use crate::daemon::{Place, number, schedule, target};
use crate::support::{HOME, IRELAND, VIRGINIA, eventually, ireland, named, started};

/// The sorted files of a directory whose names begin with `begin`.
pub(crate) fn files(directory: &Path, begin: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(directory).expect("a directory").map(|file| file.expect("an entry").path());
    let mut files: Vec<_> =
        files.filter(|file| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with(begin))).collect();
    files.sort();
    files
}

fn run_id(file: &Path) -> String {
    let records = contract::lines(&fs::read_to_string(file).expect("it can be read"));
    records[0]["run_id"].as_str().expect("an id").to_owned()
}

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo is there").success());
}

/// A crawl with a state in a directory that outlives it.
fn crawl(sim: &Simulator, home: &DemoAccount, directory: &Path) -> Dynacrawl {
    Dynacrawl::crawl_of(sim, home, IRELAND).arg("--state").arg(directory.join("state.db"))
}

#[test]
fn a_demo_does_not_touch_files_of_other_runs() {
    let (sim, home) = ireland(3);
    let directory = tempfile::tempdir().expect("a directory");
    let output = directory.path().join("estate.jsonl");
    let real = crawl(&sim, &home, directory.path()).arg("--output").arg(&output).run();
    assert_eq!(real.code(), 0, "{}", real.stderr);
    let state = directory.path().join("state.db");
    let before = (fs::read(&output).expect("it is there"), fs::metadata(&state).expect("it is there").mtime_nsec());
    let config = format!(
        "[state]\npath = \"{}\"\n[crawl]\noutput = \"{}\"\n{}",
        state.display(),
        output.display(),
        target("home", &[IRELAND])
    );
    let demo = Dynacrawl::crawl()
        .arg("--demo")
        .config(&config)
        .env("DYNACRAWL_CONFIG", directory.path().join("no-such-file"))
        .env("DYNACRAWL_STATE", &state)
        .env("DYNACRAWL_OUTPUT", &output)
        .env("DYNACRAWL_EMIT", "changes")
        .env("DYNACRAWL_DRIFT", "true")
        .env("DYNACRAWL_ACCEPT_REMOVALS", "no scope at all")
        .env("DYNACRAWL_FRESH", "true")
        .env("DYNACRAWL_DRY_RUN", "true")
        .env("DYNACRAWL_RATE", "fast")
        .env("DYNACRAWL_EXCLUDE", ".*")
        .records();
    assert_eq!((demo.code, demo.of_type("scope_completed").count()), (0, 6));
    assert!(demo.names().len() > 180);
    assert_eq!(
        before,
        (fs::read(&output).expect("it is there"), fs::metadata(&state).expect("it is there").mtime_nsec())
    );
    assert_eq!(number(&state, "SELECT count(*) FROM runs").expect("it can be read"), 1);
}

#[test]
fn a_demo_and_real_runs_do_not_share_a_state() {
    let (sim, home) = ireland(3);
    let directory = tempfile::tempdir().expect("a directory");
    assert_eq!(crawl(&sim, &home, directory.path()).run().code(), 0);
    let state = directory.path().join("state.db");
    let demo = |state: &Path| Dynacrawl::crawl().args(["--demo", "--state"]).arg(state).run();
    demo(&state).fails_with(2, "is the state of real runs");
    assert_eq!(number(&state, "SELECT count(*) FROM scopes WHERE retired_at IS NULL").expect("it can be read"), 1);
    let of_demo = directory.path().join("demo.db");
    for _ in 0..2 {
        assert_eq!(demo(&of_demo).code(), 0, "twice");
    }
    sim.reset_counts();
    let real = Dynacrawl::crawl_of(&sim, &home, IRELAND).arg("--state").arg(&of_demo).run();
    real.fails_with(2, "is the state of demo runs");
    assert_eq!(sim.counts().total.requests, 0);
}

#[test]
fn an_output_that_is_a_file_of_the_state_is_refused() {
    let (sim, home) = ireland(3);
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name);
    assert_eq!(crawl(&sim, &home, directory.path()).run().code(), 0);
    symlink(path("state.db"), path("link"))
        .and_then(|()| fs::hard_link(path("state.db"), path("hard")))
        .expect("links");
    let before = fs::read(path("state.db")).expect("it is there");
    sim.reset_counts();
    for name in ["state.db", "state.db-wal", "state.db-shm", "state.db.lock", "link", "hard", "../{}/state.db"] {
        let name = name.replace("{}", &directory.path().file_name().expect("a name").to_string_lossy());
        let ended = crawl(&sim, &home, directory.path()).arg("--output").arg(path(&name)).run();
        ended.fails_with(2, "is a file of the state");
    }
    // A template names the file only when the run begins.
    let of_template = Dynacrawl::crawl_of(&sim, &home, IRELAND).arg("--state").arg(path("out-manual"));
    let of_template = of_template.arg("--output").arg(path("out-{schedule}")).run();
    of_template.fails_with(2, "is a file of the state");
    assert_eq!(fs::read(path("state.db")).expect("it is there"), before);
    assert_eq!(sim.counts().total.requests, 0);
}

#[test]
fn a_link_with_the_name_of_the_partial_file_is_refused() {
    let (sim, home) = ireland(3);
    let crawl = Dynacrawl::crawl_of(&sim, &home, IRELAND).args(["--output", "out.jsonl"]).file("precious", "mine\n");
    symlink("precious", crawl.path("out.jsonl.partial")).expect("a link");
    let ended = crawl.run();
    ended.fails_with(2, "out.jsonl.partial is a link");
    assert_eq!(fs::read_to_string(ended.home.path().join("precious")).expect("it is there"), "mine\n");
    assert_eq!(sim.counts().total.requests, 0);
}

#[test]
fn a_replaced_file_keeps_its_mode_and_state_files_are_private() {
    let (sim, home) = ireland(3);
    let directory = tempfile::tempdir().expect("a directory");
    let output = directory.path().join("out.jsonl");
    fs::write(&output, "old\n").expect("written");
    fs::set_permissions(&output, fs::Permissions::from_mode(0o640)).expect("changed");
    assert_eq!(crawl(&sim, &home, directory.path()).arg("--output").arg(&output).run().code(), 0);
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&output), 0o640);
    for file in files(directory.path(), "state.db") {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[test]
fn removing_the_lock_of_a_state_lets_no_second_writer_in() {
    let (sim, home) = ireland(50);
    sim.add_fault(
        FaultRule::new(Effect::Delay(std::time::Duration::from_secs(600))).operation(Operation::DescribeTable),
    );
    let directory = tempfile::tempdir().expect("a directory");
    let mut first = crawl(&sim, &home, directory.path()).start();
    eventually("it is under way", || sim.counts().requests(Operation::DescribeTable) > 0);
    fs::remove_file(directory.path().join("state.db.lock")).expect("it is there");
    crawl(&sim, &home, directory.path()).run().fails_with(5, "in use by another run");
    first.kill();
    drop(first.end());
}

#[test]
fn a_crawl_waits_for_the_reader_of_a_fifo_until_a_signal() {
    let (sim, home) = ireland(300);
    let waiting = || {
        let crawl = Dynacrawl::crawl_of(&sim, &home, IRELAND).args(["--rate", "0", "--output", "fifo"]);
        let path = crawl.path("fifo");
        fifo(&path);
        let running = crawl.start();
        running.wait_for_message("waiting for a reader");
        assert_eq!(sim.counts().total.requests, 0);
        (running, path)
    };
    let (running, _) = waiting();
    running.signal("TERM");
    assert_eq!(running.end().code(), 130);
    let (running, path) = waiting();
    let reader = thread::spawn(move || fs::read_to_string(path).expect("the pipe can be read"));
    let ended = running.end();
    let crawled = ended.with_records(reader.join().expect("it was read"));
    assert_eq!((crawled.code, crawled.names().len()), (0, 300));
}

#[test]
fn a_daemon_whose_fifo_nobody_reads_answers_and_ends() {
    let (sim, home) = ireland(3);
    let mut place = Place::new();
    place.output = place.path("fifo").display().to_string();
    fifo(&place.path("fifo"));
    let daemon = place.daemon(&sim, &home);
    assert_eq!(daemon.post("{}").status, 202);
    daemon.running.wait_for_message("nobody reads the FIFO");
    assert_eq!((daemon.get("/healthz").status, sim.counts().total.requests), (200, 0));
    daemon.stop();
}

#[test]
fn each_run_has_its_own_file_and_the_oldest_are_deleted() {
    let (sim, home) = ireland(3);
    let directory = tempfile::tempdir().expect("a directory");
    let template = directory.path().join("estate-{date}-{schedule}-{run_id}.jsonl");
    let with = |more: &str| {
        let config = format!("[crawl]\noutput = \"{}\"\n{more}", template.display());
        crawl(&sim, &home, directory.path()).config(&config).arg("--emit=both")
    };
    for _ in 0..3 {
        assert_eq!(with("").run().code(), 0);
    }
    let there = files(directory.path(), "estate-");
    assert_eq!(there.len(), 3, "0 keeps all");
    for file in &there {
        let name = file.file_name().expect("a name").to_string_lossy().into_owned();
        assert!(name.ends_with(&format!("-manual-{}.jsonl", run_id(file))), "{name}");
        assert!(name["estate-".len()..].starts_with("20"), "{name}");
    }
    // Another program has overwritten one of them: it stays, and does not count.
    fs::write(&there[0], "mine\n").expect("written");
    assert_eq!(with("keep_files = 2\n").run().code(), 0);
    let kept = files(directory.path(), "estate-");
    assert_eq!(kept.len(), 3, "{kept:?}");
    assert_eq!((&kept[0], &kept[1]), (&there[0], &there[2]));
    assert_eq!(fs::read_to_string(&kept[0]).expect("it is there"), "mine\n");
}

/// `--records` may leave a file empty, and then no line in it says which run wrote it.
#[test]
fn old_files_are_deleted_even_if_they_are_empty() {
    let (sim, home) = ireland(3);
    let directory = tempfile::tempdir().expect("a directory");
    let output = directory.path().join("estate-{run_id}.jsonl");
    let config = format!("[crawl]\noutput = \"{}\"\nkeep_files = 2\nrecords = [\"table_removed\"]\n", output.display());
    for _ in 0..5 {
        let run = crawl(&sim, &home, directory.path()).config(&config).arg("--emit=both").run();
        assert_eq!(run.code(), 0, "{}", run.stderr);
    }
    let kept = files(directory.path(), "estate-");
    assert_eq!(kept.len(), 2, "{kept:?}");
    assert!(kept.iter().all(|file| fs::metadata(file).is_ok_and(|there| there.len() == 0)));
}

#[test]
fn a_resumed_run_continues_its_own_file() {
    let (sim, home) = ireland(150);
    let slow = FaultRule::new(Effect::Delay(std::time::Duration::from_secs(600))).operation(Operation::DescribeTable);
    sim.add_fault(slow.table("table-000149"));
    let directory = tempfile::tempdir().expect("a directory");
    let output = directory.path().join("estate-{run_id}.jsonl");
    let run = || crawl(&sim, &home, directory.path()).args(["--rate", "0", "--emit=both", "--output"]).arg(&output);
    let state = directory.path().join("state.db");
    let killed = || {
        let mut running = run().start();
        let of_it = "SELECT count(*) FROM staged";
        eventually("it is committed", || number(&state, of_it).is_ok_and(|staged| staged >= 149));
        running.kill();
        drop(running.end());
    };
    killed();
    let partial = files(directory.path(), "estate-");
    assert_eq!(partial.len(), 1);
    let id = run_id(&partial[0]);
    // An abandoned run leaves no file behind.
    sim.clear_faults();
    let fresh = run().arg("--fresh").run();
    assert_eq!(fresh.code(), 0, "{}", fresh.stderr);
    let there = files(directory.path(), "estate-");
    assert!(there.len() == 1 && run_id(&there[0]) != id, "{there:?}");
    // A resumed run ends in its own file.
    fs::remove_file(&state).expect("it is there");
    let slow = FaultRule::new(Effect::Delay(std::time::Duration::from_secs(600))).operation(Operation::DescribeTable);
    sim.add_fault(slow.table("table-000149"));
    killed();
    sim.clear_faults();
    let resumed = run().run();
    assert!(resumed.stderr.contains("resuming run"), "{}", resumed.stderr);
    let there = files(directory.path(), "estate-");
    assert_eq!(there.len(), 2, "{there:?}");
    let text = fs::read_to_string(&there[1]).expect("it can be read");
    assert_eq!(resumed.with_records(text).names().len(), 150);
}

#[test]
fn outputs_that_would_lose_records_are_refused_before_any_call() {
    let (sim, home) = ireland(3);
    let directory = tempfile::tempdir().expect("a directory");
    let output = directory.path().join("out.jsonl");
    for emit in ["changes", "both"] {
        let ended = crawl(&sim, &home, directory.path()).args(["--emit", emit, "--output"]).arg(&output).run();
        ended.fails_with(2, "changes that may not have been read yet; put {run_id} into its name");
    }
    let mut place = Place::new();
    place.emit = "snapshot";
    place.output = output.display().to_string();
    place.serve(&sim, &home).run().fails_with(2, "with serve.token, POST /api/v1/runs may crawl some of the targets");
    let config = place.config().replace("token = { env = \"TOKEN\" }\n", "");
    let some = format!("{config}{}targets = [\"home\"]\n", schedule("some", "0 3 * * *"));
    Dynacrawl::new("serve").config(&some).run().fails_with(2, "the schedule 'some' crawls some of the targets");
    let checked = Dynacrawl::new("config").arg("check").file("some.toml", &some).arg("some.toml").run();
    checked.fails_with(2, "the schedule 'some' crawls some of the targets");
    Dynacrawl::crawl()
        .args(["--region", IRELAND, "-o", "x-{runid}"])
        .run()
        .fails_with(2, "'{runid}' is not a placeholder");
    assert_eq!(sim.counts().total.requests, 0);
    assert!(files(directory.path(), "").is_empty());
}

#[test]
fn without_emit_only_tables_are_written_and_old_states_noted() {
    let (sim, home) = ireland(3);
    let directory = tempfile::tempdir().expect("a directory");
    let crawl = || crawl(&sim, &home, directory.path()).arg("--quiet").records();
    let first = crawl();
    assert_eq!((first.names().len(), first.of_type("table_added").count()), (3, 0));
    assert_eq!(first.stderr, "", "a new state gets no note");
    let state = directory.path().join("state.db");
    assert_eq!(number(&state, "SELECT count(*) FROM changes").expect("it can be read"), 3, "the state has them");
    fs::remove_file(&state).expect("it is there");
    let old = include_str!("../../crates/state/src/tests/version2.sql");
    Connection::open(&state).and_then(|state| state.execute_batch(old)).expect("an old state");
    let again = || self::crawl(&sim, &home, directory.path()).arg("--quiet").run();
    let after = again();
    assert!(after.stderr.contains("changes.emit (--emit)") && after.stderr.contains("\"both\""), "{}", after.stderr);
    assert!(!again().stderr.contains("changes.emit"), "once");
}

#[test]
fn a_target_is_not_chosen_by_a_prefix_of_its_name() {
    let account =
        dynacrawl_sim::Account::new(HOME).region(IRELAND, named(&["here"])).region(VIRGINIA, named(&["there"]));
    let (sim, home) = started(account);
    let targets = target("prod", &[IRELAND]) + &target("prod/eu", &[VIRGINIA]);
    let chosen = |name: &str| {
        let crawl = Dynacrawl::crawl().config(&targets).sim(&sim).args(["--target", name]);
        let crawled = crawl.env("K", &home.access_key_id).secret_env("S", &home.secret_access_key).records();
        let of_target = |record: &Value| record["target"].as_str().expect("a name").to_owned();
        crawled.of_type("scope_completed").map(of_target).collect::<Vec<_>>()
    };
    assert_eq!(chosen("prod"), ["prod"]);
    assert_eq!(chosen("prod/eu"), ["prod/eu"]);
}
