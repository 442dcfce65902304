//! `[aws]`, `[sts]` and `[discovery]`: which endpoints dynacrawl calls, and how.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use aws_types::endpoint_config::AccountIdEndpointMode;
use dynacrawl_aws::{EndpointSettings, HttpSettings};
use dynacrawl_discovery::DiscoveryUrls;
use dynacrawl_model::{Partition, Region};

use super::error::ConfigError;
use super::raw;
use super::values::{duration, one_of, url};

impl raw::Aws {
    /// How dynacrawl connects, with at most `connections` connections at once.
    pub(super) fn http(&self, connections: usize) -> Result<HttpSettings, ConfigError> {
        Ok(HttpSettings {
            connect_timeout: duration("aws.connect_timeout", self.connect_timeout.as_deref())?,
            answer_timeout: duration("aws.attempt_timeout", self.attempt_timeout.as_deref())?,
            connections,
            ca_bundle: self.ca_bundle.as_deref().map(PathBuf::from),
            use_proxies: true,
            plain: false,
        })
    }

    pub(super) fn credentials_timeout(&self) -> Result<Duration, ConfigError> {
        duration("aws.credentials_timeout", self.credentials_timeout.as_deref())
    }

    /// Which endpoints dynacrawl calls.
    pub(super) fn endpoints(self, sts_url: Option<String>) -> Result<EndpointSettings, ConfigError> {
        let key = "aws.endpoint_url (--endpoint-url)";
        let own_endpoint = self.endpoint_url.as_ref().is_some_and(|url| !url.is_empty());
        if own_endpoint && (self.fips == Some(true) || self.dual_stack == Some(true)) {
            let problem = "cannot be used together with FIPS or dual-stack endpoints (--fips, --dual-stack)";
            return Err(ConfigError::value(key, problem));
        }
        let mode = self.account_id_endpoints;
        Ok(EndpointSettings {
            dynamodb_url: url(key, self.endpoint_url)?,
            sts_url,
            use_fips: self.fips,
            use_dual_stack: self.dual_stack,
            account_id_endpoint_mode: mode.map(|mode| account_id_endpoint_mode(&mode)).transpose()?,
        })
    }
}

impl raw::Sts {
    pub(super) fn url(&mut self) -> Result<Option<String>, ConfigError> {
        url("sts.endpoint_url (--sts-endpoint-url)", self.endpoint_url.take())
    }

    /// The Region whose STS dynacrawl calls, by partition.
    pub(super) fn regions(self) -> Result<BTreeMap<Partition, Region>, ConfigError> {
        let mut regions = BTreeMap::new();
        for (partition, region) in self.regions.unwrap_or_default() {
            let key = format!("sts.regions.{partition}");
            let region: Region = region.parse().map_err(|error| ConfigError::value(&*key, error))?;
            if region.partition().as_str() != partition {
                let problem = format!("{region} is a Region of the partition {}", region.partition());
                return Err(ConfigError::value(key, problem));
            }
            regions.insert(region.partition(), region);
        }
        Ok(regions)
    }
}

impl raw::Discovery {
    pub(super) fn validate(self) -> Result<DiscoveryUrls, ConfigError> {
        Ok(DiscoveryUrls {
            organizations: url(
                "discovery.organizations_endpoint_url (--organizations-endpoint-url)",
                self.organizations_endpoint_url,
            )?,
            account: url("discovery.account_endpoint_url (--account-endpoint-url)", self.account_endpoint_url)?,
            ec2: url("discovery.ec2_endpoint_url (--ec2-endpoint-url)", self.ec2_endpoint_url)?,
        })
    }
}

fn account_id_endpoint_mode(mode: &str) -> Result<AccountIdEndpointMode, ConfigError> {
    mode.parse().map_err(|_| {
        let key = "aws.account_id_endpoints (--account-id-endpoints)";
        one_of(key, mode, &["disabled", "preferred", "required"])
    })
}
