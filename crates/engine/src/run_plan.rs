//! A run that can begin.

use std::sync::Arc;

use dynacrawl_auth::CredentialSpec;
use dynacrawl_aws::{AwsSettings, HttpStack};

use super::target::{Connector, ReadyTarget};
use super::worker::{LocalWorkers, Workers};
use crate::settings::{Group, RunRequest, SettingError, Settings, Target, UnselectedTarget};

/// Makes the workers of a run from those of this process.
pub type MakeWorkers = fn(LocalWorkers) -> Arc<dyn Workers>;

/// A run that can begin: everything that can be checked without a call to AWS has been checked.
#[derive(Debug)]
pub struct RunPlan {
    /// What all runs share.
    pub settings: Arc<Settings>,
    /// What this run is to do.
    pub request: RunRequest,
    /// What connects its targets.
    pub connector: Arc<Connector>,
    /// The targets that the configuration names.
    pub targets: Vec<Arc<ReadyTarget>>,
    /// The organizations whose accounts are targets.
    pub groups: Vec<(Group, ReadyTarget)>,
    /// Targets that are configured, but not part of this run.
    pub(crate) unselected: Vec<UnselectedTarget>,
    digest: String,
    pub(crate) workers: MakeWorkers,
}

impl RunPlan {
    /// Reads the secrets and sets up the HTTP stack.
    ///
    /// # Errors
    /// If a secret or the CA bundle cannot be read, or a requested target does not exist.
    pub fn new(settings: &Arc<Settings>, request: RunRequest) -> Result<Self, SettingError> {
        Self::with_credentials(settings, request, Target::credentials)
    }

    /// Like [`RunPlan::new`], with the credentials that `credentials` returns.
    ///
    /// # Errors
    /// Those of [`RunPlan::new`] and of `credentials`.
    pub fn with_credentials(
        settings: &Arc<Settings>,
        request: RunRequest,
        credentials: impl Fn(&Target) -> Result<CredentialSpec, SettingError>,
    ) -> Result<Self, SettingError> {
        let http = settings.http.build().map_err(|error| {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            SettingError::new("aws.ca_bundle (--ca-bundle, AWS_CA_BUNDLE)", format!("{error}{cause}"))
        })?;
        Self::with_http(settings, request, credentials, http)
    }

    /// Like [`RunPlan::with_credentials`], over another HTTP stack.
    ///
    /// # Errors
    /// If a requested target does not exist, and those of `credentials`.
    pub fn with_http(
        settings: &Arc<Settings>,
        request: RunRequest,
        credentials: impl Fn(&Target) -> Result<CredentialSpec, SettingError>,
        http: HttpStack,
    ) -> Result<Self, SettingError> {
        let chosen = settings.choose(request.targets.as_deref());
        let chosen = chosen.map_err(|unknown| unknown.in_key("targets", "the configuration"))?;
        let digest = settings.digest(&chosen);
        let ready =
            |target: &Target| Ok(ReadyTarget::new(target.clone(), credentials(target)?, settings.sts_region(target)));
        let targets = chosen.targets.into_iter().map(|target| ready(target).map(Arc::new));
        let groups = chosen.groups.into_iter().map(|group| Ok((group.clone(), ready(&group.discovery)?)));
        Ok(Self {
            targets: targets.collect::<Result<_, _>>()?,
            groups: groups.collect::<Result<_, SettingError>>()?,
            unselected: chosen.unselected,
            digest,
            connector: Arc::new(Connector::new(AwsSettings { http }, settings)),
            settings: settings.clone(),
            request,
            workers: |local| Arc::new(local),
        })
    }

    /// The same plan with other workers than those of this process.
    #[must_use]
    pub fn with_workers(self, workers: MakeWorkers) -> Self {
        Self { workers, ..self }
    }

    /// A hash of the settings that decide what the output holds.
    pub fn digest(&self) -> &str {
        &self.digest
    }
}
