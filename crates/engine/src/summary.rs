//! What a run's end looks like to a person.

use std::fmt::Write;

use dynacrawl_model::{Counts, Escaped, Outcome, Problem, RequestCounts};

use super::report::RunReport;
use super::run_event::CompletedScope;

/// How many of a scope's tables are named.
const NAMED_TABLES: usize = 5;
/// How many scopes are told about.
const NAMED_SCOPES: usize = 40;

/// The summary, with a line end.
pub fn summary(report: &RunReport, dry_run: bool) -> String {
    let mut text = String::new();
    let scopes = &report.scopes;
    let seconds = report.duration.as_secs_f64();
    let _ = write!(text, "{} of {} scopes complete", scopes.complete, scopes.planned);
    if scopes.targets_failed > 0 {
        let _ = write!(text, ", {} targets without", scopes.targets_failed);
    }
    text.push_str(": ");
    text.push_str(&tables(&report.counts, dry_run));
    let RequestCounts { sent, throttled } = report.requests.all();
    let _ = write!(text, "; {sent} requests");
    if throttled > 0 {
        let _ = write!(text, ", {throttled} throttled");
    }
    let _ = writeln!(text, ", {seconds:.1} s");
    for target in report.failed_targets.iter().take(NAMED_SCOPES) {
        let (outcome, name) = (word(target.outcome), Escaped(&target.target));
        let _ = writeln!(text, "  {outcome:<19} {name}: its scopes could not be found out");
        let _ = writeln!(text, "      {}: {}", Escaped(&target.code), Escaped(&target.message));
    }
    let mut notable = report.notable.iter().collect::<Vec<_>>();
    notable.sort_by_key(|ended| (&ended.completed.target, &ended.scope.region));
    for scope in notable.iter().take(NAMED_SCOPES) {
        one_scope(&mut text, scope, dry_run);
    }
    if notable.len() > NAMED_SCOPES {
        let _ = writeln!(text, "  and more; every scope has its scope_completed record in the output");
    }
    text
}

fn tables(counts: &Counts, dry_run: bool) -> String {
    let mut text = format!("{} tables listed", counts.listed);
    let mut part = |count: u64, what: &str| {
        if count > 0 {
            let _ = write!(text, ", {count} {what}");
        }
    };
    part(counts.unselected, "unselected");
    if dry_run {
        part(counts.selected, "selected");
    } else {
        part(counts.described, "described");
        part(counts.not_attempted, "not attempted");
    }
    part(counts.denied, "denied");
    part(counts.throttled, "throttled");
    part(counts.vanished, "vanished");
    part(counts.failed, "failed");
    text
}

fn one_scope(text: &mut String, ended: &CompletedScope, dry_run: bool) {
    let CompletedScope { scope, completed, .. } = ended;
    let (outcome, target) = (word(completed.outcome), Escaped(&completed.target));
    let _ = writeln!(text, "  {outcome:<19} {scope} ({target}): {}", tables(&completed.counts, dry_run));
    for problem in &completed.problems {
        one_problem(text, problem);
    }
}

fn one_problem(text: &mut String, problem: &Problem) {
    text.push_str("      ");
    if let Some(operation) = problem.operation {
        let _ = write!(text, "{} ", operation.name());
    }
    let _ = write!(text, "{}: {}", Escaped(&problem.code), Escaped(&problem.message));
    if !problem.table_names.is_empty() {
        let named: Vec<_> =
            problem.table_names.iter().take(NAMED_TABLES).map(|name| Escaped(name).to_string()).collect();
        let _ = write!(text, " [{}", named.join(", "));
        let more = problem.table_count.saturating_sub(named.len() as u64);
        if more > 0 {
            let _ = write!(text, " and {more} more");
        }
        text.push(']');
    }
    text.push('\n');
}

fn word(outcome: Outcome) -> String {
    outcome.as_str().replace('_', " ")
}
