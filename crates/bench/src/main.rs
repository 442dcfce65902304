//! dynacrawl-bench: how much a crawl costs, beside the least that any client could cost, in one run.
//!
//! Three processes, all of this program: the simulator, the crawl with the real pipeline, and the floor, a raw HTTP client
//! that sends the same requests and throws the answers away. Their CPU time is counted apart. On request the peers follow,
//! what others would run for the same tables.

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

/// The crawler's allocator, so that the same is measured.
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
