//! Estates of any size for benchmarks.

use super::{Account, DemoAccess, Estate, Organization, OrganizationalUnit, Role, Tables};
use crate::regions::COMMERCIAL;

/// Accounts in each organizational unit.
const UNIT_SIZE: usize = 100;

impl Estate {
    /// The id of the account whose user may assume the role `Reader` in every account of a uniform estate.
    pub const HUB: &str = "999999999999";

    /// The id of account `index` of a uniform estate.
    #[must_use]
    pub fn uniform_account_id(index: usize) -> String {
        format!("{:012}", 100_000_000_000 + index)
    }

    /// `accounts` accounts with `regions` Regions each, each of them with `tables_per_scope`
    /// generated tables, and a hub account without tables. The Regions are those of AWS, beginning
    /// with those that are enabled by default. If these are not enough, further ones have numbers.
    /// [`Estate::access`] has the accounts' own keys; those of the hub are the keys of
    /// [`Account::new`] with [`Estate::HUB`].
    ///
    /// The hub is the management account of an organization of all accounts: its only root has a
    /// unit for every 100 accounts. The hub also has the role `Reader`, so that all members are
    /// reached in the same way.
    #[must_use]
    pub fn uniform(accounts: usize, regions: usize, tables_per_scope: u64) -> Self {
        let regions: Vec<String> = (0..regions)
            .map(|index| COMMERCIAL.get(index).map_or_else(|| format!("xx-test-{index}"), |name| (*name).to_owned()))
            .collect();
        let member = |id: String, tables: &Tables| {
            let account = Account::new(id).role(Role::new("Reader").trusts(Self::HUB));
            regions.iter().fold(account, |account, region| account.region(region, tables.clone()))
        };
        let tables = Tables::new().generated(tables_per_scope);
        let mut members: Vec<Account> =
            (0..accounts).map(|index| member(Self::uniform_account_id(index), &tables)).collect();
        let access =
            members.iter().enumerate().map(|(index, account)| account.access(format!("account-{index}"))).collect();
        let root = members.chunks(UNIT_SIZE).enumerate().fold(
            OrganizationalUnit::new("r-unif").account(Self::HUB),
            |root, (index, members)| {
                let unit = OrganizationalUnit::new(format!("ou-unif-{index:08}")).name(format!("unit-{index}"));
                root.unit(members.iter().fold(unit, |unit, member| unit.account(&*member.id)))
            },
        );
        members.push(member(Self::HUB.to_owned(), &Tables::new()));
        let estate = Self::new(members).organization(Organization::new(Self::HUB).root(root));
        Self { access: DemoAccess { accounts: access }, ..estate }
    }
}
