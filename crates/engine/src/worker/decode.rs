//! Decodes responses of DescribeTable.

use dynacrawl_client::{DecodeFailure, ErrorClass};
use dynacrawl_fetcher::Fetched;
use dynacrawl_model::{TableRecord, Timestamp};
use dynacrawl_normalizer::{DecodeError, Decoded};

use crate::description_problems::description_problems;

/// A decoded description.
#[derive(Debug)]
pub(super) struct Description {
    /// Boxed, because a record is large and is moved several times.
    pub(super) record: Box<TableRecord>,
    /// The fields with an unexpected type.
    pub(super) unexpected: Vec<String>,
}

/// The result of describing a table.
pub(super) type FetchedTable = Fetched<Description>;

/// Decodes a response of DescribeTable.
pub(super) fn decode(body: &[u8]) -> Result<Description, DecodeFailure> {
    let Decoded { table, unexpected, undefined } =
        dynacrawl_normalizer::decode(body).map_err(|error| decode_failure(&error))?;
    let problems = description_problems(table.name.as_ref(), &unexpected, &undefined);
    let record = Box::new(TableRecord {
        observed_at: Timestamp::now(),
        fingerprint: dynacrawl_normalizer::fingerprint(&table),
        table,
        problems,
    });
    Ok(Description { record, unexpected })
}

/// How the client treats a body that is not a description. DynamoDB always sends JSON: anything
/// else was damaged on the way, or something else answered.
pub fn decode_failure(error: &DecodeError) -> DecodeFailure {
    let class = match error {
        DecodeError::Json(_) => ErrorClass::Transient,
        _ => ErrorClass::Other,
    };
    let message = match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    DecodeFailure { class, message }
}

#[cfg(test)]
mod tests {
    use dynacrawl_client::ErrorClass;

    use super::decode_failure;

    #[test]
    fn a_body_that_is_not_json_may_be_damaged_in_transit() {
        for (body, class) in [("<html>", ErrorClass::Transient), (r#"{"Table":5}"#, ErrorClass::Other)] {
            let error = dynacrawl_normalizer::decode(body.as_bytes()).expect_err("not a description");
            assert_eq!(decode_failure(&error).class, class, "{body}");
        }
    }
}
