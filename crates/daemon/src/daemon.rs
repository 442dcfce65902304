//! The daemon: runs one job after the other, as schedules and people request them, while the
//! configuration may change.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;

use dynacrawl_engine::settings::{Accepted, Placeholder, RunRequest, SettingError, Settings};
use dynacrawl_engine::{PreparedRun, Progress, RunPlan, RunReport, SharedState, StartError, opened, replay};
use dynacrawl_fetcher::panic_message;
use dynacrawl_model::{Escaped, RunOutcome};
use dynacrawl_sinks::{SinkError, Written};
use futures_util::FutureExt;
use jiff::Timestamp;
use secrecy::SecretString;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::causes::with_causes;
use super::clock::Clock;
use super::due::Due;
use super::queue::{Job, LONGEST_DELAY, Queue};
use super::settings::DaemonSettings;
use super::shared::Shared;
use super::words;

/// Why the configuration cannot be used.
pub type LoadError = Box<dyn std::error::Error + Send + Sync>;
/// Reads the configuration again.
pub type Load = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<DaemonSettings, LoadError>>>>>;
/// Makes the plan of a run.
pub type MakePlan = Box<dyn Fn(&Arc<Settings>, RunRequest) -> Result<RunPlan, SettingError>>;

/// Crawls into an output; see [`crawl_to_output`](dynacrawl_engine::crawl_to_output).
pub type Crawl =
    Box<dyn Fn(RunPlan, PreparedRun, CancellationToken, Arc<Progress>) -> Pin<Box<dyn Future<Output = Crawled>>>>;
/// The report of a crawl, and the result of writing its output.
pub type Crawled = (RunReport, Result<Written, SinkError>);

/// An order for the daemon.
#[derive(Debug)]
pub enum Order {
    /// Start a run.
    Run(Job),
    /// Reload the configuration, which may have changed.
    Reload,
    /// Send all tables to a sink again.
    Replay {
        /// The name of the sink.
        sink: String,
        /// Only those that have changed, were removed or were left out since then.
        since: Option<dynacrawl_model::Timestamp>,
    },
}

/// What the daemon depends on.
pub struct DaemonDeps {
    /// Reads the configuration again.
    pub load: Load,
    /// Makes the plan of a run.
    pub make_plan: MakePlan,
    /// Crawls into an output.
    pub crawl: Crawl,
    /// The clock for schedules.
    pub clock: Clock,
}

/// The daemon.
pub struct Daemon {
    deps: DaemonDeps,
    settings: DaemonSettings,
    state: SharedState,
    shared: Arc<Shared>,
    queue: Queue,
    /// The unfinished run of the state. It continues before any other run begins, unless it keeps
    /// failing. It is not in the queue, because it may be a day old: a job that becomes due
    /// meanwhile is not merged with it.
    unfinished: Option<Job>,
    due: Vec<Due>,
    /// What a person accepted when starting the daemon. It holds for one run of each scope.
    accepted: Accepted,
}

/// A run in progress.
struct Running {
    job: Job,
    began_at: dynacrawl_model::Timestamp,
    ending: Pin<Box<dyn Future<Output = Ended>>>,
}

/// How a run ended: its report, or the message of its panic.
type Ended = Result<Crawled, String>;

/// Why a run did not begin.
#[derive(Debug, thiserror::Error)]
enum Refused {
    /// The configuration no longer has its targets.
    #[error(transparent)]
    Targets(SettingError),
    #[error(transparent)]
    Settings(#[from] SettingError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("panic: {0}")]
    Panic(String),
}

/// How the daemon ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DaemonEnd {
    /// No run was in progress.
    Idle,
    /// A run was cut short. The next start resumes it.
    InARun,
    /// The reader of the output has closed it.
    OutputGone,
}

impl Daemon {
    /// A daemon that has not begun. `accepted` holds for one run of each scope.
    pub fn new(
        deps: DaemonDeps,
        settings: DaemonSettings,
        state: SharedState,
        shared: Arc<Shared>,
        accepted: Accepted,
    ) -> Self {
        let (mut queue, due) = (Queue::default(), Vec::new());
        queue.set_by_schedule(settings.run.crawl.output.has(Placeholder::Schedule));
        Self { deps, settings, state, shared, queue, unfinished: None, due, accepted }
    }

