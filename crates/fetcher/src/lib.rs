//! Describes the tables of a scope, many at a time.
//!
//! A table that cannot be described is a value in the stream, with its reason: neither an error
//! that ends the stream nor a line in a log. This crate does not know how tables are found or how
//! descriptions are used.

mod concurrency;
mod probes;

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

pub use concurrency::Concurrency;
use dynacrawl_client::{CallError, DecodeFailure, ErrorClass, ScopeClient};
use dynacrawl_model::{FailureReason, TableName};
use futures_util::{FutureExt, Stream};
pub use probes::{ALL as PROBES, Probe, ProbeAnswer, ProbeStatus, ProbeValue, ProbeValues};
use serde::{Deserialize, Serialize};

/// The outcome for one table.
#[derive(Debug)]
pub enum Fetched<T> {
    /// Described: the decoded response, and the values of the probes.
    Described(TableName, T, ProbeValues),
    /// Not described.
    Failed(FailedTable),
    /// Not described, and no other table can be either: the credentials no longer work.
    NoCredentials(CallError),
}

/// Why a table was not described.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedTable {
    /// The table.
    pub name: TableName,
    /// The kind of failure.
    pub reason: FailureReason,
    /// AWS's error code, or dynacrawl's own in `snake_case`.
    pub code: String,
    /// The error message.
    pub message: String,
    /// How many requests were sent for it.
    pub attempts: u32,
    /// Whether the failure may be temporary.
    pub may_pass: bool,
}

/// Describes tables.
#[derive(Debug)]
pub struct Fetcher<'a, D> {
    /// The scope's client.
    pub client: &'a ScopeClient,
    /// Decodes the raw response.
    pub decode: D,
    /// How long after a `ResourceNotFoundException` a listed table is described once more:
    /// DescribeTable is eventually consistent, and a table that was just created may not be visible
    /// yet.
    pub recheck_after: Duration,
    /// The probes to call for each table that was described.
    pub probes: &'a [&'static Probe],
}

impl<'a, D, T> Fetcher<'a, D>
where
    D: Fn(&[u8]) -> Result<T, DecodeFailure>,
{
    /// Describes the tables of `names`, as many at a time as `concurrency` allows. Results come in
    /// the order of the responses.
    pub fn describe_all<'f>(
        &'f self,
        names: impl Stream<Item = TableName> + 'f,
        concurrency: Concurrency,
    ) -> impl Stream<Item = Fetched<T>> {
        let most = move || concurrency.now(self.client.rate(), self.client.describe_latency());
        concurrency::run_each(names, |name| self.describe(name), most)
    }

    /// Describes one table. A panic makes it a failed table, not a lost one.
    pub async fn describe(&self, name: TableName) -> Fetched<T> {
        let described = AssertUnwindSafe(self.describe_or_recheck(&name)).catch_unwind().await;
        match described {
            Ok(Ok(value)) => {
                let probes = self.probe(&name).await;
                Fetched::Described(name, value, probes)
            }
            // A clock that is wrong for one table may be corrected for the next one.
            Ok(Err(failed)) if failed.error.class.is_about_credentials() && !failed.error.class.may_pass() => {
                Fetched::NoCredentials(failed)
            }
            Ok(Err(failed)) => Fetched::Failed(FailedTable {
                name,
                reason: reason(&failed),
                may_pass: failed.may_pass,
                code: failed.error.code,
                message: failed.error.message,
                attempts: failed.attempts,
            }),
            Err(panic) => Fetched::Failed(FailedTable {
                name,
                reason: FailureReason::Failed,
                code: "panic".to_owned(),
                message: panic_message(&*panic),
                attempts: 0,
                may_pass: false,
            }),
        }
    }

    /// Calls one probe after the other. Each takes a permit of the budget, as the description did.
    async fn probe(&self, name: &TableName) -> ProbeValues {
        let mut values = ProbeValues::new();
        for probe in self.probes {
            values.insert(probe.name.to_owned(), probe.value(self.client, name).await);
        }
        values
    }

    async fn describe_or_recheck(&self, name: &TableName) -> Result<T, CallError> {
        let first = match self.client.describe_table(name, &self.decode).await {
            Err(failed) if reason(&failed) == FailureReason::Vanished => failed,
            other => return other,
        };
        tokio::time::sleep(self.recheck_after).await;
        self.client.describe_table(name, &self.decode).await.map_err(|mut second| {
            second.attempts += first.attempts;
            second
        })
    }
}

