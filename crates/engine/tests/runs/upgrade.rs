//! A state of an older version, with a run that was killed midway.

use std::sync::Arc;
use std::time::Duration;

use dynacrawl_engine::{PreparedRun, Progress, crawl_to_output};
use dynacrawl_model::RunOutcome;
use dynacrawl_sim::{Account, Estate, InProcess, Operation, Options};
use dynacrawl_testing::inside::{config, plan_with};
use rusqlite::Connection;
use tokio_util::sync::CancellationToken;

const INTERRUPTED: &str = "01M8G8Q7D3SEWG6S0QJX7XM138";

#[tokio::test(start_paused = true)]
async fn an_interrupted_run_of_another_output_format_is_abandoned() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("state.db");
    let state = Connection::open(&path).expect("a file");
    state.execute_batch(include_str!("../../../state/src/tests/version3.sql")).expect("an old state");
    let settings = format!(
        "[state]\npath = \"{}\"\n[crawl]\noutput = \"/dev/null\"\n[[target]]\nname = \"one\"\n\
         regions = [\"us-east-1\", \"us-east-2\"]\n",
        path.display()
    );
    // The dump has the output and endpoints of another machine, and is now older than an
    // interrupted run may be.
    let of_today = "UPDATE runs SET config_digest = ?, output = '/dev/null', output_template = '/dev/null', \
                    is_replaced = 0, updated_at = unixepoch() * 1000 WHERE ended_at IS NULL";
    let options = Options { verify_signatures: false, latency: Duration::from_millis(20), ..Options::default() };
    let simulator = InProcess::new(Estate::uniform(1, 2, 12), &options);
    let plan = plan_with(&simulator, config(&settings), |_| Account::new(Estate::uniform_account_id(0)));
    assert_eq!(state.execute(of_today, [plan.digest()]).expect("written"), 1);
    drop(state);
    let start = PreparedRun::new(&plan, false).expect("a start");
    assert_ne!(start.run_id.as_str(), INTERRUPTED, "one file does not have two formats");
    let (stop, progress) = (CancellationToken::new(), Arc::new(Progress::default()));
    let (report, written) = crawl_to_output(&plan, start, &stop, &progress).await;
    written.expect("written");
    assert_eq!((report.outcome, report.scopes.complete), (RunOutcome::Complete, 2), "{:?}", report.notable);
    assert_eq!((report.counts.listed, report.counts.described), (24, 24));
    // Every table is as the state has it, however that version computed its fingerprint.
    assert_eq!(simulator.counts().requests(Operation::DescribeTable), 24);
    assert_eq!(report.changes, Some(Default::default()));
    let state = Connection::open(&path).expect("the state");
    let ended = "SELECT outcome FROM runs WHERE run_id = ?";
    let outcome: String = state.query_row(ended, [INTERRUPTED], |row| row.get(0)).expect("a run");
    assert_eq!(outcome, "abandoned");
}
