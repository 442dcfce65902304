//! The data that the daemon shares with the handlers of HTTP requests.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dynacrawl_engine::{Progress, RunReport};
use dynacrawl_model::{AccountId, ChangeCounts, ChangeKind, Region, RunId, RunOutcome};
use dynacrawl_sinks::SinkSettings;
use dynacrawl_state::{Reader, ScopeLine, SinkLine};
use jiff::Timestamp;
use secrecy::SecretString;

use super::causes::with_causes;
use super::queue::Job;
use super::settings::{DaemonSettings, MANUAL};

/// The data that the daemon shares with the handlers of HTTP requests.
#[derive(Debug)]
pub struct Shared {
    state_path: PathBuf,
    status: Mutex<DaemonStatus>,
}

/// What the daemon is doing, for requests and metrics.
#[derive(Debug, Default)]
pub struct DaemonStatus {
    /// Whether the daemon is stopping.
    pub draining: bool,
    /// The token with which requests can start a run; `None`: they cannot.
    pub token: Option<SecretString>,
    /// The names of the configured targets.
    pub target_names: Vec<String>,
    /// The configured sinks, by name.
    pub sinks_by_name: BTreeMap<String, KnownSink>,
    /// The host names that requests may use for this daemon, in lower case.
    pub allowed_hosts: Vec<String>,
    /// The times of the schedules, by name.
    pub schedules: BTreeMap<String, ScheduleTimes>,
    /// How many runs wait for their turn.
    pub waiting: usize,
    /// Whether a run is in progress.
    pub running: bool,
    /// How far the run in progress is.
    pub progress: Option<Arc<Progress>>,
    /// The last run of each schedule: when it ended, and how many seconds it took.
    pub last_runs: BTreeMap<String, (Timestamp, f64)>,
    /// Runs by schedule and outcome.
    pub runs: BTreeMap<(String, &'static str), u64>,
    /// Accounts and Regions whose retirement waits for a person.
    pub retirements_held: u64,
    /// Changes by record type. Has all types from the start.
    pub changes: BTreeMap<&'static str, u64>,
    /// Whether the last change of the configuration was refused.
    pub reload_failed: bool,
    /// When the configuration was last applied.
    pub reloaded_at: Option<Timestamp>,
    /// The scopes in the state.
    pub scopes: Vec<ScopeLine>,
    /// The sinks in the state.
    pub sinks: Vec<SinkLine>,
    /// How long a run may take to end after a signal.
    pub grace: Duration,
    /// How often the configuration is checked for changes.
    pub reload_every: Duration,
}

/// What requests need to know of a sink.
#[derive(Clone, Debug)]
pub struct KnownSink {
    /// Whether it gets snapshots.
    pub takes_snapshots: bool,
    /// Its file for dead letters.
    pub dead_letters: Option<PathBuf>,
}

/// When a schedule is and was due.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ScheduleTimes {
    /// When it is next due.
    pub next: Option<Timestamp>,
    /// When it was last due.
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

    /// The current status. While a caller holds it, all other callers wait.
    pub fn status(&self) -> MutexGuard<'_, DaemonStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets that the daemon is stopping.
    pub fn drain(&self) {
        self.status().draining = true;
    }

    /// Sets how many runs wait, and whether one is in progress.
    pub fn waiting(&self, waiting: usize, running: bool) {
        let mut status = self.status();
        (status.waiting, status.running) = (waiting, running);
    }

    /// Sets the schedules, and when each is next due.
    pub fn schedules(&self, next: impl Iterator<Item = (String, Option<Timestamp>)>) {
        let mut status = self.status();
        let before = std::mem::take(&mut status.schedules);
        let times = |name: &str| before.get(name).copied().unwrap_or_default();
        status.schedules = next.map(|(name, next)| (name.clone(), ScheduleTimes { next, ..times(&name) })).collect();
    }

    /// Sets when a schedule was last due.
    pub fn was_due(&self, schedule: &str, at: Timestamp) {
        self.status().schedules.entry(schedule.to_owned()).or_default().due = Some(at);
    }

    /// Sets when a run for a schedule last began.
    pub fn has_begun(&self, schedule: &str, at: Timestamp) {
        // A changed configuration may have removed the schedule.
        if let Some(times) = self.status().schedules.get_mut(schedule) {
            times.begun = Some(at);
        }
    }

