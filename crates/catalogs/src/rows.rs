//! Tables of columns, for analysts: each data set is a list of rows with the same columns. The values
//! of a list are in one cell, separated by commas.

use dynacrawl_model::{
    Counts, Index, IndexKind, KeyElement, NamedScope, Problem, ProvisionedThroughput, ROLE_PARTITION, ROLE_SORT,
    Timestamp,
};
use serde::Serialize;

use crate::Described;
use crate::described::names_of;

/// A column of a data set. Each may be empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// Which values it has.
    pub kind: ColumnKind,
}

impl Column {
    const fn new(name: &'static str, kind: ColumnKind) -> Self {
        Self { name, kind }
    }
}

/// Which values a column has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// Text.
    Text,
    /// 64-bit integers.
    Integer,
    /// `true` and `false`.
    Boolean,
    /// Times in UTC, to the millisecond.
    Time,
}

/// A row of a data set. It serializes as an object whose members are the columns.
pub trait Row: Serialize {
    /// The columns, in order.
    const COLUMNS: &[Column];
}

/// A row of the data set `tables`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TableRow {
    account_id: String,
    account_name: Option<String>,
    region: String,
    table_name: String,
    table_arn: Option<String>,
    table_id: Option<String>,
    status: Option<String>,
    created_at: Option<Timestamp>,
    partition_key: Option<String>,
    sort_key: Option<String>,
    billing_mode: Option<String>,
    read_capacity_units: Option<i64>,
    write_capacity_units: Option<i64>,
    table_class: Option<String>,
    item_count: Option<i64>,
    size_bytes: Option<i64>,
    global_index_count: usize,
    local_index_count: usize,
    vector_index_count: usize,
    encryption_type: Option<String>,
    kms_master_key_arn: Option<String>,
    deletion_protection_enabled: Option<bool>,
    stream_enabled: Option<bool>,
    stream_view_type: Option<String>,
    replica_regions: Option<String>,
    multi_region_consistency: Option<String>,
    defaulted: Option<String>,
    observed_at: Timestamp,
    /// When a crawl last listed the table.
    last_seen_at: Timestamp,
    /// How the newest crawl of its scope ended, if known: after an incomplete one, the row may be older.
    scope_outcome: Option<String>,
    fingerprint: String,
}

impl Row for TableRow {
    const COLUMNS: &[Column] = &[
        Column::new("account_id", ColumnKind::Text),
        Column::new("account_name", ColumnKind::Text),
        Column::new("region", ColumnKind::Text),
        Column::new("table_name", ColumnKind::Text),
        Column::new("table_arn", ColumnKind::Text),
        Column::new("table_id", ColumnKind::Text),
        Column::new("status", ColumnKind::Text),
        Column::new("created_at", ColumnKind::Time),
        Column::new("partition_key", ColumnKind::Text),
        Column::new("sort_key", ColumnKind::Text),
        Column::new("billing_mode", ColumnKind::Text),
        Column::new("read_capacity_units", ColumnKind::Integer),
        Column::new("write_capacity_units", ColumnKind::Integer),
        Column::new("table_class", ColumnKind::Text),
        Column::new("item_count", ColumnKind::Integer),
        Column::new("size_bytes", ColumnKind::Integer),
        Column::new("global_index_count", ColumnKind::Integer),
        Column::new("local_index_count", ColumnKind::Integer),
        Column::new("vector_index_count", ColumnKind::Integer),
        Column::new("encryption_type", ColumnKind::Text),
        Column::new("kms_master_key_arn", ColumnKind::Text),
        Column::new("deletion_protection_enabled", ColumnKind::Boolean),
        Column::new("stream_enabled", ColumnKind::Boolean),
        Column::new("stream_view_type", ColumnKind::Text),
        Column::new("replica_regions", ColumnKind::Text),
        Column::new("multi_region_consistency", ColumnKind::Text),
        Column::new("defaulted", ColumnKind::Text),
        Column::new("observed_at", ColumnKind::Time),
        Column::new("last_seen_at", ColumnKind::Time),
        Column::new("scope_outcome", ColumnKind::Text),
        Column::new("fingerprint", ColumnKind::Text),
    ];
}

