//! Where a state may be, and the locks that keep other writers out.

use std::ffi::OsString;
use std::fs::{File, Metadata, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::{StateError, marks};

/// The file itself if `path` is a link to it: its lock and SQLite's own files are beside the file.
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
    // If the file system cannot be determined, SQLite has to cope with it.
    let kind = rustix::fs::statfs(directory).ok()?.f_type;
    named(kind)
}

/// The name for a magic number of Linux's `statfs(2)`. These are 32 bits wide, whatever type holds
/// them.
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

/// What a state is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Crawls of AWS, or of an endpoint that replaces it.
    Real,
    /// `--demo`.
    Demo,
}

/// What a state of this version has been used for; `None` if it has not been used.
pub(crate) fn purpose(connection: &Connection, version: i64) -> rusqlite::Result<Option<Purpose>> {
    let any = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, bool>(0));
    if version >= 3 && marks::get(connection, marks::DEMO)?.is_some() {
        return Ok(Some(Purpose::Demo));
    }
    // Versions without marks do not distinguish the runs of a demo from others.
    let runs = version >= 1 && any("SELECT EXISTS (SELECT 1 FROM runs)")?;
    let used = runs || (version >= 2 && any("SELECT EXISTS (SELECT 1 FROM schedules)")?);
    Ok(used.then_some(Purpose::Real))
}

/// The files of a state: the database, SQLite's own files beside it, and the lock. Follows links.
pub fn files(path: &Path) -> [PathBuf; 5] {
    let path = real(path);
    ["", "-wal", "-shm", "-journal", ".lock"].map(|end| {
        let mut name = OsString::from(&path);
        name.push(end);
        name.into()
    })
}

/// Whether a path leads to one of a state's files, directly or through symbolic or hard links. The
/// file need not exist yet.
pub fn has_file(state: &Path, path: &Path) -> bool {
    files(state).iter().any(|file| is_same_file(file, path))
}

/// Whether two paths lead to the same file, also if it does not exist yet.
pub fn is_same_file(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| std::fs::metadata(path).ok().map(|there| (there.dev(), there.ino()));
    real(one) == real(other) || identity(one).is_some_and(|one| identity(other) == Some(one))
}

/// The locks that keep other writers out.
#[derive(Debug)]
pub(crate) struct Locks {
    /// The file beside the state. It also keeps out a process that would replace the database.
    _beside: File,
    /// The database itself: if the file beside it is removed, a second process would lock a new
    /// one.
    _database: File,
}

/// Locks the state for as long as it is open: SQLite holds its own locks only during a transaction.
pub(crate) fn lock(path: &Path) -> Result<Locks, StateError> {
    let [database, _, _, _, name] = files(path);
    // Checked before creating a lock beside it.
    if let Ok(there) = std::fs::metadata(&database) {
        must_be_a_file(&database, &there)?;
    }
    let beside = lock_beside(&name, path)?;
    let database = open(path)?;
    // On Linux, flock(2) is independent of the byte ranges that SQLite locks with fcntl(2).
    // Elsewhere the two interfere, and the lock beside the state has to do.
    if cfg!(target_os = "linux") {
        take(&database, path, path)?;
    }
    Ok(Locks { _beside: beside, _database: database })
}

/// Locks the file beside the state. Tries again if it was removed between opening and locking.
fn lock_beside(name: &Path, state: &Path) -> Result<File, StateError> {
    for _ in 0..100 {
        let file = open(name).map_err(|error| match error {
            // The user has named the state, and may not know about its lock.
            StateError::Open { source, .. } if !name.exists() => StateError::Open { path: state.to_owned(), source },
            error => error,
        })?;
        take(&file, name, state)?;
        let ours = file.metadata().map_err(|source| StateError::Open { path: name.to_owned(), source })?.ino();
        if std::fs::metadata(name).is_ok_and(|there| there.ino() == ours) {
            return Ok(file);
        }
    }
    Err(StateError::Busy { path: state.to_owned() })
}

/// Opens one of a state's files, and creates it if it does not exist. Only its owner may read it;
/// SQLite gives its own files the same mode.
fn open(path: &Path) -> Result<File, StateError> {
    let failed = |source| StateError::Open { path: path.to_owned(), source };
    let file = File::options().create(true).read(true).write(true).truncate(false).mode(0o600).open(path);
    let file = file.map_err(failed)?;
    must_be_a_file(path, &file.metadata().map_err(failed)?)?;
    Ok(file)
}

/// Refuses anything but a regular file: a FIFO would block the process, and a device is not a
/// database.
pub(crate) fn must_be_a_file(path: &Path, there: &Metadata) -> Result<(), StateError> {
    if there.is_file() {
        return Ok(());
    }
    let source = match there.is_dir() {
        true => io::Error::from(io::ErrorKind::IsADirectory),
        false => io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"),
    };
    Err(StateError::Open { path: path.to_owned(), source })
}

fn take(file: &File, path: &Path, state: &Path) -> Result<(), StateError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(StateError::Busy { path: state.to_owned() }),
        Err(TryLockError::Error(source)) => Err(StateError::Open { path: path.to_owned(), source }),
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::path::Path;

    use super::{named, network};

    #[test]
    fn network_file_systems_are_recognized_by_their_numbers() {
        assert_eq!(named(0x6969), Some("NFS"));
        assert_eq!(named(0xff53_4d42), Some("SMB"));
        assert_eq!(named(0xef53), None, "ext4");
        assert_eq!(network(Path::new("/tmp/state.db")), None);
    }
}
