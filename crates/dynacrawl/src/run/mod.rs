//! A run: every scope crawled, each ending with exactly one `scope_completed`, whatever happens.

mod changes;
#[cfg(test)]
mod changes_tests;
#[cfg(test)]
mod chaos;
mod checkpoint;
mod claims;
mod completion;
mod detector;
mod event;
#[cfg(test)]
mod fairness_tests;
#[cfg(test)]
pub(crate) mod inside;
mod journal;
mod ledger;
mod old_files;
#[cfg(test)]
mod patience_tests;
pub(crate) mod plan;
pub(crate) mod progress;
mod removals;
#[cfg(test)]
mod removals_tests;
mod resume;
mod retire;
mod run_event;
mod scope;
mod scope_error;
mod stop_reason;
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

use std::sync::Arc;
use std::time::Duration;

use dynacrawl_auth::CredentialSpec;
use dynacrawl_aws::{AwsSettings, HttpStack};
use dynacrawl_model::{ChangeCounts, Counts, HeldRetirements, Requests, RunOutcome, ScopeTotals, TargetFailed};

pub use detector::Detector;
pub use old_files::OldFiles;
pub(crate) use plan::{enabled_regions, members, organization_accounts};
pub use progress::{Progress, ProgressNow};
pub(crate) use resume::{EarlierWork, SharedState, opened};
pub use resume::{PreparedRun, StartError};
pub use run_event::CompletedScope;
pub use scope_error::ScopeError;
pub(crate) use stop_reason::StopReason;
pub(crate) use supervisor::run;
use target::Connector;
pub(crate) use target::{ReadyTarget, TargetConnection};
pub(crate) use worker::decode::decode_failure;
pub(crate) use worker::identity;
use worker::{LocalWorkers, Workers};

use crate::config::{Config, ConfigError, Group, Target};

/// Makes the workers of a run from those of this process.
pub(crate) type MakeWorkers = fn(LocalWorkers) -> Arc<dyn Workers>;

/// A run that can begin: everything that can be wrong without a call to AWS has been found out.
#[derive(Debug)]
pub struct RunPlan {
    config: Arc<Config>,
    pub(crate) connector: Arc<Connector>,
    pub(crate) targets: Vec<Arc<ReadyTarget>>,
    pub(crate) groups: Vec<(Group, ReadyTarget)>,
    pub(crate) workers: MakeWorkers,
}

/// How a run went.
#[derive(Debug)]
pub struct RunReport {
    /// How it ended.
    pub outcome: RunOutcome,
    /// Scopes by outcome.
    pub scopes: ScopeTotals,
    /// Tables by what became of them.
    pub counts: Counts,
    /// Requests per API.
    pub requests: Requests,
    /// What changed; `None` without a state.
    pub changes: Option<ChangeCounts>,
    /// Known scopes that the configuration does not cover any more.
    pub scopes_retired: u64,
    /// Scopes of the state whose retirement waits for a person; `None` without a state.
    pub retirements_held: Option<HeldRetirements>,
    /// How long it took.
    pub duration: Duration,
    /// The scopes that are not complete, or have something to tell; the first ones.
    pub notable: Vec<CompletedScope>,
    /// The targets whose scopes could not be found out; the first ones.
    pub failed_targets: Vec<TargetFailed>,
    /// Why the run ended before its last scope: its output was closed, or the state cannot be read.
    pub ended_by: Option<ScopeError>,
}

impl RunPlan {
    /// Reads the secrets and sets up the HTTP stack.
    ///
    /// # Errors
    /// When a secret or the CA bundle is not where the configuration says, or there is no target.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        Self::with_credentials(config, Target::credentials)
    }

    /// The same, with credentials that are not where the configuration says.
    pub(crate) fn with_credentials(
        config: Config,
        credentials: impl Fn(&Target) -> Result<CredentialSpec, ConfigError>,
    ) -> Result<Self, ConfigError> {
        let http = config.http.build().map_err(|error| {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            ConfigError::value("aws.ca_bundle (--ca-bundle, AWS_CA_BUNDLE)", format!("{error}{cause}"))
        })?;
        Self::with_http(config, credentials, http)
    }

    /// The same, over another HTTP stack.
    pub(crate) fn with_http(
        config: Config,
        credentials: impl Fn(&Target) -> Result<CredentialSpec, ConfigError>,
        http: HttpStack,
    ) -> Result<Self, ConfigError> {
        let ready =
            |target: &Target| Ok(ReadyTarget::new(target.clone(), credentials(target)?, config.sts_region(target)));
        let targets = config.targets.iter().map(|target| ready(target).map(Arc::new)).collect::<Result<_, _>>()?;
        let groups = config.groups.iter().map(|group| Ok((group.clone(), ready(&group.discovery)?)));
        let groups = groups.collect::<Result<_, ConfigError>>()?;
        let aws = AwsSettings { http };
        let connector = Arc::new(Connector::new(aws, &config));
        Ok(Self { targets, groups, connector, config: Arc::new(config), workers: |local| Arc::new(local) })
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }
}

/// What a run knows of earlier processes and runs.
#[derive(Debug, Default)]
pub(crate) struct RunHistory {
    /// What earlier processes have done of this run.
    pub(crate) before: EarlierWork,
    /// Whether a journal follows.
    pub(crate) journaled: bool,
    /// What earlier runs knew.
    pub(crate) detector: Option<Arc<Detector>>,
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
