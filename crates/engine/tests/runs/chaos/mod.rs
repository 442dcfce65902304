//! Chaos: for each seed an estate, a configuration, and crawls with faults of every kind, on
//! simulated time. After each crawl, an oracle that has the truth checks the output and the state.
//!
//! `DYNACRAWL_CHAOS_SEEDS=100..200`, or a single number, plays other seeds; `DYNACRAWL_CHAOS_KINDS` narrows the faults.

mod drive;
mod faults;
mod oracle;
mod plan;
mod truth;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use self::faults::Kind;
use self::plan::Plan;

/// The seeds that a debug build plays in about a minute, beside other tests: half a second of
/// computing each.
const SEEDS: Range<u64> = 0..100;
/// The most failing seeds that are reported.
const MOST_REPORTED: usize = 10;

fn seeds() -> Range<u64> {
    let Ok(asked) = std::env::var("DYNACRAWL_CHAOS_SEEDS") else { return SEEDS };
    let number = |text: &str| text.parse::<u64>().unwrap_or_else(|_| panic!("DYNACRAWL_CHAOS_SEEDS: '{asked}'"));
    match asked.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => number(&asked)..number(&asked) + 1,
    }
}

/// Plays a seed. The error says what was found wrong.
fn play(seed: u64, kinds: &[Kind]) -> Result<(), String> {
    fastrand::seed(seed);
    let plan = Plan::draw(seed, kinds);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    let runtime = runtime.expect("a runtime");
    let played = catch_unwind(AssertUnwindSafe(|| runtime.block_on(Box::pin(drive::play(&plan)))));
    let found = played.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("a panic: {}", text.unwrap_or_default()))
    });
    found.map_err(|broken| format!("seed {seed}: {broken}\n{plan}"))
}

#[test]
fn every_report_is_true_whatever_goes_wrong() {
    let (seeds, kinds) = (seeds(), Kind::wanted());
    let (next, broken) = (AtomicU64::new(seeds.start), Mutex::new(Vec::new()));
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    if let Err(found) = play(seed, &kinds) {
                        broken.lock().unwrap_or_else(PoisonError::into_inner).push(found);
                    }
                }
            });
        }
    });
    let broken = broken.into_inner().unwrap_or_else(PoisonError::into_inner);
    let list: Vec<&str> = broken.iter().take(MOST_REPORTED).map(String::as_str).collect();
    assert!(broken.is_empty(), "{} of {} seeds are broken\n{}", broken.len(), seeds.end - seeds.start, list.join("\n"));
}
