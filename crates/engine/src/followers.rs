//! Delivers to sinks of events and of catalogs. One that does not have the whole state first gets all tables.
//! Then a sink of events gets each event, and one of a catalog the newest state of each table that changed and,
//! from time to time, statistics. Only a `table_removed` event removes a table.

use std::time::Duration;

use dynacrawl_model::{Body, Record, RecordKind, Timestamp};
use dynacrawl_sinks::{
    CatalogSettings, DeliveryError, Destination, Event, EventSource, JournalError, Part, Sink, Start, Work,
    deliver_next, deliver_once, table_of,
};
use dynacrawl_state::{Reader, ScopeKey, SinkProgress, SinkSync, StateError, TableStatus};

use super::follower_pages::{Next, Page, Phase, Progress};
use super::shared_state::{SharedState, opened, with_state};
use super::undelivered::undelivered;
use crate::settings::ConfiguredSink;

/// How long before the sink last took something a removal may have been found that it has not had: beside
/// the age of events that wait for it.
const MARGIN: Duration = Duration::from_secs(24 * 3600);

/// A sink, and the state that it follows.
pub(crate) struct Follower<'a> {
    pub(crate) sink: Box<dyn Sink>,
    pub(crate) to: &'a ConfiguredSink,
    /// How the catalog is kept up to date; `None`: the sink gets each event.
    pub(crate) catalog: Option<CatalogSettings>,
    pub(crate) state: &'a SharedState,
    /// How old an event can be that waits for the sink.
    pub(crate) undelivered: Duration,
}

impl Work for Follower<'_> {
    async fn step(&mut self) -> Result<usize, DeliveryError> {
        let name = self.to.sink.name.clone();
        let Some(sync) = with_state(self.state, move |state| opened(state).sink_sync(&name)).await? else {
            return Ok(0);
        };
        // What a run in progress has observed already, the state gets only when it settles.
        let now = sync.running_since.map_or_else(Timestamp::now, |since| since.min(Timestamp::now()));
        let progress = sync.progress.as_deref().and_then(|text| serde_json::from_str::<Progress>(text).ok());
        match progress {
            // What happened before must not come after the tables as they are now.
            Some(progress) if sync.is_synced && progress.changed_since.is_some() => match self.changes(&sync).await? {
                0 => self.continued(progress, &sync).await,
                sent => Ok(sent),
            },
            Some(progress) if sync.is_synced || progress.up_to.is_some() => self.continued(progress, &sync).await,
            _ if sync.last_run_at.is_none() => Ok(0),
            // It is new, or has become behind, perhaps while it got statistics.
            _ if !sync.is_synced => {
                if let Destination::Catalog(anew, _) = self.to.sink.kind.destination() {
                    // One that remembers nothing of what the catalog has.
                    self.sink = anew;
                }
                // A sink that has never had anything knows no table that is gone.
                let gone_since = sync.delivered_at.map(|last| last.before(self.undelivered + MARGIN));
                let of_all = Progress::of_all(now, gone_since);
                let all = Progress {
                    up_to: Some(sync.end),
                    as_added: sync.delivered_at.is_none() && self.to.sink.start == Start::Beginning,
                    // What a catalog was about to remove can be older.
                    removed_since: of_all.removed_since.filter(|_| self.catalog.is_none()),
                    ..of_all
                };
                // Before the first table: the ids of the events of another attempt are the same then.
                self.store(Next::At(all), &sync, None).await?;
                Ok(1)
            }
            _ => match self.changes(&sync).await? {
                0 if self.are_statistics_due(&sync) => {
                    self.continued(Progress::new(Phase::Statistics, now), &sync).await
                }
                sent => Ok(sent),
            },
        }
    }

    async fn failed(&self, error: &DeliveryError) -> Result<(), JournalError> {
        undelivered(self.state, &self.to.sink.name, &self.to.filter).failed(error).await
    }
}

