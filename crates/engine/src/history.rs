//! What earlier processes and runs have left for a run.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use dynacrawl_model::Region;
use dynacrawl_state::ScopeRow;

use super::checkpoint::Checkpoint;
use super::detector::Detector;
use super::plan::KnownTargets;

/// What earlier processes and runs have left for a run.
#[derive(Debug, Default)]
pub struct RunHistory {
    /// What earlier processes have done of this run.
    pub(crate) before: EarlierWork,
    /// Whether a journal follows the run.
    pub(crate) journaled: bool,
    /// What earlier runs stored, if there is a state.
    pub(crate) detector: Option<Arc<Detector>>,
}

/// What earlier processes have done of a run.
#[derive(Debug, Default)]
pub(crate) struct EarlierWork {
    /// Whether there was an earlier process.
    pub(crate) resumed: bool,
    /// How long earlier processes worked.
    pub(crate) active: Duration,
    /// Whether `run_started` is in the output already.
    pub(crate) output_has_begun: bool,
    /// Scopes that ended, by target and Region.
    pub(crate) ended: HashMap<(String, Region), ScopeRow>,
    /// Scopes that were under way.
    pub(crate) under_way: HashMap<(String, Region), (ScopeRow, Checkpoint)>,
    /// What earlier processes discovered about targets.
    pub(crate) known: KnownTargets,
}
