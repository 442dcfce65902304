//! The daemon on simulated time.

use std::cell::Cell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dynacrawl_daemon::clock::Clock;
use dynacrawl_daemon::daemon::{Daemon, DaemonDeps, DaemonEnd, Order};
use dynacrawl_daemon::queue::Job;
use dynacrawl_daemon::settings::DaemonSettings;
use dynacrawl_daemon::shared::Shared;
use dynacrawl_engine::crawl_to_output;
use dynacrawl_engine::settings::{RunRequest, SettingError, Settings};
use dynacrawl_sim::{Account, Estate, InProcess, Options, Tables};
use dynacrawl_state::State;
use dynacrawl_testing::inside::{HUB, config, plan_for};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// The dependencies of a daemon that crawls a simulator, with a clock that begins at the given
/// time.
pub(super) fn deps(simulator: &InProcess, began_at: &str) -> DaemonDeps {
    let simulator = simulator.clone();
    DaemonDeps {
        load: Box::new(|| unreachable!("nothing is reloaded")),
        make_plan: Box::new(move |settings, request| Ok(plan_for(&simulator, settings, request))),
        crawl: Box::new(|plan, start, stop, progress| {
            Box::pin(async move { crawl_to_output(&plan, start, &stop, &progress).await })
        }),
        clock: Clock::Simulated { began_at: began_at.parse().expect("a time"), began: Instant::now() },
    }
}

/// A daemon with a state.
pub(super) fn daemon_of(deps: DaemonDeps, settings: DaemonSettings) -> (Daemon, Arc<Shared>) {
    let path = settings.run.state.as_ref().expect("a state").path.clone();
    let state = Arc::new(Mutex::new(State::open(&path).expect("a state")));
    daemon_with(deps, settings, state)
}

/// A daemon with a state that is open.
pub(super) fn daemon_with(
    deps: DaemonDeps,
    settings: DaemonSettings,
    state: Arc<Mutex<State>>,
) -> (Daemon, Arc<Shared>) {
    let path = settings.run.state.as_ref().expect("a state").path.clone();
    let shared = Arc::new(Shared::new(&settings, None, path));
    (Daemon::new(deps, settings, state, shared.clone(), Default::default()), shared)
}

/// A daemon that crawls a simulator, with a clock that begins at the given time.
pub(super) fn daemon(simulator: &InProcess, settings: &str, began_at: &str) -> (Daemon, Arc<Shared>) {
    daemon_of(deps(simulator, began_at), config(settings).for_daemon())
}

/// How many runs ended with an outcome, whichever schedule began them.
pub(super) fn ended(shared: &Shared, outcome: &str) -> u64 {
    shared.status().runs.iter().filter(|((_, how), _)| *how == outcome).map(|(_, count)| count).sum()
}

