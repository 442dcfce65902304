//! Delivers the estate of settled runs, as the state has it, to sinks of snapshots.

use std::collections::BTreeMap;
use std::sync::Arc;

use dynacrawl_model::{
    Body, Escaped, NamedScope, Outcome, RunCompleted, RunId, Scope, TargetFailed, Timestamp, event_id,
};
use dynacrawl_sinks::{
    DeliveryError, EventSource, JournalError, Piece, SnapshotEnd, SnapshotScope, SnapshotSink, SnapshotTable, Work,
    count,
};
use dynacrawl_state::{Cursor, OutboxEvent, Reader, ScopeKey, ScopeLine, SinkProgress, StateError};
use tokio::sync::{mpsc, oneshot};

use super::shared_state::{SharedState, opened, with_state};
use super::undelivered::undelivered;
use crate::settings::{ConfiguredSink, EventFilter, is_part_of};

/// How many pieces wait for the sink.
const QUEUED_PIECES: usize = 256;

/// A sink, and the state that it follows.
pub(crate) struct Snapshots<'a> {
    pub(crate) sink: Box<dyn SnapshotSink>,
    pub(crate) to: &'a ConfiguredSink,
    pub(crate) state: &'a SharedState,
}

impl Work for Snapshots<'_> {
    /// Writes a snapshot if a run has settled since the last one.
    async fn step(&mut self) -> Result<usize, DeliveryError> {
        let name = self.to.sink.name.clone();
        let owed = with_state(self.state, {
            let name = name.clone();
            move |state| {
                let mut state = opened(state);
                let Some(sync) = state.sink_sync(&name)? else { return Ok(None) };
                if !state.owes_a_run(&name)? {
                    return Ok(None);
                }
                // A replay meanwhile unsets it: then this snapshot does not count.
                let begun = event_id();
                let progress = SinkProgress { progress: Some(begun.clone()), ..SinkProgress::default() };
                state.set_progress(&name, sync.progress.as_deref(), &progress)?;
                Ok(Some((state.reader()?, begun)))
            }
        });
        let Some((reader, begun)) = owed.await? else { return Ok(0) };
        let (pieces, mut queue) = mpsc::channel(QUEUED_PIECES);
        let (newest, run_id) = oneshot::channel();
        let source = Source { name: name.clone(), filter: self.to.filter.clone(), newest, pieces };
        let reading = tokio::task::spawn_blocking(move || source.read(&reader));
        let written = match run_id.await {
            Ok(run_id) => self.sink.write(run_id, &mut queue).await,
            Err(_) => Err(DeliveryError::new("the state cannot be read")),
        };
        drop(queue);
        let read = reading.await.map_err(|error| DeliveryError::new(error.to_string()))?;
        let (up_to, sent) = read.map_err(|error| DeliveryError::new(error.to_string()))?;
        if let Err(error) = written {
            count(&name, "failed", 1);
            return Err(error);
        }
        let synced = name.clone();
        let progress = SinkProgress {
            taken: true,
            delivered_at: Some(Timestamp::now()),
            synced_up_to: Some(up_to),
            ..SinkProgress::default()
        };
        with_state(self.state, move |state| opened(state).set_progress(&synced, Some(&begun), &progress)).await?;
        count(&name, "delivered", sent);
        Ok(sent.max(1))
    }

    async fn failed(&self, error: &DeliveryError) -> Result<(), JournalError> {
        undelivered(self.state, &self.to.sink.name, &self.to.filter).failed(error).await
    }
}

/// Reads a snapshot from the state.
struct Source {
    name: String,
    filter: EventFilter,
    newest: oneshot::Sender<RunId>,
    pieces: mpsc::Sender<Piece>,
}

/// What settled since the last snapshot.
#[derive(Default)]
struct Settled {
    runs: Vec<(RunId, Cursor, RunCompleted)>,
    scopes: BTreeMap<String, SnapshotScope>,
    failed_targets: BTreeMap<String, Box<TargetFailed>>,
}

impl Settled {
    fn add(&mut self, stored: OutboxEvent) {
        let (cursor, Some(record)) = (stored.cursor, stored.record) else { return };
        match (record.body, record.scope) {
            (Body::RunCompleted(run), _) => self.runs.push((record.run_id, cursor, *run)),
            (Body::TargetFailed(failed), _) => drop(self.failed_targets.insert(failed.target.clone(), failed)),
            (Body::ScopeCompleted(ended), Some(scope)) => {
                // Its target is known again.
                self.failed_targets.remove(&ended.target);
                self.scopes.remove(&unknown_key(&ended.target, &scope));
                let key = if scope.account_id.is_some() { key(&scope) } else { unknown_key(&ended.target, &scope) };
                let (outcome, counts, problems) = (ended.outcome, Some(ended.counts), ended.problems);
                self.scopes.insert(key, SnapshotScope { scope, target: ended.target, outcome, counts, problems });
            }
            _ => {}
        }
    }