/// A row of the data set `indexes`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct IndexRow {
    account_id: String,
    region: String,
    table_name: String,
    index_name: Option<String>,
    index_arn: Option<String>,
    kind: IndexKind,
    status: Option<String>,
    partition_key: Option<String>,
    sort_key: Option<String>,
    projection_type: Option<String>,
    projected_attributes: Option<String>,
    read_capacity_units: Option<i64>,
    write_capacity_units: Option<i64>,
    item_count: Option<i64>,
    size_bytes: Option<i64>,
    vector_attribute: Option<String>,
    vector_dimensions: Option<i64>,
    vector_distance_function: Option<String>,
}

impl Row for IndexRow {
    const COLUMNS: &[Column] = &[
        Column::new("account_id", ColumnKind::Text),
        Column::new("region", ColumnKind::Text),
        Column::new("table_name", ColumnKind::Text),
        Column::new("index_name", ColumnKind::Text),
        Column::new("index_arn", ColumnKind::Text),
        Column::new("kind", ColumnKind::Text),
        Column::new("status", ColumnKind::Text),
        Column::new("partition_key", ColumnKind::Text),
        Column::new("sort_key", ColumnKind::Text),
        Column::new("projection_type", ColumnKind::Text),
        Column::new("projected_attributes", ColumnKind::Text),
        Column::new("read_capacity_units", ColumnKind::Integer),
        Column::new("write_capacity_units", ColumnKind::Integer),
        Column::new("item_count", ColumnKind::Integer),
        Column::new("size_bytes", ColumnKind::Integer),
        Column::new("vector_attribute", ColumnKind::Text),
        Column::new("vector_dimensions", ColumnKind::Integer),
        Column::new("vector_distance_function", ColumnKind::Text),
    ];
}

/// A row of the data set `key_attributes`: an attribute of the key of a table or of an index.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KeyAttributeRow {
    account_id: String,
    region: String,
    table_name: String,
    /// `None` for the table's own key.
    index_name: Option<String>,
    attribute: Option<String>,
    attribute_type: Option<String>,
    role: Option<String>,
    position: u32,
}

impl Row for KeyAttributeRow {
    const COLUMNS: &[Column] = &[
        Column::new("account_id", ColumnKind::Text),
        Column::new("region", ColumnKind::Text),
        Column::new("table_name", ColumnKind::Text),
        Column::new("index_name", ColumnKind::Text),
        Column::new("attribute", ColumnKind::Text),
        Column::new("attribute_type", ColumnKind::Text),
        Column::new("role", ColumnKind::Text),
        Column::new("position", ColumnKind::Integer),
    ];
}

/// A row of the data set `scopes`: whether the tables of an account and Region are complete.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScopeRow {
    account_id: Option<String>,
    account_name: Option<String>,
    region: String,
    target: Option<String>,
    /// How the crawl of the scope ended; `None` if the input does not say it.
    outcome: Option<String>,
    is_complete: bool,
    table_count: u64,
    listed: Option<u64>,
    described: Option<u64>,
    denied: Option<u64>,
    throttled: Option<u64>,
    failed: Option<u64>,
    problems: Option<String>,
}

impl Row for ScopeRow {
    const COLUMNS: &[Column] = &[
        Column::new("account_id", ColumnKind::Text),
        Column::new("account_name", ColumnKind::Text),
        Column::new("region", ColumnKind::Text),
        Column::new("target", ColumnKind::Text),
        Column::new("outcome", ColumnKind::Text),
        Column::new("is_complete", ColumnKind::Boolean),
        Column::new("table_count", ColumnKind::Integer),
        Column::new("listed", ColumnKind::Integer),
        Column::new("described", ColumnKind::Integer),
        Column::new("denied", ColumnKind::Integer),
        Column::new("throttled", ColumnKind::Integer),
        Column::new("failed", ColumnKind::Integer),
        Column::new("problems", ColumnKind::Text),
    ];
}

