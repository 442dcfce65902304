//! The daemon on simulated time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use dynacrawl_sim::{Account, Estate, InProcess, Options, Tables};
use dynacrawl_state::State;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::clock::Clock;
use super::daemon::{Daemon, Outside, Stopped};
use super::shared::Shared;
use crate::run::inside::{HUB, config, plan_of};

/// A daemon that crawls a simulator, by a clock that begins at a time.
pub(super) fn daemon(simulator: &InProcess, settings: &str, began_at: &str) -> (Daemon, Arc<Shared>) {
    let config = config(settings);
    let path = config.state.as_ref().expect("a state").path.clone();
    let state = Arc::new(Mutex::new(State::open(&path).expect("a state")));
    let shared = Arc::new(Shared::new(&config, None, path));
    let simulator = simulator.clone();
    let outside = Outside {
        load: Box::new(|| unreachable!("nothing is reloaded")),
        make_plan: Box::new(move |config| Ok(plan_of(&simulator, config))),
        clock: Clock::Simulated { began_at: began_at.parse().expect("a time"), began: Instant::now() },
    };
    (Daemon::new(outside, config, state, shared.clone(), Default::default()), shared)
}

/// Runs for a while; gives how the daemon ended, and how many runs have failed and are complete.
async fn run(output: &str, serve: &str, hours: u64) -> (Stopped, u64, u64) {
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
        tokio::time::sleep(Duration::from_secs(hours * 3600)).await;
        stop.cancel();
    };
    let (stopped, ()) = tokio::join!(Box::pin(daemon.run(queue, &stop)), end);
    let runs = shared.told().runs.clone();
    let count = |outcome: &str| runs.get(outcome).copied().unwrap_or_default();
    (stopped, count("failed"), count("complete"))
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_output_fails_goes_on_once_a_minute() {
    let (_, failed, complete) = run("/dev/full", "[serve]\nrun_at_start = true", 1).await;
    assert!((50..=61).contains(&failed) && complete == 0, "{failed} failed, {complete} complete");
}

#[tokio::test(start_paused = true)]
async fn an_hourly_schedule_runs_every_hour_also_where_the_clock_skips_one() {
    let schedule = "[[schedule]]\nname = \"hourly\"\ncron = \"0 * * * *\"\ntime_zone = \"Europe/Berlin\"";
    assert_eq!(run("/dev/null", schedule, 6).await, (Stopped::Idle, 0, 6));
}

#[tokio::test(start_paused = true)]
async fn a_time_that_the_clock_skips_is_one_run_right_after_the_gap() {
    // 02:30 on the last Sunday of March; at 01:00 UTC it is 03:00.
    let schedule = "[[schedule]]\nname = \"nightly\"\ncron = \"30 2 * * *\"\ntime_zone = \"Europe/Berlin\"";
    assert_eq!(run("/dev/null", schedule, 1).await, (Stopped::Idle, 0, 0));
    assert_eq!(run("/dev/null", schedule, 2).await, (Stopped::Idle, 0, 1));
    assert_eq!(run("/dev/null", schedule, 12).await, (Stopped::Idle, 0, 1));
}
