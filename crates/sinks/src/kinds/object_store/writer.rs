//! Writes one snapshot.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use dynacrawl_catalogs::Described;
use dynacrawl_catalogs::rows::{self, IndexRow, KeyAttributeRow, Row, ScopeEnd, ScopeRow, TableRow};
use dynacrawl_model::{Outcome, RunId, Scope};
use futures_util::TryStreamExt;
use object_store::path::Path;
use object_store::{Attribute, Attributes, ObjectStore, ObjectStoreExt, PutOptions, PutPayload, Result as StoreResult};

use tokio::time::timeout;

use super::data_set::{DataSet, Part};
use super::manifest::{Covered, Missing};
use super::settings::ObjectStoreSettings;
use crate::sink::DeliveryError;
use crate::snapshot::{SnapshotEnd, SnapshotScope, SnapshotTable};

/// How long the deletion of an incomplete snapshot may take.
const DISCARD_TIME: Duration = Duration::from_secs(10);

const TABLES: &str = "tables";
const INDEXES: &str = "indexes";
const KEY_ATTRIBUTES: &str = "key_attributes";
const SCOPES: &str = "scopes";
/// The directory of the manifests. Readers ignore names that begin with `_`.
const MANIFESTS: &str = "_manifests";
/// The manifest of the newest snapshot.
const NEWEST: &str = "_manifest.json";

/// A snapshot that is being written.
pub(super) struct Writer<'s> {
    settings: &'s ObjectStoreSettings,
    store: &'s dyn ObjectStore,
    run_id: RunId,
    tables: DataSet,
    indexes: DataSet,
    key_attributes: DataSet,
    scopes: DataSet,
    /// How many tables each scope has that has not ended.
    table_counts: HashMap<Scope, u64>,
    missing: Missing,
}

impl<'s> Writer<'s> {
    pub(super) fn new(
        settings: &'s ObjectStoreSettings,
        store: &'s dyn ObjectStore,
        run_id: RunId,
    ) -> Result<Self, DeliveryError> {
        fn data_set<R: Row>(
            name: &'static str,
            settings: &ObjectStoreSettings,
            run_id: RunId,
            attempt: u32,
        ) -> Result<DataSet, DeliveryError> {
            let directory = format!("{name}/date={}/{}", run_id.day(), of_run(run_id));
            DataSet::new::<R>(name, directory, format!("{attempt:08x}"), settings.format)
        }
        // The manifest of an earlier attempt, as before a replay, names files that must stay as they are.
        let attempt = fastrand::u32(..);
        Ok(Self {
            settings,
            store,
            run_id,
            tables: data_set::<TableRow>(TABLES, settings, run_id, attempt)?,
            indexes: data_set::<IndexRow>(INDEXES, settings, run_id, attempt)?,
            key_attributes: data_set::<KeyAttributeRow>(KEY_ATTRIBUTES, settings, run_id, attempt)?,
            scopes: data_set::<ScopeRow>(SCOPES, settings, run_id, attempt)?,
            table_counts: HashMap::new(),
            missing: Missing::default(),
        })
    }

    pub(super) fn missing(&mut self) -> &mut Missing {
        &mut self.missing
    }

    pub(super) async fn table(&mut self, table: &SnapshotTable) -> Result<(), DeliveryError> {
        let Ok(described) = Described::new(&table.scope, &table.record) else {
            self.missing.unnamed_table();
            return Ok(());
        };
        let last_seen_at = table.last_seen_at.unwrap_or(table.record.observed_at);
        let described = described.last_seen(last_seen_at, table.scope_outcome);
        *self.table_counts.entry(table.scope.scope.clone()).or_default() += 1;
        let mut full = vec![self.tables.add(&rows::table(&described))];
        full.extend(rows::indexes(&described).iter().map(|row| self.indexes.add(row)));
        full.extend(rows::key_attributes(&described).iter().map(|row| self.key_attributes.add(row)));
        for part in full {
            self.put_part(part).await?;
        }
        Ok(())
    }