/// The row of a table.
pub fn table(table: &Described<'_>) -> TableRow {
    let described = table.table();
    let key = |role| joined(&table.key(role));
    let provisioned = described.provisioned_throughput.as_ref();
    let encryption = described.encryption.as_ref();
    let stream = described.stream.as_ref();
    let replicas: Vec<_> = described.replicas.iter().filter_map(|replica| replica.region.as_deref()).collect();
    let defaulted: Vec<_> = described.defaulted.iter().map(|field| &**field).collect();
    TableRow {
        account_id: table.account.to_owned(),
        account_name: table.scope.account_name.as_deref().map(str::to_owned),
        region: table.scope.region.to_string(),
        table_name: table.name.to_owned(),
        table_arn: described.arn.as_ref().map(|arn| arn.as_str().to_owned()),
        table_id: described.id.clone(),
        status: described.status.clone(),
        created_at: described.created_at,
        partition_key: key(ROLE_PARTITION),
        sort_key: key(ROLE_SORT),
        billing_mode: described.billing_mode.as_deref().map(str::to_owned),
        read_capacity_units: provisioned.and_then(|one| one.read_capacity_units),
        write_capacity_units: provisioned.and_then(|one| one.write_capacity_units),
        table_class: described.table_class.as_deref().map(str::to_owned),
        item_count: described.item_count,
        size_bytes: described.size_bytes,
        global_index_count: table.indexes(IndexKind::Global).count(),
        local_index_count: table.indexes(IndexKind::Local).count(),
        vector_index_count: table.indexes(IndexKind::Vector).count(),
        encryption_type: encryption.and_then(|one| one.encryption_type.as_deref()).map(str::to_owned),
        kms_master_key_arn: encryption.and_then(|one| one.kms_master_key_arn.clone()),
        deletion_protection_enabled: described.deletion_protection_enabled,
        stream_enabled: stream.and_then(|one| one.enabled),
        stream_view_type: stream.and_then(|one| one.view_type.clone()),
        replica_regions: joined(&replicas),
        multi_region_consistency: described.multi_region_consistency.clone(),
        defaulted: joined(&defaulted),
        observed_at: table.record.observed_at,
        last_seen_at: table.last_seen_at,
        scope_outcome: table.scope_outcome.map(|outcome| outcome.as_str().to_owned()),
        fingerprint: table.record.fingerprint.clone(),
    }
}

/// The rows of a table's indexes.
pub fn indexes(table: &Described<'_>) -> Vec<IndexRow> {
    table.table().indexes.iter().flatten().map(|one| index(table, one)).collect()
}

fn index(table: &Described<'_>, index: &Index) -> IndexRow {
    let key = |role| joined(&names_of(index.key_schema.as_deref(), role));
    let capacity =
        |units: fn(&ProvisionedThroughput) -> Option<i64>| index.provisioned_throughput.as_ref().and_then(units);
    let (projection, vector) = (index.projection.as_ref(), index.vector.as_ref());
    let projected: Vec<_> = projection.iter().flat_map(|one| &one.non_key_attributes).collect();
    IndexRow {
        account_id: table.account.to_owned(),
        region: table.scope.region.to_string(),
        table_name: table.name.to_owned(),
        index_name: index.name.clone(),
        index_arn: index.arn.clone(),
        kind: index.kind,
        status: index.status.clone(),
        partition_key: key(ROLE_PARTITION),
        sort_key: key(ROLE_SORT),
        projection_type: projection.and_then(|one| one.projection_type.clone()),
        projected_attributes: joined(&projected),
        read_capacity_units: capacity(|one| one.read_capacity_units),
        write_capacity_units: capacity(|one| one.write_capacity_units),
        item_count: index.item_count,
        size_bytes: index.size_bytes,
        vector_attribute: vector.and_then(|one| one.attribute.clone()),
        vector_dimensions: vector.and_then(|one| one.dimensions),
        vector_distance_function: vector.and_then(|one| one.distance_function.clone()),
    }
}

/// The rows of the key attributes of a table and its indexes.
pub fn key_attributes(table: &Described<'_>) -> Vec<KeyAttributeRow> {
    let row = |index_name: Option<&str>, element: &KeyElement| KeyAttributeRow {
        account_id: table.account.to_owned(),
        region: table.scope.region.to_string(),
        table_name: table.name.to_owned(),
        index_name: index_name.map(str::to_owned),
        attribute: element.attribute.clone(),
        attribute_type: element.attribute_type.clone(),
        role: element.role.as_deref().map(str::to_owned),
        position: element.position,
    };
    let described = table.table();
    let mut rows: Vec<_> = described.key_schema.iter().flatten().map(|element| row(None, element)).collect();
    for index in described.indexes.iter().flatten() {
        let name = index.name.as_deref();
        rows.extend(index.key_schema.iter().flatten().map(|element| row(name, element)));
    }
    rows
}

