//! A run: every scope crawled, each ending with exactly one `scope_completed`, whatever happens.

mod changes;
#[cfg(test)]
mod changes_tests;
#[cfg(test)]
mod chaos;
mod checkpoint;
mod claims;
mod completion;
mod delivery;
mod detector;
mod event;
#[cfg(test)]
mod fairness_tests;
mod history;
#[cfg(test)]
pub(crate) mod inside;
mod journal;
mod ledger;
mod millis;
mod old_files;
#[cfg(test)]
mod patience_tests;
pub(crate) mod plan;
pub(crate) mod progress;
mod removals;
#[cfg(test)]
mod removals_tests;
mod report;
mod resume;
mod retire;
mod run_event;
mod run_plan;
mod scope;
mod scope_error;
mod shared_state;
mod step;
mod stop_reason;
mod summary;
mod supervisor;
mod tables;
pub(crate) mod target;
#[cfg(test)]
mod trust_tests;
mod unexpected;
#[cfg(test)]
mod upgrade_tests;
pub(crate) mod worker;
#[cfg(test)]
mod worker_tests;
#[cfg(test)]
mod world;

pub use delivery::crawl_to_output;
pub use detector::Detector;
pub use old_files::OldFiles;
pub(crate) use plan::{enabled_regions, members, organization_accounts};
pub use progress::{Progress, ProgressNow};
pub use report::RunReport;
pub use resume::{PreparedRun, StartError};
pub use run_event::CompletedScope;
pub use run_plan::{MakeWorkers, RunPlan};
pub use scope_error::ScopeError;
pub(crate) use shared_state::{SharedState, opened};
pub(crate) use stop_reason::StopReason;
pub use summary::summary;
pub(crate) use target::{ReadyTarget, TargetConnection};
pub(crate) use worker::decode::decode_failure;
pub(crate) use worker::identity;
