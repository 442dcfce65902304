//! Interrupts: the first one drains, and the second one exits at once.

use std::fs;
use std::time::{Duration, Instant};

use dynacrawl_sim::{DemoAccount, Effect, FaultRule, Operation, Simulator};

use crate::command::{Dynacrawl, Running};
use crate::contract;
use crate::support::{HOME, IRELAND, ireland};

/// A Region that takes a quarter of a minute with four tables at a time.
fn slow_region() -> (Simulator, DemoAccount) {
    let (sim, home) = ireland(600);
    sim.set_latency(HOME, IRELAND, Duration::from_millis(100)).expect("the Region is there");
    (sim, home)
}

fn slow_crawl(sim: &Simulator, home: &DemoAccount) -> Dynacrawl {
    Dynacrawl::crawl_of(sim, home, IRELAND).args(["--concurrency", "4"])
}

/// A Region whose DescribeTable answers do not come during the test.
fn hanging() -> (Simulator, DemoAccount) {
    let (sim, home) = ireland(50);
    sim.add_fault(FaultRule::new(Effect::Delay(Duration::from_secs(600))).operation(Operation::DescribeTable));
    (sim, home)
}

fn requests_hang(sim: &Simulator) {
    crate::support::eventually("tables are asked for", || sim.counts().requests(Operation::DescribeTable) > 0);
}

#[test]
fn the_first_interrupt_drains_and_reports_what_is_missing() {
    for signal in ["INT", "TERM"] {
        let (sim, home) = slow_region();
        let mut crawl = slow_crawl(&sim, &home).start();
        crawl.wait_for_line("\"type\":\"table\"");
        crawl.signal(signal);
        let ended = crawl.end();
        let text = ended.stdout.clone();
        let crawled = ended.with_records(text);
        assert_eq!(crawled.code, 130);
        let scope = crawled.scope(IRELAND);
        assert_eq!((&scope["outcome"], &scope["listing"]), (&"cancelled".into(), &"incomplete".into()));
        // The walker stops, and the tables that it has listed are described: a page, two in the
        // queue, and one that waits.
        let listed = scope["counts"]["listed"].as_u64().expect("a number");
        assert!((100..=400).contains(&listed), "{scope}");
        assert_eq!(scope["counts"]["described"], listed, "{scope}");
        assert!(crawled.stderr.contains("interrupted"), "{}", crawled.stderr);
    }
}

#[test]
fn an_interrupted_crawl_keeps_the_file_and_a_valid_partial_file() {
    let (sim, home) = slow_region();
    let crawl = slow_crawl(&sim, &home).args(["--output", "out.jsonl"]).file("out.jsonl", "old\n").start();
    let partial = crawl.path("out.jsonl.partial");
    crate::support::eventually("tables are written", || {
        fs::read_to_string(&partial).is_ok_and(|text| text.contains("\"type\":\"table\""))
    });
    crawl.signal("INT");
    let ended = crawl.end();
    assert_eq!(fs::read_to_string(ended.home.path().join("out.jsonl")).expect("it is there"), "old\n");
    let text = fs::read_to_string(ended.home.path().join("out.jsonl.partial")).expect("it is there");
    assert_eq!(ended.with_records(text).code, 130);
}

#[test]
fn tables_unfinished_after_the_grace_time_are_not_attempted() {
    let (sim, home) = hanging();
    let crawl = Dynacrawl::crawl_of(&sim, &home, IRELAND).args(["--grace", "1s"]).start();
    requests_hang(&sim);
    let started = Instant::now();
    crawl.signal("TERM");
    let ended = crawl.end();
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(900) && took < Duration::from_secs(10), "{took:?}");
    let text = ended.stdout.clone();
    let crawled = ended.with_records(text);
    let scope = crawled.scope(IRELAND);
    assert_eq!((crawled.code, &scope["outcome"], &scope["listing"]), (130, &"cancelled".into(), &"complete".into()));
    assert_eq!((&scope["counts"]["not_attempted"], &scope["counts"]["described"]), (&50.into(), &0.into()));
}

fn interrupted_twice(mut crawl: Running, sim: &Simulator) {
    crawl.wait_for_line("run_started");
    requests_hang(sim);
    crawl.signal("INT");
    crawl.wait_for_message("interrupt again");
    let started = Instant::now();
    crawl.signal("INT");
    let ended = crawl.end();
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert_eq!(ended.code(), 130);
    contract::lines(&ended.stdout);
}

#[test]
fn the_second_interrupt_exits_at_once() {
    let (sim, home) = hanging();
    interrupted_twice(Dynacrawl::crawl_of(&sim, &home, IRELAND).args(["--grace", "10m"]).start(), &sim);
}

#[test]
fn an_interrupt_ends_a_scope_whose_listing_hangs() {
    let (sim, home) = ireland(50);
    sim.add_fault(FaultRule::new(Effect::Delay(Duration::from_secs(600))).operation(Operation::ListTables));
    let crawl = Dynacrawl::crawl_of(&sim, &home, IRELAND).start();
    crate::support::eventually("the listing is asked for", || sim.counts().requests(Operation::ListTables) > 0);
    crawl.signal("INT");
    let ended = crawl.end();
    let text = ended.stdout.clone();
    let crawled = ended.with_records(text);
    assert_eq!((crawled.code, &crawled.scope(IRELAND)["outcome"]), (130, &"cancelled".into()));
}

#[test]
fn an_interrupt_during_assume_role_ends_within_the_grace_time() {
    let (sim, home) = ireland(50);
    sim.add_fault(FaultRule::new(Effect::Delay(Duration::from_secs(600))).operation(Operation::AssumeRole));
    let role = format!("arn:aws:iam::{HOME}:role/Crawler");
    let crawl = Dynacrawl::crawl_of(&sim, &home, IRELAND).args(["--role-arn", &role, "--grace", "1s"]).start();
    crate::support::eventually("the role is assumed", || sim.counts().requests(Operation::AssumeRole) > 0);
    let started = Instant::now();
    crawl.signal("INT");
    let ended = crawl.end();
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    let text = ended.stdout.clone();
    let crawled = ended.with_records(text);
    assert_eq!((crawled.code, &crawled.scope(IRELAND)["outcome"]), (130, &"cancelled".into()));
}

#[test]
fn a_stalled_reader_does_not_stop_a_second_interrupt() {
    let (sim, home) = ireland(2_000);
    let mut crawl = Dynacrawl::crawl_of(&sim, &home, IRELAND).args(["--rate", "0", "--grace", "1s"]).start();
    crawl.wait_for_line("run_started");
    // The pipe is full long before the end.
    crate::support::eventually("the crawl stalls", || {
        let before = sim.counts().requests(Operation::DescribeTable);
        std::thread::park_timeout(Duration::from_millis(300));
        before > 20 && sim.counts().requests(Operation::DescribeTable) == before
    });
    crawl.signal("INT");
    crawl.wait_for_message("interrupt again");
    crawl.signal("INT");
    assert_eq!(crawl.end_unread().code(), 130);
}

#[test]
fn an_output_that_nobody_reads_does_not_delay_the_end() {
    let (sim, home) = ireland(2_000);
    let mut crawl = Dynacrawl::crawl_of(&sim, &home, IRELAND).args(["--rate", "0", "--grace", "1s"]).start();
    // From here on nobody reads: the pipe is soon full, and the crawl stalls.
    crawl.wait_for_line("run_started");
    crawl.signal("INT");
    let ended = crawl.end_unread();
    assert_eq!(ended.code(), 130);
}
