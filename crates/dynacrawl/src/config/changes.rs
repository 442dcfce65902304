//! What is told about changes, and when a removal needs a person.

use std::collections::BTreeSet;

use dynacrawl_model::{AccountId, Region, Scope};

use super::ConfigError;
use super::raw;
use super::values::{in_range, one_of, required};

/// What is told about changes, and when a removal needs a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeSettings {
    /// What the output holds.
    pub emit: Emit,
    /// Whether that is configured, and not the default.
    pub emit_is_given: bool,
    /// Whether what drifts by itself counts as a change.
    pub drift: bool,
    /// How many tables may go at once.
    pub fail_safe: FailSafe,
    /// The scopes whose removals a person has accepted.
    pub accepted: BTreeSet<(AccountId, Region)>,
    /// The scopes whose retirement a person has accepted.
    pub accepted_retirements: BTreeSet<(AccountId, Region)>,
}

/// What the output holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emit {
    /// Every table.
    Snapshot,
    /// What changed.
    Changes,
    /// Both.
    Both,
}

/// How many of a scope's tables may go at once without a person accepting it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailSafe {
    /// From this share of the known tables on, in percent, removals are held back.
    pub percent: u32,
    /// Where so many tables are known, or more.
    pub from: u64,
}

impl Emit {
    /// Whether every table is written.
    pub fn snapshot(self) -> bool {
        self != Self::Changes
    }

    /// Whether changes are written.
    pub fn changes(self) -> bool {
        self != Self::Snapshot
    }
}

impl FailSafe {
    /// Whether the removal of `going` out of `known` tables is held back.
    pub fn holds(self, known: u64, going: u64) -> bool {
        let share = known >= self.from && going.saturating_mul(100) >= known.saturating_mul(u64::from(self.percent));
        going > 0 && (share || (known >= 2 && going >= known))
    }
}

impl ChangeSettings {
    pub(super) fn validate(raw: raw::Changes) -> Result<Self, ConfigError> {
        let key = "changes.emit (--emit)";
        let emit = match raw.emit.as_deref() {
            None | Some("snapshot") => Emit::Snapshot,
            Some("changes") => Emit::Changes,
            Some("both") => Emit::Both,
            Some(other) => return Err(one_of(key, other, &["snapshot", "changes", "both"])),
        };
        Ok(Self {
            emit,
            emit_is_given: raw.emit.is_some(),
            drift: required("changes.drift", raw.drift)?,
            fail_safe: FailSafe {
                percent: in_range("changes.fail_safe_percent", raw.fail_safe_percent, 1, 100)?,
                from: in_range("changes.fail_safe_from", raw.fail_safe_from, 1, 1_000_000)?,
            },
            accepted: accepted(
                "changes.accept_removals (--accept-removals)",
                &raw.accept_removals.unwrap_or_default(),
            )?,
            accepted_retirements: accepted(
                "changes.accept_retirements (--accept-retirements)",
                &raw.accept_retirements.unwrap_or_default(),
            )?,
        })
    }

    /// Refuses what only a state can do, where there is none.
    pub(super) fn need_a_state(&self) -> Result<(), ConfigError> {
        let said = "needs a state; name one with state.path (--state)";
        let asked = [
            (self.emit.changes(), "changes.emit (--emit)"),
            (self.drift, "changes.drift (--drift)"),
            (!self.accepted.is_empty(), "changes.accept_removals (--accept-removals)"),
            (!self.accepted_retirements.is_empty(), "changes.accept_retirements (--accept-retirements)"),
        ];
        asked.into_iter().find(|(asked, _)| *asked).map_or(Ok(()), |(_, key)| Err(ConfigError::value(key, said)))
    }

    /// Whether a person has accepted the removals of a scope.
    pub fn accepts(&self, scope: &Scope) -> bool {
        let key = scope.account_id.clone().map(|account_id| (account_id, scope.region.clone()));
        key.is_some_and(|key| self.accepted.contains(&key))
    }
}

