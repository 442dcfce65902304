//! Runs the binary in a separate environment.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use dynacrawl_sim::{DemoAccount, Simulator};
use serde_json::Value;
use tempfile::TempDir;

use crate::contract;

/// No process runs this long unless it hangs.
const ENDS_WITHIN: Duration = Duration::from_secs(180);

/// A command of dynacrawl that can be run. The environment, AWS settings and network of the machine
/// do not affect it.
#[derive(Debug)]
pub(crate) struct Dynacrawl {
    command: Command,
    /// The home directory, which contains only the files of the test.
    home: TempDir,
    secrets: Vec<String>,
}

/// A process that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// Kept for the files in it.
    pub(crate) home: TempDir,
}

/// A crawl that has ended, with its records, which were checked against the contract of the output.
#[derive(Debug)]
pub(crate) struct Crawled {
    pub(crate) code: i32,
    pub(crate) stderr: String,
    pub(crate) records: Vec<Value>,
    /// The lines as they were written.
    pub(crate) text: String,
    /// Kept for the files in it.
    pub(crate) home: TempDir,
}

impl Dynacrawl {
    pub(crate) fn new(subcommand: &str) -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        let mut command = Command::new(env!("CARGO_BIN_EXE_dynacrawl"));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", home.path())
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_CONFIG_FILE", home.path().join("config"))
            .env("AWS_SHARED_CREDENTIALS_FILE", home.path().join("credentials"))
            .current_dir(home.path())
            .stdin(Stdio::null())
            .arg(subcommand);
        Self { command, home, secrets: Vec::new() }
    }

    /// `dynacrawl crawl`.
    pub(crate) fn crawl() -> Self {
        Self::new("crawl")
    }

    /// `dynacrawl crawl` of one Region of a simulator, with an account's own keys.
    pub(crate) fn crawl_of(sim: &Simulator, account: &DemoAccount, regions: &str) -> Self {
        Self::crawl().sim(sim).keys(account).args(["--region", regions])
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub(crate) fn args<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(mut self, args: I) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// A text that must not appear anywhere.
    pub(crate) fn secret(mut self, text: &str) -> Self {
        self.secrets.push(text.to_owned());
        self
    }

    /// Uses this simulator for DynamoDB and STS.
    pub(crate) fn sim(self, sim: &Simulator) -> Self {
        self.endpoint(&sim.url())
    }

    /// Uses this server for DynamoDB and STS.
    pub(crate) fn endpoint(self, url: &str) -> Self {
        self.args(["--endpoint-url", url, "--sts-endpoint-url", url])
    }

    /// An account's own keys, as AWS's environment variables.
    pub(crate) fn keys(self, account: &DemoAccount) -> Self {
        self.aws_keys(&account.access_key_id, &account.secret_access_key, None)
    }

    /// Keys as AWS's environment variables.
    pub(crate) fn aws_keys(self, id: &str, secret: &str, token: Option<&str>) -> Self {
        let keyed = self.env("AWS_ACCESS_KEY_ID", id).env("AWS_SECRET_ACCESS_KEY", secret).hidden(secret);
        match token {
            Some(token) => keyed.env("AWS_SESSION_TOKEN", token).secret(token),
            None => keyed,
        }
    }

    /// Runs in another directory than its home.
    pub(crate) fn in_directory(mut self, path: &Path) -> Self {
        self.command.current_dir(path);
        self
    }

    /// Reads standard input from a file.
    pub(crate) fn input(mut self, path: &Path) -> Self {
        self.command.stdin(fs::File::open(path).expect("the input"));
        self
    }

    /// An environment variable with a secret.
    pub(crate) fn secret_env(self, name: &str, value: &str) -> Self {
        self.env(name, value).hidden(value)
    }

    /// Not for short secrets such as `test`, which messages contain as words.
    fn hidden(self, secret: &str) -> Self {
        if secret.len() >= 16 { self.secret(secret) } else { self }
    }

    /// A file in the home directory.
    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        fs::write(self.home.path().join(name), text).unwrap_or_else(|error| panic!("cannot write {name}: {error}"));
        self
    }

    /// A configuration file, passed with `--config`.
    pub(crate) fn config(self, text: &str) -> Self {
        let path = self.path("dynacrawl.toml");
        self.file("dynacrawl.toml", text).arg("--config").arg(path)
    }

    /// A path in the home directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Runs the command to its end.
    pub(crate) fn run(self) -> Ended {
        self.start().end()
    }

    /// Runs a crawl to its end, and checks its standard output against the contract.
    pub(crate) fn records(self) -> Crawled {
        let ended = self.run();
        let text = ended.stdout.clone();
        ended.with_records(text)
    }

    /// As [`Dynacrawl::records`], for a crawl that writes to a file in the home directory.
    pub(crate) fn records_in(self, file: &str) -> Crawled {
        let ended = self.run();
        assert_eq!(ended.stdout, "", "the records go to the file");
        let text = fs::read_to_string(ended.home.path().join(file))
            .unwrap_or_else(|error| panic!("cannot read {file}: {error}\n{}", ended.stderr));
        ended.with_records(text)
    }

    /// Starts the process. Its standard output can be read while it runs.
    pub(crate) fn start(mut self) -> Running {
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().expect("the binary can be started");
        let stdout = BufReader::new(child.stdout.take().expect("standard output is a pipe"));
        let mut stderr = BufReader::new(child.stderr.take().expect("standard error is a pipe"));
        let (lines, printed) = mpsc::channel();
        let messages = thread::spawn(move || {
            let (mut all, mut line) = (String::new(), String::new());
            while stderr.read_line(&mut line).is_ok_and(|read| read > 0) {
                all.push_str(&line);
                // The receiver is gone if the test does not wait for messages.
                let _ = lines.send(std::mem::take(&mut line));
            }
            all
        });
        Running { child: Process(child), stdout: Some(stdout), seen: String::new(), printed, messages, crawl: self }
    }
}

