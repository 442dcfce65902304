//! The bodies of the output's lines: the members of each line after the envelope, in the order of
//! the fields.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    AccountId, ChangeCounts, Counts, FailureReason, IndexKind, KeyElement, Listing, Outcome, Pace, Problem, Region,
    RegionsSource, Requests, RunOutcome, Scope, ScopeTotals, TableArn, TableName, Timestamp,
};

/// The start of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunStarted {
    /// When the run started.
    pub started_at: Timestamp,
    /// The version of dynacrawl.
    pub version: String,
    /// A hash of the settings that decide what the output contains, without secrets.
    pub config_digest: String,
    /// The targets, as configured.
    pub targets: Vec<TargetSummary>,
    /// Whether this process resumes a run that was killed or interrupted. The run keeps its `run_id`, and complete scopes are
    /// not crawled again.
    pub resumed: bool,
}

/// A target as it is configured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TargetSummary {
    /// The name of the target.
    pub name: String,
    /// The account, if the configuration names it.
    pub account_id: Option<AccountId>,
    /// The last role of the chain, if any. For a target with many accounts, it has the placeholders `{account}` and
    /// `{partition}`.
    pub role_arn: Option<String>,
    /// The Regions; empty if `all_regions` is true.
    pub regions: Vec<Region>,
    /// Whether dynacrawl crawls all Regions that the account has enabled (`regions_discovered` lists them).
    pub all_regions: bool,
    /// Whether the target is an organization (`accounts_discovered` lists its accounts).
    pub organization: bool,
}

/// The accounts of an organization, as its management account or a delegated administrator sees them. Each of them becomes a
/// target of its own, named TARGET/ACCOUNT.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AccountsDiscovered {
    /// The name of the target.
    pub target: String,
    /// The active accounts that the filters of the target select.
    pub accounts: Vec<Account>,
    /// How many accounts organizations:ListAccounts returned.
    pub listed: u64,
    /// How many of them are not active: suspended, closed, pending closure or pending activation.
    pub inactive: u64,
    /// How many active accounts the filters exclude.
    pub filtered: u64,
}

/// An account of an organization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Account {
    /// `Id`.
    pub id: AccountId,
    /// `Name`.
    pub name: Option<String>,
    /// `Email`: the address of the account's root user.
    pub email: Option<String>,
    /// `State`, such as `ACTIVE`.
    pub state: Option<String>,
}

/// The Regions that the account of a target has enabled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RegionsDiscovered {
    /// The name of the target.
    pub target: String,
    /// The account, if known.
    pub account_id: Option<AccountId>,
    /// The Regions, each of which is a scope.
    pub regions: Vec<Region>,
    /// The source of the list.
    pub source: RegionsSource,
    /// Why the preferred sources failed.
    pub problems: Vec<Problem>,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Table {
    /// When dynacrawl read the answer of DescribeTable.
    pub observed_at: Timestamp,
    /// A version, a colon, and a hash of the table's structure: without counts, sizes, provisioned capacity, transient states,
    /// warm throughput and `extra`.
    pub fingerprint: String,
    /// The table.
    pub table: crate::Table,
    /// What is wrong with the description.
    pub problems: Vec<Problem>,
}

/// The key of a table or of an index.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KeySchema {
    /// When dynacrawl read the answer of DescribeTable.
    pub observed_at: Timestamp,
    /// The name of the table.
    pub table_name: TableName,
    /// The ARN of the table.
    pub table_arn: Option<TableArn>,
    /// The kind of the index that has this key; `null` for the key of the table.
    pub index_kind: Option<IndexKind>,
    /// The name of the index that has this key; `null` for the key of the table.
    pub index_name: Option<String>,
    /// The attributes of the key, in AWS's order.
    pub key_schema: Vec<KeyElement>,
}

/// An index, without its key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Index {
    /// When dynacrawl read the answer of DescribeTable.
    pub observed_at: Timestamp,
    /// The name of the table.
    pub table_name: TableName,
    /// The ARN of the table.
    pub table_arn: Option<TableArn>,
    /// The index.
    pub index: crate::Index,
}

/// A selected table that could not be described.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TableFailed {
    /// The name of the table.
    pub table_name: TableName,
    /// The kind of failure.
    pub reason: FailureReason,
    /// AWS's error code, or a code of dynacrawl's own in `snake_case`.
    pub code: String,
    /// The error message.
    pub message: String,
    /// How many requests dynacrawl sent for the table.
    pub attempts: u32,
}

/// A table name and whether the filters select it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TableListed {
    /// The name of the table.
    pub table_name: TableName,
    /// Whether a crawl would describe the table.
    pub is_selected: bool,
    /// The rule that decided.
    pub rule: FilterRule,
}

/// The rule that decides whether a table is selected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FilterRule {
    /// The kind of rule.
    pub kind: FilterRuleKind,
    /// The regular expression that matched, if any.
    pub pattern: Option<String>,
}

/// The kind of rule that decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FilterRuleKind {
    /// An exclude expression matches: the table is not selected.
    Exclude,
    /// An include expression matches: the table is selected.
    Include,
    /// There are include expressions and none matches: the table is not selected.
    NoIncludeMatched,
    /// There is no include expression: the table is selected.
    Default,
}

/// The result of a scope: exactly one record for each planned scope, and the last one of that scope.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScopeCompleted {
    /// The target that the scope belongs to.
    pub target: String,
    /// How the scope ended.
    pub outcome: Outcome,
    /// Whether ListTables reached its last page.
    pub listing: Listing,
    /// Tables by result.
    pub counts: Counts,
    /// Requests by operation.
    pub requests: Requests,
    /// The request rate.
    pub pace: Pace,
    /// How long the scope took, in milliseconds. If the run was resumed within the scope, the time since then.
    pub duration_ms: u64,
    /// Changes since the last run that the state has. `null` without a state, and if nothing was
    /// compared because it is not proven which account the tables belong to.
    pub change_counts: Option<ChangeCounts>,
    /// What went wrong, and what else a reader should know.
    pub problems: Vec<Problem>,
}

/// A target whose scopes could not be determined.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TargetFailed {
    /// The name of the target.
    pub target: String,
    /// The account, if known.
    pub account_id: Option<AccountId>,
    /// The kind of failure.
    pub outcome: Outcome,
    /// AWS's error code, or a code of dynacrawl's own in `snake_case`.
    pub code: String,
    /// The error message.
    pub message: String,
}

/// Accounts and Regions that stay in the state until a person confirms their retirement.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HeldRetirements {
    /// How many there are.
    pub count: u64,
    /// The first 100 of them.
    pub scopes: Vec<Scope>,
    /// Why they are held; `null` if there are none.
    pub reason: Option<String>,
}

/// The result of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunCompleted {
    /// When the run ended.
    pub ended_at: Timestamp,
    /// How the run ended.
    pub outcome: RunOutcome,
    /// Scopes by outcome.
    pub scope_counts: ScopeTotals,
    /// Tables by result, over all scopes.
    pub counts: Counts,
    /// Requests by operation, over all scopes.
    pub requests: Requests,
    /// Changes since the last run that the state has, over all scopes. `null` without a state.
    pub change_counts: Option<ChangeCounts>,
    /// Accounts and Regions that the configuration no longer covers, and whose retirement waits for a person's confirmation.
    /// `null` without a state, and if the run ended before dynacrawl decided about retirements.
    #[serde(default)]
    pub retirements_held: Option<HeldRetirements>,
    /// How long the run took, in milliseconds, without the time between two processes if it was resumed.
    pub duration_ms: u64,
}
