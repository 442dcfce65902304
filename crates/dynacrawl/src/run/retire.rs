//! Which of the known scopes the configuration does not cover any more. What could not be found out, was not asked for this time
//! or could not be reached is still covered: a failure retires nothing.

use std::collections::{BTreeSet, HashSet};

use dynacrawl_model::{Record, Region};
use dynacrawl_state::KnownScope;

use super::claims::Claims;

/// What a run covers.
#[derive(Debug, Default)]
pub(crate) struct Covered {
    /// Target and Region of every scope that was planned.
    planned: HashSet<(String, Region)>,
    /// Targets whose accounts or Regions are not surely known.
    unsure: HashSet<String>,
}

impl Covered {
    pub(crate) fn plan(&mut self, target: &str, region: &Region) {
        self.planned.insert((target.to_owned(), region.clone()));
    }

    /// Looks at a record about a target.
    pub(crate) fn see(&mut self, record: &Record) {
        match record {
            Record::TargetFailed(failed) => self.unsure(&failed.target),
            // A source that failed may have named more Regions than the one after it.
            Record::RegionsDiscovered(found) if !found.problems.is_empty() => self.unsure(&found.target),
            _ => {}
        }
    }

    pub(crate) fn unsure(&mut self, target: &str) {
        self.unsure.insert(target.to_owned());
    }

    /// Whether a scope is not covered any more; `elsewhere` are the configured targets that are not part of this run.
    pub(crate) fn has_left(&self, known: &KnownScope, claims: &Claims, elsewhere: &BTreeSet<String>) -> bool {
        let (account, region) = (&known.key.account_id, &known.key.region);
        if claims.is_claimed(account, region) {
            return false;
        }
        // A target that stands for many has its name before each account's.
        let is_of = |name: &String| {
            known.target.strip_prefix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if self.unsure.iter().any(is_of) || elsewhere.iter().any(is_of) {
            return false;
        }
        // Planned, and nothing told its account: it may well be this one.
        let planned = self.planned.contains(&(known.target.clone(), region.clone()));
        !planned || claims.has_claimed(&known.target, region)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use dynacrawl_model::{AccountId, Region};
    use dynacrawl_state::{KnownScope, ScopeKey};

    use super::Covered;
    use crate::run::claims::Claims;

    const ONE: &str = "111111111111";
    const OTHER: &str = "222222222222";

    fn region() -> Region {
        "eu-west-1".parse().expect("a Region")
    }

    fn account(id: &str) -> AccountId {
        id.parse().expect("an account")
    }

    fn known(target: &str) -> KnownScope {
        let key = ScopeKey { partition: "aws".into(), account_id: account(ONE), region: region() };
        KnownScope { id: 1, key, target: target.to_owned(), last_listed_at: None, last_complete_at: None }
    }

    fn left(covered: &Covered, claims: &Claims, target: &str, elsewhere: &[&str]) -> bool {
        let elsewhere: BTreeSet<_> = elsewhere.iter().map(|name| (*name).to_owned()).collect();
        covered.has_left(&known(target), claims, &elsewhere)
    }

    #[test]
    fn a_scope_that_is_not_planned_has_left() {
        assert!(left(&Covered::default(), &Claims::default(), "payments", &[]));
        assert!(left(&Covered::default(), &Claims::default(), "payments", &["pay"]), "another target");
    }

    #[test]
    fn a_scope_that_was_crawled_is_covered_whatever_its_target_is_called_now() {
        let claims = Claims::default();
        claims.claim(&account(ONE), &region(), "renamed");
        assert!(!left(&Covered::default(), &claims, "payments", &[]));
    }

    #[test]
    fn a_planned_scope_that_could_not_be_reached_is_covered() {
        let mut covered = Covered::default();
        covered.plan("payments", &region());
        let claims = Claims::default();
        assert!(!left(&covered, &claims, "payments", &[]));
        claims.claim(&account(OTHER), &region(), "payments");
        assert!(left(&covered, &claims, "payments", &[]), "the target leads to another account now");
    }

    #[test]
    fn what_is_unsure_or_not_part_of_the_run_is_covered() {
        let mut covered = Covered::default();
        covered.unsure("organization");
        assert!(!left(&covered, &Claims::default(), "organization", &[]));
        assert!(!left(&covered, &Claims::default(), "organization/111111111111", &[]));
        assert!(left(&covered, &Claims::default(), "organization2", &[]));
        assert!(!left(&Covered::default(), &Claims::default(), "payments/111111111111", &["payments"]));
    }
}
