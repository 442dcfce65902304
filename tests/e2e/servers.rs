//! Servers of other projects, for the end-to-end tests.
//!
//! `tests/setup` installs them into `tests/.servers`. Each function here starts an empty server on
//! a free loopback port, and returns once it answers. The server ends when its [`Server`] is
//! dropped or the test process dies. If a server cannot be started or filled, the test panics with
//! the end of the server's log, because a test without its server must fail.

use std::ffi::OsString;
use std::fmt::{self, Display};
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

const STARTS_WITHIN: Duration = Duration::from_secs(60);
const ENDS_WITHIN: Duration = Duration::from_secs(10);

/// The kind of server. Each differs from AWS in its own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Has accounts through AssumeRole, and separate Regions. Checks permissions only after
    /// `POST /moto-api/reset-auth`.
    Moto,
    /// Has separate accounts and Regions. With `auth` it checks policies, trust, signatures and
    /// session tokens.
    Ministack { auth: bool },
    /// Checks requests strictly. Has one account, one Region under all names, and no STS.
    Dynoxide,
    /// Like dynoxide, with older tables: without streams, encryption and table class. Has no STS.
    Dynalite,
    /// A proxy that injects faults.
    Microburst,
    /// SeaweedFS, an object store with the API of S3.
    Seaweed,
    /// Tansu, a broker with the protocol of Kafka.
    Tansu,
}

impl Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Moto => "moto",
            Self::Ministack { .. } => "ministack",
            Self::Dynoxide => "dynoxide",
            Self::Dynalite => "dynalite",
            Self::Microburst => "microburst",
            Self::Seaweed => "seaweedfs",
            Self::Tansu => "tansu",
        })
    }
}

/// A running server. Dropping it ends the server.
#[derive(Debug)]
pub(crate) struct Server {
    /// `http://127.0.0.1:PORT`, the endpoint of DynamoDB, and of STS if the server has it.
    pub(crate) url: String,
    pub(crate) kind: Kind,
    /// `tests/servers/run.py`, which ends the server when its standard input is closed.
    child: Child,
    /// The log, and other files of this server.
    files: Vec<PathBuf>,
}

/// Credentials in the form of the AWS tools.
#[derive(Clone, Debug)]
pub(crate) struct Creds {
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
    pub(crate) session_token: Option<String>,
}

impl Creds {
    pub(crate) fn new(access_key_id: &str, secret_access_key: &str) -> Self {
        Self {
            access_key_id: access_key_id.to_owned(),
            secret_access_key: secret_access_key.to_owned(),
            session_token: None,
        }
    }

    /// `test`/`test`, which every server accepts. For ministack with `auth` it is the root of
    /// 000000000000.
    pub(crate) fn test() -> Self {
        Self::new("test", "test")
    }

    /// From an object with `access_key_id`, `secret_access_key` and optionally `session_token`, as
    /// [`iam_setup`] returns it.
    pub(crate) fn from_json(json: &Value) -> Self {
        let text = |key: &str| json[key].as_str().map(str::to_owned);
        let needed = |key: &str| text(key).unwrap_or_else(|| panic!("no {key} in {json}"));
        Self {
            access_key_id: needed("access_key_id"),
            secret_access_key: needed("secret_access_key"),
            session_token: text("session_token"),
        }
    }

