//! The output of a crawl, and what remains of it.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::thread;

use dynacrawl_sim::{Denial, Operation};

use crate::command::Dynacrawl;
use crate::contract;
use crate::support::{HOME, IRELAND, ireland};

#[test]
fn a_complete_and_a_partial_crawl_replace_the_file() {
    let (sim, home) = ireland(30);
    let crawl = || Dynacrawl::crawl_of(&sim, &home, IRELAND).args(["--output", "out.jsonl"]).file("out.jsonl", "old\n");
    let complete = crawl().records_in("out.jsonl");
    assert_eq!((complete.code, complete.names().len()), (0, 30));
    assert!(!complete.home.path().join("out.jsonl.partial").exists());
    sim.deny(Denial::new(HOME, Operation::DescribeTable).table("table-000003"));
    let partial = crawl().records_in("out.jsonl");
    assert_eq!((partial.code, partial.names().len()), (3, 29));
    assert!(!partial.home.path().join("out.jsonl.partial").exists());
}

#[test]
fn a_crawl_that_lists_nothing_keeps_the_file() {
    let (sim, home) = ireland(30);
    sim.deny(Denial::new(HOME, Operation::ListTables));
    let crawl = Dynacrawl::crawl_of(&sim, &home, IRELAND).args(["--output", "out.jsonl"]).file("out.jsonl", "old\n");
    let crawled = crawl.records_in("out.jsonl.partial");
    assert_eq!(crawled.code, 4);
    assert_eq!(fs::read_to_string(crawled.home.path().join("out.jsonl")).expect("it is there"), "old\n");
    assert_eq!(crawled.scope(IRELAND)["outcome"], "denied");
}

#[test]
fn a_partial_file_of_an_earlier_crawl_is_overwritten() {
    let (sim, home) = ireland(3);
    let left = "x".repeat(1_000_000);
    let crawl =
        Dynacrawl::crawl_of(&sim, &home, IRELAND).args(["--output", "out.jsonl"]).file("out.jsonl.partial", &left);
    assert_eq!(crawl.records_in("out.jsonl").code, 0);
}

#[test]
fn a_link_stays_a_link() {
    let (sim, home) = ireland(3);
    let crawl = Dynacrawl::crawl_of(&sim, &home, IRELAND).args(["-o", "link"]).file("target.jsonl", "old\n");
    symlink("target.jsonl", crawl.path("link")).expect("a link");
    let crawled = crawl.records_in("target.jsonl");
    assert_eq!(crawled.code, 0);
    assert!(crawled.home.path().join("link").is_symlink());
}

#[test]
fn a_fifo_is_written_directly() {
    let (sim, home) = ireland(300);
    let crawl = Dynacrawl::crawl_of(&sim, &home, IRELAND).args(["--rate", "0", "--output", "fifo"]);
    let fifo = crawl.path("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().expect("mkfifo is there").success());
    let reader = thread::spawn(move || fs::read_to_string(fifo).expect("the pipe can be read"));
    let ended = crawl.run();
    assert!(!ended.home.path().join("fifo.partial").exists());
    let crawled = ended.with_records(reader.join().expect("it was read"));
    assert_eq!((crawled.code, crawled.names().len()), (0, 300));
}

#[test]
fn a_closed_standard_output_ends_the_crawl_quietly() {
    let (sim, home) = ireland(2_000);
    let mut crawl = Dynacrawl::crawl_of(&sim, &home, IRELAND).args(["--rate", "0"]).start();
    crawl.wait_for_line("run_started");
    crawl.close_stdout();
    let ended = crawl.end();
    assert_eq!((ended.code(), ended.stderr.as_str()), (0, ""));
    assert!(sim.counts().requests(Operation::DescribeTable) < 2_000, "it stopped without a reader");
}

#[test]
fn quiet_prints_no_summary() {
    let (sim, home) = ireland(3);
    let loud = Dynacrawl::crawl_of(&sim, &home, IRELAND).records();
    assert!(
        loud.stderr.starts_with("1 of 1 scopes complete: 3 tables listed, 3 described; 4 requests"),
        "{}",
        loud.stderr
    );
    let quiet = Dynacrawl::crawl_of(&sim, &home, IRELAND).arg("--quiet").records();
    assert_eq!(quiet.stderr, "");
}

#[test]
fn a_file_that_another_crawl_is_writing_is_not_touched() {
    let (sim, home) = ireland(100);
    sim.set_latency(HOME, IRELAND, std::time::Duration::from_secs(3)).expect("the Region is there");
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("out.jsonl");
    let crawl = || Dynacrawl::crawl_of(&sim, &home, IRELAND).arg("--output").arg(&file);
    let first = crawl().start();
    let partial = directory.path().join("out.jsonl.partial");
    crate::support::eventually("the first crawl writes", || partial.metadata().is_ok_and(|file| file.len() > 0));
    crawl().run().fails_with(5, "another run");
    sim.set_latency(HOME, IRELAND, std::time::Duration::ZERO).expect("the Region is there");
    assert_eq!(first.end().code(), 0);
    let text = fs::read_to_string(file).expect("the file is there");
    assert_eq!(contract::check(&text, 0, "").len(), 103);
}
