//! From DescribeTable's raw answer to the table record: pure, no async, no clock, no I/O.
//!
//! The input is the body of the HTTP answer and not the SDK's `TableDescription`, because the SDK
//! drops what it has no name for. A field that AWS adds tomorrow arrives in `extra`.

mod diff;
mod fingerprint;
mod normalize;
mod structure;
mod wire;

pub use diff::{all_changes, structural_changes};
pub use fingerprint::{FINGERPRINT_VERSION, comparable, fingerprint};

use dynacrawl_model::Table;

/// Why an answer could not be understood.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The body is not the JSON that DescribeTable answers with.
    #[error("the answer is not a table description")]
    Json(#[from] serde_json::Error),
    /// The body is JSON, but has no `Table`.
    #[error("the answer has no Table")]
    NoTable,
}

/// Decodes the body of a successful DescribeTable answer.
///
/// # Errors
/// When the body is not JSON of DescribeTable's shape. A field that is missing or unknown is no error.
pub fn decode(body: &[u8]) -> Result<Table, DecodeError> {
    let answer: wire::DescribeTableAnswer = serde_json::from_slice(body)?;
    let mut table = normalize::table(answer.table.ok_or(DecodeError::NoTable)?);
    for (name, value) in answer.extra {
        table.extra.entry(name).or_insert(value);
    }
    Ok(table)
}
