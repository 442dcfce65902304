//! A hash of a table's structural part.
//!
//! Every struct is taken apart field by field, so that a new field of the model does not compile
//! until someone decides whether it is structure. What drifts by itself is named with `_`: item
//! counts, sizes, momentary warm throughput, times of the last increase, states in passing, `extra`.

use dynacrawl_model::{
    Archival, AttributeDefinition, Encryption, Index, IndexKind, KeyElement, OnDemandThroughput,
    OnDemandThroughputOverride, Projection, ProvisionedThroughput, ProvisionedThroughputOverride, Replica,
    ReplicaIndex, Restore, SearchElement, Stream, Table, TableArn, TableName, Timestamp, VectorSettings, Witness,
};
use sha2::{Digest, Sha256};

/// The version of what is hashed and how. Fingerprints of different versions say nothing about each other.
pub const FINGERPRINT_VERSION: u32 = 1;

/// The fingerprint of a table: the version, a colon, and 128 bits of a SHA-256 in hexadecimal.
pub fn fingerprint(table: &Table) -> String {
    use std::fmt::Write;
    let mut canonical = Vec::with_capacity(1024);
    table.put(&mut canonical);
    let mut text = format!("{FINGERPRINT_VERSION}:");
    for byte in &Sha256::digest(&canonical)[..16] {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// States that pass by themselves: between them and `ACTIVE` the structure is the same.
fn lasting(status: Option<&String>) -> Option<&String> {
    status.filter(|status| {
        !matches!(status.as_str(), "CREATING" | "CREATION_FAILED" | "UPDATING" | "DELETING" | "ACTIVE" | "ARCHIVING")
    })
}

/// Writes a value so that no two different values give the same bytes.
trait Put {
    fn put(&self, out: &mut Vec<u8>);
}

impl<T: Put> Put for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            None => out.push(0),
            Some(value) => {
                out.push(1);
                value.put(out);
            }
        }
    }
}

impl<T: Put> Put for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend((self.len() as u64).to_le_bytes());
        for value in self {
            value.put(out);
        }
    }
}

impl<T: Put + ?Sized> Put for &T {
    fn put(&self, out: &mut Vec<u8>) {
        (**self).put(out);
    }
}

impl Put for str {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend((self.len() as u64).to_le_bytes());
        out.extend(self.as_bytes());
    }
}

impl Put for String {
    fn put(&self, out: &mut Vec<u8>) {
        self.as_str().put(out);
    }
}

impl Put for i64 {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend(self.to_le_bytes());
    }
}

impl Put for bool {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
}

impl Put for Timestamp {
    fn put(&self, out: &mut Vec<u8>) {
        self.as_millis().put(out);
    }
}

impl Put for TableArn {
    fn put(&self, out: &mut Vec<u8>) {
        self.as_str().put(out);
    }
}

impl Put for TableName {
    fn put(&self, out: &mut Vec<u8>) {
        self.as_str().put(out);
    }
}

impl Put for IndexKind {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(match self {
            Self::Global => 0,
            Self::Local => 1,
            Self::Vector => 2,
        });
    }
}

/// Implements [`Put`] by taking a struct apart: first the fields that are hashed, in this order, then those that are not.
macro_rules! put {
    ($($name:ident { $($kept:ident),* } without { $($left_out:ident),* })*) => {$(
        impl Put for $name {
            fn put(&self, out: &mut Vec<u8>) {
                let Self { $($kept,)* $($left_out: _,)* } = self;
                $($kept.put(out);)*
            }
        }
    )*};
}

put! {
    AttributeDefinition { name, attribute_type } without { extra }
    Projection { projection_type, non_key_attributes } without { extra }
    ProvisionedThroughput { read_capacity_units, write_capacity_units }
        without { last_increase_at, last_decrease_at, number_of_decreases_today, extra }
    OnDemandThroughput { max_read_request_units, max_write_request_units } without { extra }
    ProvisionedThroughputOverride { read_capacity_units } without { extra }
    OnDemandThroughputOverride { max_read_request_units } without { extra }
    Stream { enabled, view_type, latest_arn, latest_label } without { extra }
    Encryption { encryption_type, kms_master_key_arn, inaccessible_at } without { status, extra }
    ReplicaIndex { name, provisioned_throughput_override, on_demand_throughput_override }
        without { warm_throughput, extra }
    Restore { source_backup_arn, source_table_arn, restored_at } without { in_progress, extra }
    Archival { archived_at, reason, backup_arn } without { extra }
    VectorSettings { attribute, dimensions, distance_function, search_schema } without {}
    SearchElement { attribute, attribute_type, element_type } without { extra }
}

impl Put for KeyElement {
    fn put(&self, out: &mut Vec<u8>) {
        // The position is the place in the list.
        let Self { attribute, attribute_type, role, position: _, extra: _ } = self;
        attribute.put(out);
        attribute_type.put(out);
        role.as_deref().put(out);
    }
}

