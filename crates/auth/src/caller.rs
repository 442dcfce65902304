//! The retry loop around every call to AWS.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dynacrawl_aws::{
    AwsError, Budget, Connections, ErrorClass, Failures, PROBE_TIME, Permit, Places, Probe, Quota, RetryPolicy, Share,
    Trouble,
};
use dynacrawl_model::{Operation, QuotaName};
use tokio::time::Instant;

use crate::{AuthError, CachedCredentials};

/// Makes calls against one quota, with these credentials, within this budget, retried this often.
#[derive(Clone, Debug)]
pub struct Caller {
    quota: QuotaName,
    credentials: CachedCredentials,
    budget: Arc<Budget>,
    requests: Share,
    retry: RetryPolicy,
    gives_up: bool,
    /// How long a call may take from its first attempt on; `None`: as long as its attempts take.
    limit: Option<Duration>,
    trouble: Arc<Trouble>,
    /// For a Region that may be disabled: whether it has accepted the credentials. `None` if the
    /// Region is always enabled.
    accepted: Option<Arc<AtomicBool>>,
}

/// What happened to an attempt, for request counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// It is about to be sent.
    Sent,
    /// AWS throttled it.
    Throttled,
}

/// A call that failed and is not retried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallFailed {
    /// The error of its last attempt, or of getting its credentials.
    pub error: AwsError,
    /// How many attempts were sent.
    pub attempts: u32,
    /// The step that failed to get credentials, if that was it.
    pub no_credentials: Option<AuthError>,
}

impl CallFailed {
    /// Whether the failure, of the call or of getting its credentials, may be temporary.
    pub fn may_pass(&self) -> bool {
        self.no_credentials.as_ref().map_or(&self.error, |failed| &failed.error).class.may_pass()
    }
}

impl Caller {
    /// A caller whose requests in flight are bounded by `requests`, its share of common places.
    pub fn new(
        quota: QuotaName,
        credentials: CachedCredentials,
        budget: Arc<Budget>,
        requests: Share,
        retry: RetryPolicy,
    ) -> Self {
        let trouble = Arc::default();
        Self { quota, credentials, budget, requests, retry, gives_up: false, limit: None, trouble, accepted: None }
    }

    /// A caller with its own budget and its own requests in flight.
    pub fn within(quota: Quota, credentials: CachedCredentials, retry: RetryPolicy) -> Self {
        let requests = Places::new(quota.concurrency, 1, &Connections::default()).share("");
        Self::new(quota.name, credentials, Arc::new(Budget::new(quota.rate)), requests, retry)
    }

    /// The same for high-volume calls, of which each matters less. They are not patient, and are
    /// given up without an attempt once all of them have failed for as long as the policy's
    /// patience.
    #[must_use]
    pub fn giving_up(self) -> Self {
        Self { gives_up: true, trouble: Arc::default(), ..self }
    }

    /// Restarts patience, because an old trouble may be over.
    pub fn forget_trouble(&self) {
        self.trouble.answered();
    }

    /// The same, but a call takes no longer than this from its first attempt on.
    #[must_use]
    pub fn within_time(self, limit: Duration) -> Self {
        Self { limit: Some(limit), ..self }
    }

    /// The same, but patient even if the endpoint cannot be reached.
    #[must_use]
    pub fn awaiting_endpoint(mut self) -> Self {
        self.retry.awaits_endpoint = true;
        self
    }

    /// The same for a Region that may be disabled for the account, which then refuses valid
    /// credentials as unknown. Until it has accepted a call, unknown credentials are tried only
    /// once more, and not renewed.
    #[must_use]
    pub fn opt_in(self) -> Self {
        Self { accepted: Some(Arc::default()), ..self }
    }

