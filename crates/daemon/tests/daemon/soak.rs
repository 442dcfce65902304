//! Weeks of scheduled crawls on simulated time, over an estate that changes and fails.

use std::collections::BTreeMap;
use std::time::Duration;

use dynacrawl_daemon::daemon::DaemonEnd;
use dynacrawl_sim::{
    Account, Change, ChangeKind, Control, Effect, Estate, Evolution, FaultRule, InProcess, Operation, Options, Tables,
    When,
};
use dynacrawl_state::{ChangeQuery, Reader};
use dynacrawl_testing::inside::HUB;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::runs::daemon;

const REGIONS: [&str; 3] = ["us-east-1", "eu-west-1", "eu-central-1"];
const RUNS: usize = 200;
const TABLES: u64 = 110;

/// The events of each table, in order.
type Events = BTreeMap<(String, String), Vec<&'static str>>;

/// The simulator's log, in the words of the state.
fn simulated(log: &[Change]) -> Events {
    let mut events = Events::new();
    for change in log {
        let word = match change.kind {
            ChangeKind::Created => "table_added",
            ChangeKind::Updated => "table_changed",
            ChangeKind::Removed => "table_removed",
            ChangeKind::Recreated => "table_recreated",
        };
        events.entry((change.region.clone(), change.table.clone())).or_default().push(word);
    }
    events
}

/// The changes in the state, in the order of the runs.
fn recorded(path: &std::path::Path) -> Events {
    let mut events = Events::new();
    let kinds =
        ["table_added", "table_changed", "table_removed", "table_recreated", "table_unselected", "scope_retired"];
    Reader::open(path)
        .expect("a state")
        .changes(&ChangeQuery::default(), |change| {
            let kind = kinds.into_iter().find(|kind| *kind == change.kind).expect("a kind");
            events.entry((change.region, change.table_name.unwrap_or_default())).or_default().push(kind);
            true
        })
        .expect("readable");
    events
}

/// The resident memory, in MB.
fn memory() -> f64 {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let resident: f64 = pages.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number");
    resident * 4096.0 / 1_000_000.0
}

/// Injects one fault after the other. Each is cleared before the next crawl without faults.
fn break_something(control: &Control, number: usize) {
    let region = REGIONS[number % REGIONS.len()];
    let list = || FaultRule::new(Effect::Deny).region(region).operation(Operation::ListTables);
    let rule = match number % 8 {
        0 => list(),
        1 => list().when(When::After(1)),
        2 => FaultRule::new(Effect::Throttle).region(region).when(When::Probability { p: 0.3, seed: number as u64 }),
        3 => FaultRule::new(Effect::Deny).region(region).operation(Operation::DescribeTable),
        4 => FaultRule::new(Effect::DropConnection).region(region).when(When::Every(7)),
        5 => {
            FaultRule::new(Effect::Status(500)).region(region).operation(Operation::DescribeTable).when(When::Every(3))
        }
        6 => {
            FaultRule::new(Effect::GarbageBody).region(region).operation(Operation::DescribeTable).when(When::Every(5))
        }
        _ => FaultRule::new(Effect::Throttle).region(region).operation(Operation::ListTables),
    };
    control.add_fault(rule);
}

#[tokio::test(start_paused = true)]
async fn two_hundred_faulty_crawls_find_exactly_the_real_changes() {
    let account = REGIONS
        .iter()
        .fold(Account::new(HUB), |account, region| account.region(*region, Tables::new().generated(TABLES)));
    let options = Options { verify_signatures: false, latency: Duration::from_millis(15), ..Options::default() };
    let simulator = InProcess::new(Estate::new([account]), &options);
    let directory = tempfile::tempdir().expect("a directory");
    let (path, output) = (directory.path().join("state.db"), directory.path().join("out.jsonl"));
    let settings = format!(
        "[state]\npath = \"{}\"\n[changes]\nemit = \"changes\"\n[crawl]\noutput = \"{}\"\nmax_attempts = 2\npatience = \"5s\"\n\
         [[schedule]]\nname = \"hourly\"\ncron = \"0 * * * *\"\n\
         [[target]]\nname = \"hub\"\nregions = {REGIONS:?}\n",
        path.display(),
        output.display()
    );
    let (daemon, shared) = daemon(&simulator, &settings, "2026-03-20T11:30:00Z");
    let (orders, queue) = mpsc::channel(1);
    let stop = CancellationToken::new();

    let scopes: Vec<_> = REGIONS.iter().map(|region| (HUB, *region)).collect();
    let mut evolution = Evolution::new(7).removing_at_most(0.1);
    let mut memories = Vec::new();
    let evolve = async {
        // At half past each hour, between two crawls. The estate changes once in four crawls. Three
        // of them have different faults and every fourth has none, so one of them sees each change
        // before the table changes again.
        for number in 0..RUNS {
            simulator.clear_faults();
            match number % 4 {
                3 => {}
                0 if number == 0 => {}
                step => {
                    if step == 0 {
                        evolution.step(&simulator, &scopes, 15).expect("scopes");
                    }
                    break_something(&simulator, number);
                }
            }
            tokio::time::sleep(Duration::from_secs(3600)).await;
            if number % 10 == 9 {
                memories.push(memory());
            }
        }
        stop.cancel();
    };
    let (stopped, ()) = tokio::join!(Box::pin(daemon.run(queue, &stop)), evolve);
    drop(orders);
    assert_eq!(stopped, DaemonEnd::Idle);
    let runs = shared.status().runs.values().sum::<u64>();
    assert_eq!(runs, RUNS as u64);

    // Every table that was there at the start was added.
    let mut log = simulated(&simulator.log());
    for region in REGIONS {
        for number in 0..TABLES {
            let table = format!("table-{number:06}");
            log.entry((region.to_owned(), table)).or_default().insert(0, "table_added");
        }
    }
    let found = recorded(&path);
    let total = |events: &Events, kind: &str| events.values().flatten().filter(|one| **one == kind).count();
    assert!(total(&log, "table_removed") > 20 && total(&log, "table_changed") > 100, "the estate has changed");
    for (table, happened) in &log {
        assert_eq!(Some(happened), found.get(table), "{table:?}");
    }
    assert_eq!(found.len(), log.len(), "other tables have no changes");
    // The changes add up to the tables that exist.
    for region in REGIONS {
        let mut there: Vec<_> = found
            .iter()
            .filter(|((of, _), kinds)| of == region && *kinds.last().expect("one") != "table_removed")
            .map(|((_, table), _)| table.clone())
            .collect();
        there.sort_unstable();
        assert_eq!(there, simulator.table_names(HUB, region));
    }
    // Once the caches are warm, the memory does not grow.
    let (early, late) = (memories[4], memories[memories.len() - 1]);
    assert!(late < early * 1.1 + 5.0, "{memories:?}");
}
