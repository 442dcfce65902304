//! A sink: a destination that follows settled runs or, without a state, a run in progress.

use std::time::Duration;

use dynacrawl_catalogs::TwoOwners;
use dynacrawl_model::Record;
use futures_util::future::BoxFuture;

/// An event to deliver.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its id, which stays the same however often it is delivered.
    pub id: String,
    /// A change, or how a scope, a target or a run ended. Without a state: a table, or such an end.
    pub record: Record,
    /// The `table` record of the table that a change is about, as it was at the time.
    pub table: Option<Record>,
    /// The target, by its name, that the event's scope belongs to; `None` for an event about a run.
    pub target: Option<String>,
    /// What is new in it. Only sinks of catalogs get anything but [`Part::Whole`].
    pub part: Part,
}

/// What is new in an event about a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// Everything.
    #[default]
    Whole,
    /// Item count, size and status, which change by themselves.
    Statistics,
}

/// The result of a batch that a sink took, except for some events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// The events that the destination will never take.
    pub refused: Vec<Refusal>,
}

impl Delivered {
    /// A batch with refused events. Fails if the destination refuses all of several: most likely it is the
    /// address or the form that is wrong, and not every event.
    pub(crate) fn with_refused(batch: &[Event], refused: Vec<Refusal>) -> Result<Self, DeliveryError> {
        match &refused[..] {
            [first, _, ..] if refused.len() == batch.len() => {
                Err(DeliveryError::new(format!("the destination refuses all {} events: {}", batch.len(), first.reason)))
            }
            _ => Ok(Self { refused }),
        }
    }
}

/// An event that a destination permanently refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The event's id.
    pub id: String,
    /// Why.
    pub reason: String,
}

/// Why a sink did not take a batch. It may have taken a part. The whole batch is delivered again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DeliveryError {
    /// What happened.
    pub message: String,
    /// How long the destination asks to wait before a retry.
    pub retry_after: Option<Duration>,
}

impl DeliveryError {
    /// An error without a `retry_after`.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), retry_after: None }
    }
}

impl From<TwoOwners> for DeliveryError {
    fn from(error: TwoOwners) -> Self {
        Self::new(error.to_string())
    }
}

/// A destination.
pub trait Sink: Send {
    /// Delivers events, in this order. They are stored durably when this returns. A batch may be
    /// delivered again after a failure or a kill, so an event arrives at least once.
    fn deliver<'a>(&'a mut self, batch: &'a [Event]) -> BoxFuture<'a, Result<Delivered, DeliveryError>>;

    /// Checks that the destination can be reached and would take events. Delivers nothing.
    fn health(&mut self) -> BoxFuture<'_, Result<(), DeliveryError>>;
}
