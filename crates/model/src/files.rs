//! The meaning of file errors.

use std::io::{Error, ErrorKind};

/// Whether a later attempt may succeed without a correction: the disk is full, the file system is
/// read-only, or a directory is not mounted yet.
pub fn file_error_may_pass(error: &Error) -> bool {
    !matches!(
        error.kind(),
        ErrorKind::PermissionDenied
            | ErrorKind::IsADirectory
            | ErrorKind::NotADirectory
            | ErrorKind::InvalidFilename
            | ErrorKind::InvalidInput
    )
}
