//! DynamoDB's Regions, which the SDK does not list.

use dynacrawl_model::{Partition, Region};

/// Every Region that has DynamoDB, and whether an account has to opt in to it.
const REGIONS: &[(&str, bool)] = &[
    ("af-south-1", true),
    ("ap-east-1", true),
    ("ap-east-2", true),
    ("ap-northeast-1", false),
    ("ap-northeast-2", false),
    ("ap-northeast-3", false),
    ("ap-south-1", false),
    ("ap-south-2", true),
    ("ap-southeast-1", false),
    ("ap-southeast-2", false),
    ("ap-southeast-3", true),
    ("ap-southeast-4", true),
    ("ap-southeast-5", true),
    ("ap-southeast-6", true),
    ("ap-southeast-7", true),
    ("ca-central-1", false),
    ("ca-west-1", true),
    ("eu-central-1", false),
    ("eu-central-2", true),
    ("eu-north-1", false),
    ("eu-south-1", true),
    ("eu-south-2", true),
    ("eu-west-1", false),
    ("eu-west-2", false),
    ("eu-west-3", false),
    ("il-central-1", true),
    ("me-central-1", true),
    ("me-south-1", true),
    ("mx-central-1", true),
    ("sa-east-1", false),
    ("us-east-1", false),
    ("us-east-2", false),
    ("us-west-1", false),
    ("us-west-2", false),
    ("cn-north-1", false),
    ("cn-northwest-1", false),
    ("us-gov-east-1", false),
    ("us-gov-west-1", false),
    ("eusc-de-east-1", false),
    ("us-iso-east-1", false),
    ("us-iso-west-1", false),
    ("us-isob-east-1", false),
    ("us-isob-west-1", false),
    ("eu-isoe-west-1", false),
    ("us-isof-east-1", false),
    ("us-isof-south-1", false),
];

/// The names of the Regions that this version lists.
pub fn known_regions() -> impl Iterator<Item = &'static str> {
    REGIONS.iter().map(|(name, _)| *name)
}

/// Whether this version lists the Region. AWS may have opened it since.
pub fn is_known_region(region: &Region) -> bool {
    known_regions().any(|name| name == region.as_str())
}

/// Whether an account has to opt in to the Region before it can be used.
pub fn is_opt_in_region(region: &Region) -> bool {
    REGIONS.iter().any(|(name, opt_in)| *opt_in && *name == region.as_str())
}

/// Whether the Region may be disabled for an account. Accounts have to opt in to every Region
/// opened since 2019, so a Region that this version does not list is assumed to be opt-in.
pub fn may_be_disabled(region: &Region) -> bool {
    is_opt_in_region(region) || !is_known_region(region)
}

/// The Region of the STS endpoint if none is configured: the first of the target's Regions that
/// every account has enabled, else the partition's main one. Tokens of a Regional endpoint are
/// valid in all Regions.
pub fn default_sts_region(partition: &Partition, regions: &[Region]) -> Region {
    if let Some(region) = regions.iter().find(|r| is_known_region(r) && !is_opt_in_region(r)) {
        return region.clone();
    }
    main_region(partition)
}

/// A Region of the partition that every account has enabled.
fn main_region(partition: &Partition) -> Region {
    let main = match partition.as_str() {
        "aws-cn" => "cn-north-1",
        "aws-us-gov" => "us-gov-west-1",
        "aws-eusc" => "eusc-de-east-1",
        "aws-iso" => "us-iso-east-1",
        "aws-iso-b" => "us-isob-east-1",
        "aws-iso-e" => "eu-isoe-west-1",
        "aws-iso-f" => "us-isof-south-1",
        _ => "us-east-1",
    };
    main.parse().unwrap_or_else(|_| unreachable!("the names above are Regions"))
}

/// The Region for which requests to the partition's global services (AWS Organizations, AWS Account
/// Management) are signed.
pub fn global_region(partition: &Partition) -> Region {
    match partition.as_str() {
        "aws-cn" => "cn-northwest-1".parse().unwrap_or_else(|_| unreachable!("the name of a Region")),
        _ => main_region(partition),
    }
}

#[cfg(test)]
mod tests {
    use dynacrawl_model::Region;

    use super::{default_sts_region, known_regions};

    #[test]
    fn listed_regions_are_valid_and_partitions_are_complete() {
        let count = |partition: &str| {
            known_regions().filter(|r| r.parse::<Region>().expect(r).partition().as_str() == partition).count()
        };
        assert_eq!([count("aws"), count("aws-cn"), count("aws-us-gov"), count("aws-eusc")], [34, 2, 2, 1]);
    }

    #[test]
    fn sts_defaults_to_a_region_that_is_always_enabled() {
        let regions = |names: &[&str]| names.iter().map(|n| n.parse().expect(n)).collect::<Vec<Region>>();
        let sts = |names: &[&str]| {
            let regions = regions(names);
            default_sts_region(&regions[0].partition(), &regions).to_string()
        };
        assert_eq!(sts(&["af-south-1", "eu-west-1"]), "eu-west-1");
        assert_eq!(sts(&["af-south-1"]), "us-east-1");
        assert_eq!(sts(&["cn-northwest-1"]), "cn-northwest-1");
        assert_eq!(sts(&["eusc-de-east-1"]), "eusc-de-east-1");
    }
}
