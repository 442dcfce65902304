//! Rows of data sets as Parquet. Every column is optional, so that a later version can leave one empty.

use std::io::Write;
use std::sync::Arc;

use ::parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as PhysicalType, ZstdLevel};
use ::parquet::column::writer::ColumnWriter;
use ::parquet::data_type::ByteArray;
pub use ::parquet::errors::ParquetError;
use ::parquet::errors::Result;
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::types::{Type, TypePtr};
use dynacrawl_model::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::rows::{Column, ColumnKind};

/// How many rows are in memory until they are written as a row group.
const ROWS_OF_A_GROUP: usize = 5_000;

/// A Parquet file that is being written.
#[derive(Debug)]
pub struct ParquetFile<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    columns: Vec<(Column, Values)>,
    rows: usize,
}

/// The values of a column that have not been written yet, and for each row whether it has one.
#[derive(Debug)]
struct Values {
    of: Typed,
    present: Vec<i16>,
}

#[derive(Debug)]
enum Typed {
    Text(Vec<ByteArray>),
    Integer(Vec<i64>),
    Boolean(Vec<bool>),
}

impl<W: Write + Send> ParquetFile<W> {
    /// A file with these columns.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn new(out: W, columns: &[Column]) -> Result<Self> {
        let properties = WriterProperties::builder()
            .set_created_by(format!("dynacrawl {}", env!("CARGO_PKG_VERSION")))
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .build();
        let writer = SerializedFileWriter::new(out, schema(columns)?, Arc::new(properties))?;
        let columns = columns.iter().map(|column| (*column, Values::new(column.kind))).collect();
        Ok(Self { writer, columns, rows: 0 })
    }

    /// Adds a row, whose members are the columns.
    ///
    /// # Errors
    /// If it cannot be written, or a member has a type that is not its column's.
    pub fn add(&mut self, row: &impl Serialize) -> Result<()> {
        let row = serde_json::to_value(row).map_err(|error| ParquetError::External(Box::new(error)))?;
        for (column, values) in &mut self.columns {
            values.push(*column, &row[column.name])?;
        }
        self.rows += 1;
        if self.rows == ROWS_OF_A_GROUP { self.write_group() } else { Ok(()) }
    }

    /// About how many bytes the file has so far, without the rows in memory.
    pub fn bytes_written(&self) -> usize {
        self.writer.bytes_written()
    }

    /// Writes the rest.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish(mut self) -> Result<W> {
        self.write_group()?;
        self.writer.into_inner()
    }

    fn write_group(&mut self) -> Result<()> {
        if std::mem::take(&mut self.rows) == 0 {
            return Ok(());
        }
        let mut group = self.writer.next_row_group()?;
        for (column, values) in &mut self.columns {
            let Values { of, present } = std::mem::replace(values, Values::new(column.kind));
            let Some(mut writer) = group.next_column()? else { break };
            match (writer.untyped(), of) {
                (ColumnWriter::ByteArrayColumnWriter(writer), Typed::Text(values)) => {
                    writer.write_batch(&values, Some(&present), None)?;
                }
                (ColumnWriter::Int64ColumnWriter(writer), Typed::Integer(values)) => {
                    writer.write_batch(&values, Some(&present), None)?;
                }
                (ColumnWriter::BoolColumnWriter(writer), Typed::Boolean(values)) => {
                    writer.write_batch(&values, Some(&present), None)?;
                }
                _ => return Err(ParquetError::General(format!("the column {} has another type", column.name))),
            }
            writer.close()?;
        }
        group.close()?;
        Ok(())
    }
}

impl Values {
    fn new(kind: ColumnKind) -> Self {
        let of = match kind {
            ColumnKind::Text => Typed::Text(Vec::new()),
            ColumnKind::Integer | ColumnKind::Time => Typed::Integer(Vec::new()),
            ColumnKind::Boolean => Typed::Boolean(Vec::new()),
        };
        Self { of, present: Vec::new() }
    }

