//! Delivers events from the state's outbox to the sinks, each at its own pace.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use dynacrawl_model::{Escaped, Timestamp};
use dynacrawl_sinks::{Destination, Start, Until, count, work};
use dynacrawl_state::{SinkPlace, State, StateError};
use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use super::followers::Follower;
use super::shared_state::{SharedState, opened};
use super::snapshots::Snapshots;
use crate::settings::{ConfiguredSink, Settings, SinkChoice, StateSettings};

/// How long an attempt may continue after the time is over.
const LAST_TRY: Duration = Duration::from_secs(10);

/// Sets the sinks in the state before a run begins. Drops events that have waited too long or are too many;
/// the sink gets all tables instead.
pub(crate) fn register(settings: &Settings, state: &SharedState, remembered: &StateSettings) -> Result<(), StateError> {
    let place = |ConfiguredSink { sink, filter }: &ConfiguredSink| SinkPlace {
        name: sink.name.clone(),
        place: sink.kind.place(&filter.words()),
        starts_now: sink.kind.takes_events() && sink.start == Start::Now,
    };
    let places: Vec<_> = settings.sinks.iter().map(place).collect();
    let mut state = opened(state);
    let other = state.set_sinks(&places)?;
    for (name, owed) in other.removed {
        let name = Escaped(&name).to_string();
        tracing::warn!(
            sink = name,
            "the sink is no longer configured; dropping the {owed} events that it had not accepted"
        );
    }
    for name in other.moved {
        let name = Escaped(&name).to_string();
        tracing::info!(sink = name, "the place or the filter of the sink has changed; next, it gets the whole state");
    }
    for (name, owed) in state.expire_outbox(Timestamp::now(), remembered.undelivered, remembered.most_undelivered)? {
        let name = Escaped(&name).to_string();
        tracing::warn!(
            sink = name,
            "the sink is behind: {owed} events wait for too long (state.undelivered_days) or are too many \
             (state.undelivered_events); next, it gets all tables instead"
        );
    }
    Ok(())
}

/// Delivers the events of settled runs to the chosen sinks. Ends when nothing is left, if `until`
/// says so, or when `stop` is cancelled.
pub async fn deliver(
    settings: &Settings,
    choice: &SinkChoice,
    state: &SharedState,
    until: Until,
    stop: &CancellationToken,
) {
    let undelivered = settings.state.as_ref().map(|state| state.undelivered).unwrap_or_default();
    let driven = choice.of(&settings.sinks).into_iter().map(|sink| deliver_to(sink, state, undelivered, until, stop));
    join_all(driven).await;
    if until == Until::Stopped {
        // Wait even without any sinks.
        stop.cancelled().await;
    }
}

async fn deliver_to(to: &ConfiguredSink, state: &SharedState, keep: Duration, until: Until, stop: &CancellationToken) {
    // An increase is visible only after a zero.
    for result in ["delivered", "failed", "refused"] {
        count(&to.sink.name, result, 0);
    }
    match to.sink.kind.destination() {
        Destination::Events(sink) => {
            let mut follower = Follower { sink, to, catalog: None, state, undelivered: keep };
            work(&mut follower, &to.sink, until, stop).await;
        }
        Destination::Catalog(sink, catalog) => {
            let mut follower = Follower { sink, to, catalog: Some(catalog), state, undelivered: keep };
            work(&mut follower, &to.sink, until, stop).await;
        }
        Destination::Snapshots(sink) => work(&mut Snapshots { sink, to, state }, &to.sink, until, stop).await,
    }
}

/// What a sink has not accepted yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owed {
    /// This many events.
    Events(u64),
    /// The tables of the whole state, or the rest of them.
    AllTables,
    /// Statistics of tables, or removals.
    SomeTables,
    /// A snapshot of the newest run.
    Snapshot,
}

impl Owed {
    /// What the state owes a sink; `None`: nothing.
    fn to(one: &ConfiguredSink, state: &State) -> Result<Option<Self>, StateError> {
        let name = &one.sink.name;
        if one.sink.kind.takes_snapshots() {
            // It is owed for a run that has ended, and not for its events.
            return Ok(state.owes_a_run(name)?.then_some(Self::Snapshot));
        }
        let Some(sync) = state.sink_sync(name)? else { return Ok(None) };
        if !sync.is_synced {
            return Ok(sync.last_run_at.map(|_| Self::AllTables));
        }
        Ok(match state.owed(name)? {
            0 => sync.progress.map(|_| Self::SomeTables),
            count => Some(Self::Events(count)),
        })
    }
}

impl fmt::Display for Owed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Events(1) => f.write_str("1 event"),
            Self::Events(count) => write!(f, "{count} events"),
            Self::AllTables => f.write_str("all tables"),
            Self::SomeTables => f.write_str("some tables"),
            Self::Snapshot => f.write_str("a snapshot"),
        }
    }
}

/// Delivers the events of settled runs for as long as the settings allow. Returns the sinks that
/// have not accepted everything, and what each is owed.
///
/// # Errors
/// If the state cannot be read.
pub async fn deliver_in_time(
    settings: &Settings,
    choice: &SinkChoice,
    state: &SharedState,
) -> Result<Vec<(String, Owed)>, StateError> {
    let chosen = choice.of(&settings.sinks);
    if chosen.is_empty() {
        return Ok(Vec::new());
    }
    let (stop, within): (_, Duration) = (CancellationToken::new(), settings.crawl.deliver_within);
    // Stop between two attempts, unless an attempt does not end.
    let timer = async {
        tokio::time::sleep(within).await;
        stop.cancel();
        tokio::time::sleep(LAST_TRY).await;
    };
    tokio::select! {
        () = deliver(settings, choice, state, Until::Empty, &stop) => {}
        () = timer => {}
    }
    let state = opened(state);
    let owed = chosen.iter().map(|one| Ok(Owed::to(one, &state)?.map(|owed| (one.sink.name.clone(), owed))));
    owed.filter_map(Result::transpose).collect()
}

/// The chosen sinks that have no place for the tables of some scopes in the state: the name of each, and
/// the scope.
///
/// # Errors
/// If the state cannot be read.
pub fn without_place(
    settings: &Settings,
    choice: &SinkChoice,
    state: &SharedState,
) -> Result<BTreeSet<(String, String)>, StateError> {
    let reader = opened(state).reader()?;
    let mut found = BTreeSet::new();
    for scope in reader.all_scopes()? {
        for ConfiguredSink { sink, filter } in choice.of(&settings.sinks) {
            let of = scope.key.scope();
            if !filter.has_target(&scope.target) || sink.kind.has_place(&of) {
                continue;
            }
            let mut has_table = false;
            reader.present(scope.id, |name| has_table |= filter.has_table(name))?;
            if has_table {
                found.insert((sink.name.clone(), of.to_string()));
            }
        }
    }
    Ok(found)
}
