//! The findings of a check, and how they are shown.

use std::collections::HashMap;
use std::fmt::Write;

use dynacrawl_model::{Escaped, Scope};
use serde::Serialize;

use crate::advice::Advice;
use crate::exit::Exit;

/// The id of a check of a sink.
pub(super) const SINK: &str = "sink";

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckStatus {
    /// Nothing is wrong.
    Ok,
    /// A crawl would work, but something needs attention.
    Warn,
    /// A crawl would miss something.
    Fail,
}

/// One check.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// Which check: `organization`, `credentials`, `assume_role`, `external_id`, `regions`,
    /// `region`, `list_tables`, `tables`, `describe_table`, `probe`, `sink`, or `check` if a check
    /// itself failed.
    pub id: &'static str,
    /// The target, or the sink.
    pub target: String,
    /// The account and Region, if the check is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// The result.
    pub status: CheckStatus,
    /// What is wrong, as a stable code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// What was found.
    pub message: String,
    /// What to do about it; empty if there is nothing to do.
    pub fix: String,
    /// The tables that the check is about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<String>,
}

/// What is wrong, and what to do about it.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) fix: String,
}

impl Trouble {
    pub(super) fn new(advice: Advice, message: impl Into<String>) -> Self {
        Self { code: advice.code, message: message.into(), fix: advice.fix }
    }
}

/// All checks, and how many scopes fail.
#[derive(Debug, Default, Serialize)]
pub struct Findings {
    /// The checks, target by target.
    pub checks: Vec<Check>,
    #[serde(skip)]
    scopes: usize,
    #[serde(skip)]
    failed_scopes: usize,
}

impl Findings {
    pub(super) fn add(
        &mut self,
        id: &'static str,
        target: &str,
        scope: Option<&Scope>,
        result: Result<String, Trouble>,
    ) {
        match result {
            Ok(message) => self.push(id, target, scope, CheckStatus::Ok, None, message, String::new()),
            Err(t) => self.push(id, target, scope, CheckStatus::Fail, Some(t.code), t.message, t.fix),
        }
    }

