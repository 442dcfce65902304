//! Converts the wire's shape to the record's: names, order, the types of key attributes, and the
//! values that AWS leaves out.

use std::borrow::Cow;

use dynacrawl_model::{self as model, Extra, Index, IndexKind, KeyElement, Table, Timestamp};
use serde_json::{Map, Value};

use crate::wire;

/// Converts a description to the record's table. Objects without an `extra` of their own have their
/// unknown members kept in `extra` of the table, the index or the replica.
pub(crate) fn table(wire: wire::TableDescription) -> Table {
    let mut extra = Extra::from(wire.extra);
    let mut defaulted = Vec::with_capacity(3);
    let attributes = attributes(wire.attribute_definitions.unwrap_or_default(), &mut extra);
    let types = KeyTypes(&attributes);

    let mut indexes: Vec<Index> = Vec::new();
    indexes.extend(wire.global_secondary_indexes.into_iter().flatten().map(|index| global(index, &types)));
    indexes.extend(wire.local_secondary_indexes.into_iter().flatten().map(|index| local(index, &types)));
    indexes.extend(wire.vector_indexes.into_iter().flatten().map(|index| vector(index, &types)));
    indexes.sort_by(|a, b| (&a.name, a.kind).cmp(&(&b.name, b.kind)));

    let key_schema = types.key_schema(wire.key_schema.unwrap_or_default(), &mut extra);
    let stream = stream(wire.stream_specification, wire.latest_stream_arn, wire.latest_stream_label, &mut extra);

    let mut billing = wire.billing_mode_summary.unwrap_or_default();
    let last_update_to_pay_per_request_at =
        time(billing.last_update_to_pay_per_request_date_time, "LastUpdateToPayPerRequestDateTime", &mut billing.extra);
    extra.keep(BILLING, billing.extra);
    let mut class = wire.table_class_summary.unwrap_or_default();
    let table_class_updated_at = time(class.last_update_date_time, "LastUpdateDateTime", &mut class.extra);
    extra.keep(CLASS, class.extra);

    // A summary that could not be read is in `extra`, as is one of whose members dynacrawl does not
    // know all: its value is unknown, which is not the default.
    let mut absent = |object: &str, field: &'static str, is_absent: bool| {
        let absent = is_absent && !extra.contains_key(object);
        if absent {
            defaulted.push(field.into());
        }
        absent
    };
    let no_billing = absent(BILLING, "billing_mode", billing.billing_mode.is_none());
    let no_encryption = absent(ENCRYPTION, "encryption", wire.sse_description.is_none());
    let no_class = absent(CLASS, "table_class", class.table_class.is_none());

    let mut replicas: Vec<_> = wire.replicas.into_iter().flatten().map(replica).collect();
    replicas.sort_by(|a, b| a.region.cmp(&b.region));
    let mut witnesses: Vec<_> =
        wire.global_table_witnesses.into_iter().flatten().map(|one| witness(one, &mut extra)).collect();
    witnesses.sort_by(|a, b| a.region.cmp(&b.region));

    Table {
        arn: wire.table_arn.map(Into::into),
        id: wire.table_id,
        name: wire.table_name.map(Into::into),
        status: wire.table_status,
        created_at: time(wire.creation_date_time, "CreationDateTime", &mut extra),
        key_schema: Some(key_schema),
        indexes: Some(indexes),
        billing_mode: if no_billing {
            Some(model::BILLING_MODE_PROVISIONED.into())
        } else {
            billing.billing_mode.map(Into::into)
        },
        last_update_to_pay_per_request_at,
        provisioned_throughput: wire.provisioned_throughput.map(|throughput| provisioned(throughput, &mut extra)),
        on_demand_throughput: wire.on_demand_throughput.map(|throughput| on_demand(throughput, &mut extra)),
        warm_throughput: wire.warm_throughput.map(|throughput| warm(throughput, &mut extra)),
        item_count: wire.item_count,
        size_bytes: wire.table_size_bytes,
        stream,
        encryption: match wire.sse_description {
            None => no_encryption.then(aws_owned_key),
            Some(description) => Some(encryption(description, &mut extra)),
        },
        replicas,
        global_table_version: wire.global_table_version,
        global_table_witnesses: witnesses,
        global_table_settings_replication_mode: wire.global_table_settings_replication_mode,
        multi_region_consistency: wire.multi_region_consistency,
        table_class: if no_class {
            Some(model::TABLE_CLASS_STANDARD.into())
        } else {
            class.table_class.map(Into::into)
        },
        table_class_updated_at,
        deletion_protection_enabled: wire.deletion_protection_enabled,
        disassociation_protection_enabled: wire.disassociation_protection_enabled,
        restore: wire.restore_summary.map(|summary| restore(summary, &mut extra)),
        archival: wire.archival_summary.map(|summary| archival(summary, &mut extra)),
        attributes,
        defaulted,
        extra,
    }
}

