//! Version 6 of the tables: records in the shape in which each key has one type. This step works on
//! JSON instead of the types of the records, because those change with later versions, and this
//! step must not.

use rusqlite::{Transaction, params};
use serde_json::{Map, Value, json};

/// How many rows are read at once.
const PAGE: i64 = 300;

/// Adds the columns, and rewrites every record that the state has.
pub(crate) fn bring_up(writing: &Transaction<'_>) -> rusqlite::Result<()> {
    writing.execute_batch(
        "ALTER TABLE scopes ADD COLUMN account_name TEXT;
         ALTER TABLE scopes ADD COLUMN last_problems TEXT;
         ALTER TABLE run_scopes ADD COLUMN account_name TEXT;
         ALTER TABLE run_scopes ADD COLUMN problems TEXT;
         ALTER TABLE run_targets ADD COLUMN failure TEXT;
         DROP VIEW estate;
         CREATE VIEW estate AS
             SELECT s.partition, s.account_id, s.account_name, s.region, t.name, t.status, t.arn, t.table_id, t.fingerprint,
                 strftime('%Y-%m-%dT%H:%M:%fZ', t.first_seen_at / 1000.0, 'unixepoch') AS first_seen,
                 strftime('%Y-%m-%dT%H:%M:%fZ', t.changed_at / 1000.0, 'unixepoch') AS changed,
                 strftime('%Y-%m-%dT%H:%M:%fZ', COALESCE(t.last_seen_at, s.last_listed_at) / 1000.0, 'unixepoch') AS last_seen,
                 r.record
             FROM tables t JOIN scopes s USING (scope_id) JOIN records r USING (record_id);",
    )?;
    rewrite(writing, "records", "record", "'table'", "NULL")?;
    rewrite(writing, "changes", "change", "type", "name")?;
    rewrite(writing, "staged", "change", "type", "name")?;
    rewrite(writing, "staged_ends", "record", "type", "NULL")?;
    let of_table = "CASE WHEN json_valid(table_record) AND json_type(table_record, '$.table.name') = 'text' \
                    THEN json_extract(table_record, '$.table.name') END";
    rewrite(writing, "outbox", "record", "type", of_table)?;
    rewrite(writing, "outbox", "table_record", "'table'", "NULL")?;
    rewrite(writing, "runs", "completed", "'run_completed'", "NULL")?;
    rewrite_targets(writing, "accounts_discovered")?;
    rewrite_targets(writing, "regions_discovered")
}

/// The rowid, the type of the record, its table's name, and the record.
type OldRow = (i64, String, Option<Vec<u8>>, Option<Vec<u8>>);

/// Rewrites a column of JSON, page by page. `kind` and `name` are SQL expressions for a record's
/// type and its table's name. A value that is not JSON stays as it is.
fn rewrite(writing: &Transaction<'_>, table: &str, column: &str, kind: &str, name: &str) -> rusqlite::Result<()> {
    let page = format!(
        "SELECT rowid, {kind}, {name}, {column} FROM {table} WHERE rowid > ? AND {column} IS NOT NULL ORDER BY rowid LIMIT {PAGE}"
    );
    let mut page = writing.prepare(&page)?;
    let mut put = writing.prepare(&format!("UPDATE {table} SET {column} = ? WHERE rowid = ?"))?;
    let mut after = i64::MIN;
    loop {
        // As bytes: text that is not UTF-8 must not end the upgrade.
        let bytes = |row: &rusqlite::Row<'_>, column: usize| -> rusqlite::Result<_> {
            Ok(row.get_ref(column)?.as_bytes_or_null()?.map(<[u8]>::to_vec))
        };
        let rows = page.query_map([after], |row| Ok((row.get(0)?, row.get(1)?, bytes(row, 2)?, bytes(row, 3)?)))?;
        let rows: Vec<OldRow> = rows.collect::<rusqlite::Result<_>>()?;
        let Some((last, ..)) = rows.last() else { return Ok(()) };
        after = *last;
        for (rowid, kind, name, text) in rows {
            if let Ok(mut record) = serde_json::from_slice(&text.unwrap_or_default()) {
                let name = name.map(|name| String::from_utf8_lossy(&name).into_owned());
                upgrade(&kind, name.as_deref(), &mut record);
                put.execute(params![record.to_string(), rowid])?;
            }
        }
    }
}

