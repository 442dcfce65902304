//! Which scopes in the state the configuration no longer covers. A scope that could not be
//! discovered or reached, or that this run does not crawl, is still covered: a failure retires
//! nothing. If so many would be retired that a fault is more likely, a person has to accept it
//! first.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use dynacrawl_model::{Account, AccountId, Body, HeldRetirements, Record, Region};
use dynacrawl_state::KnownScope;

use super::claims::Claims;
use crate::settings::{Accepted, FailSafe, UnselectedTarget};

/// The most held scopes that a record names.
const NAMED: usize = 100;

/// Scopes to retire, and scopes that have to wait.
#[derive(Debug, Default)]
pub(crate) struct Retirements {
    /// These are no longer crawled.
    pub(crate) retired: Vec<KnownScope>,
    /// These stay until a person accepts their retirement.
    pub(crate) held: HeldRetirements,
}

/// The rules for retirements.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    /// How many scopes may be retired at once.
    pub(crate) fail_safe: FailSafe,
    /// What a person has accepted.
    pub(crate) accepted: &'a Accepted,
    /// Whether flags describe the target: they may cover only a part of the state, and the rest is
    /// not to be retired.
    pub(crate) described_by_flags: bool,
}

/// What a run covers, and what it may cover.
#[derive(Debug, Default)]
pub(crate) struct Covered {
    /// Planned scopes whose account the configuration names.
    scopes: HashSet<(AccountId, Region)>,
    /// Target and Region of planned scopes whose account only the crawl reveals.
    unknown: HashSet<(String, Region)>,
    /// Accounts whose list of Regions may be incomplete.
    accounts: BTreeSet<AccountId>,
    /// Whether a target's list of accounts may be incomplete, so that any account may be covered.
    any: bool,
    /// The accounts that each organization has now, by its target.
    organizations: BTreeMap<String, BTreeSet<AccountId>>,
}

impl Covered {
    pub(crate) fn plan(&mut self, target: &str, account_id: Option<&AccountId>, region: &Region) {
        match account_id {
            Some(account_id) => self.scopes.insert((account_id.clone(), region.clone())),
            None => self.unknown.insert((target.to_owned(), region.clone())),
        };
    }

    /// Takes note of a record about a target.
    pub(crate) fn see(&mut self, record: &Record) {
        match &record.body {
            Body::TargetFailed(failed) => self.unsure(failed.account_id.as_ref()),
            // A source that failed may have named more Regions than the next one.
            Body::RegionsDiscovered(found) if !found.problems.is_empty() => self.unsure(found.account_id.as_ref()),
            Body::AccountsDiscovered(found) => self.organization(&found.target, &found.accounts),
            _ => {}
        }
    }

    /// Takes note of the accounts of an organization.
    pub(crate) fn organization(&mut self, target: &str, accounts: &[Account]) {
        let ids = accounts.iter().map(|account| account.id.clone()).collect();
        self.organizations.insert(target.to_owned(), ids);
    }

    /// Decides about all scopes in the state. `unproven`: a scope of the run ended without proof of
    /// which account its tables belong to.
    pub(crate) fn decide(
        &self,
        known: Vec<KnownScope>,
        claims: &Claims,
        unselected_targets: &[UnselectedTarget],
        wanted: &Wanted<'_>,
        unproven: bool,
    ) -> Retirements {
        let total = known.len() as u64;
        let shrunk = self.shrunk(&known, wanted);
        let leaving = known.into_iter().filter(|known| self.has_left(known, claims, unselected_targets));
        let accepted = |known: &KnownScope| {
            let key = (known.key.account_id.clone(), known.key.region.clone());
            wanted.accepted.retirements.contains(&key)
        };
        let (mut retired, waiting): (Vec<_>, Vec<_>) = leaving.partition(accepted);
        let count = waiting.len() as u64;
        let reason = if wanted.described_by_flags {
            Some(
                "the command line describes or chooses the targets, which may be a part of what the state has"
                    .to_owned(),
            )
        } else if unproven {
            Some("nothing proves whose tables some of the scopes have".to_owned())
        } else if wanted.fail_safe.holds(total, count) {
            Some(format!(
                "{count} of {total} accounts and Regions would be retired at once, which is more likely a fault"
            ))
        } else {
            None
        };
        let (held, reason) = match reason {
            Some(reason) => (waiting, Some(reason)),
            None => {
                let (held, rest): (Vec<_>, Vec<_>) =
                    waiting.into_iter().partition(|known| shrunk.contains(&known.key.account_id));
                retired.extend(rest);
                (
                    held,
                    Some(
                        "an organization lists far fewer accounts than before, which is more likely a fault".to_owned(),
                    ),
                )
            }
        };
        let scopes = held.iter().take(NAMED).map(|known| known.key.scope()).collect();
        let reason = reason.filter(|_| !held.is_empty());
        Retirements { retired, held: HeldRetirements { count: held.len() as u64, scopes, reason } }
    }

