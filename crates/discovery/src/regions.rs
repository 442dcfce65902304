//! The Regions that an account has enabled: account:ListRegions, else ec2:DescribeRegions, else the
//! built-in list.

use std::collections::BTreeSet;

use aws_sdk_account::config::{Builder, Region as SdkRegion};
use aws_sdk_account::types::RegionOptStatus;
use aws_smithy_runtime::client::retries::RetryPartition;
use aws_smithy_types::retry::RetryConfig;
use aws_types::SdkConfig;
use dynacrawl_auth::{CachedCredentials, Caller};
use dynacrawl_aws::{AwsError, ErrorClass, Quota, RetryPolicy, global_region, known_regions};
use dynacrawl_model::{Escaped, Operation, Partition, Region, RegionsSource};

use crate::ec2::Ec2;
use crate::{DiscoveryError, DiscoveryUrls, Page, pages};

/// The Regions that were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundRegions {
    /// The Regions, in order.
    pub regions: Vec<Region>,
    /// Where they come from.
    pub source: RegionsSource,
    /// Why earlier sources failed, and what could not be read of this one's response.
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

impl AccountRegions {
    /// Sets up the clients, which use the account's credentials in the Region of `config`; nothing
    /// is called yet.
    pub fn new(
        config: &SdkConfig,
        credentials: &CachedCredentials,
        urls: &DiscoveryUrls,
        quota: Quota,
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
            ec2: Ec2::new(config, credentials.clone(), urls.ec2.clone()),
            caller: Caller::within(quota, credentials.clone(), retry),
            partition,
        }
    }

    /// The Regions from the first source that returns them. The last one always does: its Regions
    /// that are not enabled end as scopes that are not opted in.
    pub async fn enabled(&self) -> FoundRegions {
        let mut passed_over = Vec::new();
        match self.ask_account().await {
            Ok((regions, unreadable)) => {
                passed_over.extend(unreadable);
                return FoundRegions { regions, source: RegionsSource::ListRegions, passed_over };
            }
            Err(error) => passed_over.push(error),
        }
        match self.ask_ec2().await {
            Ok((regions, unreadable)) => {
                passed_over.extend(unreadable);
                return FoundRegions { regions, source: RegionsSource::DescribeRegions, passed_over };
            }
            Err(error) => passed_over.push(error),
        }
        let known = known_regions().filter_map(|name| name.parse::<Region>().ok());
        let regions: BTreeSet<_> = known.filter(|region| region.partition() == self.partition).collect();
        let regions = Vec::from_iter(regions);
        FoundRegions { regions, source: RegionsSource::BuiltIn, passed_over }
    }

    async fn ask_account(&self) -> Result<Answer, DiscoveryError> {
        let page = |next: Option<String>| async {
            let call = self.account.list_regions().max_results(50).set_next_token(next);
            let enabled = call
                .region_opt_status_contains(RegionOptStatus::Enabled)
                .region_opt_status_contains(RegionOptStatus::EnabledByDefault);
            let answer = enabled.send().await.map_err(|error| AwsError::from_sdk(&error))?;
            // A server that ignores the filter sends all Regions.
            let enabled = answer.regions().iter().filter(|region| {
                matches!(
                    region.region_opt_status(),
                    None | Some(RegionOptStatus::Enabled | RegionOptStatus::EnabledByDefault)
                )
            });
            let regions = enabled.map(|region| self::region(region.region_name().unwrap_or_default()));
            Ok(Page::new(regions, answer.next_token.clone()))
        };
        let listed = pages(&self.caller, Operation::ListRegions, page).await;
        match listed.failed {
            Some(failed) => Err(failed),
            None => not_empty(Operation::ListRegions, listed.items.into_keys().collect(), listed.unreadable),
        }
    }

    async fn ask_ec2(&self) -> Result<Answer, DiscoveryError> {
        let names = self.caller.call(Operation::DescribeRegions, |_| {}, || self.ec2.describe_regions()).await;
        let names =
            names.map_err(|failed| DiscoveryError { operation: Operation::DescribeRegions, error: failed.error })?;
        let page = Page::new(names.iter().map(|name| region(name)), None);
        let regions: BTreeSet<_> = page.items.into_iter().map(|(region, ())| region).collect();
        let unreadable = page.unreadable.first().map(|problem| invalid(Operation::DescribeRegions, problem));
        not_empty(Operation::DescribeRegions, Vec::from_iter(regions), unreadable)
    }
}

/// The Regions of a response, in order, and what of it cannot be read.
type Answer = (Vec<Region>, Option<DiscoveryError>);

fn region(name: &str) -> Result<(Region, ()), String> {
    let region = name.parse().map_err(|_| format!("'{}' is not the name of a Region", Escaped(name)))?;
    Ok((region, ()))
}

fn invalid(operation: Operation, message: &str) -> DiscoveryError {
    DiscoveryError { operation, error: AwsError::new(ErrorClass::Other, "invalid_response", message) }
}

/// Every account has Regions, so a response without any is broken.
fn not_empty(
    operation: Operation,
    regions: Vec<Region>,
    unreadable: Option<DiscoveryError>,
) -> Result<Answer, DiscoveryError> {
    if regions.is_empty() {
        return Err(unreadable.unwrap_or_else(|| invalid(operation, "the answer names no Region")));
    }
    Ok((regions, unreadable))
}
