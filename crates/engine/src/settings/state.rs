//! The settings of the state, which is kept between processes.

use std::path::PathBuf;
use std::time::Duration;

use dynacrawl_state::Purpose;

/// The settings of the state, which is kept between processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateSettings {
    /// The file of the state.
    pub path: PathBuf,
    /// What the state is used for.
    pub purpose: Purpose,
    /// The maximum age of a run's last commit for the run to be resumed.
    pub resume_within: Duration,
    /// How long events wait for a sink that does not accept them. Afterwards it gets all tables instead.
    pub undelivered: Duration,
    /// How many events wait for a sink, at most. If there are more, it gets all tables instead.
    pub most_undelivered: u64,
    /// How long changes and removed tables are kept.
    pub keep: Duration,
}
