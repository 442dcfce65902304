//! The forms of an export.

use std::collections::HashSet;
use std::io::{self, Write};
use std::path::Path;

use dynacrawl_catalogs::atlan::{Atlan, EntityType};
use dynacrawl_catalogs::datahub::{DataHub, Proposal};
use dynacrawl_catalogs::openmetadata::OpenMetadata;
#[cfg(feature = "parquet")]
use dynacrawl_catalogs::parquet::{ParquetError, ParquetFile};
use dynacrawl_catalogs::rows::{self, Column, IndexRow, KeyAttributeRow, Row, ScopeEnd, ScopeRow, TableRow};
use dynacrawl_catalogs::{Described, Owners, Shared, TwoOwners};
use dynacrawl_model::NamedScope;
use serde_json::Value;

use super::super::failure::Failure;
use super::destination::{Destination, Out};
use crate::cli::ExportForm;
use crate::config::ExportSettings;

/// Writes tables in one form.
pub(super) trait Form {
    /// Whether each scope needs a name of its own, which the user gives.
    fn names_scopes(&self) -> bool {
        false
    }

    /// Whether the form has a place for the tables of a scope.
    fn accepts(&self, _: &NamedScope) -> bool {
        true
    }

    fn table(&mut self, table: &Described<'_>) -> io::Result<()>;

    /// The end of a scope, after all its tables.
    fn scope(&mut self, _: &NamedScope, _: &ScopeEnd<'_>) -> io::Result<()> {
        Ok(())
    }

    /// Writes what is left.
    fn end(self: Box<Self>) -> io::Result<()>;
}

/// Opens the destination, and the form that writes to it.
pub(super) fn open(
    form: ExportForm,
    settings: &ExportSettings,
    path: &Path,
) -> Result<(Destination, Box<dyn Form>), Failure> {
    let failed = |error: io::Error| Failure::new(crate::exit::Exit::SinkFailed, error);
    match form {
        ExportForm::DataHub => {
            let mut destination = Destination::file(path)?;
            let out = destination.writer("").map_err(failed)?;
            let form = DataHubFile {
                catalog: settings.datahub.clone(),
                out,
                known: HashSet::new(),
                owners: Owners::default(),
                is_first: true,
            };
            Ok((destination, Box::new(form)))
        }
        ExportForm::OpenMetadata => {
            let mut destination = Destination::file(path)?;
            let out = destination.writer("").map_err(failed)?;
            let form = OpenMetadataFile {
                catalog: settings.openmetadata.clone(),
                out,
                known: HashSet::new(),
                owners: Owners::default(),
            };
            Ok((destination, Box::new(form)))
        }
        ExportForm::Atlan => {
            let file = |of: EntityType| format!("transformed/{}/entities.json", of.directory());
            let mut destination = Destination::directory(path, &EntityType::ALL.map(file))?;
            let files: io::Result<Vec<_>> =
                EntityType::ALL.into_iter().map(|of| Ok((of, destination.writer(&file(of))?))).collect();
            let form = AtlanFiles { catalog: settings.atlan.clone(), files: files.map_err(failed)? };
            Ok((destination, Box::new(form)))
        }
        ExportForm::Csv => RowFiles::open(path, "csv", |out, columns| {
            let mut out = csv::WriterBuilder::new().has_headers(false).from_writer(out);
            // Also if there are no rows.
            out.write_record(columns.iter().map(|column| column.name))?;
            Ok(RowFile::Csv(Box::new(out)))
        }),
        #[cfg(feature = "parquet")]
        ExportForm::Parquet => RowFiles::open(path, "parquet", |out, columns| {
            Ok(RowFile::Parquet(Box::new(ParquetFile::new(out, columns).map_err(parquet_error)?)))
        }),
        #[cfg(not(feature = "parquet"))]
        ExportForm::Parquet => {
            let problem = "this dynacrawl was built without Parquet: build it with --features parquet, or use --to csv";
            Err(Failure::new(crate::exit::Exit::Usage, anyhow::anyhow!("--to parquet: {problem}")))
        }
    }
}

fn invalid(error: TwoOwners) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}

/// One JSON array, because DataHub's file source reads no JSON lines.
struct DataHubFile {
    catalog: DataHub,
    out: Out,
    known: HashSet<String>,
    owners: Owners,
    is_first: bool,
}

impl DataHubFile {
    fn write(&mut self, proposals: &[Proposal]) -> io::Result<()> {
        for proposal in proposals {
            let before: &[u8] = if self.is_first { b"[\n" } else { b",\n" };
            self.is_first = false;
            self.out.write_all(before)?;
            serde_json::to_writer(&mut self.out, &proposal.to_json())?;
        }
        Ok(())
    }
}

impl Form for DataHubFile {
    fn table(&mut self, table: &Described<'_>) -> io::Result<()> {
        let instance = self.catalog.platform_instance.fill(table.scope);
        self.owners.claim("--platform-instance", &instance, table.account).map_err(invalid)?;
        for Shared { id, entity } in self.catalog.containers(table.scope) {
            if self.known.insert(id) {
                self.write(&entity)?;
            }
        }
        self.write(&self.catalog.dataset(table))?;
        self.write(&self.catalog.statistics(table))
    }

