//! What the lines of the output say, after the envelope that all have in common. The order of the fields is the order on the
//! line.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

use crate::{
    AccountId, ChangeCounts, Counts, FailureReason, IndexKind, KeyElement, Listing, Outcome, Pace, Problem, Region,
    RegionsSource, Requests, RunOutcome, Scope, ScopeTotals, TableArn, TableName, Timestamp,
};

/// What the run set out to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunStarted {
    /// When the run began.
    pub at: Timestamp,
    /// dynacrawl's version.
    pub version: String,
    /// A hash of the settings that decide what the output holds; secrets are not part of it.
    pub config_digest: String,
    /// The targets, as configured.
    pub targets: Vec<TargetSummary>,
    /// The probes asked for.
    pub probes: Vec<String>,
    /// Whether a run that was killed or interrupted goes on here. It keeps its `run_id`; what is complete is not crawled
    /// again.
    pub resumed: bool,
}

/// A target as it was configured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TargetSummary {
    /// The target's name.
    pub name: String,
    /// The account, where the configuration tells it.
    pub account_id: Option<AccountId>,
    /// The role that is assumed last, if any; with `{account}` and `{partition}` where it stands for many.
    pub role_arn: Option<String>,
    /// The Regions; empty where they are to be found out.
    pub regions: Vec<Region>,
    /// Whether all Regions that the account has enabled are to be crawled (`regions_discovered` names them).
    pub all_regions: bool,
    /// Whether it stands for the accounts of an organization (`accounts_discovered` names them).
    pub organization: bool,
}

/// The accounts that an organization has, as its management account or a delegated administrator sees them. Each that is
/// named becomes a target of its own, called TARGET/ACCOUNT.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AccountsDiscovered {
    /// The target's name.
    pub target: String,
    /// The active accounts that the target's filters let through.
    pub accounts: Vec<AccountId>,
    /// How many accounts organizations:ListAccounts gave.
    pub listed: u64,
    /// How many of those are not active (suspended, pending closure, closed, pending activation).
    pub inactive: u64,
    /// How many active ones the filters left out.
    pub filtered: u64,
}

/// The Regions that a target's account has enabled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RegionsDiscovered {
    /// The target's name.
    pub target: String,
    /// The account, as far as it is known.
    pub account_id: Option<AccountId>,
    /// The Regions, each of which is a scope.
    pub regions: Vec<Region>,
    /// What told them.
    pub source: RegionsSource,
    /// Why the sources before it did not tell.
    pub problems: Vec<Problem>,
}

/// A table, whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Table {
    /// When AWS's answer was read.
    pub observed_at: Timestamp,
    /// The version of the fingerprint, a colon, and a hash of the table's structural part: without counts, sizes,
    /// provisioned capacity, states in passing, momentary warm throughput, and `extra`.
    pub fingerprint: String,
    /// The table.
    pub table: crate::Table,
    /// The probes that were asked for, by name.
    pub probes: BTreeMap<String, Probe>,
}

/// The answer of an optional extra call for a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Probe {
    /// How it went.
    pub status: ProbeStatus,
    /// The answer, with status `ok`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// AWS's error code, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// When it was answered.
    pub observed_at: Timestamp,
}

/// How a probe went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum ProbeStatus {
    Ok,
    Absent,
    Denied,
    Throttled,
    Failed,
    Skipped,
}

/// The key of a table or of an index.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KeySchema {
    /// When AWS's answer was read.
    pub observed_at: Timestamp,
    /// The table's name.
    pub table: TableName,
    /// The table's ARN.
    pub table_arn: Option<TableArn>,
    /// The index whose key it is; `null` for the table's own.
    pub index: Option<OwnerIndex>,
    /// The key's attributes, in AWS's order.
    pub key_schema: Vec<KeyElement>,
}

/// Which index a key belongs to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OwnerIndex {
    /// The kind of the index.
    pub kind: IndexKind,
    /// The name of the index.
    pub name: Option<String>,
}

/// An index, without its key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Index {
    /// When AWS's answer was read.
    pub observed_at: Timestamp,
    /// The table's name.
    pub table: TableName,
    /// The table's ARN.
    pub table_arn: Option<TableArn>,
    /// The index.
    pub index: crate::Index,
}

/// A table that was selected and could not be described.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TableFailed {
    /// The table's name.
    pub table: TableName,
    /// Why.
    pub reason: FailureReason,
    /// AWS's error code, or a word of ours in `snake_case`.
    pub code: String,
    /// What AWS said.
    pub message: String,
    /// How many requests were sent for it.
    pub attempts: u32,
}

/// A table's name and the filters' verdict on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TableListed {
    /// The table's name.
    pub table: TableName,
    /// Whether a crawl would describe it.
    pub selected: bool,
    /// The rule that decided.
    pub rule: FilterRule,
}

/// The rule that decided whether a table is selected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FilterRule {
    /// Which rule.
    pub kind: FilterRuleKind,
    /// The regular expression, where one decided.
    pub pattern: Option<String>,
}

/// Which rule decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FilterRuleKind {
    /// An exclude expression matched: not selected.
    Exclude,
    /// An include expression matched: selected.
    Include,
    /// There are include expressions, and none matched: not selected.
    NoIncludeMatched,
    /// There is no include expression: selected.
    Default,
}

/// How a scope went: exactly one for each planned scope, its last line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScopeCompleted {
    /// The target that the scope belongs to.
    pub target: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Whether ListTables reached its last page.
    pub listing: Listing,
    /// Tables by what became of them.
    pub counts: Counts,
    /// Requests per API.
    pub requests: Requests,
    /// How fast they were sent.
    pub pace: Pace,
    /// How long it took, in milliseconds; where a run was resumed in its middle, since then.
    pub duration_ms: u64,
    /// What changed since the state was written last; `null` without a state, and if nothing was compared because nothing proves
    /// whose tables these are.
    pub changes: Option<ChangeCounts>,
    /// What went wrong, and what the reader should know.
    pub problems: Vec<Problem>,
}

/// A target whose scopes could not be found out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TargetFailed {
    /// The target's name.
    pub target: String,
    /// The account, where the configuration tells it.
    pub account_id: Option<AccountId>,
    /// Why.
    pub outcome: Outcome,
    /// AWS's error code, or a word of ours in `snake_case`.
    pub code: String,
    /// What happened.
    pub message: String,
}

/// Accounts and Regions whose retirement waits for a person.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HeldRetirements {
    /// How many there are.
    pub count: u64,
    /// The first 100 of them.
    pub scopes: Vec<Scope>,
    /// Why they are held; `null` if there are none.
    pub reason: Option<String>,
}

/// How the run went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunCompleted {
    /// When the run ended.
    pub at: Timestamp,
    /// How it ended.
    pub outcome: RunOutcome,
    /// Scopes by outcome.
    pub scopes: ScopeTotals,
    /// Tables by what became of them, over all scopes.
    pub counts: Counts,
    /// Requests per API, over all scopes.
    pub requests: Requests,
    /// What changed since the state was written last, over all scopes; `null` without a state.
    pub changes: Option<ChangeCounts>,
    /// The accounts and Regions that the run does not cover and that stay in the state until a person accepts that they are
    /// retired; `null` without a state, and if the run ended before that was decided.
    #[serde(default)]
    pub retirements_held: Option<HeldRetirements>,
    /// How long it took, in milliseconds; where it was resumed, without the time in between.
    pub duration_ms: u64,
}
