//! The two calls to DynamoDB.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use aws_sdk_dynamodb::config::{Builder, Region as SdkRegion};
use aws_smithy_runtime::client::retries::RetryPartition;
use aws_smithy_types::retry::RetryConfig;
use aws_types::SdkConfig;
use aws_types::endpoint_config::AccountIdEndpointMode;
use dynacrawl_auth::{Attempt, CachedCredentials, Caller};
use dynacrawl_aws::{AwsError, Budget, ErrorClass, Rate, RetryPolicy, Share};
use dynacrawl_model::{Operation, Pace, QuotaName, Region, RequestCounts, Requests, TableName};
use tokio::time::Instant;

use crate::endpoint::EndpointOnce;
use crate::latency::Latency;
use crate::raw::{self, RawDescribeTable};
use crate::sign::ScopeSigner;

/// The settings of a scope's client.
#[derive(Clone, Debug)]
pub struct ScopeSettings {
    /// The Region to call.
    pub region: Region,
    /// DynamoDB's endpoint, instead of the Region's.
    pub dynamodb_url: Option<String>,
    /// Requests a second; `None`: no limit.
    pub rate: Option<Rate>,
    /// The scope's share of the requests in flight of the whole process.
    pub requests: Share,
    /// How often a call is attempted.
    pub retry: RetryPolicy,
    /// Whether the Region may be disabled for the account. It then refuses valid credentials as
    /// unknown.
    pub opt_in: bool,
}

/// A call that failed and is not retried.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {error}", operation.name())]
#[non_exhaustive]
pub struct CallError {
    /// The call.
    pub operation: Operation,
    /// The error of its last attempt.
    pub error: AwsError,
    /// How many attempts were sent.
    pub attempts: u32,
    /// Whether the failure may be temporary. A temporary failure to get credentials counts too,
    /// although the error's class is then about credentials.
    pub may_pass: bool,
}

impl CallError {
    /// A call that failed after `attempts` attempts.
    pub fn new(operation: Operation, error: AwsError, attempts: u32) -> Self {
        Self { operation, may_pass: error.class.may_pass(), error, attempts }
    }
}

/// A body that could not be decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeFailure {
    /// What to do about it. A body that was damaged in transit, or that AWS did not send, is
    /// [`ErrorClass::Transient`] and retried like any broken response. Every other one is retried
    /// once: a server that sends one twice will send it again.
    pub class: ErrorClass,
    /// What is wrong with the body.
    pub message: String,
}

/// A page of ListTables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// `TableNames`.
    pub names: Vec<TableName>,
    /// `LastEvaluatedTableName`: where the next page begins; `None` on the last page.
    pub next: Option<TableName>,
}

#[derive(Debug, Default)]
struct Counter {
    sent: AtomicU64,
    throttled: AtomicU64,
}

