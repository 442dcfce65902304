//! Turns DescribeTable's raw answer into the table record. Pure: no async, no clock, no I/O.
//!
//! The input is the body of the HTTP answer instead of the SDK's `TableDescription`, because the
//! SDK drops fields that it has no name for. A field that AWS adds tomorrow arrives in `extra`.

mod diff;
mod fingerprint;
mod lenient;
mod normalize;
mod structure;
mod wire;

pub use diff::{all_changes, structural_changes};
pub use fingerprint::{FINGERPRINT_VERSION, comparable, fingerprint};

use dynacrawl_model::{IndexKind, Table};
use lenient::{Lenient, Unexpected};
use serde_json::Value;

/// Why an answer could not be decoded.
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

/// A decoded table description.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The table.
    pub table: Table,
    /// The fields of an unexpected type, as paths of AWS's names such as
    /// `GlobalSecondaryIndexes[].ItemCount`, sorted. They are `null` in the table, and their values
    /// are in `extra` of the table, the index or the replica.
    pub unexpected: Vec<String>,
    /// The attributes that a key names but `AttributeDefinitions` does not define, each with its
    /// place, such as `status (index by_status)`.
    pub undefined: Vec<String>,
}

/// Decodes the body of a successful DescribeTable answer.
///
/// # Errors
/// If the body is not JSON, or has no object `Table`. A field that is missing, unknown or of an
/// unexpected type is not an error.
pub fn decode(body: &[u8]) -> Result<Decoded, DecodeError> {
    // As text: validating the UTF-8 of the whole body costs a fraction of validating each string.
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
    // If a definition could not be read, any attribute may be the one that it defines.
    let is_readable = !unexpected.iter().any(|path| path.starts_with("AttributeDefinitions"));
    let undefined = if is_readable { undefined(&table) } else { Vec::new() };
    Ok(Decoded { table, unexpected, undefined })
}

/// The attributes that keys name but the table does not define.
fn undefined(table: &Table) -> Vec<String> {
    let mut undefined = Vec::new();
    let mut check = |attribute: &Option<String>, attribute_type: &Option<String>, place: &dyn Fn() -> String| {
        let (Some(name), None) = (attribute, attribute_type) else { return };
        if !table.attributes.iter().any(|defined| defined.name.as_ref() == Some(name)) {
            undefined.push(format!("{name} ({})", place()));
        }
    };
    for element in table.key_schema.iter().flatten() {
        check(&element.attribute, &element.attribute_type, &|| "table".to_owned());
    }
    // A vector index has a search schema. AWS does not document that its attributes are defined.
    for index in table.indexes.iter().flatten().filter(|index| index.kind != IndexKind::Vector) {
        let place = || format!("index {}", index.name.as_deref().unwrap_or_default());
        for element in index.key_schema.iter().flatten() {
            check(&element.attribute, &element.attribute_type, &place);
        }
    }
    undefined
}
