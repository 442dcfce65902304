//! A validated configuration.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use dynacrawl_daemon::settings::{DaemonSettings, ServeSettings};
use dynacrawl_engine::settings::{Group, RunRequest, Settings, Target, TargetBase};
use dynacrawl_model::Escaped;

use super::check::CheckSettings;
use super::error::ConfigError;
use super::export::ExportSettings;
use super::group::{Expanded, expand};
use super::log::LogSettings;
use super::raw::{self, Layer};
use super::sink::sinks;
use super::target::{must_exist, prepare, reject_twice, take_ambient_region};
use super::values::{in_range, required};

/// A configuration that can be used.
#[derive(Clone, Debug)]
pub struct Config {
    /// What all runs share.
    pub run: Settings,
    /// What each run has to do.
    pub request: RunRequest,
    /// What the daemon does.
    pub serve: ServeSettings,
    /// The settings of `dynacrawl check`.
    pub check: CheckSettings,
    /// Which messages dynacrawl shows, and where it sends spans.
    pub log: LogSettings,
    /// Whether only messages go to standard error.
    pub quiet: bool,
    /// How `dynacrawl export` names tables.
    pub export: ExportSettings,
    /// The environment variables that the configuration file names.
    pub variables: BTreeSet<String>,
}

impl Config {
    /// Validates what the user typed.
    pub(crate) fn validate(layer: Layer) -> Result<Self, ConfigError> {
        let target_names: Vec<_> =
            layer.target.iter().enumerate().map(|(number, raw)| raw.name_or_number(number)).collect();
        let (targets, groups) = targets(layer.target)?;
        let Layer { mut sts, crawl, .. } = layer;
        let quiet = required("crawl.quiet", crawl.quiet)?;
        let connections = in_range("crawl.connections (--connections)", crawl.connections, 1, 10_000)?;
        let (changes, accepted) = layer.changes.validate()?;
        let serve = layer.serve.validate(layer.schedule, &target_names)?;
        let (crawl, state) = (crawl.validate()?, layer.state.validate()?);
        let run = Settings {
            http: layer.aws.http(connections)?,
            credentials_timeout: layer.aws.credentials_timeout()?,
            endpoints: layer.aws.endpoints(sts.url()?)?,
            sts_regions: sts.regions()?,
            budgets: layer.budget.validate()?,
            discovery: layer.discovery.validate()?,
            sinks: sinks(layer.sink, state.as_ref(), &crawl.output, &target_names)?,
            crawl,
            state,
            changes,
            target_names,
            targets,
            groups,
        };
        Ok(Self {
            run,
            request: RunRequest { accepted, ..RunRequest::default() },
            serve,
            check: layer.check.validate()?,
            log: layer.log.validate(layer.telemetry)?,
            quiet,
            export: layer.export.validate()?,
            variables: layer.variables,
        })
    }

    /// Reads the secrets of the chosen sinks, so that a missing one is found before a crawl.
    ///
    /// # Errors
    /// If a secret is not where the configuration says.
    pub fn read_sink_secrets(&self) -> Result<(), ConfigError> {
        for one in self.request.sinks.of(&self.run.sinks) {
            for (field, secret) in one.sink.kind.secrets() {
                let key = format!("sink.{}.{field}", one.sink.name);
                secret.read().map_err(|error| ConfigError::value(key, error))?;
            }
        }
        Ok(())
    }

    /// The settings of the daemon.
    pub fn for_daemon(&self) -> DaemonSettings {
        DaemonSettings { run: Arc::new(self.run.clone()), request: self.request.clone(), serve: self.serve.clone() }
    }

    /// Completes the chosen targets from AWS's own settings: the Region, if the configuration names
    /// none.
    ///
    /// # Errors
    /// If a target has no Region even then, if its profile does not exist, or if two targets
    /// contain the same account and Region.
    pub async fn prepare(&mut self) -> Result<(), ConfigError> {
        if self.run.http.ca_bundle.is_none() {
            self.run.http.ca_bundle = std::env::var_os("AWS_CA_BUNDLE").filter(|v| !v.is_empty()).map(PathBuf::from);
        }
        self.need_profiles().await?;
        for target in self.chosen_mut() {
            prepare(target).await?;
        }
        reject_twice(self.run.targets.iter().filter(|target| target.is_one_of(self.request.targets.as_deref())))
    }

