//! What is remembered between processes.

use std::path::PathBuf;
use std::time::Duration;

use dynacrawl_state::Purpose;

/// What is remembered between processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateSettings {
    /// The file.
    pub path: PathBuf,
    /// What for.
    pub purpose: Purpose,
    /// How old the last commit of a run may be for the run to be resumed.
    pub resume_within: Duration,
    /// For how long events wait for a sink that does not take them.
    pub undelivered: Duration,
    /// For how long changes, and tables that are gone, are remembered.
    pub keep: Duration,
}
