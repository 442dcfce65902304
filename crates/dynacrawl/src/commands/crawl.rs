//! `dynacrawl crawl`

use std::sync::Arc;
use std::time::Duration;

use dynacrawl_model::RunOutcome;
use dynacrawl_sinks::{SinkError, Written, write_records};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{Failure, plan};
use crate::cli::{CrawlArgs, GlobalArgs};
use crate::config::{Flags, LogLevel};
use crate::exit::Exit;
use crate::run::{self, PreparedRun, Progress, RunHistory, RunPlan, RunReport, ScopeError, StartError};
use crate::signals::Signals;
use crate::summary::summary;
use crate::terminal::Terminal;

/// How long writing what is left may take after the grace time.
const FLUSH_TIME: Duration = Duration::from_secs(5);
/// How many records wait for the sink.
const QUEUED_RECORDS: usize = 256;

pub(super) async fn crawl(global: &GlobalArgs, args: &CrawlArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    let flags = Flags {
        target: Some(&args.target),
        filter: Some(&args.filter),
        speed: Some(&args.speed),
        output: Some(&args.output),
        state: Some(&args.state),
        endpoints: Some(&args.endpoints),
        ..Flags::default()
    };
    let (plan, _simulator) = plan(global, &flags, args.demo, |_| {}).await?;
    crawl_plan(&plan, args.fresh, terminal).await
}

async fn crawl_plan(plan: &RunPlan, fresh: bool, terminal: &Terminal) -> Result<Exit, Failure> {
    let config = plan.config();
    let quiet = config.crawl.quiet;
    let _telemetry = terminal.show_messages(config, LogLevel::WARN)?;
    let failed = |error: std::io::Error| Failure::new(Exit::SinkFailed, error);
    let mut signals = Signals::new().map_err(failed)?;
    let mut start = tokio::select! {
        start = PreparedRun::when_read(config, fresh) => start.map_err(cannot_start)?,
        () = signals.first() => return Ok(Exit::Interrupted),
    };
    if let Some(notice) = start.notice.take().filter(|_| !quiet) {
        terminal.write(&notice);
    }
    let stop = CancellationToken::new();
    let progress = Arc::new(Progress::default());
    let notice = || {
        terminal.write("interrupted: finishing what is under way; interrupt again to end at once\n");
    };
    let following = async { if quiet { std::future::pending().await } else { terminal.follow(&progress).await } };
    let done = tokio::select! {
        done = crawl_to_output(plan, start, &stop, &progress) => done,
        () = signals.second(&stop, notice) => return Ok(Exit::Interrupted),
        () = stuck(&stop, || config.crawl.grace) => return Ok(Exit::Interrupted),
        () = following => unreachable!("the progress line follows without end"),
    };
    let (report, written) = done;
    if !quiet && !matches!(written, Err(SinkError::Closed)) {
        terminal.write(&summary(&report, config.crawl.dry_run));
    }
    match written {
        _ if report.outcome == RunOutcome::Cancelled => Ok(Exit::Interrupted),
        Ok(_) => Ok(exit(report.outcome)),
        Err(SinkError::Closed) => Ok(Exit::Complete),
        Err(error) => Err(Failure::new(Exit::SinkFailed, error)),
    }
}

/// Ends some time after the grace time of an interrupt: then the output takes nothing any more, and nobody reads what is
/// left.
pub(super) async fn stuck(stop: &CancellationToken, grace: impl Fn() -> Duration) {
    stop.cancelled().await;
    tokio::time::sleep(grace() + FLUSH_TIME).await;
}

/// Crawls into an output, and puts the output in its place if the crawl deserves it.
pub async fn crawl_to_output(
    plan: &RunPlan,
    start: PreparedRun,
    stop: &CancellationToken,
    progress: &Arc<Progress>,
) -> (RunReport, Result<Written, SinkError>) {
    let PreparedRun { run_id, output, mut journal, detector, old_files, before, .. } = start;
    let remembered = RunHistory { before, journaled: journal.is_some(), detector: detector.map(Arc::new) };
    let (records, queue) = mpsc::channel(QUEUED_RECORDS);
    progress.queue(records.downgrade());
    let (mut report, written) = tokio::join!(
        Box::pin(run::run(plan, run_id, remembered, records, stop, progress))
            .instrument(tracing::debug_span!("run", %run_id)),
        write_records(&output, plan.config().crawl.layout, queue, &mut journal),
    );
    let ended = report.ended_by.is_none() && report.outcome != RunOutcome::Cancelled;
    let written = match report.ended_by.take() {
        Some(ScopeError::State(error)) => Err(SinkError::Journal(error.into())),
        Some(ScopeError::OutputClosed) | None => written,
    };
    let whole = ended && matches!(report.outcome, RunOutcome::Complete | RunOutcome::Partial);
    let finished = output.finish(whole && written.is_ok()).await;
    let mut written = written.and_then(|written| finished.map(|()| written));
    // Only now: killed before, a later process finds the run unfinished, and its output where it was.
    // A reader that has seen enough will not come back for the rest.
    let outcome = match &written {
        Ok(_) if ended => Some(report.outcome),
        Err(SinkError::Closed) => Some(RunOutcome::Cancelled),
        _ => None,
    };
    if let (Some(outcome), Some(journal)) = (outcome, journal) {
        match journal.end(outcome, written.is_ok()).await {
            Ok(()) => {
                if let Some(files) = old_files.filter(|_| written.is_ok()) {
                    files.delete().await;
                }
            }
            Err(error) => written = Err(SinkError::Journal(error)),
        }
    }
    (report, written)
}

fn exit(outcome: RunOutcome) -> Exit {
    match outcome {
        RunOutcome::Complete => Exit::Complete,
        RunOutcome::Partial => Exit::Partial,
        RunOutcome::Failed => Exit::NothingListed,
        RunOutcome::Cancelled => Exit::Interrupted,
    }
}

pub(super) fn cannot_start(error: StartError) -> Failure {
    // What cannot be used is the user's to correct; a full disk, a missing mount, or a file in use may pass.
    Failure::new(if error.may_pass() { Exit::SinkFailed } else { Exit::Usage }, error)
}