impl Put for Witness {
    fn put(&self, out: &mut Vec<u8>) {
        let Self { region, status, extra: _ } = self;
        region.put(out);
        lasting(status.as_ref()).put(out);
    }
}

impl Put for Replica {
    fn put(&self, out: &mut Vec<u8>) {
        let Self {
            region,
            status,
            arn,
            status_description: _,
            status_percent_progress: _,
            kms_master_key_id,
            provisioned_throughput_override,
            on_demand_throughput_override,
            warm_throughput: _,
            indexes,
            inaccessible_at,
            table_class,
            table_class_updated_at,
            global_table_settings_replication_mode,
            extra: _,
        } = self;
        region.put(out);
        lasting(status.as_ref()).put(out);
        arn.put(out);
        kms_master_key_id.put(out);
        provisioned_throughput_override.put(out);
        on_demand_throughput_override.put(out);
        indexes.put(out);
        inaccessible_at.put(out);
        table_class.put(out);
        table_class_updated_at.put(out);
        global_table_settings_replication_mode.put(out);
    }
}

impl Put for Index {
    fn put(&self, out: &mut Vec<u8>) {
        let Self {
            kind,
            name,
            arn,
            status,
            backfilling: _,
            key_schema,
            projection,
            provisioned_throughput,
            on_demand_throughput,
            warm_throughput: _,
            item_count: _,
            size_bytes: _,
            vector,
            extra: _,
        } = self;
        kind.put(out);
        name.put(out);
        arn.put(out);
        lasting(status.as_ref()).put(out);
        key_schema.put(out);
        projection.put(out);
        provisioned_throughput.put(out);
        on_demand_throughput.put(out);
        vector.put(out);
    }
}

impl Put for Table {
    fn put(&self, out: &mut Vec<u8>) {
        let Self {
            arn,
            id,
            name,
            status,
            created_at,
            attributes,
            key_schema,
            indexes,
            billing_mode,
            last_update_to_pay_per_request_at,
            provisioned_throughput,
            on_demand_throughput,
            warm_throughput: _,
            item_count: _,
            size_bytes: _,
            stream,
            encryption,
            replicas,
            global_table_version,
            global_table_witnesses,
            global_table_settings_replication_mode,
            multi_region_consistency,
            table_class,
            table_class_updated_at,
            deletion_protection_enabled,
            disassociation_protection_enabled,
            restore,
            archival,
            extra: _,
        } = self;
        arn.put(out);
        id.put(out);
        name.put(out);
        lasting(status.as_ref()).put(out);
        created_at.put(out);
        attributes.put(out);
        key_schema.put(out);
        indexes.put(out);
        billing_mode.put(out);
        last_update_to_pay_per_request_at.put(out);
        provisioned_throughput.put(out);
        on_demand_throughput.put(out);
        stream.put(out);
        encryption.put(out);
        replicas.put(out);
        global_table_version.put(out);
        global_table_witnesses.put(out);
        global_table_settings_replication_mode.put(out);
        multi_region_consistency.put(out);
        table_class.put(out);
        table_class_updated_at.put(out);
        deletion_protection_enabled.put(out);
        disassociation_protection_enabled.put(out);
        restore.put(out);
        archival.put(out);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    fn fingerprint_of(description: &Value) -> String {
        let body = json!({ "Table": description }).to_string();
        super::fingerprint(&crate::decode(body.as_bytes()).expect("a description"))
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
    fn what_drifts_by_itself_is_no_change() {
        for (pointer, value) in [
            ("/ItemCount", json!(1)),
            ("/TableSizeBytes", json!(1)),
            ("/TableStatus", json!("UPDATING")),
            ("/WarmThroughput/ReadUnitsPerSecond", json!(1)),
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
    fn structure_is_a_change() {
        for (pointer, value) in [
            ("/TableId", json!("other")),
            ("/TableStatus", json!("ARCHIVED")),
            ("/AttributeDefinitions/0/AttributeType", json!("B")),
            ("/KeySchema/0/AttributeName", json!("other")),
            ("/GlobalSecondaryIndexes/0/Projection/ProjectionType", json!("ALL")),
            ("/LocalSecondaryIndexes/0/IndexName", json!("other")),
            ("/VectorIndexes/0/Dimensions", json!(3)),
            ("/BillingModeSummary/BillingMode", json!("other")),
            ("/ProvisionedThroughput/ReadCapacityUnits", json!(123_456)),
            ("/StreamSpecification/StreamEnabled", json!(null)),
            ("/Replicas/0/KMSMasterKeyId", json!("other")),
            ("/DeletionProtectionEnabled", json!(null)),
            ("/TableClassSummary/TableClass", json!("other")),
        ] {
            assert_ne!(changed(pointer, value), unchanged(), "{pointer}");
        }
    }

    #[test]
    fn the_first_version_stays_what_it_is() {
        let description = json!({"TableName": "t", "KeySchema": [{"AttributeName": "a", "KeyType": "HASH"}]});
        assert_eq!(fingerprint_of(&description), "1:56615481af8ac42f19b0d15a5ebe3e5e");
    }
}
