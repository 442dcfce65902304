//! The kinds of sinks. Each is a file or folder here.

mod file;

use std::path::PathBuf;

pub use file::FileSettings;
use file::FileSink;

use crate::sink::Sink;

/// The configuration of a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkSettings {
    /// Its name.
    pub name: String,
    /// Where events go.
    pub kind: SinkKind,
    /// The most events that are delivered at once.
    pub batch: usize,
    /// The file for events that the destination permanently refuses.
    pub dead_letters: Option<PathBuf>,
}

/// Where events go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkKind {
    /// A file.
    File(FileSettings),
}

impl SinkKind {
    /// The sink. It has not opened or called anything yet.
    pub fn sink(&self) -> Box<dyn Sink> {
        match self {
            Self::File(settings) => Box::new(FileSink::new(settings.clone())),
        }
    }
}
