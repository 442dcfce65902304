//! From the wire's shape to the record's: names, order, and the types of key attributes.

use std::borrow::Cow;

use dynacrawl_model::{self as model, Extra, Index, IndexKind, KeyElement, Table, Timestamp};
use serde_json::Value;

use crate::wire;

/// Turns a description into the record's table.
pub(crate) fn table(wire: wire::TableDescription) -> Table {
    let mut extra = wire.extra;
    let attributes = attributes(wire.attribute_definitions.unwrap_or_default());
    let types = KeyTypes(&attributes);

    let mut indexes: Vec<Index> = Vec::new();
    indexes.extend(wire.global_secondary_indexes.into_iter().flatten().map(|index| global(index, &types)));
    indexes.extend(wire.local_secondary_indexes.into_iter().flatten().map(|index| local(index, &types)));
    indexes.extend(wire.vector_indexes.into_iter().flatten().map(|index| vector(index, &types)));
    indexes.sort_by(|a, b| (&a.name, a.kind).cmp(&(&b.name, b.kind)));

    let key_schema = types.key_schema(wire.key_schema.unwrap_or_default());
    let billing = wire.billing_mode_summary.unwrap_or_default();
    keep(&mut extra, "BillingModeSummary", billing.extra);
    let class = wire.table_class_summary.unwrap_or_default();
    keep(&mut extra, "TableClassSummary", class.extra);
    let stream = stream(wire.stream_specification, wire.latest_stream_arn, wire.latest_stream_label);

    let mut replicas: Vec<_> = wire.replicas.into_iter().flatten().map(replica).collect();
    replicas.sort_by(|a, b| a.region.cmp(&b.region));
    let mut witnesses: Vec<_> = wire.global_table_witnesses.into_iter().flatten().map(witness).collect();
    witnesses.sort_by(|a, b| a.region.cmp(&b.region));

    Table {
        arn: wire.table_arn.map(Into::into),
        id: wire.table_id,
        name: wire.table_name.map(Into::into),
        status: wire.table_status,
        created_at: time(wire.creation_date_time, "CreationDateTime", &mut extra),
        key_schema: Some(key_schema),
        indexes: Some(indexes),
        attributes,
        billing_mode: billing.billing_mode,
        last_update_to_pay_per_request_at: time(
            billing.last_update_to_pay_per_request_date_time,
            "LastUpdateToPayPerRequestDateTime",
            &mut extra,
        ),
        provisioned_throughput: wire.provisioned_throughput.map(provisioned),
        on_demand_throughput: wire.on_demand_throughput.map(on_demand),
        warm_throughput: wire.warm_throughput.map(warm),
        item_count: wire.item_count,
        size_bytes: wire.table_size_bytes,
        stream,
        encryption: wire.sse_description.map(encryption),
        replicas,
        global_table_version: wire.global_table_version,
        global_table_witnesses: witnesses,
        global_table_settings_replication_mode: wire.global_table_settings_replication_mode,
        multi_region_consistency: wire.multi_region_consistency,
        table_class: class.table_class,
        table_class_updated_at: time(class.last_update_date_time, "LastUpdateDateTime", &mut extra),
        deletion_protection_enabled: wire.deletion_protection_enabled,
        disassociation_protection_enabled: wire.disassociation_protection_enabled,
        restore: wire.restore_summary.map(restore),
        archival: wire.archival_summary.map(archival),
        extra,
    }
}

/// Keeps the unknown fields of an object that the record does not have as an object of its own.
fn keep(extra: &mut Extra, object: &str, unknown: Extra) {
    if !unknown.is_empty() {
        extra.insert(object.to_owned(), Value::Object(unknown));
    }
}

/// AWS's epoch seconds as a time; a number that is none is kept in `extra` under its name.
fn time(seconds: Option<f64>, name: &str, extra: &mut Extra) -> Option<Timestamp> {
    let seconds = seconds?;
    let time = Timestamp::from_epoch_seconds(seconds);
    if time.is_none() {
        extra.insert(name.to_owned(), Value::from(seconds));
    }
    time
}

fn attributes(wire: Vec<wire::AttributeDefinition>) -> Vec<model::AttributeDefinition> {
    let mut attributes: Vec<_> = wire
        .into_iter()
        .map(|attribute| model::AttributeDefinition {
            name: attribute.attribute_name,
            attribute_type: attribute.attribute_type,
            extra: attribute.extra,
        })
        .collect();
    attributes.sort_by(|a, b| a.name.cmp(&b.name));
    attributes
}

/// The types of the attributes that keys are made of, from the table's attribute definitions.
struct KeyTypes<'a>(&'a [model::AttributeDefinition]);

