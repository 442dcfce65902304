//! The digest that decides whether an interrupted run can be resumed: the settings must be the
//! same.

use serde_json::json;
use sha2::{Digest, Sha256};

use super::group::Group;
use super::run::{Chosen, Settings};
use super::target::Target;

impl Settings {
    /// A hash of the settings that decide what the output of a run of these targets holds. Keys and external ids are not part of
    /// it.
    pub fn digest(&self, chosen: &Chosen<'_>) -> String {
        let target = |target: &&Target| {
            let chain: Vec<_> = target.chain.iter().map(|step| step.arn.as_str()).collect();
            let base = format!("{:?}", target.base);
            json!([target.name, target.account_id, target.regions, target.all_regions, base, chain])
        };
        let group = |group: &&Group| {
            let asked = &group.discovery;
            let asked_by = asked.chain.iter().map(|step| step.arn.as_str());
            let roles: Vec<_> = asked_by.chain(group.roles.iter().map(|role| role.arn.as_str())).collect();
            json!([group.summary(), format!("{:?}", asked.base), format!("{:?}", group.filter), roles])
        };
        // Where AWS's default chain begins, as far as it is the same in every session.
        let ambient = ["AWS_PROFILE", "AWS_ROLE_ARN"].map(|name| std::env::var(name).ok());
        let mut settings = json!({
            "targets": chosen.targets.iter().map(target).collect::<Vec<_>>(),
            "groups": chosen.groups.iter().map(group).collect::<Vec<_>>(),
            "include": self.crawl.include,
            "exclude": self.crawl.exclude,
            "lines": format!("{:?}", self.crawl.lines),
            "emit": format!("{:?}", (self.changes.emit, self.changes.drift)),
            "endpoint_url": self.endpoints.dynamodb_url,
            "ambient": ambient,
        });
        // Without probes, the digest is that of versions that had no probes.
        if !self.crawl.probes.is_empty() {
            settings["probes"] = format!("{:?}", self.crawl.probes).into();
        }
        let hash = Sha256::digest(settings.to_string());
        hash[..16].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
