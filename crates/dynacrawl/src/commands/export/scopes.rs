//! The accounts and Regions of an export.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use dynacrawl_model::{Counts, NamedScope, Outcome, Partition, Problem, Scope, ScopeCompleted};
use dynacrawl_state::{ScopeKey, ScopeLine};

/// What is known of each scope.
#[derive(Debug, Default)]
pub(super) struct Scopes(BTreeMap<String, Seen>);

/// What is known of a scope.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) scope: NamedScope,
    /// How many tables were read.
    pub(super) tables: u64,
    /// The names of these tables, until the scope is known to be complete.
    pub(super) names: HashSet<String>,
    /// How the crawl of the scope ended; `None` if that is unknown.
    pub(super) outcome: Option<Outcome>,
    pub(super) counts: Option<Counts>,
    pub(super) problems: Vec<Problem>,
    /// Whether the state has filled in the tables that the input lacks.
    pub(super) is_filled: bool,
}

impl Scopes {
    pub(super) fn of(&mut self, scope: &NamedScope) -> &mut Seen {
        self.0.entry(key(scope)).or_insert_with(|| Seen {
            scope: scope.clone(),
            tables: 0,
            names: HashSet::new(),
            outcome: None,
            counts: None,
            problems: Vec::new(),
            is_filled: false,
        })
    }

    /// How many scopes have ended.
    pub(super) fn ended(&self) -> u64 {
        self.0.values().filter(|seen| seen.outcome.is_some()).count() as u64
    }

    /// Whether the input has the scope, and lacks tables of it.
    pub(super) fn is_incomplete(&self, scope: &Scope) -> bool {
        self.0.get(&key(scope)).is_some_and(|seen| seen.missing().is_some())
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
    pub(super) fn end(&mut self, completed: ScopeCompleted) {
        self.outcome = Some(completed.outcome);
        self.counts = Some(completed.counts);
        self.problems = completed.problems;
        if self.missing().is_none() {
            self.names = HashSet::new();
        }
    }

    pub(super) fn end_of_state(&mut self, line: &ScopeLine) {
        self.outcome = Outcome::ALL.into_iter().find(|outcome| outcome.as_str() == line.last_outcome);
        self.problems = line.last_problems.clone();
    }
}

/// The scope of a line of the state; `None` if it cannot be read.
pub(super) fn of_line(line: &ScopeLine) -> Option<(NamedScope, ScopeKey)> {
    let partition = Partition::from(line.partition.as_str());
    let (account_id, region) = (line.account_id.parse().ok()?, line.region.parse().ok()?);
    let key = ScopeKey { partition, account_id, region };
    let scope = Scope {
        partition: key.partition.clone(),
        account_id: Some(key.account_id.clone()),
        region: key.region.clone(),
    };
    Some((NamedScope { scope, account_name: line.account_name.as_deref().map(Arc::from) }, key))
}
