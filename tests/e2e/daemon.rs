//! Runs `dynacrawl serve`, and sends it HTTP requests.

use std::collections::HashMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dynacrawl_sim::{DemoAccount, Simulator};
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use tempfile::TempDir;

use crate::command::{Dynacrawl, Ended, Running};
use crate::contract;
use crate::prometheus::Page;
use crate::support::{IRELAND, eventually};

/// The bearer token of `POST /api/v1/runs`.
pub(crate) const TOKEN: &str = "the-token-9f2c51d07be4a863";

/// A target of the configuration, with an account's own keys.
pub(crate) fn target(name: &str, regions: &[&str]) -> String {
    format!(
        "[[target]]\nname = \"{name}\"\nregions = {regions:?}\n\
         credentials = {{ access_key_id = {{ env = \"K\" }}, secret_access_key = {{ env = \"S\" }} }}\n"
    )
}

/// A schedule of the configuration.
pub(crate) fn schedule(name: &str, cron: &str) -> String {
    format!("[[schedule]]\nname = \"{name}\"\ncron = \"{cron}\"\n")
}

/// A cron expression that matches most minutes, but none of the next ten.
pub(crate) fn not_now() -> String {
    let minute = millis(Duration::ZERO) / 60_000 % 60;
    let others: Vec<_> = (11..60).map(|later| ((minute + later) % 60).to_string()).collect();
    format!("{} * * * *", others.join(","))
}

/// The time this long ago, in milliseconds since 1970.
pub(crate) fn millis(ago: Duration) -> i64 {
    let then = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970") - ago;
    i64::try_from(then.as_millis()).expect("a time of these days")
}

/// A directory for the state and the output, which outlives the processes, and the sections of the
/// configuration.
#[derive(Debug)]
pub(crate) struct Place {
    directory: TempDir,
    pub(crate) serve: String,
    pub(crate) crawl: String,
    /// The value of `changes.emit`.
    pub(crate) emit: &'static str,
    /// Targets and schedules.
    pub(crate) rest: String,
    /// The output: by default a file for each run.
    pub(crate) output: String,
}