    /// Runs until `stop` is cancelled. A run in progress then has the grace time to end.
    pub async fn run(mut self, mut orders: mpsc::Receiver<Order>, stop: &CancellationToken) -> DaemonEnd {
        self.shared.read_scopes().await;
        self.begin();
        let mut running: Option<Running> = None;
        loop {
            while running.is_none()
                && !stop.is_cancelled()
                && let Some((job, continues)) = self.next_job()
            {
                running = self.start(job, continues, stop);
            }
            self.shared.waiting(self.queue.len() + usize::from(self.unfinished.is_some()), running.is_some());
            let next = self.due.iter().filter_map(|due| due.at).min();
            let next_try = self.next_try();
            tokio::select! {
                biased;
                (run, ended) = ending(&mut running) => {
                    self.shared.read_scopes().await;
                    if let Some(stopped) = self.ended(run, ended, stop) {
                        return stopped;
                    }
                }
                () = stop.cancelled(), if running.is_none() => return DaemonEnd::Idle,
                order = orders.recv() => match order {
                    Some(Order::Run(job)) => self.queue.push(job),
                    Some(Order::Reload) => self.reload().await,
                    Some(Order::Replay { sink, since }) => self.replay(sink, since).await,
                    // The senders of orders live as long as the daemon.
                    None => return DaemonEnd::Idle,
                },
                () = self.deps.clock.until(next) => self.fire(),
                () = until(next_try), if running.is_none() => {}
            }
        }
    }

    async fn replay(&self, sink: String, since: Option<dynacrawl_model::Timestamp>) {
        let state = self.state.clone();
        // While a run ends, the state may be busy for some time.
        let storing = tokio::task::spawn_blocking(move || replay(&mut opened(&state), &sink, since)).await;
        if let Ok(Err(error)) = storing {
            tracing::error!(error = %with_causes(&error), "nothing is sent again to the sink");
        }
    }

    /// The next job that can be tried, and whether it continues the unfinished run of the state.
    fn next_job(&mut self) -> Option<(Job, bool)> {
        match self.unfinished.take_if(|job| job.retry.is_due()) {
            Some(job) => Some((job, true)),
            None if self.unfinished.is_some() => None,
            None => self.queue.pop().map(|job| (job, false)),
        }
    }

    /// When the next job that waits for a retry can be tried.
    fn next_try(&self) -> Option<Instant> {
        self.unfinished.as_ref().map_or_else(|| self.queue.next_try(), |job| job.retry.at())
    }

    /// Collects the jobs of the start: an unfinished run, missed runs, and a run if `run_at_start`
    /// is set.
    fn begin(&mut self) {
        match opened(&self.state).unfinished() {
            Ok(Some(run)) => {
                // The state keeps what a person accepted for this run. It also holds if a new run
                // has to replace this one.
                let accepted = Accepted::of_words(&run.accepted);
                self.unfinished = Some(Job { schedule: run.schedule, targets: run.only, accepted, ..Job::default() });
            }
            Ok(None) => {}
            Err(error) => tracing::error!(error = %with_causes(&error), "the last run cannot be read"),
        }
        if self.settings.serve.run_at_start {
            self.queue.push(Job::default());
        }
        let now = self.deps.clock.now();
        for schedule in self.settings.serve.schedules.clone() {
            let last = opened(&self.state).last_due(&schedule.name);
            match last {
                Ok(Some(last)) => {
                    let last = time(last);
                    // The state stores a due time when its run begins.
                    self.shared.was_due(&schedule.name, last);
                    self.shared.has_begun(&schedule.name, last);
                    self.due.push(Due::since(schedule, last, now));
                }
                Ok(None) => {
                    self.was_due(&schedule.name, now);
                    self.due.push(Due::after(schedule, now));
                }
                Err(error) => {
                    tracing::error!(error = %with_causes(&error), "the last due time of the schedule cannot be read");
                    self.due.push(Due::after(schedule, now));
                }
            }
        }
        words::log_plan(&self.settings, &self.due);
        // Before the first run begins, because a missed run may be merged with it.
        self.fire();
    }

    /// Stores when a schedule was due, so that a later daemon can find out which times it missed.
    fn was_due(&self, schedule: &str, at: Timestamp) {
        let at = dynacrawl_model::Timestamp::from_millis(at.as_millisecond());
        let Some(at) = at else { return };
        if let Err(error) = opened(&self.state).was_due(schedule, at) {
            tracing::error!(error = %with_causes(&error), "the due time of the schedule cannot be stored");
        }
    }

    fn fire(&mut self) {
        let now = self.deps.clock.now();
        self.due.iter_mut().for_each(|due| due.correct(now));
        let fired: Vec<_> = self.due.iter_mut().filter_map(|due| due.take(now)).collect();
        for job in fired {
            let name = job.schedule.as_deref().unwrap_or_default();
            tracing::info!(schedule = %Escaped(name), "due");
            self.shared.was_due(name, now);
            self.queue.push(job);
        }
        self.share_due_times();
    }

