//! A crawl that was killed is resumed where it stopped.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dynacrawl_sim::{
    Account, DemoAccount, Denial, Effect, Estate, FaultId, FaultRule, Operation, Options, Role, Simulator, Tables, When,
};
use serde_json::Value;
use tempfile::TempDir;

use crate::command::{Crawled, Dynacrawl, Ended};
use crate::contract;
use crate::support::{HOME, IRELAND, MEMBER, VIRGINIA, eventually, ireland, simulate_with};

/// Two accounts in two Regions, with common problems: a denied table and a vanished one.
fn estate() -> (Simulator, DemoAccount) {
    let role = Role::new("Reader").trusts(HOME);
    let home = Account::new(HOME)
        .region(IRELAND, Tables::new().generated(230).vanishing("gone"))
        .region(VIRGINIA, Tables::new().generated(40));
    let member =
        Account::new(MEMBER).role(role).region(IRELAND, Tables::new().generated(120)).region(VIRGINIA, Tables::new());
    let access = home.access("home");
    let options = Options { verify_signatures: false, latency: Duration::from_millis(3), ..Options::default() };
    let sim = simulate_with(Estate::new([home, member]), &options);
    sim.deny(Denial::new(HOME, Operation::DescribeTable).table("table-000007"));
    (sim, access)
}

/// A directory for the state and the output, which outlives the processes.
struct Place {
    directory: TempDir,
    config: String,
}

impl Place {
    fn new() -> Self {
        let target = |name: &str, more: &str| {
            format!(
                "[[target]]\nname = \"{name}\"\nregions = [\"{IRELAND}\", \"{VIRGINIA}\"]\n\
                 credentials = {{ access_key_id = {{ env = \"K\" }}, secret_access_key = {{ env = \"S\" }} }}\n{more}"
            )
        };
        let role = format!("assume_role = [{{ arn = \"arn:aws:iam::{MEMBER}:role/Reader\" }}]\n");
        let config = format!("[crawl]\nrate = 0\nconcurrency = 8\n{}{}", target("home", ""), target("member", &role));
        Self { directory: tempfile::tempdir().expect("a directory"), config }
    }

    fn output(&self) -> PathBuf {
        self.directory.path().join("out.jsonl")
    }

    fn state(&self) -> PathBuf {
        self.directory.path().join("state.db")
    }

    /// A crawl with the state, to standard output.
    fn crawl(&self, sim: &Simulator, home: &DemoAccount) -> Dynacrawl {
        Dynacrawl::crawl()
            .sim(sim)
            .config(&self.config)
            .env("K", &home.access_key_id)
            .secret_env("S", &home.secret_access_key)
            .arg("--state")
            .arg(self.state())
    }

    /// A crawl with the state, to the file.
    fn crawl_to_file(&self, sim: &Simulator, home: &DemoAccount) -> Dynacrawl {
        self.crawl(sim, home).arg("--output").arg(self.output())
    }

    fn read(&self, ended: Ended) -> Crawled {
        let text = fs::read_to_string(self.output()).unwrap_or_else(|error| panic!("{error}: {}", ended.stderr));
        ended.with_records(text)
    }
}

/// Delays each request after this many, so that the crawl still runs when the test continues.
fn held_after(sim: &Simulator, requests: u64, seconds: u64) -> FaultId {
    sim.add_fault(FaultRule::new(Effect::Delay(Duration::from_secs(seconds))).when(When::After(requests)))
}

/// Starts a crawl, and kills it after this many requests unless it has ended.
fn killed_after(sim: &Simulator, crawl: Dynacrawl, requests: u64) -> Ended {
    let before = sim.counts().total.requests;
    let hanging = held_after(sim, requests, 3600);
    let mut running = crawl.start();
    running.drain();
    eventually("enough requests", || sim.counts().total.requests >= before + requests || running.has_ended());
    running.kill();
    sim.remove_fault(hanging);
    running.end()
}

/// Checks that every table of the estate is there once, in its account and Region.
#[track_caller]
fn whole(crawled: &Crawled, sim: &Simulator) {
    for (account, region) in [(HOME, IRELAND), (HOME, VIRGINIA), (MEMBER, IRELAND), (MEMBER, VIRGINIA)] {
        let of = |record: &&Value| record["scope"]["account_id"] == account && record["scope"]["region"] == region;
        let mut names: Vec<_> =
            crawled.of_type("table").filter(of).filter_map(|record| record["table"]["name"].as_str()).collect();
        names.extend(crawled.of_type("table_failed").filter(of).filter_map(|record| record["table_name"].as_str()));
        names.sort_unstable();
        assert_eq!(names, sim.table_names(account, region), "{account}/{region}");
    }
    for scope in crawled.of_type("scope_completed").filter(|scope| scope["target"] == "home") {
        assert_eq!(scope["counts"]["denied"], 1, "{scope}");
        assert_eq!(scope["problems"][0]["table_names"], serde_json::json!(["table-000007"]), "{scope}");
    }
}

