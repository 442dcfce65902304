//! Events that a destination permanently refused.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use dynacrawl_model::{Record, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::lines::{Lines, open_regular};
use crate::sink::{DeliveryError, Event, Part, Refusal};

/// An event that a destination refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// When it was refused.
    pub at: Timestamp,
    /// The event's id.
    pub event_id: String,
    /// Why.
    pub reason: String,
    /// The event's record.
    pub record: Record,
    /// The name of the sink.
    pub sink: String,
    /// The `table` record of the table that a change is about.
    pub table: Option<Record>,
}

/// Why dead letters cannot be read or delivered.
#[derive(Debug, thiserror::Error)]
pub enum DeadLetterError {
    /// A file cannot be read or written.
    #[error("cannot use {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line is not a dead letter.
    #[error("{}:{line} is not a dead letter", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The number of the line.
        line: u64,
        /// Why.
        source: serde_json::Error,
    },
    /// The destination does not take them now. They are kept.
    #[error("the dead letters are kept")]
    Delivery(#[source] DeliveryError),
}

/// The dead letters of a file, in order; none if it does not exist. Leaves out a last line that a
/// kill cut short: its event is delivered again.
///
/// # Errors
/// If it cannot be read, or a line is not a dead letter.
pub fn read_dead_letters(path: &Path, mut each: impl FnMut(DeadLetter) -> bool) -> Result<(), DeadLetterError> {
    let Some(mut letters) = Letters::open(path)? else { return Ok(()) };
    while let Some(letter) = letters.next()? {
        if !each(letter) {
            break;
        }
    }
    Ok(())
}

/// How many dead letters wait in a file, with those that a retry has not delivered yet.
///
/// # Errors
/// If it cannot be read.
pub fn count_dead_letters(path: &Path) -> io::Result<u64> {
    let count = |path: &Path| -> io::Result<u64> {
        let mut file = match open_regular(OpenOptions::new().read(true), path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            opened => BufReader::new(opened?),
        };
        let mut lines = 0;
        // A kill may have cut the last line short.
        loop {
            let part = file.fill_buf()?;
            let size = part.len();
            if size == 0 {
                return Ok(lines);
            }
            lines += part.iter().filter(|byte| **byte == b'\n').count() as u64;
            file.consume(size);
        }
    };
    Ok(count(path)? + count(&aside(path))?)
}

/// The name of a file while its dead letters are delivered again.
pub(crate) fn aside(path: &Path) -> PathBuf {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".retry");
    PathBuf::from(aside)
}

/// Reads dead letters one by one.
pub(crate) struct Letters {
    path: PathBuf,
    file: BufReader<File>,
    line: u64,
}

impl Letters {
    /// `None` if the file does not exist.
    pub(crate) fn open(path: &Path) -> Result<Option<Self>, DeadLetterError> {
        match open_regular(OpenOptions::new().read(true), path) {
            Ok(file) => Ok(Some(Self { path: path.to_owned(), file: BufReader::new(file), line: 0 })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(DeadLetterError::File { path: path.to_owned(), source }),
        }
    }

    fn next(&mut self) -> Result<Option<DeadLetter>, DeadLetterError> {
        let mut line = Vec::new();
        let read = self.file.read_until(b'\n', &mut line);
        read.map_err(|source| DeadLetterError::File { path: self.path.clone(), source })?;
        if line.pop() != Some(b'\n') {
            return Ok(None);
        }
        self.line += 1;
        let unreadable = |source| DeadLetterError::Line { path: self.path.clone(), line: self.line, source };
        serde_json::from_slice(&line).map(Some).map_err(unreadable)
    }

    pub(crate) fn batch(&mut self, most: usize) -> Result<Vec<DeadLetter>, DeadLetterError> {
        let mut batch = Vec::new();
        while batch.len() < most
            && let Some(letter) = self.next()?
        {
            batch.push(letter);
        }
        Ok(batch)
    }
}

impl DeadLetter {
    pub(crate) fn event(&self) -> Event {
        Event {
            id: self.event_id.clone(),
            record: self.record.clone(),
            table: self.table.clone(),
            target: None,
            part: Part::Whole,
        }
    }
}

pub(crate) fn append(path: &Path, lines: &[u8]) -> io::Result<()> {
    Lines { path, begin: b"{\"at\":", mode: 0o600 }.append(lines, |_| None)
}

/// Appends refused events to a file, with the reasons. They are stored durably when this returns.
pub(crate) async fn keep(path: PathBuf, sink: String, refused: Vec<(Event, Refusal)>) -> io::Result<()> {
    let writing = move || {
        let mut lines = Vec::new();
        for (event, refusal) in &refused {
            let line = json!({
                "at": Timestamp::now(), "sink": sink, "reason": refusal.reason, "event_id": event.id,
                "record": event.record, "table": event.table,
            });
            writeln!(lines, "{line}")?;
        }
        append(&path, &lines)
    };
    tokio::task::spawn_blocking(writing).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}