    /// As environment variables of the AWS tools. A variable with `None` has to be removed from the
    /// environment.
    pub(crate) fn env(&self) -> [(&'static str, Option<&str>); 3] {
        [
            ("AWS_ACCESS_KEY_ID", Some(&self.access_key_id)),
            ("AWS_SECRET_ACCESS_KEY", Some(&self.secret_access_key)),
            ("AWS_SESSION_TOKEN", self.session_token.as_deref()),
        ]
    }
}

/// Starts moto.
pub(crate) fn moto() -> Server {
    start(Kind::Moto, &[], |port| {
        let mut command = in_servers("venv/bin/moto_server");
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        command
    })
}

/// Starts ministack. With `auth` it enforces permissions as AWS would (see [`iam_setup`]).
pub(crate) fn ministack(auth: bool) -> Server {
    start(Kind::Ministack { auth }, &[], |port| {
        let mut command = in_servers("venv/bin/ministack");
        command
            .env("BIND_HOST", "127.0.0.1")
            .env("GATEWAY_PORT", port.to_string())
            .env("AUTH", auth.to_string())
            // These would listen on fixed ports, and the first one on every interface.
            .env("IOT_MTLS_ENABLED", "0")
            .env("SFTP_ENABLED", "0");
        command
    })
}

/// Starts dynoxide.
pub(crate) fn dynoxide() -> Server {
    start(Kind::Dynoxide, &[], |port| {
        let mut command = in_servers("bin/dynoxide");
        command.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
        command
    })
}

/// Starts dynalite.
pub(crate) fn dynalite() -> Server {
    start(Kind::Dynalite, &[], |port| {
        let mut command = in_servers("bin/node");
        command
            .arg(servers().join("node/node_modules/dynalite/cli.js"))
            .args(["--host", "127.0.0.1", "--port", &port.to_string()])
            .args(["--createTableMs", "0"]);
        command
    })
}

/// Starts microburst in front of `upstream`, which has to outlive it.
///
/// `config` is YAML or JSON: `{"rules": [{"service": "dynamodb", "operation": "DescribeTable",
/// "probability": 0.1, "error": {"code": "ThrottlingException"}}]}`. The first rule that matches a
/// request and wins its draw decides. Unknown keys are ignored, so a test should check in
/// `/_microburst/stats` that its faults were injected. [`Server::request`] reads that page, and
/// replaces the rules with a `POST` to `/_microburst/rules`. Requests reach `upstream` with another
/// `Host` header, which breaks their signatures, so `ministack(true)` cannot be used.
pub(crate) fn microburst(upstream: &Server, config: &str) -> Server {
    let file = temp_file("microburst", "yaml");
    fs::write(&file, config).unwrap_or_else(|error| panic!("cannot write {}: {error}", file.display()));
    start(Kind::Microburst, &[file.as_path()], |port| {
        let mut command = in_servers("venv/bin/microburst");
        command
            .args(["--host", "127.0.0.1", "--port", &port.to_string()])
            .args(["--upstream", &upstream.url, "--config"])
            .arg(&file);
        command
    })
}

/// Starts SeaweedFS with the API of S3, for the keys of [`S3_KEYS`].
pub(crate) fn seaweed() -> Server {
    let directory = tempfile::tempdir().expect("a directory").keep();
    let mut server = seaweed_in(&directory);
    server.files.push(directory);
    server
}

/// The same with the data in a directory, which stays there when the server ends.
pub(crate) fn seaweed_in(directory: &Path) -> Server {
    let config = temp_file("seaweedfs", "json");
    let identity = serde_json::json!({
        "identities": [{
            "name": "e2e", "actions": ["Admin", "Read", "Write", "List"],
            "credentials": [{ "accessKey": S3_KEYS.0, "secretKey": S3_KEYS.1 }],
        }],
    });
    fs::write(&config, identity.to_string()).expect("written");
    start(Kind::Seaweed, &[config.as_path()], |port| {
        let mut command = in_servers("venv/bin/weed");
        command.arg("server").arg(format!("-dir={}", directory.display()));
        command.args(["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3"]);
        // Several of these servers run at once, and these two ports are the same for all.
        command.args(["-s3.port.iceberg=0", "-s3.port.lance=0"]);
        command.args(["-master.volumeSizeLimitMB=16", "-volume.max=30"]);
        command.arg(format!("-s3.port={port}")).arg(format!("-s3.config={}", config.display()));
        let others = [
            "master.port",
            "master.port.grpc",
            "volume.port",
            "volume.port.grpc",
            "filer.port",
            "filer.port.grpc",
            "s3.port.grpc",
        ];
        others.iter().fold(&mut command, |command, flag| command.arg(format!("-{flag}={}", free_port())));
        command
    })
}

/// The keys that [`seaweed`] knows.
pub(crate) const S3_KEYS: (&str, &str) = ("AKIAE2E", "seaweed-secret-of-e2e");

/// Makes a bucket if `make` is set. Returns its objects: `{key: {"size", "encryption", "type"}}`, and
/// stores them in the directory `save`.
pub(crate) fn bucket(server: &Server, name: &str, make: bool, save: Option<&Path>) -> Value {
    let mut args = vec!["--bucket", name];
    args.extend(make.then_some("--make"));
    let save = save.map(|directory| directory.display().to_string());
    args.extend(save.iter().flat_map(|directory| ["--save", directory]));
    script("s3.py", server, &args, Some(&Creds::new(S3_KEYS.0, S3_KEYS.1)))
}

/// Creates `tables` tables of many shapes in each Region, and returns what the server refused:
/// `{"created", "seconds", "refused": {region: {feature: message}}}`.
///
/// Table number i has the same name in every Region, and a different shape
/// (`tests/servers/seed.py`). Dynoxide and dynalite do not separate Regions, so use only one.
pub(crate) fn seed(server: &Server, tables: usize, regions: &[&str], creds: &Creds) -> Value {
    let tables = tables.to_string();
    let mut args = vec!["--tables", &tables];
    args.extend(regions);
    script("seed.py", server, &args, Some(creds))
}

/// All tables of a Region as boto3 reads them: `{name: {"arn", "id", "status", "key_schema":
/// [[attribute, type or null, "HASH" or "RANGE"]…], "indexes": {"global:NAME" or "local:NAME":
/// {"key_schema", "projection", "non_key_attributes": sorted}}, "billing_mode", "item_count",
/// "stream_view", "sse", "table_class", "deletion_protection"}}`.
pub(crate) fn oracle(server: &Server, region: &str, creds: &Creds) -> Value {
    script("oracle.py", server, &["--region", region], Some(creds))
}

/// Creates accounts, users and roles in a `ministack(true)` (`tests/servers/ministack_iam.py`), and
/// returns their keys:
///
/// - `accounts`, each with `account_id`, `access_key_id` and `secret_access_key` of its root, for [`seed`] and
///   [`oracle`]: `home` has the users, `member` and `chained` have the roles.
/// - `users`, each with `arn`, `access_key_id` and `secret_access_key`: `crawler` may list, describe
///   and assume every role; `nobody` may do nothing; `lister` and `describer` may do one of the two;
///   `partial` may not describe the tables whose number ends in 7; `one_region` may list and
///   describe only in eu-west-1.
/// - `roles`, each with `arn` and `external_id` or null: `guarded` requires its external id;
///   `unguarded` accepts any or none; `powerless` may do nothing; `chained` trusts only `guarded`,
///   with its external id.
pub(crate) fn iam_setup(server: &Server) -> Value {
    assert_eq!(server.kind, Kind::Ministack { auth: true }, "only ministack with auth has something to set up");
    script("ministack_iam.py", server, &[], None)
}

/// Assumes a role in moto or ministack for a number of seconds, which may be fewer than AWS would
/// allow.
pub(crate) fn assume(server: &Server, creds: &Creds, role: &str, external_id: Option<&str>, seconds: u32) -> Creds {
    let seconds = seconds.to_string();
    let mut args = vec!["--role", role, "--seconds", &seconds];
    if let Some(id) = external_id {
        args.extend(["--external-id", id]);
    }
    Creds::from_json(&script("assume.py", server, &args, Some(creds)))
}

impl Server {
    /// Sends one plain HTTP request, for the control pages of some servers. Returns the status and
    /// the body.
    pub(crate) fn request(&self, method: &str, path: &str, body: &str) -> io::Result<(u16, String)> {
        let host = self.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(host)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.set_write_timeout(Some(Duration::from_secs(10)))?;
        // An answer to HTTP/1.0 is never chunked and ends with the connection.
        let length = body.len();
        write!(stream, "{method} {path} HTTP/1.0\r\nHost: {host}\r\nContent-Type: application/json\r\n")?;
        write!(stream, "Content-Length: {length}\r\n\r\n{body}")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let answer = String::from_utf8_lossy(&answer);
        let malformed = || io::Error::other(format!("not an HTTP answer: {answer:?}"));
        let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(malformed)?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(malformed)?;
        Ok((status, body.to_owned()))
    }