/// Kills and resumes crawls at many moments: nothing is lost, nothing is there twice, and every
/// outcome is correct.
#[test]
fn killed_at_any_moment_the_resumed_file_is_that_of_one_crawl() {
    let mut resumed = 0;
    for seed in 0..50 {
        let (sim, home) = estate();
        let mut random = fastrand::Rng::with_seed(seed);
        let place = Place::new();
        let mut killed = 0;
        // Some are killed more than once, also after they were resumed.
        for _ in 0..=random.u32(0..3) {
            let ended = killed_after(&sim, place.crawl_to_file(&sim, &home), random.u64(1..450));
            killed += u32::from(ended.status.code().is_none());
        }
        let passing = FaultRule::new(Effect::Status(503)).operation(Operation::DescribeTable).table("table-00001*");
        sim.add_fault(passing.first(random.u64(0..12)));
        let ended = place.crawl_to_file(&sim, &home).run();
        resumed += u32::from(killed > 0 && ended.stderr.contains("resuming run"));
        let crawled = place.read(ended);
        assert_eq!(crawled.code, 3, "seed {seed}: a table is denied");
        whole(&crawled, &sim);
        assert!(!place.output().with_extension("jsonl.partial").exists());
    }
    assert!(resumed >= 30, "only {resumed} of 50 were resumed");
}

/// Where a crawl of the kill loop writes its lines.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stream {
    Stdout,
    Fifo,
}

/// The same with a stream, which cannot be cut back: lines may be repeated, but the state stays
/// usable, has every table once, and keeps the account of each scope. In some rounds the
/// configuration changes between two processes.
#[test]
fn killed_at_any_moment_on_a_stream_the_state_stays_correct() {
    for seed in 0..50 {
        let (sim, home) = estate();
        let mut random = fastrand::Rng::with_seed(1000 + seed);
        let stream = if seed % 2 == 0 { Stream::Stdout } else { Stream::Fifo };
        let place = Place::new();
        let fifo = place.directory.path().join("fifo");
        if stream == Stream::Fifo {
            let made = std::process::Command::new("mkfifo").arg(&fifo).status().expect("mkfifo");
            assert!(made.success());
            // A reader that outlives the processes. It is also opened for writing, so that opening
            // does not wait.
            let mut reader = fs::File::options().read(true).write(true).open(&fifo).expect("it opens");
            std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
        }
        let crawl = |emit: &str| {
            let crawl = place.crawl(&sim, &home).args(["--emit", emit]);
            match stream {
                Stream::Stdout => crawl,
                Stream::Fifo => crawl.arg("--output").arg(&fifo),
            }
        };
        for _ in 0..random.u32(1..=4) {
            let emit = if random.u32(0..4) == 0 { "changes" } else { "both" };
            killed_after(&sim, crawl(emit), random.u64(1..450));
        }
        let ended = crawl("both").run();
        assert_eq!(ended.code(), 3, "seed {seed}: a table is denied: {}", ended.stderr);
        let state = rusqlite::Connection::open(place.state()).expect("a database");
        let number = |sql: &str| state.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("a number");
        assert_eq!(
            number("SELECT count(*) FROM run_scopes WHERE account_id IS NULL AND outcome IS NOT NULL"),
            0,
            "seed {seed}"
        );
        assert_eq!(number("SELECT count(*) FROM staged"), 0, "seed {seed}");
        for (account, region) in [(HOME, IRELAND), (HOME, VIRGINIA), (MEMBER, IRELAND)] {
            let known = state
                .prepare(
                    "SELECT name FROM estate WHERE account_id = ? AND region = ? AND status = 'present' ORDER BY name",
                )
                .expect("a query")
                .query_map([account, region], |row| row.get::<_, String>(0))
                .expect("rows")
                .collect::<Result<Vec<_>, _>>()
                .expect("names");
            let there = |name: &String| *name != "gone" && !(account == HOME && *name == "table-000007");
            let there: Vec<_> = sim.table_names(account, region).into_iter().filter(there).collect();
            assert_eq!(known, there, "seed {seed}: {account}/{region}");
        }
        let added = number("SELECT count(*) FROM changes WHERE type = 'table_added'");
        assert_eq!(added, number("SELECT count(*) FROM tables"), "seed {seed}: each table is added once");
        assert_eq!(number("SELECT count(*) FROM changes"), added, "seed {seed}: nothing else happened");
    }
}

