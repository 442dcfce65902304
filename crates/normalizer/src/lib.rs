//! From DescribeTable's raw answer to the table record: pure, no async, no clock, no I/O.
//!
//! The input is the body of the HTTP answer and not the SDK's `TableDescription`, because the SDK
//! drops what it has no name for. A field that AWS adds tomorrow arrives in `extra`.

mod diff;
mod fingerprint;
mod lenient;
mod normalize;
mod structure;
mod wire;

pub use diff::{all_changes, structural_changes};
pub use fingerprint::{FINGERPRINT_VERSION, comparable, fingerprint};

use dynacrawl_model::Table;
use lenient::{Lenient, Unexpected};
use serde_json::Value;

/// Why an answer could not be understood.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The body is not JSON.
    #[error("the answer is not JSON")]
    Json(#[from] serde_json::Error),
    /// The body is JSON, but has no object `Table`.
    #[error("the answer has no Table")]
    NoTable,
}

/// A table description that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The table.
    pub table: Table,
    /// The fields of another type than expected, as paths of AWS's names such as
    /// `GlobalSecondaryIndexes[].ItemCount`, sorted. They are `null` in the table, and their values
    /// stand in `extra` of the object that has them.
    pub unexpected: Vec<String>,
}

/// Decodes the body of a successful DescribeTable answer.
///
/// # Errors
/// When the body is not JSON, or has no object `Table`. A field that is missing, unknown or of
/// another type than expected is no error.
pub fn decode(body: &[u8]) -> Result<Decoded, DecodeError> {
    // As text: checking the whole body costs a fraction of checking each of its strings.
    match std::str::from_utf8(body).ok().and_then(|text| serde_json::from_str(text).ok()) {
        Some(answer) => decoded(answer, Vec::new()),
        None => decode_leniently(body),
    }
}

#[cold]
fn decode_leniently(body: &[u8]) -> Result<Decoded, DecodeError> {
    let value: Value = serde_json::from_slice(body)?;
    let mut answer = wire::DescribeTableAnswer::default();
    let mut unexpected = Unexpected::default();
    for (name, value) in value.as_object().ok_or(DecodeError::NoTable)? {
        if name == "Table" {
            answer.table = Lenient::read(value, &mut unexpected);
        } else {
            answer.extra.insert(name.clone(), value.clone());
        }
    }
    decoded(answer, unexpected.into_paths())
}

fn decoded(answer: wire::DescribeTableAnswer, unexpected: Vec<String>) -> Result<Decoded, DecodeError> {
    let mut table = normalize::table(answer.table.ok_or(DecodeError::NoTable)?);
    for (name, value) in answer.extra {
        table.extra.entry(name).or_insert(value);
    }
    Ok(Decoded { table, unexpected })
}