    pub(super) fn warn(&mut self, id: &'static str, target: &str, scope: Option<&Scope>, trouble: Trouble) {
        self.push(id, target, scope, CheckStatus::Warn, Some(trouble.code), trouble.message, trouble.fix);
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of a check, in one place")]
    fn push(
        &mut self,
        id: &'static str,
        target: &str,
        scope: Option<&Scope>,
        status: CheckStatus,
        code: Option<&'static str>,
        message: String,
        fix: String,
    ) {
        let scope = scope.cloned();
        self.checks.push(Check {
            id,
            target: target.to_owned(),
            scope,
            status,
            code,
            message,
            fix,
            tables: Vec::new(),
        });
    }

    /// Names the tables that the last check is about.
    pub(super) fn about_tables(&mut self, tables: Vec<String>) {
        if let Some(last) = self.checks.last_mut() {
            last.tables = tables;
        }
    }

    /// Counts a scope. It fails if one of its checks fails.
    pub(super) fn count_scope(&mut self) {
        self.scopes += 1;
        self.failed_scopes += usize::from(self.checks.iter().any(|check| check.status == CheckStatus::Fail));
    }

    /// Counts the scopes of a target whose credentials do not work.
    pub(super) fn no_scope_works(&mut self, scopes: usize) {
        self.scopes += scopes;
        self.failed_scopes += scopes;
    }

    pub(super) fn and(mut self, other: Self) -> Self {
        self.checks.extend(other.checks);
        self.scopes += other.scopes;
        self.failed_scopes += other.failed_scopes;
        self
    }

    /// 5 if a sink fails. Otherwise 0 if every scope would work, 4 if none would, 3 in between.
    pub fn exit(&self) -> Exit {
        let is_failed_sink = |check: &Check| check.id == SINK && check.status == CheckStatus::Fail;
        if self.checks.iter().any(is_failed_sink) {
            Exit::SinkFailed
        } else if self.failed_scopes == 0 {
            Exit::Complete
        } else if self.failed_scopes == self.scopes {
            Exit::NothingListed
        } else {
            Exit::Partial
        }
    }

    /// The findings for people: a line for each check, and below it what to do, if anything.
    /// Regions of one account with the same result share a line. `quiet`: only what needs
    /// attention.
    pub fn to_text(&self, quiet: bool, rename: impl Fn(&str) -> String) -> String {
        let mut text = String::new();
        for group in self.groups().iter().filter(|group| !quiet || group[0].status != CheckStatus::Ok) {
            let check = group[0];
            let mark = match check.status {
                CheckStatus::Ok => "ok  ",
                CheckStatus::Warn => "WARN",
                CheckStatus::Fail => "FAIL",
            };
            let _ = writeln!(text, "{mark} {:<14} {}: {}", check.id, place(group), Escaped(&rename(&check.message)));
            if !check.tables.is_empty() {
                let names: Vec<_> = check.tables.iter().map(|name| Escaped(name).to_string()).collect();
                let _ = writeln!(text, "       tables: {}", names.join(", "));
            }
            if !check.fix.is_empty() {
                let _ = writeln!(text, "       fix: {}", Escaped(&check.fix));
            }
        }
        let count = |status| self.checks.iter().filter(|check| check.status == status).count();
        let (warnings, failures) = (count(CheckStatus::Warn), count(CheckStatus::Fail));
        if !quiet || warnings + failures > 0 {
            let works = self.scopes - self.failed_scopes;
            let _ = writeln!(
                text,
                "{works} of {} scopes would work; {warnings} warnings, {failures} failures",
                self.scopes
            );
        }
        text
    }

    /// The checks, grouped if they have the same result in several Regions of an account.
    fn groups(&self) -> Vec<Vec<&Check>> {
        let mut groups: Vec<Vec<&Check>> = Vec::new();
        let mut known = HashMap::new();
        for check in &self.checks {
            let Check { id, target, scope, status, code, message, fix, tables } = check;
            let account = scope.as_ref().map(|scope| (&scope.partition, &scope.account_id));
            let Some(account) = account else {
                groups.push(vec![check]);
                continue;
            };
            let key = (id, target, account, *status as u8, code, message, fix, tables);
            let place = *known.entry(key).or_insert(groups.len());
            match groups.get_mut(place) {
                Some(group) => group.push(check),
                None => groups.push(vec![check]),
            }
        }
        groups
    }
}

/// The target, and the account and Regions of a group.
fn place(group: &[&Check]) -> String {
    let target = Escaped(&group[0].target).to_string();
    let scopes: Vec<_> = group.iter().filter_map(|check| check.scope.as_ref()).collect();
    let [first, others @ ..] = &scopes[..] else { return target };
    let mut text = format!("{target} {first}");
    for other in others.iter().take(NAMED_REGIONS - 1) {
        let _ = write!(text, ", {}", other.region);
    }
    let more = scopes.len().saturating_sub(NAMED_REGIONS);
    if more > 0 {
        let _ = write!(text, " and {more} more Regions");
    }
    text
}

/// How many Regions of a group the text names.
const NAMED_REGIONS: usize = 4;

#[cfg(test)]
mod tests {
    use dynacrawl_model::Scope;

    use super::{Findings, Trouble};

    #[test]
    fn regions_with_the_same_result_share_a_line() {
        let mut findings = Findings::default();
        for number in 1..=40 {
            let region = format!("eu-west-{number}").parse().expect("a Region");
            let scope = Scope { partition: "aws".into(), account_id: "123456789012".parse().ok(), region };
            findings.add("region", "one", Some(&scope), Ok("reachable and enabled".to_owned()));
            let fix = "leave the Region out".to_owned();
            let trouble = Trouble { code: "no_tables", message: "there are no tables".to_owned(), fix };
            findings.warn("tables", "one", Some(&scope), trouble);
            findings.count_scope();
        }
        let regions = "one 123456789012/eu-west-1, eu-west-2, eu-west-3, eu-west-4 and 36 more Regions";
        let attention =
            format!("WARN tables         {regions}: there are no tables\n       fix: leave the Region out\n");
        let last = "40 of 40 scopes would work; 40 warnings, 0 failures\n";
        let all = format!("ok   region         {regions}: reachable and enabled\n{attention}{last}");
        assert_eq!(findings.to_text(false, str::to_owned), all);
        assert_eq!(findings.to_text(true, str::to_owned), format!("{attention}{last}"));
    }
}
