//! What all catalogs show of a table: its columns, and facts that have no field of their own.

use dynacrawl_model::{
    Index, IndexKind, KeyElement, NamedScope, Outcome, ROLE_PARTITION, ROLE_SORT, Table, TableRecord, Timestamp,
};

/// A `table` record with what every catalog needs of it: the account and Region, and a name.
#[derive(Clone, Copy, Debug)]
pub struct Described<'a> {
    /// The account and Region.
    pub scope: &'a NamedScope,
    /// The record's members.
    pub record: &'a TableRecord,
    /// The table's name.
    pub name: &'a str,
    /// The account's id.
    pub account: &'a str,
    /// When a crawl last listed the table.
    pub last_seen_at: Timestamp,
    /// How the newest crawl of the scope ended, if known.
    pub scope_outcome: Option<Outcome>,
}

/// Why a table has no place in a catalog: AWS sent neither its name nor its ARN, or the account is
/// unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the name or the account of the table is unknown")]
pub struct Unnamed;

/// An attribute that a key of the table or of an index names, or that the table defines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column<'a> {
    pub(crate) name: &'a str,
    /// `S`, `N` or `B`; `None` if the table does not define the attribute.
    pub(crate) kind: Option<&'a str>,
    /// Its role in the table's key, if it is part of it.
    pub(crate) role: Option<&'a str>,
    /// Whether a key of an index names it.
    pub(crate) is_indexed: bool,
    /// Its roles in words, such as `Partition key of the table`.
    pub(crate) uses: Vec<String>,
}

impl<'a> Column<'a> {
    fn new(name: &'a str, kind: Option<&'a str>) -> Self {
        Self { name, kind, role: None, is_indexed: false, uses: Vec::new() }
    }

    /// The uses in one sentence; `None` if no key names the attribute.
    pub(crate) fn description(&self) -> Option<String> {
        (!self.uses.is_empty()).then(|| self.uses.join("; "))
    }
}

/// A property that catalogs show as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fact {
    /// A stable name, such as `table.billingMode`.
    pub(crate) key: String,
    /// The name for people.
    pub(crate) label: String,
    pub(crate) value: String,
}

/// The keys of the facts about a table itself.
pub(crate) const FACT_KEYS: [&str; 22] = [
    "table.id",
    "table.status",
    "Partition Key",
    "Sort Key",
    "table.billingMode",
    "table.readCapacityUnits",
    "table.writeCapacityUnits",
    "table.maxReadRequestUnits",
    "table.maxWriteRequestUnits",
    "table.class",
    "table.encryption",
    "table.kmsKey",
    "table.deletionProtection",
    "table.stream",
    "table.streamViewType",
    "table.streamArn",
    "table.replicas",
    "table.witnesses",
    "table.globalTableVersion",
    "table.multiRegionConsistency",
    "table.restoredFrom",
    "table.archivalReason",
];

/// The labels of these facts.
pub(crate) const FACT_LABELS: [&str; 22] = [
    "Table id",
    "Status",
    "Partition key",
    "Sort key",
    "Billing mode",
    "Read capacity units",
    "Write capacity units",
    "Maximum read request units",
    "Maximum write request units",
    "Table class",
    "Encryption",
    "KMS key",
    "Deletion protection",
    "Stream",
    "Stream view type",
    "Stream ARN",
    "Replicas",
    "Witnesses",
    "Global table version",
    "Multi-Region consistency",
    "Restored from",
    "Archived because",
];

impl<'a> Described<'a> {
    /// # Errors
    /// If the name of the table or the account is unknown.
    pub fn new(scope: &'a NamedScope, record: &'a TableRecord) -> Result<Self, Unnamed> {
        let table = &record.table;
        let of_arn = || table.arn.as_ref().and_then(|arn| arn.as_str().rsplit_once(":table/")).map(|(_, name)| name);
        let name = table.name.as_ref().map(|name| name.as_str()).or_else(of_arn);
        match (name.filter(|name| !name.is_empty()), &scope.account_id) {
            (Some(name), Some(account)) => Ok(Self {
                scope,
                record,
                name,
                account: account.as_str(),
                last_seen_at: record.observed_at,
                scope_outcome: None,
            }),
            _ => Err(Unnamed),
        }
    }

    /// The table of a scope whose newest crawl may have failed: the table may be older then.
    #[must_use]
    pub fn last_seen(self, last_seen_at: Timestamp, scope_outcome: Option<Outcome>) -> Self {
        Self { last_seen_at, scope_outcome, ..self }
    }

