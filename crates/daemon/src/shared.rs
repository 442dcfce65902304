//! What the daemon and those who ask it share.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dynacrawl_engine::{Progress, RunReport};
use dynacrawl_model::{AccountId, ChangeCounts, ChangeKind, Region, RunId, RunOutcome};
use dynacrawl_state::{Reader, ScopeLine};
use jiff::Timestamp;
use secrecy::SecretString;

use super::causes::with_causes;
use super::queue::Job;
use super::settings::{DaemonSettings, MANUAL};

/// What the daemon and those who ask it share.
#[derive(Debug)]
pub struct Shared {
    state_path: PathBuf,
    status: Mutex<DaemonStatus>,
}

/// What the daemon is doing, for requests and metrics.
#[derive(Debug, Default)]
pub struct DaemonStatus {
    /// Whether the daemon is about to end.
    pub draining: bool,
    /// The token that starts a run; `None`: nobody may.
    pub token: Option<SecretString>,
    /// The targets that there are.
    pub target_names: Vec<String>,
    /// The names by which requests may ask for this daemon, in lower case.
    pub allowed_hosts: Vec<String>,
    /// The schedules, by name.
    pub schedules: BTreeMap<String, ScheduleTimes>,
    /// Runs that wait for their turn.
    pub waiting: usize,
    /// Whether a run is under way.
    pub running: bool,
    /// How far the run under way is.
    pub progress: Option<Arc<Progress>>,
    /// The last run of each schedule: when it ended, and how many seconds it took.
    pub last_runs: BTreeMap<String, (Timestamp, f64)>,
    /// Runs by schedule and outcome.
    pub runs: BTreeMap<(String, &'static str), u64>,
    /// Accounts and Regions whose retirement waits for a person.
    pub retirements_held: u64,
    /// All kinds, from the start.
    pub changes: BTreeMap<&'static str, u64>,
    /// Whether the last change of the configuration was refused.
    pub reload_failed: bool,
    /// When the configuration was taken over.
    pub reloaded_at: Option<Timestamp>,
    /// What the state knows of each scope.
    pub scopes: Vec<ScopeLine>,
    /// How long a run may take to end.
    pub grace: Duration,
    /// How often the configuration is looked at.
    pub reload_every: Duration,
}

/// When a schedule is and was due.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ScheduleTimes {
    /// When it is due next.
    pub next: Option<Timestamp>,
    /// When it was due last.
    pub due: Option<Timestamp>,
    /// When a run for it last began.
    pub begun: Option<Timestamp>,
}

impl Shared {
    /// The status of a daemon that has not begun.
    pub fn new(settings: &DaemonSettings, token: Option<SecretString>, state_path: PathBuf) -> Self {
        let status = DaemonStatus { changes: kinds(ChangeCounts::default(), 0).collect(), ..DaemonStatus::default() };
        let shared = Self { state_path, status: Mutex::new(status) };
        shared.take_over(settings, token);
        shared
    }

    /// The status now. While a caller holds it, all other callers wait.
    pub fn status(&self) -> MutexGuard<'_, DaemonStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The daemon is about to end.
    pub fn drain(&self) {
        self.status().draining = true;
    }

    /// How many runs wait, and whether one is under way.
    pub fn waiting(&self, waiting: usize, running: bool) {
        let mut status = self.status();
        (status.waiting, status.running) = (waiting, running);
    }

    /// The schedules that there are, and when each is due next.
    pub fn schedules(&self, next: impl Iterator<Item = (String, Option<Timestamp>)>) {
        let mut status = self.status();
        let before = std::mem::take(&mut status.schedules);
        let times = |name: &str| before.get(name).copied().unwrap_or_default();
        status.schedules = next.map(|(name, next)| (name.clone(), ScheduleTimes { next, ..times(&name) })).collect();
    }

    /// A schedule was due.
    pub fn was_due(&self, schedule: &str, at: Timestamp) {
        self.status().schedules.entry(schedule.to_owned()).or_default().due = Some(at);
    }

    /// A run for a schedule began.
    pub fn has_begun(&self, schedule: &str, at: Timestamp) {
        // Not for one that a changed configuration has removed.
        if let Some(times) = self.status().schedules.get_mut(schedule) {
            times.begun = Some(at);
        }
    }

    /// A run began.
    pub fn began(&self, run_id: RunId, progress: &Arc<Progress>) {
        tracing::debug!(run = %run_id, "its progress is followed");
        self.status().progress = Some(progress.clone());
    }

    /// What of a configuration is looked at outside of runs.
    pub fn take_over(&self, settings: &DaemonSettings, token: Option<SecretString>) {
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
    pub fn refused(&self) {
        self.status().reload_failed = true;
    }

    /// A run ended; no report where it could not begin, its output failed, or it panicked.
    pub fn ended(&self, at: Timestamp, job: &Job, report: Option<&RunReport>) {
        let mut status = self.status();
        status.progress = None;
        let outcome = report.map_or(RunOutcome::Failed, |report| report.outcome).as_str();
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
    pub fn listed_since(&self, since: dynacrawl_model::Timestamp) -> BTreeSet<(AccountId, Region)> {
        let status = self.status();
        let listed = status.scopes.iter().filter(|scope| scope.last_listed_at.is_some_and(|at| at >= since));
        listed.filter_map(|scope| Some((scope.account_id.parse().ok()?, scope.region.parse().ok()?))).collect()
    }

    /// Reads what is known of scopes; a large estate takes its time.
    pub async fn read_scopes(&self) {
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
