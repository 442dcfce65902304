//! The events in the state's outbox that a sink has not accepted yet.

use dynacrawl_model::Timestamp;
use dynacrawl_sinks::{DeliveryError, Event, EventSource, JournalError, Part};
use dynacrawl_state::{Cursor, OutboxEvent};

use super::shared_state::{SharedState, opened};
use crate::settings::EventFilter;

/// The events that one sink has not accepted yet.
struct Undelivered {
    state: SharedState,
    sink: String,
    filter: EventFilter,
}

impl Undelivered {
    async fn skip(&self, up_to: Cursor) -> Result<(), JournalError> {
        let (state, sink) = (self.state.clone(), self.sink.clone());
        let writing = tokio::task::spawn_blocking(move || opened(&state).skip(&sink, up_to));
        Ok(writing.await??)
    }
}

impl EventSource for Undelivered {
    type Cursor = Cursor;

    async fn next(&self, limit: usize) -> Result<Vec<(Cursor, Event)>, JournalError> {
        loop {
            let (state, sink) = (self.state.clone(), self.sink.clone());
            // Another run may be settling, which takes long.
            let reading = tokio::task::spawn_blocking(move || opened(&state).undelivered(&sink, limit));
            let stored = reading.await??;
            let last = stored.last().map(|event| event.cursor);
            let events = stored.into_iter().filter_map(event);
            let events: Vec<_> = events.filter(|(_, event)| self.filter.passes(event)).collect();
            match last {
                // The sink gets none of these events, but it may get later ones.
                Some(last) if events.is_empty() => self.skip(last).await?,
                _ => return Ok(events),
            }
        }
    }

    async fn delivered(&self, up_to: Cursor, refused: u64) -> Result<(), JournalError> {
        let (state, sink, now) = (self.state.clone(), self.sink.clone(), Timestamp::now());
        let writing = tokio::task::spawn_blocking(move || opened(&state).delivered(&sink, up_to, now, refused));
        Ok(writing.await??)
    }

    async fn failed(&self, error: &DeliveryError) -> Result<(), JournalError> {
        let (state, sink, message) = (self.state.clone(), self.sink.clone(), error.message.clone());
        let storing = move || opened(&state).delivery_failed(&sink, Timestamp::now(), &message);
        Ok(tokio::task::spawn_blocking(storing).await??)
    }
}

fn event(stored: OutboxEvent) -> Option<(Cursor, Event)> {
    let OutboxEvent { cursor, event_id: id, record, table, target } = stored;
    if record.is_none() {
        tracing::error!(event = %id, "an event in the state cannot be read, and is skipped");
    }
    Some((cursor, Event { id, record: record?, table, target, part: Part::Whole }))
}

/// The events in the state that a sink gets, and has not accepted yet.
pub fn undelivered(state: &SharedState, sink: &str, filter: &EventFilter) -> impl EventSource<Cursor = Cursor> + use<> {
    Undelivered { state: state.clone(), sink: sink.to_owned(), filter: filter.clone() }
}
