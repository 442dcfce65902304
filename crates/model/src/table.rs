//! A table as the records describe it. Names of fields and values are DynamoDB's own, except for
//! [`KeyElement::role`] and [`Index::kind`].

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Extra, TableArn, TableName, Timestamp};

/// The value of [`Table::billing_mode`] if AWS sends none.
pub const BILLING_MODE_PROVISIONED: &str = "PROVISIONED";
/// The value of [`Table::table_class`] if AWS sends none.
pub const TABLE_CLASS_STANDARD: &str = "STANDARD";
/// The value of [`Encryption::encryption_type`] if AWS sends no `SSEDescription`.
pub const ENCRYPTION_AWS_OWNED_KEY: &str = "AWS_OWNED_KEY";
/// [`KeyElement::role`] of a partition key attribute (`HASH`).
pub const ROLE_PARTITION: &str = "partition";
/// [`KeyElement::role`] of a sort key attribute (`RANGE`).
pub const ROLE_SORT: &str = "sort";

/// One table: the whole `TableDescription` of DescribeTable.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Table {
    /// `TableArn`.
    pub arn: Option<TableArn>,
    /// `TableId`: a UUID, which differs if a table is deleted and created again under the same
    /// name.
    pub id: Option<String>,
    /// `TableName`.
    pub name: Option<TableName>,
    /// `TableStatus`, such as `ACTIVE`.
    pub status: Option<String>,
    /// `CreationDateTime`.
    pub created_at: Option<Timestamp>,
    /// `AttributeDefinitions`, sorted by name: the attributes of the table's and the indexes' keys.
    pub attributes: Vec<AttributeDefinition>,
    /// `KeySchema`, in AWS's order; `null` in the `entities` layout, where it is a line of its own.
    pub key_schema: Option<Vec<KeyElement>>,
    /// `GlobalSecondaryIndexes`, `LocalSecondaryIndexes` and `VectorIndexes`, sorted by name; `null` in
    /// the `entities` layout, where each is a line of its own.
    pub indexes: Option<Vec<Index>>,
    /// `BillingModeSummary.BillingMode`. AWS sends no summary for a table that was never on demand: such a table is
    /// `PROVISIONED`.
    pub billing_mode: Option<Cow<'static, str>>,
    /// `BillingModeSummary.LastUpdateToPayPerRequestDateTime`.
    pub last_update_to_pay_per_request_at: Option<Timestamp>,
    /// `ProvisionedThroughput`.
    pub provisioned_throughput: Option<ProvisionedThroughput>,
    /// `OnDemandThroughput`: the maxima of an on-demand table.
    pub on_demand_throughput: Option<OnDemandThroughput>,
    /// `WarmThroughput`.
    pub warm_throughput: Option<WarmThroughput>,
    /// `ItemCount`; AWS refreshes it about every six hours.
    pub item_count: Option<i64>,
    /// `TableSizeBytes`, in bytes; AWS refreshes it about every six hours.
    pub size_bytes: Option<i64>,
    /// `StreamSpecification`, `LatestStreamArn` and `LatestStreamLabel`; `null` if AWS sent none of
    /// them.
    pub stream: Option<Stream>,
    /// `SSEDescription`. AWS sends none for a table that is encrypted with a key that AWS owns: its type is `AWS_OWNED_KEY`.
    pub encryption: Option<Encryption>,
    /// `Replicas`, sorted by Region.
    pub replicas: Vec<Replica>,
    /// `GlobalTableVersion`.
    pub global_table_version: Option<String>,
    /// `GlobalTableWitnesses`, sorted by Region.
    pub global_table_witnesses: Vec<Witness>,
    /// `GlobalTableSettingsReplicationMode`.
    pub global_table_settings_replication_mode: Option<String>,
    /// `MultiRegionConsistency`: `EVENTUAL` or `STRONG`.
    pub multi_region_consistency: Option<String>,
    /// `TableClassSummary.TableClass`. AWS sends no summary for a table that was always `STANDARD`.
    pub table_class: Option<Cow<'static, str>>,
    /// `TableClassSummary.LastUpdateDateTime`.
    pub table_class_updated_at: Option<Timestamp>,
    /// `DeletionProtectionEnabled`.
    pub deletion_protection_enabled: Option<bool>,
    /// `DisassociationProtectionEnabled`.
    pub disassociation_protection_enabled: Option<bool>,
    /// `RestoreSummary`: the backup or table that this one was restored from.
    pub restore: Option<Restore>,
    /// `ArchivalSummary`.
    pub archival: Option<Archival>,
    /// The fields that AWS did not send, and that have the value which AWS documents for that case:
    /// `billing_mode`, `encryption` or `table_class`.
    pub defaulted: Vec<Cow<'static, str>>,
    /// Everything else that AWS sent for the table.
    pub extra: Extra,
}

