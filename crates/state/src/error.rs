//! Why a state cannot be used.

use std::io;
use std::path::PathBuf;

use rusqlite::ErrorCode;

/// Why a state cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The file, or its lock file, cannot be opened.
    #[error("cannot open {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process has the state open for writing.
    #[error("{} is in use by another run", path.display())]
    Busy {
        /// The state.
        path: PathBuf,
    },
    /// It is the database of another program.
    #[error("{} is another program's database", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// It is the state of a demo, and a real run was about to use it.
    #[error("{} is the state of demo runs; use another file", path.display())]
    Demo {
        /// The state.
        path: PathBuf,
    },
    /// It is the state of real runs, and a demo was about to use it.
    #[error("{} is the state of real runs, which a demo must not change; use another file", path.display())]
    Real {
        /// The state.
        path: PathBuf,
    },
    /// A newer dynacrawl wrote it.
    #[error("{} is of version {found}, and this dynacrawl supports up to version {known}; use a newer one, or another file", path.display())]
    Newer {
        /// The state.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest version that this program supports.
        known: i64,
    },
    /// An older dynacrawl wrote it, and it is opened for reading only.
    #[error("{} is of version {found}, and this dynacrawl reads version {known}; the next crawl upgrades it", path.display())]
    Older {
        /// The state.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The version that this program reads.
        known: i64,
    },
    /// It lies on a network file system.
    #[error("{} lies on a network file system ({kind}), where SQLite's write-ahead log does not work; use a local disk or a block volume", path.display())]
    Network {
        /// The state.
        path: PathBuf,
        /// The kind of file system, such as `NFS`.
        kind: &'static str,
    },
    /// SQLite reports an error, such as a file that is not a database, a damaged one, or a full
    /// disk.
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

impl StateError {
    /// Whether a later attempt may succeed without a correction: the disk is full, the file system
    /// is read-only or not mounted yet, or another process uses the state.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Busy { .. } => true,
            Self::Open { source, .. } => dynacrawl_model::file_error_may_pass(source),
            Self::Database { source, .. } => source.sqlite_error_code().is_some_and(|code| {
                !matches!(
                    code,
                    ErrorCode::NotADatabase
                        | ErrorCode::DatabaseCorrupt
                        | ErrorCode::PermissionDenied
                        | ErrorCode::ConstraintViolation
                        | ErrorCode::Unknown
                )
            }),
            Self::Foreign { .. }
            | Self::Demo { .. }
            | Self::Real { .. }
            | Self::Newer { .. }
            | Self::Older { .. }
            | Self::Network { .. }
            | Self::Json(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};
    use std::path::PathBuf;

    use rusqlite::ffi;

    use super::StateError;

    #[test]
    fn temporary_and_permanent_errors_are_distinguished() {
        let path = PathBuf::from("state.db");
        for (kind, passes) in [
            (ErrorKind::StorageFull, true),
            (ErrorKind::ReadOnlyFilesystem, true),
            (ErrorKind::NotFound, true),
            (ErrorKind::PermissionDenied, false),
            (ErrorKind::IsADirectory, false),
        ] {
            let error = StateError::Open { path: path.clone(), source: Error::from(kind) };
            assert_eq!(error.may_pass(), passes, "{kind:?}");
        }
        for (code, passes) in [
            (ffi::SQLITE_FULL, true),
            (ffi::SQLITE_READONLY, true),
            (ffi::SQLITE_BUSY, true),
            (ffi::SQLITE_IOERR, true),
            (ffi::SQLITE_NOTADB, false),
            (ffi::SQLITE_CORRUPT, false),
        ] {
            let source = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
            assert_eq!(StateError::Database { path: path.clone(), source }.may_pass(), passes, "{code}");
        }
        assert!(!StateError::Demo { path: path.clone() }.may_pass());
        assert!(StateError::Busy { path }.may_pass());
    }
}