impl KeyTypes<'_> {
    fn of(&self, attribute: Option<&str>) -> Option<String> {
        let attribute = attribute?;
        self.0.iter().find(|a| a.name.as_deref() == Some(attribute))?.attribute_type.clone()
    }

    fn key_schema(&self, wire: Vec<wire::KeySchemaElement>) -> Vec<KeyElement> {
        (0..)
            .zip(wire)
            .map(|(position, element)| KeyElement {
                attribute_type: self.of(element.attribute_name.as_deref()),
                attribute: element.attribute_name,
                role: element.key_type.map(role),
                position,
                extra: element.extra,
            })
            .collect()
    }
}

fn role(key_type: String) -> Cow<'static, str> {
    match &*key_type {
        "HASH" => model::ROLE_PARTITION.into(),
        "RANGE" => model::ROLE_SORT.into(),
        _ => key_type.into(),
    }
}

fn global(wire: wire::GlobalSecondaryIndex, types: &KeyTypes<'_>) -> Index {
    Index {
        kind: IndexKind::Global,
        name: wire.index_name,
        arn: wire.index_arn,
        status: wire.index_status,
        backfilling: wire.backfilling,
        key_schema: Some(types.key_schema(wire.key_schema.unwrap_or_default())),
        projection: wire.projection.map(projection),
        provisioned_throughput: wire.provisioned_throughput.map(provisioned),
        on_demand_throughput: wire.on_demand_throughput.map(on_demand),
        warm_throughput: wire.warm_throughput.map(warm),
        item_count: wire.item_count,
        size_bytes: wire.index_size_bytes,
        vector: None,
        extra: wire.extra,
    }
}

fn local(wire: wire::LocalSecondaryIndex, types: &KeyTypes<'_>) -> Index {
    Index {
        kind: IndexKind::Local,
        name: wire.index_name,
        arn: wire.index_arn,
        status: None,
        backfilling: None,
        key_schema: Some(types.key_schema(wire.key_schema.unwrap_or_default())),
        projection: wire.projection.map(projection),
        provisioned_throughput: None,
        on_demand_throughput: None,
        warm_throughput: None,
        item_count: wire.item_count,
        size_bytes: wire.index_size_bytes,
        vector: None,
        extra: wire.extra,
    }
}

fn vector(wire: wire::VectorIndex, types: &KeyTypes<'_>) -> Index {
    let mut extra = wire.extra;
    let attribute = wire.vector_attribute.unwrap_or_default();
    keep(&mut extra, "VectorAttribute", attribute.extra);
    let search_schema = wire.search_schema.unwrap_or_default();
    let key_schema = (0..)
        .zip(search_schema.iter().filter(|element| element.element_type.as_deref() == Some("HASH")))
        .map(|(position, element)| KeyElement {
            attribute: element.attribute_name.clone(),
            attribute_type: types.of(element.attribute_name.as_deref()),
            role: Some(model::ROLE_PARTITION.into()),
            position,
            extra: Extra::new(),
        })
        .collect();
    let search_schema = search_schema
        .into_iter()
        .map(|element| model::SearchElement {
            attribute_type: types.of(element.attribute_name.as_deref()),
            attribute: element.attribute_name,
            element_type: element.element_type,
            extra: element.extra,
        })
        .collect();
    Index {
        kind: IndexKind::Vector,
        name: wire.index_name,
        arn: wire.index_arn,
        status: wire.index_status,
        backfilling: wire.backfilling,
        key_schema: Some(key_schema),
        projection: wire.projection.map(projection),
        provisioned_throughput: None,
        on_demand_throughput: None,
        warm_throughput: None,
        item_count: wire.item_count,
        size_bytes: wire.index_size_bytes,
        vector: Some(model::VectorSettings {
            attribute: attribute.attribute_name,
            dimensions: wire.dimensions,
            distance_function: wire.distance_function,
            search_schema,
        }),
        extra,
    }
}

fn projection(wire: wire::Projection) -> model::Projection {
    let mut non_key_attributes = wire.non_key_attributes.unwrap_or_default();
    non_key_attributes.sort();
    model::Projection { projection_type: wire.projection_type, non_key_attributes, extra: wire.extra }
}

fn provisioned(wire: wire::ProvisionedThroughput) -> model::ProvisionedThroughput {
    let mut extra = wire.extra;
    model::ProvisionedThroughput {
        read_capacity_units: wire.read_capacity_units,
        write_capacity_units: wire.write_capacity_units,
        last_increase_at: time(wire.last_increase_date_time, "LastIncreaseDateTime", &mut extra),
        last_decrease_at: time(wire.last_decrease_date_time, "LastDecreaseDateTime", &mut extra),
        number_of_decreases_today: wire.number_of_decreases_today,
        extra,
    }
}

