//! The one loop around every attempt of every call to AWS.

use std::sync::Arc;
use std::time::Duration;

use dynacrawl_aws::{AwsError, Budget, BudgetSettings, Connections, ErrorClass, Places, RetryPolicy, Share};
use tokio::time::Instant;

use crate::{AuthError, CachedCredentials};

/// How calls against one quota are made: with these credentials, within this budget, tried this often.
#[derive(Clone, Debug)]
pub struct Caller {
    credentials: CachedCredentials,
    budget: Arc<Budget>,
    requests: Share,
    retry: RetryPolicy,
    gives_up: bool,
}

/// What an attempt came to, for those who count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// It is about to be sent.
    Sent,
    /// AWS throttled it.
    Throttled,
}

/// A call that failed for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallFailed {
    /// What its last attempt failed with; about the credentials, where there were none to send it with.
    pub error: AwsError,
    /// How many attempts were sent.
    pub attempts: u32,
    /// The step that gave no credentials, if that was it.
    pub no_credentials: Option<AuthError>,
}

impl Caller {
    /// A caller whose requests in flight are bounded by `requests`, its share of places that others have, too.
    pub fn new(credentials: CachedCredentials, budget: Arc<Budget>, requests: Share, retry: RetryPolicy) -> Self {
        Self { credentials, budget, requests, retry, gives_up: false }
    }

    /// A caller with a budget and requests in flight of its own.
    pub fn within(budget: BudgetSettings, credentials: CachedCredentials, retry: RetryPolicy) -> Self {
        let requests = Places::new(budget.concurrency, 1, &Connections::default()).share("");
        Self::new(credentials, Arc::new(Budget::new(budget.rate)), requests, retry)
    }

    /// The same, but giving up a call without an attempt where AWS throttles without end: for calls of which there are
    /// many, each of them the less of the whole.
    pub fn giving_up(self) -> Self {
        Self { gives_up: true, ..self }
    }

    /// The budget that every attempt takes a permit of.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Calls until an attempt succeeds or another one would be of no use. Where AWS does nothing but throttle, a patient call
    /// goes on after its last attempt for as long as the policy's patience. Every attempt takes a permit of the budget, then
    /// a place among the requests in flight together with a connection, in this order: whoever waits for his own budget
    /// must not hold a place that others could use. What is signed is sent at once.
    ///
    /// Each attempt is recorded under `operation`, AWS's name of the call.
    ///
    /// # Errors
    /// When there are no credentials, or the last attempt failed.
    pub async fn call<T, F>(
        &self,
        operation: &'static str,
        count: impl Fn(Attempt),
        attempt: impl Fn() -> F,
    ) -> Result<T, CallFailed>
    where
        F: Future<Output = Result<T, AwsError>>,
    {
        let mut attempts = 0;
        // Attempts that failed before they were sent: there was no connection.
        let mut unsent = 0;
        let mut renewed = false;
        loop {
            let permit = match self.budget.permit(self.gives_up.then_some(self.retry.patience)).await {
                Ok(permit) => permit,
                Err(error) => return Err(CallFailed { error, attempts, no_credentials: None }),
            };
            let used = match self.credentials.get().await {
                Ok(credentials) => credentials,
                Err(failed) => {
                    // The step tells which of several roles it was.
                    let error = AwsError::new(failed.error.class, &*failed.error.code, failed.to_string());
                    return Err(CallFailed { error: about_credentials(error), attempts, no_credentials: Some(failed) });
                }
            };
            let answer = match self.requests.acquire().await {
                Ok(mut place) => {
                    attempts += 1;
                    count(Attempt::Sent);
                    let sent = Instant::now();
                    let answer = place.run(attempt()).await;
                    place.ended(answer.as_ref().is_err_and(AwsError::is_timeout));
                    record(operation, sent.elapsed(), answer.as_ref().err());
                    answer
                }
                Err(error) => {
                    unsent += 1;
                    Err(error)
                }
            };
            let error = match answer {
                Ok(answer) => {
                    self.budget.answered();
                    return Ok(answer);
                }
                Err(error) => error,
            };
            tracing::debug!(attempts, code = %error.code, "attempt failed");
            match error.class {
                // The SDK neither retries an ended session nor drops it from a cache.
                ErrorClass::ExpiredCredentials | ErrorClass::ClockSkew if !renewed => {
                    renewed = true;
                    self.credentials.invalidate(&used);
                    continue;
                }
                ErrorClass::Throttled => {
                    count(Attempt::Throttled);
                    self.budget.throttled(permit, &error);
                }
                // What did not come from AWS does not say that AWS has stopped throttling.
                ErrorClass::Unreachable | ErrorClass::Transient => {}
                _ => self.budget.answered(),
            }
            let wait = self.retry.backoff(error.class, attempts + unsent).or_else(|| self.waits_on(error.class));
            match wait.filter(|_| !error.ends_call()) {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return Err(CallFailed { error, attempts, no_credentials: None }),
            }
        }
    }

    /// How long a patient call waits once more after its last attempt, where all that AWS says is that it is too much.
    fn waits_on(&self, class: ErrorClass) -> Option<Duration> {
        let storm = self.budget.storm().unwrap_or_default();
        let patient = class == ErrorClass::Throttled && !self.gives_up && storm < self.retry.patience;
        patient.then_some(RetryPolicy::MAX_THROTTLED_BACKOFF)
    }
}

/// Tells whoever measures, if anyone does.
fn record(operation: &'static str, took: Duration, error: Option<&AwsError>) {
    let result = match error.map(|error| error.class) {
        None => "ok",
        Some(ErrorClass::Throttled) => "throttled",
        Some(ErrorClass::Denied) => "denied",
        Some(_) => "error",
    };
    metrics::counter!("dynacrawl_api_requests_total", "operation" => operation, "result" => result).increment(1);
    metrics::histogram!("dynacrawl_api_request_duration_seconds", "operation" => operation).record(took);
}

/// A denied or throttled AssumeRole is not a denied or throttled table.
fn about_credentials(error: AwsError) -> AwsError {
    let class = if error.class.is_about_credentials() { error.class } else { ErrorClass::NoCredentials };
    AwsError::new(class, error.code, error.message)
}
