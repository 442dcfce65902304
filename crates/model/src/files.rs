//! What errors of files mean.

use std::io::{Error, ErrorKind};

/// Whether what failed with a file may work later without anybody correcting anything: the disk is full, the file system is
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