    pub(crate) fn table(&self) -> &'a Table {
        &self.record.table
    }

    pub(crate) fn indexes(&self, kind: IndexKind) -> impl Iterator<Item = &'a Index> {
        self.table().indexes.iter().flatten().filter(move |index| index.kind == kind)
    }

    /// The attributes of the table's key with this role, in their order.
    pub(crate) fn key(&self, role: &str) -> Vec<&'a str> {
        names_of(self.table().key_schema.as_deref(), role)
    }

    /// The attributes: those of the table's key first, in their order, and then the others by name.
    pub(crate) fn columns(&self) -> Vec<Column<'a>> {
        let table = self.table();
        let mut columns: Vec<Column<'a>> = Vec::new();
        for element in table.key_schema.iter().flatten() {
            add_key(&mut columns, element, None);
        }
        let of_table = columns.len();
        for index in table.indexes.iter().flatten() {
            for element in index.key_schema.iter().flatten() {
                add_key(&mut columns, element, Some(index));
            }
        }
        for defined in &table.attributes {
            if let Some(name) = defined.name.as_deref()
                && !columns.iter().any(|column| column.name == name)
            {
                columns.push(Column::new(name, defined.attribute_type.as_deref()));
            }
        }
        columns[of_table..].sort_by_key(|column| column.name);
        columns
    }

    /// The page of the table in AWS's console; `None` for partitions without a public one.
    pub(crate) fn console_url(&self) -> Option<String> {
        let (region, name) = (self.scope.region.as_str(), self.name);
        let host = match self.scope.partition.as_str() {
            "aws" => "console.aws.amazon.com",
            "aws-cn" => "console.amazonaws.cn",
            "aws-us-gov" => "console.amazonaws-us-gov.com",
            _ => return None,
        };
        Some(format!("https://{host}/dynamodbv2/home?region={region}#table?name={name}"))
    }

    /// The facts about the table, without statistics that change by themselves.
    pub(crate) fn facts(&self) -> Vec<Fact> {
        let table = self.table();
        let mut facts = Facts::default();
        facts.text("table.id", "Table id", table.id.as_deref());
        facts.text("table.status", "Status", table.status.as_deref());
        facts.list("Partition Key", "Partition key", &self.key(ROLE_PARTITION));
        facts.list("Sort Key", "Sort key", &self.key(ROLE_SORT));
        facts.text("table.billingMode", "Billing mode", table.billing_mode.as_deref());
        // An on-demand table has no capacity of its own: AWS sends zeros.
        if table.billing_mode.as_deref() != Some("PAY_PER_REQUEST")
            && let Some(provisioned) = &table.provisioned_throughput
        {
            facts.number("table.readCapacityUnits", "Read capacity units", provisioned.read_capacity_units);
            facts.number("table.writeCapacityUnits", "Write capacity units", provisioned.write_capacity_units);
        }
        if let Some(on_demand) = &table.on_demand_throughput {
            facts.number("table.maxReadRequestUnits", "Maximum read request units", on_demand.max_read_request_units);
            facts.number(
                "table.maxWriteRequestUnits",
                "Maximum write request units",
                on_demand.max_write_request_units,
            );
        }
        facts.text("table.class", "Table class", table.table_class.as_deref());
        if let Some(encryption) = &table.encryption {
            facts.text("table.encryption", "Encryption", encryption.encryption_type.as_deref());
            facts.text("table.kmsKey", "KMS key", encryption.kms_master_key_arn.as_deref());
        }
        facts.flag("table.deletionProtection", "Deletion protection", table.deletion_protection_enabled);
        if let Some(stream) = &table.stream {
            facts.flag("table.stream", "Stream", stream.enabled);
            facts.text("table.streamViewType", "Stream view type", stream.view_type.as_deref());
            facts.text("table.streamArn", "Stream ARN", stream.latest_arn.as_deref());
        }
        let replicas: Vec<_> = table
            .replicas
            .iter()
            .filter_map(|replica| {
                let status = replica.status.as_deref().map(|status| format!(" ({status})")).unwrap_or_default();
                Some(format!("{}{status}", replica.region.as_deref()?))
            })
            .collect();
        facts.list("table.replicas", "Replicas", &replicas);
        let witnesses: Vec<_> = table.global_table_witnesses.iter().filter_map(|one| one.region.as_deref()).collect();
        facts.list("table.witnesses", "Witnesses", &witnesses);
        facts.text("table.globalTableVersion", "Global table version", table.global_table_version.as_deref());
        facts.text(
            "table.multiRegionConsistency",
            "Multi-Region consistency",
            table.multi_region_consistency.as_deref(),
        );
        if let Some(restore) = &table.restore {
            let source = restore.source_backup_arn.as_deref().or(restore.source_table_arn.as_deref());
            facts.text("table.restoredFrom", "Restored from", source);
        }
        if let Some(archival) = &table.archival {
            facts.text("table.archivalReason", "Archived because", archival.reason.as_deref());
        }
        for index in table.indexes.iter().flatten() {
            let name = index.name.as_deref().unwrap_or_default();
            facts.0.push(Fact {
                key: format!("index.{name}"),
                label: format!("Index {name}"),
                value: index_in_words(index),
            });
        }
        facts.0
    }
}

