//! The steps of a scope.

use serde::{Deserialize, Serialize};

/// A step of a scope. Each is a job of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The first attempt.
    #[default]
    Crawl,
    /// The second attempt, at the end of the run.
    Retry,
    /// Confirms whether tables that were not listed were deleted.
    Confirm,
}
