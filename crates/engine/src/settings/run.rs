//! What all runs of one configuration share, and the targets of one run.

use std::collections::BTreeMap;
use std::time::Duration;

use dynacrawl_aws::{EndpointSettings, HttpSettings, default_sts_region};
use dynacrawl_discovery::DiscoveryUrls;
use dynacrawl_model::{Escaped, Partition, Region};

use super::changes::ChangeSettings;
use super::crawl::{Budgets, CrawlSettings};
use super::error::SettingError;
use super::group::Group;
use super::sink::ConfiguredSink;
use super::state::StateSettings;
use super::target::{Target, UnselectedTarget};

/// What all runs of one configuration share.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How to crawl.
    pub crawl: CrawlSettings,
    /// How connections are made.
    pub http: HttpSettings,
    /// How long each source of credentials may take.
    pub credentials_timeout: Duration,
    /// Which endpoints are called.
    pub endpoints: EndpointSettings,
    /// The Region whose STS endpoint is called, by partition.
    pub sts_regions: BTreeMap<Partition, Region>,
    /// How AWS's other quotas are used.
    pub budgets: Budgets,
    /// The endpoints that list accounts and Regions.
    pub discovery: DiscoveryUrls,
    /// The state, which is kept between processes; `None`: no state.
    pub state: Option<StateSettings>,
    /// The sinks.
    pub sinks: Vec<ConfiguredSink>,
    /// How changes are reported.
    pub changes: ChangeSettings,
    /// The names of the targets, as they are configured.
    pub target_names: Vec<String>,
    /// The targets to crawl.
    pub targets: Vec<Target>,
    /// The organizations whose accounts are to be crawled.
    pub groups: Vec<Group>,
}

/// The targets of one run.
#[derive(Debug)]
pub struct Chosen<'a> {
    /// What the run crawls.
    pub targets: Vec<&'a Target>,
    /// The organizations whose accounts it crawls.
    pub groups: Vec<&'a Group>,
    /// Targets that are configured, but not part of the run.
    pub unselected: Vec<UnselectedTarget>,
}

/// A name that no target of the configuration has.
#[derive(Debug)]
pub struct UnknownTarget {
    name: String,
    there_are: Vec<String>,
}

impl UnknownTarget {
    /// The error about the name in the value of a key.
    pub fn in_key(self, key: &str, place: &str) -> SettingError {
        let name = Escaped(&self.name);
        SettingError::new(key, format!("'{name}' is not a target of {place}; it has {}", self.there_are.join(", ")))
    }
}

impl Settings {
    /// Chooses the targets with these names, each with all the accounts that it stands for; `None`: all.
    ///
    /// # Errors
    /// If no target has one of the names.
    pub fn choose(&self, names: Option<&[String]>) -> Result<Chosen<'_>, UnknownTarget> {
        known(names.unwrap_or_default(), &self.target_names)?;
        let is_chosen = |target: &Target| target.is_one_of(names);
        let (targets, others): (Vec<_>, Vec<_>) = self.targets.iter().partition(|target| is_chosen(target));
        let (groups, other_groups): (Vec<_>, Vec<_>) =
            self.groups.iter().partition(|group| is_chosen(&group.discovery));
        let mut unselected: Vec<_> = others.into_iter().map(UnselectedTarget::of).collect();
        // The accounts of an organization are unknown until the run lists them.
        let any_account =
            |group: &Group| UnselectedTarget { account_id: None, ..UnselectedTarget::of(&group.discovery) };
        unselected.extend(other_groups.into_iter().map(any_account));
        Ok(Chosen { targets, groups, unselected })
    }

    /// The Region whose STS endpoint is called for a target.
    pub fn sts_region(&self, target: &Target) -> Region {
        let partition = target.partition();
        match self.sts_regions.get(&partition) {
            Some(region) => region.clone(),
            None => default_sts_region(&partition, &target.regions),
        }
    }
}

/// Refuses a name that is not among the existing ones.
///
/// # Errors
/// If a name does not exist.
pub fn known(names: &[String], there_are: &[String]) -> Result<(), UnknownTarget> {
    match names.iter().find(|name| !there_are.contains(name)) {
        Some(name) => Err(UnknownTarget { name: name.clone(), there_are: there_are.to_vec() }),
        None => Ok(()),
    }
}
