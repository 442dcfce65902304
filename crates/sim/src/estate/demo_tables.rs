//! The tables of the demo estate.

use serde_json::{Value, json};

use super::{Index, TableBuilder, Tables};
use crate::derived::{derived_uuid, hash};

/// An ordinary table. `kind` selects one of the common shapes.
pub(super) fn regular(account: &str, region: &str, name: &str, kind: usize) -> Value {
    let table = TableBuilder::new(account, region, name);
    let table = match kind % 7 {
        0 => table
            .hash("customer_id", "S")
            .range("placed_at", "N")
            .attribute("status", "S")
            .attribute("total", "N")
            .gsi(Index::new("by_status").hash("status").range("placed_at").include(&["total", "currency"]))
            .lsi(Index::new("by_total").hash("customer_id").range("total").keys_only())
            .stream("NEW_AND_OLD_IMAGES"),
        1 => table.hash("id", "S").attribute("email", "S").gsi(Index::new("by_email").hash("email").keys_only()).kms(),
        2 => table
            .hash("account_id", "S")
            .range("issued_on", "S")
            .provisioned(25, 10)
            .attribute("state", "S")
            .gsi(Index::new("by_state").hash("state").range("issued_on")),
        3 => table.hash("pk", "S").range("sk", "S").on_demand_maximum(4_000, 1_000),
        4 => table.hash("digest", "B").warm(20_000, 8_000),
        5 => table.hash("shard", "N").range("sequence", "B").provisioned(5, 5).infrequent_access(),
        _ => table.hash("key", "S"),
    };
    let table = if name.ends_with("-prod") || name.starts_with("ledger-") { table.protected() } else { table };
    table.build()
}

fn add(tables: Tables, table: &TableBuilder) -> Tables {
    let description = table.build();
    let name = description["TableName"].as_str().unwrap_or_default().to_owned();
    tables.table(name, &description)
}

/// Tables that each show one feature.
pub(super) fn specials_payments(account: &str, region: &str) -> Tables {
    let new = |name: &str| TableBuilder::new(account, region, name);
    let single = |name: &str| new(name).hash("id", "S");
    let backup = |table: &str| {
        format!("arn:aws:dynamodb:{region}:{account}:table/{table}/backup/01735689600123-{:08x}", hash(table) >> 32)
    };
    let multi_attribute = new("settlement-lines")
        .hash("settlement_id", "S")
        .range("line", "N")
        .attribute("merchant", "S")
        .attribute("currency", "S")
        .attribute("settled_on", "S")
        .attribute("amount", "N")
        .gsi(
            Index::new("by_merchant_currency")
                .hash("merchant")
                .hash("currency")
                .range("settled_on")
                .range("amount")
                .keys_only(),
        )
        .gsi(
            Index::new("by_currency")
                .hash("currency")
                .range("amount")
                .include(&["merchant", "fee"])
                .field("OnDemandThroughput", json!({"MaxReadRequestUnits": 2_000, "MaxWriteRequestUnits": -1})),
        )
        .gsi(Index::new("by_day").hash("settled_on"))
        .lsi(Index::new("by_amount").hash("settlement_id").range("amount").include(&["fee"]));
    let backfilling = single("merchant-directory").attribute("country", "S").status("UPDATING").gsi(
        Index::new("by_country")
            .hash("country")
            .field("IndexStatus", json!("CREATING"))
            .field("Backfilling", json!(true)),
    );
    let every_stream = ["KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES"].into_iter().fold(
        Tables::new(),
        |tables, view| {
            let name = format!("outbox-{}", view.to_ascii_lowercase().replace('_', "-"));
            add(tables, &single(&name).range("at", "N").stream(view))
        },
    );
    let restored = single("chargebacks-restored").field(
        "RestoreSummary",
        json!({
            "SourceBackupArn": backup("chargebacks"), "SourceTableArn": new("chargebacks").arn(),
            "RestoreDateTime": 1_735_689_600.123, "RestoreInProgress": false,
        }),
    );
    let archived = single("kyc-2018")
        .status("ARCHIVED")
        .field("ArchivalSummary", json!({
            "ArchivalDateTime": 1_704_067_200.5, "ArchivalReason": "INACCESSIBLE_ENCRYPTION_CREDENTIALS", "ArchivalBackupArn": backup("kyc-2018"),
        }));
    let inaccessible = single("kyc-2019").kms().status("INACCESSIBLE_ENCRYPTION_CREDENTIALS").field(
        "SSEDescription",
        json!({
            "Status": "ENABLED", "SSEType": "KMS", "KMSMasterKeyArn": format!("arn:aws:kms:{region}:{account}:key/{}", derived_uuid("lost")),
            "InaccessibleEncryptionDateTime": 1_733_011_200.75,
        }),
    );
    let creating =
        single("promotions-2026").status("CREATING").field("TableSizeBytes", json!(0)).field("ItemCount", json!(0));
    // While a table is being deleted, AWS may leave out its indexes and attributes.
    let deleting = single("promotions-2023").status("DELETING").without("AttributeDefinitions").without("KeySchema");
    let nameless = single("legacy-import").without("AttributeDefinitions");
    let archive =
        single("statements-archive").range("month", "S").provisioned(2, 1).infrequent_access().kms().protected();
    let versions = single("limits").field("DisassociationProtectionEnabled", json!(true)).warm(60_000, 30_000);
    [multi_attribute, backfilling, restored, archived, inaccessible, creating, deleting, nameless, archive, versions]
        .iter()
        .fold(every_stream, add)
        .vanishing("tmp-migration-0042")
}

