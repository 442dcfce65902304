//! The policy of the identities that call AWS for sinks.

use std::collections::BTreeSet;

use dynacrawl_engine::settings::ConfiguredSink;
use dynacrawl_sinks::{EventBridgeSettings, ObjectStoreSettings, S3Encryption, S3Location, SinkKind, StoreLocation};
use serde_json::{Value, json};

/// What the sinks need that call S3 or EventBridge; `None` if there are none.
pub fn sinks_policy(sinks: &[ConfiguredSink]) -> Option<Value> {
    let statements: Vec<_> = sinks
        .iter()
        .flat_map(|one| match &one.sink.kind {
            SinkKind::ObjectStore(store) => match &store.location {
                StoreLocation::S3(bucket) => of_bucket(store, bucket),
                _ => Vec::new(),
            },
            SinkKind::EventBridge(bus) => vec![of_bus(bus)],
            _ => Vec::new(),
        })
        .collect();
    (!statements.is_empty()).then(|| json!({ "Version": "2012-10-17", "Statement": statements }))
}

fn of_bus(bus: &EventBridgeSettings) -> Value {
    let resource = match bus.bus.starts_with("arn:") {
        true => bus.bus.clone(),
        // The account is not known: it is that of the identity.
        false => format!("arn:{}:events:{}:*:event-bus/{}", bus.region.partition().as_str(), bus.region, bus.bus),
    };
    let actions = ["events:PutEvents", "events:DescribeEventBus"];
    json!({ "Effect": "Allow", "Action": actions, "Resource": resource })
}

fn of_bucket(store: &ObjectStoreSettings, bucket: &S3Location) -> Vec<Value> {
    let partition = bucket.region.partition();
    let partition = partition.as_str();
    let arn = format!("arn:{partition}:s3:::{}", bucket.bucket);
    let prefix = store.prefix.to_string();
    let below = if prefix.is_empty() { "*".to_owned() } else { format!("{prefix}/*") };
    let mut list = json!({ "Effect": "Allow", "Action": "s3:ListBucket", "Resource": arn });
    if !prefix.is_empty() {
        list["Condition"] = json!({ "StringLike": { "s3:prefix": BTreeSet::from([below.clone()]) } });
    }
    // Manifests are read to find out which snapshots to keep.
    let objects = ["s3:PutObject", "s3:GetObject", "s3:DeleteObject"];
    let mut statements =
        vec![json!({ "Effect": "Allow", "Action": objects, "Resource": format!("{arn}/{below}") }), list];
    if let Some(S3Encryption::Kms { key, .. } | S3Encryption::KmsDual { key }) = &bucket.encryption {
        let actions = ["kms:GenerateDataKey", "kms:Decrypt"];
        let mut of_key = json!({ "Effect": "Allow", "Action": actions, "Resource": key });
        if key.starts_with("alias/") {
            of_key["Resource"] = format!("arn:{partition}:kms:{}:*:key/*", bucket.region).into();
            of_key["Condition"] = json!({ "StringEquals": { "kms:RequestAlias": key } });
        } else if !key.starts_with("arn:") {
            of_key["Resource"] = format!("arn:{partition}:kms:{}:*:key/{key}", bucket.region).into();
        }
        statements.push(of_key);
    }
    statements
}