/// Rewrites the records about targets. The table has no rowid, and one row for each target of a
/// run.
fn rewrite_targets(writing: &Transaction<'_>, column: &str) -> rusqlite::Result<()> {
    let all = format!("SELECT run_id, target, {column} FROM run_targets WHERE {column} IS NOT NULL");
    let rows: Vec<(String, String, String)> = writing
        .prepare(&all)?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut put = writing.prepare(&format!("UPDATE run_targets SET {column} = ? WHERE run_id = ? AND target = ?"))?;
    for (run_id, target, text) in rows {
        if let Ok(mut record) = serde_json::from_str(&text) {
            upgrade(column, None, &mut record);
            put.execute(params![record.to_string(), run_id, target])?;
        }
    }
    Ok(())
}

/// Converts a record to the new shape.
fn upgrade(kind: &str, table_name: Option<&str>, record: &mut Value) {
    let Some(members) = record.as_object_mut() else { return };
    if members.contains_key("scope") {
        members.entry("account_name").or_insert(Value::Null);
    }
    if let ("table_added" | "table_changed" | "table_recreated", Some(name)) = (kind, table_name) {
        members.insert("table_name".to_owned(), name.into());
    }
    match kind {
        "table" => {
            members.remove("probes");
            members.insert("problems".to_owned(), json!([]));
            if let Some(table) = members.get_mut("table").and_then(Value::as_object_mut) {
                upgrade_table(table);
            }
        }
        "table_changed" => changes_as_text(members),
        "table_recreated" => {
            rename(members, "id_before", "table_id_before");
            changes_as_text(members);
        }
        "table_removed" | "table_unselected" => {
            rename(members, "table", "table_name");
            rename(members, "arn", "table_arn");
            rename(members, "id", "table_id");
            rename(members, "at", "observed_at");
        }
        "scope_retired" => {
            rename(members, "tables", "table_count");
            rename(members, "at", "observed_at");
        }
        "scope_completed" => {
            rename(members, "changes", "change_counts");
            problems(members);
        }
        "run_completed" => {
            rename(members, "at", "ended_at");
            rename(members, "scopes", "scope_counts");
            rename(members, "changes", "change_counts");
        }
        "accounts_discovered" => {
            for account in elements(members, "accounts").filter(|account| account.is_string()) {
                *account = json!({ "id": account.take(), "name": null, "email": null, "state": null });
            }
        }
        "regions_discovered" => problems(members),
        _ => {}
    }
}

fn rename(members: &mut Map<String, Value>, from: &str, to: &str) {
    if let Some(value) = members.remove(from) {
        members.insert(to.to_owned(), value);
    }
}

fn elements<'a>(members: &'a mut Map<String, Value>, name: &str) -> impl Iterator<Item = &'a mut Value> + use<'a> {
    members.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten()
}

fn objects<'a>(
    members: &'a mut Map<String, Value>,
    name: &str,
) -> impl Iterator<Item = &'a mut Map<String, Value>> + use<'a> {
    elements(members, name).filter_map(Value::as_object_mut)
}

fn problems(members: &mut Map<String, Value>) {
    objects(members, "problems").for_each(|problem| rename(problem, "tables", "table_names"));
}

fn changes_as_text(members: &mut Map<String, Value>) {
    for change in objects(members, "changes") {
        for name in ["before", "after"] {
            if let Some(value) = change.get_mut(name).filter(|value| !value.is_null()) {
                *value = value.to_string().into();
            }
        }
    }
}

