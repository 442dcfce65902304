//! The values of a table that may differ without counting as a change.

use std::borrow::Cow;

use dynacrawl_model::{Index, ProvisionedThroughput, Replica, Table, WarmThroughput};
use rusqlite::Row;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The values of a table that may differ without counting as a change.
#[derive(Clone, Debug, Default)]
pub struct TableStats {
    /// AWS's `ItemCount`.
    pub item_count: Option<i64>,
    /// AWS's `TableSizeBytes`.
    pub size_bytes: Option<i64>,
    /// AWS's `TableStatus`.
    pub status: Option<String>,
    /// The beginning of a hash of `parts`; `None` if they are not known.
    digest: Option<i64>,
    /// The parts of the table that have further such values, as JSON; `None` if they are as in its record.
    parts: Option<String>,
}

impl PartialEq for TableStats {
    fn eq(&self, other: &Self) -> bool {
        let values = |of: &Self| (of.item_count, of.size_bytes, of.digest);
        // The state is compared without the parts themselves.
        values(self) == values(other) && self.status == other.status
    }
}

impl Eq for TableStats {}

/// Parts of a table, of which some values differ without counting as a change: items, bytes and states of indexes,
/// capacity and states of replicas.
#[derive(Serialize, Deserialize)]
struct Parts<'t> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    provisioned_throughput: Cow<'t, Option<ProvisionedThroughput>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    warm_throughput: Cow<'t, Option<WarmThroughput>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    indexes: Cow<'t, Option<Vec<Index>>>,
    #[serde(default, skip_serializing_if = "<[Replica]>::is_empty")]
    replicas: Cow<'t, [Replica]>,
}

impl TableStats {
    /// Those of a table.
    pub fn of(table: &Table) -> Self {
        let parts = Parts {
            provisioned_throughput: Cow::Borrowed(&table.provisioned_throughput),
            warm_throughput: Cow::Borrowed(&table.warm_throughput),
            indexes: Cow::Borrowed(&table.indexes),
            replicas: Cow::Borrowed(&table.replicas),
        };
        let parts = serde_json::to_string(&parts).ok();
        let digest =
            |text: &String| Sha256::digest(text).iter().take(8).fold(0, |hash, byte| hash << 8 | i64::from(*byte));
        let Table { item_count, size_bytes, status, .. } = table;
        Self {
            item_count: *item_count,
            size_bytes: *size_bytes,
            status: status.clone(),
            digest: parts.as_ref().map(digest),
            parts,
        }
    }

    /// The same for a table whose new record has the parts.
    #[must_use]
    pub fn with_record(self) -> Self {
        Self { parts: None, ..self }
    }

    /// The same for a table that was read partly: its parts are as they were `before`.
    #[must_use]
    pub fn without_parts(self, before: Option<&Self>) -> Self {
        let unknown = Self { digest: None, parts: None, ..self };
        match before {
            Some(before) if Self { digest: None, ..before.clone() } == unknown => before.clone(),
            _ => unknown,
        }
    }

    /// Puts the values into a table of the same structure.
    pub(crate) fn put_into(&self, table: &mut Table) {
        table.item_count = self.item_count;
        table.size_bytes = self.size_bytes;
        table.status.clone_from(&self.status);
        let parts = self.parts.as_deref().and_then(|parts| serde_json::from_str::<Parts<'_>>(parts).ok());
        let Some(Parts { provisioned_throughput, warm_throughput, indexes, replicas }) = parts else { return };
        table.provisioned_throughput = provisioned_throughput.into_owned();
        table.warm_throughput = warm_throughput.into_owned();
        table.indexes = indexes.into_owned();
        table.replicas = replicas.into_owned();
    }

    pub(crate) fn digest(&self) -> Option<i64> {
        self.digest
    }

    pub(crate) fn parts(&self) -> Option<&str> {
        self.parts.as_deref()
    }

    /// From the columns of `table_stats`, without the parts themselves.
    pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let (item_count, size_bytes) = (row.get("item_count")?, row.get("size_bytes")?);
        Ok(Self { item_count, size_bytes, status: row.get("status")?, digest: row.get("digest")?, parts: None })
    }

    /// The same, with the parts.
    pub(crate) fn read_whole(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { parts: row.get("parts")?, ..Self::read(row)? })
    }
}

#[cfg(test)]
mod tests {
    use dynacrawl_model::Table;
    use serde_json::json;

    use super::TableStats;

    fn table(read_capacity_units: i64, item_count: i64) -> Table {
        let table = json!({
            "name": "orders", "attributes": [], "replicas": [], "global_table_witnesses": [], "defaulted": [], "extra": "{}",
            "item_count": item_count, "provisioned_throughput": { "read_capacity_units": read_capacity_units },
        });
        serde_json::from_value(table).expect("a table")
    }

    #[test]
    fn parts_that_were_not_read_are_no_difference_and_are_not_taken_for_those_of_the_record() {
        let known = TableStats::of(&table(5, 1)).with_record();
        assert_eq!(known, TableStats::of(&table(5, 1)));
        assert_ne!(known, TableStats::of(&table(6, 1)), "capacity differs");
        let partly = |items| TableStats::of(&table(9, items)).without_parts(Some(&known));
        assert_eq!(partly(1), known, "nothing that was read differs");
        assert_ne!(partly(2), known);
        let mut record = table(5, 1);
        partly(2).put_into(&mut record);
        assert_eq!(record, table(5, 2), "the capacity of a partly read description is not taken");
        assert_ne!(partly(2), TableStats::of(&table(5, 2)), "the next whole description is written");
        TableStats::of(&table(7, 3)).put_into(&mut record);
        assert_eq!(record, table(7, 3));
    }
}
