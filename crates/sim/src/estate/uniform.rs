//! Estates of any size for benchmarks.

use super::{Account, DemoAccess, Estate, Role, Tables};

/// The twelve Regions that uniform estates use first; more are numbered.
const REGIONS: [&str; 12] = [
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
];

impl Estate {
    /// The id of the account whose user may assume the role `Reader` in every account of a uniform estate.
    pub const HUB: &str = "999999999999";

    /// The id of account `index` of a uniform estate.
    #[must_use]
    pub fn uniform_account_id(index: usize) -> String {
        format!("{:012}", 100_000_000_000 + index)
    }

    /// `accounts` accounts with `regions` Regions each, each of them with `tables_per_scope` generated tables, and a
    /// hub account without tables. [`Estate::access`] holds the accounts' own keys; the hub's are those of
    /// [`Account::new`] with [`Estate::HUB`].
    #[must_use]
    pub fn uniform(accounts: usize, regions: usize, tables_per_scope: u64) -> Self {
        let regions: Vec<String> = (0..regions)
            .map(|index| REGIONS.get(index).map_or_else(|| format!("xx-test-{index}"), |name| (*name).to_owned()))
            .collect();
        let mut members: Vec<Account> = (0..accounts)
            .map(|index| {
                let account = Account::new(Self::uniform_account_id(index)).role(Role::new("Reader").trusts(Self::HUB));
                regions
                    .iter()
                    .fold(account, |account, region| account.region(region, Tables::new().generated(tables_per_scope)))
            })
            .collect();
        let access =
            members.iter().enumerate().map(|(index, account)| account.access(format!("account-{index}"))).collect();
        members.push(regions.iter().fold(Account::new(Self::HUB), |hub, region| hub.region(region, Tables::new())));
        Self { access: DemoAccess { accounts: access }, ..Self::new(members) }
    }
}