/// How the state tells an accepted retirement from an accepted removal.
const RETIREMENT: &str = "retirement:";

impl ChangeSettings {
    /// What was accepted, as the state keeps it with a run.
    pub(crate) fn accepted_words(&self) -> Vec<String> {
        let word = |prefix: &str, (account, region): &(AccountId, Region)| format!("{prefix}{account}/{region}");
        let removals = self.accepted.iter().map(|scope| word("", scope));
        removals.chain(self.accepted_retirements.iter().map(|scope| word(RETIREMENT, scope))).collect()
    }
}

/// What the state keeps with a run: accepted removals, and accepted retirements. What cannot be read was not accepted.
pub(crate) fn accepted_before(words: &[String]) -> [BTreeSet<(AccountId, Region)>; 2] {
    let of = |retirements: bool| {
        let chosen = words.iter().filter_map(|word| match word.strip_prefix(RETIREMENT) {
            Some(scope) => retirements.then(|| scope.to_owned()),
            None => (!retirements).then(|| word.clone()),
        });
        chosen.filter_map(|scope| accepted("accepted", &[scope]).ok()).flatten().collect()
    };
    [of(false), of(true)]
}

/// Scopes, each as ACCOUNT/REGION.
pub(crate) fn accepted(key: &str, scopes: &[String]) -> Result<BTreeSet<(AccountId, Region)>, ConfigError> {
    let scope = |text: &String| {
        let parts = text
            .split_once('/')
            .and_then(|(account, region)| Some((account.parse::<AccountId>().ok()?, region.parse::<Region>().ok()?)));
        parts.ok_or_else(|| {
            let said = dynacrawl_model::Escaped(text);
            ConfigError::value(
                key,
                format!("'{said}' is no scope; expected ACCOUNT/REGION, such as 123456789012/eu-west-1"),
            )
        })
    };
    scopes.iter().map(scope).collect()
}

#[cfg(test)]
mod tests {
    use super::{ChangeSettings, Emit, FailSafe, accepted, accepted_before};

    #[test]
    fn the_fail_safe_holds_from_its_share_on_and_where_nothing_would_be_left() {
        let fail_safe = FailSafe { percent: 30, from: 10 };
        for (known, going, holds) in [
            (10, 2, false),
            (10, 3, true),
            (11, 3, false),
            (11, 4, true),
            (9, 8, false),
            (9, 9, true),
            (2, 1, false),
            (2, 2, true),
            (1, 1, false),
            (0, 0, false),
            (1000, 299, false),
            (1000, 300, true),
        ] {
            assert_eq!(fail_safe.holds(known, going), holds, "{going} of {known}");
        }
    }

    #[test]
    fn what_was_accepted_comes_back_from_the_state() {
        let scopes = |text: &str| accepted("key", &[text.to_owned()]).expect("a scope");
        let settings = ChangeSettings {
            emit_is_given: true,
            emit: Emit::Both,
            drift: false,
            fail_safe: FailSafe { percent: 30, from: 10 },
            accepted: scopes("123456789012/eu-west-1"),
            accepted_retirements: scopes("123456789012/us-east-1"),
        };
        let words = settings.accepted_words();
        assert_eq!(accepted_before(&words), [settings.accepted, settings.accepted_retirements]);
    }

    #[test]
    fn a_scope_is_an_account_and_a_region() {
        let scopes = |text: &str| accepted("--accept-removals", &[text.to_owned()]);
        assert_eq!(scopes("123456789012/eu-west-1").expect("a scope").len(), 1);
        for wrong in ["123456789012", "12/eu-west-1", "123456789012/Ireland", "eu-west-1/123456789012", ""] {
            let said = scopes(wrong).expect_err(wrong).to_string();
            assert!(said.contains("expected ACCOUNT/REGION"), "{said}");
        }
    }
}
