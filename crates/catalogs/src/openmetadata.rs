//! OpenMetadata: requests that create or update a database service, databases, schemas and tables.
//!
//! Requests name no owners, tags or domains, so OpenMetadata keeps them. It keeps a description only if a
//! bot sends the request. A request replaces the display name, the retention period and the foreign keys
//! of a table, so the sender has to repeat them.

use std::fmt::Write;

use dynacrawl_model::{IndexKind, NamedScope, ROLE_PARTITION, ROLE_SORT};
use serde_json::{Map, Value, json};

use crate::described::{Column, FACT_LABELS};
use crate::{Described, Shared, Template};

/// The longest name, in characters.
const LONGEST_NAME: usize = 256;

/// The settings of the mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenMetadata {
    /// How tables are named.
    pub names: Names,
}

/// How tables are named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Names {
    /// `<service>.<account>.<region>.<table>`: one service, a database for each account and a schema
    /// for each Region.
    Scoped {
        /// The service's name.
        service: String,
    },
    /// `<service>.default.default.<table>`, as OpenMetadata's own connector names them: a service
    /// for each scope.
    Connector {
        /// The service's name for a scope.
        service: Template,
    },
}

/// A request.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The path below the server's address.
    pub path: &'static str,
    /// The name of OpenMetadata's model of the body.
    pub kind: &'static str,
    /// The body.
    pub body: Value,
}

impl Request {
    /// The request as a line of an export.
    pub fn to_json(&self) -> Value {
        json!({ "method": "PUT", "path": self.path, "type": self.kind, "body": self.body })
    }
}

/// The names of a scope's service, database and schema.
struct Place {
    service: String,
    database: String,
    schema: String,
}

impl OpenMetadata {
    fn place(&self, scope: &NamedScope) -> Place {
        match &self.names {
            Names::Scoped { service } => Place {
                service: service.clone(),
                database: scope.account_id.as_ref().map_or("unknown", |id| id.as_str()).to_owned(),
                schema: scope.region.as_str().to_owned(),
            },
            Names::Connector { service } => {
                let default = || "default".to_owned();
                Place { service: service.fill(scope), database: default(), schema: default() }
            }
        }
    }

    /// The fully qualified name of the schema that has the tables of a scope.
    pub fn schema(&self, scope: &NamedScope) -> String {
        let Place { service, database, schema } = self.place(scope);
        qualified(&[&service, &database, &schema])
    }

    /// The service, database and schema of a scope, in the order in which they must be sent.
    pub fn parents(&self, scope: &NamedScope) -> Vec<Shared<Request>> {
        let Place { service, database, schema } = self.place(scope);
        let of_service = qualified(&[&service]);
        let of_database = qualified(&[&service, &database]);
        let mut database_body = json!({ "name": database, "service": of_service });
        if let (Names::Scoped { .. }, Some(name)) = (&self.names, &scope.account_name) {
            database_body["displayName"] = format!("{name} ({database})").into();
        }
        let schema_body = json!({ "name": schema, "database": of_database });
        let shared = |id: String, path, kind, body| Shared { id, entity: Request { path, kind, body } };
        vec![
            shared(
                of_service,
                "/api/v1/services/databaseServices",
                "CreateDatabaseServiceRequest",
                json!({ "name": service, "serviceType": "DynamoDB" }),
            ),
            shared(of_database, "/api/v1/databases", "CreateDatabaseRequest", database_body),
            shared(
                qualified(&[&service, &database, &schema]),
                "/api/v1/databaseSchemas",
                "CreateDatabaseSchemaRequest",
                schema_body,
            ),
        ]
    }

    /// The fully qualified name of a table with this name.
    pub fn table_name(&self, scope: &NamedScope, table: &str) -> String {
        format!("{}.{}", self.schema(scope), qualified(&[&name(table)]))
    }

    /// The statistics of a table, as its profile.
    pub fn profile(&self, table: &Described<'_>) -> Value {
        let described = table.table();
        let mut profile = json!({
            "timestamp": table.record.observed_at.as_millis(),
            "columnCount": table.columns().len(),
        });
        for (field, value) in [("rowCount", described.item_count), ("sizeInByte", described.size_bytes)] {
            if let Some(value) = value {
                profile[field] = value.into();
            }
        }
        json!({ "tableProfile": profile, "columnProfile": [] })
    }

    /// The request for a table, with its statistics in the description: an export has no other place for
    /// them.
    pub fn table(&self, table: &Described<'_>) -> Request {
        let mut request = self.structure(table);
        request.body["description"] = (description(table) + &statistics(table)).into();
        request
    }

