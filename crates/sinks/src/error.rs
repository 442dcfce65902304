//! Why an output failed.

use std::io;
use std::path::PathBuf;

/// Why an output failed for good.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// The reader of the output has gone away, as `head` does.
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
    /// Nobody reads the FIFO yet.
    #[error("nobody reads the FIFO {}", path.display())]
    NoReader {
        /// The FIFO.
        path: PathBuf,
    },
    /// Something else is in the place of the file that is written until it is whole.
    #[error("{} is a link, or no regular file; remove it", path.display())]
    NotAFile {
        /// What should be the file.
        path: PathBuf,
    },
    /// What was written before, and is to be continued, is not there any more.
    #[error("what was written to {} before is not there any more", path.display())]
    NotThere {
        /// The file.
        path: PathBuf,
    },
    /// What follows the output, so that a later process can go on after it, cannot be written.
    #[error("cannot remember how far the output is")]
    Journal(#[source] crate::JournalError),
    /// A sink did not take what the run had for it.
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
    /// A record could not be turned into JSON.
    #[error("a record cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}

impl SinkError {
    /// Whether the same may work later without anybody correcting anything: the disk is full, a directory is not mounted yet, the
    /// file is in use, nobody reads the FIFO yet.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Open { source, .. } => dynacrawl_model::file_error_may_pass(source),
            Self::NotAFile { .. } | Self::Json(_) => false,
            _ => true,
        }
    }
}
