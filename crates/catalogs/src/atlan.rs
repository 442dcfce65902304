//! Atlan: entities as its apps publish them, one file for each type.
//!
//! When these files are published, Atlan archives every asset that they lack. So the caller writes a
//! scope only if all its tables are there.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::str::FromStr;

use dynacrawl_model::{Index, IndexKind, ProvisionedThroughput, ROLE_PARTITION, ROLE_SORT, Scope, Table};
use serde_json::{Map, Value, json};

use crate::Described;
use crate::described::names_of;

/// The settings of the mapping.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Atlan {
    /// The connection of each scope, by `ACCOUNT/REGION`.
    pub connections: BTreeMap<String, Connection>,
}

/// The qualified name of a connection, such as `default/dynamodb/1735689600`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Connection(String);

/// Why a text is not the qualified name of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected default/dynamodb/EPOCH, such as default/dynamodb/1735689600")]
pub struct NotAConnection;

impl FromStr for Connection {
    type Err = NotAConnection;

    fn from_str(text: &str) -> Result<Self, NotAConnection> {
        let epoch = text.strip_prefix("default/dynamodb/").ok_or(NotAConnection)?;
        let is_epoch = !epoch.is_empty() && epoch.bytes().all(|b| b.is_ascii_digit());
        if is_epoch { Ok(Self(text.to_owned())) } else { Err(NotAConnection) }
    }
}

impl Connection {
    /// The qualified name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The types of entities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntityType {
    /// A table.
    Table,
    /// An attribute that a table defines.
    Attribute,
    /// A global secondary index.
    GlobalSecondaryIndex,
    /// A local secondary index.
    LocalSecondaryIndex,
}

impl EntityType {
    /// Every type.
    pub const ALL: [Self; 4] = [Self::Table, Self::Attribute, Self::GlobalSecondaryIndex, Self::LocalSecondaryIndex];

    /// Atlan's name of the type.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Table => "DynamoDBTable",
            Self::Attribute => "DynamoDBAttribute",
            Self::GlobalSecondaryIndex => "DynamoDBGlobalSecondaryIndex",
            Self::LocalSecondaryIndex => "DynamoDBLocalSecondaryIndex",
        }
    }

    /// The attributes that an entity may lack. A request that does not name them leaves old values.
    const fn optional(self) -> &'static [&'static str] {
        match self {
            Self::Table => &[
                "dynamoDBStatus",
                "dynamoDBPartitionKey",
                "dynamoDBSortKey",
                "dynamoDBReadCapacityUnits",
                "dynamoDBWriteCapacityUnits",
                "rowCount",
                "sizeBytes",
                "sourceCreatedAt",
                "sourceURL",
            ],
            Self::Attribute => &["rawDataTypeDefinition", "description"],
            Self::GlobalSecondaryIndex | Self::LocalSecondaryIndex => &[
                "dynamoDBStatus",
                "dynamoDBPartitionKey",
                "dynamoDBSortKey",
                "dynamoDBReadCapacityUnits",
                "dynamoDBWriteCapacityUnits",
                "dynamoDBSecondaryIndexProjectionType",
                "description",
                "rowCount",
                "sizeBytes",
            ],
        }
    }

    /// The directory of the entities.
    pub const fn directory(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Attribute => "attribute",
            Self::GlobalSecondaryIndex => "global_secondary_index",
            Self::LocalSecondaryIndex => "local_secondary_index",
        }
    }
}

/// An entity.
#[derive(Clone, Debug, PartialEq)]
pub struct Entity {
    /// Its type.
    pub entity_type: EntityType,
    /// The entity in Atlan's form.
    pub json: Value,
}

impl Entity {
    /// The entity for a request, in which `null` removes an old value.
    pub fn with_nulls(mut self) -> Value {
        for attribute in self.entity_type.optional() {
            let attributes = &mut self.json["attributes"];
            if attributes.get(attribute).is_none() {
                attributes[attribute] = Value::Null;
            }
        }
        self.json
    }

    /// The qualified name.
    pub fn qualified_name(&self) -> &str {
        self.json["attributes"]["qualifiedName"].as_str().unwrap_or_default()
    }
}

/// The statuses in Atlan's enum. Another one is left out.
const STATUSES: [&str; 7] =
    ["CREATING", "UPDATING", "DELETING", "ACTIVE", "INACCESSIBLE_ENCRYPTION_CREDENTIALS", "ARCHIVING", "ARCHIVED"];
/// The projections in Atlan's enum.
const PROJECTIONS: [&str; 3] = ["KEYS_ONLY", "INCLUDE", "ALL"];

impl Atlan {
    /// The connection of a scope.
    pub fn connection(&self, scope: &Scope) -> Option<&Connection> {
        self.connections.get(&scope.to_string())
    }

    /// The qualified name of a table with this name.
    pub fn table_name(connection: &Connection, table: &str) -> String {
        format!("{}/{table}", connection.as_str())
    }