    /// The accounts that an organization no longer lists, if they are so many of its accounts in
    /// the state that the fail-safe holds.
    fn shrunk(&self, known: &[KnownScope], wanted: &Wanted<'_>) -> BTreeSet<AccountId> {
        let mut shrunk = BTreeSet::new();
        for (target, now) in &self.organizations {
            let is_member = |known: &&KnownScope| {
                known.target.strip_prefix(target.as_str()).and_then(|rest| rest.strip_prefix('/'))
                    == Some(known.key.account_id.as_str())
            };
            let before: BTreeSet<_> =
                known.iter().filter(is_member).map(|known| known.key.account_id.clone()).collect();
            let gone: BTreeSet<_> = before.difference(now).cloned().collect();
            if wanted.fail_safe.holds(before.len() as u64, gone.len() as u64) {
                shrunk.extend(gone);
            }
        }
        shrunk
    }

    pub(crate) fn unsure(&mut self, account_id: Option<&AccountId>) {
        match account_id {
            Some(account_id) => {
                self.accounts.insert(account_id.clone());
            }
            None => self.any = true,
        }
    }

    /// Whether a scope is no longer covered. `unselected_targets` are configured, but not part of
    /// this run.
    fn has_left(&self, known: &KnownScope, claims: &Claims, unselected_targets: &[UnselectedTarget]) -> bool {
        let (account, region) = (&known.key.account_id, &known.key.region);
        // A target that has claimed another account does not lead to this one.
        let open = |(target, of): &(String, Region)| of == region && !claims.has_claimed(target, of);
        let covered = claims.is_claimed(account, region)
            || self.any
            || self.accounts.contains(account)
            || self.scopes.contains(&(account.clone(), region.clone()))
            || self.unknown.iter().any(open)
            || unselected_targets.iter().any(|other| other.may_be(account, region));
        !covered
    }
}

#[cfg(test)]
mod tests {
    use dynacrawl_model::{Account, AccountId, Region};
    use dynacrawl_state::{KnownScope, ScopeKey};

    use super::{Covered, Retirements, Wanted};
    use crate::claims::Claims;
    use crate::settings::{Accepted, FailSafe, UnselectedTarget};

    const ONE: &str = "111111111111";
    const OTHER: &str = "222222222222";

    fn region() -> Region {
        "eu-west-1".parse().expect("a Region")
    }

    fn account(id: &str) -> AccountId {
        id.parse().expect("an account")
    }

    fn left(covered: &Covered, claims: &Claims, unselected_targets: &[UnselectedTarget]) -> bool {
        let key = ScopeKey { partition: "aws".into(), account_id: account(ONE), region: region() };
        let known = KnownScope {
            id: 1,
            key,
            account_name: None,
            target: "payments".to_owned(),
            last_listed_at: None,
            last_complete_at: None,
        };
        covered.has_left(&known, claims, unselected_targets)
    }

    const FAIL_SAFE: FailSafe = FailSafe { percent: 30, from: 10 };

    fn known(number: u64, target: &str) -> KnownScope {
        let key = ScopeKey { partition: "aws".into(), account_id: account(&format!("{number:012}")), region: region() };
        let target = format!("{target}/{}", key.account_id);
        KnownScope { id: 1, key, account_name: None, target, last_listed_at: None, last_complete_at: None }
    }