impl Place {
    /// One target, `home`, in Ireland.
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let output = directory.path().join("out-{run_id}.jsonl").display().to_string();
        let rest = target("home", &[IRELAND]);
        Self { directory, serve: String::new(), crawl: String::new(), emit: "both", rest, output }
    }

    /// As [`Place::new`], with settings of the daemon.
    pub(crate) fn serving(serve: &str) -> Self {
        let mut place = Self::new();
        serve.clone_into(&mut place.serve);
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path("state.db")
    }

    pub(crate) fn config(&self) -> String {
        let Self { serve, crawl, emit, rest, output, .. } = self;
        format!(
            "changes.emit = \"{emit}\"\n[serve]\nlisten = \"127.0.0.1:0\"\ntoken = {{ env = \"TOKEN\" }}\n{serve}[state]\npath = \"{}\"\n\
             [crawl]\nrate = 0\noutput = \"{output}\"\n{crawl}{rest}",
            self.state().display()
        )
    }

    /// `dynacrawl serve`, ready to be started.
    pub(crate) fn serve(&self, sim: &Simulator, home: &DemoAccount) -> Dynacrawl {
        keyed(Dynacrawl::new("serve").config(&self.config()).secret_env("TOKEN", TOKEN), sim, home)
    }

    /// `dynacrawl serve`, running.
    pub(crate) fn daemon(&self, sim: &Simulator, home: &DemoAccount) -> Daemon {
        Daemon::of(self.serve(sim, home))
    }

    /// The newest file of a run, if there is one. Their names sort by age.
    fn newest(&self, end: &str) -> Option<PathBuf> {
        let files = fs::read_dir(self.directory.path()).expect("there is a directory");
        let files = files.map(|file| file.expect("an entry").path());
        let of_run = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("out-") && name.ends_with(end)
        };
        files.filter(of_run).max()
    }

    /// Whether a run has put its output in place.
    pub(crate) fn has_output(&self) -> bool {
        self.newest(".jsonl").is_some()
    }

    /// The output of the last run that put it in place.
    #[track_caller]
    pub(crate) fn text(&self) -> String {
        fs::read_to_string(self.newest(".jsonl").expect("there is an output")).expect("it can be read")
    }

    /// The partial output of the last run that did not put its output in place.
    pub(crate) fn partial(&self) -> Option<String> {
        self.newest(".jsonl.partial").map(|path| fs::read_to_string(path).expect("it can be read"))
    }

    /// The records of the last run that put its output in place.
    #[track_caller]
    pub(crate) fn records(&self) -> Vec<Value> {
        contract::lines(&self.text())
    }

    /// How many rows the state has, as a reader sees it.
    #[track_caller]
    pub(crate) fn rows(&self, rows: &str) -> i64 {
        number(&self.state(), &format!("SELECT count(*) FROM {rows}")).expect("the state can be read")
    }

    /// Whether the state has this many rows. Returns false if it does not exist yet.
    pub(crate) fn has(&self, count: i64, rows: &str) -> bool {
        number(&self.state(), &format!("SELECT count(*) FROM {rows}")).is_ok_and(|seen| seen == count)
    }

    /// Whether the state has at least this many rows. Returns false if it cannot be read yet.
    pub(crate) fn has_at_least(&self, count: i64, rows: &str) -> bool {
        number(&self.state(), &format!("SELECT count(*) FROM {rows}")).is_ok_and(|seen| seen >= count)
    }

    /// How far its sink is in the outbox; 0 if there is no state yet.
    pub(crate) fn delivered(&self) -> u64 {
        number(&self.state(), "SELECT COALESCE(MAX(cursor), 0) FROM sinks").unwrap_or_default().unsigned_abs()
    }

    /// The changes of all runs, in order, each as its type and the name of its table. `region`: only of one.
    pub(crate) fn changes(&self, region: Option<&str>) -> Vec<String> {
        let state = Connection::open(self.state()).expect("a database");
        let mut query = state
            .prepare(
                "SELECT type || ' ' || COALESCE(name, '') FROM changes JOIN scopes USING (scope_id) \
                 WHERE region = COALESCE(?1, region) ORDER BY change_id",
            )
            .expect("SQL");
        query.query_map([region], |row| row.get(0)).and_then(Iterator::collect).expect("the changes")
    }

    /// Checks that events, in the order of arrival, have all changes in order, and that a repeated event has the
    /// same content.
    #[track_caller]
    pub(crate) fn has_delivered(&self, events: impl IntoIterator<Item = Value>, seed: u64) {
        let (mut by_id, mut arrived) = (HashMap::new(), Vec::new());
        for event in events {
            let id = event["event_id"].as_str().expect("an id").to_owned();
            if let Some(before) = by_id.insert(id, event.clone()) {
                assert_eq!(before, event, "seed {seed}");
                continue;
            }
            let kind = event["type"].as_str().unwrap_or_default();
            if kind.starts_with("table_") {
                let name = event["table"]["name"].as_str().or(event["table_name"].as_str()).unwrap_or_default();
                arrived.push(format!("{kind} {name}"));
            }
        }
        assert_eq!(arrived, self.changes(None), "seed {seed}");
        assert_eq!(self.rows("outbox"), 0, "seed {seed}");
    }

    /// Changes the state while no process writes it.
    #[track_caller]
    pub(crate) fn write(&self, sql: &str) {
        Connection::open(self.state()).and_then(|state| state.execute_batch(sql)).expect("it can be written");
    }
}

/// Adds a simulator, and the keys of an account in the variables that the targets name.
pub(crate) fn keyed(command: Dynacrawl, sim: &Simulator, home: &DemoAccount) -> Dynacrawl {
    command.sim(sim).env("K", &home.access_key_id).secret_env("S", &home.secret_access_key)
}

