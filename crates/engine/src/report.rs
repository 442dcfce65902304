//! How a run went.

use std::collections::BTreeSet;
use std::time::Duration;

use dynacrawl_model::{ChangeCounts, Counts, HeldRetirements, Requests, RunOutcome, ScopeTotals, TargetFailed};

use super::run_event::CompletedScope;
use super::scope_error::ScopeError;
use crate::settings::Accepted;

/// What a person requested that had no effect.
#[derive(Debug, Default)]
pub struct WithoutEffect {
    /// Accepted removals of scopes that the run did not crawl, and accepted retirements of scopes that it did not retire.
    pub accepted: Accepted,
    /// Include expressions that match no table.
    pub includes: Vec<String>,
}

/// How a run went.
#[derive(Debug)]
pub struct RunReport {
    /// How it ended.
    pub outcome: RunOutcome,
    /// Scopes by outcome.
    pub scopes: ScopeTotals,
    /// Tables by result.
    pub counts: Counts,
    /// Requests per API.
    pub requests: Requests,
    /// What changed; `None` without a state.
    pub changes: Option<ChangeCounts>,
    /// Scopes in the state that the configuration no longer covers.
    pub scopes_retired: u64,
    /// Scopes in the state whose retirement a person has to accept first; `None` without a state.
    pub retirements_held: Option<HeldRetirements>,
    /// How long it took.
    pub duration: Duration,
    /// The first scopes that are not complete or have problems.
    pub notable: Vec<CompletedScope>,
    /// The first targets whose scopes could not be discovered.
    pub failed_targets: Vec<TargetFailed>,
    /// What a person requested that had no effect: most likely a mistake.
    pub without_effect: WithoutEffect,
    /// The sinks that have no place for the tables of some scopes: the name of each, and the scope.
    pub without_place: BTreeSet<(String, String)>,
    /// Why the run ended before its last scope: its output was closed, or the state cannot be read.
    pub ended_by: Option<ScopeError>,
}
