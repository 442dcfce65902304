//! The bodies of the lines that report changes. They need a state.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::record::FilterRule;
use crate::{JsonText, Table, TableArn, TableName, Timestamp};

/// A table that the state did not have, or had as removed, unselected or retired. The first crawl of a scope adds all of its
/// tables, so the changes alone describe everything that exists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TableAdded {
    /// When dynacrawl read the answer of DescribeTable.
    pub observed_at: Timestamp,
    /// The name of the table.
    pub table_name: TableName,
    /// The fingerprint of the table.
    pub fingerprint: String,
    /// The table, complete in every layout.
    pub table: Table,
}

/// A table whose structure changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TableChanged {
    /// When dynacrawl read the answer of DescribeTable.
    pub observed_at: Timestamp,
    /// The name of the table.
    pub table_name: TableName,
    /// The fingerprint before the change, computed by the rules of this version.
    pub fingerprint_before: String,
    /// The fingerprint of the table.
    pub fingerprint: String,
    /// What changed.
    pub changes: Vec<Change>,
    /// The table as it is now, complete in every layout.
    pub table: Table,
}

/// One difference between two descriptions of a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// The place in the table, as a JSON Pointer (`/` in a name is `~1`, `~` is `~0`). Elements of lists are addressed by name:
    /// `/indexes/global/by_status/projection/type`, `/attributes/customer/type`, `/replicas/us-east-1/table_class`.
    pub path: String,
    /// The value before the change, as JSON text; `null` if there was none.
    pub before: Option<JsonText>,
    /// The value after the change, as JSON text; `null` if there is none.
    pub after: Option<JsonText>,
}

/// Another table under the same name: its id differs or, if AWS sent no id, its ARN or its creation time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TableRecreated {
    /// When dynacrawl read the answer of DescribeTable.
    pub observed_at: Timestamp,
    /// The name of the table.
    pub table_name: TableName,
    /// The `TableId` of the previous table.
    pub table_id_before: Option<String>,
    /// The fingerprint of the previous table.
    pub fingerprint_before: String,
    /// The fingerprint of the new table.
    pub fingerprint: String,
    /// How the new table differs.
    pub changes: Vec<Change>,
    /// The new table, complete in every layout.
    pub table: Table,
}

/// A table that no longer exists: the listing reached its last page without it, and DescribeTable does not find it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TableRemoved {
    /// When dynacrawl found out.
    pub observed_at: Timestamp,
    /// The name of the table.
    pub table_name: TableName,
    /// The ARN of the table.
    pub table_arn: Option<TableArn>,
    /// The `TableId` of the table.
    pub table_id: Option<String>,
    /// When ListTables last returned the table.
    pub last_seen_at: Option<Timestamp>,
}

/// A table that exists, and that the filters now exclude.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TableUnselected {
    /// When dynacrawl found out.
    pub observed_at: Timestamp,
    /// The name of the table.
    pub table_name: TableName,
    /// The ARN of the table.
    pub table_arn: Option<TableArn>,
    /// The `TableId` of the table.
    pub table_id: Option<String>,
    /// The rule that excludes the table.
    pub rule: FilterRule,
}

/// An account and Region that the state has and the configuration no longer covers. There are no records about its tables. If
/// the configuration covers it again, each table is added again, and `table_removed` reports those that were deleted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScopeRetired {
    /// When dynacrawl found out.
    pub observed_at: Timestamp,
    /// The target that the scope belonged to.
    pub target: String,
    /// How many tables the scope had.
    pub table_count: u64,
    /// When the scope was last crawled completely.
    pub last_complete_at: Option<Timestamp>,
}
