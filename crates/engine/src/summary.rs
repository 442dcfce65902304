//! The summary of a run, for people.

use std::collections::BTreeSet;
use std::fmt::Write;

use dynacrawl_model::{ChangeCounts, Counts, Escaped, Outcome, Problem, Region, RequestCounts, RunOutcome};

use super::report::RunReport;
use super::run_event::CompletedScope;

/// The most tables of a scope that are named.
const NAMED_TABLES: usize = 5;
/// The most scopes and targets that are named.
const NAMED_SCOPES: usize = 40;
/// The most held scopes that the command to accept them names.
const NAMED_HELD: usize = 5;

/// What to do about a problem, by its outcome and the Region and target that it is about.
pub type Advice<'a> = &'a dyn Fn(&Problem, Outcome, Option<&Region>, &str) -> Option<String>;

/// What the summary of a run needs besides its report.
pub struct SummarySettings<'a> {
    /// Whether tables were only listed.
    pub dry_run: bool,
    /// Where the records are; `None` for standard output.
    pub output: Option<&'a str>,
    /// What to do about a problem.
    pub advice: Advice<'a>,
    /// Replaces the name of a setting, such as `crawl.include (--include)`, by what the user typed.
    pub rename: &'a dyn Fn(&str) -> String,
}

/// The summary, with a newline at its end.
pub fn summary(report: &RunReport, settings: &SummarySettings<'_>) -> String {
    let mut text = headline(report, settings.dry_run);
    text.push('\n');
    let wrote = settings.output.map(|output| format!("wrote {}", Escaped(output)));
    let parts: Vec<_> = changes(report).into_iter().chain(wrote).collect();
    if !parts.is_empty() {
        let _ = writeln!(text, "{}", parts.join("; "));
    }
    let mut advised = BTreeSet::new();
    for failed in report.failed_targets.iter().take(NAMED_SCOPES) {
        let (outcome, name) = (word(failed.outcome), Escaped(&failed.target));
        let _ = writeln!(text, "  {outcome:<19} {name}: its accounts and Regions are unknown");
        let problem = Problem::new(failed.code.as_str(), failed.message.as_str());
        let advice = (settings.advice)(&problem, failed.outcome, None, &failed.target);
        one_problem(&mut text, &problem, advice, settings, &mut advised);
    }
    let mut notable = report.notable.iter().collect::<Vec<_>>();
    notable.sort_by_key(|ended| (&ended.completed.target, &ended.scope.region));
    for scope in notable.iter().take(NAMED_SCOPES) {
        one_scope(&mut text, scope, settings, &mut advised);
    }
    if notable.len() > NAMED_SCOPES {
        let _ = writeln!(text, "  and more: the scope_completed records in the output have all of them");
    }
    for warning in warnings(report, settings.rename) {
        let _ = writeln!(text, "warning: {warning}");
    }
    if !advised.is_empty() || report.outcome == RunOutcome::Failed {
        let _ = writeln!(text, "run `dynacrawl check` with the same target options to find out more");
    }
    text
}

/// The result of a run in one line.
pub fn headline(report: &RunReport, dry_run: bool) -> String {
    let mut text = String::new();
    let scopes = &report.scopes;
    let seconds = report.duration.as_secs_f64();
    let _ = write!(text, "{} of {} scopes complete", scopes.complete, scopes.planned);
    if scopes.targets_failed > 0 {
        let _ = write!(text, ", {} failed", counted(scopes.targets_failed, "target"));
    }
    text.push_str(": ");
    text.push_str(&tables(&report.counts, dry_run));
    let RequestCounts { sent, throttled } = report.requests.all();
    let _ = write!(text, "; {}", counted(sent, "request"));
    if throttled > 0 {
        let _ = write!(text, ", {throttled} throttled");
    }
    let _ = write!(text, ", {seconds:.1} s");
    text
}

/// What changed, with the command that accepts what is held back. `None` without a state.
pub fn changes(report: &RunReport) -> Option<String> {
    let ChangeCounts { added, changed, recreated, removed, unselected, held } = report.changes?;
    let retirements = report.retirements_held.as_ref();
    let retirements_held = retirements.map_or(0, |held| held.count);
    if [added, changed, recreated, removed, unselected, held, report.scopes_retired, retirements_held] == [0; 8] {
        return Some("no changes".to_owned());
    }
    let mut text = format!("+{added} ~{changed} \u{2212}{removed}");
    let mut part = |count: u64, what: &str| {
        if count > 0 {
            let _ = write!(text, ", {count} {what}");
        }
    };
    part(recreated, "recreated");
    part(unselected, "unselected");
    part(held, &format!("held{}", accept("--accept-removals", held_scopes(report))));
    part(report.scopes_retired, "scopes retired");
    let scopes = retirements.map(|held| held.scopes.iter().map(ToString::to_string).collect()).unwrap_or_default();
    part(retirements_held, &format!("retirements held{}", accept("--accept-retirements", scopes)));
    Some(text)
}

