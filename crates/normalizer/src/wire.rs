//! DescribeTable's answer as AWS sends it, with AWS's names. Every field is optional, because each
//! has been seen missing. Fields that have no name here are kept in `extra`.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::lenient::{Lenient, Unexpected};

/// Defines structs that read the named fields and keep all others: from bytes, with an error for a
/// field of an unexpected type, and leniently from parsed JSON.
///
/// serde's `flatten` would do the same by buffering every object first, at several times the cost.
macro_rules! wire {
    ($($(#[$doc:meta])* struct $name:ident { $($field:ident: $wire:literal => $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub(crate) struct $name {
            $(pub(crate) $field: Option<$type>,)*
            pub(crate) extra: Map<String, Value>,
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Fields;
                impl<'de> Visitor<'de> for Fields {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str(concat!("an object (", stringify!($name), ")"))
                    }

                    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<$name, A::Error> {
                        let mut read = $name::default();
                        while let Some(Key(key)) = map.next_key()? {
                            match &*key {
                                $($wire => read.$field = map.next_value()?,)*
                                _ => {
                                    read.extra.insert(key.into_owned(), map.next_value()?);
                                }
                            }
                        }
                        Ok(read)
                    }
                }
                deserializer.deserialize_map(Fields)
            }
        }

        impl Lenient for $name {
            fn read(value: &Value, unexpected: &mut Unexpected) -> Option<Self> {
                let mut read = Self::default();
                for (key, value) in value.as_object()? {
                    match key.as_str() {
                        $($wire if value.is_null() => {}
                        $wire => {
                            read.$field = unexpected.member($wire, value);
                            if read.$field.is_none() {
                                read.extra.insert(key.clone(), value.clone());
                            }
                        })*
                        _ => {
                            read.extra.insert(key.clone(), value.clone());
                        }
                    }
                }
                Some(read)
            }
        }
    )*};
}

