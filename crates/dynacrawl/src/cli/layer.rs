//! The command line as a layer of the configuration.

use super::{
    CatalogArgs, EndpointArgs, FilterArgs, GlobalArgs, ListenArgs, OutputArgs, ReportArgs, SpeedArgs, StateArgs,
    TargetArgs,
};
use dynacrawl_model::Escaped;

use crate::config::{ConfigError, Layer, RawAssumeRole, RawRegions, RawTarget};

impl TargetArgs {
    /// The first flag that describes a target.
    pub(crate) fn described_by(&self) -> Option<&'static str> {
        let flags = [
            (!self.regions.is_empty(), "--region (DYNACRAWL_REGION)"),
            (self.profile.is_some(), "--profile (DYNACRAWL_PROFILE)"),
            (self.account_id.is_some(), "--account-id (DYNACRAWL_ACCOUNT_ID)"),
            (self.role_arn.is_some(), "--role-arn (DYNACRAWL_ROLE_ARN)"),
        ];
        flags.into_iter().find_map(|(given, flag)| given.then_some(flag))
    }

    /// The target that the flags describe. What no flag sets comes from AWS's default chain.
    pub(crate) fn as_target(&self) -> RawTarget {
        let role = self.role_arn.as_ref().map(|arn| RawAssumeRole {
            arn: arn.clone(),
            external_id: self.external_id.clone(),
            session_name: self.session_name.clone(),
            duration: self.duration.clone(),
        });
        RawTarget {
            name: Some("default".to_owned()),
            regions: Some(RawRegions(self.regions.clone())),
            account_id: self.account_id.clone(),
            profile: self.profile.clone(),
            assume_role: role.map(|role| vec![role]),
            ..RawTarget::default()
        }
    }
}

impl GlobalArgs {
    pub(crate) fn overlay(&self, layer: &mut Layer) {
        layer.telemetry.otlp_endpoint = self.otlp_endpoint.clone();
        layer.log.level = self.log_level.clone();
        layer.log.format = self.log_format.clone();
    }
}

impl EndpointArgs {
    pub(crate) fn overlay(&self, layer: &mut Layer) {
        layer.aws.endpoint_url = self.endpoint_url.clone();
        layer.sts.endpoint_url = self.sts_endpoint_url.clone();
        layer.discovery.organizations_endpoint_url = self.organizations_endpoint_url.clone();
        layer.discovery.account_endpoint_url = self.account_endpoint_url.clone();
        layer.discovery.ec2_endpoint_url = self.ec2_endpoint_url.clone();
        layer.aws.ca_bundle = self.ca_bundle.clone();
        layer.aws.fips = self.fips;
        layer.aws.dual_stack = self.dual_stack;
        layer.aws.account_id_endpoints = self.account_id_endpoints.clone();
    }
}

impl FilterArgs {
    pub(crate) fn overlay(&self, layer: &mut Layer) {
        let given = |patterns: &Vec<String>| (!patterns.is_empty()).then(|| patterns.clone());
        layer.crawl.include = given(&self.include);
        layer.crawl.exclude = given(&self.exclude);
    }
}

impl SpeedArgs {
    pub(crate) fn overlay(&self, layer: &mut Layer) {
        layer.crawl.rate = self.rate;
        layer.crawl.burst = self.burst;
        layer.crawl.concurrency = self.concurrency;
        layer.crawl.scopes = self.scopes;
        layer.crawl.requests = self.requests;
        layer.crawl.connections = self.connections;
        layer.crawl.max_attempts = self.max_attempts;
        layer.crawl.patience = self.patience.clone();
    }
}

impl OutputArgs {
    pub(crate) fn overlay(&self, layer: &mut Layer) {
        layer.crawl.output = self.output.clone();
        layer.crawl.layout = self.layout.clone();
        layer.crawl.records = (!self.records.is_empty()).then(|| self.records.clone());
        layer.crawl.grace = self.grace.clone();
        layer.crawl.dry_run = self.dry_run;
        layer.crawl.quiet = self.quiet;
    }
}

impl StateArgs {
    pub(crate) fn overlay(&self, layer: &mut Layer) {
        layer.state.path = self.state.clone();
        layer.changes.emit = self.emit.clone();
        layer.changes.drift = self.drift;
        let given = |scopes: &Vec<String>| Some(scopes.clone()).filter(|scopes| !scopes.is_empty());
        layer.changes.accept_removals = given(&self.accept_removals);
        layer.changes.accept_retirements = given(&self.accept_retirements);
    }
}

impl ListenArgs {
    pub(crate) fn overlay(&self, layer: &mut Layer) {
        layer.serve.listen = self.listen.clone();
        layer.serve.run_at_start = self.run_at_start;
    }
}

impl ReportArgs {
    pub(crate) fn overlay(&self, layer: &mut Layer) {
        layer.check.format = self.format.clone();
        layer.check.all = self.all;
        layer.crawl.quiet = self.quiet;
        layer.check.external_id_probe = self.no_external_id_probe.map(|without| !without);
    }
}

impl CatalogArgs {
    /// Refuses two connections for one scope.
    pub(crate) fn refuse_repeated_connections(&self) -> Result<(), ConfigError> {
        let mut scopes: Vec<_> = self.connections.iter().map(|(scope, _)| scope).collect();
        scopes.sort_unstable();
        match scopes.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0]) {
            Some(scope) => Err(ConfigError::value("--connection", format!("{} has two connections", Escaped(scope)))),
            None => Ok(()),
        }
    }

    pub(crate) fn overlay(&self, layer: &mut Layer) {
        let export = &mut layer.export;
        export.datahub.env = self.env.clone();
        export.datahub.platform_instance = self.platform_instance.clone();
        export.openmetadata.names = self.names.clone();
        export.openmetadata.service = self.service.clone();
        export.atlan.connections = (!self.connections.is_empty()).then(|| self.connections.iter().cloned().collect());
    }
}
