//! The Regions that an account has enabled: account:ListRegions, else ec2:DescribeRegions, else the list of this version.

use aws_sdk_account::config::{Builder, Region as SdkRegion};
use aws_sdk_account::types::RegionOptStatus;
use aws_smithy_runtime::client::retries::RetryPartition;
use aws_smithy_types::retry::RetryConfig;
use aws_types::SdkConfig;
use dynacrawl_auth::{CachedCredentials, Caller};
use dynacrawl_aws::{AwsError, BudgetSettings, ErrorClass, RetryPolicy, global_region, known_regions};
use dynacrawl_model::{Partition, Region, RegionsSource};

use crate::ec2::Ec2;
use crate::{DiscoveryError, DiscoveryUrls, pages};

/// The Regions that were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundRegions {
    /// The Regions, in order.
    pub regions: Vec<Region>,
    /// What told them.
    pub source: RegionsSource,
    /// The sources that were asked before it, and why they did not tell.
    pub passed_over: Vec<DiscoveryError>,
}

/// One account's Regions.
#[derive(Debug)]
pub struct AccountRegions {
    account: aws_sdk_account::Client,
    ec2: Ec2,
    caller: Caller,
    partition: Partition,
}

const LIST_REGIONS: &str = "account:ListRegions";
const DESCRIBE_REGIONS: &str = "ec2:DescribeRegions";

impl AccountRegions {
    /// Sets up the clients, which ask with the account's credentials in the Region of `config`; nothing is called yet.
    pub fn new(
        config: &SdkConfig,
        credentials: &CachedCredentials,
        urls: &DiscoveryUrls,
        budget: BudgetSettings,
        retry: RetryPolicy,
        partition: Partition,
    ) -> Self {
        let mut builder = Builder::from(config)
            .region(SdkRegion::new(global_region(&partition).as_str().to_owned()))
            .credentials_provider(credentials.clone())
            .retry_config(RetryConfig::disabled())
            .retry_partition(RetryPartition::custom("").build());
        if let Some(url) = &urls.account {
            builder = builder.endpoint_url(url);
        }
        Self {
            account: aws_sdk_account::Client::from_conf(builder.build()),
            ec2: Ec2::new(config, credentials.clone(), urls.ec2.as_deref(), &partition),
            caller: Caller::within(budget, credentials.clone(), retry),
            partition,
        }
    }

    /// The Regions, from the first source that tells them. The last one always does: what it names too much ends as a
    /// scope that is not opted in.
    pub async fn enabled(&self) -> FoundRegions {
        let mut passed_over = Vec::new();
        match self.ask_account().await {
            Ok(regions) => return FoundRegions { regions, source: RegionsSource::ListRegions, passed_over },
            Err(error) => passed_over.push(error),
        }
        match self.ask_ec2().await {
            Ok(regions) => return FoundRegions { regions, source: RegionsSource::DescribeRegions, passed_over },
            Err(error) => passed_over.push(error),
        }
        let known = known_regions().filter_map(|name| name.parse::<Region>().ok());
        let regions = sorted(known.filter(|region| region.partition() == self.partition));
        FoundRegions { regions, source: RegionsSource::BuiltIn, passed_over }
    }

    async fn ask_account(&self) -> Result<Vec<Region>, DiscoveryError> {
        let page = |next: Option<String>| async {
            let call = self.account.list_regions().max_results(50).set_next_token(next);
            let enabled = call
                .region_opt_status_contains(RegionOptStatus::Enabled)
                .region_opt_status_contains(RegionOptStatus::EnabledByDefault);
            let answer = enabled.send().await.map_err(|error| AwsError::from_sdk(&error))?;
            // A server that does not know the filter sends all.
            let enabled = answer.regions().iter().filter(|region| {
                matches!(
                    region.region_opt_status(),
                    None | Some(RegionOptStatus::Enabled | RegionOptStatus::EnabledByDefault)
                )
            });
            let regions: Vec<_> = enabled.filter_map(|region| region.region_name()?.parse().ok()).collect();
            Ok((regions, answer.next_token))
        };
        match pages(&self.caller, LIST_REGIONS, page).await {
            (regions, None) => told(regions, LIST_REGIONS),
            (_, Some(failed)) => Err(failed),
        }
    }

    async fn ask_ec2(&self) -> Result<Vec<Region>, DiscoveryError> {
        let names = self.caller.call(crate::operation(DESCRIBE_REGIONS), |_| {}, || self.ec2.describe_regions()).await;
        let names = names.map_err(|failed| DiscoveryError { action: DESCRIBE_REGIONS, error: failed.error })?;
        told(names.iter().filter_map(|name| name.parse().ok()).collect(), DESCRIBE_REGIONS)
    }
}

/// No account is without a Region, so an answer that names none is broken.
fn told(regions: Vec<Region>, action: &'static str) -> Result<Vec<Region>, DiscoveryError> {
    if regions.is_empty() {
        let error = AwsError::new(ErrorClass::Other, "invalid_response", "the answer names no Region");
        return Err(DiscoveryError { action, error });
    }
    Ok(sorted(regions))
}

fn sorted(regions: impl IntoIterator<Item = Region>) -> Vec<Region> {
    let mut regions: Vec<_> = regions.into_iter().collect();
    regions.sort();
    regions.dedup();
    regions
}