#[test]
fn complete_scopes_are_not_crawled_again() {
    let (sim, home) = estate();
    let place = Place::new();
    // The member's second Region is empty. The first account is delayed.
    let slow = FaultRule::new(Effect::Delay(Duration::from_secs(600))).account(HOME).region(IRELAND);
    let slow = sim.add_fault(slow.operation(Operation::DescribeTable).table("table-00022*"));
    let mut running = place.crawl_to_file(&sim, &home).start();
    let checkpoint = "run_scopes WHERE checkpoint LIKE '%\"after\":\"table-000198\"%'";
    eventually("three scopes have ended, and two pages of the last one are done", || {
        state_has(&place.state(), 3, "run_scopes WHERE outcome IS NOT NULL") && state_has(&place.state(), 1, checkpoint)
    });
    running.kill();
    let first = running.end();
    assert!(first.status.code().is_none());
    sim.remove_fault(slow);
    sim.reset_counts();
    let crawled = place.read(place.crawl_to_file(&sim, &home).run());
    whole(&crawled, &sim);
    assert!(crawled.stderr.contains("3 scopes have ended, 1 continues"), "{}", crawled.stderr);
    let counts = sim.counts();
    for (account, region) in [(HOME, VIRGINIA), (MEMBER, IRELAND), (MEMBER, VIRGINIA)] {
        assert_eq!(counts.of(account, region, Operation::ListTables).requests, 0, "{account}/{region}");
    }
    // Two of three pages are done: one is listed again, and only its remaining tables are
    // described.
    assert_eq!(counts.of(HOME, IRELAND, Operation::ListTables).requests, 1);
    let described = counts.of(HOME, IRELAND, Operation::DescribeTable).requests;
    assert!((10..60).contains(&described), "{described}");
    // The requests of the first process are counted, too.
    let requests =
        &crawled.of_type("scope_completed").find(|scope| scope["counts"]["listed"] == 231).expect("it")["requests"];
    assert!(requests["ListTables"]["sent"].as_u64().is_some_and(|sent| sent >= 3), "{requests}");
}

/// Whether the state has this many rows, as a reader sees it.
fn state_has(path: &Path, count: i64, rows: &str) -> bool {
    let open = rusqlite::Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY);
    let seen =
        open.and_then(|state| state.query_row(&format!("SELECT count(*) FROM {rows}"), [], |row| row.get::<_, i64>(0)));
    seen.is_ok_and(|seen| seen == count)
}

#[test]
fn an_interrupted_crawl_is_finished_by_the_next_one() {
    let (sim, home) = estate();
    let place = Place::new();
    let slow = held_after(&sim, 90, 1);
    let running = place.crawl_to_file(&sim, &home).start();
    eventually("it is under way", || sim.counts().requests(Operation::DescribeTable) > 60);
    running.signal("TERM");
    let first = running.end();
    sim.remove_fault(slow);
    assert_eq!(first.code(), 130, "{}", first.stderr);
    let partial = fs::read_to_string(place.directory.path().join("out.jsonl.partial")).expect("it is there");
    let id = contract::lines(&partial)[0]["run_id"].clone();
    let crawled = place.read(place.crawl_to_file(&sim, &home).run());
    assert_eq!(crawled.records[0]["run_id"], id);
    assert_eq!(crawled.of_type("scope_completed").filter(|scope| scope["outcome"] == "cancelled").count(), 0);
    whole(&crawled, &sim);
}

#[test]
fn on_standard_output_only_tables_in_flight_are_repeated() {
    let (sim, home) = estate();
    let place = Place::new();
    let mut running = place.crawl(&sim, &home).start();
    running.wait_for_line("\"type\":\"scope_completed\"");
    running.wait_for_line("\"type\":\"scope_completed\"");
    running.kill();
    let first = running.end();
    // The last line may be cut off.
    let whole_lines = first.stdout.rsplit_once('\n').map_or("", |(lines, _)| lines);
    let first = contract::lines(whole_lines);
    let second = place.crawl(&sim, &home).run();
    let lines = contract::lines(&second.stdout);
    assert_eq!((&lines[0]["type"], &lines[0]["resumed"]), (&"run_started".into(), &true.into()));
    assert_eq!((&lines[0]["run_id"], &first[0]["resumed"]), (&first[0]["run_id"], &false.into()));
    let ends = |lines: &[Value]| lines.iter().filter(|record| record["type"] == "scope_completed").count();
    assert!(ends(&first) >= 2 && ends(&first) + ends(&lines) >= 4);
    let last = lines.last().expect("a record");
    assert_eq!((&last["scope_counts"]["planned"], &last["counts"]["listed"]), (&4.into(), &391.into()));
    let names: BTreeSet<_> = first
        .iter()
        .chain(&lines)
        .filter(|record| record["type"] == "table")
        .map(|record| record["table"]["arn"].to_string())
        .collect();
    assert_eq!(names.len(), 230 + 40 + 120 - 2, "all but the two that are denied");
}

