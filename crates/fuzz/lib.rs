//! The fuzz targets. Each reads its input as one kind of data from outside, and panics if a
//! property does not hold.

use std::cell::RefCell;
use std::path::PathBuf;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use dynacrawl::config::Config;
use dynacrawl_auth::{BaseCredentials, CachedCredentials, CredentialPool, CredentialSpec, UserKeys};
use dynacrawl_aws::{AwsSettings, Connections, EndpointSettings, Places, Quota, RetryPolicy};
use dynacrawl_client::{DecodeFailure, ScopeClient, ScopeSettings};
use dynacrawl_daemon::schedule::Schedule;
use dynacrawl_discovery::{AccountRegions, DiscoveryUrls};
use dynacrawl_model::{Region, RunId, TableName, Timestamp};
use dynacrawl_normalizer::{Decoded, all_changes, decode, fingerprint, structural_changes};
use dynacrawl_state::{ChangeQuery, Commit, NewRun, Reader, ScopeProgress, ScopeRow, State, TableQuery};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Input: the body of a DescribeTable answer.
pub fn normalizer(data: &[u8]) {
    let Ok(Decoded { table, .. }) = decode(data) else { return };
    assert_eq!(fingerprint(&table), fingerprint(&table));
    assert!(structural_changes(&table, &table).is_empty() && all_changes(&table, &table).is_empty());
}

/// Input: an answer of DynamoDB, as two bytes of status and the body.
pub fn dynamodb_answers(data: &[u8]) {
    let Some(answer) = Always::read(data) else { return };
    block_on(async {
        let (sdk, credentials) = client(answer).await;
        let settings = ScopeSettings {
            region: region(),
            dynamodb_url: Some("http://nowhere".to_owned()),
            rate: None,
            requests: Places::new(4, 1, &Connections::default()).share("one"),
            retry: retry(),
            opt_in: false,
        };
        let client = ScopeClient::new(&sdk, credentials, settings);
        let _ = client.list_tables(None).await;
        let name = TableName::from("t");
        let _ = client.describe_table(&name, |body| Ok::<_, DecodeFailure>(body.len())).await;
    });
}

/// Input: an answer of Account Management (JSON) and of EC2 (XML).
pub fn regions_answers(data: &[u8]) {
    let Some(answer) = Always::read(data) else { return };
    block_on(async {
        let (sdk, credentials) = client(answer).await;
        let url = Some("http://nowhere".to_owned());
        let urls = DiscoveryUrls { organizations: url.clone(), account: url.clone(), ec2: url };
        let quota = Quota { name: dynacrawl_model::QuotaName::Account, rate: None, concurrency: 1 };
        let regions = AccountRegions::new(&sdk, &credentials, &urls, quota, retry(), "aws".into());
        assert!(!regions.enabled().await.regions.is_empty());
    });
}

/// Input: a configuration file.
pub fn configuration(data: &[u8]) {
    let Ok(file) = tempfile::NamedTempFile::new() else { return };
    if std::fs::write(file.path(), data).is_ok()
        && let Err(error) = Config::check_file(file.path())
    {
        assert!(!error.to_string().is_empty());
    }
}

/// Input: the bytes of a client on one connection to the daemon.
pub fn http_requests(data: &[u8]) {
    thread_local! {
        static CONFIG: Config = {
            let file = tempfile::NamedTempFile::new().expect("a file");
            std::fs::write(file.path(), "[[target]]\nname = \"home\"\nregions = [\"eu-west-1\"]\n").expect("written");
            Config::check_file(file.path()).expect("a configuration")
        };
    }
    let settings = CONFIG.with(Config::for_daemon);
    block_on(async {
        let (mut client, server) = tokio::io::duplex(data.len() + (1 << 16));
        client.write_all(data).await.expect("there is room");
        client.shutdown().await.expect("shut down");
        let mut answer = Vec::new();
        let (_, ()) = tokio::join!(client.read_to_end(&mut answer), dynacrawl_daemon::answer_on(server, &settings));
    });
}

