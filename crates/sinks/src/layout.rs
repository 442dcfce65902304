//! How a table is laid out over lines.

use dynacrawl_model::{IndexRecord, KeySchema, OwnerIndex, Record, TableName, TableRecord};

/// How a table is laid out over lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// One line, keys and indexes inside.
    #[default]
    Table,
    /// A `table` line without keys and indexes, and right after it a line for each key and each index.
    Entities,
}

impl Layout {
    /// Calls `write` for each line of `record`.
    pub(crate) fn lines<E>(self, record: Record, mut write: impl FnMut(&Record) -> Result<(), E>) -> Result<(), E> {
        match (self, record) {
            (Self::Entities, Record::Table(table)) => entities(*table).iter().try_for_each(write),
            (_, record) => write(&record),
        }
    }
}

fn entities(mut record: TableRecord) -> Vec<Record> {
    let table_key = record.table.key_schema.take().unwrap_or_default();
    let indexes = record.table.indexes.take().unwrap_or_default();
    let (schema, run_id, observed_at) = (record.schema, record.run_id, record.observed_at);
    let name = record.table.name.clone().unwrap_or_else(|| TableName::from(""));
    let table_arn = record.table.arn.clone();
    let scope = record.scope.clone();
    let key = |index, key_schema| {
        Record::KeySchema(KeySchema {
            schema,
            run_id,
            scope: scope.clone(),
            observed_at,
            table: name.clone(),
            table_arn: table_arn.clone(),
            index,
            key_schema,
        })
    };
    let mut lines = Vec::with_capacity(2 + 2 * indexes.len());
    lines.push(Record::Table(Box::new(record)));
    lines.push(key(None, table_key));
    for mut index in indexes {
        let index_key = index.key_schema.take().unwrap_or_default();
        lines.push(key(Some(OwnerIndex { kind: index.kind, name: index.name.clone() }), index_key));
        lines.push(Record::Index(Box::new(IndexRecord {
            schema,
            run_id,
            scope: scope.clone(),
            observed_at,
            table: name.clone(),
            table_arn: table_arn.clone(),
            index,
        })));
    }
    lines
}