/// Global tables, with every field that replicas can have.
pub(super) fn specials_global(account: &str, region: &str) -> Tables {
    let new = |name: &str| TableBuilder::new(account, region, name);
    let replica_arn = |replica: &str, table: &str| format!("arn:aws:dynamodb:{replica}:{account}:table/{table}");
    let profiles = new("global-profiles")
        .hash("user_id", "S")
        .attribute("email", "S")
        .gsi(Index::new("by_email").hash("email").keys_only())
        .stream("NEW_AND_OLD_IMAGES")
        .kms()
        .field("GlobalTableVersion", json!("2019.11.21"))
        .field("GlobalTableSettingsReplicationMode", json!("DISABLED"))
        .field("MultiRegionConsistency", json!("EVENTUAL"))
        .field(
            "Replicas",
            json!([
                {
                    "RegionName": "eu-west-1", "ReplicaStatus": "ACTIVE", "ReplicaArn": replica_arn("eu-west-1", "global-profiles"),
                    "KMSMasterKeyId": format!("arn:aws:kms:eu-west-1:{account}:key/{}", derived_uuid("replica")),
                    "ProvisionedThroughputOverride": {"ReadCapacityUnits": 40}, "OnDemandThroughputOverride": {"MaxReadRequestUnits": 9_000},
                    "WarmThroughput": {"ReadUnitsPerSecond": 12_000, "WriteUnitsPerSecond": 4_000, "Status": "ACTIVE"},
                    "GlobalSecondaryIndexes": [{
                        "IndexName": "by_email", "ProvisionedThroughputOverride": {"ReadCapacityUnits": 30},
                        "OnDemandThroughputOverride": {"MaxReadRequestUnits": 5_000},
                        "WarmThroughput": {"ReadUnitsPerSecond": 12_000, "WriteUnitsPerSecond": 4_000, "Status": "ACTIVE"},
                    }],
                    "ReplicaTableClassSummary": {"TableClass": "STANDARD_INFREQUENT_ACCESS", "LastUpdateDateTime": 1_726_000_000.25},
                    "GlobalTableSettingsReplicationMode": "ENABLED_WITH_OVERRIDES",
                },
                {
                    "RegionName": "ap-southeast-2", "ReplicaStatus": "CREATING", "ReplicaStatusPercentProgress": "62%",
                    "ReplicaStatusDescription": "Replica is being created.", "ReplicaArn": replica_arn("ap-southeast-2", "global-profiles"),
                },
                {
                    "RegionName": "eu-central-1", "ReplicaStatus": "INACCESSIBLE_ENCRYPTION_CREDENTIALS",
                    "ReplicaInaccessibleDateTime": 1_734_000_000.5,
                },
            ]),
        );
    let balances = new("global-balances")
        .hash("account", "S")
        .on_demand_maximum(40_000, 40_000)
        .protected()
        .field("GlobalTableVersion", json!("2019.11.21"))
        .field("MultiRegionConsistency", json!("STRONG"))
        .field("GlobalTableWitnesses", json!([{"RegionName": "us-west-2", "WitnessStatus": "ACTIVE"}]))
        .field(
            "Replicas",
            json!([
                {"RegionName": region, "ReplicaStatus": "ACTIVE", "ReplicaArn": replica_arn(region, "global-balances")},
                {"RegionName": "us-east-2", "ReplicaStatus": "ACTIVE", "ReplicaArn": replica_arn("us-east-2", "global-balances")},
            ]),
        );
    let fees = new("fee-schedule").hash("plan", "S").range("since", "S").provisioned(100, 5).kms();
    let binary = new("document-chunks").hash("document", "B").range("chunk", "N");
    [profiles, balances, fees, binary].iter().fold(Tables::new(), add)
}

/// Vector search and other features that only analytics uses.
pub(super) fn specials_analytics(account: &str, region: &str) -> Tables {
    let articles = TableBuilder::new(account, region, "article-embeddings")
        .hash("article_id", "S")
        .range("version", "N")
        .vector("by_meaning", "embedding", 1_024, "COSINE", "language", &["section", "published_on"])
        .vector("by_image", "thumbnail_embedding", 512, "EUCLIDEAN", "language", &["section"]);
    let products = TableBuilder::new(account, region, "product-embeddings")
        .hash("sku", "S")
        .attribute("brand", "S")
        .gsi(Index::new("by_brand").hash("brand").keys_only())
        .vector("similar", "embedding", 256, "DOT_PRODUCT", "category", &["brand"])
        .stream("NEW_IMAGE");
    [articles, products].iter().fold(Tables::new(), add)
}
