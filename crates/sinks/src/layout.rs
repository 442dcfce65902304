//! How a table is laid out over lines.

use std::sync::Arc;

use dynacrawl_model::{Body, IndexRecord, KeySchema, OwnerIndex, Record, RunId, Scope, TableName, TableRecord};

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
            (Self::Entities, Record { run_id, scope: Some(scope), body: Body::Table(table) }) => {
                entities(run_id, &scope, *table).iter().try_for_each(write)
            }
            (_, record) => write(&record),
        }
    }
}

fn entities(run_id: RunId, scope: &Arc<Scope>, mut record: TableRecord) -> Vec<Record> {
    let line = |body: Body| Record::of_scope(run_id, scope.clone(), body);
    let table_key = record.table.key_schema.take().unwrap_or_default();
    let indexes = record.table.indexes.take().unwrap_or_default();
    let observed_at = record.observed_at;
    let table = record.table.name.clone().unwrap_or_else(|| TableName::from(""));
    let table_arn = record.table.arn.clone();
    let key = |index, key_schema| {
        let (table, table_arn) = (table.clone(), table_arn.clone());
        line(KeySchema { observed_at, table, table_arn, index, key_schema }.into())
    };
    let mut lines = Vec::with_capacity(2 + 2 * indexes.len());
    lines.push(line(record.into()));
    lines.push(key(None, table_key));
    for mut index in indexes {
        let index_key = index.key_schema.take().unwrap_or_default();
        lines.push(key(Some(OwnerIndex { kind: index.kind, name: index.name.clone() }), index_key));
        let (table, table_arn) = (table.clone(), table_arn.clone());
        lines.push(line(IndexRecord { observed_at, table, table_arn, index }.into()));
    }
    lines
}
