//! Outputs that have no reader yet.

use std::time::Duration;

use dynacrawl_engine::{PreparedRun, StartError};
use dynacrawl_sim::{Estate, InProcess, Options};
use dynacrawl_sinks::SinkError;
use dynacrawl_state::State;
use dynacrawl_testing::inside::{config, plan_of};
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn a_run_waits_a_minute_for_a_reader_and_changes_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let (fifo, state) = (directory.path().join("fifo"), directory.path().join("state.db"));
    // No child process makes the FIFO: until it executes its program, it holds the locks of
    // concurrent tests.
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).expect("a FIFO");
    let simulator = InProcess::new(Estate::new([]), &Options::default());
    let target = "[[target]]\nname = \"hub\"\nregions = [\"eu-west-1\"]\n";
    let settings = |output: &str| {
        let text = format!("[crawl]\noutput = \"{output}\"\n[state]\npath = \"{}\"\n{target}", state.display());
        plan_of(&simulator, config(&text))
    };
    let interrupted = PreparedRun::new(&settings("/dev/null"), false).expect("begun").run_id;
    let began = Instant::now();
    let refused =
        PreparedRun::when_read(&settings(&fifo.display().to_string()), false).await.expect_err("there is no reader");
    assert!(matches!(&refused, StartError::Output(SinkError::NoReader { .. })) && refused.may_pass(), "{refused:?}");
    assert!((Duration::from_secs(60)..Duration::from_secs(61)).contains(&began.elapsed()), "{:?}", began.elapsed());
    let unfinished = State::open(&state).expect("free again").unfinished().expect("read").expect("a run");
    assert_eq!(unfinished.run_id, interrupted);
}
