//! What one run is to do, besides the settings that all runs share.

use std::collections::BTreeSet;

use dynacrawl_model::{AccountId, Escaped, Region, Scope};

use super::error::SettingError;
use super::sink::SinkChoice;

/// What one run is to do, besides the settings that all runs share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunRequest {
    /// The targets, by the names under which they are configured; `None`: all.
    pub targets: Option<Vec<String>>,
    /// The schedule that starts the run; `None`: a person, or the start of the daemon.
    pub schedule: Option<String>,
    /// What a person has accepted.
    pub accepted: Accepted,
    /// Whether flags or environment variables describe the target, instead of a file.
    pub described_by_flags: bool,
    /// The sinks that the run delivers to.
    pub sinks: SinkChoice,
}

/// The scopes whose removals or retirement a person has accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// The scopes whose removals are accepted, however many tables are removed.
    pub removals: BTreeSet<(AccountId, Region)>,
    /// The scopes whose retirement is accepted.
    pub retirements: BTreeSet<(AccountId, Region)>,
}

/// The prefix of an accepted retirement in the state.
const RETIREMENT: &str = "retirement:";

impl Accepted {
    /// As words, which the state keeps with a run.
    pub fn words(&self) -> Vec<String> {
        let word = |prefix: &str, (account, region): &(AccountId, Region)| format!("{prefix}{account}/{region}");
        let removals = self.removals.iter().map(|scope| word("", scope));
        removals.chain(self.retirements.iter().map(|scope| word(RETIREMENT, scope))).collect()
    }

    /// From the words that the state keeps with a run. A word that cannot be read was not accepted.
    pub fn of_words(words: &[String]) -> Self {
        let mut accepted = Self::default();
        for word in words {
            let (scope, into) = match word.strip_prefix(RETIREMENT) {
                Some(scope) => (scope, &mut accepted.retirements),
                None => (word.as_str(), &mut accepted.removals),
            };
            into.extend(scopes("accepted", &[scope.to_owned()]).unwrap_or_default());
        }
        accepted
    }

    /// Whether a person has accepted the removals of a scope.
    pub fn removals_of(&self, scope: &Scope) -> bool {
        let key = scope.account_id.clone().map(|account_id| (account_id, scope.region.clone()));
        key.is_some_and(|key| self.removals.contains(&key))
    }

    /// Adds what was accepted elsewhere.
    pub fn extend(&mut self, other: Self) {
        self.removals.extend(other.removals);
        self.retirements.extend(other.retirements);
    }
}

/// Parses scopes, each as ACCOUNT/REGION.
///
/// # Errors
/// If a text is not a scope; the error names `key`.
pub fn scopes(key: &str, texts: &[String]) -> Result<BTreeSet<(AccountId, Region)>, SettingError> {
    let scope = |text: &String| {
        let parts = text
            .split_once('/')
            .and_then(|(account, region)| Some((account.parse::<AccountId>().ok()?, region.parse::<Region>().ok()?)));
        parts.ok_or_else(|| {
            let text = Escaped(text);
            SettingError::new(
                key,
                format!("'{text}' is not a scope; expected ACCOUNT/REGION, such as 123456789012/eu-west-1"),
            )
        })
    };
    texts.iter().map(scope).collect()
}

#[cfg(test)]
mod tests {
    use super::{Accepted, scopes};

    #[test]
    fn acceptances_are_the_same_when_read_from_the_state() {
        let one = |text: &str| scopes("key", &[text.to_owned()]).expect("a scope");
        let accepted = Accepted { removals: one("123456789012/eu-west-1"), retirements: one("123456789012/us-east-1") };
        assert_eq!(Accepted::of_words(&accepted.words()), accepted);
    }

    #[test]
    fn a_scope_is_an_account_and_a_region() {
        let read = |text: &str| scopes("--accept-removals", &[text.to_owned()]);
        assert_eq!(read("123456789012/eu-west-1").expect("a scope").len(), 1);
        for wrong in ["123456789012", "12/eu-west-1", "123456789012/Ireland", "eu-west-1/123456789012", ""] {
            let error = read(wrong).expect_err(wrong).to_string();
            assert!(error.contains("expected ACCOUNT/REGION"), "{error}");
        }
    }
}
