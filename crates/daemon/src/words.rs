//! The daemon's log messages for people: the targets, the next runs, and how each run ended.

use dynacrawl_engine::settings::Target;
use dynacrawl_engine::{RunReport, changes, headline, warnings};
use dynacrawl_model::{Escaped, Outcome, RunOutcome};

use super::due::Due;
use super::queue::Job;
use super::settings::{DaemonSettings, MANUAL};

/// The most targets that are named.
const NAMED_TARGETS: usize = 20;

/// Logs the targets, and when the schedules run next.
pub(crate) fn log_plan(settings: &DaemonSettings, due: &[Due]) {
    let run = &settings.run;
    let single = run.targets.iter().map(|target| format!("{} ({})", Escaped(&target.name), regions(target)));
    let groups = run
        .groups
        .iter()
        .map(|group| format!("{} (organization, {})", Escaped(group.name()), regions(&group.discovery)));
    let mut targets: Vec<_> = single.chain(groups).collect();
    let more = targets.len().saturating_sub(NAMED_TARGETS);
    targets.truncate(NAMED_TARGETS);
    if more > 0 {
        targets.push(format!("{more} more"));
    }
    tracing::info!("targets: {}", targets.join(", "));
    for due in due {
        let schedule = Escaped(due.name()).to_string();
        match due.at {
            Some(at) => tracing::info!(schedule, "the next run of the schedule is at {at}"),
            None => tracing::warn!(schedule, "the schedule has no next run"),
        }
    }
}

fn regions(target: &Target) -> String {
    match (target.all_regions, &target.regions[..]) {
        (true, _) => "all enabled Regions".to_owned(),
        (false, [region]) => region.to_string(),
        (false, regions) => format!("{} Regions", regions.len()),
    }
}

/// Logs how a run ended, and why scopes are not complete.
pub(crate) fn log_result(job: &Job, report: &RunReport) {
    let schedule = Escaped(job.schedule.as_deref().unwrap_or(MANUAL)).to_string();
    let outcome = report.outcome.as_str();
    let result: Vec<_> = std::iter::once(headline(report, false)).chain(changes(report)).collect();
    let result = result.join("; ");
    match report.outcome {
        RunOutcome::Complete => tracing::info!(schedule, outcome, "the run is complete: {result}"),
        RunOutcome::Partial => tracing::warn!(schedule, outcome, "the run is partial: {result}"),
        RunOutcome::Failed => tracing::error!(schedule, outcome, "the run failed: {result}"),
        RunOutcome::Cancelled => tracing::warn!(schedule, outcome, "the run was interrupted: {result}"),
    }
    for ended in report.notable.iter().filter(|ended| ended.completed.outcome != Outcome::Complete) {
        let (scope, outcome) = (&ended.scope, ended.completed.outcome.as_str());
        let problem = ended.completed.problems.first();
        let (code, message) = problem.map_or(("", ""), |problem| (&*problem.code, &*problem.message));
        let (code, message) = (Escaped(code).to_string(), Escaped(message).to_string());
        tracing::warn!(%scope, outcome, code, "{scope} is not complete: {outcome}: {message}");
    }
    for failed in &report.failed_targets {
        let (target, code) = (Escaped(&failed.target).to_string(), Escaped(&failed.code).to_string());
        let message = Escaped(&failed.message).to_string();
        tracing::warn!(
            target_name = target,
            code,
            "the accounts and Regions of the target {target} are unknown: {message}"
        );
    }
    for warning in warnings(report, &str::to_owned) {
        tracing::warn!(schedule, "{warning}");
    }
}