impl Follower<'_> {
    /// Whether there can be new statistics, and the last ones are old enough: almost, so that a daily run
    /// does not miss its time by a second. A time in the future is that of a wrong clock.
    fn are_statistics_due(&self, sync: &SinkSync) -> bool {
        let Some(catalog) = self.catalog else { return false };
        let (now, every) = (Timestamp::now(), catalog.stats_every);
        let slack = (every / 10).min(Duration::from_secs(3600));
        let is_old = |last| (last <= now.before(every - slack) || last > now) && sync.last_run_at >= Some(last);
        sync.statistics_at.is_none_or(is_old)
    }

    /// Delivers a batch of changes.
    async fn changes(&mut self, sync: &SinkSync) -> Result<usize, DeliveryError> {
        let source = undelivered(self.state, &self.to.sink.name, &self.to.filter);
        let Some(catalog) = self.catalog else { return deliver_next(&mut *self.sink, &source, &self.to.sink).await };
        let own = |error: JournalError| DeliveryError::new(error.to_string());
        let events = source.next(self.to.sink.at_once()).await.map_err(own)?;
        let Some((last, _)) = events.last() else { return Ok(0) };
        let last = *last;
        let events: Vec<_> = events.into_iter().map(|(_, event)| event).collect();
        let retires = |event: &Event| matches!(event.record.body, Body::ScopeRetired(_));
        let removes = catalog.remove_retired && events.iter().any(retires);
        let count = events.len();
        let newest = with_state(self.state, move |state| {
            let reader = opened(state).reader()?;
            let now = events.into_iter().map(|event| newest(&reader, event));
            now.filter_map(Result::transpose).collect::<Result<Vec<_>, _>>()
        });
        let mut newest = newest.await?;
        newest.retain(is_of_table);
        let refused = self.deliver(&newest).await?;
        if removes {
            let progress = match sync.progress.as_deref().and_then(|text| serde_json::from_str::<Progress>(text).ok()) {
                Some(replay) => replay.with_all_removals(),
                None => Progress::new(Phase::Removals, Timestamp::now()),
            };
            // Before the cursor passes, so that a kill loses nothing.
            if !self.store(Next::At(progress), sync, None).await? {
                // A replay began meanwhile.
                let name = self.to.sink.name.clone();
                with_state(self.state, move |state| opened(state).set_behind(&name)).await?;
            }
        }
        if newest.is_empty() {
            // Nothing shows that the catalog is there.
            let name = self.to.sink.name.clone();
            with_state(self.state, move |state| opened(state).skip(&name, last)).await?;
        } else {
            source.delivered(last, refused).await.map_err(own)?;
        }
        Ok(count)
    }

    async fn deliver(&mut self, events: &[Event]) -> Result<u64, DeliveryError> {
        let mut refused = 0;
        for batch in events.chunks(self.to.sink.at_once()) {
            refused += deliver_once(&mut *self.sink, &self.to.sink, batch).await?.refused.len() as u64;
        }
        Ok(refused)
    }

    /// Delivers the next tables of all.
    async fn continued(&mut self, progress: Progress, sync: &SinkSync) -> Result<usize, DeliveryError> {
        let as_added = progress.as_added || !self.to.filter.has_kind(RecordKind::Table);
        let page = Page {
            filter: self.to.filter.clone(),
            limit: self.to.sink.at_once(),
            progress: Progress { as_added, ..progress },
            statistics_since: sync.statistics_at,
            with_retired: self.catalog.is_some_and(|catalog| catalog.remove_retired),
        };
        let reading = move |state: &SharedState| {
            let reader = opened(state).reader()?;
            page.read(&reader)
        };
        let (mut events, next) = with_state(self.state, reading).await?;
        if self.catalog.is_some() {
            events.retain(is_of_table);
        }
        let refused = self.deliver(&events).await?;
        self.store(next, sync, (!events.is_empty()).then_some(refused)).await?;
        Ok(events.len().max(1))
    }

    /// Stores how far the sink is, unless it has to begin anew. Returns whether it was stored. `refused`: how many tables it refused on the way;
    /// `None`: it got nothing.
    async fn store(&self, next: Next, sync: &SinkSync, refused: Option<u64>) -> Result<bool, DeliveryError> {
        let (name, before) = (self.to.sink.name.clone(), sync.progress.clone());
        let (progress, has_ended) = match next {
            Next::At(progress) => (progress, false),
            Next::Ended(progress) => (progress, true),
        };
        let (is_whole, now) = (progress.up_to.is_some(), Timestamp::now());
        let stored = SinkProgress {
            taken: refused.is_some(),
            refused: refused.unwrap_or_default(),
            // While the sink gets the whole state, the last time before that decides which removals it needs.
            delivered_at: if is_whole { has_ended.then_some(now) } else { refused.map(|_| now) },
            statistics_at: (has_ended && (is_whole || progress.phase == Phase::Statistics))
                .then_some(progress.started_at),
            synced_up_to: progress.up_to.filter(|_| has_ended),
            progress: if has_ended { None } else { serde_json::to_string(&progress).ok() },
        };
        let storing = move |state: &SharedState| opened(state).set_progress(&name, before.as_deref(), &stored);
        with_state(self.state, storing).await
    }
}

/// Whether a catalog gets something of an event.
fn is_of_table(event: &Event) -> bool {
    matches!(
        event.record.body,
        Body::Table(_) | Body::TableAdded(_) | Body::TableChanged(_) | Body::TableRecreated(_) | Body::TableRemoved(_)
    )
}

/// An event with the newest state of its table; `None` if a later event removes the table.
fn newest(reader: &Reader, event: Event) -> Result<Option<Event>, StateError> {
    let name = match &event.record.body {
        Body::TableRemoved(removed) => Some(removed.table_name.as_str().to_owned()),
        _ => {
            table_of(&event.record, event.table.as_ref()).and_then(|table| table.name.as_ref()).map(ToString::to_string)
        }
    };
    let scope = event.record.scope.clone();
    let (Some(name), Some(scope)) = (name, scope) else { return Ok(Some(event)) };
    let Some(key) = ScopeKey::of(&scope) else { return Ok(Some(event)) };
    Ok(match reader.table_now(&key, &name)? {
        Some((TableStatus::Present, known)) => match known.read() {
            Some(table) => {
                let record = Record::of_scope(event.record.run_id, scope, Body::Table(table));
                Some(Event { record, table: None, part: Part::Whole, ..event })
            }
            None => Some(event),
        },
        Some((TableStatus::Removed, _)) if !matches!(event.record.body, Body::TableRemoved(_)) => None,
        _ => Some(event),
    })
}