#[test]
fn a_run_that_cannot_be_resumed_is_replaced_with_a_notice() {
    let (sim, home) = estate();
    let mut place = Place::new();
    let kill = |place: &Place| {
        let hanging = held_after(&sim, 200, 3600);
        let mut running = place.crawl_to_file(&sim, &home).start();
        eventually("something is committed", || {
            state_has(&place.state(), 1, "runs WHERE ended_at IS NULL AND output_offset > 200")
        });
        running.kill();
        drop(running.end());
        sim.remove_fault(hanging);
    };
    let first_id = |place: &Place| {
        let partial = fs::read_to_string(place.directory.path().join("out.jsonl.partial")).unwrap_or_default();
        partial.split("\"run_id\":\"").nth(1).unwrap_or_default()[..26].to_owned()
    };
    let anew = |place: &Place, crawl: Dynacrawl, why: &str| {
        let killed = first_id(place);
        let crawled = place.read(crawl.run());
        assert!(crawled.stderr.contains("starting a new run") && crawled.stderr.contains(why), "{}", crawled.stderr);
        assert_ne!(crawled.records[0]["run_id"], killed.as_str());
        whole(&crawled, &sim);
    };
    kill(&place);
    anew(&place, place.crawl_to_file(&sim, &home).arg("--fresh"), "--fresh");
    kill(&place);
    anew(&place, place.crawl_to_file(&sim, &home).args(["--exclude", "nothing-like-it"]), "configuration");
    kill(&place);
    place.config.insert_str(0, "[state]\nresume_within = \"1ms\"\n");
    anew(&place, place.crawl_to_file(&sim, &home), "resume_within");
    place.config = Place::new().config;
    kill(&place);
    let partial = place.directory.path().join("out.jsonl.partial");
    let text = fs::read_to_string(&partial).expect("it is there");
    fs::write(&partial, &text[..200]).expect("it is cut");
    anew(&place, place.crawl_to_file(&sim, &home), "no longer has the earlier output");
}

#[test]
fn a_file_that_another_run_has_overwritten_is_not_continued() {
    let (sim, home) = estate();
    let place = Place::new();
    let hanging = held_after(&sim, 200, 3600);
    let mut running = place.crawl_to_file(&sim, &home).start();
    eventually("something is committed", || state_has(&place.state(), 1, "runs WHERE output_offset > 200"));
    running.kill();
    drop(running.end());
    sim.remove_fault(hanging);
    // Longer than the committed part, and complete lines, but of another run.
    let partial = place.directory.path().join("out.jsonl.partial");
    let others = fs::read_to_string(&partial).expect("it is there").replace("\"run_id\":\"01", "\"run_id\":\"02");
    fs::write(&partial, others).expect("written");
    let crawled = place.read(place.crawl_to_file(&sim, &home).run());
    assert!(crawled.stderr.contains("starting a new run"), "{}", crawled.stderr);
    whole(&crawled, &sim);
}

#[test]
fn a_scope_that_began_in_one_account_ends_in_another() {
    let (sim, home) = estate();
    let member = Account::new(MEMBER).access("member");
    let mut place = Place::new();
    place.config = format!(
        "[crawl]\nrate = 50\n[[target]]\nname = \"one\"\nregions = [\"{IRELAND}\"]\n\
         credentials = {{ access_key_id = {{ env = \"K\" }}, secret_access_key = {{ env = \"S\" }} }}\n"
    );
    let mut running = place.crawl_to_file(&sim, &home).start();
    eventually("the account is committed", || {
        state_has(&place.state(), 1, "run_scopes WHERE account_id IS NOT NULL AND checkpoint LIKE '%table-%'")
    });
    running.kill();
    drop(running.end());
    let crawled = place.read(place.crawl_to_file(&sim, &member).run());
    assert_eq!(crawled.code, 3, "{}", crawled.stderr);
    assert_eq!(crawled.scope(IRELAND)["problems"][0]["code"], "account_mismatch");
    assert!(crawled.of_type("table").all(|table| table["scope"]["account_id"] == HOME));
}