fn add_key<'a>(columns: &mut Vec<Column<'a>>, element: &'a KeyElement, index: Option<&Index>) {
    let Some(name) = element.attribute.as_deref() else { return };
    let role = element.role.as_deref();
    let place = match index {
        None => "the table".to_owned(),
        Some(index) => format!("the index {}", index.name.as_deref().unwrap_or_default()),
    };
    let used = match role {
        Some(ROLE_PARTITION) => format!("Partition key of {place}"),
        Some(ROLE_SORT) => format!("Sort key of {place}"),
        _ => format!("Part of the key of {place}"),
    };
    let at = columns.iter().position(|column| column.name == name).unwrap_or_else(|| {
        columns.push(Column::new(name, element.attribute_type.as_deref()));
        columns.len() - 1
    });
    let column = &mut columns[at];
    column.uses.push(used);
    match index {
        None => column.role = role,
        Some(_) => column.is_indexed = true,
    }
}

/// The attributes of a key with this role, in their order.
pub(crate) fn names_of<'a>(key: Option<&'a [KeyElement]>, role: &str) -> Vec<&'a str> {
    let of_role = key.into_iter().flatten().filter(|element| element.role.as_deref() == Some(role));
    of_role.filter_map(|element| element.attribute.as_deref()).collect()
}

/// An index without its statistics: `global; customer (S, partition), at (N, sort); ALL; ACTIVE`.
fn index_in_words(index: &Index) -> String {
    let kind = match index.kind {
        IndexKind::Global => "global",
        IndexKind::Local => "local",
        IndexKind::Vector => "vector",
    };
    let mut parts = vec![kind.to_owned()];
    let element = |element: &KeyElement| {
        let name = element.attribute.as_deref().unwrap_or_default();
        let details: Vec<_> =
            element.attribute_type.iter().map(String::as_str).chain(element.role.as_deref()).collect();
        if details.is_empty() { name.to_owned() } else { format!("{name} ({})", details.join(", ")) }
    };
    let key: Vec<_> = index.key_schema.iter().flatten().map(element).collect();
    if !key.is_empty() {
        parts.push(key.join(", "));
    }
    if let Some(vector) = &index.vector {
        let attribute = vector.attribute.as_deref().unwrap_or_default();
        let dimensions = vector.dimensions.map(|count| format!("{count} dimensions"));
        let details: Vec<_> = dimensions.into_iter().chain(vector.distance_function.clone()).collect();
        parts.push(format!("vector {attribute} ({})", details.join(", ")));
    }
    if let Some(projection) = &index.projection {
        let kind = projection.projection_type.as_deref().unwrap_or_default();
        match &projection.non_key_attributes[..] {
            [] => parts.push(kind.to_owned()),
            attributes => parts.push(format!("{kind} {}", attributes.join(", "))),
        }
    }
    parts.extend(index.status.clone());
    if let Some(provisioned) = &index.provisioned_throughput
        && let (Some(read @ 1..), Some(write)) = (provisioned.read_capacity_units, provisioned.write_capacity_units)
    {
        parts.push(format!("{read} read and {write} write capacity units"));
    }
    parts.join("; ")
}

#[derive(Default)]
struct Facts(Vec<Fact>);

impl Facts {
    fn text(&mut self, key: &str, label: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.0.push(Fact { key: key.to_owned(), label: label.to_owned(), value: value.to_owned() });
        }
    }

    fn list(&mut self, key: &str, label: &str, values: &[impl AsRef<str>]) {
        let values: Vec<_> = values.iter().map(AsRef::as_ref).collect();
        self.text(key, label, (!values.is_empty()).then(|| values.join(", ")).as_deref());
    }

    fn number(&mut self, key: &str, label: &str, value: Option<i64>) {
        self.text(key, label, value.map(|value| value.to_string()).as_deref());
    }

    fn flag(&mut self, key: &str, label: &str, value: Option<bool>) {
        self.text(key, label, value.map(|on| if on { "enabled" } else { "disabled" }));
    }
}
