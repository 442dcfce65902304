//! Files that lines are appended to.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// How many bytes are read at once to find the beginning of the last line.
const LOOK: u64 = 64 * 1024;

/// A file of lines.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lines<'a> {
    pub(crate) path: &'a Path,
    /// The beginning of every line that dynacrawl writes.
    pub(crate) begin: &'static [u8],
    /// The mode of a file that is created.
    pub(crate) mode: u32,
}

impl Lines<'_> {
    /// Appends whole lines. First removes a line of dynacrawl that a kill cut short. If `rotate`
    /// then returns a name, renames the file and begins a new one. The lines are stored durably
    /// when this returns.
    pub(crate) fn append(&self, lines: &[u8], rotate: impl FnOnce(&Metadata) -> Option<PathBuf>) -> io::Result<()> {
        let mut file = self.open()?;
        // Read before the file is changed.
        let metadata = file.metadata()?;
        self.repair(&mut file, metadata.len())?;
        if let Some(name) = rotate(&metadata) {
            std::fs::rename(self.path, name)?;
            file = self.open()?;
        }
        let whole = file.metadata()?.len();
        if let Err(error) = file.write_all(lines).and_then(|()| file.sync_data()) {
            // The whole batch is delivered again, so none of it may stay.
            let _ = file.set_len(whole);
            return Err(error);
        }
        if whole == 0 {
            File::open(directory_of(self.path))?.sync_all()?;
        }
        Ok(())
    }

    /// Opens and locks the file, and creates it if it does not exist.
    fn open(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(self.mode);
        let file = open_regular(&mut options, self.path)?;
        file.try_lock().map_err(|error| match error {
            std::fs::TryLockError::Error(error) => error,
            std::fs::TryLockError::WouldBlock => io::Error::other("another process is writing it"),
        })?;
        Ok(file)
    }

    /// Makes the file end with a whole line.
    fn repair(&self, file: &mut File, length: u64) -> io::Result<()> {
        let whole = whole_lines(file, length)?;
        if whole == length {
            return Ok(());
        }
        let mut tail = Vec::new();
        file.seek(SeekFrom::Start(whole))?;
        Read::take(&mut *file, self.begin.len() as u64).read_to_end(&mut tail)?;
        if self.begin.starts_with(&tail) {
            return file.set_len(whole);
        }
        // Another program wrote that line: end it, and keep it.
        file.write_all(b"\n")
    }
}

/// Opens a file. Refuses anything but a regular file: a FIFO would block, and stores nothing.
pub(crate) fn open_regular(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = options.custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a regular file")) }
}

/// The directory that a file is in.
pub(crate) fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// How many bytes of a file are whole lines.
fn whole_lines(file: &mut File, length: u64) -> io::Result<u64> {
    let mut end = length;
    let mut block = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(LOOK);
        block.clear();
        file.seek(SeekFrom::Start(start))?;
        Read::take(&mut *file, end - start).read_to_end(&mut block)?;
        if let Some(at) = block.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::Lines;

    fn append(path: &Path) -> std::io::Result<()> {
        Lines { path, begin: b"{\"type\":", mode: 0o600 }.append(b"c\n", |_| None)
    }

    #[test]
    fn only_a_torn_line_of_dynacrawl_is_removed() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("events.jsonl");
        let torn = |length: usize| format!("{{\"type\":\"{}", "x".repeat(length));
        for (before, after) in [
            (String::new(), "c\n".to_owned()),
            ("a\nb\n".to_owned(), "a\nb\nc\n".to_owned()),
            ("a\n{\"ty".to_owned(), "a\nc\n".to_owned()),
            (torn(3), "c\n".to_owned()),
            (format!("a\n{}", torn(200_000)), "a\nc\n".to_owned()),
            ("[1, 2]".to_owned(), "[1, 2]\nc\n".to_owned()),
        ] {
            std::fs::write(&path, before).expect("written");
            append(&path).expect("appended");
            assert_eq!(std::fs::read_to_string(&path).expect("read"), after);
        }
    }

    #[test]
    fn only_regular_files_are_accepted_and_new_ones_have_mode_0600() {
        let directory = tempfile::tempdir().expect("a directory");
        let fifo = directory.path().join("fifo");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).expect("a FIFO");
        for path in [&fifo, Path::new("/dev/null"), directory.path()] {
            append(path).expect_err("no file");
        }
        let path = directory.path().join("new");
        append(&path).expect("appended");
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        let other = std::fs::File::open(&path).expect("there");
        other.try_lock().expect("free");
        assert!(append(&path).expect_err("in use").to_string().contains("another process"));
    }
}