    /// What changes by itself of a table and its indexes: items, bytes, status and capacity, and the
    /// description, which has some of it. Without the status of an entity, so that it restores nothing that
    /// is archived.
    pub fn statistics(&self, connection: &Connection, table: &Described<'_>) -> Vec<Entity> {
        let context = Context { connection: connection.as_str(), table };
        let mut of_table = context.common(table.name, context.qualified_name());
        set(&mut of_table, "description", Some(context.description()));
        let mut entities = vec![statistics(EntityType::Table, of_table, &Measured::of_table(table.table()))];
        entities.extend(context.indexes(Context::index_statistics));
        entities
    }

    /// The table, its attributes, and its global and local secondary indexes.
    pub fn entities(&self, connection: &Connection, table: &Described<'_>) -> Vec<Entity> {
        let context = Context { connection: connection.as_str(), table };
        let mut entities = vec![context.table()];
        entities.extend(context.attributes());
        entities.extend(context.indexes(Context::index));
        entities
    }
}

struct Context<'a> {
    connection: &'a str,
    table: &'a Described<'a>,
}

impl Context<'_> {
    fn qualified_name(&self) -> String {
        format!("{}/{}", self.connection, self.table.name)
    }

    fn table(&self) -> Entity {
        let (table, described) = (self.table, self.table.table());
        let mut attributes = self.common(table.name, self.qualified_name());
        let count = |kind| table.indexes(kind).count();
        set(&mut attributes, "dynamoDBTableGSICount", Some(count(IndexKind::Global)));
        set(&mut attributes, "dynamoDBTableLSICount", Some(count(IndexKind::Local)));
        Measured::of_table(described).set(&mut attributes);
        self.keys(&mut attributes, described.key_schema.as_deref());
        let definition = |one: &dynacrawl_model::AttributeDefinition| json!({ "AttributeName": one.name, "AttributeType": one.attribute_type });
        let definitions: Vec<_> = described.attributes.iter().map(definition).collect();
        set(&mut attributes, "noSQLSchemaDefinition", Some(Value::from(definitions).to_string()));
        set(&mut attributes, "columnCount", Some(table.columns().len()));
        set(&mut attributes, "sourceCreatedAt", described.created_at.map(dynacrawl_model::Timestamp::as_millis));
        set(&mut attributes, "sourceURL", table.console_url());
        set(&mut attributes, "description", Some(self.description()));
        entity(EntityType::Table, attributes)
    }

    /// The facts about the table, a line each. People write into `userDescription`.
    fn description(&self) -> String {
        let mut text = String::new();
        for fact in self.table.facts() {
            let _ = write!(text, "{}{}: {}", if text.is_empty() { "" } else { "\n" }, fact.label, fact.value);
        }
        text
    }

    fn attributes(&self) -> Vec<Entity> {
        let column = |(number, column): (usize, crate::described::Column<'_>)| {
            let mut attributes = self.child(column.name);
            let data_type = match column.kind {
                Some("S") => "STRING",
                Some("N") => "NUMBER",
                Some("B") => "BINARY",
                _ => "UNKNOWN",
            };
            set(&mut attributes, "dataType", Some(data_type));
            set(&mut attributes, "rawDataTypeDefinition", column.kind);
            set(&mut attributes, "order", Some(number + 1));
            set(&mut attributes, "isPartition", Some(column.role == Some(ROLE_PARTITION)));
            set(&mut attributes, "isSort", Some(column.role == Some(ROLE_SORT)));
            set(&mut attributes, "isPrimary", Some(column.role.is_some()));
            set(&mut attributes, "isIndexed", Some(column.is_indexed));
            set(&mut attributes, "description", column.description());
            set(&mut attributes, "table", Some(self.reference()));
            entity(EntityType::Attribute, attributes)
        };
        self.table.columns().into_iter().enumerate().map(column).collect()
    }

    /// An entity for each global and local secondary index.
    fn indexes<'a>(
        &'a self,
        entity: impl Fn(&Self, &Index, EntityType) -> Entity + 'a,
    ) -> impl Iterator<Item = Entity> {
        let types = [
            (IndexKind::Global, EntityType::GlobalSecondaryIndex),
            (IndexKind::Local, EntityType::LocalSecondaryIndex),
        ];
        let all = move |(kind, entity_type)| self.table.indexes(kind).map(move |index| (index, entity_type));
        types.into_iter().flat_map(all).map(move |(index, entity_type)| entity(self, index, entity_type))
    }

    fn index_statistics(&self, index: &Index, entity_type: EntityType) -> Entity {
        let attributes = self.child(index.name.as_deref().unwrap_or_default());
        statistics(entity_type, attributes, &Measured::of_index(index))
    }

    fn index(&self, index: &Index, entity_type: EntityType) -> Entity {
        let mut attributes = self.child(index.name.as_deref().unwrap_or_default());
        Measured::of_index(index).set(&mut attributes);
        self.keys(&mut attributes, index.key_schema.as_deref());
        let projection = index.projection.as_ref();
        let kind = projection.and_then(|projection| projection.projection_type.as_deref());
        set(&mut attributes, "dynamoDBSecondaryIndexProjectionType", known(kind, &PROJECTIONS));
        let projected = projection.map(|projection| projection.non_key_attributes.join(", "));
        let projected = projected.filter(|names| !names.is_empty());
        set(&mut attributes, "description", projected.map(|names| format!("Projected attributes: {names}")));
        entity(entity_type, attributes)
    }

    /// The members that every entity has.
    fn common(&self, name: &str, qualified_name: String) -> Map<String, Value> {
        let mut attributes = Map::new();
        set(&mut attributes, "name", Some(name));
        set(&mut attributes, "qualifiedName", Some(qualified_name));
        set(&mut attributes, "connectionQualifiedName", Some(self.connection));
        set(&mut attributes, "connectorName", Some("dynamodb"));
        attributes
    }

    /// The members that attributes and indexes have.
    fn child(&self, name: &str) -> Map<String, Value> {
        let of_table = self.qualified_name();
        // A slash in a name would look like another level.
        let mut attributes = self.common(name, format!("{of_table}/{}", name.replace('%', "%25").replace('/', "%2F")));
        set(&mut attributes, "tableName", Some(self.table.name));
        set(&mut attributes, "tableQualifiedName", Some(of_table));
        set(&mut attributes, "dynamoDBTable", Some(self.reference()));
        attributes
    }

    fn reference(&self) -> Value {
        json!({
            "typeName": EntityType::Table.name(),
            "uniqueAttributes": { "qualifiedName": self.qualified_name() },
        })
    }

    fn keys(&self, attributes: &mut Map<String, Value>, key: Option<&[dynacrawl_model::KeyElement]>) {
        for (attribute, role) in [("dynamoDBPartitionKey", ROLE_PARTITION), ("dynamoDBSortKey", ROLE_SORT)] {
            let names = names_of(key, role);
            set(attributes, attribute, (!names.is_empty()).then(|| names.join(", ")));
        }
    }
}

