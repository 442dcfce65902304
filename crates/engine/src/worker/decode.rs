//! How answers of DescribeTable are read.

use dynacrawl_client::{DecodeFailure, ErrorClass};
use dynacrawl_fetcher::Fetched;
use dynacrawl_model::{TableRecord, Timestamp};
use dynacrawl_normalizer::{DecodeError, Decoded};

use crate::description_problems::description_problems;

/// A description as it was read.
#[derive(Debug)]
pub(super) struct Description {
    /// Boxed, because a record is large and goes through several hands.
    pub(super) record: Box<TableRecord>,
    /// The fields that had another type than expected.
    pub(super) unexpected: Vec<String>,
}

/// What became of a table.
pub(super) type FetchedTable = Fetched<Description>;

/// Reads an answer of DescribeTable.
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

/// What the client makes of a body that is no description. DynamoDB does not send what is not even
/// JSON: it was damaged on the way, or somebody else answered.
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
    fn a_body_that_is_not_json_is_damaged_and_one_without_a_table_is_no_description() {
        for (body, class) in [("<html>", ErrorClass::Transient), (r#"{"Table":5}"#, ErrorClass::Other)] {
            let error = dynacrawl_normalizer::decode(body.as_bytes()).expect_err("no description");
            assert_eq!(decode_failure(&error).class, class, "{body}");
        }
    }
}
