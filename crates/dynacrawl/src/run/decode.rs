//! How answers of DescribeTable are read, and what is reported about those that are odd.

use std::collections::BTreeSet;

use dynacrawl_client::{DecodeFailure, ErrorClass};
use dynacrawl_model::{MAX_NAMED_TABLES, Operation, Problem, TableName};
use dynacrawl_normalizer::DecodeError;

/// What the client makes of a body that is no description. DynamoDB does not send what is not even
/// JSON: it was damaged on the way, or somebody else answered.
pub(crate) fn decode_failure(error: &DecodeError) -> DecodeFailure {
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

/// The fields of a scope's descriptions that had another type than expected, as one problem.
#[derive(Debug, Default)]
pub(super) struct UnexpectedTypes {
    /// The normalizer names fields without positions, so they are few.
    fields: BTreeSet<String>,
    tables: BTreeSet<TableName>,
    table_count: u64,
}

impl UnexpectedTypes {
    /// Adds the fields of one description.
    pub(super) fn add(&mut self, table: Option<&TableName>, fields: Vec<String>) {
        self.fields.extend(fields);
        self.table_count += 1;
        self.tables.extend(table.cloned());
    }

    /// Whether a table has such fields.
    pub(super) fn has(&self, table: &TableName) -> bool {
        self.tables.contains(table)
    }

    /// The problem, if there is one. It does not spoil the outcome: the values are in `extra`.
    pub(super) fn problem(&self) -> Option<Problem> {
        if self.fields.is_empty() {
            return None;
        }
        let fields: Vec<_> = self.fields.iter().map(String::as_str).collect();
        let message =
            format!("fields of another type than expected are null, their values are in extra: {}", fields.join(", "));
        Some(Problem {
            operation: Some(Operation::DescribeTable),
            table_count: self.table_count,
            tables: self.tables.iter().take(MAX_NAMED_TABLES).map(ToString::to_string).collect(),
            ..Problem::new("unexpected_type", message)
        })
    }
}

#[cfg(test)]
mod tests {
    use dynacrawl_client::ErrorClass;
    use dynacrawl_model::TableName;

    use super::{UnexpectedTypes, decode_failure};

    #[test]
    fn a_body_that_is_not_json_is_damaged_and_one_without_a_table_is_no_description() {
        for (body, class) in [("<html>", ErrorClass::Transient), (r#"{"Table":5}"#, ErrorClass::Other)] {
            let error = dynacrawl_normalizer::decode(body.as_bytes()).expect_err("no description");
            assert_eq!(decode_failure(&error).class, class, "{body}");
        }
    }

    #[test]
    fn the_first_hundred_tables_are_named_and_all_are_counted() {
        let mut unexpected = UnexpectedTypes::default();
        assert_eq!(unexpected.problem(), None);
        for number in 0..150 {
            let field = if number % 2 == 0 { "ItemCount" } else { "Replicas[].RegionName" };
            unexpected.add(Some(&TableName::from(format!("t{number:03}"))), vec![field.to_owned()]);
        }
        let problem = unexpected.problem().expect("a problem");
        assert_eq!((problem.code.as_str(), problem.table_count, problem.tables.len()), ("unexpected_type", 150, 100));
        assert!(problem.message.ends_with(": ItemCount, Replicas[].RegionName"), "{}", problem.message);
    }
}