    /// A scope of the state that no run since the last snapshot has crawled under its own name: because its
    /// account could not be determined, or because the sink has not had it yet.
    fn known(&self, line: ScopeLine, scope: NamedScope, is_synced: bool) -> Option<SnapshotScope> {
        let unknown = self.scopes.get(&unknown_key(&line.target, &scope));
        let failed = self.failed_targets.values().find(|failed| is_part_of(&line.target, &failed.target));
        let newest = Outcome::ALL.into_iter().find(|one| one.as_str() == line.last_outcome);
        let (outcome, problems) = match (unknown, failed) {
            (Some(unknown), _) => (unknown.outcome, unknown.problems.clone()),
            (None, Some(failed)) => (failed.outcome, line.last_problems),
            (None, None) if !is_synced => (newest.unwrap_or(Outcome::Failed), line.last_problems),
            (None, None) => return None,
        };
        Some(SnapshotScope { scope: Arc::new(scope), target: line.target, outcome, counts: None, problems })
    }
}

/// By account and Region, so that equal states make equal files.
fn key(scope: &Scope) -> String {
    format!("{scope}/{}", scope.partition.as_str())
}

/// The key of a scope whose account is unknown: several targets may have one in the same Region.
fn unknown_key(target: &str, scope: &Scope) -> String {
    format!("?{target}/{}/{}", scope.region, scope.partition.as_str())
}

impl Source {
    /// Sends the pieces. Returns the place after the newest run, and how many pieces there are. If the
    /// sink has failed, the rest is not read.
    fn read(self, reader: &Reader) -> Result<(Cursor, usize), StateError> {
        reader.at_one_time(|| {
            let mut settled = Settled::default();
            reader.owed_ends(&self.name, |stored| {
                let target = stored.target.as_deref();
                if target.is_none_or(|target| self.filter.has_target(target)) {
                    settled.add(stored);
                }
            })?;
            let is_synced = reader.is_synced(&self.name)?;
            let mut named_now = Vec::new();
            for line in reader.scope_lines(true)? {
                let Some(scope) = line.scope() else { continue };
                let (key, unknown) = (key(&scope), unknown_key(&line.target, &scope));
                if line.retired_at.is_some() {
                    settled.scopes.remove(&key);
                } else if self.filter.has_target(&line.target)
                    && let Some(known) = settled.known(line, scope, is_synced)
                {
                    settled.scopes.entry(key).or_insert(known);
                    named_now.push(unknown);
                }
            }
            for unknown in named_now {
                settled.scopes.remove(&unknown);
            }
            let Settled { mut runs, scopes, failed_targets } = settled;
            if runs.is_empty()
                && let Some((run_id, run)) = reader.newest_run()?
            {
                // The sink is to begin anew, and no run has settled since it was last written to.
                runs.push((run_id, Cursor::default(), run));
            }
            let Some(((run_id, up_to, run), skipped)) = runs.split_last() else { return Ok((Cursor::default(), 0)) };
            let mut sent = 0;
            let mut send = |piece| {
                sent += 1;
                self.pieces.blocking_send(piece).is_ok()
            };
            if self.newest.send(*run_id).is_err() {
                return Ok((*up_to, 0));
            }
            for scope in scopes.into_values() {
                if let Some(key) = ScopeKey::of(&scope.scope) {
                    Self::tables(reader, &self.filter, &key, &scope, &mut send)?;
                }
                if !send(Piece::Scope(Box::new(scope))) {
                    return Ok((*up_to, sent));
                }
            }
            for failed in failed_targets.into_values() {
                send(Piece::TargetFailed(failed));
            }
            let skipped = skipped.iter().map(|(run_id, ..)| *run_id).collect();
            send(Piece::End(SnapshotEnd { outcome: run.outcome, ended_at: run.ended_at, skipped }));
            Ok((*up_to, sent))
        })
    }

    fn tables(
        reader: &Reader,
        filter: &EventFilter,
        key: &ScopeKey,
        scope: &SnapshotScope,
        send: &mut impl FnMut(Piece) -> bool,
    ) -> Result<(), StateError> {
        reader.known_tables(key, |known| {
            if !filter.has_table(&known.name) {
                return true;
            }
            let Some(record) = known.read() else {
                let (scope, table) = (scope.scope.to_string(), Escaped(&known.name).to_string());
                tracing::error!(scope, table, "the table in the state cannot be read, and is not in the snapshot");
                return send(Piece::Unreadable);
            };
            send(Piece::Table(Box::new(SnapshotTable {
                scope: scope.scope.clone(),
                record,
                last_seen_at: known.last_seen_at,
                scope_outcome: Some(scope.outcome),
            })))
        })
    }
}
