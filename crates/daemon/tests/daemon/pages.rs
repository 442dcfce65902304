//! Records the metrics of a daemon on simulated time, for the tests of the alerts. promtool gets
//! the pages that the daemon really serves, so a renamed metric breaks the test of its alert. The
//! records are in tests/deploy/pages, and these tests compare them. After a change,
//! `RECORD_PAGES=1 cargo test --workspace --all-features --test daemon pages` writes them again.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dynacrawl_daemon::daemon::{DaemonDeps, Order};
use dynacrawl_daemon::metrics::{add, recorder};
use dynacrawl_daemon::queue::Job;
use dynacrawl_daemon::shared::Shared;
use dynacrawl_engine::deliver;
use dynacrawl_engine::settings::{Accepted, SettingError, SinkChoice};
use dynacrawl_model::Timestamp;
use dynacrawl_sim::{Account, Effect, Estate, FaultRule, InProcess, Operation, Options, Tables, When};
use dynacrawl_sinks::Until;
use dynacrawl_state::State;
use dynacrawl_testing::inside::{HUB, config};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::runs::{daemon_with, deps};

/// When each record begins.
const BEGAN: &str = "2026-03-01T00:00:00Z";
/// The minutes between two pages, as for a scraper.
const STEP: u64 = 5;
/// The metrics that a record leaves out: no alert uses them, and they differ each time.
const LEFT_OUT: [&str; 5] = [
    "dynacrawl_api_request_duration_seconds",
    "dynacrawl_config_last_reload_success_timestamp_seconds",
    "dynacrawl_last_run_timestamp_seconds",
    "dynacrawl_run_duration_seconds",
    "dynacrawl_sink_events_total{sink=\"audit\",result=\"failed\"}",
];
/// The number of calls, which only the record about throttling has.
const CALLS: &str = "dynacrawl_api_requests_total";
/// A page is requested so long after the minute, when the runs that are due in that minute have
/// ended.
const SCRAPED_AFTER: Duration = Duration::from_secs(150);

/// A minute, and what happens then. May return an order for the daemon.
type Event<'a> = (u64, &'a dyn Fn(&Scene) -> Option<Order>);

/// The environment of a daemon while its pages are recorded.
struct Scene {
    simulator: InProcess,
    directory: TempDir,
    shared: RefCell<Option<Arc<Shared>>>,
    with_calls: bool,
}

impl Scene {
    fn new() -> Self {
        Self::of(20)
    }

    /// A scene with so many tables in each Region.
    fn of(tables: u64) -> Self {
        let regions = ["us-east-1", "eu-west-1", "eu-central-1"];
        let account = regions
            .into_iter()
            .fold(Account::new(HUB), |account, region| account.region(region, Tables::new().generated(tables)));
        let options = Options { verify_signatures: false, latency: Duration::from_millis(15), ..Options::default() };
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(directory.path().join("out")).expect("it is made");
        let simulator = InProcess::new(Estate::new([account]), &options);
        Self { simulator, directory, shared: RefCell::default(), with_calls: false }
    }

    fn output_directory(&self) -> PathBuf {
        self.directory.path().join("out")
    }

    fn deps(&self) -> DaemonDeps {
        deps(&self.simulator, BEGAN)
    }

    fn deny(&self, region: &str) {
        self.simulator.add_fault(FaultRule::new(Effect::Deny).region(region).operation(Operation::ListTables));
    }

