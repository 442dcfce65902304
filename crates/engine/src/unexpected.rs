//! Fields of descriptions that had another type than expected.

use std::collections::BTreeSet;

use dynacrawl_model::{MAX_NAMED_TABLES, Operation, Problem, TableName};

/// The fields of a scope's descriptions that had another type than expected, as one problem.
#[derive(Debug, Default)]
pub(super) struct UnexpectedTypes {
    /// The normalizer names fields without positions, so they are few.
    fields: BTreeSet<String>,
    /// The first ones, by name.
    tables: BTreeSet<TableName>,
    table_count: u64,
}

impl UnexpectedTypes {
    /// Adds the fields of one description.
    pub(super) fn add(&mut self, table: &TableName, fields: &[String]) {
        self.fields.extend(fields.iter().cloned());
        self.table_count += 1;
        self.tables.insert(table.clone());
        if self.tables.len() > MAX_NAMED_TABLES {
            self.tables.pop_last();
        }
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
            tables: self.tables.iter().map(ToString::to_string).collect(),
            ..Problem::new("unexpected_type", message)
        })
    }
}

#[cfg(test)]
mod tests {
    use dynacrawl_model::TableName;

    use super::UnexpectedTypes;

    #[test]
    fn the_first_hundred_tables_are_named_and_all_are_counted() {
        let mut unexpected = UnexpectedTypes::default();
        assert_eq!(unexpected.problem(), None);
        for number in 0..150 {
            let field = if number % 2 == 0 { "ItemCount" } else { "Replicas[].RegionName" };
            unexpected.add(&TableName::from(format!("t{number:03}")), &[field.to_owned()]);
        }
        let problem = unexpected.problem().expect("a problem");
        assert_eq!((problem.code.as_str(), problem.table_count, problem.tables.len()), ("unexpected_type", 150, 100));
        assert!(problem.message.ends_with(": ItemCount, Replicas[].RegionName"), "{}", problem.message);
    }
}
