//! Delivers the newest state of each table to sinks of catalogs: first of all tables, then of those that
//! changed, and from time to time statistics. Only a `table_removed` event removes a table.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use dynacrawl_model::{Body, NamedScope, Record, RunId, Scope, TableRemoved, Timestamp, event_id};
use dynacrawl_sinks::{
    CatalogSettings, DeliveryError, Destination, Event, EventSource, JournalError, Part, Sink, Work, deliver_once,
    deliver_until,
};
use dynacrawl_state::{Cursor, Gone, GoneTable, KnownScope, Reader, ScopeKey, SinkSync, StateError};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::shared_state::{SharedState, opened};
use super::undelivered::undelivered;
use crate::settings::{ConfiguredSink, EventFilter};

/// A sink, and the state that it follows.
pub(crate) struct Follower<'a> {
    pub(crate) sink: Box<dyn Sink>,
    pub(crate) to: &'a ConfiguredSink,
    pub(crate) catalog: CatalogSettings,
    pub(crate) state: &'a SharedState,
}

/// How far a sink is with all tables, or with the statistics of all tables. A later process continues
/// there.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Progress {
    only_statistics: bool,
    started_at: Timestamp,
    /// The place in the outbox when it began: the sink gets everything after it again.
    up_to: Cursor,
    /// The scope and the table that came last.
    scope: String,
    table: String,
}

impl Work for Follower<'_> {
    async fn step(&mut self) -> Result<usize, DeliveryError> {
        let name = self.to.sink.name.clone();
        let Some(sync) = self.with_state(move |state| opened(state).sink_sync(&name)).await? else { return Ok(0) };
        let now = Timestamp::now();
        let progress = sync.progress.as_deref().and_then(|text| serde_json::from_str::<Progress>(text).ok());
        let new = |only_statistics| Progress {
            only_statistics,
            started_at: now,
            up_to: sync.end,
            scope: String::new(),
            table: String::new(),
        };
        match progress {
            Some(progress) if sync.is_synced || !progress.only_statistics => self.continued(progress, &sync).await,
            None if sync.last_run_at.is_none() => Ok(0),
            // It is new, or has become behind, perhaps while it got statistics.
            _ if !sync.is_synced => {
                if let Destination::Catalog(anew, _) = self.to.sink.kind.destination() {
                    // One that remembers nothing of what the catalog has.
                    self.sink = anew;
                }
                self.continued(new(false), &sync).await
            }
            _ => match self.changes().await? {
                0 if self.are_statistics_due(&sync, now) => self.continued(new(true), &sync).await,
                sent => Ok(sent),
            },
        }
    }

    async fn failed(&self, error: &DeliveryError) -> Result<(), JournalError> {
        undelivered(self.state, &self.to.sink.name, &self.to.filter).failed(error).await
    }
}