/// Input: a cron expression.
pub fn cron(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(schedule) = Schedule::new(text, "Europe/Berlin", Duration::ZERO) else { return };
    let at = jiff::Timestamp::UNIX_EPOCH;
    assert!(schedule.next(at).is_none_or(|next| next > at));
}

/// Input: a byte that selects a column, and then its text.
pub fn state_columns(data: &[u8]) {
    thread_local! {
        static STATE: RefCell<Option<(tempfile::TempDir, PathBuf)>> = const { RefCell::new(None) };
    }
    const COLUMNS: [(&str, &str); 6] = [
        ("runs", "targets"),
        ("runs", "accepted"),
        ("run_scopes", "counts"),
        ("run_scopes", "requests"),
        ("run_scopes", "changes"),
        ("run_scopes", "checkpoint"),
    ];
    let Some((column, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let (table, column) = COLUMNS[usize::from(*column) % COLUMNS.len()];
    STATE.with_borrow_mut(|state| {
        let (_, path) = state.get_or_insert_with(made_state);
        let other = rusqlite::Connection::open(&*path).expect("a database");
        other.execute(&format!("UPDATE {table} SET {column} = ?"), [text]).expect("updated");
        drop(other);
        let state = State::open(path).expect("a state");
        let _ = state.unfinished();
        let reader = Reader::open(path).expect("a reader");
        let _ = reader.runs(10);
        let _ = reader.scope_lines(true);
        let _ = reader.tables(&TableQuery::default(), |_| true);
        let _ = reader.changes(&ChangeQuery::default(), |_| true);
    });
}

fn made_state() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("state.db");
    let mut state = State::open(&path).expect("a state");
    let run_id = RunId::generate();
    let run = NewRun {
        run_id,
        version: String::new(),
        config_digest: String::new(),
        started_at: Timestamp::now(),
        output: "-".to_owned(),
        output_template: "-".to_owned(),
        output_format: 1,
        keeps_files: false,
        keep: Duration::from_secs(3600),
        schedule: None,
        only: None,
        accepted: Vec::new(),
        is_replaced: true,
    };
    state.begin(&run).expect("begun");
    let scope = ScopeRow {
        target: "one".to_owned(),
        region: region(),
        partition: "aws".into(),
        account_id: None,
        account_name: None,
        progress: ScopeProgress::Walking("{}".to_owned()),
    };
    let commit = Commit {
        run_id,
        at: Timestamp::now(),
        active_ms: 0,
        output_offset: 0,
        output_lines: 0,
        scopes: vec![scope],
        targets: Vec::new(),
        staged: Vec::new(),
        ends: Vec::new(),
    };
    state.commit(&commit).expect("committed");
    (directory, path)
}

/// A server that gives the same answer to all requests.
#[derive(Clone, Debug)]
struct Always {
    status: u16,
    body: Vec<u8>,
}

impl Always {
    fn read(data: &[u8]) -> Option<Self> {
        let (status, body) = data.split_at_checked(2)?;
        let status = 100 + u16::from_be_bytes([status[0], status[1]]) % 500;
        Some(Self { status, body: body.to_vec() })
    }
}

impl HttpClient for Always {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Always {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        let status = self.status.try_into().expect("a status");
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from(self.body.clone()))))
    }
}

async fn client(answer: Always) -> (aws_types::SdkConfig, CachedCredentials) {
    let aws = AwsSettings { http: SharedHttpClient::new(answer).into() };
    let sdk = aws.sdk_config(None, &region(), &EndpointSettings::default()).await;
    let keys = UserKeys {
        access_key_id: "AKIA".into(),
        secret_access_key: String::from("secret").into(),
        session_token: None,
    };
    let spec = CredentialSpec { base: BaseCredentials::Keys(keys), chain: Vec::new() };
    let credentials = CredentialPool::default().chain(&spec, None, &sdk, None);
    let last = credentials.last().credentials.clone();
    (sdk, last)
}

fn region() -> Region {
    "eu-west-1".parse().expect("a Region")
}

fn retry() -> RetryPolicy {
    RetryPolicy { max_attempts: 2, patience: Duration::from_secs(1), ..RetryPolicy::default() }
}

/// Runs on simulated time, so the pauses between attempts take no time.
fn block_on(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime").block_on(work);
}
