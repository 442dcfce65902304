//! The manifest of a snapshot: its files, and what is missing.

use std::collections::BTreeSet;

use dynacrawl_model::{AccountId, NamedScope, Outcome, Problem, Region, RunId, RunOutcome, TargetFailed, Timestamp};
use serde::{Deserialize, Serialize};

use crate::snapshot::{SnapshotEnd, SnapshotScope};

/// The version of the manifest's form.
const SCHEMA: &str = "dynacrawl-snapshot/1";

/// `_manifest.json`, the last file of a snapshot.
#[derive(Debug, Serialize)]
pub(super) struct Manifest {
    schema: &'static str,
    version: &'static str,
    run_id: RunId,
    outcome: RunOutcome,
    /// Whether nothing is missing from the scopes that the snapshot has.
    is_complete: bool,
    ended_at: Timestamp,
    written_at: Timestamp,
    data_sets: Vec<ManifestDataSet>,
    scope_count: u64,
    incomplete_scopes: Vec<IncompleteScope>,
    failed_targets: Vec<TargetFailed>,
    skipped_runs: Vec<RunId>,
    unnamed_table_count: u64,
    /// Tables whose record in the state cannot be read.
    unreadable_table_count: u64,
    /// The targets whose scopes or failures the snapshot has, by their names in the configuration.
    targets: BTreeSet<String>,
}

/// The files of a data set.
#[derive(Debug, Serialize)]
pub(super) struct ManifestDataSet {
    pub(super) name: &'static str,
    pub(super) row_count: u64,
    pub(super) files: Vec<ManifestFile>,
}

/// A file. Its path begins at the directory of `_manifest.json`.
#[derive(Clone, Debug, Serialize)]
pub(super) struct ManifestFile {
    pub(super) path: String,
    pub(super) row_count: u64,
    pub(super) size_bytes: u64,
}

#[derive(Debug, Serialize)]
struct IncompleteScope {
    account_id: Option<AccountId>,
    account_name: Option<String>,
    region: Region,
    target: String,
    outcome: Outcome,
    problems: Vec<Problem>,
}

/// What retention needs of a manifest in the store.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Covered {
    /// Which targets the snapshot has.
    #[serde(default)]
    pub(super) targets: BTreeSet<String>,
}

/// The configured target that a target belongs to: an organization has one for each account.
fn configured(target: &str) -> String {
    target.split('/').next().unwrap_or_default().to_owned()
}

/// What a snapshot lacks, as far as it is known yet.
#[derive(Debug, Default)]
pub(super) struct Missing {
    scopes: u64,
    incomplete: Vec<IncompleteScope>,
    failed_targets: Vec<TargetFailed>,
    unnamed_tables: u64,
    unreadable_tables: u64,
    targets: BTreeSet<String>,
}

impl Missing {
    pub(super) fn scope(&mut self, of: &SnapshotScope) {
        self.scopes += 1;
        self.targets.insert(configured(&of.target));
        if of.outcome != Outcome::Complete {
            let NamedScope { scope, account_name } = &*of.scope;
            self.incomplete.push(IncompleteScope {
                account_id: scope.account_id.clone(),
                account_name: account_name.as_deref().map(str::to_owned),
                region: scope.region.clone(),
                target: of.target.clone(),
                outcome: of.outcome,
                problems: of.problems.clone(),
            });
        }
    }

    pub(super) fn target(&mut self, failed: TargetFailed) {
        self.targets.insert(configured(&failed.target));
        self.failed_targets.push(failed);
    }

    /// Counts a table that has no row, because AWS sent neither its name nor its ARN.
    pub(super) fn unnamed_table(&mut self) {
        self.unnamed_tables += 1;
    }

    /// Counts a table whose record in the state cannot be read.
    pub(super) fn unreadable_table(&mut self) {
        self.unreadable_tables += 1;
    }

    pub(super) fn manifest(self, run_id: RunId, end: SnapshotEnd, data_sets: Vec<ManifestDataSet>) -> Manifest {
        let is_complete = self.incomplete.is_empty()
            && self.failed_targets.is_empty()
            && self.unnamed_tables + self.unreadable_tables == 0;
        Manifest {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION"),
            run_id,
            outcome: end.outcome,
            is_complete,
            ended_at: end.ended_at,
            written_at: Timestamp::now(),
            data_sets,
            scope_count: self.scopes,
            incomplete_scopes: self.incomplete,
            failed_targets: self.failed_targets,
            skipped_runs: end.skipped,
            unnamed_table_count: self.unnamed_tables,
            unreadable_table_count: self.unreadable_tables,
            targets: self.targets,
        }
    }
}