    fn share_due_times(&self) {
        self.shared.schedules(self.due.iter().map(|due| (due.name().to_owned(), due.at)));
    }

    /// Applies a changed configuration, if it is valid.
    async fn reload(&mut self) {
        let load = async {
            let settings = (self.deps.load)().await?;
            let token = self.may_replace(&settings)?;
            Ok((settings, token))
        };
        let loaded = AssertUnwindSafe(load).catch_unwind().await;
        let loaded = loaded.unwrap_or_else(|panic| Err(LoadError::from(format!("panic: {}", panic_message(&*panic)))));
        let (settings, token) = match loaded {
            Ok(loaded) => loaded,
            Err(error) => {
                tracing::error!(error = %with_causes(&*error), "the changed configuration is invalid, and the previous one stays in use");
                self.shared.refused();
                return;
            }
        };
        self.queue.set_by_schedule(settings.run.crawl.output.has(Placeholder::Schedule));
        // The new configuration may have what a run waits for.
        self.queue.try_now();
        if let Some(job) = &mut self.unfinished {
            job.retry = Default::default();
        }
        let now = self.deps.clock.now();
        let due = settings.serve.schedules.iter().map(|schedule| Due::reloaded(&self.due, schedule.clone(), now));
        self.due = due.collect();
        let names: Vec<_> = self.due.iter().map(|due| due.name().to_owned()).collect();
        let (state, at) = (self.state.clone(), dynacrawl_model::Timestamp::from_millis(now.as_millisecond()));
        // While a run ends, the state may be busy for some time.
        let store = move || {
            for name in names {
                let mut state = opened(&state);
                if let (Ok(None), Some(at)) = (state.last_due(&name), at) {
                    state.was_due(&name, at)?;
                }
            }
            Ok::<(), dynacrawl_state::StateError>(())
        };
        if let Ok(Err(error)) = tokio::task::spawn_blocking(store).await {
            tracing::error!(error = %with_causes(&error), "the due times of schedules cannot be stored");
        }
        self.settings = settings;
        self.shared.take_over(&self.settings, token);
        tracing::info!("the configuration is reloaded");
        words::log_plan(&self.settings, &self.due);
        self.share_due_times();
    }

    /// Checks that a configuration can replace the current one while the daemon runs. Reads the
    /// secrets, so that a missing one is reported now.
    fn may_replace(&self, settings: &DaemonSettings) -> Result<Option<SecretString>, SettingError> {
        let needs = |key: &str| Err(SettingError::new(key, "cannot change while dynacrawl runs; restart it"));
        let path = |of: &DaemonSettings| of.run.state.as_ref().map(|state| state.path.clone());
        if path(settings) != path(&self.settings) {
            return needs("state.path (--state)");
        }
        if settings.run.sinks != self.settings.run.sinks {
            return needs("sink");
        }
        if settings.serve.listen != self.settings.serve.listen {
            return needs("serve.listen (--listen)");
        }
        let token = settings.serve.token()?;
        (self.deps.make_plan)(&settings.run, settings.request.clone())?;
        Ok(token)
    }

    /// Begins or continues a run. A run that cannot begin is kept and tried again later.
    fn start(&mut self, job: Job, continues: bool, stop: &CancellationToken) -> Option<Running> {
        let mut request = RunRequest {
            targets: job.targets.clone(),
            schedule: job.schedule.clone(),
            ..self.settings.request.clone()
        };
        request.accepted.extend(job.accepted.clone());
        request.accepted.extend(self.accepted.clone());
        let began_at = dynacrawl_model::Timestamp::now();
        let begun = catch_unwind(AssertUnwindSafe(|| self.begin_run(request)));
        let (plan, start) = match begun.unwrap_or_else(|panic| Err(Refused::Panic(panic_message(&*panic)))) {
            Ok(begun) => begun,
            Err(error) => {
                self.cannot_begin(job, continues, &error);
                return None;
            }
        };
        let now = self.deps.clock.now();
        for (schedule, at) in &job.due {
            self.was_due(schedule, *at);
        }
        for schedule in job.due.keys().chain(&job.schedule) {
            self.shared.has_begun(schedule, now);
        }
        let progress = Arc::new(Progress::default());
        self.shared.began(start.run_id, &progress);
        let crawl = (self.deps.crawl)(plan, start, stop.clone(), progress);
        let ending = AssertUnwindSafe(crawl).catch_unwind().map(|ended| ended.map_err(|panic| panic_message(&*panic)));
        Some(Running { job, began_at, ending: Box::pin(ending) })
    }

