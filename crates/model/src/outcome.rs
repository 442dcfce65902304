//! How a scope and a run ended, in numbers that add up.

use std::ops::AddAssign;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ChangeKind, Operation};

/// How many tables a [`Problem`] names at most; its `table_count` says how many there are.
pub const MAX_NAMED_TABLES: usize = 100;

/// How a scope ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The listing reached its end, and every selected table was described or is gone.
    Complete,
    /// The listing reached its end; some tables were denied, throttled, failed or not attempted, the listing left out tables
    /// that exist, all listed tables vanished, or (with a state) it is not settled which are gone.
    Partial,
    /// At least one page of the listing came, the last one did not.
    IncompleteListing,
    /// No page came: ListTables was denied.
    Denied,
    /// No page came: ListTables was throttled to the last attempt.
    Throttled,
    /// No page came: the Region is not enabled for the account.
    NotOptedIn,
    /// The credentials could not be had, were refused, or belong to another account or Region than the scope's.
    AuthFailed,
    /// No page came: the endpoint could not be reached.
    Unreachable,
    /// No page came, for another reason.
    Failed,
    /// The run was interrupted before the scope ended.
    Cancelled,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 10] = [
        Self::Complete,
        Self::Partial,
        Self::IncompleteListing,
        Self::Denied,
        Self::Throttled,
        Self::NotOptedIn,
        Self::AuthFailed,
        Self::Unreachable,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The word for it in the output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Partial => "partial",
            Self::IncompleteListing => "incomplete_listing",
            Self::Denied => "denied",
            Self::Throttled => "throttled",
            Self::NotOptedIn => "not_opted_in",
            Self::AuthFailed => "auth_failed",
            Self::Unreachable => "unreachable",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Whether ListTables reached its last page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Listing {
    /// The last page came: the names are all there are.
    Complete,
    /// The last page did not come: there may be tables that this run knows nothing of.
    Incomplete,
}

/// Why a table could not be described.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureReason {
    /// IAM denied DescribeTable.
    Denied,
    /// Throttled to the last attempt.
    Throttled,
    /// Listed, but DescribeTable says twice that there is no such table: it was deleted meanwhile.
    Vanished,
    /// Another error, to the last attempt.
    Failed,
}

/// Tables by what became of them: `listed = unselected + selected` and
/// `selected + unlisted = described + denied + throttled + vanished + failed + not_attempted`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    /// Names that ListTables gave, each counted once.
    pub listed: u64,
    /// Names that the filters left out.
    pub unselected: u64,
    /// Names that the filters let through.
    pub selected: u64,
    /// With a state: tables of earlier crawls that ListTables left out and DescribeTable found all the same.
    #[serde(default)]
    pub unlisted: u64,
    /// Tables that were described.
    pub described: u64,
    /// Tables whose DescribeTable was denied.
    pub denied: u64,
    /// Tables whose DescribeTable was throttled to the last attempt.
    pub throttled: u64,
    /// Tables that were gone when they were to be described.
    pub vanished: u64,
    /// Tables whose DescribeTable failed otherwise.
    pub failed: u64,
    /// Tables that were not asked for, or whose answer was not awaited: interrupted, credentials gone, or a dry run.
    pub not_attempted: u64,
}

impl Counts {
    /// Whether both equations hold.
    pub fn add_up(&self) -> bool {
        let ended = self.described + self.denied + self.throttled + self.vanished + self.failed + self.not_attempted;
        self.listed == self.unselected + self.selected && self.selected + self.unlisted == ended
    }

    /// Counts one table that could not be described.
    pub fn fail(&mut self, reason: FailureReason) {
        match reason {
            FailureReason::Denied => self.denied += 1,
            FailureReason::Throttled => self.throttled += 1,
            FailureReason::Vanished => self.vanished += 1,
            FailureReason::Failed => self.failed += 1,
        }
    }

    /// Tables that exist, as far as is known, and are missing from the output.
    pub fn missing(&self) -> u64 {
        self.denied + self.throttled + self.failed + self.not_attempted
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        // Taken apart field by field, so that a new field cannot be forgotten.
        let Self {
            listed,
            unselected,
            selected,
            unlisted,
            described,
            denied,
            throttled,
            vanished,
            failed,
            not_attempted,
        } = other;
        self.listed += listed;
        self.unselected += unselected;
        self.selected += selected;
        self.unlisted += unlisted;
        self.described += described;
        self.denied += denied;
        self.throttled += throttled;
        self.vanished += vanished;
        self.failed += failed;
        self.not_attempted += not_attempted;
    }
}

/// Changes by their kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChangeCounts {
    /// `table_added` lines.
    pub added: u64,
    /// `table_changed` lines.
    pub changed: u64,
    /// `table_recreated` lines.
    pub recreated: u64,
    /// `table_removed` lines.
    pub removed: u64,
    /// `table_unselected` lines.
    pub unselected: u64,
    /// Tables that are gone, and whose removal is held back until a person accepts it.
    pub held: u64,
}

impl ChangeCounts {
    /// How many tables changed so. Scopes that were retired are not counted by scope.
    pub fn of(&self, kind: ChangeKind) -> u64 {
        match kind {
            ChangeKind::Added => self.added,
            ChangeKind::Changed => self.changed,
            ChangeKind::Recreated => self.recreated,
            ChangeKind::Removed => self.removed,
            ChangeKind::Unselected => self.unselected,
            ChangeKind::Retired => 0,
        }
    }

