//! A NATS server with JetStream, for the end-to-end tests.

use std::collections::HashMap;
use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use async_nats::jetstream::{self, stream};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// The stream that takes all events.
const STREAM: &str = "EVENTS";

/// A server on a port and a directory of its own. It ends when this is dropped, or when the process
/// of the tests ends.
#[derive(Debug)]
pub(crate) struct Nats {
    port: u16,
    directory: TempDir,
    child: Option<Child>,
    runtime: Runtime,
    /// The credentials of a user, and the authority of the server's certificate.
    pub(crate) files: Option<(PathBuf, PathBuf)>,
}

/// A message of the stream.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) subject: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) payload: Value,
}

impl Nats {
    /// Starts a server. `more`: lines of its configuration.
    pub(crate) fn start(more: &str) -> Self {
        let port =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|free| free.local_addr()).expect("a port").port();
        let directory = tempfile::tempdir().expect("a directory");
        let store = directory.path().join("store");
        let config = format!(
            "listen: \"127.0.0.1:{port}\"\njetstream {{ store_dir: \"{}\" }}\nlog_file: \"{}\"\n{more}",
            store.display(),
            directory.path().join("log").display()
        );
        fs::write(directory.path().join("nats.conf"), config).expect("written");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let mut server = Self { port, directory, child: None, runtime, files: None };
        server.restart();
        server
    }

    pub(crate) fn address(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Kills the server if it runs, and starts it again with what it has stored.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let binary = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/.servers/bin/nats-server");
        // The shell ends the server when its standard input is closed: also if the tests are killed.
        let script = "\"$0\" -c \"$1\" & server=$!; read -r _; kill -9 $server; wait $server";
        let child = Command::new("sh")
            .args(["-c", script])
            .arg(&binary)
            .arg(self.directory.path().join("nats.conf"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        self.child = Some(child);
        let until = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            let log = || fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < until, "nats-server does not start (run tests/setup): {}", log());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Kills the server.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.stdin.take());
            child.wait().expect("the shell ends");
        }
    }

    /// Creates the stream.
    pub(crate) fn create_stream(&self, credentials: Option<(&str, &str)>) {
        self.create_stream_with(credentials, -1);
    }

    /// Creates the stream, which takes only messages of so many bytes; -1: of any size.
    pub(crate) fn create_stream_with(&self, credentials: Option<(&str, &str)>, max_message_size: i32) {
        self.with(credentials, async |context| {
            let config = stream::Config {
                name: STREAM.to_owned(),
                subjects: vec!["dynacrawl.>".to_owned()],
                max_message_size,
                ..stream::Config::default()
            };
            // JetStream answers a while after the port is open.
            let until = Instant::now() + Duration::from_secs(30);
            while let Err(error) = context.create_stream(config.clone()).await {
                assert!(Instant::now() < until, "{error}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
    }

    /// All messages of the stream, in order.
    pub(crate) fn messages(&self) -> Vec<Message> {
        self.messages_as(None)
    }

    /// The same for a user.
    pub(crate) fn messages_as(&self, credentials: Option<(&str, &str)>) -> Vec<Message> {
        self.with(credentials, async |context| {
            let mut stream = context.get_stream(STREAM).await.expect("the stream");
            let state = stream.info().await.expect("its state").state.clone();
            let mut messages = Vec::new();
            for number in 1..=state.last_sequence {
                let message = stream.get_raw_message(number).await.expect("a message");
                let headers = message.headers.iter().map(|(name, values)| {
                    (name.to_string(), values.first().map(ToString::to_string).unwrap_or_default())
                });
                messages.push(Message {
                    subject: message.subject.to_string(),
                    headers: headers.collect(),
                    payload: serde_json::from_slice(&message.payload).expect("JSON"),
                });
            }
            messages
        })
    }

    fn with<T>(&self, credentials: Option<(&str, &str)>, work: impl AsyncFnOnce(jetstream::Context) -> T) -> T {
        self.runtime.block_on(async {
            let options = async_nats::ConnectOptions::new();
            let options = match credentials {
                // A token has no user.
                Some(("", token)) => options.token(token.to_owned()),
                Some((user, password)) => options.user_and_password(user.to_owned(), password.to_owned()),
                None => options,
            };
            let options = match &self.files {
                None => options,
                Some((credentials, authority)) => {
                    let options = options.credentials_file(credentials).await.expect("credentials");
                    options.add_root_certificates(authority.clone())
                }
            };
            let client = options.retry_on_initial_connect().connect(self.address()).await.expect("connected");
            let context = jetstream::new(client);
            work(context).await
        })
    }

    /// The directory of the server's files.
    pub(crate) fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.kill();
    }
}
