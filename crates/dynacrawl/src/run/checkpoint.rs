//! Where a later process or step continues a scope.

use std::collections::BTreeSet;

use dynacrawl_fetcher::FailedTable;
use dynacrawl_model::{ChangeCounts, Counts, FailureReason, Requests, TableName};
use serde::{Deserialize, Serialize};

use super::step::Step;

/// Up to where the listing is done with: every table before this place has ended or is deferred.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Cursor {
    /// Nothing is.
    #[default]
    Start,
    /// The pages up to this `LastEvaluatedTableName`.
    After(TableName),
    /// All pages.
    End,
}

/// Tables that failed alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failures {
    pub(crate) message: String,
    pub(crate) count: u64,
    pub(crate) names: Vec<String>,
}

/// Where a later process or step continues.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Checkpoint {
    pub(crate) cursor: Cursor,
    /// Listed, unselected and selected up to the cursor; all others as they are.
    pub(crate) counts: Counts,
    pub(crate) listed_a_page: bool,
    pub(crate) changes: ChangeCounts,
    /// The tables behind the cursor that have ended or are deferred.
    pub(crate) done: Vec<TableName>,
    pub(crate) deferred: Vec<FailedTable>,
    pub(crate) failures: Vec<(FailureReason, String, Failures)>,
    /// The tables that were described although the listing left them out.
    #[serde(default)]
    pub(crate) unlisted: BTreeSet<TableName>,
    pub(crate) requests: Requests,
    /// The step that was under way. Earlier versions did not say, and began with the first one.
    #[serde(default)]
    pub(crate) step: Step,
}
