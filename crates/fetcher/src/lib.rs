//! Describes the tables of a scope, many at a time.
//!
//! A table that cannot be described is a value in the stream, with its reason: neither an error that ends the stream
//! nor a line in a log. This crate does not know how tables are found, nor what becomes of a description.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use dynacrawl_client::{CallError, DecodeFailure, ScopeClient};
use dynacrawl_model::{FailureReason, TableName};
use futures_util::{FutureExt, Stream, StreamExt};

/// What became of one table.
#[derive(Debug)]
pub enum Fetched<T> {
    /// Described: what the decoder made of the answer.
    Described(TableName, T),
    /// Not described.
    Failed(FailedTable),
    /// Not described, and no other table can be either: the credentials are gone.
    Stopped(TableName, CallError),
}

/// Why a table was not described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedTable {
    /// The table.
    pub name: TableName,
    /// The kind of failure.
    pub reason: FailureReason,
    /// AWS's error code, or a word of ours in `snake_case`.
    pub code: String,
    /// What was said about it.
    pub message: String,
    /// How many requests were sent for it.
    pub attempts: u32,
}

/// Describes tables.
#[derive(Debug)]
pub struct Fetcher<'a, D> {
    /// The scope's client.
    pub client: &'a ScopeClient,
    /// From the raw answer to what is wanted.
    pub decode: D,
    /// How long after a `ResourceNotFoundException` a listed table is asked for once more: DescribeTable is
    /// eventually consistent, and a table that was just created may not be there yet.
    pub recheck_after: Duration,
}

impl<'a, D, T> Fetcher<'a, D>
where
    D: Fn(&[u8]) -> Result<T, DecodeFailure>,
{
    /// Describes the tables of `names`, `concurrency` at a time, in the order in which they are answered.
    pub fn describe_all<'f>(
        &'f self,
        names: impl Stream<Item = TableName> + 'f,
        concurrency: usize,
    ) -> impl Stream<Item = Fetched<T>> + 'f {
        names.map(|name| self.describe(name)).buffer_unordered(concurrency)
    }

    /// Describes one table. A panic on the way is a failed table, not a lost one.
    pub async fn describe(&self, name: TableName) -> Fetched<T> {
        let described = AssertUnwindSafe(self.describe_or_recheck(&name)).catch_unwind().await;
        match described {
            Ok(Ok(value)) => Fetched::Described(name, value),
            Ok(Err(failed)) if failed.error.class.is_about_credentials() => Fetched::Stopped(name, failed),
            Ok(Err(failed)) => Fetched::Failed(FailedTable {
                name,
                reason: reason(&failed),
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
            }),
        }
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
    use dynacrawl_client::ErrorClass;
    match failed.error.class {
        ErrorClass::Denied => FailureReason::Denied,
        ErrorClass::Throttled => FailureReason::Throttled,
        ErrorClass::NotFound => FailureReason::Vanished,
        _ => FailureReason::Failed,
    }
}

/// What a panic said.
pub fn panic_message(panic: &(dyn Any + Send)) -> String {
    let said = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("a fault in dynacrawl: {}", said.unwrap_or("panic"))
}
