//! The problems of descriptions: in the record of each table, and summed up for a scope.

use std::collections::{BTreeMap, BTreeSet};

use dynacrawl_model::{MAX_NAMED_TABLES, Operation, Problem, TableName, TableRecord};

/// The code of a field with an unexpected type.
pub(crate) const UNEXPECTED_TYPE: &str = "unexpected_type";
/// The code of a key with an attribute that the table does not define.
pub(crate) const UNDEFINED_ATTRIBUTE: &str = "undefined_attribute";

/// The problems of one description.
pub(crate) fn description_problems(
    table: Option<&TableName>,
    unexpected: &[String],
    undefined: &[String],
) -> Vec<Problem> {
    let problem = |code: &str, found: &[String]| {
        (!found.is_empty()).then(|| Problem {
            operation: Some(Operation::DescribeTable),
            table_count: 1,
            table_names: table.map(ToString::to_string).into_iter().collect(),
            ..Problem::new(code, format!("{}: {}", meaning(code), found.join(", ")))
        })
    };
    problem(UNEXPECTED_TYPE, unexpected).into_iter().chain(problem(UNDEFINED_ATTRIBUTE, undefined)).collect()
}

fn meaning(code: &str) -> &'static str {
    match code {
        UNEXPECTED_TYPE => "fields of another type than expected are null, and their values are in extra",
        _ => "keys name attributes that AttributeDefinitions does not define",
    }
}

/// The problems of a scope's descriptions, one for each code. They do not change the outcome: nothing is missing from the output.
#[derive(Debug, Default)]
pub(crate) struct DescriptionProblems(BTreeMap<&'static str, Found>);

#[derive(Debug, Default)]
struct Found {
    /// The fields with an unexpected type. The normalizer names them without positions, so they are
    /// few.
    fields: BTreeSet<String>,
    /// The first tables, by name.
    tables: BTreeSet<TableName>,
    table_count: u64,
}

impl DescriptionProblems {
    /// Adds those of one description.
    pub(crate) fn add(&mut self, name: &TableName, record: &TableRecord, unexpected: &[String]) {
        for code in [UNEXPECTED_TYPE, UNDEFINED_ATTRIBUTE] {
            if !record.problems.iter().any(|problem| problem.code == code) {
                continue;
            }
            let found = self.0.entry(code).or_default();
            found.table_count += 1;
            found.tables.insert(name.clone());
            if found.tables.len() > MAX_NAMED_TABLES {
                found.tables.pop_last();
            }
            if code == UNEXPECTED_TYPE {
                found.fields.extend(unexpected.iter().cloned());
            }
        }
    }

    /// One problem for each code.
    pub(crate) fn problems(&self) -> impl Iterator<Item = Problem> {
        self.0.iter().map(|(code, found)| {
            let fields: Vec<_> = found.fields.iter().map(String::as_str).collect();
            let message = match (meaning(code), fields.is_empty()) {
                (meaning, true) => meaning.to_owned(),
                (meaning, false) => format!("{meaning}: {}", fields.join(", ")),
            };
            Problem {
                operation: Some(Operation::DescribeTable),
                table_count: found.table_count,
                table_names: found.tables.iter().map(ToString::to_string).collect(),
                ..Problem::new(*code, message)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use dynacrawl_model::{Table, TableName, TableRecord, Timestamp};

    use super::{DescriptionProblems, description_problems};

    fn described(problems: &mut DescriptionProblems, number: usize, unexpected: &[String], undefined: &[String]) {
        let name = TableName::from(format!("t{number:03}"));
        let record = TableRecord {
            observed_at: Timestamp::now(),
            fingerprint: String::new(),
            table: Table::default(),
            problems: description_problems(Some(&name), unexpected, undefined),
        };
        problems.add(&name, &record, unexpected);
    }

    #[test]
    fn the_first_hundred_tables_are_named_and_all_are_counted() {
        let mut found = DescriptionProblems::default();
        assert_eq!(found.problems().count(), 0);
        for number in 0..150 {
            let field = if number % 2 == 0 { "ItemCount" } else { "Replicas[].RegionName" };
            described(&mut found, number, &[field.to_owned()], &[]);
        }
        let [problem] = &found.problems().collect::<Vec<_>>()[..] else { panic!("{found:?}") };
        let names = problem.table_names.len();
        assert_eq!((problem.code.as_str(), problem.table_count, names), ("unexpected_type", 150, 100));
        assert!(problem.message.ends_with(": ItemCount, Replicas[].RegionName"), "{}", problem.message);
    }

    #[test]
    fn undefined_attributes_are_a_problem_of_their_own() {
        let mut found = DescriptionProblems::default();
        described(&mut found, 1, &[], &["status (index by_status)".to_owned()]);
        described(&mut found, 2, &["ItemCount".to_owned()], &["id (table)".to_owned()]);
        let problems: Vec<_> = found.problems().map(|problem| (problem.code, problem.table_count)).collect();
        assert_eq!(problems, [("undefined_attribute".to_owned(), 2), ("unexpected_type".to_owned(), 1)]);
    }
}
