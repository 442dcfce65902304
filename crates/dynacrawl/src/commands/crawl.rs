//! `dynacrawl crawl`

use std::sync::Arc;
use std::time::Duration;

use dynacrawl_engine::{
    Owed, PreparedRun, Progress, ProgressNow, RunPlan, StartError, SummarySettings, crawl_to_output, deliver_in_time,
    summary, without_place,
};
use dynacrawl_model::{Escaped, Outcome, Problem, Region, RunOutcome};
use dynacrawl_sinks::SinkError;
use tokio_util::sync::CancellationToken;

use super::failure::Failure;
use super::planned::{Planned, plan};
use crate::advice::Origin;
use crate::cli::{CrawlArgs, GlobalArgs, Typed};
use crate::config::{Config, Flags, LogLevel};
use crate::exit::Exit;
use crate::signals::Signals;
use crate::terminal::Terminal;

/// How long dynacrawl may take after the grace time to write what is left.
const FLUSH_TIME: Duration = Duration::from_secs(5);

pub(super) async fn crawl(global: &GlobalArgs, args: &CrawlArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    let flags = Flags {
        target: Some(&args.target),
        filter: Some(&args.filter),
        speed: Some(&args.speed),
        output: Some(&args.output),
        state: Some(&args.state),
        endpoints: Some(&args.endpoints),
        sinks: Some(&args.sinks),
        ..Flags::default()
    };
    let Planned { plan, config, simulator: _simulator } = plan(global, &flags, args.demo, |_| {}).await?;
    config.read_sink_secrets()?;
    let _telemetry = terminal.show_messages(&config.log, LogLevel::WARN)?;
    warn(global, &config);
    crawl_plan(&plan, &config, args.fresh, terminal, &global.typed).await
}

async fn crawl_plan(
    plan: &RunPlan,
    config: &Config,
    fresh: bool,
    terminal: &Terminal,
    typed: &Typed,
) -> Result<Exit, Failure> {
    let (crawl, quiet) = (&plan.settings.crawl, config.quiet);
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
    let output = start.output.path().map(as_typed);
    let partial = start.output.partial().map(|path| as_typed(&path.display().to_string()));
    let stop = CancellationToken::new();
    let progress = Arc::new(Progress::default());
    let notice = || {
        terminal.write("interrupted: waiting for the requests in flight; interrupt again to end at once\n");
    };
    let following = async { if quiet { std::future::pending().await } else { terminal.follow(&progress).await } };
    let done = tokio::select! {
        done = crawl_to_output(plan, start, &stop, &progress) => done,
        () = signals.second(&stop, notice) => return Ok(Exit::Interrupted),
        () = stuck(&stop, || crawl.grace) => return Ok(Exit::Interrupted),
        () = following => unreachable!("the progress line follows without end"),
    };
    let (report, written) = done;
    match &written {
        Ok(_) if !quiet => {
            let settings = SummarySettings {
                dry_run: crawl.dry_run,
                output: output
                    .as_deref()
                    .filter(|_| matches!(report.outcome, RunOutcome::Complete | RunOutcome::Partial)),
                advice: &|problem, outcome, region, target| advice(plan, problem, outcome, region, target),
                rename: &|text| typed.rename(text),
            };
            terminal.write(&summary(&report, &settings));
        }
        Ok(_) | Err(SinkError::Closed) => {}
        Err(_) => terminal.write(&how_far(&progress.now(), output.as_deref(), partial.as_deref())),
    }
    let interrupted = report.outcome == RunOutcome::Cancelled;
    let mut without = report.without_place.clone();
    if let Some(state) = state.filter(|_| !interrupted && written.is_ok()) {
        let mut signals = Signals::new().map_err(failed)?;
        let owed = tokio::select! {
            owed = deliver_in_time(&plan.settings, &plan.request.sinks, &state) => owed.map_err(|error| Failure::new(Exit::SinkFailed, error))?,
            () = signals.first() => return Ok(Exit::Interrupted),
        };
        if !owed.is_empty() {
            return Err(Failure::new(Exit::SinkFailed, undelivered(&owed)));
        }
        without = without_place(&plan.settings, &plan.request.sinks, &state)
            .map_err(|error| Failure::new(Exit::SinkFailed, error))?;
    }
    for (sink, scope) in &without {
        terminal.write(&format!("sink.{sink} has no connection for {scope} (connections): its tables were not sent\n"));
    }
    match written {
        _ if interrupted => Ok(Exit::Interrupted),
        Ok(_) => Ok(match exit(report.outcome) {
            Exit::Complete if !without.is_empty() => Exit::Partial,
            other => other,
        }),
        Err(SinkError::Closed) => Ok(Exit::Complete),
        Err(error) => Err(Failure::new(Exit::SinkFailed, error)),
    }
}

