//! `--demo`: the embedded simulator instead of AWS.

use std::collections::BTreeMap;
use std::sync::Arc;

use dynacrawl_auth::{BaseCredentials, CredentialSpec, UserKeys};
use dynacrawl_engine::RunPlan;
use dynacrawl_engine::settings::{SettingError, Target};
use dynacrawl_sim::{Estate, Options, Simulator};
use secrecy::SecretString;

use crate::config::{Config, Layer, RawAssumeRole, RawRegions, RawTarget};

/// A running simulator with its demo estate. Dropping it stops the simulator.
#[derive(Debug)]
pub struct Demo {
    simulator: Simulator,
}

impl Demo {
    /// Starts the simulator on a free loopback port.
    ///
    /// # Errors
    /// If the simulator cannot start.
    pub fn start(with_faults: bool) -> std::io::Result<Self> {
        let estate = if with_faults { Estate::demo_with_faults() } else { Estate::demo() };
        Ok(Self { simulator: Simulator::start(estate, &Options::default())? })
    }

    /// Fewer attempts and less patience than with AWS: a throttled scope of the simulator stays
    /// throttled.
    pub(crate) fn layer(&self) -> Layer {
        let mut layer = Layer::default();
        layer.crawl.max_attempts = Some(4);
        layer.crawl.patience = Some("1s".to_owned());
        layer.aws.endpoint_url = Some(self.simulator.url());
        layer.sts.endpoint_url = Some(self.simulator.url());
        layer
    }

    pub(crate) fn targets(&self) -> Vec<RawTarget> {
        let accounts = self.simulator.access().accounts.iter();
        let target = accounts.map(|account| RawTarget {
            name: Some(account.name.clone()),
            regions: Some(RawRegions(account.regions.clone())),
            assume_role: account.role_arn.clone().map(|arn| {
                vec![RawAssumeRole {
                    arn,
                    external_id: account.external_id.clone(),
                    session_name: None,
                    duration: None,
                }]
            }),
            ..RawTarget::default()
        });
        target.collect()
    }

    /// Overrides AWS's own environment variables that could lead requests away from the simulator.
    pub(crate) fn seclude(&self, config: &mut Config) {
        config.run.http.use_proxies = false;
        config.run.http.plain = true;
        config.run.http.ca_bundle = None;
        config.run.endpoints.use_fips = Some(false);
        config.run.endpoints.use_dual_stack = Some(false);
    }

    /// Plans a run with the demo accounts' keys.
    pub(crate) fn plan(&self, config: &Config) -> Result<RunPlan, SettingError> {
        let keys: BTreeMap<_, _> =
            self.simulator.access().accounts.iter().map(|account| (account.name.as_str(), account)).collect();
        RunPlan::with_credentials(&Arc::new(config.run.clone()), config.request.clone(), |target: &Target| {
            let account =
                keys.get(target.name.as_str()).ok_or_else(|| SettingError::new("--demo", "no such account"))?;
            Ok(CredentialSpec {
                base: BaseCredentials::Keys(UserKeys {
                    access_key_id: account.access_key_id.clone(),
                    secret_access_key: SecretString::from(account.secret_access_key.as_str()),
                    session_token: None,
                }),
                chain: target.chain.clone(),
            })
        })
    }
}