impl Follower<'_> {
    /// Whether there can be new statistics, and the last ones are old enough.
    fn are_statistics_due(&self, sync: &SinkSync, now: Timestamp) -> bool {
        let is_old = |last| last <= now.before(self.catalog.stats_every) && sync.last_run_at >= Some(last);
        sync.statistics_at.is_none_or(is_old)
    }

    /// Delivers a batch of changes.
    async fn changes(&mut self) -> Result<usize, DeliveryError> {
        let source = undelivered(self.state, &self.to.sink.name, &self.to.filter);
        let own = |error: JournalError| DeliveryError::new(error.to_string());
        let events = source.next(self.to.sink.at_once()).await.map_err(own)?;
        let Some((last, _)) = events.last() else { return Ok(0) };
        let last = *last;
        let mut batch = Vec::with_capacity(events.len());
        for (_, event) in events {
            match &event.record.body {
                Body::ScopeRetired(_) if self.catalog.remove_retired => batch.extend(self.retired(&event).await?),
                _ => batch.push(event),
            }
        }
        let refused = self.deliver(&batch).await?;
        source.delivered(last, refused).await.map_err(own)?;
        Ok(batch.len().max(1))
    }

    /// The tables of a scope that was retired, as removed ones.
    async fn retired(&self, event: &Event) -> Result<Vec<Event>, DeliveryError> {
        let Some(key) = event.record.scope.as_ref().and_then(|scope| ScopeKey::of(scope)) else {
            return Ok(Vec::new());
        };
        let (filter, run_id) = (self.to.filter.clone(), event.record.run_id);
        let gone = self.with_state(move |state| {
            let reader = opened(state).reader()?;
            reader.gone_tables(Gone::RetiredWith(&key))
        });
        Ok(removed(gone.await?, &filter, Some(run_id)).collect())
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
        let page = Page {
            filter: self.to.filter.clone(),
            limit: self.to.sink.at_once(),
            progress,
            since: sync.statistics_at,
            removed_since: sync.delivered_at,
            changed_since: None,
        };
        let reading = move |state: &SharedState| {
            let reader = opened(state).reader()?;
            page.read(&reader)
        };
        let (events, next) = self.with_state(reading).await?;
        let refused = self.deliver(&events).await?;
        let name = self.to.sink.name.clone();
        let storing = move |state: &SharedState| {
            let mut state = opened(state);
            match next {
                Next::At(progress) => {
                    state.set_progress(&name, serde_json::to_string(&progress).ok().as_deref(), refused)
                }
                Next::Ended(Progress { only_statistics, started_at, up_to, .. }) => {
                    state.set_progress(&name, None, refused)?;
                    if !only_statistics {
                        state.synced(&name, up_to, Timestamp::now())?;
                    }
                    state.set_statistics_at(&name, started_at)
                }
            }
        };
        self.with_state(storing).await?;
        Ok(events.len().max(1))
    }

    /// Another run may be settling, which takes long.
    async fn with_state<T: Send + 'static>(
        &self,
        work: impl FnOnce(&SharedState) -> Result<T, StateError> + Send + 'static,
    ) -> Result<T, DeliveryError> {
        let state = self.state.clone();
        let done = tokio::task::spawn_blocking(move || work(&state)).await;
        done.map_err(|error| error.to_string())
            .and_then(|done| done.map_err(|error| error.to_string()))
            .map_err(DeliveryError::new)
    }
}

/// Some of all tables.
struct Page {
    filter: EventFilter,
    limit: usize,
    progress: Progress,
    /// When the sink last got statistics. It gets those that differ since.
    since: Option<Timestamp>,
    /// When the sink last took something: it may not know of removals since.
    removed_since: Option<Timestamp>,
    /// Only tables that have changed since.
    changed_since: Option<Timestamp>,
}

enum Next {
    At(Progress),
    Ended(Progress),
}

impl Page {
    fn read(self, reader: &Reader) -> Result<(Vec<Event>, Next), StateError> {
        let Self { filter, limit, mut progress, since, removed_since, changed_since } = self;
        let part = if progress.only_statistics { Part::Statistics } else { Part::Whole };
        let key = |scope: &KnownScope| -> String {
            let key = &scope.key;
            format!("{}/{}/{}", key.partition.as_str(), key.account_id.as_str(), key.region.as_str())
        };
        let mut scopes: VecDeque<_> = reader.all_scopes()?.into_iter().map(|scope| (key(&scope), scope)).collect();
        scopes.make_contiguous().sort_by(|(one, _), (other, _)| one.cmp(other));
        let mut events = Vec::new();
        for (key, scope) in scopes {
            if key < progress.scope || !filter.has_target(&scope.target) {
                continue;
            }
            let after = if key == progress.scope { progress.table.clone() } else { String::new() };
            let named = Arc::new(named(&scope));
            let mut last = None;
            reader.known_tables_after(&scope.key, &after, |known| {
                last = Some(known.name.clone());
                let differs = known.stats.as_ref().is_none_or(|(at, _)| since.is_none_or(|since| *at >= since));
                if filter.has_table(&known.name)
                    && (part == Part::Whole || differs)
                    && changed_since.is_none_or(|since| known.changed_at >= since)
                    && let Some((run_id, table)) = known.read_of_run()
                {
                    let record = Record::of_scope(run_id, named.clone(), Body::Table(table));
                    let target = Some(scope.target.clone());
                    events.push(Event { id: event_id(), record, table: None, target, part });
                }
                events.len() < limit
            })?;
            progress = Progress { scope: key, table: last.unwrap_or(after), ..progress };
            if events.len() >= limit {
                return Ok((events, Next::At(progress)));
            }
        }
        if let (false, Some(since)) = (progress.only_statistics, removed_since) {
            events.extend(removed(reader.gone_tables(Gone::RemovedSince(since))?, &filter, None));
        }
        Ok((events, Next::Ended(progress)))
    }
}