/// AWS's names of the objects whose absence has a meaning.
const BILLING: &str = "BillingModeSummary";
const ENCRYPTION: &str = "SSEDescription";
const CLASS: &str = "TableClassSummary";

/// AWS's epoch seconds as a time. A number that is not a valid time is kept in `extra` under its
/// name.
fn time(seconds: Option<f64>, name: &str, extra: &mut Map<String, Value>) -> Option<Timestamp> {
    let seconds = seconds?;
    let time = Timestamp::from_epoch_seconds(seconds);
    if time.is_none() {
        extra.insert(name.to_owned(), Value::from(seconds));
    }
    time
}

fn attributes(wire: Vec<wire::AttributeDefinition>, extra: &mut Extra) -> Vec<model::AttributeDefinition> {
    let mut attributes: Vec<_> = wire
        .into_iter()
        .map(|attribute| {
            extra.keep_element("AttributeDefinitions", attribute.attribute_name.as_deref(), attribute.extra);
            model::AttributeDefinition { name: attribute.attribute_name, attribute_type: attribute.attribute_type }
        })
        .collect();
    attributes.sort_by(|a, b| a.name.cmp(&b.name));
    attributes
}

/// The types of key attributes, from the table's attribute definitions.
struct KeyTypes<'a>(&'a [model::AttributeDefinition]);

