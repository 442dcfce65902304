//! The AWS calls, and the number of requests for each.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An AWS call.
///
/// The schema of the output lists only those that a problem of a scope may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[schemars(inline, description = "An API that is called once or more for each scope.")]
pub enum Operation {
    /// dynamodb:ListTables
    ListTables,
    /// dynamodb:DescribeTable
    DescribeTable,
    /// sts:AssumeRole
    AssumeRole,
    /// sts:GetCallerIdentity
    GetCallerIdentity,
    /// organizations:ListAccounts
    #[schemars(skip)]
    ListAccounts,
    /// organizations:ListAccountsForParent
    #[schemars(skip)]
    ListAccountsForParent,
    /// organizations:ListOrganizationalUnitsForParent
    #[schemars(skip)]
    ListOrganizationalUnitsForParent,
    /// account:ListRegions
    #[schemars(skip)]
    ListRegions,
    /// ec2:DescribeRegions
    #[schemars(skip)]
    DescribeRegions,
}

/// A group of operations that AWS, or dynacrawl's configuration, limits together: they share one
/// budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotaName {
    /// DynamoDB's control plane, for each account and Region.
    Tables,
    /// STS, for each account that calls it.
    Sts,
    /// AWS Organizations.
    Organizations,
    /// The calls that list the enabled Regions of an account.
    Account,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 9] = [
        Self::ListTables,
        Self::DescribeTable,
        Self::AssumeRole,
        Self::GetCallerIdentity,
        Self::ListAccounts,
        Self::ListAccountsForParent,
        Self::ListOrganizationalUnitsForParent,
        Self::ListRegions,
        Self::DescribeRegions,
    ];

    /// The operations that are counted for each scope.
    pub const OF_SCOPE: [Self; 2] = [Self::ListTables, Self::DescribeTable];

    /// AWS's name of the operation.
    pub const fn name(self) -> &'static str {
        let action = self.action();
        let bytes = action.as_bytes();
        let mut colon = 0;
        while bytes[colon] != b':' {
            colon += 1;
        }
        action.split_at(colon + 1).1
    }

    /// The IAM action that permits it.
    pub const fn action(self) -> &'static str {
        match self {
            Self::ListTables => "dynamodb:ListTables",
            Self::DescribeTable => "dynamodb:DescribeTable",
            Self::AssumeRole => "sts:AssumeRole",
            Self::GetCallerIdentity => "sts:GetCallerIdentity",
            Self::ListAccounts => "organizations:ListAccounts",
            Self::ListAccountsForParent => "organizations:ListAccountsForParent",
            Self::ListOrganizationalUnitsForParent => "organizations:ListOrganizationalUnitsForParent",
            Self::ListRegions => "account:ListRegions",
            Self::DescribeRegions => "ec2:DescribeRegions",
        }
    }

    /// The quota that it counts against.
    pub const fn quota(self) -> QuotaName {
        match self {
            Self::ListTables | Self::DescribeTable => QuotaName::Tables,
            Self::AssumeRole | Self::GetCallerIdentity => QuotaName::Sts,
            Self::ListAccounts | Self::ListAccountsForParent | Self::ListOrganizationalUnitsForParent => {
                QuotaName::Organizations
            }
            Self::ListRegions | Self::DescribeRegions => QuotaName::Account,
        }
    }

    fn place(self) -> Option<usize> {
        Self::OF_SCOPE.iter().position(|operation| *operation == self)
    }
}

/// Requests sent for one API; every attempt counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RequestCounts {
    /// Attempts that were sent.
    pub sent: u64,
    /// Attempts that AWS answered with a throttling error.
    pub throttled: u64,
}

impl AddAssign for RequestCounts {
    fn add_assign(&mut self, other: Self) {
        self.sent += other.sent;
        self.throttled += other.throttled;
    }
}

/// Requests by operation, for the operations that are counted for each scope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests([RequestCounts; Operation::OF_SCOPE.len()]);

impl Requests {
    /// Builds the counts from those of each operation.
    pub fn new(mut of: impl FnMut(Operation) -> RequestCounts) -> Self {
        Self(Operation::OF_SCOPE.map(&mut of))
    }

    /// The requests of an operation; zero if it is not counted for scopes.
    pub fn of(&self, operation: Operation) -> RequestCounts {
        operation.place().map(|place| self.0[place]).unwrap_or_default()
    }

    /// The requests of all operations together.
    pub fn all(&self) -> RequestCounts {
        let mut all = RequestCounts::default();
        self.0.iter().for_each(|counts| all += *counts);
        all
    }

    /// The requests that were sent after `before` was counted.
    #[must_use]
    pub fn since(mut self, before: Self) -> Self {
        for (now, before) in self.0.iter_mut().zip(before.0) {
            now.sent = now.sent.saturating_sub(before.sent);
            now.throttled = now.throttled.saturating_sub(before.throttled);
        }
        self
    }
}

impl AddAssign for Requests {
    fn add_assign(&mut self, other: Self) {
        for (counts, other) in self.0.iter_mut().zip(other.0) {
            *counts += other;
        }
    }
}

impl Serialize for Requests {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (operation, counts) in Operation::OF_SCOPE.iter().zip(&self.0) {
            map.serialize_entry(operation.name(), counts)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Requests {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut requests = Self::default();
        for (operation, counts) in BTreeMap::<Operation, RequestCounts>::deserialize(deserializer)? {
            let place = operation.place();
            let place = place.ok_or_else(|| D::Error::custom(format!("{} is not counted", operation.name())))?;
            requests.0[place] = counts;
        }
        Ok(requests)
    }
}

impl JsonSchema for Requests {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Requests".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = json_schema!({ "description": "Requests by operation.", "type": "object" });
        let counts = generator.subschema_for::<RequestCounts>().to_value();
        let property = |operation: &Operation| {
            let mut counts = counts.clone();
            counts["description"] = operation.action().into();
            (operation.name().to_owned(), counts)
        };
        let properties: serde_json::Map<_, _> = Operation::OF_SCOPE.iter().map(property).collect();
        schema.insert("properties".to_owned(), properties.into());
        let names: Vec<_> = Operation::OF_SCOPE.iter().map(|operation| operation.name()).collect();
        schema.insert("required".to_owned(), names.into());
        schema
    }
}

#[cfg(test)]
mod tests {
    use super::{Operation, RequestCounts, Requests};

    #[test]
    fn names_are_the_same_in_actions_and_in_json() {
        for operation in Operation::ALL {
            assert!(operation.action().ends_with(&format!(":{}", operation.name())));
            assert_eq!(serde_json::to_value(operation).expect("JSON"), operation.name());
        }
    }

    #[test]
    fn requests_are_a_map_by_operation() {
        let requests = Requests::new(|operation| match operation {
            Operation::ListTables => RequestCounts { sent: 2, throttled: 1 },
            _ => RequestCounts { sent: 5, throttled: 0 },
        });
        let text = r#"{"ListTables":{"sent":2,"throttled":1},"DescribeTable":{"sent":5,"throttled":0}}"#;
        assert_eq!(serde_json::to_string(&requests).expect("JSON"), text);
        assert_eq!(serde_json::from_str::<Requests>(text).expect("requests"), requests);
        assert_eq!(requests.all(), RequestCounts { sent: 7, throttled: 1 });
        assert_eq!(requests.of(Operation::AssumeRole), RequestCounts::default());
        assert_eq!(requests.since(requests), Requests::default());
        assert!(serde_json::from_str::<Requests>(r#"{"AssumeRole":{"sent":2,"throttled":1}}"#).is_err());
    }
}
