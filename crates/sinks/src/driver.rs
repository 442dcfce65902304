//! What all sinks share: batches, retries, dead letters and cursors.

use std::future::Future;
use std::time::Duration;

use dynacrawl_model::Escaped;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::dead_letters;
use crate::journal::JournalError;
use crate::kinds::{Backoff, SinkSettings};
use crate::sink::{Delivered, DeliveryError, Event, Refusal, Sink};

/// The longest wait that a destination may ask for.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);
/// How long one attempt may take: a batch is small.
const LONGEST_TRY: Duration = Duration::from_secs(600);
/// How often an idle sink looks for new events.
const LOOK: Duration = Duration::from_secs(5);

/// The source of events, in order.
pub trait EventSource {
    /// A place in the stream of events.
    type Cursor: Copy;

    /// The next events that have not been delivered, at most `limit`, each with the place after it.
    fn next(&self, limit: usize) -> impl Future<Output = Result<Vec<(Self::Cursor, Event)>, JournalError>>;

    /// Stores that everything up to a place has been delivered, except for `refused` events.
    fn delivered(&self, up_to: Self::Cursor, refused: u64) -> impl Future<Output = Result<(), JournalError>>;

    /// Stores why nothing was delivered.
    fn failed(&self, error: &DeliveryError) -> impl Future<Output = Result<(), JournalError>>;
}

/// How long events are delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Until nothing is left to deliver.
    Empty,
    /// Until `stop` is cancelled.
    Stopped,
}

/// Work that is done step by step.
pub trait Work {
    /// Does the next step. Returns how much was done; 0 if there is nothing to do.
    fn step(&mut self) -> impl Future<Output = Result<usize, DeliveryError>>;

    /// Stores why a step failed.
    fn failed(&self, error: &DeliveryError) -> impl Future<Output = Result<(), JournalError>>;
}

