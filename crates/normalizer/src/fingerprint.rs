//! A hash of a table's structural part.

use dynacrawl_model::Table;
use sha2::{Digest, Sha256};

use crate::structure::Structure;

/// The version of the fingerprint. Fingerprints of different versions cannot be compared. A change
/// of the code that changes the fingerprint of an unchanged table needs a new version.
pub const FINGERPRINT_VERSION: u32 = 3;

/// The fingerprint of a table: the version, a colon, and 128 bits of a SHA-256 in hexadecimal.
pub fn fingerprint(table: &Table) -> String {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut canonical = Vec::with_capacity(2048);
    table.put(&mut canonical);
    let mut text = format!("{FINGERPRINT_VERSION}:");
    for byte in &Sha256::digest(&canonical)[..16] {
        text.push(char::from(HEX[usize::from(byte >> 4)]));
        text.push(char::from(HEX[usize::from(byte & 15)]));
    }
    text
}

/// Whether two fingerprints are of the same version, so that they can be compared.
pub fn comparable(one: &str, other: &str) -> bool {
    let version = one.split_once(':').map(|(version, _)| version);
    version.is_some() && version == other.split_once(':').map(|(version, _)| version)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    fn fingerprint_of(description: &Value) -> String {
        let body = json!({ "Table": description }).to_string();
        super::fingerprint(&crate::decode(body.as_bytes()).expect("a description").table)
    }

    /// The full description with one value replaced.
    fn changed(pointer: &str, value: Value) -> String {
        let mut description = dynacrawl_sim::fixtures::full_table("orders", "123456789012", "eu-west-1");
        *description.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")) = value;
        fingerprint_of(&description)
    }

    fn unchanged() -> String {
        fingerprint_of(&dynacrawl_sim::fixtures::full_table("orders", "123456789012", "eu-west-1"))
    }

    #[test]
    fn drift_does_not_change_the_fingerprint() {
        for (pointer, value) in [
            ("/ItemCount", json!(1)),
            ("/TableSizeBytes", json!(1)),
            ("/TableStatus", json!("UPDATING")),
            ("/WarmThroughput/ReadUnitsPerSecond", json!(1)),
            ("/ProvisionedThroughput/ReadCapacityUnits", json!(123_456)),
            ("/ProvisionedThroughput/WriteCapacityUnits", json!(123_456)),
            ("/ProvisionedThroughput", json!(null)),
            ("/GlobalSecondaryIndexes/0/ProvisionedThroughput/ReadCapacityUnits", json!(123_456)),
            ("/Replicas/0/ProvisionedThroughputOverride/ReadCapacityUnits", json!(123_456)),
            ("/Replicas/0/GlobalSecondaryIndexes/0/ProvisionedThroughputOverride", json!(null)),
            ("/ProvisionedThroughput/LastIncreaseDateTime", json!(1.5)),
            ("/ProvisionedThroughput/NumberOfDecreasesToday", json!(9)),
            ("/GlobalSecondaryIndexes/0/ItemCount", json!(1)),
            ("/GlobalSecondaryIndexes/0/Backfilling", json!(null)),
            ("/GlobalSecondaryIndexes/0/IndexStatus", json!("UPDATING")),
            ("/SSEDescription/Status", json!("UPDATING")),
        ] {
            assert_eq!(changed(pointer, value), unchanged(), "{pointer}");
        }
        let mut tomorrow = dynacrawl_sim::fixtures::full_table("orders", "123456789012", "eu-west-1");
        tomorrow["NewField"] = json!({"a": 1});
        assert_eq!(fingerprint_of(&tomorrow), unchanged());
    }

    #[test]
    fn structure_changes_the_fingerprint() {
        for (pointer, value) in [
            ("/TableId", json!("other")),
            ("/TableStatus", json!("ARCHIVED")),
            ("/AttributeDefinitions/0/AttributeType", json!("B")),
            ("/KeySchema/0/AttributeName", json!("other")),
            ("/GlobalSecondaryIndexes/0/Projection/ProjectionType", json!("ALL")),
            ("/LocalSecondaryIndexes/0/IndexName", json!("other")),
            ("/VectorIndexes/0/Dimensions", json!(3)),
            ("/BillingModeSummary/BillingMode", json!("other")),
            ("/OnDemandThroughput/MaxReadRequestUnits", json!(123_456)),
            ("/GlobalSecondaryIndexes/0/OnDemandThroughput/MaxWriteRequestUnits", json!(123_456)),
            ("/Replicas/0/OnDemandThroughputOverride/MaxReadRequestUnits", json!(123_456)),
            ("/StreamSpecification/StreamEnabled", json!(null)),
            ("/Replicas/0/KMSMasterKeyId", json!("other")),
            ("/DeletionProtectionEnabled", json!(null)),
            ("/TableClassSummary/TableClass", json!("other")),
        ] {
            assert_ne!(changed(pointer, value), unchanged(), "{pointer}");
        }
    }

    #[test]
    fn the_fingerprint_of_a_version_stays_the_same() {
        let description = json!({"TableName": "t", "KeySchema": [{"AttributeName": "a", "KeyType": "HASH"}]});
        assert_eq!(fingerprint_of(&description), "3:4c91775feecbba81ce2dbc6ba48abed8");
    }
}
