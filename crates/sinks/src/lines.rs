//! Files of lines that grow.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// How much is read at once in search of the last line's begin.
const LOOK: u64 = 64 * 1024;

/// Appends whole lines to a file, which is made if it is not there. A line that a kill cut short is removed first. What was
/// appended lasts when this returns.
pub(crate) fn append(path: &Path, lines: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    let length = file.metadata()?.len();
    let whole = whole_lines(&mut file, length)?;
    if whole < length {
        file.set_len(whole)?;
    }
    if let Err(error) = file.write_all(lines).and_then(|()| file.sync_data()) {
        // The whole batch comes again, so none of it is to stay.
        let _ = file.set_len(whole);
        return Err(error);
    }
    if length == 0 {
        File::open(directory_of(path))?.sync_all()?;
    }
    Ok(())
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
    use super::append;

    #[test]
    fn a_line_that_was_cut_short_is_removed() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("events.jsonl");
        for (before, after) in [
            (String::new(), "c\n".to_owned()),
            ("a\nb\n".to_owned(), "a\nb\nc\n".to_owned()),
            ("a\nb".to_owned(), "a\nc\n".to_owned()),
            ("torn".to_owned(), "c\n".to_owned()),
            (format!("a\n{}", "x".repeat(200_000)), "a\nc\n".to_owned()),
        ] {
            std::fs::write(&path, before).expect("written");
            append(&path, b"c\n").expect("appended");
            assert_eq!(std::fs::read_to_string(&path).expect("read"), after);
        }
    }
}
