//! The steps of a scope.

use serde::{Deserialize, Serialize};

/// A step of a scope. Each is a job of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The first try.
    #[default]
    Crawl,
    /// The second try, at the end of the run.
    Retry,
    /// Whether tables that were not listed are gone.
    Confirm,
}
