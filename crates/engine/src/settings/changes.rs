//! How changes are reported, and when a person has to accept a removal.

/// How changes are reported, and when a person has to accept a removal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeSettings {
    /// What the output holds.
    pub emit: Emit,
    /// Whether `emit` is configured, and not the default.
    pub emit_is_given: bool,
    /// Whether fields that drift by themselves count as changes.
    pub drift: bool,
    /// How many tables may be removed at once.
    pub fail_safe: FailSafe,
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

/// How many of a scope's tables may be removed at once without a person accepting it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailSafe {
    /// The share of the tables in the state, in percent, from which removals are held back.
    pub percent: u32,
    /// How many tables the state must have for `percent` to apply.
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
        let share = known >= self.from && self.is_share(known, going);
        going > 0 && (share || (known >= 2 && going >= known))
    }

    /// The same for tables that are no longer followed. There are often few of them, and fewer once the others are
    /// followed again, so it is `going` that has to be large: what is held stays held.
    pub fn holds_former(self, known: u64, going: u64) -> bool {
        going > 0 && going >= self.from && self.is_share(known, going)
    }

    fn is_share(self, known: u64, going: u64) -> bool {
        going.saturating_mul(100) >= known.saturating_mul(u64::from(self.percent))
    }
}

#[cfg(test)]
mod tests {
    use super::FailSafe;

    #[test]
    fn the_fail_safe_holds_from_its_share_on_or_if_nothing_is_left() {
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
            assert_eq!(fail_safe.holds_former(known, going), holds && going >= 10, "{going} of {known}");
        }
    }
}
