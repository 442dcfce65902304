//! Where a later process or step continues a scope.

use std::collections::BTreeSet;

use dynacrawl_fetcher::FailedTable;
use dynacrawl_model::{ChangeCounts, Counts, FailureReason, Requests, TableName};
use serde::{Deserialize, Serialize};

use super::step::Step;

/// How far the listing is finished: every table before this place has ended or is deferred.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cursor {
    /// Nothing is finished.
    #[default]
    Start,
    /// The pages up to this `LastEvaluatedTableName`.
    After(TableName),
    /// All pages.
    End,
}

/// Tables that failed alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failures {
    /// The error message; the first one if they differ.
    pub message: String,
    /// How many there are.
    pub count: u64,
    /// The first of their names.
    pub names: Vec<String>,
}

/// Where a later process or step continues.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// How far the listing is finished.
    pub cursor: Cursor,
    /// The counts: listed, unselected and selected tables up to the cursor, all others as they are.
    pub counts: Counts,
    /// Whether a page was listed.
    pub listed_a_page: bool,
    /// The changes that were found.
    pub changes: ChangeCounts,
    /// The tables after the cursor that have ended or are deferred.
    pub done: Vec<TableName>,
    /// The tables that are described again at the end of the step.
    pub deferred: Vec<FailedTable>,
    /// The tables that failed, by reason and error code.
    pub failures: Vec<(FailureReason, String, Failures)>,
    /// The tables that were described although the listing left them out.
    #[serde(default)]
    pub unlisted: BTreeSet<TableName>,
    /// The requests that were sent.
    pub requests: Requests,
    /// The step that was under way. Earlier versions did not store it, and began with the first
    /// one.
    #[serde(default)]
    pub step: Step,
}