    /// The port.
    pub(crate) fn port(&self) -> u16 {
        let port = self.url.rsplit_once(':').map(|(_, port)| port).expect("a port");
        port.parse().expect("a number")
    }

    fn is_up(&self) -> bool {
        // Its protocol is not HTTP.
        if self.kind == Kind::Tansu {
            return TcpStream::connect((Ipv4Addr::LOCALHOST, self.port())).is_ok();
        }
        // Without keys it denies every request.
        if self.kind == Kind::Seaweed {
            return matches!(self.request("GET", "/", ""), Ok((403, _)));
        }
        let path = match self.kind {
            Kind::Moto => "/moto-api/",
            Kind::Ministack { .. } => "/_ministack/health",
            // Microburst forwards the request. Its first forwarded request is slow, because it
            // loads its data about AWS then.
            Kind::Dynoxide | Kind::Dynalite | Kind::Microburst | Kind::Seaweed | Kind::Tansu => "/",
        };
        matches!(self.request("GET", path, ""), Ok((200, _)))
    }

    /// The end of the server's log.
    pub(crate) fn log_tail(&self) -> String {
        let log = fs::read(&self.files[0]).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let deadline = Instant::now() + ENDS_WITHIN;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                // This does not end the server itself, but the test does not wait forever.
                let _ = self.child.kill();
                let _ = self.child.wait();
                break;
            }
            thread::sleep(Duration::from_millis(5));
        }
        if thread::panicking() {
            eprintln!("the log of {} at {} is {}", self.kind, self.url, self.files[0].display());
            return;
        }
        for file in &self.files {
            let _ = if file.is_dir() { fs::remove_dir_all(file) } else { fs::remove_file(file) };
        }
    }
}