/// A path relative to the working directory, as the user most likely typed it.
fn as_typed(path: &str) -> String {
    let here = std::env::current_dir().ok();
    let relative =
        here.and_then(|here| std::path::Path::new(path).strip_prefix(here).ok().map(|path| path.display().to_string()));
    relative.unwrap_or_else(|| path.to_owned())
}

/// How far a run got before its output failed.
fn how_far(now: &ProgressNow, output: Option<&str>, partial: Option<&str>) -> String {
    let mut text = format!(
        "the run ended early: {} of {} scopes had ended, and {} {} described\n",
        now.scopes_ended,
        now.scopes_planned,
        now.described,
        if now.described == 1 { "table was" } else { "tables were" }
    );
    if let (Some(output), Some(partial)) = (output, partial) {
        let (output, partial) = (Escaped(output), Escaped(partial));
        text.push_str(&format!("{output} is unchanged; {partial} has the lines that were written\n"));
    }
    text
}

/// What to do about a problem of a target.
fn advice(
    plan: &RunPlan,
    problem: &Problem,
    outcome: Outcome,
    region: Option<&Region>,
    target: &str,
) -> Option<String> {
    let origin = match plan.groups.iter().find(|(group, _)| group.has(target)) {
        Some((group, _)) if group.name() == target => {
            return crate::advice::organization(problem, outcome, group);
        }
        Some((group, _)) => Origin::of_group(group),
        None => plan
            .targets
            .iter()
            .find(|ready| ready.target.name == target)
            .map_or_else(Origin::default, |ready| Origin::of(&ready.target)),
    };
    crate::advice::of_problem(problem, outcome, region, &origin)
}

/// Logs what is unusual about the settings, but not an error.
pub(super) fn warn(global: &GlobalArgs, config: &Config) {
    warn_of(global, config, config.warnings());
}

/// Logs warnings about the settings, and about variables that dynacrawl does not read.
pub(super) fn warn_of(global: &GlobalArgs, config: &Config, warnings: Vec<String>) {
    let unknown = global.typed.unknown_variables.iter().filter(|unknown| !config.variables.contains(&unknown.name));
    for warning in unknown.map(|unknown| unknown.message.clone()).chain(warnings) {
        tracing::warn!("{}", global.typed.rename(&warning));
    }
}

/// Ends some time after the grace time of an interrupt. If the run has not ended by then, its
/// output is blocked, because nothing reads it.
pub(super) async fn stuck(stop: &CancellationToken, grace: impl Fn() -> Duration) {
    stop.cancelled().await;
    tokio::time::sleep(grace() + FLUSH_TIME).await;
}

fn undelivered(owed: &[(String, Owed)]) -> anyhow::Error {
    let owed: Vec<_> = owed.iter().map(|(sink, owed)| format!("{sink} ({owed})")).collect();
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
    // The user has to correct what cannot be used; a full disk, a missing mount or a file in use
    // may pass.
    Failure::new(if error.may_pass() { Exit::SinkFailed } else { Exit::Usage }, error)
}