/// An attribute that a key uses: `AttributeDefinition`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AttributeDefinition {
    /// `AttributeName`.
    pub name: Option<String>,
    /// `AttributeType`: `S`, `N` or `B`.
    #[serde(rename = "type")]
    pub attribute_type: Option<String>,
}

/// One attribute of a key: `KeySchemaElement`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KeyElement {
    /// `AttributeName`.
    pub attribute: Option<String>,
    /// The attribute's type, from the table's `AttributeDefinitions`; `null` if they lack it.
    #[serde(rename = "type")]
    pub attribute_type: Option<String>,
    /// `partition` (`HASH`) or `sort` (`RANGE`); a value that AWS adds later is passed on
    /// unchanged.
    pub role: Option<Cow<'static, str>>,
    /// The position in AWS's order, from 0.
    pub position: u32,
}

/// The kind of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IndexKind {
    /// A global secondary index.
    Global,
    /// A local secondary index.
    Local,
    /// A vector index.
    Vector,
}

/// A secondary or vector index. Fields that its kind does not have are `null`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Index {
    /// The kind of the index.
    pub kind: IndexKind,
    /// `IndexName`.
    pub name: Option<String>,
    /// `IndexArn`.
    pub arn: Option<String>,
    /// `IndexStatus`; local secondary indexes have none.
    pub status: Option<String>,
    /// `Backfilling`.
    pub backfilling: Option<bool>,
    /// `KeySchema`, in AWS's order; for a vector index, the `HASH` elements of its `SearchSchema`;
    /// `null` in the `entities` layout, where it is a line of its own.
    pub key_schema: Option<Vec<KeyElement>>,
    /// `Projection`.
    pub projection: Option<Projection>,
    /// `ProvisionedThroughput`.
    pub provisioned_throughput: Option<ProvisionedThroughput>,
    /// `OnDemandThroughput`.
    pub on_demand_throughput: Option<OnDemandThroughput>,
    /// `WarmThroughput`.
    pub warm_throughput: Option<WarmThroughput>,
    /// `ItemCount`; AWS refreshes it about every six hours.
    pub item_count: Option<i64>,
    /// `IndexSizeBytes`, in bytes; AWS refreshes it about every six hours.
    pub size_bytes: Option<i64>,
    /// The settings that only a vector index has.
    pub vector: Option<VectorSettings>,
    /// Everything else that AWS sent for the index.
    pub extra: Extra,
}

/// The settings of a vector index.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VectorSettings {
    /// `VectorAttribute.AttributeName`.
    pub attribute: Option<String>,
    /// `Dimensions`: the number of elements of a vector.
    pub dimensions: Option<i64>,
    /// `DistanceFunction`.
    pub distance_function: Option<String>,
    /// `SearchSchema`, in AWS's order.
    pub search_schema: Vec<SearchElement>,
}

/// One attribute with which a vector search can be narrowed: `SearchSchemaElement`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SearchElement {
    /// `AttributeName`.
    pub attribute: Option<String>,
    /// The attribute's type, from the table's `AttributeDefinitions`; `null` if they lack it.
    #[serde(rename = "type")]
    pub attribute_type: Option<String>,
    /// `SearchSchemaElementType`: `HASH` or `INLINE_FILTER`.
    pub element_type: Option<String>,
}

/// The attributes that an index copies from its table: `Projection`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Projection {
    /// `ProjectionType`: `ALL`, `KEYS_ONLY` or `INCLUDE`.
    #[serde(rename = "type")]
    pub projection_type: Option<String>,
    /// `NonKeyAttributes`, sorted.
    pub non_key_attributes: Vec<String>,
}

/// `ProvisionedThroughputDescription`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProvisionedThroughput {
    /// `ReadCapacityUnits`; 0 on an on-demand table.
    pub read_capacity_units: Option<i64>,
    /// `WriteCapacityUnits`; 0 on an on-demand table.
    pub write_capacity_units: Option<i64>,
    /// `LastIncreaseDateTime`.
    pub last_increase_at: Option<Timestamp>,
    /// `LastDecreaseDateTime`.
    pub last_decrease_at: Option<Timestamp>,
    /// `NumberOfDecreasesToday`.
    pub number_of_decreases_today: Option<i64>,
}

/// `OnDemandThroughput`; -1 means that no maximum is set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OnDemandThroughput {
    /// `MaxReadRequestUnits`.
    pub max_read_request_units: Option<i64>,
    /// `MaxWriteRequestUnits`.
    pub max_write_request_units: Option<i64>,
}

