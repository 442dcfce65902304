//! A table of an estate.

use bytes::Bytes;
use serde_json::{Value, json};

/// A table, with DescribeTable's answer ready to be sent.
#[derive(Clone, Debug)]
pub(crate) enum StoredTable {
    Present(Bytes),
    /// Listed, but DescribeTable does not find it.
    Vanishing,
    /// The first calls of DescribeTable do not find it.
    Late {
        body: Bytes,
        unknown_for: u32,
    },
}

impl StoredTable {
    /// The answer with a description.
    pub(crate) fn body(description: &Value) -> Bytes {
        json!({ "Table": description }).to_string().into()
    }
}
