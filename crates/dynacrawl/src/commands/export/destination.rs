//! Where an export is written: a file or a directory that appears only when it is complete.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use dynacrawl_sinks::Replacement;

use super::super::failure::Failure;
use crate::exit::Exit;

/// A writer of one file of an export.
pub(super) type Out = Box<dyn Write + Send>;

/// Where an export is written.
pub(super) enum Destination {
    Stdout,
    File(Replacement),
    Directory(Directory),
}

impl Destination {
    /// A single file, or standard output for `-`.
    pub(super) fn file(path: &Path) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Ok(Self::Stdout);
        }
        let failed = |error: dynacrawl_sinks::SinkError| {
            let exit = if error.may_pass() { Exit::SinkFailed } else { Exit::Usage };
            Failure::new(exit, anyhow::Error::new(error).context("--output"))
        };
        Replacement::open(path).map(Self::File).map_err(failed)
    }

    /// A directory with these files, each with its path below the directory.
    pub(super) fn directory(path: &Path, files: &[String]) -> Result<Self, Failure> {
        if path == Path::new("-") {
            let error = anyhow::anyhow!("--output: this form has several files; name a directory instead of -");
            return Err(Failure::new(Exit::Usage, error));
        }
        Directory::create(path, files).map(Self::Directory).map_err(|error| {
            let may_pass = error.downcast_ref::<io::Error>().is_some_and(dynacrawl_model::file_error_may_pass);
            Failure::new(if may_pass { Exit::SinkFailed } else { Exit::Usage }, error.context("--output"))
        })
    }

    /// A writer of the single file, or of the file with this path below the directory.
    pub(super) fn writer(&mut self, name: &str) -> io::Result<Out> {
        Ok(match self {
            Self::Stdout => Box::new(BufWriter::new(io::stdout())),
            Self::File(file) => Box::new(BufWriter::new(file.writer()?)),
            Self::Directory(directory) => Box::new(BufWriter::new(directory.writer(name)?)),
        })
    }

    /// Stores the export durably, and puts it in place.
    pub(super) fn put(self) -> anyhow::Result<()> {
        match self {
            Self::Stdout => Ok(()),
            Self::File(file) => Ok(file.put()?),
            Self::Directory(directory) => directory.put(),
        }
    }

    /// Deletes what was written.
    pub(super) fn discard(self) {
        match self {
            Self::Stdout => {}
            Self::File(file) => file.discard(),
            Self::Directory(directory) => directory.discard(),
        }
    }
}

/// A directory that is written as `OUT.new`.
pub(super) struct Directory {
    path: PathBuf,
    new: PathBuf,
    files: Vec<String>,
    opened: Vec<File>,
    /// Keeps other exports out.
    _lock: File,
}

impl Directory {
    fn create(path: &Path, files: &[String]) -> anyhow::Result<Self> {
        // Without a slash at the end, which would put the new directory into the old one.
        let path: PathBuf = path.components().collect();
        if path.file_name().is_none() {
            bail!("{} is not the name of a directory that can be replaced", path.display());
        }
        let mut new = path.as_os_str().to_owned();
        new.push(Replacement::SUFFIX);
        let new = PathBuf::from(new);
        // Before anything is written: neither may have files of someone else.
        must_be_ours(&path, files)?;
        must_be_ours(&new, files)?;
        match fs::create_dir(&new) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(error).with_context(|| format!("cannot create {}", new.display()));
            }
            _ => {}
        }
        let lock = lock(&new, &path)?;
        // What an export that was killed has left.
        for file in files {
            let file = new.join(file);
            let parent = file.parent().unwrap_or(&new);
            fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
            match fs::remove_file(&file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("cannot replace {}", file.display()));
                }
                _ => {}
            }
        }
        Ok(Self { path, new, files: files.to_vec(), opened: Vec::new(), _lock: lock })
    }

    fn writer(&mut self, name: &str) -> io::Result<File> {
        let file = File::create(self.new.join(name))?;
        self.opened.push(file.try_clone()?);
        Ok(file)
    }

    fn put(self) -> anyhow::Result<()> {
        let written = self.put_in_place();
        if written.is_err() {
            self.discard();
        }
        written
    }

    fn put_in_place(&self) -> anyhow::Result<()> {
        for file in &self.opened {
            file.sync_all().with_context(|| format!("cannot write {}", self.new.display()))?;
        }
        must_be_ours(&self.path, &self.files)?;
        if self.path.exists() {
            // The old directory gets the place of the new one. Its lock keeps other exports out until it is deleted.
            let _old = lock(&self.path, &self.path)?;
            exchange(&self.new, &self.path).with_context(|| format!("cannot replace {}", self.path.display()))?;
            fs::remove_dir_all(&self.new).with_context(|| format!("cannot delete {}", self.new.display()))?;
        } else {
            fs::rename(&self.new, &self.path).with_context(|| format!("cannot create {}", self.path.display()))?;
        }
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Some file systems cannot sync a directory. The names have changed all the same.
        let _ = File::open(parent).and_then(|parent| parent.sync_all());
        Ok(())
    }

    fn discard(&self) {
        // If it cannot be deleted, the next export replaces it.
        let _ = fs::remove_dir_all(&self.new);
    }
}