impl KeyTypes<'_> {
    fn of(&self, attribute: Option<&str>) -> Option<String> {
        let attribute = attribute?;
        self.0.iter().find(|a| a.name.as_deref() == Some(attribute))?.attribute_type.clone()
    }

    fn key_schema(&self, wire: Vec<wire::KeySchemaElement>, extra: &mut Extra) -> Vec<KeyElement> {
        (0..)
            .zip(wire)
            .map(|(position, element)| {
                extra.keep_element("KeySchema", element.attribute_name.as_deref(), element.extra);
                KeyElement {
                    attribute_type: self.of(element.attribute_name.as_deref()),
                    attribute: element.attribute_name,
                    role: element.key_type.map(role),
                    position,
                }
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
    let mut extra = Extra::from(wire.extra);
    Index {
        kind: IndexKind::Global,
        name: wire.index_name,
        arn: wire.index_arn,
        status: wire.index_status,
        backfilling: wire.backfilling,
        key_schema: Some(types.key_schema(wire.key_schema.unwrap_or_default(), &mut extra)),
        projection: wire.projection.map(|one| projection(one, &mut extra)),
        provisioned_throughput: wire.provisioned_throughput.map(|one| provisioned(one, &mut extra)),
        on_demand_throughput: wire.on_demand_throughput.map(|one| on_demand(one, &mut extra)),
        warm_throughput: wire.warm_throughput.map(|one| warm(one, &mut extra)),
        item_count: wire.item_count,
        size_bytes: wire.index_size_bytes,
        vector: None,
        extra,
    }
}

fn local(wire: wire::LocalSecondaryIndex, types: &KeyTypes<'_>) -> Index {
    let mut extra = Extra::from(wire.extra);
    Index {
        kind: IndexKind::Local,
        name: wire.index_name,
        arn: wire.index_arn,
        status: None,
        backfilling: None,
        key_schema: Some(types.key_schema(wire.key_schema.unwrap_or_default(), &mut extra)),
        projection: wire.projection.map(|one| projection(one, &mut extra)),
        provisioned_throughput: None,
        on_demand_throughput: None,
        warm_throughput: None,
        item_count: wire.item_count,
        size_bytes: wire.index_size_bytes,
        vector: None,
        extra,
    }
}

fn vector(wire: wire::VectorIndex, types: &KeyTypes<'_>) -> Index {
    let mut extra = Extra::from(wire.extra);
    let attribute = wire.vector_attribute.unwrap_or_default();
    extra.keep("VectorAttribute", attribute.extra);
    let search_schema = wire.search_schema.unwrap_or_default();
    let key_schema = (0..)
        .zip(search_schema.iter().filter(|element| element.element_type.as_deref() == Some("HASH")))
        .map(|(position, element)| KeyElement {
            attribute: element.attribute_name.clone(),
            attribute_type: types.of(element.attribute_name.as_deref()),
            role: Some(model::ROLE_PARTITION.into()),
            position,
        })
        .collect();
    let search_schema = search_schema
        .into_iter()
        .map(|element| {
            extra.keep_element("SearchSchema", element.attribute_name.as_deref(), element.extra);
            model::SearchElement {
                attribute_type: types.of(element.attribute_name.as_deref()),
                attribute: element.attribute_name,
                element_type: element.element_type,
            }
        })
        .collect();
    Index {
        kind: IndexKind::Vector,
        name: wire.index_name,
        arn: wire.index_arn,
        status: wire.index_status,
        backfilling: wire.backfilling,
        key_schema: Some(key_schema),
        projection: wire.projection.map(|one| projection(one, &mut extra)),
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

fn projection(wire: wire::Projection, extra: &mut Extra) -> model::Projection {
    let mut non_key_attributes = wire.non_key_attributes.unwrap_or_default();
    non_key_attributes.sort();
    extra.keep("Projection", wire.extra);
    model::Projection { projection_type: wire.projection_type, non_key_attributes }
}

fn provisioned(wire: wire::ProvisionedThroughput, extra: &mut Extra) -> model::ProvisionedThroughput {
    let mut unknown = wire.extra;
    let throughput = model::ProvisionedThroughput {
        read_capacity_units: wire.read_capacity_units,
        write_capacity_units: wire.write_capacity_units,
        last_increase_at: time(wire.last_increase_date_time, "LastIncreaseDateTime", &mut unknown),
        last_decrease_at: time(wire.last_decrease_date_time, "LastDecreaseDateTime", &mut unknown),
        number_of_decreases_today: wire.number_of_decreases_today,
    };
    extra.keep("ProvisionedThroughput", unknown);
    throughput
}

fn on_demand(wire: wire::OnDemandThroughput, extra: &mut Extra) -> model::OnDemandThroughput {
    extra.keep("OnDemandThroughput", wire.extra);
    model::OnDemandThroughput {
        max_read_request_units: wire.max_read_request_units,
        max_write_request_units: wire.max_write_request_units,
    }
}

fn warm(wire: wire::WarmThroughput, extra: &mut Extra) -> model::WarmThroughput {
    extra.keep("WarmThroughput", wire.extra);
    model::WarmThroughput {
        read_units_per_second: wire.read_units_per_second,
        write_units_per_second: wire.write_units_per_second,
        status: wire.status,
    }
}

fn stream(
    specification: Option<wire::StreamSpecification>,
    latest_arn: Option<String>,
    latest_label: Option<String>,
    extra: &mut Extra,
) -> Option<model::Stream> {
    if specification.is_none() && latest_arn.is_none() && latest_label.is_none() {
        return None;
    }
    let specification = specification.unwrap_or_default();
    extra.keep("StreamSpecification", specification.extra);
    Some(model::Stream {
        enabled: specification.stream_enabled,
        view_type: specification.stream_view_type,
        latest_arn,
        latest_label,
    })
}

fn encryption(wire: wire::SseDescription, extra: &mut Extra) -> model::Encryption {
    let mut unknown = wire.extra;
    let inaccessible_at = time(wire.inaccessible_encryption_date_time, "InaccessibleEncryptionDateTime", &mut unknown);
    extra.keep(ENCRYPTION, unknown);
    model::Encryption {
        status: wire.status.map(Into::into),
        encryption_type: wire.sse_type.map(Into::into),
        kms_master_key_arn: wire.kms_master_key_arn,
        inaccessible_at,
    }
}

/// The encryption of a table for which AWS sends no `SSEDescription`.
fn aws_owned_key() -> model::Encryption {
    model::Encryption {
        status: Some("ENABLED".into()),
        encryption_type: Some(model::ENCRYPTION_AWS_OWNED_KEY.into()),
        kms_master_key_arn: None,
        inaccessible_at: None,
    }
}

fn replica(wire: wire::Replica) -> model::Replica {
    let mut extra = Extra::from(wire.extra);
    let mut class = wire.replica_table_class_summary.unwrap_or_default();
    let table_class_updated_at = time(class.last_update_date_time, "LastUpdateDateTime", &mut class.extra);
    extra.keep("ReplicaTableClassSummary", class.extra);
    let indexes = wire.global_secondary_indexes.into_iter().flatten();
    let mut replica_indexes: Vec<_> = indexes.map(|index| replica_index(index, &mut extra)).collect();
    replica_indexes.sort_by(|a, b| a.name.cmp(&b.name));
    model::Replica {
        region: wire.region_name,
        status: wire.replica_status,
        arn: wire.replica_arn,
        status_description: wire.replica_status_description,
        status_percent_progress: wire.replica_status_percent_progress,
        kms_master_key_id: wire.kms_master_key_id,
        provisioned_throughput_override: wire
            .provisioned_throughput_override
            .map(|one| provisioned_override(one, &mut extra)),
        on_demand_throughput_override: wire
            .on_demand_throughput_override
            .map(|one| on_demand_override(one, &mut extra)),
        warm_throughput: wire.warm_throughput.map(|one| warm(one, &mut extra)),
        replica_indexes,
        inaccessible_at: time(wire.replica_inaccessible_date_time, "ReplicaInaccessibleDateTime", &mut extra),
        table_class: class.table_class,
        table_class_updated_at,
        global_table_settings_replication_mode: wire.global_table_settings_replication_mode,
        extra,
    }
}

fn replica_index(wire: wire::ReplicaIndex, extra: &mut Extra) -> model::ReplicaIndex {
    let mut unknown = Extra::from(wire.extra);
    let index = model::ReplicaIndex {
        provisioned_throughput_override: wire
            .provisioned_throughput_override
            .map(|one| provisioned_override(one, &mut unknown)),
        on_demand_throughput_override: wire
            .on_demand_throughput_override
            .map(|one| on_demand_override(one, &mut unknown)),
        warm_throughput: wire.warm_throughput.map(|one| warm(one, &mut unknown)),
        name: wire.index_name,
    };
    extra.keep_element("GlobalSecondaryIndexes", index.name.as_deref(), unknown.into());
    index
}

fn provisioned_override(
    wire: wire::ProvisionedThroughputOverride,
    extra: &mut Extra,
) -> model::ProvisionedThroughputOverride {
    extra.keep("ProvisionedThroughputOverride", wire.extra);
    model::ProvisionedThroughputOverride { read_capacity_units: wire.read_capacity_units }
}

fn on_demand_override(wire: wire::OnDemandThroughputOverride, extra: &mut Extra) -> model::OnDemandThroughputOverride {
    extra.keep("OnDemandThroughputOverride", wire.extra);
    model::OnDemandThroughputOverride { max_read_request_units: wire.max_read_request_units }
}

fn witness(wire: wire::Witness, extra: &mut Extra) -> model::Witness {
    extra.keep_element("GlobalTableWitnesses", wire.region_name.as_deref(), wire.extra);
    model::Witness { region: wire.region_name, status: wire.witness_status }
}

fn restore(wire: wire::RestoreSummary, extra: &mut Extra) -> model::Restore {
    let mut unknown = wire.extra;
    let restored_at = time(wire.restore_date_time, "RestoreDateTime", &mut unknown);
    extra.keep("RestoreSummary", unknown);
    model::Restore {
        source_backup_arn: wire.source_backup_arn,
        source_table_arn: wire.source_table_arn,
        restored_at,
        in_progress: wire.restore_in_progress,
    }
}

fn archival(wire: wire::ArchivalSummary, extra: &mut Extra) -> model::Archival {
    let mut unknown = wire.extra;
    let archived_at = time(wire.archival_date_time, "ArchivalDateTime", &mut unknown);
    extra.keep("ArchivalSummary", unknown);
    model::Archival { archived_at, reason: wire.archival_reason, backup_arn: wire.archival_backup_arn }
}