    fn end(mut self: Box<Self>) -> io::Result<()> {
        self.out.write_all(if self.is_first { b"[]\n" } else { b"\n]\n" })?;
        self.out.flush()
    }
}

/// Requests as JSON lines. What a request refers to comes before it.
struct OpenMetadataFile {
    catalog: OpenMetadata,
    out: Out,
    known: HashSet<String>,
    owners: Owners,
}

impl Form for OpenMetadataFile {
    fn table(&mut self, table: &Described<'_>) -> io::Result<()> {
        let schema = self.catalog.schema(table.scope);
        self.owners.claim("--service", &schema, &table.scope.to_string()).map_err(invalid)?;
        for Shared { id, entity } in self.catalog.parents(table.scope) {
            if self.known.insert(id) {
                line(&mut self.out, &entity.to_json())?;
            }
        }
        line(&mut self.out, &self.catalog.table(table).to_json())
    }

    fn end(mut self: Box<Self>) -> io::Result<()> {
        self.out.flush()
    }
}

struct AtlanFiles {
    catalog: Atlan,
    files: Vec<(EntityType, Out)>,
}

impl Form for AtlanFiles {
    fn names_scopes(&self) -> bool {
        true
    }

    fn accepts(&self, scope: &NamedScope) -> bool {
        self.catalog.connection(scope).is_some()
    }

    fn table(&mut self, table: &Described<'_>) -> io::Result<()> {
        let Some(connection) = self.catalog.connection(table.scope) else { return Ok(()) };
        for entity in self.catalog.entities(connection, table) {
            if let Some((_, out)) = self.files.iter_mut().find(|(of, _)| *of == entity.entity_type) {
                line(out, &entity.json)?;
            }
        }
        Ok(())
    }

    fn end(mut self: Box<Self>) -> io::Result<()> {
        self.files.iter_mut().try_for_each(|(_, out)| out.flush())
    }
}

/// A file for each data set.
struct RowFiles {
    tables: RowFile,
    indexes: RowFile,
    key_attributes: RowFile,
    scopes: RowFile,
}

/// The rows of a data set.
enum RowFile {
    Csv(Box<csv::Writer<Out>>),
    #[cfg(feature = "parquet")]
    Parquet(Box<ParquetFile<Out>>),
}

impl RowFiles {
    fn open(
        path: &Path,
        extension: &str,
        file: impl Fn(Out, &[Column]) -> io::Result<RowFile>,
    ) -> Result<(Destination, Box<dyn Form>), Failure> {
        let name = |data_set: &str| format!("{data_set}.{extension}");
        let names = ["tables", "indexes", "key_attributes", "scopes"].map(name);
        let mut destination = Destination::directory(path, &names)?;
        let mut open = |name: &str, columns: &[Column]| -> Result<_, Failure> {
            let opened = destination.writer(name).and_then(|out| file(out, columns));
            opened.map_err(|error| Failure::new(crate::exit::Exit::SinkFailed, error))
        };
        let [tables, indexes, key_attributes, scopes] = &names;
        let form = Self {
            tables: open(tables, TableRow::COLUMNS)?,
            indexes: open(indexes, IndexRow::COLUMNS)?,
            key_attributes: open(key_attributes, KeyAttributeRow::COLUMNS)?,
            scopes: open(scopes, ScopeRow::COLUMNS)?,
        };
        Ok((destination, Box::new(form)))
    }
}

impl RowFile {
    fn add(&mut self, row: &impl Row) -> io::Result<()> {
        match self {
            Self::Csv(out) => Ok(out.serialize(row)?),
            #[cfg(feature = "parquet")]
            Self::Parquet(out) => out.add(row).map_err(parquet_error),
        }
    }

    fn end(self) -> io::Result<()> {
        match self {
            Self::Csv(mut out) => out.flush(),
            #[cfg(feature = "parquet")]
            Self::Parquet(out) => out.finish().map_err(parquet_error)?.flush(),
        }
    }
}

#[cfg(feature = "parquet")]
fn parquet_error(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(cause) => match cause.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(other) => io::Error::other(other),
        },
        other => io::Error::other(other),
    }
}

impl Form for RowFiles {
    fn table(&mut self, table: &Described<'_>) -> io::Result<()> {
        self.tables.add(&rows::table(table))?;
        rows::indexes(table).iter().try_for_each(|row| self.indexes.add(row))?;
        rows::key_attributes(table).iter().try_for_each(|row| self.key_attributes.add(row))
    }

    fn scope(&mut self, scope: &NamedScope, end: &ScopeEnd<'_>) -> io::Result<()> {
        self.scopes.add(&rows::scope(scope, end))
    }

    fn end(self: Box<Self>) -> io::Result<()> {
        let Self { tables, indexes, key_attributes, scopes } = *self;
        [tables, indexes, key_attributes, scopes].into_iter().try_for_each(RowFile::end)
    }
}

fn line(out: &mut Out, value: &Value) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}