fn held_scopes(report: &RunReport) -> Vec<String> {
    let is_held = |ended: &&CompletedScope| ended.completed.change_counts.is_some_and(|changes| changes.held > 0);
    report.notable.iter().filter(is_held).map(|ended| ended.scope.to_string()).collect()
}

fn accept(flag: &str, mut scopes: Vec<String>) -> String {
    scopes.sort_unstable();
    let more = scopes.len().saturating_sub(NAMED_HELD);
    scopes.truncate(NAMED_HELD);
    match (scopes.is_empty(), more) {
        (true, _) => String::new(),
        (false, 0) => format!(" (accept with {flag} {})", scopes.join(",")),
        (false, more) => format!(" (accept with {flag} {} and {more} more)", scopes.join(",")),
    }
}

/// What the user requested that had no effect. `rename` replaces the name of a setting by what the
/// user typed.
pub fn warnings(report: &RunReport, rename: &dyn Fn(&str) -> String) -> Vec<String> {
    let mut warnings = Vec::new();
    if !matches!(report.outcome, RunOutcome::Complete | RunOutcome::Partial) {
        return warnings;
    }
    let counts = &report.counts;
    if counts.listed > 0 && counts.selected == 0 {
        let listed = counted(counts.listed, "table");
        warnings.push(format!("the filters (--include, --exclude) select none of the {listed}"));
    } else if report.scopes.complete == report.scopes.planned {
        let setting = rename("crawl.include (--include)");
        let unmatched = &report.without_effect.includes;
        warnings.extend(unmatched.iter().map(|include| format!("{setting}: '{include}' matches no table")));
    }
    let accepted = &report.without_effect.accepted;
    for (account, region) in &accepted.removals {
        warnings
            .push(format!("--accept-removals {account}/{region} has no effect: this run does not crawl that scope"));
    }
    for (account, region) in accepted.retirements.iter().filter(|_| report.retirements_held.is_some()) {
        warnings.push(format!(
            "--accept-retirements {account}/{region} has no effect: the configuration covers that scope, or the state does not \
             have it"
        ));
    }
    warnings
}

fn tables(counts: &Counts, dry_run: bool) -> String {
    let mut text = format!("{} listed", counted(counts.listed, "table"));
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

fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn one_scope(
    text: &mut String,
    ended: &CompletedScope,
    settings: &SummarySettings<'_>,
    advised: &mut BTreeSet<String>,
) {
    let CompletedScope { scope, completed, .. } = ended;
    let (outcome, target) = (word(completed.outcome), Escaped(&completed.target));
    let name = scope.account_name.as_deref().map(|name| format!(", {}", Escaped(name))).unwrap_or_default();
    let tables = tables(&completed.counts, settings.dry_run);
    let _ = writeln!(text, "  {outcome:<19} {scope} ({target}{name}): {tables}");
    for problem in &completed.problems {
        let advice = (settings.advice)(problem, completed.outcome, Some(&scope.region), &completed.target);
        one_problem(text, problem, advice, settings, advised);
    }
}

/// Writes a problem. The same advice is given only once.
fn one_problem(
    text: &mut String,
    problem: &Problem,
    advice: Option<String>,
    settings: &SummarySettings<'_>,
    advised: &mut BTreeSet<String>,
) {
    let _ = writeln!(text, "      {}", (settings.rename)(&problem_in_words(problem, NAMED_TABLES)));
    if let Some(advice) = advice.filter(|advice| !advised.contains(advice)) {
        let _ = writeln!(text, "      fix: {}", Escaped(&advice));
        advised.insert(advice);
    }
}

/// A problem in one line, with the names of at most `named` of its tables.
pub fn problem_in_words(problem: &Problem, named: usize) -> String {
    let operation = problem.operation.map(|operation| format!("{} ", operation.name())).unwrap_or_default();
    let mut text = format!("{operation}{}: {}", Escaped(&problem.code), Escaped(&problem.message));
    let names: Vec<_> = problem.table_names.iter().take(named).map(|name| Escaped(name).to_string()).collect();
    if !names.is_empty() {
        let more = problem.table_count.saturating_sub(names.len() as u64);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let _ = write!(text, " [{}{more}]", names.join(", "));
    }
    text
}

fn word(outcome: Outcome) -> String {
    outcome.as_str().replace('_', " ")
}
