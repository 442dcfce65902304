//! Which of the known scopes the configuration does not cover any more. What could not be found out, was not asked for this time
//! or could not be reached is still covered: a failure retires nothing.

use std::collections::{BTreeSet, HashSet};

use dynacrawl_model::{AccountId, Record, Region};
use dynacrawl_state::KnownScope;

use super::claims::Claims;
use crate::config::Elsewhere;

/// What a run covers, and what it may cover.
#[derive(Debug, Default)]
pub(crate) struct Covered {
    /// Planned scopes whose account the configuration tells.
    scopes: HashSet<(AccountId, Region)>,
    /// Target and Region of planned scopes whose account only the crawl tells.
    unknown: HashSet<(String, Region)>,
    /// Accounts whose Regions are not surely known.
    accounts: BTreeSet<AccountId>,
    /// A target's accounts are not surely known: any may be among them.
    any: bool,
}

impl Covered {
    pub(crate) fn plan(&mut self, target: &str, account_id: Option<&AccountId>, region: &Region) {
        match account_id {
            Some(account_id) => self.scopes.insert((account_id.clone(), region.clone())),
            None => self.unknown.insert((target.to_owned(), region.clone())),
        };
    }

    /// Looks at a record about a target.
    pub(crate) fn see(&mut self, record: &Record) {
        match record {
            Record::TargetFailed(failed) => self.unsure(failed.account_id.as_ref()),
            // A source that failed may have named more Regions than the one after it.
            Record::RegionsDiscovered(found) if !found.problems.is_empty() => self.unsure(found.account_id.as_ref()),
            _ => {}
        }
    }

    pub(crate) fn unsure(&mut self, account_id: Option<&AccountId>) {
        match account_id {
            Some(account_id) => {
                self.accounts.insert(account_id.clone());
            }
            None => self.any = true,
        }
    }

    /// Whether a scope is not covered any more; `elsewhere` is what is configured and not part of this run.
    pub(crate) fn has_left(&self, known: &KnownScope, claims: &Claims, elsewhere: &[Elsewhere]) -> bool {
        let (account, region) = (&known.key.account_id, &known.key.region);
        // One that has claimed another account is not this one.
        let open = |(target, of): &(String, Region)| of == region && !claims.has_claimed(target, of);
        let covered = claims.is_claimed(account, region)
            || self.any
            || self.accounts.contains(account)
            || self.scopes.contains(&(account.clone(), region.clone()))
            || self.unknown.iter().any(open)
            || elsewhere.iter().any(|other| other.may_be(account, region));
        !covered
    }
}

#[cfg(test)]
mod tests {
    use dynacrawl_model::{AccountId, Region};
    use dynacrawl_state::{KnownScope, ScopeKey};

    use super::Covered;
    use crate::config::Elsewhere;
    use crate::run::claims::Claims;

    const ONE: &str = "111111111111";
    const OTHER: &str = "222222222222";

    fn region() -> Region {
        "eu-west-1".parse().expect("a Region")
    }

    fn account(id: &str) -> AccountId {
        id.parse().expect("an account")
    }

    fn left(covered: &Covered, claims: &Claims, elsewhere: &[Elsewhere]) -> bool {
        let key = ScopeKey { partition: "aws".into(), account_id: account(ONE), region: region() };
        let known =
            KnownScope { id: 1, key, target: "payments".to_owned(), last_listed_at: None, last_complete_at: None };
        covered.has_left(&known, claims, elsewhere)
    }

    #[test]
    fn a_scope_that_is_not_planned_has_left() {
        assert!(left(&Covered::default(), &Claims::default(), &[]));
        let mut covered = Covered::default();
        covered.plan("other", Some(&account(OTHER)), &region());
        covered.plan("payments", Some(&account(ONE)), &"us-east-1".parse().expect("a Region"));
        assert!(left(&covered, &Claims::default(), &[]));
    }

    #[test]
    fn a_scope_that_was_crawled_is_covered_whatever_its_target_is_called_now() {
        let claims = Claims::default();
        claims.claim(&account(ONE), &region(), "renamed");
        assert!(!left(&Covered::default(), &claims, &[]));
    }

    #[test]
    fn a_planned_scope_that_could_not_be_reached_is_covered_whatever_its_target_is_called_now() {
        let mut covered = Covered::default();
        covered.plan("renamed", Some(&account(ONE)), &region());
        assert!(!left(&covered, &Claims::default(), &[]));

        let mut covered = Covered::default();
        covered.plan("renamed", None, &region());
        let claims = Claims::default();
        assert!(!left(&covered, &claims, &[]));
        claims.claim(&account(OTHER), &region(), "renamed");
        assert!(left(&covered, &claims, &[]), "the target leads to another account now");
    }

    #[test]
    fn what_is_unsure_is_covered() {
        let mut covered = Covered::default();
        covered.unsure(Some(&account(OTHER)));
        assert!(left(&covered, &Claims::default(), &[]));
        covered.unsure(Some(&account(ONE)));
        assert!(!left(&covered, &Claims::default(), &[]));
        let mut covered = Covered::default();
        covered.unsure(None);
        assert!(!left(&covered, &Claims::default(), &[]), "an organization that does not tell its accounts");
    }

    #[test]
    fn what_is_not_part_of_the_run_is_covered() {
        let elsewhere = |account_id: Option<&str>, regions: Option<&[&str]>| Elsewhere {
            account_id: account_id.map(account),
            regions: regions.map(|regions| regions.iter().map(|region| region.parse().expect("a Region")).collect()),
        };
        for (other, covers) in [
            (elsewhere(Some(ONE), Some(&["eu-west-1"])), true),
            (elsewhere(Some(ONE), Some(&["us-east-1"])), false),
            (elsewhere(Some(OTHER), Some(&["eu-west-1"])), false),
            (elsewhere(Some(ONE), None), true),
            (elsewhere(None, Some(&["eu-west-1"])), true),
            (elsewhere(None, Some(&["us-east-1"])), false),
            (elsewhere(None, None), true),
        ] {
            assert_eq!(
                !left(&Covered::default(), &Claims::default(), std::slice::from_ref(&other)),
                covers,
                "{other:?}"
            );
        }
    }
}