/// What changes by itself of a table or an index.
struct Measured<'a> {
    item_count: Option<i64>,
    size_bytes: Option<i64>,
    status: Option<&'a str>,
    provisioned: Option<&'a ProvisionedThroughput>,
}

impl<'a> Measured<'a> {
    const ATTRIBUTES: [&'static str; 5] =
        ["rowCount", "sizeBytes", "dynamoDBStatus", "dynamoDBReadCapacityUnits", "dynamoDBWriteCapacityUnits"];

    fn of_table(table: &'a Table) -> Self {
        let (status, provisioned) = (table.status.as_deref(), table.provisioned_throughput.as_ref());
        Self { item_count: table.item_count, size_bytes: table.size_bytes, status, provisioned }
    }

    fn of_index(index: &'a Index) -> Self {
        let (status, provisioned) = (index.status.as_deref(), index.provisioned_throughput.as_ref());
        Self { item_count: index.item_count, size_bytes: index.size_bytes, status, provisioned }
    }

    fn set(&self, attributes: &mut Map<String, Value>) {
        let capacity = |units: fn(&ProvisionedThroughput) -> Option<i64>| self.provisioned.and_then(units);
        let values: [Option<Value>; 5] = [
            self.item_count.map(Value::from),
            self.size_bytes.map(Value::from),
            known(self.status, &STATUSES).map(Value::from),
            capacity(|one| one.read_capacity_units).map(Value::from),
            capacity(|one| one.write_capacity_units).map(Value::from),
        ];
        for (name, value) in Self::ATTRIBUTES.into_iter().zip(values) {
            set(attributes, name, value);
        }
    }
}

/// An entity with its statistics alone, in which `null` removes an old value.
fn statistics(entity_type: EntityType, mut attributes: Map<String, Value>, measured: &Measured<'_>) -> Entity {
    measured.set(&mut attributes);
    for name in Measured::ATTRIBUTES {
        attributes.entry(name).or_insert(Value::Null);
    }
    Entity { entity_type, json: json!({ "typeName": entity_type.name(), "attributes": attributes }) }
}

fn known<'a>(value: Option<&'a str>, values: &[&str]) -> Option<&'a str> {
    value.filter(|value| values.contains(value))
}

/// Sets an attribute whose value is known.
fn set(attributes: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        attributes.insert(name.to_owned(), value.into());
    }
}

fn entity(entity_type: EntityType, attributes: Map<String, Value>) -> Entity {
    let mut json = json!({ "typeName": entity_type.name(), "status": "ACTIVE" });
    json["attributes"] = Value::Object(attributes);
    Entity { entity_type, json }
}
