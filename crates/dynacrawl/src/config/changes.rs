//! `[changes]`: which changes dynacrawl reports, and when a removal needs a confirmation.

use dynacrawl_engine::settings::{Accepted, ChangeSettings, Emit, FailSafe, scopes};

use super::error::ConfigError;
use super::raw;
use super::values::{in_range, one_of, required};

impl raw::Changes {
    /// The settings of all runs, and the removals and retirements that the user has accepted.
    pub(super) fn validate(self) -> Result<(ChangeSettings, Accepted), ConfigError> {
        let key = "changes.emit (--emit)";
        let emit = match self.emit.as_deref() {
            None | Some("snapshot") => Emit::Snapshot,
            Some("changes") => Emit::Changes,
            Some("both") => Emit::Both,
            Some(other) => return Err(one_of(key, other, &["snapshot", "changes", "both"])),
        };
        let settings = ChangeSettings {
            emit,
            emit_is_given: self.emit.is_some(),
            drift: required("changes.drift", self.drift)?,
            fail_safe: FailSafe {
                percent: in_range("changes.fail_safe_percent", self.fail_safe_percent, 1, 100)?,
                from: in_range("changes.fail_safe_from", self.fail_safe_from, 1, 1_000_000)?,
            },
        };
        let accepted = Accepted {
            removals: scopes("changes.accept_removals (--accept-removals)", &self.accept_removals.unwrap_or_default())?,
            retirements: scopes(
                "changes.accept_retirements (--accept-retirements)",
                &self.accept_retirements.unwrap_or_default(),
            )?,
        };
        Ok((settings, accepted))
    }
}

/// Refuses settings that need a state, for a configuration without one.
pub(super) fn need_a_state(changes: &ChangeSettings, accepted: &Accepted) -> Result<(), ConfigError> {
    let problem = "needs a state; name one with state.path (--state)";
    let given = [
        (changes.emit.changes(), "changes.emit (--emit)"),
        (changes.drift, "changes.drift (--drift)"),
        (!accepted.removals.is_empty(), "changes.accept_removals (--accept-removals)"),
        (!accepted.retirements.is_empty(), "changes.accept_retirements (--accept-retirements)"),
    ];
    given.into_iter().find(|(given, _)| *given).map_or(Ok(()), |(_, key)| Err(ConfigError::value(key, problem)))
}