    /// Runs a daemon for some hours, with events. Returns the record of its pages.
    async fn record(
        &self,
        deps: DaemonDeps,
        settings: &str,
        hours: u64,
        most_scopes: usize,
        events: &[Event<'_>],
    ) -> String {
        let settings = format!(
            "[state]\npath = \"{}\"\n[crawl]\noutput = \"{}\"\nmax_attempts = 3\npatience = \"5s\"\n{settings}",
            self.directory.path().join("state.db").display(),
            self.output_directory().join("out.jsonl").display()
        );
        let recorder = recorder().expect("a recorder");
        let recorded = recorder.handle();
        let _recording = metrics::set_default_local_recorder(&recorder);
        let settings = config(&settings).for_daemon();
        let run = settings.run.clone();
        let state = State::open(&run.state.as_ref().expect("a state").path).expect("a state");
        let state = Arc::new(Mutex::new(state));
        let (daemon, shared) = daemon_with(deps, settings, state.clone());
        *self.shared.borrow_mut() = Some(shared.clone());
        let (orders, queue) = mpsc::channel(8);
        let stop = CancellationToken::new();
        let began = Instant::now();
        let recording = async {
            let mut pages = Pages { with_calls: self.with_calls, ..Pages::default() };
            for minute in (0..=hours * 60).step_by(usize::try_from(STEP).unwrap_or(1)) {
                sleep_until(began + Duration::from_secs(minute * 60) + SCRAPED_AFTER).await;
                recorded.run_upkeep();
                shared.read_sinks().await;
                pages.take(minute, recorded.render(), &shared, most_scopes);
                for (_, happens) in events.iter().filter(|(at, _)| *at == minute) {
                    if let Some(order) = happens(self) {
                        orders.send(order).await.expect("it is taken");
                    }
                }
            }
            stop.cancel();
            pages.text
        };
        // As `serve` does.
        let delivering = deliver(&run, &SinkChoice::All, &state, Until::Stopped, &stop);
        let (_, (), text) = tokio::join!(Box::pin(daemon.run(queue, &stop)), delivering, recording);
        text
    }
}

/// Recorded pages: the first one as a whole, and the differences of each later one.
#[derive(Default)]
struct Pages {
    text: String,
    with_calls: bool,
    before: BTreeMap<String, String>,
    /// The state has times of the system's clock. A record has the minute in which each was first
    /// seen instead.
    seen: HashMap<i64, Timestamp>,
}

impl Pages {
    fn take(&mut self, minute: u64, mut page: String, shared: &Shared, most_scopes: usize) {
        let began: jiff::Timestamp = BEGAN.parse().expect("a time");
        let minutes = i64::try_from(minute).expect("a few") * 60_000;
        let now = Timestamp::from_millis(began.as_millisecond() + minutes).expect("a time of these days");
        let mut status = shared.status();
        let (scopes, sinks) = (status.scopes.clone(), status.sinks.clone());
        let mut seen = |at: Timestamp| *self.seen.entry(at.as_millis()).or_insert(now);
        for scope in &mut status.scopes {
            scope.last_complete_at = scope.last_complete_at.map(&mut seen);
        }
        for sink in &mut status.sinks {
            sink.owed_since = sink.owed_since.map(&mut seen);
            sink.delivered_at = sink.delivered_at.map(&mut seen);
        }
        add(&mut page, &status, most_scopes);
        (status.scopes, status.sinks) = (scopes, sinks);
        drop(status);
        let lines = page.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let left_out = LEFT_OUT.into_iter().chain((!self.with_calls).then_some(CALLS));
        let left_out: Vec<_> = left_out.collect();
        let lines = lines.filter(|line| !left_out.iter().any(|name| line.starts_with(name)));
        let after: BTreeMap<String, String> = lines
            .map(|line| line.rsplit_once(' ').expect("a value"))
            .map(|(series, value)| (series.to_owned(), value.to_owned()))
            .collect();
        if after != self.before {
            let _ = writeln!(self.text, "# minute {minute}");
            for (series, value) in after.iter().filter(|(series, value)| self.before.get(*series) != Some(value)) {
                let _ = writeln!(self.text, "{series} {value}");
            }
            for series in self.before.keys().filter(|series| !after.contains_key(*series)) {
                let _ = writeln!(self.text, "{series} gone");
            }
        }
        self.before = after;
    }
}

/// Compares a record with the one in its file, or replaces that file.
#[track_caller]
fn same(name: &str, about: &str, pages: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/deploy/pages").join(name).with_extension("txt");
    let began: jiff::Timestamp = BEGAN.parse().expect("a time");
    let text = format!("# {about}\n# began {}\n{pages}", began.as_second());
    if std::env::var_os("RECORD_PAGES").is_some() {
        std::fs::write(&file, text).expect("it is written");
        return;
    }
    let recorded = std::fs::read_to_string(&file).unwrap_or_default();
    let other = text.lines().zip(recorded.lines()).find(|(new, old)| new != old);
    assert!(
        text == recorded,
        "{} differs: {other:?}; RECORD_PAGES=1 cargo test --workspace --all-features --test daemon pages writes it again",
        file.display()
    );
}

fn target(name: &str, regions: &[&str]) -> String {
    format!("[[target]]\nname = \"{name}\"\nregions = {regions:?}\n")
}

fn schedule(name: &str, cron: &str, targets: &str) -> String {
    format!("[[schedule]]\nname = \"{name}\"\ncron = \"{cron}\"\n{targets}")
}

#[tokio::test(start_paused = true)]
async fn pages_of_nights_with_incomplete_scopes() {
    let scene = Scene::new();
    scene.deny("eu-central-1");
    let settings = [
        schedule("nightly", "0 3 * * *", ""),
        schedule("often", "0 1,7,13,19 * * *", "targets = [\"good\"]\n"),
        target("good", &["us-east-1"]),
        target("bad", &["eu-west-1", "eu-central-1"]),
    ];
    let deny = |scene: &Scene| {
        scene.deny("eu-west-1");
        None
    };
    let mend = |scene: &Scene| {
        scene.simulator.clear_faults();
        None
    };
    let events: [Event<'_>; 2] = [(26 * 60, &deny), (50 * 60, &mend)];
    let pages = scene.record(scene.deps(), &settings.concat(), 80, usize::MAX, &events).await;
    let about = "eu-central-1 is denied, from the second night on eu-west-1 as well; in the third all are complete";
    same("nights", about, &pages);
}

#[tokio::test(start_paused = true)]
async fn pages_of_more_scopes_than_have_a_series() {
    let scene = Scene::new();
    let settings = schedule("nightly", "0 3 * * *", "") + &target("all", &["us-east-1", "eu-west-1"]);
    let deny = |scene: &Scene| {
        scene.deny("us-east-1");
        None
    };
    let events: [Event<'_>; 1] = [(26 * 60, &deny)];
    let pages = scene.record(scene.deps(), &settings, 34, 1, &events).await;
    same("many", "one scope has a series of its own; from the second night on the other one is denied", &pages);
}

#[tokio::test(start_paused = true)]
async fn pages_of_a_night_without_an_output() {
    let scene = Scene::new();
    let settings =
        [schedule("nightly", "0 3 * * *", ""), schedule("weekly", "0 3 * * 5", ""), target("all", &["us-east-1"])];
    let away = |scene: &Scene| {
        std::fs::remove_dir(scene.output_directory()).expect("it is empty");
        None
    };
    let back = |scene: &Scene| {
        std::fs::create_dir(scene.output_directory()).expect("it is made");
        None
    };
    let events: [Event<'_>; 2] = [(120, &away), (360, &back)];
    let pages = scene.record(scene.deps(), &settings.concat(), 8, usize::MAX, &events).await;
    same(
        "away",
        "the directory of the output is away from 02:00 to 06:00, and the nightly run is due at 03:00",
        &pages,
    );
}

#[tokio::test(start_paused = true)]
async fn pages_of_held_removals_and_retirements() {
    let scene = Scene::new();
    let regions = ["us-east-1", "eu-west-1", "eu-central-1"];
    let with = |regions: &[&str]| {
        format!("[changes]\nfail_safe_from = 2\n{}{}", schedule("hourly", "0 * * * *", ""), target("all", regions))
    };
    let settings = with(&regions);
    let whole = |settings: &str| {
        config(&format!(
            "[state]\npath = \"{}\"\n[crawl]\noutput = \"{}\"\nmax_attempts = 3\npatience = \"5s\"\n{settings}",
            scene.directory.path().join("state.db").display(),
            scene.output_directory().join("out.jsonl").display()
        ))
        .for_daemon()
    };
    let refused = SettingError::new("crawl.rate (--rate)", "is missing");
    let loaded = [Ok(whole(&with(&regions[..1]))), Ok(whole(&settings)), Err(refused.into())];
    let loaded = Rc::new(RefCell::new(Vec::from(loaded)));
    let load = move || {
        let next = loaded.borrow_mut().pop().expect("three reloads");
        Box::pin(async move { next }) as _
    };
    let reload = |_: &Scene| Some(Order::Reload);
    let remove = |scene: &Scene| {
        for number in 0..10 {
            let table = format!("table-{number:06}");
            assert!(scene.simulator.remove_table(HUB, "us-east-1", &table).expect("the Region is there"), "{table}");
        }
        None
    };
    let accept = |_: &Scene| {
        let scope = |region: &&str| (HUB.parse().expect("an account"), region.parse().expect("a Region"));
        let [removals, retirements] = [&regions[..1], &regions[1..]].map(|some| some.iter().map(scope).collect());
        Some(Order::Run(Job { accepted: Accepted { removals, retirements }, ..Job::default() }))
    };
    let events: [Event<'_>; 5] = [(30, &reload), (90, &reload), (150, &remove), (185, &reload), (270, &accept)];
    let deps = DaemonDeps { load: Box::new(load), ..scene.deps() };
    let pages = scene.record(deps, &settings, 6, usize::MAX, &events).await;
    let about = "a configuration is refused from 00:30 to 01:30; ten of twenty tables are gone at 02:30, \
                 two of three Regions are not configured any more from 03:05 on, and a person accepts both at 04:30";
    same("held", about, &pages);
}

#[tokio::test(start_paused = true)]
async fn pages_of_an_hour_of_throttling() {
    let scene = Scene { with_calls: true, ..Scene::of(5) };
    let settings = schedule("often", "*/5 * * * *", "") + &target("all", &["us-east-1"]);
    let throttle = |operation, every| FaultRule::new(Effect::Throttle).operation(operation).when(When::Every(every));
    scene.simulator.add_fault(throttle(Operation::ListTables, 2));
    scene.simulator.add_fault(throttle(Operation::DescribeTable, 11));
    let mend = |scene: &Scene| {
        scene.simulator.clear_faults();
        None
    };
    let events: [Event<'_>; 1] = [(60, &mend)];
    let pages = scene.record(scene.deps(), &settings, 2, usize::MAX, &events).await;
    same("throttled", "for an hour half of the listings are throttled, and one description in eleven", &pages);
}

#[tokio::test(start_paused = true)]
async fn pages_of_a_sink_whose_destination_is_away() {
    let scene = Scene::of(5);
    let directory = scene.directory.path().join("events");
    std::fs::create_dir(&directory).expect("it is made");
    let sink = format!("[sink.audit.file]\npath = \"{}\"\n", directory.join("events.jsonl").display());
    let settings = [schedule("hourly", "0 * * * *", ""), target("all", &["us-east-1"]), sink];
    let away = |scene: &Scene| {
        std::fs::remove_dir_all(scene.directory.path().join("events")).expect("it was there");
        None
    };
    let replay = |_: &Scene| Some(Order::Replay { sink: "audit".to_owned(), since: None });
    // As the sink counts what its destination refuses.
    let refuse = |_: &Scene| {
        dynacrawl_sinks::count("audit", "refused", 2);
        None
    };
    let back = |scene: &Scene| {
        std::fs::create_dir(scene.directory.path().join("events")).expect("it is made");
        None
    };
    let events: [Event<'_>; 4] = [(95, &away), (140, &replay), (200, &refuse), (10 * 60 + 35, &back)];
    let pages = scene.record(scene.deps(), &settings.concat(), 12, usize::MAX, &events).await;
    let about = "the destination of a sink is away from 01:35 to 10:35, a person starts a replay at 02:20, \
                 and at 03:20 the destination refuses two events";
    same("sinks", about, &pages);
}