fn reason(failed: &CallError) -> FailureReason {
    match failed.error.class {
        ErrorClass::Denied => FailureReason::Denied,
        ErrorClass::Throttled => FailureReason::Throttled,
        ErrorClass::NotFound => FailureReason::Vanished,
        _ => FailureReason::Failed,
    }
}

/// The message of a panic.
pub fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("a fault in dynacrawl: {}", text.unwrap_or("panic"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use dynacrawl_auth::{BaseCredentials, CredentialPool, CredentialSpec, UserKeys};
    use dynacrawl_aws::{AwsSettings, Connections, EndpointSettings, HttpSettings, Places};
    use dynacrawl_client::{DecodeFailure, RetryPolicy, ScopeClient, ScopeSettings};
    use dynacrawl_model::{FailureReason, Region, TableName};
    use dynacrawl_sim::{Account, Denial, Estate, Operation, Options, Simulator, Tables, fixtures};
    use futures_util::{StreamExt, stream};

    use super::{Concurrency, FailedTable, Fetched, Fetcher, Probe, ProbeStatus};

    const ACCOUNT: &str = "111111111111";

    async fn scope(tables: Tables) -> (Simulator, ScopeClient) {
        let account = Account::new(ACCOUNT).region("eu-west-1", tables);
        let access = account.access("home");
        let simulator = Simulator::start(Estate::new(vec![account]), &Options::default()).expect("a simulator");
        let second = Duration::from_secs(5);
        let http = HttpSettings::plain(second);
        let aws = AwsSettings { http: http.build().expect("an HTTP stack") };
        let region: Region = "eu-west-1".parse().expect("a Region");
        let sdk = aws.sdk_config(None, &region, &EndpointSettings::default()).await;
        let keys = UserKeys {
            access_key_id: access.access_key_id,
            secret_access_key: access.secret_access_key.into(),
            session_token: None,
        };
        let spec = CredentialSpec { base: BaseCredentials::Keys(keys), chain: Vec::new() };
        let credentials = CredentialPool::default().chain(&spec, None, &sdk, None);
        let retry = RetryPolicy { max_attempts: 2, ..RetryPolicy::default() };
        let settings = ScopeSettings {
            region,
            dynamodb_url: Some(simulator.url()),
            rate: None,
            requests: Places::new(64, 1, &Connections::default()).share("simulator"),
            retry,
            opt_in: false,
        };
        let client = ScopeClient::new(&sdk, credentials.last().credentials.clone(), settings);
        (simulator, client)
    }

    fn small(name: &str) -> serde_json::Value {
        fixtures::small_table(name, ACCOUNT, "eu-west-1")
    }

    fn reason(fetched: Fetched<usize>) -> Option<FailureReason> {
        match fetched {
            Fetched::Described(..) => None,
            Fetched::Failed(FailedTable { reason, .. }) => Some(reason),
            Fetched::NoCredentials(error) => panic!("stopped: {error}"),
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "the shape of a decoder")]
    fn length(body: &[u8]) -> Result<usize, DecodeFailure> {
        Ok(body.len())
    }

    #[tokio::test]
    async fn a_table_that_does_not_exist_yet_is_described_once_more() {
        let tables = Tables::new().late("late", 1, &small("late")).late("later", 2, &small("later")).vanishing("gone");
        let (simulator, client) = scope(tables).await;
        let fetcher = Fetcher { client: &client, decode: length, recheck_after: Duration::from_millis(1), probes: &[] };
        assert_eq!(reason(fetcher.describe(TableName::from("late")).await), None);
        assert_eq!(reason(fetcher.describe(TableName::from("later")).await), Some(FailureReason::Vanished));
        let Fetched::Failed(gone) = fetcher.describe(TableName::from("gone")).await else { panic!("described") };
        assert_eq!((gone.reason, gone.attempts), (FailureReason::Vanished, 2));
        assert_eq!(simulator.counts().requests(Operation::DescribeTable), 6);
    }

    #[tokio::test]
    async fn a_denied_table_is_a_value_among_the_others() {
        let tables = ["a", "b", "c"].into_iter().fold(Tables::new(), |tables, name| tables.table(name, &small(name)));
        let (simulator, client) = scope(tables).await;
        simulator.deny(Denial::new(ACCOUNT, Operation::DescribeTable).table("b"));
        let fetcher = Fetcher { client: &client, decode: length, recheck_after: Duration::ZERO, probes: &[] };
        let names = stream::iter(["a", "b", "c"].map(TableName::from));
        let mut reasons: Vec<_> = fetcher.describe_all(names, Concurrency::at_most(2)).map(reason).collect().await;
        reasons.sort();
        assert_eq!(reasons, [None, None, Some(FailureReason::Denied)]);
    }

    /// A probe that has a value for one table, none for another, panics for the third and is denied
    /// the rest.
    static SAMPLE: Probe = Probe {
        name: "sample",
        operation: dynacrawl_model::Operation::DescribeTable,
        refresh: Duration::from_secs(3600),
        call: |client, table| {
            Box::pin(async move {
                match table.as_str() {
                    "a" => Ok(Some(client.describe_table(table, length).await?.into())),
                    "b" => Ok(None),
                    "c" => panic!("on purpose"),
                    _ => client.describe_table(&TableName::from("secret"), length).await.map(|_| None),
                }
            })
        },
    };

    #[tokio::test]
    async fn a_probe_follows_the_description_and_its_failure_is_a_value() {
        let names = ["a", "b", "c", "d", "secret"];
        let tables = names.into_iter().fold(Tables::new(), |tables, name| tables.table(name, &small(name)));
        let (simulator, client) = scope(tables).await;
        simulator.deny(Denial::new(ACCOUNT, Operation::DescribeTable).table("secret"));
        let probes = [&SAMPLE];
        let fetcher = Fetcher { client: &client, decode: length, recheck_after: Duration::ZERO, probes: &probes };
        for (name, status, code) in [
            ("a", ProbeStatus::Ok, None),
            ("b", ProbeStatus::Absent, None),
            ("c", ProbeStatus::Failed, Some("panic")),
            ("d", ProbeStatus::Denied, Some("AccessDeniedException")),
        ] {
            let Fetched::Described(_, bytes, values) = fetcher.describe(TableName::from(name)).await else {
                panic!("{name} is described")
            };
            let value = &values["sample"];
            assert_eq!((value.status, value.code.as_deref()), (status, code), "{name}");
            assert_eq!(value.value, (status == ProbeStatus::Ok).then(|| bytes.into()), "{name}");
        }
        let Fetched::Failed(_) = fetcher.describe(TableName::from("secret")).await else { panic!("described") };
    }

    #[tokio::test]
    async fn a_panic_is_a_failed_table_and_not_a_lost_one() {
        let (_simulator, client) = scope(Tables::new().table("a", &small("a"))).await;
        let decode = |_: &[u8]| -> Result<(), DecodeFailure> { panic!("on purpose") };
        let fetcher = Fetcher { client: &client, decode, recheck_after: Duration::ZERO, probes: &[] };
        let Fetched::Failed(failed) = fetcher.describe(TableName::from("a")).await else { panic!("not failed") };
        assert_eq!((failed.reason, failed.code.as_str()), (FailureReason::Failed, "panic"));
        assert_eq!(failed.message, "a fault in dynacrawl: on purpose");
    }
}