    pub(super) async fn scope(&mut self, scope: &SnapshotScope) -> Result<(), DeliveryError> {
        self.missing.scope(scope);
        let end = ScopeEnd {
            target: Some(&scope.target),
            outcome: Some(scope.outcome.as_str()),
            is_complete: scope.outcome == Outcome::Complete,
            table_count: self.table_counts.remove(&scope.scope.scope).unwrap_or_default(),
            counts: scope.counts.as_ref(),
            problems: &scope.problems,
        };
        let full = self.scopes.add(&rows::scope(&scope.scope, &end));
        self.put_part(full).await
    }

    /// Stores the rest, and the manifest last. Then deletes what other attempts have left, and the snapshots that
    /// are not to be kept.
    pub(super) async fn end(mut self, end: SnapshotEnd) -> Result<(), DeliveryError> {
        let last = self.data_sets().map(DataSet::last);
        for part in last {
            self.put_part(part).await?;
        }
        let skipped = end.skipped.clone();
        let directories = self.data_sets().map(|one| one.directory().to_owned());
        let own: HashSet<_> = self.paths().collect();
        let data_sets = [self.tables, self.indexes, self.key_attributes, self.scopes];
        let manifest = self.missing.manifest(self.run_id, end, data_sets.map(DataSet::into_manifest).into());
        let bytes = serde_json::to_vec_pretty(&manifest).map_err(|error| DeliveryError::new(error.to_string()))?;
        let place = Place { settings: self.settings, store: self.store };
        for path in [manifest_of(self.run_id), NEWEST.to_owned()] {
            place.put(&path, bytes.clone(), "application/json").await?;
        }
        place.delete_others(&directories, &own).await?;
        // The snapshot is stored: what fails from here on is done with the next one.
        if let Err(error) = place.clean(self.run_id, &skipped).await {
            let error = DeliveryError::from(error).message;
            tracing::warn!(%error, "dynacrawl cannot delete all files of old snapshots");
        }
        Ok(())
    }

    /// Deletes what was stored, as far as that is possible: without a manifest it is of no use.
    pub(super) async fn discard(mut self) {
        let place = Place { settings: self.settings, store: self.store };
        let paths: Vec<_> = self.paths().collect();
        let deleting = async {
            for path in &paths {
                place.delete(path).await?;
            }
            Ok::<_, object_store::Error>(())
        };
        if !matches!(timeout(DISCARD_TIME, deleting).await, Ok(Ok(()))) {
            tracing::warn!("dynacrawl cannot delete all files of a snapshot that it could not complete");
        }
    }

    /// The files so far.
    fn paths(&mut self) -> impl Iterator<Item = Path> {
        let settings = self.settings;
        self.data_sets().into_iter().flat_map(move |one| one.files().map(|path| settings.at(path)).collect::<Vec<_>>())
    }

    fn data_sets(&mut self) -> [&mut DataSet; 4] {
        [&mut self.tables, &mut self.indexes, &mut self.key_attributes, &mut self.scopes]
    }

    async fn put_part(&self, part: Result<Option<Part>, DeliveryError>) -> Result<(), DeliveryError> {
        let Some(Part { file, bytes }) = part? else { return Ok(()) };
        let place = Place { settings: self.settings, store: self.store };
        Ok(place.put(&file.path, bytes, self.settings.format.content_type()).await?)
    }
}

/// The store below the prefix.
struct Place<'s> {
    settings: &'s ObjectStoreSettings,
    store: &'s dyn ObjectStore,
}