/// Locks a directory. `Err` if another export has it.
fn lock(directory: &Path, named: &Path) -> anyhow::Result<File> {
    let opened = File::open(directory).with_context(|| format!("cannot open {}", directory.display()))?;
    let is_locked = opened.try_lock().is_ok();
    // Another export may have moved or deleted it before it was locked.
    let identity = |metadata: io::Result<fs::Metadata>| metadata.map(|one| (one.dev(), one.ino())).ok();
    if is_locked && identity(opened.metadata()) == identity(fs::metadata(directory)) {
        return Ok(opened);
    }
    Err(io::Error::new(io::ErrorKind::ResourceBusy, format!("another export is writing {}", named.display())).into())
}

/// Exchanges two directories, so that at every moment one of them is at its place.
fn exchange(new: &Path, old: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    if renameat_with(CWD, new, CWD, old, RenameFlags::EXCHANGE).is_ok() {
        return Ok(());
    }
    // Not every file system can.
    let mut aside = old.as_os_str().to_owned();
    aside.push(".old");
    let aside = PathBuf::from(aside);
    fs::rename(old, &aside)?;
    if let Err(error) = fs::rename(new, old) {
        fs::rename(&aside, old)?;
        return Err(error);
    }
    fs::rename(&aside, new)
}

/// Refuses a directory with anything but the files of an export.
fn must_be_ours(path: &Path, files: &[String]) -> anyhow::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(there) if there.is_dir() => must_be_empty_or_ours(path, Path::new(""), files),
        Ok(_) => bail!("{} is not a directory; remove it, or choose another name", path.display()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn must_be_empty_or_ours(directory: &Path, below: &Path, files: &[String]) -> anyhow::Result<()> {
    let unreadable = || format!("cannot read {}", directory.display());
    for entry in fs::read_dir(directory).with_context(unreadable)? {
        let entry = entry.with_context(unreadable)?;
        let name = below.join(entry.file_name());
        let is_directory = entry.file_type().with_context(unreadable)?.is_dir();
        let is_ours = if is_directory {
            files.iter().any(|file| Path::new(file).starts_with(&name))
        } else {
            files.iter().any(|file| Path::new(file) == name)
        };
        if !is_ours {
            bail!(
                "{} is not a file of an export, so the directory is not replaced; choose another name",
                entry.path().display()
            );
        }
        if is_directory {
            must_be_empty_or_ours(&entry.path(), &name, files)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::path::{Path, PathBuf};

    use super::Destination;

    #[test]
    fn a_directory_with_other_files_is_never_replaced() {
        let place = tempfile::tempdir().expect("a directory");
        let out = place.path().join("out");
        let files = ["a/one.json".to_owned(), "two.csv".to_owned()];
        let write = |text: &str| -> Result<(), String> {
            let mut destination = Destination::directory(&out, &files).map_err(|failure| failure.to_string())?;
            let mut writer = destination.writer("two.csv").expect("a file");
            writer.write_all(text.as_bytes()).and_then(|()| writer.flush()).expect("written");
            drop(writer);
            destination.put().map_err(|error| error.to_string())
        };
        write("first").expect("written");
        write("second").expect("its own files are replaced");
        assert_eq!(fs::read_to_string(out.join("two.csv")).expect("read"), "second");
        assert!(!place.path().join("out.new").exists());
        let busy = Destination::directory(&out, &files).map_err(|failure| failure.to_string()).expect("free");
        assert!(write("third").expect_err("in use").contains("another export is writing"));
        busy.discard();
        let slash = PathBuf::from(format!("{}/", out.display()));
        Destination::directory(&slash, &files).map_err(|failure| failure.to_string()).expect("the same").discard();
        assert!(!out.join(".new").exists());
        assert!(Destination::directory(Path::new("/"), &files).is_err());
        fs::write(out.join("a/mine.txt"), "mine").expect("written");
        let refused = write("third").expect_err("another file");
        assert!(refused.contains("mine.txt is not a file of an export"), "{refused}");
        assert!(out.join("a/mine.txt").exists());
        fs::remove_dir_all(&out).and_then(|()| fs::write(&out, "")).expect("a file");
        assert!(write("fourth").expect_err("a file").contains("is not a directory"));
    }
}