    /// How many of `all` known scopes are retired and held, if the first `left` are still covered.
    fn decided(all: u64, left: u64, adjust: impl FnOnce(&mut Covered, &mut Accepted)) -> (usize, u64) {
        let (mut covered, mut accepted) = (Covered::default(), Accepted::default());
        for number in 0..left {
            covered.plan("org", Some(&account(&format!("{number:012}"))), &region());
        }
        adjust(&mut covered, &mut accepted);
        let known = (0..all).map(|number| known(number, "org")).collect();
        let wanted = Wanted { fail_safe: FAIL_SAFE, accepted: &accepted, described_by_flags: false };
        let Retirements { retired, held } = covered.decide(known, &Claims::default(), &[], &wanted, false);
        assert_eq!(held.reason.is_some(), held.count > 0);
        (retired.len(), held.count)
    }

    #[test]
    fn too_many_retirements_at_once_wait_for_a_person() {
        assert_eq!(decided(20, 19, |_, _| {}), (1, 0));
        assert_eq!(decided(20, 1, |_, _| {}), (0, 19));
        assert_eq!(decided(5, 4, |_, _| {}), (1, 0));
        assert_eq!(decided(5, 0, |_, _| {}), (0, 5), "all of them, from two on");
        assert_eq!(decided(1, 0, |_, _| {}), (1, 0));
        let accept = |_: &mut Covered, accepted: &mut Accepted| {
            accepted.retirements.extend((1..20).map(|number| (account(&format!("{number:012}")), region())));
        };
        assert_eq!(decided(20, 1, accept), (19, 0));
    }

    #[test]
    fn an_organization_that_shrank_keeps_its_accounts() {
        let accepted = Accepted::default();
        let wanted = Wanted { fail_safe: FAIL_SAFE, accepted: &accepted, described_by_flags: false };
        let mut known: Vec<_> = (0..20).map(|number| known(number, "org")).collect();
        known.extend((100..300).map(|number| self::known(number, "elsewhere")));
        let mut covered = Covered::default();
        covered.organization("org", &[Account { id: account("000000000000"), name: None, email: None, state: None }]);
        for other in &known {
            if other.target.starts_with("elsewhere") || other.key.account_id.as_str() == "000000000000" {
                covered.plan("x", Some(&other.key.account_id), &region());
            }
        }
        let Retirements { retired, held } = covered.decide(known, &Claims::default(), &[], &wanted, false);
        assert_eq!((retired.len(), held.count), (0, 19));
    }

    #[test]
    fn flags_and_an_unproven_identity_retire_only_what_is_accepted() {
        let mut accepted = Accepted::default();
        accepted.retirements.insert((account("000000000001"), region()));
        for (described_by_flags, unproven) in [(true, false), (false, true)] {
            let wanted = Wanted { fail_safe: FAIL_SAFE, accepted: &accepted, described_by_flags };
            let known = (0..2).map(|number| known(number, "org")).collect();
            let Retirements { retired, held } =
                Covered::default().decide(known, &Claims::default(), &[], &wanted, unproven);
            assert_eq!((retired.len(), held.count), (1, 1));
            assert_eq!(retired[0].key.account_id, account("000000000001"));
        }
    }

    #[test]
    fn a_scope_that_is_not_planned_is_no_longer_covered() {
        assert!(left(&Covered::default(), &Claims::default(), &[]));
        let mut covered = Covered::default();
        covered.plan("other", Some(&account(OTHER)), &region());
        covered.plan("payments", Some(&account(ONE)), &"us-east-1".parse().expect("a Region"));
        assert!(left(&covered, &Claims::default(), &[]));
    }

    #[test]
    fn a_crawled_scope_is_covered_if_its_target_was_renamed() {
        let claims = Claims::default();
        claims.claim(&account(ONE), &region(), "renamed");
        assert!(!left(&Covered::default(), &claims, &[]));
    }

    #[test]
    fn an_unreachable_scope_is_covered_if_its_target_was_renamed() {
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
    fn an_account_that_may_have_more_regions_is_covered() {
        let mut covered = Covered::default();
        covered.unsure(Some(&account(OTHER)));
        assert!(left(&covered, &Claims::default(), &[]));
        covered.unsure(Some(&account(ONE)));
        assert!(!left(&covered, &Claims::default(), &[]));
        let mut covered = Covered::default();
        covered.unsure(None);
        assert!(!left(&covered, &Claims::default(), &[]), "an organization whose accounts are unknown");
    }

    #[test]
    fn a_target_that_is_not_part_of_the_run_is_covered() {
        let elsewhere = |account_id: Option<&str>, regions: Option<&[&str]>| UnselectedTarget {
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
