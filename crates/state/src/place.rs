//! Where a state may be, and that one process writes it.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use crate::StateError;

/// The file itself, where a link leads to it: its lock and SQLite's own files stand beside it.
pub(crate) fn real(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| {
        let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        match (std::fs::canonicalize(directory), path.file_name()) {
            (Ok(directory), Some(name)) => directory.join(name),
            _ => path.to_owned(),
        }
    })
}

/// Refuses a network file system.
pub(crate) fn check(path: &Path) -> Result<(), StateError> {
    match network(path) {
        None => Ok(()),
        Some(kind) => Err(StateError::Network { path: path.to_owned(), kind }),
    }
}

#[cfg(target_os = "linux")]
fn network(path: &Path) -> Option<&'static str> {
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // What cannot be told is left to SQLite.
    let kind = rustix::fs::statfs(directory).ok()?.f_type;
    named(kind)
}

/// By the numbers of Linux's `statfs(2)`, which are 32 bits wide whatever the type that holds them.
#[cfg(target_os = "linux")]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the numbers are 32 bits wide")]
fn named(kind: rustix::fs::FsWord) -> Option<&'static str> {
    match kind as u32 {
        0x6969 => Some("NFS"),
        0x517b | 0xff53_4d42 | 0xfe53_4d42 => Some("SMB"),
        0x5346_414f => Some("AFS"),
        _ => None,
    }
}

#[cfg(not(target_os = "linux"))]
fn network(_: &Path) -> Option<&'static str> {
    None
}

/// Locks a file beside the state: SQLite's own locks are for moments, this one is for a run.
pub(crate) fn lock(path: &Path) -> Result<File, StateError> {
    let mut name = OsString::from(path);
    name.push(".lock");
    let beside = PathBuf::from(name);
    let failed = |source| StateError::Open { path: beside.clone(), source };
    let file = File::options().create(true).write(true).truncate(false).open(&beside).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StateError::Busy { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::path::Path;

    use super::{named, network};

    #[test]
    fn network_file_systems_are_told_by_their_numbers() {
        assert_eq!(named(0x6969), Some("NFS"));
        assert_eq!(named(0xff53_4d42), Some("SMB"));
        assert_eq!(named(0xef53), None, "ext4");
        assert_eq!(network(Path::new("/tmp/state.db")), None);
    }
}
