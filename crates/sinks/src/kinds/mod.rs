//! Every kind of sink: each is a file or folder here.

mod file;

use std::path::PathBuf;

pub use file::FileSettings;
use file::FileSink;

use crate::sink::Sink;

/// A sink as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkSettings {
    /// Its name.
    pub name: String,
    /// Where events go.
    pub kind: SinkKind,
    /// How many events are delivered at once, at most.
    pub batch: usize,
    /// The file for events that the destination refuses for good.
    pub dead_letters: Option<PathBuf>,
}

/// Where events go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkKind {
    /// A file.
    File(FileSettings),
}

impl SinkKind {
    /// The sink. Nothing is opened or called yet.
    pub fn sink(&self) -> Box<dyn Sink> {
        match self {
            Self::File(settings) => Box::new(FileSink::new(settings.clone())),
        }
    }
}
