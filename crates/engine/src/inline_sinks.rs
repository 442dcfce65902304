//! Sinks of a run without a state. They get tables, and how scopes, targets and the run ended, as
//! the records are written. A slow sink holds up the run. Without a state there are no changes and
//! no removals.

use std::borrow::Cow;
use std::time::Duration;

use dynacrawl_model::{Body, Record, event_id};
use dynacrawl_sinks::{Event, JournalError, Observed, Position, Sink, deliver_until};
use tokio::time::Instant;

use super::event::What;
use super::run_event::{RunEvent, ScopeEntry};
use crate::settings::ConfiguredSink;

/// How long events wait for others to be delivered with them.
const LINGER: Duration = Duration::from_secs(1);

/// The sinks of one run.
pub(crate) struct InlineSinks {
    sinks: Vec<(ConfiguredSink, Box<dyn Sink>)>,
    /// How long a sink may fail before the run does.
    within: Duration,
    batch: usize,
    pending: Vec<Event>,
    /// The run's last record, which waits until the output is in place.
    last: Option<(Record, Option<String>)>,
    since: Instant,
}

impl InlineSinks {
    /// `None` if there are no sinks.
    pub(crate) fn new(settings: &[&ConfiguredSink], within: Duration) -> Option<Self> {
        let sinks: Vec<_> = settings.iter().map(|one| ((*one).clone(), one.sink.kind.sink())).collect();
        let batch = settings.iter().map(|one| one.sink.batch).min()?;
        Some(Self { sinks, within, batch, pending: Vec::new(), last: None, since: Instant::now() })
    }

    /// Delivers the remaining events and the run's last record.
    pub(crate) async fn finish(mut self) -> Result<(), JournalError> {
        if let Some(last) = self.last.take() {
            self.add(last);
        }
        self.deliver().await
    }

    /// Delivers the pending events.
    async fn deliver(&mut self) -> Result<(), JournalError> {
        let deadline = Instant::now() + self.within;
        let pending = std::mem::take(&mut self.pending);
        for (ConfiguredSink { sink: settings, filter }, sink) in &mut self.sinks {
            // Most sinks get everything: then nothing is copied.
            let passing = match pending.iter().all(|event| filter.passes(event)) {
                true => Cow::Borrowed(&pending),
                false => Cow::Owned(pending.iter().filter(|event| filter.passes(event)).cloned().collect()),
            };
            for batch in passing.chunks(settings.at_once()) {
                let delivered = deliver_until(&mut **sink, settings, batch, deadline).await;
                delivered.map_err(|error| format!("the sink '{}' has not taken everything: {error}", settings.name))?;
            }
        }
        Ok(())
    }

    fn add(&mut self, (record, target): (Record, Option<String>)) {
        if self.pending.is_empty() {
            self.since = Instant::now();
        }
        self.pending.push(Event { id: event_id(), record, table: None, target });
    }
}

impl dynacrawl_sinks::Journal<RunEvent> for InlineSinks {
    fn observe(&mut self, event: &mut RunEvent) -> Observed {
        match delivered(event) {
            Some(last @ (Record { body: Body::RunCompleted(_), .. }, _)) => self.last = Some(last),
            Some(other) => self.add(other),
            None => {}
        }
        Observed::Recorded
    }

    fn commit_at(&self) -> Option<Instant> {
        let linger = if self.pending.len() < self.batch { LINGER } else { Duration::ZERO };
        (!self.pending.is_empty()).then(|| self.since + linger)
    }

    async fn commit(&mut self, _: Position) -> Result<(), JournalError> {
        self.deliver().await
    }
}

/// The record of an event that sinks get, and its target.
fn delivered(event: &RunEvent) -> Option<(Record, Option<String>)> {
    match event {
        RunEvent::Record(record) => match &record.body {
            Body::TargetFailed(failed) => Some(((**record).clone(), Some(failed.target.clone()))),
            Body::RunCompleted(_) => Some(((**record).clone(), None)),
            _ => None,
        },
        RunEvent::Scope(_, ScopeEntry::Event(entry)) => match &entry.event.what {
            What::TableDescribed(described) => {
                let body = Body::Table(described.record.clone());
                let record = Record::of_scope(entry.event.key.run_id, entry.scope.clone(), body);
                Some((record, Some(entry.event.key.target.clone())))
            }
            _ => None,
        },
        RunEvent::Scope(_, ScopeEntry::Completed(ended)) => {
            let target = ended.completed.target.clone();
            Some(((**ended).clone().into_record(), Some(target)))
        }
        RunEvent::Scope(_, ScopeEntry::Began(_) | ScopeEntry::Changed(_)) | RunEvent::Retired(_) => None,
    }
}