/// A key, borrowed from the body unless it has escapes.
struct Key<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(key)))
            }

            fn visit_str<E>(self, key: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(key.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

wire! {
    struct DescribeTableAnswer {
        table: "Table" => TableDescription,
    }

    struct TableDescription {
        attribute_definitions: "AttributeDefinitions" => Vec<AttributeDefinition>,
        table_name: "TableName" => String,
        key_schema: "KeySchema" => Vec<KeySchemaElement>,
        table_status: "TableStatus" => String,
        creation_date_time: "CreationDateTime" => f64,
        provisioned_throughput: "ProvisionedThroughput" => ProvisionedThroughput,
        table_size_bytes: "TableSizeBytes" => i64,
        item_count: "ItemCount" => i64,
        table_arn: "TableArn" => String,
        table_id: "TableId" => String,
        billing_mode_summary: "BillingModeSummary" => BillingModeSummary,
        local_secondary_indexes: "LocalSecondaryIndexes" => Vec<LocalSecondaryIndex>,
        global_secondary_indexes: "GlobalSecondaryIndexes" => Vec<GlobalSecondaryIndex>,
        vector_indexes: "VectorIndexes" => Vec<VectorIndex>,
        stream_specification: "StreamSpecification" => StreamSpecification,
        latest_stream_label: "LatestStreamLabel" => String,
        latest_stream_arn: "LatestStreamArn" => String,
        global_table_version: "GlobalTableVersion" => String,
        replicas: "Replicas" => Vec<Replica>,
        global_table_witnesses: "GlobalTableWitnesses" => Vec<Witness>,
        global_table_settings_replication_mode: "GlobalTableSettingsReplicationMode" => String,
        restore_summary: "RestoreSummary" => RestoreSummary,
        sse_description: "SSEDescription" => SseDescription,
        archival_summary: "ArchivalSummary" => ArchivalSummary,
        table_class_summary: "TableClassSummary" => TableClassSummary,
        deletion_protection_enabled: "DeletionProtectionEnabled" => bool,
        disassociation_protection_enabled: "DisassociationProtectionEnabled" => bool,
        on_demand_throughput: "OnDemandThroughput" => OnDemandThroughput,
        warm_throughput: "WarmThroughput" => WarmThroughput,
        multi_region_consistency: "MultiRegionConsistency" => String,
    }

    struct AttributeDefinition {
        attribute_name: "AttributeName" => String,
        attribute_type: "AttributeType" => String,
    }

    struct KeySchemaElement {
        attribute_name: "AttributeName" => String,
        key_type: "KeyType" => String,
    }

    struct ProvisionedThroughput {
        last_increase_date_time: "LastIncreaseDateTime" => f64,
        last_decrease_date_time: "LastDecreaseDateTime" => f64,
        number_of_decreases_today: "NumberOfDecreasesToday" => i64,
        read_capacity_units: "ReadCapacityUnits" => i64,
        write_capacity_units: "WriteCapacityUnits" => i64,
    }

    struct BillingModeSummary {
        billing_mode: "BillingMode" => String,
        last_update_to_pay_per_request_date_time: "LastUpdateToPayPerRequestDateTime" => f64,
    }

    struct LocalSecondaryIndex {
        index_name: "IndexName" => String,
        key_schema: "KeySchema" => Vec<KeySchemaElement>,
        projection: "Projection" => Projection,
        index_size_bytes: "IndexSizeBytes" => i64,
        item_count: "ItemCount" => i64,
        index_arn: "IndexArn" => String,
    }

    struct GlobalSecondaryIndex {
        index_name: "IndexName" => String,
        key_schema: "KeySchema" => Vec<KeySchemaElement>,
        projection: "Projection" => Projection,
        index_status: "IndexStatus" => String,
        backfilling: "Backfilling" => bool,
        provisioned_throughput: "ProvisionedThroughput" => ProvisionedThroughput,
        index_size_bytes: "IndexSizeBytes" => i64,
        item_count: "ItemCount" => i64,
        index_arn: "IndexArn" => String,
        on_demand_throughput: "OnDemandThroughput" => OnDemandThroughput,
        warm_throughput: "WarmThroughput" => WarmThroughput,
    }

    struct VectorIndex {
        index_name: "IndexName" => String,
        search_schema: "SearchSchema" => Vec<SearchSchemaElement>,
        projection: "Projection" => Projection,
        vector_attribute: "VectorAttribute" => VectorAttribute,
        dimensions: "Dimensions" => i64,
        distance_function: "DistanceFunction" => String,
        index_status: "IndexStatus" => String,
        backfilling: "Backfilling" => bool,
        index_size_bytes: "IndexSizeBytes" => i64,
        item_count: "ItemCount" => i64,
        index_arn: "IndexArn" => String,
    }

    struct SearchSchemaElement {
        attribute_name: "AttributeName" => String,
        element_type: "SearchSchemaElementType" => String,
    }

    struct VectorAttribute {
        attribute_name: "AttributeName" => String,
    }

    struct Projection {
        projection_type: "ProjectionType" => String,
        non_key_attributes: "NonKeyAttributes" => Vec<String>,
    }

    struct StreamSpecification {
        stream_enabled: "StreamEnabled" => bool,
        stream_view_type: "StreamViewType" => String,
    }

    struct Replica {
        region_name: "RegionName" => String,
        replica_status: "ReplicaStatus" => String,
        replica_arn: "ReplicaArn" => String,
        replica_status_description: "ReplicaStatusDescription" => String,
        replica_status_percent_progress: "ReplicaStatusPercentProgress" => String,
        kms_master_key_id: "KMSMasterKeyId" => String,
        provisioned_throughput_override: "ProvisionedThroughputOverride" => ProvisionedThroughputOverride,
        on_demand_throughput_override: "OnDemandThroughputOverride" => OnDemandThroughputOverride,
        warm_throughput: "WarmThroughput" => WarmThroughput,
        global_secondary_indexes: "GlobalSecondaryIndexes" => Vec<ReplicaIndex>,
        replica_inaccessible_date_time: "ReplicaInaccessibleDateTime" => f64,
        replica_table_class_summary: "ReplicaTableClassSummary" => TableClassSummary,
        global_table_settings_replication_mode: "GlobalTableSettingsReplicationMode" => String,
    }

    struct ReplicaIndex {
        index_name: "IndexName" => String,
        provisioned_throughput_override: "ProvisionedThroughputOverride" => ProvisionedThroughputOverride,
        on_demand_throughput_override: "OnDemandThroughputOverride" => OnDemandThroughputOverride,
        warm_throughput: "WarmThroughput" => WarmThroughput,
    }

    struct ProvisionedThroughputOverride {
        read_capacity_units: "ReadCapacityUnits" => i64,
    }

    struct OnDemandThroughputOverride {
        max_read_request_units: "MaxReadRequestUnits" => i64,
    }

    struct Witness {
        region_name: "RegionName" => String,
        witness_status: "WitnessStatus" => String,
    }

    struct RestoreSummary {
        source_backup_arn: "SourceBackupArn" => String,
        source_table_arn: "SourceTableArn" => String,
        restore_date_time: "RestoreDateTime" => f64,
        restore_in_progress: "RestoreInProgress" => bool,
    }

    struct SseDescription {
        status: "Status" => String,
        sse_type: "SSEType" => String,
        kms_master_key_arn: "KMSMasterKeyArn" => String,
        inaccessible_encryption_date_time: "InaccessibleEncryptionDateTime" => f64,
    }

    struct ArchivalSummary {
        archival_date_time: "ArchivalDateTime" => f64,
        archival_reason: "ArchivalReason" => String,
        archival_backup_arn: "ArchivalBackupArn" => String,
    }

    struct TableClassSummary {
        table_class: "TableClass" => String,
        last_update_date_time: "LastUpdateDateTime" => f64,
    }

    struct OnDemandThroughput {
        max_read_request_units: "MaxReadRequestUnits" => i64,
        max_write_request_units: "MaxWriteRequestUnits" => i64,
    }

    struct WarmThroughput {
        read_units_per_second: "ReadUnitsPerSecond" => i64,
        write_units_per_second: "WriteUnitsPerSecond" => i64,
        status: "Status" => String,
    }
}