    /// The budget from which every attempt takes a permit.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Calls until an attempt succeeds or another one would be pointless. If the failure may be
    /// temporary, a patient call continues after its last attempt for as long as the policy's
    /// patience.
    ///
    /// Every attempt first takes a permit of the budget, then a place among the requests in flight
    /// together with a connection: a call that waits for its own budget must not hold a place that
    /// others could use. A request is sent as soon as it is signed.
    ///
    /// Each attempt is recorded under the name of `operation`.
    ///
    /// # Errors
    /// If there are no credentials, or the last attempt failed.
    pub async fn call<T, F>(
        &self,
        operation: Operation,
        count: impl Fn(Attempt),
        attempt: impl Fn() -> F,
    ) -> Result<T, CallFailed>
    where
        F: Future<Output = Result<T, AwsError>>,
    {
        debug_assert_eq!(operation.quota(), self.quota, "{} has another budget", operation.name());
        let mut attempts = 0;
        let mut failures = Failures::default();
        let mut last = None;
        let mut deadline = None;
        loop {
            let (probe, permit) = match self.admit().await {
                Ok(admitted) => admitted,
                Err(error) => {
                    return Err(CallFailed { error: last.unwrap_or(error), attempts, no_credentials: None });
                }
            };
            let used = match self.credentials.lease().await {
                Ok(lease) => lease,
                Err(failed) => {
                    // The step shows which of several roles failed.
                    let error = AwsError::new(failed.error.class, &*failed.error.code, failed.to_string());
                    return Err(CallFailed { error: about_credentials(error), attempts, no_credentials: Some(failed) });
                }
            };
            let began = Instant::now();
            let answer = match self.requests.acquire().await {
                Ok(mut place) => {
                    // Others may have given up while it waited for its turn behind hanging
                    // requests.
                    if self.gives_up
                        && probe.is_none()
                        && let Some(error) = self.trouble.older_than(self.retry.patience)
                    {
                        return Err(CallFailed { error: last.unwrap_or(error), attempts, no_credentials: None });
                    }
                    attempts += 1;
                    count(Attempt::Sent);
                    let sent = Instant::now();
                    let until = match self.limit {
                        Some(limit) => Some((*deadline.get_or_insert(sent + limit), limit)),
                        None => probe.as_ref().map(|_| (sent + PROBE_TIME, PROBE_TIME)),
                    };
                    let answer = {
                        // Pinned here: it is large, and would be moved with whatever holds it.
                        let run = std::pin::pin!(place.run(attempt()));
                        match until {
                            None => run.await,
                            Some((until, limit)) => {
                                let answer = tokio::time::timeout_at(until, run).await;
                                answer.unwrap_or_else(|_| Err(too_slow(limit)))
                            }
                        }
                    };
                    place.ended(answer.as_ref().is_err_and(|error| error.class == ErrorClass::TimedOut));
                    record(operation, sent.elapsed(), answer.as_ref().err());
                    answer
                }
                // There was no connection, so nothing was sent.
                Err(error) => Err(error),
            };
            let error = match answer {
                Ok(answer) => {
                    self.trouble.answered();
                    self.accept();
                    return Ok(answer);
                }
                Err(error) => error,
            };
            tracing::debug!(attempts, code = %error.code, "attempt failed");
            if error.class.may_pass() {
                self.trouble.failed(&error, began);
            } else {
                self.trouble.answered();
            }
            // The outcome is recorded before the calls that wait for it wake up.
            drop(probe);
            let closed = self.may_be_closed();
            match error.class {
                ErrorClass::Throttled => {
                    count(Attempt::Throttled);
                    self.budget.throttled(permit);
                }
                ErrorClass::Denied | ErrorClass::NotFound => self.accept(),
                // The SDK neither retries an expired session nor drops it from a cache. A new one
                // does not help against a wrong clock.
                ErrorClass::ExpiredCredentials => self.credentials.invalidate(&used),
                ErrorClass::UnknownCredentials if closed && failures.were_refused() => {
                    return Err(CallFailed { error, attempts, no_credentials: None });
                }
                ErrorClass::UnknownCredentials if !closed => self.credentials.invalidate(&used),
                _ => {}
            }
            let again_at = self.retry.backoff(&error, &mut failures, self.is_patient());
            match again_at.filter(|_| !error.ends_call()).map(|wait| Instant::now() + wait) {
                Some(at) if deadline.is_none_or(|deadline| at < deadline) => {
                    last = Some(error);
                    tokio::time::sleep_until(at).await;
                }
                _ => return Err(CallFailed { error, attempts, no_credentials: None }),
            }
        }
    }

    /// Waits until an attempt may be made.
    async fn admit(&self) -> Result<(Option<Probe<'_>>, Permit), AwsError> {
        let patience = self.retry.patience;
        let probe = if self.gives_up { self.trouble.admit(patience).await? } else { None };
        let give_up = (self.gives_up && probe.is_none()).then_some((&*self.trouble, patience));
        Ok((probe, self.budget.permit(give_up).await?))
    }

    /// Whether to continue after the last attempt. It is pointless if others have waited as long in
    /// vain.
    fn is_patient(&self) -> bool {
        !self.gives_up && self.trouble.age().unwrap_or_default() < self.retry.patience
    }

    /// Records that the Region has accepted the credentials.
    fn accept(&self) {
        if let Some(accepted) = &self.accepted {
            accepted.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the Region may refuse valid credentials, because it is not enabled.
    fn may_be_closed(&self) -> bool {
        self.accepted.as_ref().is_some_and(|accepted| !accepted.load(Ordering::Relaxed))
    }
}

fn too_slow(limit: Duration) -> AwsError {
    AwsError::new(ErrorClass::TimedOut, "timeout", format!("the call got no complete answer within {limit:?}"))
}

/// Records the attempt, if metrics are collected.
fn record(operation: Operation, took: Duration, error: Option<&AwsError>) {
    let result = match error.map(|error| error.class) {
        None => "ok",
        Some(ErrorClass::Throttled) => "throttled",
        Some(ErrorClass::Denied) => "denied",
        Some(_) => "error",
    };
    let operation = operation.name();
    metrics::counter!("dynacrawl_api_requests_total", "operation" => operation, "result" => result).increment(1);
    metrics::histogram!("dynacrawl_api_request_duration_seconds", "operation" => operation).record(took);
}

/// A denied or throttled AssumeRole is not a denied or throttled table.
fn about_credentials(error: AwsError) -> AwsError {
    let class = if error.class.is_about_credentials() { error.class } else { ErrorClass::NoCredentials };
    AwsError::new(class, error.code, error.message)
}