/// Runs a daemon for some hours. Returns how it ended, how many runs failed, and how many were
/// complete.
async fn run(output: &str, serve: &str, hours: u64) -> (DaemonEnd, u64, u64) {
    let account = Account::new(HUB).region("us-east-1", Tables::new().generated(20));
    let options = Options { verify_signatures: false, latency: Duration::from_millis(15), ..Options::default() };
    let simulator = InProcess::new(Estate::new([account]), &options);
    let directory = tempfile::tempdir().expect("a directory");
    let settings = format!(
        "[state]\npath = \"{}\"\n[crawl]\noutput = \"{output}\"\n{serve}\n[[target]]\nname = \"hub\"\nregions = [\"us-east-1\"]\n",
        directory.path().join("state.db").display()
    );
    let (daemon, shared) = daemon(&simulator, &settings, "2026-03-28T23:30:00Z");
    let (_orders, queue) = mpsc::channel(1);
    let stop = CancellationToken::new();
    let end = async {
        sleep(Duration::from_secs(hours * 3600)).await;
        stop.cancel();
    };
    let (stopped, ()) = tokio::join!(Box::pin(daemon.run(queue, &stop)), end);
    (stopped, ended(&shared, "failed"), ended(&shared, "complete"))
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_output_fails_is_resumed_once_a_minute() {
    let (_, failed, complete) = run("/dev/full", "[serve]\nrun_at_start = true", 1).await;
    assert!((50..=61).contains(&failed) && complete == 0, "{failed} failed, {complete} complete");
}

#[tokio::test(start_paused = true)]
async fn an_hourly_schedule_runs_every_hour_despite_a_skipped_one() {
    let schedule = "[[schedule]]\nname = \"hourly\"\ncron = \"0 * * * *\"\ntime_zone = \"Europe/Berlin\"";
    assert_eq!(run("/dev/null", schedule, 6).await, (DaemonEnd::Idle, 0, 6));
}

#[tokio::test(start_paused = true)]
async fn a_skipped_time_starts_one_run_right_after_the_gap() {
    // 02:30 on the last Sunday of March; at 01:00 UTC it is 03:00.
    let schedule = "[[schedule]]\nname = \"nightly\"\ncron = \"30 2 * * *\"\ntime_zone = \"Europe/Berlin\"";
    assert_eq!(run("/dev/null", schedule, 1).await, (DaemonEnd::Idle, 0, 0));
    assert_eq!(run("/dev/null", schedule, 2).await, (DaemonEnd::Idle, 0, 1));
    assert_eq!(run("/dev/null", schedule, 12).await, (DaemonEnd::Idle, 0, 1));
}

const HOURLY: &str = "[[schedule]]\nname = \"hourly\"\ncron = \"0 * * * *\"\n";
const BEGAN: &str = "2026-01-01T11:59:00Z";

/// An estate, and a place for a state and an output.
struct Scene {
    simulator: InProcess,
    directory: TempDir,
}

impl Scene {
    fn new() -> Self {
        let account =
            Account::new(HUB).region("us-east-1", Tables::new().generated(3)).region("eu-west-1", Tables::new());
        let options = Options { verify_signatures: false, ..Options::default() };
        Self {
            simulator: InProcess::new(Estate::new([account]), &options),
            directory: tempfile::tempdir().expect("a directory"),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn settings(&self, serve: &str) -> DaemonSettings {
        let config = config(&format!(
            "[state]\npath = \"{}\"\n[crawl]\noutput = \"{}\"\n{serve}\n\
             [[target]]\nname = \"hub\"\nregions = [\"us-east-1\"]\n\
             [[target]]\nname = \"other\"\nregions = [\"eu-west-1\"]\n",
            self.path("state.db").display(),
            self.path("out/out.jsonl").display()
        ));
        config.for_daemon()
    }

    /// The dependencies of the daemon, with an existing directory for the output.
    fn deps(&self) -> DaemonDeps {
        std::fs::create_dir_all(self.path("out")).expect("a directory");
        deps(&self.simulator, BEGAN)
    }

    /// The same, but making a plan fails the given number of times.
    fn failing(&self, times: u32, fails: fn(&RunRequest) -> bool) -> DaemonDeps {
        let simulator = self.simulator.clone();
        let left = Cell::new(times);
        let make_plan = move |settings: &Arc<Settings>, request: RunRequest| {
            if left.get() == 0 || !fails(&request) {
                return Ok(plan_for(&simulator, settings, request));
            }
            left.set(left.get() - 1);
            Err(SettingError::new("target 'hub': credentials", "the file is not there"))
        };
        DaemonDeps { make_plan: Box::new(make_plan), ..self.deps() }
    }

    /// When the schedule was last due, as a later daemon sees it.
    fn last_due(&self, schedule: &str) -> Option<i64> {
        let state = State::open(&self.path("state.db")).expect("a state");
        state.last_due(schedule).expect("readable").map(dynacrawl_model::Timestamp::as_millis)
    }

    /// Runs a daemon alongside `script`, and ends it when that ends.
    async fn run<T>(
        &self,
        deps: DaemonDeps,
        serve: &str,
        script: impl AsyncFnOnce(&mpsc::Sender<Order>, &Shared) -> T,
    ) -> (Arc<Shared>, T) {
        let (daemon, shared) = daemon_of(deps, self.settings(serve));
        let (orders, queue) = mpsc::channel(1);
        let stop = CancellationToken::new();
        let scripted = async {
            let result = script(&orders, &shared).await;
            stop.cancel();
            result
        };
        let (stopped, result) = tokio::join!(Box::pin(daemon.run(queue, &stop)), scripted);
        assert_eq!(stopped, DaemonEnd::Idle);
        (shared, result)
    }
}

fn millis(time: &str) -> i64 {
    time.parse::<jiff::Timestamp>().expect("a time").as_millisecond()
}

/// Waits until so many runs have ended with an outcome. Returns how long that took at least:
/// simulated time also passes while the thread that writes the output works, and more of it on a
/// busy machine.
async fn wait_for(shared: &Shared, outcome: &str, count: u64) -> Duration {
    let began = Instant::now();
    while ended(shared, outcome) < count {
        assert!(began.elapsed() < Duration::from_secs(86_400), "no {outcome} run in a day");
        sleep(Duration::from_millis(100)).await;
    }
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_scheduled_run_that_cannot_begin_is_retried_until_it_does() {
    let scene = Scene::new();
    // It is due after a minute, and begins with the seventh attempt: 5 + 10 + 20 + 40 + 60 + 60
    // seconds later.
    let (shared, took) =
        scene.run(scene.failing(6, |_| true), HOURLY, async |_, shared| wait_for(shared, "complete", 1).await).await;
    assert!(took.as_secs() >= 255, "{took:?}");
    assert_eq!((ended(&shared, "failed"), ended(&shared, "complete")), (1, 1), "it counts as failed once");
    assert_eq!(scene.last_due("hourly"), Some(millis("2026-01-01T12:00:00Z")));
    let times = shared.status().schedules["hourly"];
    assert_eq!(times.due.map(|at| at.as_millisecond() / 60_000), Some(millis("2026-01-01T12:00:00Z") / 60_000));
    assert!(times.begun > times.due, "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn a_briefly_missing_output_directory_costs_no_run() {
    let scene = Scene::new();
    let deps = scene.deps();
    let (shared, ()) = scene
        .run(deps, HOURLY, async |_, shared| {
            std::fs::remove_dir(scene.path("out")).expect("it is there");
            sleep(Duration::from_secs(75)).await;
            assert_eq!((ended(shared, "failed"), ended(shared, "complete")), (1, 0));
            std::fs::create_dir(scene.path("out")).expect("it is made");
            assert!(wait_for(shared, "complete", 1).await <= Duration::from_secs(25));
        })
        .await;
    assert_eq!(ended(&shared, "failed"), 1);
    assert!(scene.path("out/out.jsonl").exists());
}

#[tokio::test(start_paused = true)]
async fn a_later_daemon_catches_up_on_runs_that_did_not_begin() {
    let scene = Scene::new();
    let hours = async |_: &mpsc::Sender<Order>, shared: &Shared| {
        sleep(Duration::from_secs(3 * 3600)).await;
        let times = shared.status().schedules["hourly"];
        assert!(times.due > times.begun && times.begun.is_none(), "{times:?}");
    };
    let (shared, ()) = scene.run(scene.failing(u32::MAX, |_| true), HOURLY, hours).await;
    assert_eq!((ended(&shared, "failed"), ended(&shared, "complete")), (3, 0), "once for each time");
    assert_eq!(scene.last_due("hourly"), Some(millis(BEGAN)), "when a daemon first had the schedule");
    // The next daemon finds the missed times in the state.
    let later = DaemonDeps {
        clock: Clock::Simulated { began_at: "2026-01-01T15:30:00Z".parse().expect("a time"), began: Instant::now() },
        ..scene.deps()
    };
    let (_, took) = scene.run(later, HOURLY, async |_, shared| wait_for(shared, "complete", 1).await).await;
    assert!(took < Duration::from_secs(1800), "before the next hour: {took:?}");
    assert_eq!(scene.last_due("hourly"), Some(millis("2026-01-01T15:00:00Z")));
}

#[tokio::test(start_paused = true)]
async fn a_restart_keeps_the_due_times_of_schedules() {
    let scene = Scene::new();
    scene.run(scene.deps(), HOURLY, async |_, shared| wait_for(shared, "complete", 1).await).await;
    let later = DaemonDeps {
        clock: Clock::Simulated { began_at: "2026-01-01T12:30:00Z".parse().expect("a time"), began: Instant::now() },
        ..scene.deps()
    };
    let times = async |_: &mpsc::Sender<Order>, shared: &Shared| {
        sleep(Duration::from_secs(60)).await;
        shared.status().schedules["hourly"]
    };
    let (shared, times) = scene.run(later, HOURLY, times).await;
    let millis = |time: Option<jiff::Timestamp>| time.map(jiff::Timestamp::as_millisecond);
    assert_eq!(millis(times.due), Some(self::millis("2026-01-01T12:00:00Z")));
    assert_eq!((times.begun, ended(&shared, "complete")), (times.due, 0));
}

#[tokio::test(start_paused = true)]
async fn a_newer_due_time_replaces_a_run_that_cannot_begin() {
    let scene = Scene::new();
    // Two hours without a plan: the runs of 12:00, 13:00 and 14:00 are merged.
    let left = Rc::new(Cell::new(true));
    let (simulator, fails) = (scene.simulator.clone(), left.clone());
    let make_plan = move |settings: &Arc<Settings>, request: RunRequest| {
        if fails.get() { Err(SettingError::new("x", "away")) } else { Ok(plan_for(&simulator, settings, request)) }
    };
    let deps = DaemonDeps { make_plan: Box::new(make_plan), ..scene.deps() };
    let (shared, ()) = scene
        .run(deps, HOURLY, async |_, shared| {
            sleep(Duration::from_secs(2 * 3600 + 90)).await;
            assert_eq!(shared.status().waiting, 1);
            left.set(false);
            wait_for(shared, "complete", 1).await;
            sleep(Duration::from_secs(600)).await;
        })
        .await;
    assert_eq!((ended(&shared, "failed"), ended(&shared, "complete")), (3, 1));
    assert_eq!(scene.last_due("hourly"), Some(millis("2026-01-01T14:00:00Z")));
}

#[tokio::test(start_paused = true)]
async fn a_requested_run_is_kept_until_it_can_begin() {
    let scene = Scene::new();
    let (shared, took) = scene
        .run(scene.failing(3, |_| true), "", async |orders, shared| {
            orders.send(Order::Run(Job::default())).await.expect("it is taken");
            wait_for(shared, "complete", 1).await
        })
        .await;
    assert!(took.as_secs() >= 35, "{took:?}");
    let runs = shared.status().runs.clone();
    assert_eq!((runs[&("manual".to_owned(), "complete")], runs[&("manual".to_owned(), "failed")]), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_cannot_begin_does_not_block_others() {
    let scene = Scene::new();
    let schedules = "[[schedule]]\nname = \"stuck\"\ncron = \"0 * * * *\"\ntargets = [\"hub\"]\n\
                     [[schedule]]\nname = \"free\"\ncron = \"0 * * * *\"\ntargets = [\"other\"]\n";
    let stuck = |request: &RunRequest| request.targets.as_ref().is_some_and(|only| only == &["hub"]);
    let hours = async |_: &mpsc::Sender<Order>, _: &Shared| sleep(Duration::from_secs(3 * 3600)).await;
    let (shared, ()) = scene.run(scene.failing(u32::MAX, stuck), schedules, hours).await;
    let runs = shared.status().runs.clone();
    assert_eq!((runs[&("free".to_owned(), "complete")], runs[&("stuck".to_owned(), "complete")]), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_failing_output_blocks_other_runs_for_minutes_only() {
    let scene = Scene::new();
    let schedules = "[[schedule]]\nname = \"stuck\"\ncron = \"0 * * * *\"\ntargets = [\"hub\"]\n\
                     [[schedule]]\nname = \"free\"\ncron = \"1 * * * *\"\ntargets = [\"other\"]\n";
    let crawl = |plan: dynacrawl_engine::RunPlan, start, stop, progress| {
        let stuck = plan.request.targets.as_ref().is_some_and(|only| only == &["hub"]);
        Box::pin(async move {
            let (report, written) = crawl_to_output(&plan, start, &stop, &progress).await;
            let full = || dynacrawl_sinks::SinkError::Journal(std::io::Error::other("full").into());
            (report, if stuck { Err(full()) } else { written })
        }) as _
    };
    let deps = DaemonDeps { crawl: Box::new(crawl), ..scene.deps() };
    // Not at the full minute, when an attempt may be in progress.
    let minutes = async |_: &mpsc::Sender<Order>, _: &Shared| sleep(Duration::from_secs(12 * 60 + 30)).await;
    let (shared, ()) = scene.run(deps, schedules, minutes).await;
    let runs = shared.status().runs.clone();
    assert_eq!(runs[&("free".to_owned(), "complete")], 1);
    assert!((10..=12).contains(&runs[&("stuck".to_owned(), "failed")]), "{runs:?}");
}

/// The dependencies of the daemon, but the given number of crawls panic after a second.
fn panicking(scene: &Scene, times: u32) -> DaemonDeps {
    let left = Rc::new(Cell::new(times));
    DaemonDeps {
        crawl: Box::new(move |plan, start, stop, progress| {
            let left = left.clone();
            Box::pin(async move {
                sleep(Duration::from_secs(1)).await;
                if left.get() > 0 {
                    left.set(left.get() - 1);
                    panic!("the crawl's own fault");
                }
                crawl_to_output(&plan, start, &stop, &progress).await
            })
        }),
        ..scene.deps()
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_panics_is_counted_and_tried_again() {
    let scene = Scene::new();
    let (shared, took) =
        scene.run(panicking(&scene, 3), HOURLY, async |_, shared| wait_for(shared, "complete", 1).await).await;
    // A minute until it is due, a second for each attempt, and 5 + 10 + 20 seconds between them.
    assert!(took.as_secs() >= 99, "{took:?}");
    assert_eq!(ended(&shared, "failed"), 3);
    assert!(scene.path("out/out.jsonl").exists());
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_panics_is_retried_like_one_that_fails() {
    let scene = Scene::new();
    let simulator = scene.simulator.clone();
    let left = Cell::new(2);
    let make_plan = move |settings: &Arc<Settings>, request: RunRequest| {
        if left.get() == 0 {
            return Ok(plan_for(&simulator, settings, request));
        }
        left.set(left.get() - 1);
        panic!("the plan's own fault")
    };
    let deps = DaemonDeps { make_plan: Box::new(make_plan), ..scene.deps() };
    let (shared, took) = scene.run(deps, HOURLY, async |_, shared| wait_for(shared, "complete", 1).await).await;
    assert!(took.as_secs() >= 75, "{took:?}");
    assert_eq!((ended(&shared, "failed"), ended(&shared, "complete")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_reload_that_panics_is_refused_and_a_good_one_retries_runs() {
    let scene = Scene::new();
    let loaded = [None, Some(scene.settings(HOURLY))];
    let next = Cell::new(0);
    let load = move || {
        let settings = loaded.get(next.replace(next.get() + 1)).cloned().flatten();
        Box::pin(async move { Ok(settings.expect("the first one panics")) }) as _
    };
    // The fifth plan is made for the reload, the sixth for the run.
    let deps = DaemonDeps { load: Box::new(load), ..scene.failing(4, |_| true) };
    let (_, took) = scene
        .run(deps, HOURLY, async |orders, shared| {
            orders.send(Order::Reload).await.expect("it is taken");
            sleep(Duration::from_secs(1)).await;
            assert!(shared.status().reload_failed, "the panic is a refusal");
            // Due after a minute; tried after 0, 5, 15 and 35 seconds, and then not before 75
            // seconds.
            sleep(Duration::from_secs(60 + 36)).await;
            assert_eq!(ended(shared, "complete"), 0);
            orders.send(Order::Reload).await.expect("it is taken");
            let took = wait_for(shared, "complete", 1).await;
            assert!(!shared.status().reload_failed);
            took
        })
        .await;
    assert!(took < Duration::from_secs(30), "{took:?}");
}