/// Starts the command for a port, and waits until the server answers. `files` are removed with the
/// server.
pub(crate) fn start(kind: Kind, files: &[&Path], mut command: impl FnMut(u16) -> Command) -> Server {
    assert!(
        servers().join("stamp").is_file(),
        "the servers of the end-to-end tests are not installed: run tests/setup first"
    );
    let port = free_port();
    let mut server = spawn(kind, port, &command(port), &temp_file(&kind.to_string(), "log"));
    server.files.extend(files.iter().map(|&file| file.to_owned()));
    let deadline = Instant::now() + STARTS_WITHIN;
    while !server.is_up() {
        if let Some(status) = server.child.try_wait().expect("the state of a child of ours") {
            panic!("{kind} ended at once ({status}):\n{}", server.log_tail());
        }
        assert!(Instant::now() < deadline, "{kind} does not answer after {STARTS_WITHIN:?}:\n{}", server.log_tail());
        thread::sleep(Duration::from_millis(20));
    }
    server
}

fn spawn(kind: Kind, port: u16, command: &Command, log: &Path) -> Server {
    let create = || File::create(log).unwrap_or_else(|error| panic!("cannot create {}: {error}", log.display()));
    let output = create();
    let errors = output.try_clone().unwrap_or_else(|_| create());
    let mut runner = in_servers("venv/bin/python");
    runner.arg(sources().join("run.py")).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            runner.env(name, value);
        }
    }
    let child = runner
        .stdin(Stdio::piped())
        .stdout(output)
        .stderr(errors)
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {kind}: {error}"));
    Server { url: format!("http://127.0.0.1:{port}"), kind, child, files: vec![log.to_owned()] }
}

/// Runs one of our Python scripts with a server, and parses its output.
pub(crate) fn script(name: &str, server: &Server, args: &[&str], creds: Option<&Creds>) -> Value {
    let mut command = in_servers("venv/bin/python");
    command.arg(sources().join(name)).args(["--endpoint", &server.url]).args(args);
    for (variable, value) in creds.iter().flat_map(|creds| creds.env()) {
        if let Some(value) = value {
            command.env(variable, value);
        }
    }
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {name}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{name} failed against {} ({}):\n{errors}\n{}",
        server.kind,
        output.status,
        server.log_tail()
    );
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{name} printed no JSON: {error}\n{errors}"))
}

/// A program of `tests/.servers`, without environment variables that affect an AWS client or a
/// server.
pub(crate) fn in_servers(program: &str) -> Command {
    let mut command = Command::new(servers().join(program));
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_steering(name)) {
        command.env_remove(name);
    }
    command
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("NO_PROXY", "127.0.0.1")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONUNBUFFERED", "1");
    command
}

fn is_steering(variable: &OsString) -> bool {
    let variable = variable.to_string_lossy().to_uppercase();
    ["AWS_", "MOTO_", "MINISTACK_", "PYTHON", "NODE_"].iter().any(|prefix| variable.starts_with(prefix))
        || variable.ends_with("_PROXY")
}

/// A free port, which no other program takes before the server does: each is returned once in a
/// process, and all are below those that the kernel assigns to outgoing connections.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        // Test processes that run in parallel start with different ports.
        let number = process::id().wrapping_mul(97).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(15_000 + number % 17_000).expect("less than 32,000");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// A path for a temporary file that no other server of this or another test process uses.
fn temp_file(kind: &str, extension: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("dynacrawl-e2e-{}-{count}-{kind}.{extension}", process::id()))
}

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests")
}

fn servers() -> PathBuf {
    tests().join(".servers")
}

fn sources() -> PathBuf {
    tests().join("servers")
}