impl Counter {
    fn count(&self, attempt: Attempt) {
        let counter = match attempt {
            Attempt::Sent => &self.sent,
            Attempt::Throttled => &self.throttled,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> RequestCounts {
        RequestCounts { sent: self.sent.load(Ordering::Relaxed), throttled: self.throttled.load(Ordering::Relaxed) }
    }
}

/// DynamoDB in one account and Region.
#[derive(Debug)]
pub struct ScopeClient {
    dynamodb: aws_sdk_dynamodb::Client,
    signer: ScopeSigner,
    /// Patient: without the names, nothing is complete.
    listing: Caller,
    describing: Caller,
    counters: [Counter; Operation::OF_SCOPE.len()],
    describe_latency: Latency,
}

impl ScopeClient {
    /// Sets up the client; nothing is called yet.
    pub fn new(config: &SdkConfig, credentials: CachedCredentials, settings: ScopeSettings) -> Self {
        let signer = ScopeSigner::new(settings.region.as_str().to_owned());
        let mut builder = Builder::from(config)
            .region(SdkRegion::new(settings.region.as_str().to_owned()))
            .credentials_provider(credentials.clone())
            .retry_config(RetryConfig::disabled())
            // Even with its retries off the SDK would share state between all accounts of a Region.
            .retry_partition(RetryPartition::custom("").build())
            .push_auth_scheme(signer.clone())
            .interceptor(RawDescribeTable);
        if let Some(url) = settings.dynamodb_url {
            builder = builder.endpoint_url(url);
        }
        if config.account_id_endpoint_mode() == Some(&AccountIdEndpointMode::Disabled) {
            builder = builder.endpoint_resolver(EndpointOnce::new());
        }
        let budget = Arc::new(Budget::new(settings.rate));
        let caller = Caller::new(QuotaName::Tables, credentials, budget, settings.requests, settings.retry);
        let caller = if settings.opt_in { caller.opt_in() } else { caller };
        Self {
            dynamodb: aws_sdk_dynamodb::Client::from_conf(builder.build()),
            signer,
            describing: caller.clone().giving_up(),
            listing: caller,
            counters: Default::default(),
            describe_latency: Latency::default(),
        }
    }

    /// Restarts patience with calls, because an old trouble may be over.
    pub fn forget_troubles(&self) {
        self.listing.forget_trouble();
        self.describing.forget_trouble();
    }

    /// Requests sent so far.
    pub fn requests(&self) -> Requests {
        Requests::new(|operation| self.counter(operation).map(Counter::read).unwrap_or_default())
    }

    /// The rates at which they were sent.
    pub fn pace(&self) -> Pace {
        self.listing.budget().pace()
    }

    /// How many requests a second may be sent now; `None`: any number.
    pub fn rate(&self) -> Option<f64> {
        self.listing.budget().rate()
    }

    /// The mean response time of DescribeTable; `None` before the first response.
    pub fn describe_latency(&self) -> Option<Duration> {
        self.describe_latency.mean()
    }

    /// dynamodb:ListTables: the page of up to 100 names after `start`.
    ///
    /// # Errors
    /// If the last attempt failed.
    pub async fn list_tables(&self, start: Option<&TableName>) -> Result<Page, CallError> {
        self.attempts(Operation::ListTables, || async move {
            let answer = self
                .dynamodb
                .list_tables()
                .set_exclusive_start_table_name(start.map(|name| name.as_str().to_owned()))
                .send()
                .await
                .map_err(|error| AwsError::from_sdk(&error))?;
            let next = answer.last_evaluated_table_name.map(TableName::from);
            if next.is_some() && next.as_ref() == start {
                let problem = "LastEvaluatedTableName is where the page began: the listing would never end";
                return Err(AwsError::new(ErrorClass::Other, "invalid_response", problem));
            }
            // A response from a proxy or portal must not look like an account without tables.
            let Some(names) = answer.table_names else {
                let problem = "the answer has no TableNames";
                return Err(AwsError::new(ErrorClass::Transient, "invalid_response", problem));
            };
            let names = names.into_iter().map(TableName::from).collect();
            Ok(Page { names, next })
        })
        .await
    }

    /// dynamodb:DescribeTable; `decode` reads the raw body.
    ///
    /// # Errors
    /// If the last attempt failed, or the response could not be decoded.
    pub async fn describe_table<T>(
        &self,
        name: &TableName,
        decode: impl Fn(&[u8]) -> Result<T, DecodeFailure>,
    ) -> Result<T, CallError> {
        let decode = &decode;
        let failed_before = &AtomicBool::new(false);
        let undecodable = &|failure: DecodeFailure| {
            let first = !failed_before.swap(true, Ordering::Relaxed);
            let class = if first { ErrorClass::Transient } else { failure.class };
            AwsError::new(class, "invalid_response", failure.message)
        };
        self.attempts(Operation::DescribeTable, || async move {
            // Boxed: the SDK's future has some 15 KB, and would be copied with each move.
            let call = Box::pin(self.dynamodb.describe_table().table_name(name.as_str()).send());
            let sent = Instant::now();
            let (result, body) = raw::capture(call).await;
            result.map_err(|error| AwsError::from_sdk(&error))?;
            self.describe_latency.record(sent.elapsed());
            let body = body.as_ref().and_then(|body| body.bytes()).unwrap_or_default();
            decode(body).map_err(undecodable)
        })
        .await
    }

    fn counter(&self, operation: Operation) -> Option<&Counter> {
        let place = Operation::OF_SCOPE.iter().position(|counted| *counted == operation)?;
        self.counters.get(place)
    }

    async fn attempts<T, F>(&self, operation: Operation, attempt: impl Fn() -> F) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, AwsError>>,
    {
        let attempt = || async {
            attempt().await.inspect_err(|error| {
                if error.class == ErrorClass::ClockSkew {
                    self.signer.clock_is_wrong();
                }
            })
        };
        let caller = match operation {
            Operation::ListTables => &self.listing,
            Operation::DescribeTable => &self.describing,
            Operation::AssumeRole
            | Operation::GetCallerIdentity
            | Operation::ListAccounts
            | Operation::ListAccountsForParent
            | Operation::ListOrganizationalUnitsForParent
            | Operation::ListRegions
            | Operation::DescribeRegions => {
                let error = AwsError::new(ErrorClass::Other, "invalid_operation", "DynamoDB has no such call");
                return Err(CallError::new(operation, error, 0));
            }
        };
        let count = |attempt| self.counter(operation).into_iter().for_each(|counter| counter.count(attempt));
        let called = caller.call(operation, count, attempt).await;
        called.map_err(|failed| CallError {
            operation,
            may_pass: failed.may_pass(),
            error: failed.error,
            attempts: failed.attempts,
        })
    }
}
