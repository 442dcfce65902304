//! dynacrawl-bench: compares the cost of a crawl with the least cost of any client, in one run.
//!
//! The program starts three processes of itself: the simulator, the crawl with the real pipeline,
//! and the floor, a raw HTTP client that sends the same requests and discards the answers. Their
//! CPU time is measured separately. On request the peers follow: other tools that crawl the same
//! tables.

mod args;
mod crawl;
mod crawler;
mod floor;
mod measure;
mod peers;
mod processes;
mod report;
mod state;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Part};

/// The crawler's allocator, so that the measurements apply to the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.part {
        None => processes::run(&cli.estate),
        Some(Part::Simulator(args)) => dynacrawl_sim::run(&args, false).map_err(Into::into),
        Some(Part::Crawl { config }) => crawl::run(&config),
        Some(Part::Floor { url, requests, connections, access_key_id, region }) => {
            floor::run(&url, requests, connections, &access_key_id, &region)
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