    /// Keeps a run that cannot begin, so that it need not wait until its schedule is due again.
    fn cannot_begin(&mut self, mut job: Job, continues: bool, error: &Refused) {
        // It counts as failed only once, however often it is tried.
        if !job.retry.has_failed() {
            self.shared.ended(self.deps.clock.now(), &job, None);
        }
        let schedule = Escaped(job.schedule.as_deref().unwrap_or_default()).to_string();
        if let Refused::Targets(error) = error {
            tracing::error!(schedule, error = %with_causes(error), "the run is dropped");
            return;
        }
        let seconds = job.retry.after_failure().as_secs();
        tracing::error!(
            schedule, error = %with_causes(error),
            "the run cannot begin; dynacrawl tries again in {seconds} s"
        );
        self.keep(job, continues);
    }

    /// Keeps a run for its next attempt. The unfinished run of the state comes before any other, so
    /// that it can continue. But a run that fails again and again must not block all others.
    fn keep(&mut self, job: Job, unfinished: bool) {
        if unfinished && !job.retry.is_persistent() {
            self.unfinished = Some(job);
        } else {
            self.queue.put_back(job);
        }
    }

    fn begin_run(&self, request: RunRequest) -> Result<(RunPlan, PreparedRun), Refused> {
        let settings = &self.settings.run;
        if let Err(unknown) = settings.choose(request.targets.as_deref()) {
            return Err(Refused::Targets(unknown.in_key("targets", "the configuration")));
        }
        let plan = (self.deps.make_plan)(settings, request)?;
        let state = settings.state.as_ref().ok_or_else(|| SettingError::new("state.path (--state)", "is missing"))?;
        let mut start = PreparedRun::with_state(&plan, state, &self.state, false)?;
        let notice = start.notice.take();
        let schedule = plan.request.schedule.as_deref().map(|name| Escaped(name).to_string());
        let targets = plan.request.targets.as_ref().map_or_else(|| "all targets".to_owned(), |names| names.join(", "));
        tracing::info!(
            run = %start.run_id,
            schedule,
            notice = notice.as_deref().map(str::trim_end),
            "a run of {} starts",
            Escaped(&targets)
        );
        Ok((plan, start))
    }

    /// Reports how a run ended. Returns `Some` if the daemon ends with it.
    fn ended(&mut self, mut run: Running, ended: Ended, stop: &CancellationToken) -> Option<DaemonEnd> {
        let report = match &ended {
            Ok((report, Ok(_))) => Some(report),
            _ => None,
        };
        let is_whole = run.job.targets.is_none();
        self.shared.ended(self.deps.clock.now(), &run.job, report);
        let cut_short = report.is_none_or(|report| report.outcome == RunOutcome::Cancelled);
        match ended {
            Ok((report, Ok(_))) => {
                let listed = self.shared.listed_since(run.began_at);
                self.accepted.removals.retain(|scope| !listed.contains(scope));
                // A run of all targets that decided about retirements has retired every accepted
                // scope.
                if is_whole && report.retirements_held.is_some() {
                    self.accepted.retirements.clear();
                }
                words::log_result(&run.job, &report);
            }
            Ok((_, Err(SinkError::Closed))) => {
                tracing::error!("the reader of the output has gone away");
                return Some(DaemonEnd::OutputGone);
            }
            Ok((_, Err(error))) => {
                let seconds = run.job.retry.after_failure_in(LONGEST_DELAY).as_secs();
                tracing::error!(error = %with_causes(&error), "the output failed; this run continues in {seconds} s");
                self.keep(run.job, true);
            }
            Err(panic) => {
                // Others may go first, because this run may panic each time.
                let seconds = run.job.retry.after_failure().as_secs();
                tracing::error!(panic = %Escaped(&panic), "the run panicked; dynacrawl tries again in {seconds} s");
                self.keep(run.job, false);
            }
        }
        stop.is_cancelled().then_some(if cut_short { DaemonEnd::InARun } else { DaemonEnd::Idle })
    }
}

/// Waits for the end of the run in progress, and takes it. Never returns if there is none.
async fn ending(running: &mut Option<Running>) -> (Running, Ended) {
    if let Some(run) = running {
        let ended = (&mut run.ending).await;
        if let Some(run) = running.take() {
            return (run, ended);
        }
    }
    std::future::pending().await
}

/// Waits until a time. Never returns for `None`.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn time(at: dynacrawl_model::Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millis()).unwrap_or(Timestamp::UNIX_EPOCH)
}
