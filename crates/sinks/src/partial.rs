//! The file `FILE.partial` beside an output, which is written until the output is complete.

use std::fs::{File, Metadata, Permissions, TryLockError};
use std::io::{self, BufRead, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::SinkError;

/// How many bytes of a first line are read; the mark is at its beginning.
const MOST_OF_A_LINE: u64 = 4096;

/// How often a file is opened again because another run has just moved it to its place.
const OPENINGS: usize = 100;

/// Where a regular file is written until it is complete, and the place it then moves to.
#[derive(Debug)]
pub(crate) struct Places {
    pub(crate) partial: PathBuf,
    pub(crate) target: PathBuf,
}

impl Places {
    /// `None` for anything but a regular file.
    pub(crate) fn of(path: &Path) -> Result<Option<Self>, SinkError> {
        Self::with_suffix(path, ".partial")
    }

    fn with_suffix(path: &Path, suffix: &str) -> Result<Option<Self>, SinkError> {
        // A link stays, and the file that it points to is replaced.
        let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        match std::fs::metadata(&target) {
            Ok(there) if there.is_dir() => {
                Err(SinkError::Open { path: path.to_owned(), source: io::Error::from(io::ErrorKind::IsADirectory) })
            }
            Ok(there) if !there.is_file() => Ok(None),
            _ => {
                let mut partial = target.clone().into_os_string();
                partial.push(suffix);
                Ok(Some(Self { partial: partial.into(), target }))
            }
        }
    }

    /// Opens the partial file and locks it. It gets the mode of the file that it will replace and,
    /// if permitted, its owner.
    pub(crate) fn open(&self) -> Result<File, SinkError> {
        let failed = |source| SinkError::Open { path: self.partial.clone(), source };
        let replaced = std::fs::metadata(&self.target).ok();
        // From the start, no process may read it that may not read the file that it replaces.
        let mode = replaced.as_ref().map_or(0o666, |replaced| replaced.mode() & 0o777 | 0o600);
        for _ in 0..OPENINGS {
            let file = self.open_once(File::options().create(true).truncate(false).mode(mode))?;
            self.lock(&file)?;
            if self.is(&file).map_err(failed)? {
                if let Some(replaced) = &replaced {
                    // Its owner can always write it, because a later process may have to continue
                    // it.
                    copy_owner_and_mode(&file, replaced, 0o600).map_err(failed)?;
                }
                return Ok(file);
            }
        }
        Err(SinkError::Busy { path: self.target.clone() })
    }

    /// Moves the partial file, which is complete, to its place.
    pub(crate) fn put(&self, file: &File) -> io::Result<()> {
        if let Ok(replaced) = std::fs::metadata(&self.target) {
            copy_owner_and_mode(file, &replaced, 0)?;
        }
        file.sync_all()?;
        std::fs::rename(&self.partial, &self.target)?;
        sync_directory(&self.target);
        Ok(())
    }

    /// Deletes the partial file, if its first line contains `mark` or if it is empty: an empty file
    /// that no process has locked has nothing that a run could continue. Returns whether it was
    /// deleted.
    pub(crate) fn discard(&self, mark: &str) -> Result<bool, SinkError> {
        let failed = |source| SinkError::Open { path: self.partial.clone(), source };
        let file = match self.open_once(&mut File::options()) {
            Ok(file) => file,
            Err(SinkError::Open { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        self.lock(&file)?;
        let ours = self.is(&file).map_err(failed)? && is_of(&self.partial, mark, true).map_err(failed)?;
        if ours {
            std::fs::remove_file(&self.partial).map_err(failed)?;
        }
        Ok(ours)
    }

    /// Opens the partial file. Refuses anything but a regular file: a link could lead to any other
    /// file, and a FIFO could block the process.
    fn open_once(&self, options: &mut std::fs::OpenOptions) -> Result<File, SinkError> {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        #[expect(clippy::cast_possible_wrap, reason = "open(2) takes a C int, and the flags are bits")]
        let opened = options.write(true).custom_flags(flags.bits() as i32).open(&self.partial);
        let is_file = match &opened {
            Ok(file) => file.metadata().is_ok_and(|file| file.is_file()),
            Err(error) => ![Errno::LOOP, Errno::NXIO, Errno::ISDIR]
                .iter()
                .any(|errno| error.raw_os_error() == Some(errno.raw_os_error())),
        };
        if !is_file {
            return Err(SinkError::NotAFile { path: self.partial.clone() });
        }
        opened.map_err(|source| SinkError::Open { path: self.partial.clone(), source })
    }

    fn lock(&self, file: &File) -> Result<(), SinkError> {
        match file.try_lock() {
            Ok(()) => Ok(()),
            Err(TryLockError::WouldBlock) => Err(SinkError::Busy { path: self.target.clone() }),
            Err(TryLockError::Error(source)) => Err(SinkError::Open { path: self.partial.clone(), source }),
        }
    }

    /// Whether an open file still is the partial one: between opening and locking, another run may
    /// have moved it to its place.
    fn is(&self, file: &File) -> io::Result<bool> {
        let ours = file.metadata()?;
        Ok(std::fs::symlink_metadata(&self.partial)
            .is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())))
    }
}

/// A file that is written as `FILE.new` and replaces the file once it is complete. `FILE.partial` may
/// be that of a crawl. What is not a regular file, such as a FIFO, is written directly.
#[derive(Debug)]
pub struct Replacement {
    file: File,
    path: PathBuf,
    places: Option<Places>,
}

impl Replacement {
    /// What the name of the file has at its end until the file is complete.
    pub const SUFFIX: &str = ".new";

    /// Opens `FILE.new` and truncates it.
    ///
    /// # Errors
    /// If it cannot be opened, or another process is writing it.
    pub fn open(path: &Path) -> Result<Self, SinkError> {
        let places = Places::with_suffix(path, Self::SUFFIX)?;
        let failed = |source| SinkError::Open { path: path.to_owned(), source };
        let file = match &places {
            Some(places) => places.open()?,
            None => File::options().write(true).open(path).map_err(failed)?,
        };
        if places.is_some() {
            file.set_len(0).map_err(failed)?;
        }
        Ok(Self { file, path: path.to_owned(), places })
    }

    /// A handle to write with.
    ///
    /// # Errors
    /// If the system has no handle left.
    pub fn writer(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Stores the file durably, and puts it in place.
    ///
    /// # Errors
    /// If that fails.
    pub fn put(self) -> Result<(), SinkError> {
        let output = self.path.display().to_string();
        let put = self.places.map_or(Ok(()), |places| places.put(&self.file));
        put.map_err(|source| SinkError::Write { output, source })
    }

    /// Deletes `FILE.new`.
    pub fn discard(self) {
        if let Some(places) = self.places {
            // If it cannot be deleted, the next run truncates it.
            let _ = std::fs::remove_file(places.partial);
        }
    }
}

/// Gives a file the owner, group and mode of another one, and the additional permissions `more`.
fn copy_owner_and_mode(file: &File, other: &Metadata, more: u32) -> io::Result<()> {
    let now = file.metadata()?;
    let mut mode = other.mode() & 0o777 | more;
    if (now.uid(), now.gid()) != (other.uid(), other.gid()) {
        // Changing the owner needs privileges. Changing the group needs only membership in it.
        let owned =
            fchown(file, Some(other.uid()), Some(other.gid())).or_else(|_| fchown(file, None, Some(other.gid())));
        if owned.is_err() {
            // This file has another group. That group gets only the permissions of others.
            mode = (mode & 0o707) | ((mode & 0o007) << 3);
        }
    }
    if now.mode() & 0o777 == mode {
        return Ok(());
    }
    match file.set_permissions(Permissions::from_mode(mode)) {
        // The file belongs to another user, but its mode does not permit more than `mode`.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && now.mode() & 0o777 & !mode == 0 => Ok(()),
        done => done,
    }
}

/// Deletes a finished file, if its first line contains `mark` or if it is empty and `empty_too`.
/// Returns whether it was deleted.
pub(crate) fn delete(path: &Path, mark: &str, empty_too: bool) -> io::Result<bool> {
    match std::fs::symlink_metadata(path) {
        Ok(there) if there.is_file() => {}
        Ok(_) => return Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    }
    let ours = is_of(path, mark, empty_too)?;
    if ours {
        std::fs::remove_file(path)?;
    }
    Ok(ours)
}

/// Whether the first line of a file contains `mark`. `empty_too`: the answer for an empty file.
fn is_of(path: &Path, mark: &str, empty_too: bool) -> io::Result<bool> {
    let line = first_line(path)?;
    Ok(if line.is_empty() { empty_too } else { line.contains(mark) })
}

pub(crate) fn first_line(path: &Path) -> io::Result<String> {
    let mut line = Vec::new();
    io::BufReader::new(File::open(path)?).take(MOST_OF_A_LINE).read_until(b'\n', &mut line)?;
    Ok(String::from_utf8_lossy(&line).into_owned())
}

/// Makes the new name survive a power failure, if the file system supports that.
fn sync_directory(file: &Path) {
    let directory = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let Ok(directory) = File::open(directory) {
        // Some file systems refuse this. The file has been renamed all the same.
        let _ = directory.sync_all();
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use crate::{Output, SinkError};

    fn mode(path: &std::path::Path) -> u32 {
        fs::metadata(path).expect("it is there").mode() & 0o777
    }

    #[tokio::test]
    async fn a_link_or_fifo_in_place_of_the_partial_file_is_refused() {
        let directory = tempfile::tempdir().expect("directory");
        let (path, partial) = (directory.path().join("out"), directory.path().join("out.partial"));
        let precious = directory.path().join("precious");
        fs::write(&precious, "mine").expect("written");
        symlink(&precious, &partial).expect("a link");
        for opened in [Output::file(&path), Output::resume(&path, 0, "")] {
            assert!(matches!(&opened, Err(SinkError::NotAFile { path }) if *path == partial), "{opened:?}");
        }
        assert!(matches!(Output::discard(&path, "mine"), Err(SinkError::NotAFile { .. })));
        assert_eq!(fs::read_to_string(&precious).expect("read"), "mine");
        fs::remove_file(&partial).and_then(|()| symlink("nowhere", &partial)).expect("a link to nothing");
        assert!(matches!(Output::file(&path), Err(SinkError::NotAFile { .. })));
        assert!(!directory.path().join("nowhere").exists());
        fs::remove_file(&partial).expect("removed");
        // Without a child process such as mkfifo: before its exec it would hold the locks of
        // parallel tests.
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &partial, rustix::fs::FileType::Fifo, mode, 0).expect("a FIFO");
        assert!(matches!(Output::file(&path), Err(SinkError::NotAFile { .. })));
    }

    #[tokio::test]
    async fn the_new_file_has_the_mode_of_the_one_that_it_replaces() {
        let directory = tempfile::tempdir().expect("directory");
        let (path, partial) = (directory.path().join("out"), directory.path().join("out.partial"));
        for wanted in [0o600, 0o640, 0o666, 0o444] {
            fs::write(&path, "old").or_else(|_| fs::remove_file(&path)).expect("written");
            fs::set_permissions(&path, Permissions::from_mode(wanted)).expect("changed");
            let output = Output::file(&path).expect("open");
            assert_eq!(mode(&partial), wanted | 0o600, "also while it is written, but it can be continued");
            output.finish(true).await.expect("finish");
            assert_eq!(mode(&path), wanted);
        }
        // A partial file that was left with another mode gets that of the file.
        fs::write(&partial, "left").expect("written");
        fs::set_permissions(&partial, Permissions::from_mode(0o666)).expect("changed");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("changed");
        Output::file(&path).expect("open").finish(true).await.expect("finish");
        assert_eq!(mode(&path), 0o600);
    }

    #[tokio::test]
    async fn the_new_file_keeps_the_owner_if_that_is_permitted() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("out");
        fs::write(&path, "old").expect("written");
        let me = fs::metadata(&path).expect("it is there");
        // Only the superuser can change the owner of a file, so only the superuser can test with
        // another owner.
        let owner = if me.uid() == 0 { (12_345, 54_321) } else { (me.uid(), me.gid()) };
        std::os::unix::fs::chown(&path, Some(owner.0), Some(owner.1)).expect("changed");
        Output::file(&path).expect("open").finish(true).await.expect("finish");
        let there = fs::metadata(&path).expect("it is there");
        assert_eq!((there.uid(), there.gid()), owner);
    }

    #[tokio::test]
    async fn only_the_file_of_the_given_run_is_deleted() {
        let directory = tempfile::tempdir().expect("directory");
        let (path, partial) = (directory.path().join("out"), directory.path().join("out.partial"));
        assert!(!Output::discard(&path, "one").expect("nothing is there"));
        assert!(!Output::delete(&path, "one", false).expect("nothing is there"));
        for file in [&path, &partial] {
            fs::write(file, "{\"run_id\":\"one\"}\n{\"run_id\":\"two\"}\n").expect("written");
        }
        assert!(!Output::discard(&path, "two").expect("read") && !Output::delete(&path, "two", false).expect("read"));
        assert!(path.exists() && partial.exists());
        let writing = fs::File::open(&partial).expect("open");
        writing.lock().expect("no other process has it");
        assert!(matches!(Output::discard(&path, "one"), Err(SinkError::Busy { .. })));
        drop(writing);
        assert!(Output::discard(&path, "one").expect("deleted") && !partial.exists() && path.exists());
        assert!(Output::delete(&path, "one", false).expect("deleted") && !path.exists());
        assert!(!Output::discard(std::path::Path::new("/dev/null"), "").expect("no file"));
        // An empty file has no mark.
        fs::write(&path, "").and_then(|()| fs::write(&partial, "")).expect("written");
        assert!(!Output::delete(&path, "one", false).expect("read") && path.exists());
        assert!(Output::delete(&path, "one", true).expect("deleted") && !path.exists());
        assert!(Output::discard(&path, "one").expect("deleted") && !partial.exists());
    }
}
