//! Why an output failed.

use std::io;
use std::path::PathBuf;

/// Why an output failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// The reader of the output has closed it, as `head` does.
    #[error("the output was closed by its reader")]
    Closed,
    /// The output could not be opened.
    #[error("cannot open the output {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another run is writing the file.
    #[error("the output {} is being written by another run", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// No process reads the FIFO yet.
    #[error("nobody reads the FIFO {}", path.display())]
    NoReader {
        /// The FIFO.
        path: PathBuf,
    },
    /// Something other than a regular file is in the place of the partial file.
    #[error("{} is a link, or not a regular file; remove it", path.display())]
    NotAFile {
        /// The path of the partial file.
        path: PathBuf,
    },
    /// The file that was written before, and is to be continued, is missing, shorter, or another
    /// run's.
    #[error("{} no longer has the earlier output of the run", path.display())]
    NotThere {
        /// The file.
        path: PathBuf,
    },
    /// The journal of the output, with which a later process can resume, cannot be written.
    #[error("cannot store how far the output is")]
    Journal(#[source] crate::JournalError),
    /// A sink did not take all events of the run.
    #[error("not everything was delivered")]
    Undelivered(#[source] crate::JournalError),
    /// Writing failed.
    #[error("cannot write the output {output}")]
    Write {
        /// The file, or `-`.
        output: String,
        /// Why.
        source: io::Error,
    },
    /// A record could not be written as JSON.
    #[error("a record cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}

impl SinkError {
    /// Whether a later attempt may succeed without a correction: the disk is full, a directory is
    /// not mounted yet, the file is in use, or no process reads the FIFO yet.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Open { source, .. } => dynacrawl_model::file_error_may_pass(source),
            Self::NotAFile { .. } | Self::Json(_) => false,
            _ => true,
        }
    }
}
