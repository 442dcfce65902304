//! How a table is laid out over lines.

use std::sync::Arc;

use dynacrawl_model::{Body, IndexRecord, KeySchema, NamedScope, Record, RecordKinds, RunId, TableName, TableRecord};

/// How a table is laid out over lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// One line, with keys and indexes inside.
    #[default]
    Table,
    /// A `table` line without keys and indexes, followed by a line for each key and each index.
    Entities,
}

/// Which lines are written to an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lines {
    /// How a table is laid out.
    pub layout: Layout,
    /// The types of the lines that are written.
    pub records: RecordKinds,
}

impl Default for Lines {
    fn default() -> Self {
        Self { layout: Layout::default(), records: RecordKinds::ALL }
    }
}

impl Lines {
    /// Calls `write` for each line of `record`.
    pub(crate) fn of<E>(self, record: Record, mut write: impl FnMut(&Record) -> Result<(), E>) -> Result<(), E> {
        let mut write = |line: &Record| if self.records.contains(line.kind()) { write(line) } else { Ok(()) };
        match (self.layout, record) {
            (Layout::Entities, Record { run_id, scope: Some(scope), body: Body::Table(table) }) => {
                entities(run_id, &scope, *table).iter().try_for_each(write)
            }
            (_, record) => write(&record),
        }
    }
}

fn entities(run_id: RunId, scope: &Arc<NamedScope>, mut record: TableRecord) -> Vec<Record> {
    let line = |body: Body| Record::of_scope(run_id, scope.clone(), body);
    let table_key = record.table.key_schema.take().unwrap_or_default();
    let indexes = record.table.indexes.take().unwrap_or_default();
    let observed_at = record.observed_at;
    let table_name = record.table.name.clone().unwrap_or_else(|| TableName::from(""));
    let table_arn = record.table.arn.clone();
    let key = |index_kind, index_name, key_schema| {
        let (table_name, table_arn) = (table_name.clone(), table_arn.clone());
        line(KeySchema { observed_at, table_name, table_arn, index_kind, index_name, key_schema }.into())
    };
    let mut lines = Vec::with_capacity(2 + 2 * indexes.len());
    lines.push(line(record.into()));
    lines.push(key(None, None, table_key));
    for mut index in indexes {
        let index_key = index.key_schema.take().unwrap_or_default();
        lines.push(key(Some(index.kind), index.name.clone(), index_key));
        let (table_name, table_arn) = (table_name.clone(), table_arn.clone());
        lines.push(line(IndexRecord { observed_at, table_name, table_arn, index }.into()));
    }
    lines
}
