//! Defines which parts of a table are structure, once for both uses: the fingerprint hashes them,
//! and the diff compares them.
//!
//! Every struct is destructured field by field, so that a new field of the model does not compile
//! until someone decides whether it is structure. Fields that drift without anyone changing the
//! table are listed after `without`: item counts, sizes, the current warm throughput, provisioned
//! capacity (auto scaling changes it many times a day), temporary states, `extra`. The maxima of
//! on-demand tables are structure, because a person sets them.

use std::borrow::Cow;

use dynacrawl_model::{
    Archival, AttributeDefinition, Encryption, Index, IndexKind, KeyElement, OnDemandThroughput,
    OnDemandThroughputOverride, Projection, Replica, ReplicaIndex, Restore, SearchElement, Stream, Table, TableArn,
    TableName, Timestamp, VectorSettings, Witness,
};
use serde_json::{Map, Value};

/// Something that has a structural part.
pub(crate) trait Structure {
    /// Writes the structural part. Two different values never give the same bytes.
    fn put(&self, out: &mut Vec<u8>);
    /// The structural part as JSON, with the names of the record.
    fn value(&self) -> Value;
}

/// The status, unless it is temporary or `ACTIVE`: between those the structure is the same.
fn lasting(status: &Option<String>) -> Option<&String> {
    status.as_ref().filter(|status| {
        !matches!(status.as_str(), "CREATING" | "CREATION_FAILED" | "UPDATING" | "DELETING" | "ACTIVE" | "ARCHIVING")
    })
}

impl<T: Structure> Structure for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            None => out.push(0),
            Some(value) => {
                out.push(1);
                value.put(out);
            }
        }
    }

    fn value(&self) -> Value {
        self.as_ref().map_or(Value::Null, T::value)
    }
}

impl<T: Structure> Structure for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend((self.len() as u64).to_le_bytes());
        for value in self {
            value.put(out);
        }
    }

    fn value(&self) -> Value {
        self.iter().map(T::value).collect()
    }
}

impl<T: Structure + ?Sized> Structure for &T {
    fn put(&self, out: &mut Vec<u8>) {
        (**self).put(out);
    }

    fn value(&self) -> Value {
        (**self).value()
    }
}

impl Structure for str {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend((self.len() as u64).to_le_bytes());
        out.extend(self.as_bytes());
    }

    fn value(&self) -> Value {
        Value::from(self)
    }
}

/// Implements [`Structure`] for text types.
macro_rules! texts {
    ($($name:ty: $text:expr;)*) => {$(
        impl Structure for $name {
            fn put(&self, out: &mut Vec<u8>) {
                let text: fn(&Self) -> &str = $text;
                text(self).put(out);
            }

            fn value(&self) -> Value {
                let text: fn(&Self) -> &str = $text;
                text(self).value()
            }
        }
    )*};
}

texts! {
    String: String::as_str;
    Cow<'static, str>: |text| text;
    TableArn: TableArn::as_str;
    TableName: TableName::as_str;
}

impl Structure for i64 {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend(self.to_le_bytes());
    }

    fn value(&self) -> Value {
        Value::from(*self)
    }
}

impl Structure for bool {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn value(&self) -> Value {
        Value::from(*self)
    }
}

impl Structure for Timestamp {
    fn put(&self, out: &mut Vec<u8>) {
        self.as_millis().put(out);
    }

    fn value(&self) -> Value {
        Value::from(self.to_string())
    }
}

impl Structure for IndexKind {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(match self {
            Self::Global => 0,
            Self::Local => 1,
            Self::Vector => 2,
        });
    }

    fn value(&self) -> Value {
        Value::from(match self {
            Self::Global => "global",
            Self::Local => "local",
            Self::Vector => "vector",
        })
    }
}

/// Implements [`Structure`] by destructuring a struct: first the fields that are structure, in this
/// order, then those that are not. `as` gives the name in the record if it differs, `via` a
/// function that returns the part of the field that counts.
macro_rules! structure {
    ($($name:ident { $($kept:ident $(as $json:literal)? $(via $part:ident)?),* } without { $($left_out:ident),* })*) => {$(
        impl Structure for $name {
            fn put(&self, out: &mut Vec<u8>) {
                let Self { $($kept,)* $($left_out: _,)* } = self;
                $(structure!(@part $kept $($part)?).put(out);)*
            }

            fn value(&self) -> Value {
                let Self { $($kept,)* $($left_out: _,)* } = self;
                let mut object = Map::new();
                $(object.insert(structure!(@name $kept $($json)?).to_owned(), structure!(@part $kept $($part)?).value());)*
                Value::Object(object)
            }
        }
    )*};
    (@part $kept:ident) => { $kept };
    (@part $kept:ident $part:ident) => { $part($kept) };
    (@name $kept:ident) => { stringify!($kept) };
    (@name $kept:ident $json:literal) => { $json };
}

structure! {
    AttributeDefinition { name, attribute_type as "type" } without {}
    // The order of the list already contains the position.
    KeyElement { attribute, attribute_type as "type", role } without { position }
    Projection { projection_type as "type", non_key_attributes } without {}
    OnDemandThroughput { max_read_request_units, max_write_request_units } without {}
    OnDemandThroughputOverride { max_read_request_units } without {}
    Stream { enabled, view_type, latest_arn, latest_label } without {}
    Encryption { encryption_type as "type", kms_master_key_arn, inaccessible_at } without { status }
    ReplicaIndex { name, on_demand_throughput_override }
        without { provisioned_throughput_override, warm_throughput }
    Restore { source_backup_arn, source_table_arn, restored_at } without { in_progress }
    Archival { archived_at, reason, backup_arn } without {}
    VectorSettings { attribute, dimensions, distance_function, search_schema } without {}
    SearchElement { attribute, attribute_type as "type", element_type } without {}
    Witness { region, status via lasting } without {}
    Replica {
        region, status via lasting, arn, kms_master_key_id, on_demand_throughput_override, replica_indexes, inaccessible_at,
        table_class, table_class_updated_at, global_table_settings_replication_mode
    } without { status_description, status_percent_progress, provisioned_throughput_override, warm_throughput, extra }
    Index {
        kind, name, arn, status via lasting, key_schema, projection, on_demand_throughput, vector
    } without { backfilling, provisioned_throughput, warm_throughput, item_count, size_bytes, extra }
    Table {
        arn, id, name, status via lasting, created_at, attributes, key_schema, indexes, billing_mode,
        last_update_to_pay_per_request_at, on_demand_throughput, stream, encryption, replicas, global_table_version,
        global_table_witnesses, global_table_settings_replication_mode, multi_region_consistency,
        table_class, table_class_updated_at, deletion_protection_enabled, disassociation_protection_enabled, restore,
        archival
    } without { provisioned_throughput, warm_throughput, item_count, size_bytes, defaulted, extra }
}
