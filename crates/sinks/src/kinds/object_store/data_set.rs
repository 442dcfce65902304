//! The rows of a data set, in files of a limited size.

use std::io::{self, Write};
use std::mem;

#[cfg(feature = "parquet")]
use dynacrawl_catalogs::parquet::ParquetFile;
use dynacrawl_catalogs::rows::{Column, Row};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;

use super::manifest::{ManifestDataSet, ManifestFile};
use crate::sink::DeliveryError;

/// The size in bytes from which on a file is full.
const FULL: usize = 16 * 1024 * 1024;

/// The form of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectFormat {
    /// JSON lines.
    JsonLines(JsonCompression),
    /// Parquet with zstd.
    #[cfg(feature = "parquet")]
    Parquet,
}

/// How JSON lines are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonCompression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// zstd.
    Zstd,
}

impl ObjectFormat {
    /// The extension of the files, by which readers recognize the form.
    pub(super) fn extension(self) -> &'static str {
        match self {
            Self::JsonLines(JsonCompression::None) => "jsonl",
            Self::JsonLines(JsonCompression::Gzip) => "jsonl.gz",
            Self::JsonLines(JsonCompression::Zstd) => "jsonl.zst",
            #[cfg(feature = "parquet")]
            Self::Parquet => "parquet",
        }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::JsonLines(JsonCompression::None) => "application/x-ndjson",
            Self::JsonLines(JsonCompression::Gzip) => "application/gzip",
            Self::JsonLines(JsonCompression::Zstd) => "application/zstd",
            #[cfg(feature = "parquet")]
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }

    fn encoder(self, columns: &[Column]) -> io::Result<Encoder> {
        let _ = columns;
        Ok(match self {
            Self::JsonLines(JsonCompression::None) => Encoder::Plain(Vec::new()),
            Self::JsonLines(JsonCompression::Gzip) => {
                Encoder::Gzip(Box::new(GzEncoder::new(Vec::new(), Compression::default())))
            }
            Self::JsonLines(JsonCompression::Zstd) => Encoder::Zstd(zstd::Encoder::new(Vec::new(), 0)?),
            #[cfg(feature = "parquet")]
            Self::Parquet => {
                Encoder::Parquet(Box::new(ParquetFile::new(Vec::new(), columns).map_err(io::Error::other)?))
            }
        })
    }
}

/// A file in memory that rows are added to.
enum Encoder {
    Plain(Vec<u8>),
    Gzip(Box<GzEncoder<Vec<u8>>>),
    Zstd(zstd::Encoder<'static, Vec<u8>>),
    #[cfg(feature = "parquet")]
    Parquet(Box<ParquetFile<Vec<u8>>>),
}

impl Encoder {
    fn add(&mut self, row: &impl Serialize, line: &mut Vec<u8>) -> io::Result<()> {
        let out: &mut dyn Write = match self {
            Self::Plain(out) => out,
            Self::Gzip(out) => out,
            Self::Zstd(out) => out,
            #[cfg(feature = "parquet")]
            Self::Parquet(file) => return file.add(row).map_err(io::Error::other),
        };
        line.clear();
        serde_json::to_writer(&mut *line, row)?;
        line.push(b'\n');
        out.write_all(line)
    }

    /// About how many bytes it has.
    fn len(&self) -> usize {
        match self {
            Self::Plain(out) => out.len(),
            Self::Gzip(out) => out.get_ref().len(),
            Self::Zstd(out) => out.get_ref().len(),
            #[cfg(feature = "parquet")]
            Self::Parquet(file) => file.bytes_written(),
        }
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Plain(out) => Ok(out),
            Self::Gzip(out) => out.finish(),
            Self::Zstd(out) => out.finish(),
            #[cfg(feature = "parquet")]
            Self::Parquet(file) => file.finish().map_err(io::Error::other),
        }
    }
}

/// A file to store.
pub(super) struct Part {
    /// Its place below the prefix, and its size.
    pub(super) file: ManifestFile,
    pub(super) bytes: Vec<u8>,
}

/// A data set whose rows are being written.
pub(super) struct DataSet {
    name: &'static str,
    /// Where its files are, below the prefix.
    directory: String,
    /// Makes the names of the files different from those of another attempt.
    attempt: String,
    format: ObjectFormat,
    columns: &'static [Column],
    current: Encoder,
    /// The line of a row: the encoder gets it at once, because each call costs a compressor much.
    line: Vec<u8>,
    rows: u64,
    files: Vec<ManifestFile>,
}

impl DataSet {
    pub(super) fn new<R: Row>(
        name: &'static str,
        directory: String,
        attempt: String,
        format: ObjectFormat,
    ) -> Result<Self, DeliveryError> {
        let current = format.encoder(R::COLUMNS).map_err(unwritable)?;
        Ok(Self {
            name,
            directory,
            attempt,
            format,
            columns: R::COLUMNS,
            current,
            line: Vec::new(),
            rows: 0,
            files: Vec::new(),
        })
    }

    /// Adds a row. Returns the file if it is full now.
    pub(super) fn add(&mut self, row: &impl Row) -> Result<Option<Part>, DeliveryError> {
        self.current.add(row, &mut self.line).map_err(unwritable)?;
        self.rows += 1;
        if self.current.len() < FULL { Ok(None) } else { self.next().map(Some) }
    }

    /// The last file. It has no rows if the data set has none: a reader finds at least one file.
    pub(super) fn last(&mut self) -> Result<Option<Part>, DeliveryError> {
        if self.rows == 0 && !self.files.is_empty() { Ok(None) } else { self.next().map(Some) }
    }

    fn next(&mut self) -> Result<Part, DeliveryError> {
        let next = self.format.encoder(self.columns).map_err(unwritable)?;
        let bytes = mem::replace(&mut self.current, next).finish().map_err(unwritable)?;
        let file = ManifestFile {
            path: format!(
                "{}/part-{:05}-{}.{}",
                self.directory,
                self.files.len(),
                self.attempt,
                self.format.extension()
            ),
            row_count: mem::take(&mut self.rows),
            size_bytes: bytes.len() as u64,
        };
        self.files.push(file.clone());
        Ok(Part { file, bytes })
    }

    pub(super) fn into_manifest(self) -> ManifestDataSet {
        let row_count = self.files.iter().map(|file| file.row_count).sum();
        ManifestDataSet { name: self.name, row_count, files: self.files }
    }

    pub(super) fn files(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|file| &*file.path)
    }

    pub(super) fn directory(&self) -> &str {
        &self.directory
    }
}

fn unwritable(error: impl std::fmt::Display) -> DeliveryError {
    DeliveryError::new(format!("cannot encode a row: {error}"))
}