/// A process that ends with its test. A daemon would run forever.
#[derive(Debug)]
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Most processes have ended already, so this fails.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running process.
#[derive(Debug)]
pub(crate) struct Running {
    child: Process,
    stdout: Option<BufReader<ChildStdout>>,
    /// The standard output that was read so far.
    seen: String,
    printed: mpsc::Receiver<String>,
    messages: JoinHandle<String>,
    crawl: Dynacrawl,
}

impl Running {
    /// Reads standard output to its end and discards it, so that the process does not wait for a
    /// reader.
    pub(crate) fn drain(&mut self) {
        if let Some(mut stdout) = self.stdout.take() {
            thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        }
    }

    /// Waits for a line of standard output that contains `text`.
    pub(crate) fn wait_for_line(&mut self, text: &str) {
        let stdout = self.stdout.as_mut().expect("standard output is open");
        let mut line = String::new();
        loop {
            line.clear();
            let read = stdout.read_line(&mut line).expect("standard output can be read");
            assert!(read > 0, "it ended without a line with {text}:\n{}", self.seen);
            self.seen.push_str(&line);
            if line.contains(text) {
                return;
            }
        }
    }

    /// Waits for a message on standard error that contains `text`, and returns its line.
    #[track_caller]
    pub(crate) fn wait_for_message(&self, text: &str) -> String {
        let mut before = String::new();
        loop {
            let line = self.printed.recv_timeout(ENDS_WITHIN);
            let line = line.unwrap_or_else(|_| panic!("there was no message with {text}:\n{before}"));
            if line.contains(text) {
                return line;
            }
            before.push_str(&line);
        }
    }

