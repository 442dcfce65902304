//! What changed since the state was written last: the lines that there are with a state.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::record::FilterRule;
use crate::{Table, TableArn, TableName, Timestamp};

/// A table that was described and that the state did not know, or knew as removed, unselected or retired. The first crawl of a
/// scope adds all its tables, so that changes alone tell the whole estate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TableAdded {
    /// When AWS's answer was read.
    pub observed_at: Timestamp,
    /// The table's fingerprint.
    pub fingerprint: String,
    /// The table, whole, whatever the layout.
    pub table: Table,
}

/// A table whose structure is another than the state knew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TableChanged {
    /// When AWS's answer was read.
    pub observed_at: Timestamp,
    /// The table's fingerprint before, by the rules of this version.
    pub fingerprint_before: String,
    /// The table's fingerprint.
    pub fingerprint: String,
    /// What changed.
    pub changes: Vec<Change>,
    /// The table as it is now, whole, whatever the layout.
    pub table: Table,
}

/// One thing that changed in a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// Where in the table, as a JSON Pointer (`/` in a name is `~1`, `~` is `~0`). What is in a list with names is addressed by
    /// them and not by its place: `/indexes/global/by_status/projection/type`, `/attributes/customer/type`,
    /// `/replicas/us-east-1/table_class`.
    pub path: String,
    /// What was there; `null` for nothing.
    pub before: Value,
    /// What is there; `null` for nothing.
    pub after: Value,
}

/// Another table under a name that the state knew: its id is another or, where there is none, its ARN or its time of creation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TableRecreated {
    /// When AWS's answer was read.
    pub observed_at: Timestamp,
    /// The `TableId` of the table that is gone.
    pub id_before: Option<String>,
    /// The fingerprint of the table that is gone.
    pub fingerprint_before: String,
    /// The new table's fingerprint.
    pub fingerprint: String,
    /// In what the new table differs.
    pub changes: Vec<Change>,
    /// The new table, whole, whatever the layout.
    pub table: Table,
}

/// A table that is gone: the listing reached its last page without it, and DescribeTable does not find it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TableRemoved {
    /// When that was found out.
    pub at: Timestamp,
    /// The table's name.
    pub table: TableName,
    /// The table's ARN.
    pub arn: Option<TableArn>,
    /// The table's `TableId`.
    pub id: Option<String>,
    /// When it was listed last.
    pub last_seen_at: Option<Timestamp>,
}

/// A table that is there, and that the filters leave out now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TableUnselected {
    /// When that was found out.
    pub at: Timestamp,
    /// The table's name.
    pub table: TableName,
    /// The table's ARN.
    pub arn: Option<TableArn>,
    /// The table's `TableId`.
    pub id: Option<String>,
    /// The rule that leaves it out.
    pub rule: FilterRule,
}

/// An account and Region that the state knows and the configuration does not cover any more. Nothing is said about its tables;
/// should it come back, each of them is added anew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScopeRetired {
    /// When that was found out.
    pub at: Timestamp,
    /// The target that it belonged to.
    pub target: String,
    /// How many tables it had.
    pub tables: u64,
    /// When it was crawled completely for the last time.
    pub last_complete_at: Option<Timestamp>,
}