    /// Counts a change of a table.
    pub fn count(&mut self, kind: ChangeKind) {
        match kind {
            ChangeKind::Added => self.added += 1,
            ChangeKind::Changed => self.changed += 1,
            ChangeKind::Recreated => self.recreated += 1,
            ChangeKind::Removed => self.removed += 1,
            ChangeKind::Unselected => self.unselected += 1,
            ChangeKind::Retired => {}
        }
    }
}

impl AddAssign for ChangeCounts {
    fn add_assign(&mut self, other: Self) {
        let Self { added, changed, recreated, removed, unselected, held } = other;
        self.added += added;
        self.changed += changed;
        self.recreated += recreated;
        self.removed += removed;
        self.unselected += unselected;
        self.held += held;
    }
}

/// What told the Regions of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RegionsSource {
    /// account:ListRegions
    #[serde(rename = "account:ListRegions")]
    ListRegions,
    /// ec2:DescribeRegions
    #[serde(rename = "ec2:DescribeRegions")]
    DescribeRegions,
    /// The list of DynamoDB's Regions in this version of dynacrawl: neither of the two calls told.
    #[serde(rename = "built_in")]
    BuiltIn,
}

impl RegionsSource {
    /// The word for it in the output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ListRegions => Operation::ListRegions.action(),
            Self::DescribeRegions => Operation::DescribeRegions.action(),
            Self::BuiltIn => "built_in",
        }
    }
}

/// How fast ListTables and DescribeTable, which share one quota, were asked in a scope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pace {
    /// Requests a second that the configuration allows; `null` where there is no limit.
    pub limit: Option<u32>,
    /// The most requests that were sent within a second.
    pub reached: u64,
    /// The lowest rate, in requests a second, that throttling led to; `null` where nothing was throttled.
    pub lowest: Option<f64>,
}

/// Something that went wrong in a scope, or that its reader should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// AWS's error code, or a word of ours in `snake_case`.
    pub code: String,
    /// What happened, for people.
    pub message: String,
    /// The API that was called, if it was one.
    pub operation: Option<Operation>,
    /// How many tables it is about.
    pub table_count: u64,
    /// The names of those tables, the first 100.
    pub table_names: Vec<String>,
}

impl Problem {
    /// A problem of the scope as a whole.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), operation: None, table_count: 0, table_names: Vec::new() }
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunOutcome {
    /// Every scope is complete.
    Complete,
    /// Something is missing, and the records name it.
    Partial,
    /// No scope gave a single page.
    Failed,
    /// Interrupted.
    Cancelled,
}

impl RunOutcome {
    /// Every outcome.
    pub const ALL: [Self; 4] = [Self::Complete, Self::Partial, Self::Failed, Self::Cancelled];

    /// The word for it in the output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Scopes by outcome: `planned` is the sum of those after it, `targets_failed` aside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "each field counts the outcome of its name")]
pub struct ScopeTotals {
    pub planned: u64,
    pub complete: u64,
    pub partial: u64,
    pub incomplete_listing: u64,
    pub denied: u64,
    pub throttled: u64,
    pub not_opted_in: u64,
    pub auth_failed: u64,
    pub unreachable: u64,
    pub failed: u64,
    pub cancelled: u64,
    /// Targets whose scopes could not even be found out.
    pub targets_failed: u64,
}

impl ScopeTotals {
    /// Counts a scope that ended.
    pub fn count(&mut self, outcome: Outcome) {
        let field = match outcome {
            Outcome::Complete => &mut self.complete,
            Outcome::Partial => &mut self.partial,
            Outcome::IncompleteListing => &mut self.incomplete_listing,
            Outcome::Denied => &mut self.denied,
            Outcome::Throttled => &mut self.throttled,
            Outcome::NotOptedIn => &mut self.not_opted_in,
            Outcome::AuthFailed => &mut self.auth_failed,
            Outcome::Unreachable => &mut self.unreachable,
            Outcome::Failed => &mut self.failed,
            Outcome::Cancelled => &mut self.cancelled,
        };
        *field += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::{Counts, FailureReason, Outcome, RunOutcome, ScopeTotals};

    #[test]
    fn counts_add_up_only_when_both_equations_hold() {
        let mut counts =
            Counts { listed: 5, unselected: 1, selected: 4, described: 1, not_attempted: 1, ..Counts::default() };
        assert!(!counts.add_up());
        counts.fail(FailureReason::Denied);
        counts.fail(FailureReason::Vanished);
        assert!(counts.add_up());
        assert_eq!(counts.missing(), 2);
        counts.unlisted += 1;
        assert!(!counts.add_up());
        counts.described += 1;
        counts += counts;
        assert!(counts.add_up());
        counts.listed += 1;
        assert!(!counts.add_up());
    }

    #[test]
    fn the_words_for_outcomes_are_those_in_json() {
        for outcome in RunOutcome::ALL {
            assert_eq!(serde_json::to_value(outcome).expect("JSON"), outcome.as_str());
        }
        let mut counted = ScopeTotals::default();
        for name in serde_json::to_value(counted).expect("JSON").as_object().expect("an object").keys() {
            if let Ok(outcome) = serde_json::from_value::<Outcome>(name.as_str().into()) {
                assert_eq!(outcome.as_str(), name);
                counted.count(outcome);
            }
        }
        assert_eq!((counted.complete, counted.not_opted_in, counted.cancelled), (1, 1, 1));
    }
}