    /// Sends a signal: `INT`, `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.0.id().to_string()).status();
        assert!(sent.expect("kill is there").success(), "the process is gone");
    }

    /// Kills the process, like a power failure.
    pub(crate) fn kill(&mut self) {
        // This fails if the process has ended by itself.
        let _ = self.child.0.kill();
    }

    /// Whether the process has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        matches!(self.child.0.try_wait(), Ok(Some(_)))
    }

    /// Waits for the end without reading more of standard output.
    pub(crate) fn end_unread(mut self) -> Ended {
        let held = self.stdout.take();
        let ended = self.end();
        drop(held);
        ended
    }

    /// Closes the reading end of standard output.
    pub(crate) fn close_stdout(&mut self) {
        drop(self.stdout.take());
    }

    /// A path in the home directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.crawl.path(name)
    }

    /// Waits for the end.
    pub(crate) fn end(self) -> Ended {
        let Self { mut child, stdout, mut seen, messages, crawl, .. } = self;
        let id = child.0.id();
        let (done, ended) = mpsc::channel();
        let waiter = thread::spawn(move || {
            if let Some(mut stdout) = stdout {
                stdout.read_to_string(&mut seen).expect("standard output is text");
            }
            let status = child.0.wait().expect("the state of a child of ours");
            // This fails if the test stopped waiting, which it has reported.
            let _ = done.send(());
            (status, seen)
        });
        if ended.recv_timeout(ENDS_WITHIN).is_err() {
            let _ = Command::new("kill").args(["-KILL", &id.to_string()]).status();
            panic!("it still ran after {ENDS_WITHIN:?}");
        }
        let (status, stdout) = waiter.join().expect("the output was read");
        let stderr = messages.join().expect("the messages were read");
        let Dynacrawl { home, secrets, .. } = crawl;
        for (name, text) in [("standard output", &stdout), ("standard error", &stderr)] {
            contract::no_secret_in(name, text, &secrets);
        }
        for file in files(home.path()).filter(|path| path.extension().is_some_and(|e| e == "jsonl" || e == "partial")) {
            let text = fs::read_to_string(&file).unwrap_or_default();
            contract::no_secret_in(&file.display().to_string(), &text, &secrets);
        }
        Ended { status, stdout, stderr, home }
    }
}

fn files(directory: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(directory).expect("a directory").filter_map(|entry| Some(entry.ok()?.path())).filter(|p| p.is_file())
}

impl Ended {
    /// The exit code. Panics if a signal ended the process.
    pub(crate) fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| panic!("{}:\n{}", self.status, self.stderr))
    }

    /// Checks the exit code, and that standard error contains a text.
    #[track_caller]
    pub(crate) fn fails_with(&self, code: i32, text: &str) {
        assert_eq!(self.code(), code, "{}\n{}", self.stderr, self.stdout);
        assert!(self.stderr.contains(text), "no {text:?} in {}", self.stderr);
    }

    /// Checks that the process succeeded, and returns its standard output.
    #[track_caller]
    pub(crate) fn succeeded(self) -> String {
        assert_eq!(self.code(), 0, "{}\n{}", self.stderr, self.stdout);
        self.stdout
    }

    /// Parses `text` as the records of this crawl, and checks them.
    pub(crate) fn with_records(self, text: String) -> Crawled {
        let code = self.code();
        let records = contract::check(&text, code, &self.stderr);
        Crawled { code, stderr: self.stderr, records, text, home: self.home }
    }
}

impl Crawled {
    /// All records of a type.
    pub(crate) fn of_type<'a>(&'a self, kind: &str) -> impl Iterator<Item = &'a Value> {
        self.records.iter().filter(move |record| record["type"] == kind)
    }

    /// The end of a Region's scope. Use [`Crawled::target`] if several targets have the Region.
    #[track_caller]
    pub(crate) fn scope(&self, region: &str) -> &Value {
        let mut found = self.of_type("scope_completed").filter(|record| record["scope"]["region"] == region);
        match (found.next(), found.next()) {
            (Some(scope), None) => scope,
            other => panic!("not one scope of {region}: {other:?}"),
        }
    }

    /// The end of a target's only scope.
    #[track_caller]
    pub(crate) fn target(&self, name: &str) -> &Value {
        let mut found = self.of_type("scope_completed").filter(|record| record["target"] == name);
        match (found.next(), found.next()) {
            (Some(scope), None) => scope,
            other => panic!("not one scope of {name}: {other:?}"),
        }
    }

    /// The names of the described tables, sorted.
    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.of_type("table").filter_map(|record| record["table"]["name"].as_str()).collect();
        names.sort_unstable();
        names
    }

    /// The record of a table.
    #[track_caller]
    pub(crate) fn table(&self, name: &str) -> &Value {
        self.of_type("table").find(|record| record["table"]["name"] == name).unwrap_or_else(|| panic!("no {name}"))
    }

    /// The failed tables, sorted: name, reason and code.
    pub(crate) fn failures(&self) -> Vec<(&str, &str, &str)> {
        let mut failed: Vec<_> = self
            .of_type("table_failed")
            .map(|record| {
                let field = |name: &str| record[name].as_str().expect("the schema says so");
                (field("table_name"), field("reason"), field("code"))
            })
            .collect();
        failed.sort_unstable();
        failed
    }
}
