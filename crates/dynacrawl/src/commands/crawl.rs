//! `dynacrawl crawl`

use std::sync::Arc;
use std::time::Duration;

use dynacrawl_engine::{PreparedRun, Progress, RunPlan, StartError, crawl_to_output, deliver_in_time, summary};
use dynacrawl_model::RunOutcome;
use dynacrawl_sinks::SinkError;
use tokio_util::sync::CancellationToken;

use super::failure::Failure;
use super::planned::{Planned, plan};
use crate::cli::{CrawlArgs, GlobalArgs};
use crate::config::{Config, Flags, LogLevel};
use crate::exit::Exit;
use crate::signals::Signals;
use crate::terminal::Terminal;

/// How long writing what is left may take after the grace time.
const FLUSH_TIME: Duration = Duration::from_secs(5);

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
    let Planned { plan, config, simulator: _simulator } = plan(global, &flags, args.demo, |_| {}).await?;
    crawl_plan(&plan, &config, args.fresh, terminal).await
}

async fn crawl_plan(plan: &RunPlan, config: &Config, fresh: bool, terminal: &Terminal) -> Result<Exit, Failure> {
    let (crawl, quiet) = (&plan.settings.crawl, config.quiet);
    let _telemetry = terminal.show_messages(&config.log, LogLevel::WARN)?;
    let failed = |error: std::io::Error| Failure::new(Exit::SinkFailed, error);
    let mut signals = Signals::new().map_err(failed)?;
    let mut start = tokio::select! {
        start = PreparedRun::when_read(plan, fresh) => start.map_err(cannot_start)?,
        () = signals.first() => return Ok(Exit::Interrupted),
    };
    let state = start.state.clone();
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
        () = stuck(&stop, || crawl.grace) => return Ok(Exit::Interrupted),
        () = following => unreachable!("the progress line follows without end"),
    };
    let (report, written) = done;
    if !quiet && !matches!(written, Err(SinkError::Closed)) {
        terminal.write(&summary(&report, crawl.dry_run));
    }
    let interrupted = report.outcome == RunOutcome::Cancelled;
    if let Some(state) = state.filter(|_| !interrupted && written.is_ok()) {
        let mut signals = Signals::new().map_err(failed)?;
        let owed = tokio::select! {
            owed = deliver_in_time(&plan.settings, &state) => owed.map_err(|error| Failure::new(Exit::SinkFailed, error))?,
            () = signals.first() => return Ok(Exit::Interrupted),
        };
        if !owed.is_empty() {
            return Err(Failure::new(Exit::SinkFailed, undelivered(&owed)));
        }
    }
    match written {
        _ if interrupted => Ok(Exit::Interrupted),
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

fn undelivered(owed: &[(String, u64)]) -> anyhow::Error {
    let owed: Vec<_> = owed.iter().map(|(sink, owed)| format!("{sink} ({owed} events)")).collect();
    let owed = owed.join(", ");
    anyhow::anyhow!("not everything was delivered within crawl.deliver_within: {owed}; the next run delivers the rest")
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
