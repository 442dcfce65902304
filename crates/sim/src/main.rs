//! The simulator as a process of its own.

use std::process::ExitCode;

use clap::Parser;

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "dynacrawl-sim", version, about)]
struct Command {
    #[command(flatten)]
    args: dynacrawl_sim::Args,
}

fn main() -> ExitCode {
    match dynacrawl_sim::run(&Command::parse().args, true) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dynacrawl-sim: {error}");
            ExitCode::FAILURE
        }
    }
}