fn on_demand(wire: wire::OnDemandThroughput) -> model::OnDemandThroughput {
    model::OnDemandThroughput {
        max_read_request_units: wire.max_read_request_units,
        max_write_request_units: wire.max_write_request_units,
        extra: wire.extra,
    }
}

fn warm(wire: wire::WarmThroughput) -> model::WarmThroughput {
    model::WarmThroughput {
        read_units_per_second: wire.read_units_per_second,
        write_units_per_second: wire.write_units_per_second,
        status: wire.status,
        extra: wire.extra,
    }
}

fn stream(
    specification: Option<wire::StreamSpecification>,
    latest_arn: Option<String>,
    latest_label: Option<String>,
) -> Option<model::Stream> {
    if specification.is_none() && latest_arn.is_none() && latest_label.is_none() {
        return None;
    }
    let specification = specification.unwrap_or_default();
    Some(model::Stream {
        enabled: specification.stream_enabled,
        view_type: specification.stream_view_type,
        latest_arn,
        latest_label,
        extra: specification.extra,
    })
}

fn encryption(wire: wire::SseDescription) -> model::Encryption {
    let mut extra = wire.extra;
    model::Encryption {
        status: wire.status,
        encryption_type: wire.sse_type,
        kms_master_key_arn: wire.kms_master_key_arn,
        inaccessible_at: time(wire.inaccessible_encryption_date_time, "InaccessibleEncryptionDateTime", &mut extra),
        extra,
    }
}

fn replica(wire: wire::Replica) -> model::Replica {
    let mut extra = wire.extra;
    let class = wire.replica_table_class_summary.unwrap_or_default();
    keep(&mut extra, "ReplicaTableClassSummary", class.extra);
    let mut indexes: Vec<_> = wire.global_secondary_indexes.into_iter().flatten().map(replica_index).collect();
    indexes.sort_by(|a, b| a.name.cmp(&b.name));
    model::Replica {
        region: wire.region_name,
        status: wire.replica_status,
        arn: wire.replica_arn,
        status_description: wire.replica_status_description,
        status_percent_progress: wire.replica_status_percent_progress,
        kms_master_key_id: wire.kms_master_key_id,
        provisioned_throughput_override: wire.provisioned_throughput_override.map(provisioned_override),
        on_demand_throughput_override: wire.on_demand_throughput_override.map(on_demand_override),
        warm_throughput: wire.warm_throughput.map(warm),
        indexes,
        inaccessible_at: time(wire.replica_inaccessible_date_time, "ReplicaInaccessibleDateTime", &mut extra),
        table_class: class.table_class,
        table_class_updated_at: time(class.last_update_date_time, "LastUpdateDateTime", &mut extra),
        global_table_settings_replication_mode: wire.global_table_settings_replication_mode,
        extra,
    }
}

fn replica_index(wire: wire::ReplicaIndex) -> model::ReplicaIndex {
    model::ReplicaIndex {
        name: wire.index_name,
        provisioned_throughput_override: wire.provisioned_throughput_override.map(provisioned_override),
        on_demand_throughput_override: wire.on_demand_throughput_override.map(on_demand_override),
        warm_throughput: wire.warm_throughput.map(warm),
        extra: wire.extra,
    }
}

fn provisioned_override(wire: wire::ProvisionedThroughputOverride) -> model::ProvisionedThroughputOverride {
    model::ProvisionedThroughputOverride { read_capacity_units: wire.read_capacity_units, extra: wire.extra }
}

fn on_demand_override(wire: wire::OnDemandThroughputOverride) -> model::OnDemandThroughputOverride {
    model::OnDemandThroughputOverride { max_read_request_units: wire.max_read_request_units, extra: wire.extra }
}

fn witness(wire: wire::Witness) -> model::Witness {
    model::Witness { region: wire.region_name, status: wire.witness_status, extra: wire.extra }
}

fn restore(wire: wire::RestoreSummary) -> model::Restore {
    let mut extra = wire.extra;
    model::Restore {
        source_backup_arn: wire.source_backup_arn,
        source_table_arn: wire.source_table_arn,
        restored_at: time(wire.restore_date_time, "RestoreDateTime", &mut extra),
        in_progress: wire.restore_in_progress,
        extra,
    }
}

fn archival(wire: wire::ArchivalSummary) -> model::Archival {
    let mut extra = wire.extra;
    model::Archival {
        archived_at: time(wire.archival_date_time, "ArchivalDateTime", &mut extra),
        reason: wire.archival_reason,
        backup_arn: wire.archival_backup_arn,
        extra,
    }
}
