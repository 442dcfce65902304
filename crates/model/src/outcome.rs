//! How scopes and runs ended, with counts that add up.

use std::ops::AddAssign;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ChangeKind, Operation};

/// The most tables that a [`Problem`] names; its `table_count` is the number of all of them.
pub const MAX_NAMED_TABLES: usize = 100;

/// How a scope ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The listing reached its last page, and every selected table was described or has vanished.
    Complete,
    /// The listing reached its last page. But some tables were denied, throttled, failed or not
    /// attempted, ListTables omitted tables that exist, all listed tables vanished, or (with a
    /// state) it is not certain which tables were removed.
    Partial,
    /// The listing received at least one page, but not the last one.
    IncompleteListing,
    /// No page was received: IAM denied ListTables.
    Denied,
    /// No page was received: AWS throttled every attempt of ListTables.
    Throttled,
    /// No page was received: the Region is not enabled for the account.
    NotOptedIn,
    /// The credentials could not be obtained, AWS refused them, or they belong to another account
    /// or Region than the scope.
    AuthFailed,
    /// No page was received: the endpoint could not be reached.
    Unreachable,
    /// No page was received, for another reason.
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
    /// The last page was received, so the listing has all names.
    Complete,
    /// The last page was not received. There may be tables that this run did not list.
    Incomplete,
}

/// Why a table could not be described.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureReason {
    /// IAM denied DescribeTable.
    Denied,
    /// AWS throttled every attempt.
    Throttled,
    /// ListTables returned the name, but DescribeTable answered twice that the table does not
    /// exist: it was deleted meanwhile.
    Vanished,
    /// Another error, up to the last attempt.
    Failed,
}

/// Tables by result: `listed = unselected + selected` and
/// `selected + unlisted = described + denied + throttled + vanished + failed + not_attempted`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    /// Names that ListTables returned, each counted once.
    pub listed: u64,
    /// Listed names that the filters exclude.
    pub unselected: u64,
    /// Listed names that the filters select.
    pub selected: u64,
    /// With a state: tables of earlier crawls that ListTables omitted and DescribeTable found.
    #[serde(default)]
    pub unlisted: u64,
    /// Tables that were described.
    pub described: u64,
    /// Tables for which IAM denied DescribeTable.
    pub denied: u64,
    /// Tables for which AWS throttled every attempt of DescribeTable.
    pub throttled: u64,
    /// Tables that no longer existed when dynacrawl described them.
    pub vanished: u64,
    /// Tables for which DescribeTable failed otherwise.
    pub failed: u64,
    /// Tables for which dynacrawl sent no DescribeTable or did not wait for the answer: the run was
    /// interrupted, the credentials became unusable, or it was a dry run.
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

    /// Tables that are missing from the output although they probably exist.
    pub fn missing(&self) -> u64 {
        self.denied + self.throttled + self.failed + self.not_attempted
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        // Destructured, so that a new field cannot be forgotten.
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

/// Changes by kind.
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
    /// Tables that no longer exist, and whose removal is held until a person confirms it.
    pub held: u64,
}

impl ChangeCounts {
    /// How many tables have a change of this kind. 0 for retired scopes, which are not counted by
    /// scope.
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

/// The source of the Regions of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RegionsSource {
    /// account:ListRegions
    #[serde(rename = "account:ListRegions")]
    ListRegions,
    /// ec2:DescribeRegions
    #[serde(rename = "ec2:DescribeRegions")]
    DescribeRegions,
    /// The list of DynamoDB's Regions in this version of dynacrawl: neither call returned them.
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

/// The request rate of ListTables and DescribeTable together, which share one quota, in a scope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pace {
    /// The requests per second that the configuration allows; `null` if there is no limit.
    pub limit: Option<u32>,
    /// The most requests that dynacrawl sent within one second.
    pub reached: u64,
    /// The lowest rate, in requests per second, that throttling led to; `null` if AWS throttled
    /// nothing.
    pub lowest: Option<f64>,
}

/// Something that went wrong in a scope, or that a reader should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// AWS's error code, or a code of dynacrawl's own in `snake_case`.
    pub code: String,
    /// What happened, for people.
    pub message: String,
    /// The AWS call that the problem is about, if any.
    pub operation: Option<Operation>,
    /// How many tables the problem is about.
    pub table_count: u64,
    /// The names of the first 100 of those tables.
    pub table_names: Vec<String>,
}

impl Problem {
    /// A problem of a scope as a whole.
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
    /// Something is missing or held, and the records name it.
    Partial,
    /// No scope received a single page.
    Failed,
    /// The run was interrupted.
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

/// Scopes by outcome. `planned` is the sum of the fields after it, without `targets_failed`.
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
    /// Targets whose scopes could not be determined.
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
