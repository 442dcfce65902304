//! The tables of one account in one Region.

use std::collections::BTreeMap;

use serde_json::Value;

use super::shape::Shape;
use super::stored_table::StoredTable;

/// The tables of one account in one Region.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    pub(crate) stored: BTreeMap<String, StoredTable>,
    pub(crate) generated: Option<(u64, Shape)>,
}

impl Tables {
    /// No tables.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a table with a name and a description, which is the `Table` of DescribeTable's answer.
    #[must_use]
    pub fn table(mut self, name: impl Into<String>, description: &Value) -> Self {
        self.stored.insert(name.into(), StoredTable::Present(StoredTable::body(description)));
        self
    }

    /// Adds a table that ListTables returns and DescribeTable does not find, as if it was deleted
    /// in between.
    #[must_use]
    pub fn vanishing(mut self, name: impl Into<String>) -> Self {
        self.stored.insert(name.into(), StoredTable::Vanishing);
        self
    }

    /// Adds a table that the first `misses` calls of DescribeTable do not find, as if it was just
    /// created.
    #[must_use]
    pub fn late(mut self, name: impl Into<String>, misses: u32, description: &Value) -> Self {
        self.stored
            .insert(name.into(), StoredTable::Late { body: StoredTable::body(description), unknown_for: misses });
        self
    }

    /// Adds `count` tables named `table-000000` and so on, whose descriptions of about 3 KB are
    /// generated on request.
    #[must_use]
    pub fn generated(self, count: u64) -> Self {
        self.generated_like(count, Shape::standard())
    }

    /// As [`Tables::generated`], with descriptions of another shape.
    #[must_use]
    pub fn generated_like(mut self, count: u64, shape: Shape) -> Self {
        self.generated = Some((count, shape));
        self
    }
}
