//! The accounts and Regions of an export.

use std::collections::{BTreeMap, HashSet};

use dynacrawl_model::{Counts, NamedScope, Outcome, Problem, Scope, ScopeCompleted};
use dynacrawl_state::ScopeLine;

/// What is known of each scope.
#[derive(Debug, Default)]
pub(super) struct Scopes(BTreeMap<String, Seen>);

/// What is known of a scope.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) scope: NamedScope,
    /// The target that the scope belongs to, if known.
    pub(super) target: Option<String>,
    /// How many tables were read.
    pub(super) tables: u64,
    names: HashSet<Box<str>>,
    /// How the crawl of the scope ended; `None` if that is unknown.
    pub(super) outcome: Option<Outcome>,
    pub(super) counts: Option<Counts>,
    /// How many tables the filters of the crawl left out.
    pub(super) unselected: u64,
    pub(super) problems: Vec<Problem>,
    /// Whether a crawl in the state was complete, and the tables that it found have been read.
    pub(super) was_complete: bool,
}

impl Scopes {
    pub(super) fn of(&mut self, scope: &NamedScope) -> &mut Seen {
        self.0.entry(key(scope)).or_insert_with(|| Seen {
            scope: scope.clone(),
            target: None,
            tables: 0,
            names: HashSet::new(),
            outcome: None,
            counts: None,
            unselected: 0,
            problems: Vec::new(),
            was_complete: false,
        })
    }

    pub(super) fn get(&self, scope: &Scope) -> Option<&Seen> {
        self.0.get(&key(scope))
    }

    /// How many scopes have ended.
    pub(super) fn ended(&self) -> u64 {
        self.0.values().filter(|seen| seen.outcome.is_some()).count() as u64
    }

    /// How many tables the scopes say were described.
    pub(super) fn described(&self) -> u64 {
        self.0.values().filter_map(|seen| seen.counts.as_ref()).map(|counts| counts.described).sum()
    }

    /// All scopes, by account and Region.
    pub(super) fn into_sorted(self) -> impl Iterator<Item = Seen> {
        self.0.into_values()
    }
}

fn key(scope: &Scope) -> String {
    format!("{scope}/{}", scope.partition.as_str())
}

impl Seen {
    /// Counts a table. `false` if it has been counted before.
    pub(super) fn add(&mut self, name: &str) -> bool {
        let is_new = self.names.insert(name.into());
        self.tables += u64::from(is_new);
        is_new
    }

    pub(super) fn end(&mut self, completed: ScopeCompleted) {
        self.outcome = Some(completed.outcome);
        self.target = Some(completed.target);
        self.unselected = completed.counts.unselected;
        self.counts = Some(completed.counts);
        self.problems = completed.problems;
    }

    pub(super) fn end_of_state(&mut self, line: &ScopeLine, unselected: u64) {
        self.outcome = Outcome::ALL.into_iter().find(|outcome| outcome.as_str() == line.last_outcome);
        self.target = Some(line.target.clone());
        self.problems.clone_from(&line.last_problems);
        self.unselected = unselected;
        self.was_complete = line.last_complete_at.is_some();
    }

    /// What the scope lacks; `None` if it is complete.
    pub(super) fn missing(&self) -> Option<String> {
        let Some(outcome) = self.outcome else {
            return Some("nothing says whether all its tables are there: it has no scope_completed record".to_owned());
        };
        if outcome != Outcome::Complete {
            let mut text = outcome.as_str().replace('_', " ");
            if let Some(problem) = self.problems.first() {
                text.push_str(&format!(": {}", dynacrawl_engine::problem_in_words(problem, 3)));
            }
            return Some(text);
        }
        let described = self.counts.as_ref().map(|counts| counts.described)?;
        (self.tables < described).then(|| format!("{} of {described} tables are in the input", self.tables))
    }
}
