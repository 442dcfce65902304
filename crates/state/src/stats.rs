//! The values of a table that may differ without counting as a change.

use dynacrawl_model::{Index, ProvisionedThroughput, Replica, Table, WarmThroughput};
use rusqlite::Row;
use serde::{Deserialize, Serialize};

/// The values of a table that may differ without counting as a change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableStats {
    /// AWS's `ItemCount`.
    pub item_count: Option<i64>,
    /// AWS's `TableSizeBytes`.
    pub size_bytes: Option<i64>,
    /// AWS's `TableStatus`.
    pub status: Option<String>,
    /// The parts of the table that have further such values, as JSON; `None` if it has no such parts.
    parts: Option<String>,
}

/// Parts of a table, of which some values differ without counting as a change: items, bytes and states of indexes,
/// capacity and states of replicas.
#[derive(Default, PartialEq, Serialize, Deserialize)]
struct Parts {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    provisioned_throughput: Option<ProvisionedThroughput>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    warm_throughput: Option<WarmThroughput>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    indexes: Option<Vec<Index>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    replicas: Vec<Replica>,
}

impl TableStats {
    /// Those of a table. What a description that was `partly_read` lacks stays as it was `before`.
    pub fn of(table: &Table, partly_read: bool, before: Option<&Self>) -> Self {
        let parts = || {
            let parts = Parts {
                provisioned_throughput: table.provisioned_throughput.clone(),
                warm_throughput: table.warm_throughput.clone(),
                indexes: table.indexes.clone().filter(|indexes| !indexes.is_empty()),
                replicas: table.replicas.clone(),
            };
            (parts != Parts::default()).then(|| serde_json::to_string(&parts).ok()).flatten()
        };
        Self {
            item_count: table.item_count,
            size_bytes: table.size_bytes,
            status: table.status.clone(),
            parts: if partly_read { before.and_then(|before| before.parts.clone()) } else { parts() },
        }
    }

    /// Puts the values into a table of the same structure.
    pub(crate) fn put_into(&self, table: &mut Table) {
        table.item_count = self.item_count;
        table.size_bytes = self.size_bytes;
        table.status.clone_from(&self.status);
        let parts = self.parts.as_deref().and_then(|parts| serde_json::from_str::<Parts>(parts).ok());
        let Some(Parts { provisioned_throughput, warm_throughput, indexes, replicas }) = parts else { return };
        table.provisioned_throughput = provisioned_throughput;
        table.warm_throughput = warm_throughput;
        table.indexes = indexes.or(table.indexes.take());
        table.replicas = replicas;
    }

    pub(crate) fn parts(&self) -> Option<&str> {
        self.parts.as_deref()
    }

    /// From the columns of `table_stats`.
    pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            item_count: row.get("item_count")?,
            size_bytes: row.get("size_bytes")?,
            status: row.get("status")?,
            parts: row.get("parts")?,
        })
    }
}