/// The throughput that a table or index can serve at once: `TableWarmThroughputDescription` and
/// `GlobalSecondaryIndexWarmThroughputDescription`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WarmThroughput {
    /// `ReadUnitsPerSecond`.
    pub read_units_per_second: Option<i64>,
    /// `WriteUnitsPerSecond`.
    pub write_units_per_second: Option<i64>,
    /// `Status`.
    pub status: Option<String>,
}

/// The stream of a table: `StreamSpecification`, with the ARN and label of the latest stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stream {
    /// `StreamSpecification.StreamEnabled`.
    pub enabled: Option<bool>,
    /// `StreamSpecification.StreamViewType`.
    pub view_type: Option<String>,
    /// `LatestStreamArn`; it stays after the stream is disabled.
    pub latest_arn: Option<String>,
    /// `LatestStreamLabel`.
    pub latest_label: Option<String>,
}

/// Encryption at rest: `SSEDescription`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Encryption {
    /// `Status`.
    pub status: Option<Cow<'static, str>>,
    /// `SSEType`: `KMS` or `AES256`; `AWS_OWNED_KEY` if AWS sent no `SSEDescription`.
    #[serde(rename = "type")]
    pub encryption_type: Option<Cow<'static, str>>,
    /// `KMSMasterKeyArn`.
    pub kms_master_key_arn: Option<String>,
    /// `InaccessibleEncryptionDateTime`: when DynamoDB found that it cannot use the key.
    pub inaccessible_at: Option<Timestamp>,
}

/// A replica of a global table: `ReplicaDescription`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Replica {
    /// `RegionName`.
    pub region: Option<String>,
    /// `ReplicaStatus`.
    pub status: Option<String>,
    /// `ReplicaArn`.
    pub arn: Option<String>,
    /// `ReplicaStatusDescription`.
    pub status_description: Option<String>,
    /// `ReplicaStatusPercentProgress`.
    pub status_percent_progress: Option<String>,
    /// `KMSMasterKeyId`.
    pub kms_master_key_id: Option<String>,
    /// `ProvisionedThroughputOverride`.
    pub provisioned_throughput_override: Option<ProvisionedThroughputOverride>,
    /// `OnDemandThroughputOverride`.
    pub on_demand_throughput_override: Option<OnDemandThroughputOverride>,
    /// `WarmThroughput`.
    pub warm_throughput: Option<WarmThroughput>,
    /// `GlobalSecondaryIndexes`: the settings that differ in the replica, sorted by name.
    pub replica_indexes: Vec<ReplicaIndex>,
    /// `ReplicaInaccessibleDateTime`.
    pub inaccessible_at: Option<Timestamp>,
    /// `ReplicaTableClassSummary.TableClass`.
    pub table_class: Option<String>,
    /// `ReplicaTableClassSummary.LastUpdateDateTime`.
    pub table_class_updated_at: Option<Timestamp>,
    /// `GlobalTableSettingsReplicationMode`.
    pub global_table_settings_replication_mode: Option<String>,
    /// Everything else that AWS sent for the replica.
    pub extra: Extra,
}

/// `ReplicaGlobalSecondaryIndexDescription`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReplicaIndex {
    /// `IndexName`.
    pub name: Option<String>,
    /// `ProvisionedThroughputOverride`.
    pub provisioned_throughput_override: Option<ProvisionedThroughputOverride>,
    /// `OnDemandThroughputOverride`.
    pub on_demand_throughput_override: Option<OnDemandThroughputOverride>,
    /// `WarmThroughput`.
    pub warm_throughput: Option<WarmThroughput>,
}

/// `ProvisionedThroughputOverride`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProvisionedThroughputOverride {
    /// `ReadCapacityUnits`.
    pub read_capacity_units: Option<i64>,
}

/// `OnDemandThroughputOverride`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OnDemandThroughputOverride {
    /// `MaxReadRequestUnits`.
    pub max_read_request_units: Option<i64>,
}

/// A Region that is only a witness of a global table with strong consistency:
/// `GlobalTableWitnessDescription`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Witness {
    /// `RegionName`.
    pub region: Option<String>,
    /// `WitnessStatus`.
    pub status: Option<String>,
}

/// The source from which a table was restored: `RestoreSummary`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Restore {
    /// `SourceBackupArn`.
    pub source_backup_arn: Option<String>,
    /// `SourceTableArn`.
    pub source_table_arn: Option<String>,
    /// `RestoreDateTime`: the point in time, or the time at which the backup was created.
    pub restored_at: Option<Timestamp>,
    /// `RestoreInProgress`.
    pub in_progress: Option<bool>,
}

/// Why and when a table was archived: `ArchivalSummary`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Archival {
    /// `ArchivalDateTime`.
    pub archived_at: Option<Timestamp>,
    /// `ArchivalReason`.
    pub reason: Option<String>,
    /// `ArchivalBackupArn`.
    pub backup_arn: Option<String>,
}
