//! The binary: parses the arguments, runs the command and returns its exit code.

use std::process::ExitCode;

use dynacrawl::cli::Cli;
use dynacrawl::exit::Exit;

/// A record costs about a hundred small allocations.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::from_process();
    // One thread: a crawl waits for the network, and passing work between threads costs more than
    // it gains.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            return Exit::SinkFailed.into();
        }
    };
    let ended = runtime.block_on(Box::pin(dynacrawl::commands::run(cli)));
    // After a second interrupt a task may still be writing; the process does not wait for it.
    runtime.shutdown_background();
    match ended {
        Ok(exit) => exit.into(),
        Err(failure) => {
            eprintln!("error: {failure}");
            failure.exit.into()
        }
    }
}