#[test]
fn a_closed_standard_output_ends_the_run() {
    let (sim, home) = estate();
    let place = Place::new();
    let mut running = place.crawl(&sim, &home).start();
    running.wait_for_line("\"type\":\"table\"");
    running.close_stdout();
    assert_eq!(running.end().code(), 0);
    let next = place.crawl(&sim, &home).records();
    assert_eq!(next.records[0]["resumed"], false);
    whole(&next, &sim);
}

#[test]
fn a_run_that_ended_is_followed_by_a_new_one() {
    let (sim, home) = ireland(30);
    let place = Place::new();
    let crawl = || Dynacrawl::crawl_of(&sim, &home, IRELAND).arg("--state").arg(place.state());
    let ids: BTreeSet<_> = (0..2).map(|_| crawl().records().records[0]["run_id"].to_string()).collect();
    assert_eq!(ids.len(), 2);
    // A dry run does not use the state.
    assert_eq!(crawl().arg("--dry-run").records().code, 0);
}

#[test]
fn a_state_that_cannot_be_used_is_refused_before_any_call() {
    let (sim, home) = ireland(3);
    let crawl = || Dynacrawl::crawl_of(&sim, &home, IRELAND);
    crawl().args(["--state", "/nonexistent/state.db"]).run().fails_with(5, "/nonexistent/state.db");
    crawl().file("text", &"no database\n".repeat(100)).args(["--state", "text"]).run().fails_with(2, "not a database");
    assert_eq!(sim.counts().total.requests, 0);
}

#[test]
fn one_crawl_at_a_time_writes_a_state() {
    let (sim, home) = ireland(50);
    sim.add_fault(FaultRule::new(Effect::Delay(Duration::from_secs(600))).operation(Operation::DescribeTable));
    let place = Place::new();
    let crawl = || Dynacrawl::crawl_of(&sim, &home, IRELAND).arg("--state").arg(place.state());
    let mut first = crawl().start();
    eventually("it is under way", || sim.counts().requests(Operation::DescribeTable) > 0);
    crawl().run().fails_with(5, "in use by another run");
    first.kill();
    drop(first.end());
}

#[test]
fn accounts_and_regions_are_not_discovered_again() {
    let role = Role::new("Reader").trusts(HOME);
    let home = Account::new(HOME).role(role.clone()).region(VIRGINIA, Tables::new().generated(10));
    let member = Account::new(MEMBER)
        .role(role)
        .region(IRELAND, Tables::new().generated(150))
        .region(VIRGINIA, Tables::new().generated(20));
    let access = home.access("home");
    let root = dynacrawl_sim::OrganizationalUnit::new("r-test").account(HOME).account(MEMBER);
    let organization = dynacrawl_sim::Organization::new(HOME).root(root);
    let options = Options { latency: Duration::from_millis(3), ..Options::default() };
    let sim = simulate_with(Estate::new([home, member]).organization(organization), &options);
    let mut place = Place::new();
    place.config =
        "[crawl]\nrate = 0\nconcurrency = 4\n[[target]]\nname = \"org\"\nregions = \"all\"\norganizations = true\n\
                    credentials = { access_key_id = { env = \"K\" }, secret_access_key = { env = \"S\" } }\n\
                    assume_role = [{ arn = \"arn:aws:iam::{account}:role/Reader\" }]\n"
            .to_owned();
    let url = sim.url();
    let crawl = || {
        let crawl = place.crawl_to_file(&sim, &access).args(["--organizations-endpoint-url", &url]);
        crawl.args(["--account-endpoint-url", &url, "--ec2-endpoint-url", &url])
    };
    let hanging = held_after(&sim, 100, 3600);
    let mut running = crawl().start();
    eventually("a scope is under way", || state_has(&place.state(), 1, "run_scopes WHERE checkpoint IS NOT NULL"));
    running.kill();
    drop(running.end());
    sim.remove_fault(hanging);
    sim.reset_counts();
    let crawled = place.read(crawl().run());
    assert_eq!((crawled.code, crawled.of_type("table").count()), (0, 180), "{}", crawled.stderr);
    assert_eq!(crawled.of_type("accounts_discovered").count(), 1);
    assert_eq!(crawled.of_type("regions_discovered").count(), 2);
    assert_eq!(sim.counts().requests(Operation::ListAccounts), 0);
}