    /// Follows the progress of a run that began.
    pub fn began(&self, run_id: RunId, progress: &Arc<Progress>) {
        tracing::debug!(run = %run_id, "its progress is followed");
        self.status().progress = Some(progress.clone());
    }

    /// Applies the parts of a configuration that are used outside of runs.
    pub fn take_over(&self, settings: &DaemonSettings, token: Option<SecretString>) {
        let mut status = self.status();
        (status.grace, status.reload_every) = (settings.run.crawl.grace, settings.serve.reload_every);
        status.target_names.clone_from(&settings.run.target_names);
        let sinks = settings.run.sinks.iter().map(|one| &one.sink);
        let known = |sink: &SinkSettings| KnownSink {
            takes_snapshots: sink.kind.takes_snapshots(),
            dead_letters: sink.dead_letters.clone(),
        };
        status.sinks_by_name = sinks.map(|sink| (sink.name.clone(), known(sink))).collect();
        status.allowed_hosts.clone_from(&settings.serve.allowed_hosts);
        // Every counter exists from the start, so that the first run is visible as an increase.
        for schedule in settings.serve.schedules.iter().map(|schedule| schedule.name.as_str()).chain([MANUAL]) {
            for outcome in RunOutcome::ALL.map(RunOutcome::as_str) {
                status.runs.entry((schedule.to_owned(), outcome)).or_default();
            }
        }
        status.token = token;
        (status.reload_failed, status.reloaded_at) = (false, Some(Timestamp::now()));
    }

    /// Sets that a changed configuration was refused.
    pub fn refused(&self) {
        self.status().reload_failed = true;
    }

    /// Counts a run that ended. It has no report if it could not begin, its output failed, or it
    /// panicked.
    pub fn ended(&self, at: Timestamp, job: &Job, report: Option<&RunReport>) {
        let mut status = self.status();
        status.progress = None;
        let outcome = report.map_or(RunOutcome::Failed, |report| report.outcome).as_str();
        let schedule = job.schedule.as_deref().unwrap_or(MANUAL).to_owned();
        *status.runs.entry((schedule.clone(), outcome)).or_default() += 1;
        let Some(report) = report else { return };
        status.last_runs.insert(schedule, (at, report.duration.as_secs_f64()));
        // A run of some targets does not decide about the scopes of the others.
        if let Some(held) = report.retirements_held.as_ref().filter(|_| job.targets.is_none()) {
            status.retirements_held = held.count;
        }
        if let Some(changes) = report.changes {
            for (kind, count) in kinds(changes, report.scopes_retired) {
                *status.changes.entry(kind).or_default() += count;
            }
        }
    }

    /// The scopes that were listed to the end since then.
    pub fn listed_since(&self, since: dynacrawl_model::Timestamp) -> BTreeSet<(AccountId, Region)> {
        let status = self.status();
        let listed = status.scopes.iter().filter(|scope| scope.last_listed_at.is_some_and(|at| at >= since));
        listed.filter_map(|scope| Some((scope.account_id.parse().ok()?, scope.region.parse().ok()?))).collect()
    }

    /// Reads how the deliveries of the sinks go.
    pub async fn read_sinks(&self) {
        let path = self.state_path.clone();
        let reading = move || Reader::open(&path).and_then(|reader| reader.sink_lines());
        match tokio::task::spawn_blocking(reading).await {
            Ok(Ok(sinks)) => self.status().sinks = sinks,
            Ok(Err(error)) => tracing::error!(error = %with_causes(&error), "the sinks in the state cannot be read"),
            Err(error) => tracing::error!(%error, "the sinks in the state were not read"),
        }
    }

    /// Reads the scopes of the state, which takes time for a large estate.
    pub async fn read_scopes(&self) {
        let path = self.state_path.clone();
        let reading = move || Reader::open(&path).and_then(|reader| reader.scope_lines(false));
        match tokio::task::spawn_blocking(reading).await {
            Ok(Ok(scopes)) => self.status().scopes = scopes,
            Ok(Err(error)) => tracing::error!(error = %with_causes(&error), "the scopes in the state cannot be read"),
            Err(error) => tracing::error!(%error, "the scopes in the state were not read"),
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
