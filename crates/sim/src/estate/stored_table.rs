//! A table as an estate keeps it.

use bytes::Bytes;
use serde_json::{Value, json};

/// A table as it is kept: the answer to DescribeTable is ready to be sent.
#[derive(Clone, Debug)]
pub(crate) enum StoredTable {
    Present(Bytes),
    /// Listed, but not known to DescribeTable.
    Vanishing,
    /// Not known to the first calls of DescribeTable.
    Late {
        body: Bytes,
        unknown_for: u32,
    },
}

impl StoredTable {
    /// The answer that holds a description.
    pub(crate) fn body(description: &Value) -> Bytes {
        json!({ "Table": description }).to_string().into()
    }
}
