//! What a sink is: a destination that follows settled runs, or a run without a state as it goes.

use std::time::Duration;

use dynacrawl_model::Record;
use futures_util::future::BoxFuture;

/// One thing to deliver.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its id: the same however often it is delivered.
    pub id: String,
    /// A change, or how a scope, a target or a run ended. Without a state: a table, or such an end.
    pub record: Record,
    /// The `table` record of the table that a change is about, as it was.
    pub table: Option<Record>,
}

/// What a sink has made of a batch: it took all events but these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// The events that the destination will never take.
    pub refused: Vec<Refusal>,
}

/// An event that a destination refused for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The event's id.
    pub id: String,
    /// Why.
    pub reason: String,
}

/// Why a batch was not taken. It may have been taken in part, and is delivered again as a whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DeliveryError {
    /// What happened.
    pub message: String,
    /// How long the destination asks to be left alone.
    pub retry_after: Option<Duration>,
}

impl DeliveryError {
    /// A failure without a wish of the destination's.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), retry_after: None }
    }
}

/// A destination.
pub trait Sink: Send {
    /// Delivers events, in this order. They last when this returns. A batch may come again after a failure or a kill, so that an
    /// event arrives once or more.
    fn deliver<'a>(&'a mut self, batch: &'a [Event]) -> BoxFuture<'a, Result<Delivered, DeliveryError>>;

    /// Whether the destination can be reached and would take events. Nothing is delivered.
    fn health(&mut self) -> BoxFuture<'_, Result<(), DeliveryError>>;
}