/// The objects inside a table, an index or a replica that had their own `extra`, with AWS's names.
const OBJECTS: [(&str, &str); 10] = [
    ("projection", "Projection"),
    ("provisioned_throughput", "ProvisionedThroughput"),
    ("on_demand_throughput", "OnDemandThroughput"),
    ("warm_throughput", "WarmThroughput"),
    ("stream", "StreamSpecification"),
    ("encryption", "SSEDescription"),
    ("restore", "RestoreSummary"),
    ("archival", "ArchivalSummary"),
    ("provisioned_throughput_override", "ProvisionedThroughputOverride"),
    ("on_demand_throughput_override", "OnDemandThroughputOverride"),
];

/// The lists of such objects, with AWS's names, and the member that names an element.
const LISTS: [(&str, &str, &str); 4] = [
    ("attributes", "AttributeDefinitions", "name"),
    ("key_schema", "KeySchema", "attribute"),
    ("search_schema", "SearchSchema", "attribute"),
    ("global_table_witnesses", "GlobalTableWitnesses", "region"),
];

fn upgrade_table(table: &mut Map<String, Value>) {
    for index in objects(table, "indexes") {
        let inside = index.get_mut("vector").and_then(Value::as_object_mut).map(unknown_inside).unwrap_or_default();
        upgrade_extra(index, inside);
    }
    for replica in objects(table, "replicas") {
        let mut inside = Map::new();
        for index in objects(replica, "indexes") {
            let name = index.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
            let mut unknown = unknown_inside(index);
            unknown.extend(own_extra(index));
            if !unknown.is_empty() {
                inside.insert(name, Value::Object(unknown));
            }
        }
        rename(replica, "indexes", "replica_indexes");
        let inside = if inside.is_empty() {
            Map::new()
        } else {
            Map::from_iter([("GlobalSecondaryIndexes".to_owned(), Value::Object(inside))])
        };
        upgrade_extra(replica, inside);
    }
    let extra = table.get("extra").cloned().unwrap_or_default();
    let mut defaulted = Vec::new();
    for (field, object, value) in [
        ("billing_mode", "BillingModeSummary", json!("PROVISIONED")),
        (
            "encryption",
            "SSEDescription",
            json!({ "status": "ENABLED", "type": "AWS_OWNED_KEY", "kms_master_key_arn": null, "inaccessible_at": null }),
        ),
        ("table_class", "TableClassSummary", json!("STANDARD")),
    ] {
        // A value that could not be read is in `extra`, and has no default.
        if table.get(field).is_none_or(Value::is_null) && extra.get(object).is_none() {
            table.insert(field.to_owned(), value);
            defaulted.push(field);
        }
    }
    table.insert("defaulted".to_owned(), defaulted.into());
    upgrade_extra(table, Map::new());
}

/// Converts `extra` to text, and adds the unknown members of the objects inside.
fn upgrade_extra(members: &mut Map<String, Value>, inside: Map<String, Value>) {
    let mut extra = own_extra(members);
    extra.extend(unknown_inside(members));
    extra.extend(inside);
    members.insert("extra".to_owned(), Value::Object(extra).to_string().into());
}

fn own_extra(members: &mut Map<String, Value>) -> Map<String, Value> {
    match members.remove("extra") {
        Some(Value::Object(extra)) => extra,
        _ => Map::new(),
    }
}

/// Takes the unknown members of the objects inside, under AWS's names.
fn unknown_inside(members: &mut Map<String, Value>) -> Map<String, Value> {
    let mut unknown = Map::new();
    for (object, name) in OBJECTS {
        let extra = members.get_mut(object).and_then(Value::as_object_mut).map(own_extra).unwrap_or_default();
        if !extra.is_empty() {
            unknown.insert(name.to_owned(), Value::Object(extra));
        }
    }
    for (list, name, element_name) in LISTS {
        let mut of_list = Map::new();
        for element in objects(members, list) {
            let extra = own_extra(element);
            if !extra.is_empty() {
                let element = element.get(element_name).and_then(Value::as_str).unwrap_or_default();
                of_list.insert(element.to_owned(), Value::Object(extra));
            }
        }
        if !of_list.is_empty() {
            unknown.insert(name.to_owned(), Value::Object(of_list));
        }
    }
    unknown
}
