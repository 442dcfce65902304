//! What the daemon and those who ask it share.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dynacrawl_model::{AccountId, ChangeCounts, Region, RunId, RunOutcome};
use dynacrawl_state::{Reader, ScopeLine};
use jiff::Timestamp;
use secrecy::SecretString;

use super::daemon::whole;
use crate::config::Config;
use crate::run::{Progress, RunReport};

/// What the daemon and those who ask it share.
#[derive(Debug)]
pub(crate) struct Shared {
    state_path: PathBuf,
    told: Mutex<Told>,
}

/// What there is to tell.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) draining: bool,
    pub(crate) token: Option<SecretString>,
    pub(crate) target_names: Vec<String>,
    pub(crate) schedules: BTreeMap<String, Option<Timestamp>>,
    /// Runs that wait for their turn.
    pub(crate) waiting: usize,
    pub(crate) running: bool,
    pub(crate) progress: Option<Arc<Progress>>,
    pub(crate) last_run: Option<(Timestamp, f64)>,
    pub(crate) runs: BTreeMap<&'static str, u64>,
    /// All kinds, from the start.
    pub(crate) changes: BTreeMap<&'static str, u64>,
    pub(crate) reload_failed: bool,
    pub(crate) reloaded_at: Option<Timestamp>,
    pub(crate) scopes: Vec<ScopeLine>,
    /// How long a run may take to end.
    pub(crate) grace: Duration,
    /// How often the configuration is looked at.
    pub(crate) reload_every: Duration,
}

impl Shared {
    pub(crate) fn new(config: &Config, token: Option<SecretString>, state_path: PathBuf) -> Self {
        let told = Told { changes: BTreeMap::from(kinds(ChangeCounts::default(), 0)), ..Told::default() };
        let shared = Self { state_path, told: Mutex::new(told) };
        shared.take_over(config, token);
        shared
    }

    pub(crate) fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn drain(&self) {
        self.told().draining = true;
    }

    pub(crate) fn waiting(&self, waiting: usize, running: bool) {
        let mut told = self.told();
        (told.waiting, told.running) = (waiting, running);
    }

    pub(crate) fn schedules(&self, next: BTreeMap<String, Option<Timestamp>>) {
        self.told().schedules = next;
    }

    pub(crate) fn began(&self, run_id: RunId, progress: &Arc<Progress>) {
        tracing::debug!(run = %run_id, "its progress is followed");
        self.told().progress = Some(progress.clone());
    }

    /// What of a configuration is looked at outside of runs.
    pub(crate) fn take_over(&self, config: &Config, token: Option<SecretString>) {
        let mut told = self.told();
        (told.grace, told.reload_every) = (config.crawl.grace, config.serve.reload_every);
        told.target_names.clone_from(&config.target_names);
        told.token = token;
        (told.reload_failed, told.reloaded_at) = (false, Some(Timestamp::now()));
    }

    /// A changed configuration was refused.
    pub(crate) fn refused(&self) {
        self.told().reload_failed = true;
    }

    /// A run ended; no report where it could not begin, or its output failed.
    pub(crate) fn ended(&self, at: Timestamp, report: Option<&RunReport>) {
        let mut told = self.told();
        told.progress = None;
        let outcome = report.map_or("failed", |report| match report.outcome {
            RunOutcome::Complete => "complete",
            RunOutcome::Partial => "partial",
            RunOutcome::Failed => "failed",
            RunOutcome::Cancelled => "cancelled",
        });
        *told.runs.entry(outcome).or_default() += 1;
        let Some(report) = report else { return };
        told.last_run = Some((at, report.duration.as_secs_f64()));
        if let Some(changes) = report.changes {
            for (kind, count) in kinds(changes, report.scopes_retired) {
                *told.changes.entry(kind).or_default() += count;
            }
        }
    }

    /// The scopes of which a whole listing came since then.
    pub(crate) fn listed_since(&self, since: dynacrawl_model::Timestamp) -> BTreeSet<(AccountId, Region)> {
        let told = self.told();
        let listed = told.scopes.iter().filter(|scope| scope.last_listed_at.is_some_and(|at| at >= since));
        listed.filter_map(|scope| Some((scope.account_id.parse().ok()?, scope.region.parse().ok()?))).collect()
    }

    /// Reads what is known of scopes; a large estate takes its time.
    pub(crate) async fn read_scopes(&self) {
        let path = self.state_path.clone();
        let reading = move || Reader::open(&path).and_then(|reader| reader.scope_lines(false));
        match tokio::task::spawn_blocking(reading).await {
            Ok(Ok(scopes)) => self.told().scopes = scopes,
            Ok(Err(error)) => tracing::error!(error = %whole(&error), "what is known cannot be read"),
            Err(error) => tracing::error!(%error, "what is known was not read"),
        }
    }
}

/// Changes by the type of their record.
fn kinds(changes: ChangeCounts, scopes_retired: u64) -> [(&'static str, u64); 6] {
    [
        ("table_added", changes.added),
        ("table_changed", changes.changed),
        ("table_recreated", changes.recreated),
        ("table_removed", changes.removed),
        ("table_unselected", changes.unselected),
        ("scope_retired", scopes_retired),
    ]
}
