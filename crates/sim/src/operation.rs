//! The API operations that the simulator distinguishes.

use serde::Serialize;

use crate::service::Service;

/// An API operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[non_exhaustive]
pub enum Operation {
    /// DynamoDB `ListTables`.
    ListTables,
    /// DynamoDB `DescribeTable`.
    DescribeTable,
    /// DynamoDB `Scan`, which finds no items; it is outside of the quota.
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
    /// Anything else; it is counted and refused.
    Other,
}

impl Operation {
    /// The name as AWS writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ListTables => "ListTables",
            Self::DescribeTable => "DescribeTable",
            Self::Scan => "Scan",
            Self::AssumeRole => "AssumeRole",
            Self::GetCallerIdentity => "GetCallerIdentity",
            Self::ListAccounts => "ListAccounts",
            Self::ListRoots => "ListRoots",
            Self::ListAccountsForParent => "ListAccountsForParent",
            Self::ListOrganizationalUnitsForParent => "ListOrganizationalUnitsForParent",
            Self::ListRegions => "ListRegions",
            Self::DescribeRegions => "DescribeRegions",
            Self::Other => "Other",
        }
    }

    /// The service and the operation of an `X-Amz-Target` header.
    pub(crate) fn from_target(target: &str) -> (Service, Self) {
        if let Some(name) = target.strip_prefix("AWSOrganizationsV20161128.") {
            let operation = match name {
                "ListAccounts" => Self::ListAccounts,
                "ListRoots" => Self::ListRoots,
                "ListAccountsForParent" => Self::ListAccountsForParent,
                "ListOrganizationalUnitsForParent" => Self::ListOrganizationalUnitsForParent,
                _ => Self::Other,
            };
            return (Service::Organizations, operation);
        }
        let operation = match target {
            "DynamoDB_20120810.DescribeTable" => Self::DescribeTable,
            "DynamoDB_20120810.ListTables" => Self::ListTables,
            "DynamoDB_20120810.Scan" => Self::Scan,
            _ => Self::Other,
        };
        (Service::DynamoDb, operation)
    }

    /// The service and the operation of the Query protocols' `Action` and `Version` parameters.
    pub(crate) fn from_action(action: &str, version: &str) -> (Service, Self) {
        match (action, version) {
            ("DescribeRegions", _) => (Service::Ec2, Self::DescribeRegions),
            (_, "2016-11-15") => (Service::Ec2, Self::Other),
            ("AssumeRole", _) => (Service::Sts, Self::AssumeRole),
            ("GetCallerIdentity", _) => (Service::Sts, Self::GetCallerIdentity),
            _ => (Service::Sts, Self::Other),
        }
    }
}
