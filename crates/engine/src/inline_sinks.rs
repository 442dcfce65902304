//! Sinks of a run without a state. They get tables, and how scopes, targets and the run ended, as
//! the records are written. A slow sink holds up the run. Without a state there are no changes and
//! no removals.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

use dynacrawl_model::{Body, Record, RunId, RunOutcome, Scope, event_id};
use dynacrawl_sinks::{
    DeliveryError, Destination, Event, JournalError, Observed, Part, Piece, Position, Sink, SinkSettings, SnapshotEnd,
    SnapshotScope, SnapshotSink, SnapshotTable, deliver_until,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::event::What;
use super::run_event::{RunEvent, ScopeEntry};
use crate::settings::ConfiguredSink;

/// How long events wait for others to be delivered with them.
const LINGER: Duration = Duration::from_secs(1);

/// How many pieces of a snapshot wait for the sink.
const QUEUED_PIECES: usize = 256;

/// A sink of one run.
enum InlineSink {
    Events(Box<dyn Sink>),
    Snapshots(InlineSnapshot),
}

/// A snapshot that is written while the run is in progress.
enum InlineSnapshot {
    /// No event has come yet.
    Waiting(Box<dyn SnapshotSink>),
    Writing(mpsc::Sender<Piece>, JoinHandle<Result<(), DeliveryError>>),
    Ended,
}

/// The sinks of one run.
pub(crate) struct InlineSinks {
    sinks: Vec<(ConfiguredSink, InlineSink)>,
    /// How long a sink may fail before the run does.
    within: Duration,
    batch: usize,
    pending: Vec<Event>,
    /// The run's last record, which waits until the output is in place.
    last: Option<(Record, Option<String>)>,
    since: Instant,
    /// The sinks that have no place for the tables of some scopes.
    without_place: BTreeSet<(String, String)>,
}

impl InlineSinks {
    /// `None` if there are no sinks.
    pub(crate) fn new(settings: &[&ConfiguredSink], within: Duration) -> Option<Self> {
        let sinks: Vec<_> = settings.iter().map(|one| ((*one).clone(), InlineSink::new(one))).collect();
        let batch = settings.iter().map(|one| one.sink.batch).min()?;
        Some(Self {
            sinks,
            within,
            batch,
            pending: Vec::new(),
            last: None,
            since: Instant::now(),
            without_place: BTreeSet::new(),
        })
    }

    /// The sinks that have no place for the tables of some scopes: the name of each, and the scope.
    pub(crate) fn without_place(&mut self) -> BTreeSet<(String, String)> {
        std::mem::take(&mut self.without_place)
    }

    /// Delivers the remaining events and the run's last record.
    pub(crate) async fn finish(&mut self) -> Result<(), JournalError> {
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
            for scope in pending.iter().filter(|event| filter.passes(event)).filter_map(scope_of_table) {
                if !settings.kind.has_place(scope) {
                    self.without_place.insert((settings.name.clone(), scope.to_string()));
                }
            }
            // Most sinks get everything: then nothing is copied.
            let passing = match pending.iter().all(|event| filter.passes(event)) {
                true => Cow::Borrowed(&pending),
                false => Cow::Owned(pending.iter().filter(|event| filter.passes(event)).cloned().collect()),
            };
            let delivered = match sink {
                InlineSink::Events(sink) => all(&mut **sink, settings, &passing, deadline).await,
                InlineSink::Snapshots(snapshot) => snapshot.add(&passing, deadline).await,
            };
            delivered.map_err(|error| format!("the sink '{}' has not taken everything: {error}", settings.name))?;
        }
        Ok(())
    }

    fn add(&mut self, (record, target): (Record, Option<String>)) {
        if self.pending.is_empty() {
            self.since = Instant::now();
        }
        self.pending.push(Event { id: event_id(), record, table: None, target, part: Part::Whole });
    }
}

async fn all(
    sink: &mut dyn Sink,
    settings: &SinkSettings,
    events: &[Event],
    deadline: Instant,
) -> Result<(), DeliveryError> {
    for batch in events.chunks(settings.at_once()) {
        deliver_until(sink, settings, batch, deadline).await?;
    }
    Ok(())
}

