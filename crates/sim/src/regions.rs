//! The Regions of AWS, and their opt-in status in an account.

use crate::account_state::AccountState;

/// How many of [`COMMERCIAL`] every account has without opting in.
const BY_DEFAULT: usize = 17;

/// The Regions of the partition `aws`: first those that are enabled by default, then those to opt in to.
pub(crate) const COMMERCIAL: [&str; 34] = [
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
    "eu-west-1",
    "eu-west-2",
    "eu-central-1",
    "eu-north-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-northeast-1",
    "ca-central-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "eu-west-3",
    "sa-east-1",
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-south-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ca-west-1",
    "eu-central-2",
    "eu-south-1",
    "eu-south-2",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
];

/// The opt-in status of a Region in an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OptIn {
    NotRequired,
    Done,
    Open,
}

/// The Regions that an account has and, in `aws`, those that it could opt in to, sorted by name.
pub(crate) fn regions_of(account: &AccountState) -> Vec<(&str, OptIn)> {
    let commercial = account.partition == "aws";
    let mut regions: Vec<(&str, OptIn)> = account
        .regions()
        .map(|region| {
            let by_default = !commercial || COMMERCIAL[..BY_DEFAULT].contains(&region);
            (region, if by_default { OptIn::NotRequired } else { OptIn::Done })
        })
        .collect();
    if commercial {
        let open = COMMERCIAL[BY_DEFAULT..].iter().filter(|region| account.scope(region).is_none());
        regions.extend(open.map(|region| (*region, OptIn::Open)));
    }
    regions.sort_unstable_by_key(|(region, _)| *region);
    regions
}

/// The Region of a partition that no account can disable.
pub(crate) fn home_region(partition: &str) -> &'static str {
    match partition {
        "aws-cn" => "cn-north-1",
        "aws-us-gov" => "us-gov-west-1",
        "aws-eusc" => "eusc-de-east-1",
        "aws-iso" => "us-iso-east-1",
        "aws-iso-b" => "us-isob-east-1",
        _ => "us-east-1",
    }
}

/// The Region for which requests to the global services of a partition are signed.
pub(crate) fn global_region(partition: &str) -> &'static str {
    if partition == "aws-cn" { "cn-northwest-1" } else { home_region(partition) }
}