/// How the crawl of a scope ended.
#[derive(Clone, Debug)]
pub struct ScopeEnd<'a> {
    /// The target that the scope belongs to, if known.
    pub target: Option<&'a str>,
    /// The outcome in words; `None` if the input does not say it.
    pub outcome: Option<&'a str>,
    /// Whether every table of the scope is there.
    pub is_complete: bool,
    /// How many tables of the scope are in the data set `tables`.
    pub table_count: u64,
    /// What was listed and described, if known.
    pub counts: Option<&'a Counts>,
    /// Why the scope is not complete.
    pub problems: &'a [Problem],
}

/// The row of a scope.
pub fn scope(scope: &NamedScope, end: &ScopeEnd<'_>) -> ScopeRow {
    let count = |of: fn(&Counts) -> u64| end.counts.map(of);
    let problems: Vec<_> = end.problems.iter().map(|one| format!("{}: {}", one.code, one.message)).collect();
    ScopeRow {
        account_id: scope.account_id.as_ref().map(|id| id.as_str().to_owned()),
        account_name: scope.account_name.as_deref().map(str::to_owned),
        region: scope.region.to_string(),
        target: end.target.map(str::to_owned),
        outcome: end.outcome.map(str::to_owned),
        is_complete: end.is_complete,
        table_count: end.table_count,
        listed: count(|one| one.listed),
        described: count(|one| one.described),
        denied: count(|one| one.denied),
        throttled: count(|one| one.throttled),
        failed: count(|one| one.failed),
        problems: (!problems.is_empty()).then(|| problems.join("; ")),
    }
}

fn joined(values: &[impl AsRef<str>]) -> Option<String> {
    let values: Vec<_> = values.iter().map(AsRef::as_ref).collect();
    (!values.is_empty()).then(|| values.join(","))
}

#[cfg(test)]
mod tests {
    use dynacrawl_model::{NamedScope, Record, RunId, Scope, Timestamp};
    use serde_json::{Map, Value, json};

    use super::{IndexRow, KeyAttributeRow, Row, ScopeEnd, ScopeRow, TableRow, indexes, key_attributes, scope, table};
    use crate::Described;

    fn columns(row: &impl serde::Serialize) -> Vec<String> {
        // As text: the order of the members counts.
        let text = serde_json::to_string(row).expect("JSON");
        let row: Map<String, Value> = serde_json::from_str(&text).expect("JSON");
        let mut columns: Vec<_> = row.keys().map(|key| (text.find(&format!("\"{key}\":")), key.clone())).collect();
        columns.sort();
        columns.into_iter().map(|(_, key)| key).collect()
    }

    fn names<R: Row>() -> Vec<&'static str> {
        R::COLUMNS.iter().map(|column| column.name).collect()
    }

    #[test]
    fn the_columns_are_those_of_a_row() {
        let region = "eu-west-1".parse().expect("a Region");
        let account_id = "111122223333".parse().expect("an account");
        let of = NamedScope::from(Scope { partition: "aws".into(), account_id: Some(account_id), region });
        let key = json!([{ "attribute": "id", "type": "S", "role": "partition", "position": 0 }]);
        let index = json!({ "kind": "global", "key_schema": key, "extra": "{}" });
        let line = json!({
            "type": "table", "schema": "dynacrawl/1", "run_id": RunId::generate(), "scope": of.scope,
            "account_name": null, "observed_at": Timestamp::now(), "fingerprint": "3:0", "problems": [],
            "table": {
                "name": "orders", "key_schema": key, "indexes": [index], "attributes": [], "replicas": [],
                "global_table_witnesses": [], "defaulted": [], "extra": "{}",
            },
        });
        let record: Record = serde_json::from_value(line).expect("a record");
        let dynacrawl_model::Body::Table(body) = &record.body else { panic!("a table") };
        let described = Described::new(&of, body).expect("a name");
        assert_eq!(columns(&table(&described)), names::<TableRow>());
        assert_eq!(columns(&indexes(&described)[0]), names::<IndexRow>());
        assert_eq!(columns(&key_attributes(&described)[0]), names::<KeyAttributeRow>());
        let end =
            ScopeEnd { target: None, outcome: None, is_complete: false, table_count: 0, counts: None, problems: &[] };
        assert_eq!(columns(&scope(&of, &end)), names::<ScopeRow>());
    }
}
