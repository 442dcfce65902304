//! The two calls, and the one loop around every attempt of them.

use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_dynamodb::config::{Builder, Region as SdkRegion};
use aws_smithy_runtime::client::retries::RetryPartition;
use aws_smithy_types::retry::RetryConfig;
use aws_types::SdkConfig;
use aws_types::endpoint_config::AccountIdEndpointMode;
use dynacrawl_auth::CachedCredentials;
use dynacrawl_aws::{AwsError, ErrorClass};
use dynacrawl_model::{Operation, Region, RequestCounts, Requests, TableName};

use crate::endpoint::EndpointOnce;
use crate::raw::{self, RawDescribeTable};
use crate::sign::ScopeSigner;
use crate::{Budget, Rate, RetryPolicy};

/// What a scope's client is made of.
#[derive(Clone, Debug)]
pub struct ScopeSettings {
    /// The Region to call.
    pub region: Region,
    /// DynamoDB's endpoint, instead of the Region's.
    pub dynamodb_url: Option<String>,
    /// Requests a second; `None`: no limit.
    pub rate: Option<Rate>,
    /// How often a call is tried.
    pub retry: RetryPolicy,
}

/// A call that failed for good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {error}", operation.name())]
#[non_exhaustive]
pub struct CallError {
    /// The call.
    pub operation: Operation,
    /// What its last attempt failed with.
    pub error: AwsError,
    /// How many attempts were sent.
    pub attempts: u32,
}

/// A body that could not be decoded. It is asked for again, like any broken answer.
#[derive(Debug)]
pub struct DecodeFailure(pub String);

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
    fn read(&self) -> RequestCounts {
        RequestCounts { sent: self.sent.load(Ordering::Relaxed), throttled: self.throttled.load(Ordering::Relaxed) }
    }
}

/// DynamoDB in one account and Region.
#[derive(Debug)]
pub struct ScopeClient {
    dynamodb: aws_sdk_dynamodb::Client,
    signer: ScopeSigner,
    credentials: CachedCredentials,
    budget: Budget,
    retry: RetryPolicy,
    list_tables: Counter,
    describe_table: Counter,
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
        Self {
            dynamodb: aws_sdk_dynamodb::Client::from_conf(builder.build()),
            signer,
            credentials,
            budget: Budget::new(settings.rate),
            retry: settings.retry,
            list_tables: Counter::default(),
            describe_table: Counter::default(),
        }
    }

    /// Requests sent so far.
    pub fn requests(&self) -> Requests {
        Requests { list_tables: self.list_tables.read(), describe_table: self.describe_table.read() }
    }

    /// dynamodb:ListTables: the page of up to 100 names after `start`.
    ///
    /// # Errors
    /// When the page did not come after the last attempt.
    pub async fn list_tables(&self, start: Option<&TableName>) -> Result<Page, CallError> {
        self.attempts(Operation::ListTables, &self.list_tables, || async move {
            let answer = self
                .dynamodb
                .list_tables()
                .set_exclusive_start_table_name(start.map(|name| name.as_str().to_owned()))
                .send()
                .await
                .map_err(|error| AwsError::from_sdk(&error))?;
            let next = answer.last_evaluated_table_name.map(TableName::from);
            if next.is_some() && next.as_ref() == start {
                let said = "LastEvaluatedTableName is where the page began: the listing would never end";
                return Err(AwsError::new(ErrorClass::Other, "invalid_response", said));
            }
            // Somebody else's answer, a proxy's or a portal's, must not look like an account without tables.
            let Some(names) = answer.table_names else {
                let said = "the answer has no TableNames";
                return Err(AwsError::new(ErrorClass::Transient, "invalid_response", said));
            };
            let names = names.into_iter().map(TableName::from).collect();
            Ok(Page { names, next })
        })
        .await
    }

    /// dynamodb:DescribeTable: what `decode` makes of the raw body.
    ///
    /// # Errors
    /// When no answer that can be decoded came after the last attempt.
    pub async fn describe_table<T>(
        &self,
        name: &TableName,
        decode: impl Fn(&[u8]) -> Result<T, DecodeFailure>,
    ) -> Result<T, CallError> {
        let decode = &decode;
        self.attempts(Operation::DescribeTable, &self.describe_table, || async move {
            // Boxed: the SDK's future has some 15 KB, and would be moved from hand to hand.
            let call = Box::pin(self.dynamodb.describe_table().table_name(name.as_str()).send());
            let (result, body) = raw::capture(call).await;
            result.map_err(|error| AwsError::from_sdk(&error))?;
            let body = body.as_ref().and_then(|body| body.bytes()).unwrap_or_default();
            decode(body).map_err(|DecodeFailure(said)| AwsError::new(ErrorClass::Transient, "invalid_response", said))
        })
        .await
    }

    /// The retry loop. Every attempt takes a permit and is counted.
    async fn attempts<T, F>(
        &self,
        operation: Operation,
        counter: &Counter,
        attempt: impl Fn() -> F,
    ) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, AwsError>>,
    {
        let mut attempts = 0;
        let mut renewed = false;
        loop {
            self.budget.permit().await;
            let used = match self.credentials.get().await {
                Ok(credentials) => credentials,
                Err(failed) => {
                    // The step tells which of several roles it was.
                    let error = AwsError::new(failed.error.class, &*failed.error.code, failed.to_string());
                    return Err(CallError { operation, error: about_credentials(error), attempts });
                }
            };
            attempts += 1;
            counter.sent.fetch_add(1, Ordering::Relaxed);
            let error = match attempt().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if error.class == ErrorClass::Throttled {
                counter.throttled.fetch_add(1, Ordering::Relaxed);
            }
            tracing::debug!(operation = operation.name(), attempts, code = %error.code, "attempt failed");
            if error.class == ErrorClass::ClockSkew {
                self.signer.clock_is_wrong();
            }
            match error.class {
                // The SDK neither retries an ended session nor drops it from a cache.
                ErrorClass::ExpiredCredentials | ErrorClass::ClockSkew if !renewed => {
                    renewed = true;
                    self.credentials.invalidate(&used);
                }
                class => match self.retry.backoff(class, attempts) {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => return Err(CallError { operation, error, attempts }),
                },
            }
        }
    }
}

/// A denied or throttled AssumeRole is not a denied or throttled table.
fn about_credentials(error: AwsError) -> AwsError {
    let class = if error.class.is_about_credentials() { error.class } else { ErrorClass::NoCredentials };
    AwsError::new(class, error.code, error.message)
}