/// Does the steps of some work, and repeats a step that fails. Ends when nothing is left if `until` is
/// [`Until::Empty`], and between two attempts when `stop` is cancelled.
pub async fn work(work: &mut impl Work, settings: &SinkSettings, until: Until, stop: &CancellationToken) {
    let mut failures = 0;
    while !stop.is_cancelled() {
        let wait = match work.step().await {
            Ok(0) if until == Until::Empty => return,
            Ok(0) => LOOK,
            Ok(_) => {
                failures = 0;
                continue;
            }
            Err(error) => {
                let wait = wait_after(settings.backoff, failures, error.retry_after);
                failures += 1;
                let stored = work.failed(&error).await;
                let (name, error) = (Escaped(&settings.name).to_string(), Escaped(&error.message).to_string());
                if let Err(stored) = stored {
                    tracing::warn!(sink = name, error = %stored, "the state cannot keep why the delivery failed");
                }
                tracing::warn!(
                    sink = name,
                    error,
                    "nothing was delivered; dynacrawl tries again in {:.1} s",
                    wait.as_secs_f64()
                );
                wait
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(wait) => {}
        }
    }
}

/// Counts events of a sink by what became of them.
pub fn count(sink: &str, result: &'static str, number: usize) {
    let labels = [("sink", sink.to_owned()), ("result", result.to_owned())];
    metrics::counter!("dynacrawl_sink_events_total", &labels).increment(number as u64);
}

/// Delivers a batch that does not come from the state, and retries it until `deadline`. Returns which
/// events were refused.
///
/// # Errors
/// If the sink has not taken it by then, or permanently refuses an event and has no file for dead
/// letters.
pub async fn deliver_until(
    sink: &mut dyn Sink,
    settings: &SinkSettings,
    batch: &[Event],
    deadline: Instant,
) -> Result<Delivered, DeliveryError> {
    let mut failures = 0;
    loop {
        let error = match one_try(sink, settings, batch).await {
            Ok(delivered) => return Ok(delivered),
            Err(Failure::Refused(error)) => return Err(error),
            Err(Failure::Passing(error)) => error,
        };
        let again_at = Instant::now() + wait_after(settings.backoff, failures, error.retry_after);
        failures += 1;
        if again_at >= deadline {
            return Err(error);
        }
        let (name, message) = (Escaped(&settings.name).to_string(), Escaped(&error.message).to_string());
        tracing::warn!(sink = name, error = message, "nothing was delivered; dynacrawl tries again");
        sleep_until(again_at).await;
    }
}

/// Makes one attempt to deliver events. Those that the destination refuses are dead letters then.
///
/// # Errors
/// If the destination did not take them. Also if it permanently refuses one, and the sink has no file for
/// dead letters.
pub async fn deliver_once(
    sink: &mut dyn Sink,
    settings: &SinkSettings,
    events: &[Event],
) -> Result<Delivered, DeliveryError> {
    one_try(sink, settings, events).await.map_err(Failure::into_error)
}

/// Makes one attempt to deliver the next events of a source. Returns how many there were.
///
/// # Errors
/// If they cannot be read, or the destination did not take them.
pub async fn deliver_next<S: EventSource>(
    sink: &mut dyn Sink,
    source: &S,
    settings: &SinkSettings,
) -> Result<usize, DeliveryError> {
    let own = |error: JournalError| DeliveryError::new(error.to_string());
    let events = source.next(settings.at_once()).await.map_err(own)?;
    let Some((last, _)) = events.last() else { return Ok(0) };
    let last = *last;
    let batch: Vec<Event> = events.into_iter().map(|(_, event)| event).collect();
    let delivered = deliver_once(sink, settings, &batch).await?;
    source.delivered(last, delivered.refused.len() as u64).await.map_err(own)?;
    Ok(batch.len())
}

/// Why an attempt failed.
enum Failure {
    /// A later attempt may succeed.
    Passing(DeliveryError),
    /// The destination permanently refuses an event, and the sink has no file for dead letters.
    Refused(DeliveryError),
}

impl Failure {
    fn into_error(self) -> DeliveryError {
        match self {
            Self::Passing(error) | Self::Refused(error) => error,
        }
    }
}

/// Makes one attempt. The events that the destination refused are dead letters then.
async fn one_try(sink: &mut dyn Sink, settings: &SinkSettings, batch: &[Event]) -> Result<Delivered, Failure> {
    let name = &settings.name;
    let count = |result: &'static str, number: usize| count(name, result, number);
    let delivered = timeout(LONGEST_TRY, sink.deliver(batch)).await;
    let too_slow = |_| Err(DeliveryError::new(format!("the destination did not answer within {LONGEST_TRY:?}")));
    let delivered = delivered.unwrap_or_else(too_slow).map_err(|error| {
        count("failed", batch.len());
        Failure::Passing(error)
    })?;
    let refused = of_batch(batch, delivered.refused);
    let refusals = refused.iter().map(|(_, refusal)| refusal.clone()).collect();
    let taken = batch.len().saturating_sub(refused.len());
    if let Some((_, first)) = refused.first() {
        let Some(path) = &settings.dead_letters else {
            let error = DeliveryError::new(format!("the destination permanently refuses an event: {}", first.reason));
            return Err(Failure::Refused(error));
        };
        let (number, shown) = (refused.len(), Escaped(&path.display().to_string()).to_string());
        tracing::error!(
            sink = %Escaped(name), reason = %Escaped(&first.reason),
            "the destination permanently refuses {number} events; dynacrawl appends them to {shown}"
        );
        dead_letters::keep(path.clone(), name.clone(), refused)
            .await
            .map_err(|error| Failure::Passing(DeliveryError::new(format!("cannot write to {shown}: {error}"))))?;
        count("refused", number);
    }
    count("delivered", taken);
    Ok(Delivered { refused: refusals })
}

fn of_batch(batch: &[Event], refused: Vec<Refusal>) -> Vec<(Event, Refusal)> {
    let event = |refusal: Refusal| Some((batch.iter().find(|event| event.id == refusal.id)?.clone(), refusal));
    refused.into_iter().filter_map(event).collect()
}

/// Exponential back-off with jitter, so that several processes do not retry at the same time.
fn wait_after(backoff: Backoff, failures: u32, retry_after: Option<Duration>) -> Duration {
    let doubled = backoff.first.saturating_mul(1 << failures.min(20)).min(backoff.longest);
    let wait = doubled.mul_f64(0.5 + fastrand::f64() / 2.0);
    wait.max(retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER))
}
