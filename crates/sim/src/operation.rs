//! The API operations that the simulator distinguishes.

use serde::Serialize;

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// An API operation.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[non_exhaustive]
        pub enum Operation {
            $($(#[$doc])* $name,)*
        }

        impl Operation {
            /// The name as AWS writes it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }
        }
    };
}

operations! {
    /// DynamoDB `ListTables`.
    ListTables,
    /// DynamoDB `DescribeTable`.
    DescribeTable,
    /// DynamoDB `Scan`, which finds no items and does not use the quota.
    Scan,
    /// STS `AssumeRole`.
    AssumeRole,
    /// STS `GetCallerIdentity`.
    GetCallerIdentity,
    /// Organizations `ListAccounts`.
    ListAccounts,
    /// Organizations `ListRoots`.
    ListRoots,
    /// Organizations `ListAccountsForParent`.
    ListAccountsForParent,
    /// Organizations `ListOrganizationalUnitsForParent`.
    ListOrganizationalUnitsForParent,
    /// Account Management `ListRegions`.
    ListRegions,
    /// EC2 `DescribeRegions`.
    DescribeRegions,
    /// Any other operation. It is counted and refused.
    Other,
}