    fn push(&mut self, column: Column, value: &Value) -> Result<()> {
        let wrong = || ParquetError::General(format!("the column {} cannot have the value {value}", column.name));
        self.present.push(i16::from(!value.is_null()));
        if value.is_null() {
            return Ok(());
        }
        match &mut self.of {
            Typed::Text(values) => values.push(value.as_str().ok_or_else(wrong)?.into()),
            Typed::Boolean(values) => values.push(value.as_bool().ok_or_else(wrong)?),
            Typed::Integer(values) if column.kind == ColumnKind::Time => {
                let time: Timestamp = serde_json::from_value(value.clone()).map_err(|_| wrong())?;
                values.push(time.as_millis());
            }
            Typed::Integer(values) => values.push(value.as_i64().ok_or_else(wrong)?),
        }
        Ok(())
    }
}

fn schema(columns: &[Column]) -> Result<TypePtr> {
    let field = |column: &Column| {
        let (physical, logical) = match column.kind {
            ColumnKind::Text => (PhysicalType::BYTE_ARRAY, Some(LogicalType::String)),
            ColumnKind::Integer => (PhysicalType::INT64, None),
            ColumnKind::Boolean => (PhysicalType::BOOLEAN, None),
            ColumnKind::Time => (PhysicalType::INT64, Some(LogicalType::timestamp(true, TimeUnit::MILLIS))),
        };
        let field = Type::primitive_type_builder(column.name, physical).with_repetition(Repetition::OPTIONAL);
        field.with_logical_type(logical).build().map(Arc::new)
    };
    let fields = columns.iter().map(field).collect::<Result<Vec<_>>>()?;
    Type::group_type_builder("row").with_fields(fields).build().map(Arc::new)
}

#[cfg(test)]
mod tests {
    use ::parquet::file::reader::{FileReader, SerializedFileReader};
    use serde_json::json;

    use super::{ParquetFile, ROWS_OF_A_GROUP};
    use crate::rows::{Column, ColumnKind};

    const COLUMNS: [Column; 4] = [
        Column { name: "name", kind: ColumnKind::Text },
        Column { name: "count", kind: ColumnKind::Integer },
        Column { name: "is_large", kind: ColumnKind::Boolean },
        Column { name: "at", kind: ColumnKind::Time },
    ];

    #[test]
    fn rows_are_read_as_they_were_added() {
        let mut file = ParquetFile::new(Vec::new(), &COLUMNS).expect("a file");
        let rows = ROWS_OF_A_GROUP + 1;
        for number in 0..rows {
            let is_first = number == 0;
            file.add(&json!({
                "name": if is_first { Some("é") } else { None }, "count": number, "is_large": number > 1,
                "at": "1970-01-01T00:00:00.001Z",
            }))
            .expect("added");
        }
        let file = tempfile(&file.finish().expect("written"));
        let reader = SerializedFileReader::new(file).expect("Parquet");
        assert_eq!(reader.metadata().num_row_groups(), 2);
        let read: Vec<_> = reader.get_row_iter(None).expect("rows").map(|row| row.expect("a row")).collect();
        assert_eq!(read.len(), rows);
        assert_eq!(read[0].to_string(), "{name: \"é\", count: 0, is_large: false, at: 1970-01-01 00:00:00.001 +00:00}");
        assert!(read[rows - 1].to_string().starts_with(&format!("{{name: null, count: {}, is_large: true", rows - 1)));
    }

    #[test]
    fn a_value_of_another_type_is_an_error_that_names_the_column() {
        let mut file = ParquetFile::new(Vec::new(), &COLUMNS).expect("a file");
        let failed = file.add(&json!({ "count": "many" })).expect_err("text");
        assert!(failed.to_string().contains("count"), "{failed}");
    }

    fn tempfile(bytes: &[u8]) -> std::fs::File {
        use std::io::{Seek, Write};
        let mut file = ::tempfile::tempfile().expect("a file");
        file.write_all(bytes).and_then(|()| file.rewind()).expect("written");
        file
    }
}
