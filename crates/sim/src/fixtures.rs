//! Descriptions of tables for tests.

use serde_json::{Value, json};

use crate::estate::TableBuilder;

/// A small on-demand table with a partition key `id` of type `S`.
#[must_use]
pub fn small_table(name: &str, account_id: &str, region: &str) -> Value {
    TableBuilder::new(account_id, region, name).hash("id", "S").build()
}

/// A description in which every field of the service's model has a different value, at every depth.
/// So code that loses or mixes up a field cannot reproduce it.
#[must_use]
pub fn full_table(name: &str, account_id: &str, region: &str) -> Value {
    let arn = format!("arn:aws:dynamodb:{region}:{account_id}:table/{name}");
    json!({
        "AttributeDefinitions": [
            {"AttributeName": "full-pk", "AttributeType": "S"},
            {"AttributeName": "full-sk", "AttributeType": "N"},
            {"AttributeName": "full-gsi-pk-1", "AttributeType": "B"},
            {"AttributeName": "full-gsi-pk-2", "AttributeType": "S"},
            {"AttributeName": "full-gsi-sk-1", "AttributeType": "N"},
            {"AttributeName": "full-gsi-sk-2", "AttributeType": "S"},
            {"AttributeName": "full-lsi-sk", "AttributeType": "B"},
        ],
        "TableName": name,
        "KeySchema": [{"AttributeName": "full-pk", "KeyType": "HASH"}, {"AttributeName": "full-sk", "KeyType": "RANGE"}],
        "TableStatus": "UPDATING",
        "CreationDateTime": 1_700_000_001.101,
        "ProvisionedThroughput": {
            "LastIncreaseDateTime": 1_700_000_002.202, "LastDecreaseDateTime": 1_700_000_003.303, "NumberOfDecreasesToday": 1_001,
            "ReadCapacityUnits": 1_002, "WriteCapacityUnits": 1_003,
        },
        "TableSizeBytes": 1_004,
        "ItemCount": 1_005,
        "TableArn": arn,
        "TableId": "f0110000-1111-4222-8333-444455556666",
        "BillingModeSummary": {"BillingMode": "PROVISIONED", "LastUpdateToPayPerRequestDateTime": 1_700_000_004.404},
        "LocalSecondaryIndexes": [{
            "IndexName": "full-lsi",
            "KeySchema": [{"AttributeName": "full-pk", "KeyType": "HASH"}, {"AttributeName": "full-lsi-sk", "KeyType": "RANGE"}],
            "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["full-lsi-extra-1", "full-lsi-extra-2"]},
            "IndexSizeBytes": 1_006, "ItemCount": 1_007, "IndexArn": format!("{arn}/index/full-lsi"),
        }],
        "GlobalSecondaryIndexes": [{
            "IndexName": "full-gsi",
            "KeySchema": [
                {"AttributeName": "full-gsi-pk-1", "KeyType": "HASH"}, {"AttributeName": "full-gsi-pk-2", "KeyType": "HASH"},
                {"AttributeName": "full-gsi-sk-1", "KeyType": "RANGE"}, {"AttributeName": "full-gsi-sk-2", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["full-gsi-extra-1", "full-gsi-extra-2"]},
            "IndexStatus": "CREATING", "Backfilling": true,
            "ProvisionedThroughput": {
                "LastIncreaseDateTime": 1_700_000_005.505, "LastDecreaseDateTime": 1_700_000_006.606, "NumberOfDecreasesToday": 1_008,
                "ReadCapacityUnits": 1_009, "WriteCapacityUnits": 1_010,
            },
            "IndexSizeBytes": 1_011, "ItemCount": 1_012, "IndexArn": format!("{arn}/index/full-gsi"),
            "OnDemandThroughput": {"MaxReadRequestUnits": 1_013, "MaxWriteRequestUnits": 1_014},
            "WarmThroughput": {"ReadUnitsPerSecond": 1_015, "WriteUnitsPerSecond": 1_016, "Status": "UPDATING"},
        }],
        "StreamSpecification": {"StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        "LatestStreamLabel": "2023-11-14T22:13:20.707",
        "LatestStreamArn": format!("{arn}/stream/2023-11-14T22:13:20.707"),
        "GlobalTableVersion": "2019.11.21",
        "Replicas": [{
            "RegionName": "eu-north-1", "ReplicaStatus": "REGION_DISABLED",
            "ReplicaArn": format!("arn:aws:dynamodb:eu-north-1:{account_id}:table/{name}"),
            "ReplicaStatusDescription": "full-replica-description", "ReplicaStatusPercentProgress": "73%", "KMSMasterKeyId": "full-replica-key",
            "ProvisionedThroughputOverride": {"ReadCapacityUnits": 1_017}, "OnDemandThroughputOverride": {"MaxReadRequestUnits": 1_018},
            "WarmThroughput": {"ReadUnitsPerSecond": 1_019, "WriteUnitsPerSecond": 1_020, "Status": "ARCHIVING"},
            "GlobalSecondaryIndexes": [{
                "IndexName": "full-replica-gsi", "ProvisionedThroughputOverride": {"ReadCapacityUnits": 1_021},
                "OnDemandThroughputOverride": {"MaxReadRequestUnits": 1_022},
                "WarmThroughput": {"ReadUnitsPerSecond": 1_023, "WriteUnitsPerSecond": 1_024, "Status": "DELETING"},
            }],
            "ReplicaInaccessibleDateTime": 1_700_000_007.808,
            "ReplicaTableClassSummary": {"TableClass": "STANDARD", "LastUpdateDateTime": 1_700_000_008.909},
            "GlobalTableSettingsReplicationMode": "ENABLED_WITH_OVERRIDES",
        }],
        "GlobalTableWitnesses": [{"RegionName": "eu-south-2", "WitnessStatus": "DELETING"}],
        "GlobalTableSettingsReplicationMode": "DISABLED",
        "RestoreSummary": {
            "SourceBackupArn": format!("{arn}/backup/01700000009000-full0001"),
            "SourceTableArn": format!("arn:aws:dynamodb:{region}:{account_id}:table/full-restore-source"),
            "RestoreDateTime": 1_700_000_009.011, "RestoreInProgress": true,
        },
        "SSEDescription": {
            "Status": "ENABLING", "SSEType": "KMS", "KMSMasterKeyArn": format!("arn:aws:kms:{region}:{account_id}:key/full-table-key"),
            "InaccessibleEncryptionDateTime": 1_700_000_010.112,
        },
        "ArchivalSummary": {
            "ArchivalDateTime": 1_700_000_011.213, "ArchivalReason": "full-archival-reason",
            "ArchivalBackupArn": format!("{arn}/backup/01700000011000-full0002"),
        },
        "TableClassSummary": {"TableClass": "STANDARD_INFREQUENT_ACCESS", "LastUpdateDateTime": 1_700_000_012.314},
        "DeletionProtectionEnabled": true,
        "DisassociationProtectionEnabled": true,
        "OnDemandThroughput": {"MaxReadRequestUnits": 1_025, "MaxWriteRequestUnits": 1_026},
        "WarmThroughput": {"ReadUnitsPerSecond": 1_027, "WriteUnitsPerSecond": 1_028, "Status": "CREATING"},
        "MultiRegionConsistency": "STRONG",
        "VectorIndexes": [{
            "IndexName": "full-vector",
            "SearchSchema": [
                {"AttributeName": "full-vector-pk", "SearchSchemaElementType": "HASH"},
                {"AttributeName": "full-vector-filter", "SearchSchemaElementType": "INLINE_FILTER"},
            ],
            "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["full-vector-extra"]},
            "VectorAttribute": {"AttributeName": "full-vector-attribute"}, "Dimensions": 1_029, "DistanceFunction": "DOT_PRODUCT",
            "IndexStatus": "DELETING", "Backfilling": true, "IndexSizeBytes": 1_030, "ItemCount": 1_031,
            "IndexArn": format!("{arn}/index/full-vector"),
        }],
    })
}