impl Place<'_> {
    async fn list(&self, relative: &str) -> StoreResult<Vec<Path>> {
        self.store.list(Some(&self.settings.at(relative))).map_ok(|object| object.location).try_collect().await
    }

    async fn put(&self, relative: &str, bytes: Vec<u8>, content_type: &'static str) -> StoreResult<()> {
        let mut options = PutOptions::default();
        if self.settings.location.has_attributes() {
            options.attributes = Attributes::from_iter([(Attribute::ContentType, content_type)]);
        }
        self.store.put_opts(&self.settings.at(relative), PutPayload::from(bytes), options).await.map(drop)
    }

    /// Deletes what other attempts have left in the directories of a run: readers that ignore the manifest would take
    /// it for a part of the snapshot.
    async fn delete_others(&self, directories: &[String], own: &HashSet<Path>) -> StoreResult<()> {
        for directory in directories {
            for path in self.list(directory).await? {
                if !own.contains(&path) {
                    self.delete(&path).await?;
                }
            }
        }
        Ok(())
    }

    /// Deletes an object that may be gone already.
    async fn delete(&self, path: &Path) -> StoreResult<()> {
        match self.store.delete(path).await {
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            deleted => deleted,
        }
    }

    /// Deletes what is not to be kept: old snapshots, and what attempts for skipped runs have left, which
    /// have no manifest. A manifest is deleted before its files.
    async fn clean(&self, newest: RunId, skipped: &[RunId]) -> StoreResult<()> {
        let mut runs: BTreeSet<RunId> = skipped.iter().copied().collect();
        let manifests = self.list(MANIFESTS).await?;
        let written: BTreeSet<RunId> = manifests.iter().filter_map(manifest_run).collect();
        runs.retain(|run| !written.contains(run));
        let keep = self.settings.keep_runs;
        let mut kept = written.clone();
        if keep > 0 && written.len() > keep {
            kept = self.kept(&written, keep).await?;
            for run in written.difference(&kept).filter(|run| **run < newest) {
                self.delete(&self.settings.at(&manifest_of(*run))).await?;
                runs.insert(*run);
            }
        }
        // With a limit, also what has no manifest because a process was killed.
        let is_old = |run: RunId| runs.contains(&run) || (keep > 0 && run < newest && !kept.contains(&run));
        if runs.is_empty() && keep == 0 {
            return Ok(());
        }
        for data_set in [TABLES, INDEXES, KEY_ATTRIBUTES, SCOPES] {
            let depth = self.settings.at(data_set).parts().count();
            for path in self.list(data_set).await? {
                if part_run(&path, depth).is_some_and(is_old) {
                    self.delete(&path).await?;
                }
            }
        }
        Ok(())
    }

    /// The newest snapshots of each set of targets: those of one schedule do not make way for another's.
    async fn kept(&self, written: &BTreeSet<RunId>, keep: usize) -> StoreResult<BTreeSet<RunId>> {
        let mut counts: BTreeMap<BTreeSet<String>, usize> = BTreeMap::new();
        let mut kept = BTreeSet::new();
        for run in written.iter().rev() {
            let bytes = self.store.get(&self.settings.at(&manifest_of(*run))).await?.bytes().await?;
            let covered: Covered = serde_json::from_slice(&bytes).unwrap_or_default();
            let count = counts.entry(covered.targets).or_default();
            *count += 1;
            if *count <= keep {
                kept.insert(*run);
            }
        }
        Ok(kept)
    }
}

fn of_run(run_id: RunId) -> String {
    format!("run_id={run_id}")
}

fn manifest_of(run_id: RunId) -> String {
    format!("{MANIFESTS}/{run_id}.json")
}

fn manifest_run(path: &Path) -> Option<RunId> {
    path.filename()?.strip_suffix(".json")?.parse().ok()
}

/// The run of a file of a data set, whose own path has `depth` parts; `None` for a file of someone else.
fn part_run(path: &Path, depth: usize) -> Option<RunId> {
    let parts: Vec<_> = path.parts().skip(depth).collect();
    let [date, run, file] = &parts[..] else { return None };
    if !date.as_ref().starts_with("date=") || !file.as_ref().starts_with("part-") {
        return None;
    }
    run.as_ref().strip_prefix("run_id=")?.parse().ok()
}