impl InlineSink {
    fn new(settings: &ConfiguredSink) -> Self {
        match settings.sink.kind.destination() {
            Destination::Events(sink) | Destination::Catalog(sink, _) => Self::Events(sink),
            Destination::Snapshots(sink) => Self::Snapshots(InlineSnapshot::Waiting(sink)),
        }
    }
}

impl InlineSnapshot {
    /// Adds events to the snapshot. After the run's last one, waits until it is stored.
    async fn add(&mut self, events: &[Event], deadline: Instant) -> Result<(), DeliveryError> {
        for event in events {
            if let Body::RunCompleted(run) = &event.record.body
                && !matches!(run.outcome, RunOutcome::Complete | RunOutcome::Partial)
            {
                // Without its end, the sink deletes what it has stored: that is no failure of the sink.
                let _ = self.ended(deadline).await;
                return Ok(());
            }
            let Some(piece) = piece(&event.record) else { continue };
            let is_last = matches!(piece, Piece::End(_));
            let pieces = self.pieces(event.record.run_id);
            let sent = match pieces {
                Some(pieces) => matches!(timeout_at(deadline, pieces.send(piece)).await, Ok(Ok(()))),
                None => false,
            };
            if !sent || is_last {
                self.ended(deadline).await?;
            }
        }
        Ok(())
    }

    fn pieces(&mut self, run_id: RunId) -> Option<mpsc::Sender<Piece>> {
        if let Self::Waiting(_) = self
            && let Self::Waiting(mut sink) = std::mem::replace(self, Self::Ended)
        {
            let (pieces, mut queue) = mpsc::channel(QUEUED_PIECES);
            let writing = tokio::spawn(async move {
                // So that wrong credentials are found before the whole crawl.
                sink.health().await?;
                sink.write(run_id, &mut queue).await
            });
            *self = Self::Writing(pieces, writing);
        }
        match self {
            Self::Writing(pieces, _) => Some(pieces.clone()),
            _ => None,
        }
    }

    /// Waits until the snapshot is stored, or has failed.
    async fn ended(&mut self, deadline: Instant) -> Result<(), DeliveryError> {
        let Self::Writing(pieces, writing) = std::mem::replace(self, Self::Ended) else {
            return Err(DeliveryError::new("the snapshot has failed"));
        };
        drop(pieces);
        match timeout_at(deadline, writing).await {
            Ok(Ok(written)) => written,
            Ok(Err(panicked)) => Err(DeliveryError::new(panicked.to_string())),
            Err(_) => {
                Err(DeliveryError::new("the destination did not take the snapshot in time (crawl.deliver_within)"))
            }
        }
    }
}

fn scope_of_table(event: &Event) -> Option<&Scope> {
    let is_table = matches!(event.record.body, Body::Table(_));
    event.record.scope.as_deref().filter(|_| is_table).map(|scope| &scope.scope)
}

/// The piece of a snapshot for a record.
fn piece(record: &Record) -> Option<Piece> {
    let scope = record.scope.clone();
    Some(match (&record.body, scope) {
        (Body::Table(table), Some(scope)) => {
            let record = table.clone();
            // The scope has not ended yet.
            Piece::Table(Box::new(SnapshotTable { scope, record, last_seen_at: None, scope_outcome: None }))
        }
        (Body::ScopeCompleted(ended), Some(scope)) => Piece::Scope(Box::new(SnapshotScope {
            scope,
            target: ended.target.clone(),
            outcome: ended.outcome,
            counts: Some(ended.counts),
            problems: ended.problems.clone(),
        })),
        (Body::TargetFailed(failed), _) => Piece::TargetFailed(failed.clone()),
        (Body::RunCompleted(run), _) => {
            Piece::End(SnapshotEnd { outcome: run.outcome, ended_at: run.ended_at, skipped: Vec::new() })
        }
        _ => return None,
    })
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