    /// Refuses profiles that do not exist: those of the chosen targets, and `AWS_PROFILE` if it is
    /// in use.
    async fn need_profiles(&mut self) -> Result<(), ConfigError> {
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let has_keys = is_set("AWS_ACCESS_KEY_ID") && is_set("AWS_SECRET_ACCESS_KEY");
        let ambient = std::env::var(AMBIENT_PROFILE).ok().filter(|name| !name.is_empty() && !has_keys);
        let needed = |target: &Target| match (&target.base, target.profile()) {
            (_, Some(profile)) => {
                Some((format!("target '{}': profile (--profile)", Escaped(&target.name)), profile.to_owned()))
            }
            (TargetBase::Chain { .. }, None) => ambient.as_ref().map(|name| (AMBIENT_PROFILE.to_owned(), name.clone())),
            (TargetBase::Keys { .. }, None) => None,
        };
        let needed: Vec<_> = self.chosen_mut().filter_map(|target| needed(target)).collect();
        if needed.is_empty() {
            return Ok(());
        }
        // If the files cannot be read, resolving the credentials reports it.
        let Some(profiles) = dynacrawl_aws::profiles().await else { return Ok(()) };
        needed
            .into_iter()
            .filter(|(key, profile)| !(key == AMBIENT_PROFILE && may_be_missing(profile, &profiles)))
            .try_for_each(|(key, profile)| must_exist(key, &profile, &profiles))
    }

    /// For each chosen target without a Region, takes the one of AWS's own settings, if they have
    /// one.
    ///
    /// # Errors
    /// If that is not the name of a Region, or is in another partition than the target's roles.
    pub async fn take_ambient_regions(&mut self) -> Result<(), ConfigError> {
        for target in self.chosen_mut() {
            take_ambient_region(target).await?;
        }
        Ok(())
    }

    /// The targets of the request. The profiles and Regions of other targets do not matter.
    fn chosen_mut(&mut self) -> impl Iterator<Item = &mut Target> {
        let Self { run, request, .. } = self;
        let all = run.targets.iter_mut().chain(run.groups.iter_mut().map(|group| &mut group.discovery));
        all.filter(|target| target.is_one_of(request.targets.as_deref()))
    }
}

/// The variable that names the profile of targets that name none.
const AMBIENT_PROFILE: &str = "AWS_PROFILE";

/// Whether the SDK does without the profile that `AWS_PROFILE` names, and moves on to the
/// credentials of a container or an instance.
fn may_be_missing(profile: &str, profiles: &[String]) -> bool {
    profile == "default" || profiles.is_empty()
}

/// What all `[[target]]` sections stand for.
fn targets(raw: Vec<raw::Target>) -> Result<(Vec<Target>, Vec<Group>), ConfigError> {
    let (mut targets, mut groups) = (Vec::new(), Vec::new());
    for (number, raw) in raw.into_iter().enumerate() {
        match expand(raw, number)? {
            Expanded::Targets(some) => targets.extend(some),
            Expanded::Group(group) => groups.push(*group),
        }
    }
    let mut names = BTreeSet::new();
    for name in targets.iter().map(|target| &target.name).chain(groups.iter().map(|group| &group.discovery.name)) {
        if !names.insert(name) {
            let problem = format!("the name '{}' is taken by another target", Escaped(name));
            return Err(ConfigError::value("target.name", problem));
        }
    }
    for group in &groups {
        let prefix = format!("{}/", group.name());
        if let Some(target) = targets.iter().find(|target| target.name.starts_with(&prefix)) {
            let problem = format!(
                "'{}' may be the name of an account of the target '{}'; choose another one",
                Escaped(&target.name),
                Escaped(group.name())
            );
            return Err(ConfigError::value("target.name", problem));
        }
    }
    reject_twice(targets.iter())?;
    Ok((targets, groups))
}