/// A number from a state, which another process may write meanwhile.
pub(crate) fn number(state: &Path, sql: &str) -> rusqlite::Result<i64> {
    let reader = Connection::open_with_flags(state, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    reader.busy_timeout(Duration::from_secs(5))?;
    reader.query_row(sql, [], |row| row.get(0))
}

/// The sorted names of the tables in records of a type.
pub(crate) fn names(records: &[Value], kind: &str) -> Vec<String> {
    let of_kind = records.iter().filter(|record| record["type"] == kind);
    let name =
        |record: &Value| record["table_name"].as_str().or_else(|| record["table"]["name"].as_str()).map(str::to_owned);
    let mut names: Vec<_> = of_kind.filter_map(name).collect();
    names.sort_unstable();
    names
}

/// The only record of a type.
#[track_caller]
pub(crate) fn only<'a>(records: &'a [Value], kind: &str) -> &'a Value {
    let found: Vec<_> = records.iter().filter(|record| record["type"] == kind).collect();
    assert_eq!(found.len(), 1, "{kind}: {found:?}");
    found[0]
}

/// A daemon that listens.
#[derive(Debug)]
pub(crate) struct Daemon {
    pub(crate) running: Running,
    address: SocketAddr,
}

/// An answer of the daemon.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The head, in lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Daemon {
    /// Starts it, and waits until it listens.
    #[track_caller]
    pub(crate) fn of(serve: Dynacrawl) -> Self {
        let running = serve.start();
        let line = running.wait_for_message("listening");
        // The message may be text or JSON.
        let address =
            line.split_once("127.0.0.1:").and_then(|(_, rest)| rest.split(|c: char| !c.is_ascii_digit()).next());
        let address = address.and_then(|port| format!("127.0.0.1:{port}").parse().ok());
        let address = address.unwrap_or_else(|| panic!("no address in {line}"));
        Self { running, address }
    }

    /// Sends a request, and reads all of the answer.
    #[track_caller]
    pub(crate) fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut text = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            text.push_str(&format!("host: {}\r\n", self.address));
        }
        headers.iter().for_each(|(name, value)| text.push_str(&format!("{name}: {value}\r\n")));
        let length = if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
        let mut stream = self.connect();
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time-out");
        stream.write_all(format!("{text}{length}\r\n{body}").as_bytes()).expect("it is sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(!answer.contains(TOKEN), "the token is in an answer: {answer}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Answer { status, head: head.to_lowercase(), body: body.to_owned() }
    }

    /// A connection without a request.
    #[track_caller]
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).expect("it listens")
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "")
    }

    /// Requests a run, with the token.
    #[track_caller]
    pub(crate) fn post(&self, body: &str) -> Answer {
        self.ask("POST", "/api/v1/runs", &[("authorization", &format!("Bearer {TOKEN}"))], body)
    }

    #[track_caller]
    pub(crate) fn metrics(&self) -> Page {
        let answer = self.get("/metrics");
        assert_eq!(answer.status, 200, "{}", answer.body);
        Page::parse(&answer.body)
    }

    /// How many runs have ended, with any outcome.
    #[track_caller]
    pub(crate) fn runs(&self) -> f64 {
        self.metrics().sum("dynacrawl_runs_total")
    }

    /// How many runs of all schedules have ended with this outcome.
    #[track_caller]
    pub(crate) fn ended(&self, outcome: &str) -> f64 {
        self.metrics().sum_of("dynacrawl_runs_total", "outcome", outcome)
    }

    #[track_caller]
    pub(crate) fn wait_for_runs(&self, count: f64) {
        eventually("the runs have ended", || self.runs() >= count);
        assert_eq!(self.runs(), count);
    }

    /// Requests a run, and waits for its end.
    #[track_caller]
    pub(crate) fn crawl(&self, body: &str) {
        let before = self.runs();
        let answer = self.post(body);
        assert_eq!(answer.status, 202, "{}", answer.body);
        self.wait_for_runs(before + 1.0);
    }

    /// Replaces the configuration file atomically, as a deployment would.
    pub(crate) fn configure(&self, text: &str) {
        let (new, path) = (self.running.path("new"), self.running.path("dynacrawl.toml"));
        fs::write(&new, text).and_then(|()| fs::rename(&new, &path)).expect("it is written");
    }

    /// Stops it while no run is in progress.
    #[track_caller]
    pub(crate) fn stop(self) -> Ended {
        self.running.signal("TERM");
        let ended = self.running.end();
        assert_eq!(ended.code(), 0, "{}", ended.stderr);
        ended
    }

    /// Kills it, like a power failure.
    pub(crate) fn kill(mut self) -> Ended {
        self.running.kill();
        self.running.end()
    }
}