fn named(scope: &KnownScope) -> NamedScope {
    let scope: (Scope, _) = (scope.key.scope(), scope.account_name.clone());
    NamedScope { scope: scope.0, account_name: scope.1 }
}

/// Tables that are gone, as events that remove them.
fn removed(gone: Vec<(String, GoneTable)>, filter: &EventFilter, run_id: Option<RunId>) -> impl Iterator<Item = Event> {
    let passes =
        |(target, table): &(String, GoneTable)| filter.has_target(target) && filter.has_table(table.name.as_str());
    gone.into_iter().filter(passes).filter_map(move |(target, gone)| {
        let GoneTable { scope, name: table_name, record, at: observed_at, last_seen_at } = gone;
        let known = record.as_ref().and_then(|record| match &record.body {
            Body::Table(table) => Some(&table.table),
            _ => None,
        });
        let body = TableRemoved {
            observed_at,
            table_arn: known.and_then(|table| table.arn.clone()),
            table_id: known.and_then(|table| table.id.clone()),
            table_name,
            last_seen_at,
        };
        let run_id = run_id.or(record.as_ref().map(|record| record.run_id))?;
        let of_scope = Record::of_scope(run_id, Arc::new(scope), body);
        Some(Event { id: event_id(), record: of_scope, table: record, target: Some(target), part: Part::Whole })
    })
}

/// Sends tables to a sink as the state has them now: all, or those that have changed or were removed since
/// a time. What the sink is owed is not affected. Returns how many it took and refused.
///
/// # Errors
/// If the state cannot be read, or the sink does not take them within `within`.
pub async fn resend(
    to: &ConfiguredSink,
    state: &SharedState,
    since: Option<Timestamp>,
    within: Duration,
) -> Result<(u64, u64), DeliveryError> {
    let (Destination::Events(mut sink) | Destination::Catalog(mut sink, _)) = to.sink.kind.destination() else {
        return Err(DeliveryError::new("the sink gets snapshots"));
    };
    let deadline = Instant::now() + within;
    let (mut taken, mut refused) = (0, 0);
    let mut progress = Progress {
        only_statistics: false,
        started_at: Timestamp::now(),
        up_to: Cursor::default(),
        scope: String::new(),
        table: String::new(),
    };
    loop {
        let page = Page {
            filter: to.filter.clone(),
            limit: to.sink.at_once(),
            progress,
            since: None,
            removed_since: since,
            changed_since: since,
        };
        let state = state.clone();
        let reading = move || {
            let reader = opened(&state).reader()?;
            page.read(&reader)
        };
        let read = tokio::task::spawn_blocking(reading).await.map_err(|error| error.to_string());
        let (events, next) =
            read.and_then(|read| read.map_err(|error| error.to_string())).map_err(DeliveryError::new)?;
        let events: Vec<_> = events.into_iter().filter(|event| to.filter.passes(event)).collect();
        for batch in events.chunks(to.sink.at_once()) {
            let delivered = deliver_until(&mut *sink, &to.sink, batch, deadline).await?;
            refused += delivered.refused.len() as u64;
            taken += (batch.len() - delivered.refused.len()) as u64;
        }
        match next {
            Next::At(next) => progress = next,
            Next::Ended(_) => return Ok((taken, refused)),
        }
    }
}
