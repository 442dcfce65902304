//! Newtypes for ids and names that must not be mixed up.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A text is not a valid id of the expected kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{}' is not {expected}", crate::Escaped(value))]
#[non_exhaustive]
pub struct InvalidId {
    /// The text.
    pub value: String,
    /// A description of a valid id.
    pub expected: &'static str,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        #[schemars(inline)]
        pub struct $name(String);

        impl $name {
            /// The text of the id.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id! {
    /// An AWS account id: twelve digits.
    AccountId
}
text_id! {
    /// A Region's name, such as `eu-west-1`.
    Region
}
text_id! {
    /// A table's name. DynamoDB allows 3 to 255 characters of `[a-zA-Z0-9_.-]`, but dynacrawl
    /// accepts any name that a server returns.
    TableName
}
text_id! {
    /// A table's Amazon Resource Name.
    TableArn
}
text_id! {
    /// The partition of an ARN: `aws`, `aws-cn`, `aws-us-gov`, `aws-eusc`, …
    Partition
}

impl FromStr for AccountId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        if text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidId { value: text.to_owned(), expected: "an AWS account id: twelve digits" })
        }
    }
}

impl FromStr for Region {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let parts: Vec<&str> = text.split('-').collect();
        let words = |p: &&str| !p.is_empty() && p.bytes().all(|b| b.is_ascii_lowercase());
        let valid = match parts.split_last() {
            Some((number, names)) => {
                names.len() >= 2
                    && names.iter().all(words)
                    && !number.is_empty()
                    && number.bytes().all(|b| b.is_ascii_digit())
            }
            None => false,
        };
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidId { value: text.to_owned(), expected: "the name of a Region, such as eu-west-1" })
        }
    }
}

impl Region {
    /// The partition that the Region's name belongs to.
    pub fn partition(&self) -> Partition {
        let partition = match self.0.split('-').collect::<Vec<_>>().as_slice() {
            ["cn", ..] => "aws-cn",
            ["eusc", ..] => "aws-eusc",
            ["us", "gov", ..] => "aws-us-gov",
            ["us", "iso", ..] => "aws-iso",
            ["us", "isob", ..] => "aws-iso-b",
            ["eu", "isoe", ..] => "aws-iso-e",
            ["us", "isof", ..] => "aws-iso-f",
            _ => "aws",
        };
        Partition(partition.to_owned())
    }
}

impl From<String> for TableName {
    fn from(name: String) -> Self {
        Self(name)
    }
}

impl From<&str> for TableName {
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}

impl From<String> for TableArn {
    fn from(arn: String) -> Self {
        Self(arn)
    }
}

impl From<&str> for Partition {
    fn from(partition: &str) -> Self {
        Self(partition.to_owned())
    }
}

impl TableArn {
    /// The account in `arn:partition:dynamodb:region:account:table/name`, if present.
    pub fn account_id(&self) -> Option<AccountId> {
        self.0.split(':').nth(4)?.parse().ok()
    }

    /// The text in the place of the Region, where emulators put names of their own; `None` if it is
    /// empty.
    pub fn region(&self) -> Option<&str> {
        self.0.split(':').nth(3).filter(|region| !region.is_empty())
    }

    /// The name of the table, if present.
    pub fn table_name(&self) -> Option<&str> {
        let resource = self.0.splitn(6, ':').nth(5)?;
        resource.strip_prefix("table/").filter(|name| !name.is_empty())
    }
}

/// A new id for an event: a ULID, so that ids sort by the time at which they were created.
pub fn event_id() -> String {
    ulid::Ulid::generate().to_string()
}

/// The id of an event that is made again when it is delivered again: the same for the same time and hash.
pub fn repeatable_event_id(at: crate::Timestamp, hash: u128) -> String {
    let milliseconds = u64::try_from(at.as_millis()).unwrap_or_default();
    ulid::Ulid::from_parts(milliseconds, hash).to_string()
}

/// The id of one run: a ULID, so that runs sort by their start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId([u8; 26]);

impl RunId {
    /// A new id, from the system clock and the system's randomness.
    pub fn generate() -> Self {
        let mut text = [0; 26];
        ulid::Ulid::generate().array_to_str(&mut text);
        Self(text)
    }

    /// The day on which the id was made, in UTC, such as `2026-01-31`.
    pub fn day(&self) -> String {
        let millis = ulid::Ulid::from_string(self.as_str()).map_or(0, |id| id.timestamp_ms());
        let at = i64::try_from(millis).ok().and_then(crate::Timestamp::from_millis);
        at.map_or_else(String::new, |at| at.to_string().chars().take_while(|c| *c != 'T').collect())
    }

    /// The 26 characters of the id.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for RunId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        match (ulid::Ulid::from_string(text), <[u8; 26]>::try_from(text.as_bytes())) {
            (Ok(_), Ok(bytes)) => Ok(Self(bytes)),
            _ => Err(InvalidId { value: text.to_owned(), expected: "a run id: a ULID of 26 characters" }),
        }
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for RunId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for RunId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for RunId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RunId".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[0-9A-HJKMNP-TV-Z]{26}$" })
    }
}

/// One account in one Region: the unit of work, of failure and of completeness.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Scope {
    /// The partition that the Region belongs to.
    pub partition: Partition,
    /// The account; `null` if it could not be determined, which a problem of the scope then
    /// reports.
    pub account_id: Option<AccountId>,
    /// The Region.
    pub region: Region,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let account = self.account_id.as_ref().map_or("unknown-account", AccountId::as_str);
        write!(f, "{account}/{}", self.region)
    }
}

#[cfg(test)]
mod tests {
    use super::{AccountId, Region, RunId, TableArn};

    #[test]
    fn region_names_are_validated_and_have_a_partition() {
        for (name, partition) in [
            ("eu-west-1", "aws"),
            ("cn-north-1", "aws-cn"),
            ("us-gov-west-1", "aws-us-gov"),
            ("eusc-de-east-1", "aws-eusc"),
            ("us-isob-east-1", "aws-iso-b"),
            ("ap-southeast-2", "aws"),
        ] {
            let region: Region = name.parse().expect(name);
            assert_eq!(region.partition().as_str(), partition, "{name}");
        }
        for wrong in ["", "all", "eu-west", "EU-WEST-1", "eu-west-1a", "eu west-1", "1", "eu--1", "a.b/c-d-1"] {
            assert!(wrong.parse::<Region>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn account_ids_are_twelve_digits() {
        assert!("123456789012".parse::<AccountId>().is_ok());
        for wrong in ["12345678901", "1234567890123", "12345678901x", ""] {
            assert!(wrong.parse::<AccountId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_arn_contains_its_account_region_and_table() {
        let arn = TableArn::from("arn:aws-cn:dynamodb:cn-north-1:123456789012:table/a:b".to_owned());
        assert_eq!(arn.account_id().expect("an account").as_str(), "123456789012");
        assert_eq!((arn.region(), arn.table_name()), (Some("cn-north-1"), Some("a:b")));
        let nonsense = TableArn::from("nonsense".to_owned());
        assert_eq!((nonsense.account_id(), nonsense.region(), nonsense.table_name()), (None, None, None));
    }

    #[test]
    fn run_ids_round_trip() {
        let id = RunId::generate();
        assert_eq!(id.to_string().parse::<RunId>(), Ok(id));
        assert!("not-a-ulid".parse::<RunId>().is_err());
    }
}
