//! Why a state cannot be used.

use std::io;
use std::path::PathBuf;

/// Why a state cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The file, or the one beside it that locks it, cannot be opened.
    #[error("cannot open {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process is writing it.
    #[error("{} is in use by another run", path.display())]
    Busy {
        /// The state.
        path: PathBuf,
    },
    /// It is a database, and not one of dynacrawl's.
    #[error("{} is another program's database", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// It was written by a newer dynacrawl.
    #[error("{} is of version {found}, and this dynacrawl knows up to version {known}; use a newer one, or another file", path.display())]
    Newer {
        /// The state.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// What this program knows.
        known: i64,
    },
    /// It was written by an older dynacrawl, and is only to be read.
    #[error("{} is of version {found}, and this dynacrawl reads version {known}; the next crawl with it brings it up", path.display())]
    Older {
        /// The state.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// What this program reads.
        known: i64,
    },
    /// It lies on a network file system.
    #[error("{} lies on a network file system ({kind}), where SQLite's write-ahead log does not work; use a local disk or a block volume", path.display())]
    Network {
        /// The state.
        path: PathBuf,
        /// Which one.
        kind: &'static str,
    },
    /// SQLite refuses: no database, damaged, or the disk is full.
    #[error("cannot use {}", path.display())]
    Database {
        /// The state.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// A value cannot be written as JSON.
    #[error("a value cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}
