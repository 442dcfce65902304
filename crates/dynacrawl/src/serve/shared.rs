//! What the daemon and those who ask it share.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dynacrawl_model::{AccountId, ChangeCounts, ChangeKind, Region, RunId, RunOutcome};
use dynacrawl_state::{Reader, ScopeLine};
use jiff::Timestamp;
use secrecy::SecretString;

use super::causes::with_causes;
use super::queue::Job;
use super::settings::{DaemonSettings, MANUAL};
use crate::run::{Progress, RunReport};

/// What the daemon and those who ask it share.
#[derive(Debug)]
pub(crate) struct Shared {
    state_path: PathBuf,
    status: Mutex<DaemonStatus>,
}

/// What there is to tell.
#[derive(Debug, Default)]
pub(crate) struct DaemonStatus {
    pub(crate) draining: bool,
    pub(crate) token: Option<SecretString>,
    pub(crate) target_names: Vec<String>,
    /// The names by which requests may ask for this daemon, in lower case.
    pub(crate) allowed_hosts: Vec<String>,
    pub(crate) schedules: BTreeMap<String, ScheduleTimes>,
    /// Runs that wait for their turn.
    pub(crate) waiting: usize,
    pub(crate) running: bool,
    pub(crate) progress: Option<Arc<Progress>>,
    /// The last run of each schedule: when it ended, and how many seconds it took.
    pub(crate) last_runs: BTreeMap<String, (Timestamp, f64)>,
    /// Runs by schedule and outcome.
    pub(crate) runs: BTreeMap<(String, &'static str), u64>,
    /// Accounts and Regions whose retirement waits for a person.
    pub(crate) retirements_held: u64,
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

/// When a schedule is and was due.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct ScheduleTimes {
    pub(crate) next: Option<Timestamp>,
    /// When it was due last.
    pub(crate) due: Option<Timestamp>,
    /// When a run for it last began.
    pub(crate) begun: Option<Timestamp>,
}

impl Shared {
    pub(crate) fn new(settings: &DaemonSettings, token: Option<SecretString>, state_path: PathBuf) -> Self {
        let status = DaemonStatus { changes: kinds(ChangeCounts::default(), 0).collect(), ..DaemonStatus::default() };
        let shared = Self { state_path, status: Mutex::new(status) };
        shared.take_over(settings, token);
        shared
    }

    pub(crate) fn status(&self) -> MutexGuard<'_, DaemonStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn drain(&self) {
        self.status().draining = true;
    }

    pub(crate) fn waiting(&self, waiting: usize, running: bool) {
        let mut status = self.status();
        (status.waiting, status.running) = (waiting, running);
    }

    /// The schedules that there are, and when each is due next.
    pub(crate) fn schedules(&self, next: impl Iterator<Item = (String, Option<Timestamp>)>) {
        let mut status = self.status();
        let before = std::mem::take(&mut status.schedules);
        let times = |name: &str| before.get(name).copied().unwrap_or_default();
        status.schedules = next.map(|(name, next)| (name.clone(), ScheduleTimes { next, ..times(&name) })).collect();
    }

    /// A schedule was due.
    pub(crate) fn was_due(&self, schedule: &str, at: Timestamp) {
        self.status().schedules.entry(schedule.to_owned()).or_default().due = Some(at);
    }

    /// A run for a schedule began.
    pub(crate) fn has_begun(&self, schedule: &str, at: Timestamp) {
        // Not for one that a changed configuration has removed.
        if let Some(times) = self.status().schedules.get_mut(schedule) {
            times.begun = Some(at);
        }
    }

    pub(crate) fn began(&self, run_id: RunId, progress: &Arc<Progress>) {
        tracing::debug!(run = %run_id, "its progress is followed");
        self.status().progress = Some(progress.clone());
    }

    /// What of a configuration is looked at outside of runs.
    pub(crate) fn take_over(&self, settings: &DaemonSettings, token: Option<SecretString>) {
        let mut status = self.status();
        (status.grace, status.reload_every) = (settings.run.crawl.grace, settings.serve.reload_every);
        status.target_names.clone_from(&settings.run.target_names);
        status.allowed_hosts.clone_from(&settings.serve.allowed_hosts);
        // From the start, so that the first one shows as an increase.
        for schedule in settings.serve.schedules.iter().map(|schedule| schedule.name.as_str()).chain([MANUAL]) {
            for outcome in RunOutcome::ALL.map(RunOutcome::as_str) {
                status.runs.entry((schedule.to_owned(), outcome)).or_default();
            }
        }
        status.token = token;
        (status.reload_failed, status.reloaded_at) = (false, Some(Timestamp::now()));
    }

    /// A changed configuration was refused.
    pub(crate) fn refused(&self) {
        self.status().reload_failed = true;
    }

    /// A run ended; no report where it could not begin, its output failed, or it panicked.
    pub(crate) fn ended(&self, at: Timestamp, job: &Job, report: Option<&RunReport>) {
        let mut status = self.status();
        status.progress = None;
        let outcome = report.map_or("failed", |report| match report.outcome {
            RunOutcome::Complete => "complete",
            RunOutcome::Partial => "partial",
            RunOutcome::Failed => "failed",
            RunOutcome::Cancelled => "cancelled",
        });
        let schedule = job.schedule.as_deref().unwrap_or(MANUAL).to_owned();
        *status.runs.entry((schedule.clone(), outcome)).or_default() += 1;
        let Some(report) = report else { return };
        status.last_runs.insert(schedule, (at, report.duration.as_secs_f64()));
        // A run of some targets has not looked at what the others cover.
        if let Some(held) = report.retirements_held.as_ref().filter(|_| job.targets.is_none()) {
            status.retirements_held = held.count;
        }
        if let Some(changes) = report.changes {
            for (kind, count) in kinds(changes, report.scopes_retired) {
                *status.changes.entry(kind).or_default() += count;
            }
        }
    }

    /// The scopes of which a whole listing came since then.
    pub(crate) fn listed_since(&self, since: dynacrawl_model::Timestamp) -> BTreeSet<(AccountId, Region)> {
        let status = self.status();
        let listed = status.scopes.iter().filter(|scope| scope.last_listed_at.is_some_and(|at| at >= since));
        listed.filter_map(|scope| Some((scope.account_id.parse().ok()?, scope.region.parse().ok()?))).collect()
    }

    /// Reads what is known of scopes; a large estate takes its time.
    pub(crate) async fn read_scopes(&self) {
        let path = self.state_path.clone();
        let reading = move || Reader::open(&path).and_then(|reader| reader.scope_lines(false));
        match tokio::task::spawn_blocking(reading).await {
            Ok(Ok(scopes)) => self.status().scopes = scopes,
            Ok(Err(error)) => tracing::error!(error = %with_causes(&error), "what is known cannot be read"),
            Err(error) => tracing::error!(%error, "what is known was not read"),
        }
    }
}

/// Changes by the type of their record.
fn kinds(changes: ChangeCounts, scopes_retired: u64) -> impl Iterator<Item = (&'static str, u64)> {
    ChangeKind::ALL.into_iter().map(move |kind| {
        let count = if kind == ChangeKind::Retired { scopes_retired } else { changes.of(kind) };
        (kind.record().as_str(), count)
    })
}
