//! Where an export is written: a file or a directory that appears only when it is complete.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use dynacrawl_sinks::Replacement;

use super::super::failure::Failure;
use crate::exit::Exit;

/// A writer of one file of an export.
pub(super) type Out = Box<dyn Write>;

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
            Self::Directory(directory) => {
                // If it cannot be deleted, the next export replaces it.
                let _ = fs::remove_dir_all(directory.partial);
            }
        }
    }
}

/// A directory that is written as `OUT.partial`.
pub(super) struct Directory {
    path: PathBuf,
    partial: PathBuf,
    files: Vec<String>,
    opened: Vec<File>,
}

impl Directory {
    fn create(path: &Path, files: &[String]) -> anyhow::Result<Self> {
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let directory =
            Self { path: path.to_owned(), partial: partial.into(), files: files.to_vec(), opened: Vec::new() };
        // Before anything is written: neither may have files of someone else.
        directory.must_be_ours(path)?;
        directory.must_be_ours(&directory.partial)?;
        remove(&directory.partial)?;
        for file in files {
            let parent = directory.partial.join(file).parent().map(Path::to_owned).unwrap_or_default();
            fs::create_dir_all(&parent).with_context(|| format!("cannot create {}", parent.display()))?;
        }
        Ok(directory)
    }

    fn writer(&mut self, name: &str) -> io::Result<File> {
        let file = File::create(self.partial.join(name))?;
        self.opened.push(file.try_clone()?);
        Ok(file)
    }

    fn put(self) -> anyhow::Result<()> {
        for file in &self.opened {
            file.sync_all().with_context(|| format!("cannot write {}", self.partial.display()))?;
        }
        self.must_be_ours(&self.path)?;
        remove(&self.path)?;
        fs::rename(&self.partial, &self.path).with_context(|| format!("cannot create {}", self.path.display()))
    }

    /// Refuses a directory with anything but the files of an export.
    fn must_be_ours(&self, path: &Path) -> anyhow::Result<()> {
        match fs::symlink_metadata(path) {
            Ok(there) if there.is_dir() => self.must_be_empty_or_ours(path, Path::new("")),
            Ok(_) => bail!("{} is not a directory; remove it, or choose another name", path.display()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    fn must_be_empty_or_ours(&self, directory: &Path, below: &Path) -> anyhow::Result<()> {
        let unreadable = || format!("cannot read {}", directory.display());
        for entry in fs::read_dir(directory).with_context(unreadable)? {
            let entry = entry.with_context(unreadable)?;
            let name = below.join(entry.file_name());
            let is_directory = entry.file_type().with_context(unreadable)?.is_dir();
            let is_ours = if is_directory {
                self.files.iter().any(|file| Path::new(file).starts_with(&name))
            } else {
                self.files.iter().any(|file| Path::new(file) == name)
            };
            if !is_ours {
                bail!(
                    "{} is not a file of an export, so the directory is not replaced; choose another name",
                    entry.path().display()
                );
            }
            if is_directory {
                self.must_be_empty_or_ours(&entry.path(), &name)?;
            }
        }
        Ok(())
    }
}

fn remove(directory: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot replace {}", directory.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

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
        assert!(!place.path().join("out.partial").exists());
        fs::write(out.join("a/mine.txt"), "mine").expect("written");
        let refused = write("third").expect_err("another file");
        assert!(refused.contains("mine.txt is not a file of an export"), "{refused}");
        assert!(out.join("a/mine.txt").exists());
        fs::remove_dir_all(&out).and_then(|()| fs::write(&out, "")).expect("a file");
        assert!(write("fourth").expect_err("a file").contains("is not a directory"));
    }
}
