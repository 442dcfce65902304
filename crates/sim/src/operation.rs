//! The API operations that the simulator tells apart, and the name patterns of rules.

use serde::Serialize;

/// An API operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[non_exhaustive]
pub enum Operation {
    /// DynamoDB `ListTables`.
    ListTables,
    /// DynamoDB `DescribeTable`.
    DescribeTable,
    /// STS `AssumeRole`.
    AssumeRole,
    /// STS `GetCallerIdentity`.
    GetCallerIdentity,
    /// Anything else; it is counted and refused.
    Other,
}

impl Operation {
    /// How many operations there are.
    pub(crate) const COUNT: usize = 5;
    /// All of them, each at the place of its number.
    pub(crate) const ALL: [Operation; Self::COUNT] =
        [Self::ListTables, Self::DescribeTable, Self::AssumeRole, Self::GetCallerIdentity, Self::Other];

    /// The name as AWS writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ListTables => "ListTables",
            Self::DescribeTable => "DescribeTable",
            Self::AssumeRole => "AssumeRole",
            Self::GetCallerIdentity => "GetCallerIdentity",
            Self::Other => "Other",
        }
    }

    /// The operation of an `X-Amz-Target` header.
    pub(crate) fn from_target(target: &str) -> Self {
        match target {
            "DynamoDB_20120810.DescribeTable" => Self::DescribeTable,
            "DynamoDB_20120810.ListTables" => Self::ListTables,
            _ => Self::Other,
        }
    }

    /// The operation of an `Action` parameter of the Query protocol.
    pub(crate) fn from_action(action: &str) -> Self {
        match action {
            "AssumeRole" => Self::AssumeRole,
            "GetCallerIdentity" => Self::GetCallerIdentity,
            _ => Self::Other,
        }
    }
}

/// Whether a table's name fits a pattern: the name itself, or a prefix followed by `*`.
pub(crate) fn pattern_matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => pattern == name,
    }
}