    /// The request for a table without its statistics.
    pub fn structure(&self, table: &Described<'_>) -> Request {
        let keys: Vec<_> = [ROLE_PARTITION, ROLE_SORT].iter().flat_map(|role| table.key(role)).collect();
        // A constraint of one column stands at the column: the server refuses it at the table.
        let single = (keys.len() == 1).then(|| keys[0]);
        let columns: Vec<_> = table.columns().iter().map(|one| column(one, single == Some(one.name))).collect();
        let mut body = json!({
            "name": name(table.name),
            "tableType": "Regular",
            "columns": columns,
            "databaseSchema": self.schema(table.scope),
            "description": description(table),
        });
        if keys.len() > 1 {
            let named = |keys: &[&str]| keys.iter().map(|key| name(key)).collect::<Vec<_>>();
            let mut constraints = vec![json!({ "constraintType": "PRIMARY_KEY", "columns": named(&keys) })];
            let sort = table.key(ROLE_SORT);
            if !sort.is_empty() {
                constraints.push(json!({ "constraintType": "SORT_KEY", "columns": named(&sort) }));
            }
            body["tableConstraints"] = constraints.into();
        }
        if let Some(url) = table.console_url() {
            body["sourceUrl"] = url.into();
        }
        Request { path: "/api/v1/tables", kind: "CreateTableRequest", body }
    }
}

fn column(column: &Column<'_>, is_only_key: bool) -> Value {
    let (data_type, shown) = match column.kind {
        Some("S") => ("STRING", "S"),
        Some("N") => ("NUMBER", "N"),
        Some("B") => ("BYTES", "B"),
        other => ("UNKNOWN", other.unwrap_or("unknown")),
    };
    let mut body = Map::from_iter([
        ("name".to_owned(), name(column.name).into()),
        ("dataType".to_owned(), data_type.into()),
        ("dataTypeDisplay".to_owned(), shown.into()),
    ]);
    let encoded = name(column.name);
    if encoded != column.name {
        body.insert("displayName".to_owned(), column.name.into());
    }
    if let Some(description) = column.description() {
        body.insert("description".to_owned(), markdown(&description).into());
    }
    if is_only_key {
        body.insert("constraint".to_owned(), "PRIMARY_KEY".into());
    }
    Value::Object(body)
}

/// The beginning of each description that dynacrawl writes.
const FIRST_WORDS: &str = "Amazon DynamoDB table `";

/// The facts of a table as a list: indexes have no entity of their own.
fn description(table: &Described<'_>) -> String {
    let mut text = format!("{FIRST_WORDS}{}`.\n", table.table().arn.as_ref().map_or(table.name, |arn| arn.as_str()));
    for fact in table.facts() {
        let _ = write!(text, "\n- {}: {}", markdown(&fact.label), markdown(&fact.value));
    }
    text
}

/// Whether a description has nothing but what dynacrawl writes, so that a newer one may replace it: a first
/// sentence about the table, and a list of facts.
pub fn is_own_description(text: &str) -> bool {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let is_fact = |line: &str| {
        let Some((label, _)) = line.strip_prefix("- ").and_then(|fact| fact.split_once(": ")) else { return false };
        FACT_LABELS.contains(&label) || label.starts_with("Index ") || label.starts_with("Table at ")
    };
    lines.next().is_some_and(|first| first.starts_with(FIRST_WORDS) && first.ends_with("`.")) && lines.all(is_fact)
}

/// The statistics of a table and its indexes as the end of that list.
fn statistics(table: &Described<'_>) -> String {
    let mut text = String::new();
    let indexes = [IndexKind::Global, IndexKind::Local, IndexKind::Vector];
    let sized = indexes.into_iter().flat_map(|kind| table.indexes(kind)).map(|index| {
        let name = index.name.as_deref().unwrap_or_default();
        (format!("Index {name}"), index.item_count, index.size_bytes)
    });
    let described = table.table();
    let of_table = std::iter::once(("Table".to_owned(), described.item_count, described.size_bytes));
    for (label, items, bytes) in of_table.chain(sized) {
        if let (Some(items), Some(bytes)) = (items, bytes) {
            let _ =
                write!(text, "\n- {} at {}: {items} items, {bytes} bytes", markdown(&label), table.record.observed_at);
        }
    }
    text
}

/// Text in Markdown: nothing in it is markup.
fn markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '`' | '*' | '[' | ']' | '<' | '>' | '&' | '|' | '#' | '!' => escaped.extend(['\\', c]),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A name, encoded as OpenMetadata's own client encodes what its names cannot have, and truncated
/// to the longest name.
fn name(text: &str) -> String {
    let encoded = text
        .replace("::", "__reserved__colon__")
        .replace('>', "__reserved__arrow__")
        .replace('"', "__reserved__quote__")
        .replace('\n', "__reserved__newline__")
        .replace('\r', "__reserved__carriage_return__")
        .replace('\t', "__reserved__tab__");
    encoded.chars().take(LONGEST_NAME).collect()
}

/// A fully qualified name. A part with a dot or a quotation mark is quoted.
fn qualified(parts: &[&str]) -> String {
    let quoted = |part: &&str| {
        if part.contains(['.', '"']) { format!("\"{}\"", part.replace('"', "\\\"")) } else { (*part).to_owned() }
    };
    parts.iter().map(quoted).collect::<Vec<_>>().join(".")
}
