//! Writes records as JSON lines.

use dynacrawl_model::Record;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::{Entry, Journal, Lines, Observed, Output, Position, SinkError};

/// The most entries that are taken from the channel at once.
const BATCH: usize = 128;
/// How large a chunk grows before it is handed to the writing thread, in bytes.
const CHUNK_BYTES: usize = 64 * 1024;

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Lines.
    pub lines: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Writes records as JSON lines until the channel is closed or the output fails. If the output
/// fails, this closes the channel, and [`Output::finish`] returns the error. Records are written at
/// once; only in a burst are they gathered into chunks.
///
/// # Errors
/// If a record cannot be written as JSON, or the journal cannot be written.
pub async fn write_records<E: Entry>(
    output: &Output,
    lines: Lines,
    mut entries: mpsc::Receiver<E>,
    journal: &mut impl Journal<E>,
) -> Result<Written, SinkError> {
    let mut writer = Writer { output, written: Written::default(), chunk: new_chunk() };
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        let taken = match journal.commit_at() {
            None => Some(entries.recv_many(&mut batch, BATCH).await),
            Some(at) => tokio::time::timeout_at(at, entries.recv_many(&mut batch, BATCH)).await.ok(),
        };
        if taken == Some(0) {
            break;
        }
        for mut entry in batch.drain(..) {
            if journal.observe(&mut entry) == Observed::Closed && !writer.commit(journal).await? {
                return Ok(writer.written);
            }
            for record in entry.into_records() {
                writer.add(lines, record)?;
            }
        }
        if (writer.chunk.len() >= CHUNK_BYTES || entries.is_empty()) && !writer.flush().await {
            break;
        }
        let due = journal.commit_at().is_some_and(|at| at <= Instant::now());
        if due && !writer.commit(journal).await? {
            break;
        }
    }
    Ok(writer.written)
}

struct Writer<'a> {
    output: &'a Output,
    written: Written,
    chunk: Vec<u8>,
}

fn new_chunk() -> Vec<u8> {
    Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 4)
}

impl Writer<'_> {
    fn add(&mut self, lines: Lines, record: Record) -> Result<(), SinkError> {
        let Self { written, chunk, .. } = self;
        lines.of(record, |line| {
            serde_json::to_writer(&mut *chunk, line)?;
            chunk.push(b'\n');
            written.lines += 1;
            Ok::<(), serde_json::Error>(())
        })?;
        Ok(())
    }

    /// Hands the chunk to the writing thread; `false` if that has ended with an error.
    async fn flush(&mut self) -> bool {
        self.written.bytes += self.chunk.len() as u64;
        self.chunk.is_empty() || self.output.write(std::mem::replace(&mut self.chunk, new_chunk())).await
    }

    /// Waits until everything is in the output, and then commits the journal. `false` if the output
    /// has failed.
    async fn commit<E>(&mut self, journal: &mut impl Journal<E>) -> Result<bool, SinkError> {
        if !self.flush().await || !self.output.sync().await {
            return Ok(false);
        }
        let position = Position { offset: self.output.start() + self.written.bytes, lines: self.written.lines };
        journal.commit(position).await.map_err(SinkError::Journal)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use dynacrawl_model::{Record, RunId, Scope, TableFailed};
    use tokio::sync::mpsc;

    use super::write_records;
    use crate::{Lines, Output, SinkError};

    fn record(name: &str) -> Record {
        let region = "eu-west-1".parse().expect("region");
        let scope = Scope { partition: "aws".into(), account_id: None, region };
        let failed = TableFailed {
            table_name: name.into(),
            reason: dynacrawl_model::FailureReason::Denied,
            code: "AccessDeniedException".to_owned(),
            message: "line\nbreak".to_owned(),
            attempts: 1,
        };
        Record::of_scope(RunId::generate(), scope.into(), failed)
    }

    async fn write(output: &Output, count: usize) -> u64 {
        let (sender, receiver) = mpsc::channel(8);
        let feed = async move {
            for number in 0..count {
                if sender.send(record(&format!("t{number}"))).await.is_err() {
                    break;
                }
            }
        };
        let mut unfollowed = ();
        let (written, ()) = tokio::join!(write_records(output, Lines::default(), receiver, &mut unfollowed), feed);
        written.expect("written").lines
    }

    #[tokio::test]
    async fn a_file_is_replaced_only_when_the_new_one_is_complete() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("out.jsonl");
        let partial = directory.path().join("out.jsonl.partial");
        std::fs::write(&path, "old").expect("write");

        let output = Output::file(&path).expect("open");
        assert_eq!(write(&output, 1000).await, 1000);
        output.finish(false).await.expect("finish");
        assert_eq!(std::fs::read_to_string(&path).expect("read"), "old");
        assert_eq!(std::fs::read_to_string(&partial).expect("read").lines().count(), 1000);

        let output = Output::file(&path).expect("open");
        assert_eq!(write(&output, 3).await, 3);
        output.finish(true).await.expect("finish");
        assert_eq!(std::fs::read_to_string(&path).expect("read").lines().count(), 3);
        assert!(!partial.exists());
    }

    #[tokio::test]
    async fn a_file_that_is_continued_is_truncated_first() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("out.jsonl");
        let output = Output::file(&path).expect("open");
        assert_eq!(write(&output, 3).await, 3);
        output.finish(false).await.expect("finish");
        let partial = directory.path().join("out.jsonl.partial");
        let before = std::fs::read_to_string(&partial).expect("read");
        let first = before.lines().next().expect("a line").len() as u64 + 1;

        assert!(matches!(Output::resume(&path, before.len() as u64 + 1, "t0"), Err(SinkError::NotThere { .. })));
        assert!(matches!(Output::resume(&path, first, "another run"), Err(SinkError::NotThere { .. })));
        let output = Output::resume(&path, first, "\"t0\"").expect("open");
        assert_eq!(output.start(), first);
        assert_eq!(write(&output, 2).await, 2);
        output.finish(true).await.expect("finish");
        let after = std::fs::read_to_string(&path).expect("read");
        assert_eq!(after.lines().count(), 3);
        assert_eq!(after.lines().next(), before.lines().next());
        assert!(matches!(Output::resume(&path, 1, "t0"), Err(SinkError::NotThere { .. })), "there is no partial file");
    }

    #[tokio::test]
    async fn a_link_stays_and_its_target_is_replaced() {
        let directory = tempfile::tempdir().expect("directory");
        let target = directory.path().join("target");
        let link = directory.path().join("link");
        std::fs::write(&target, "old").expect("write");
        std::os::unix::fs::symlink(&target, &link).expect("link");
        let output = Output::file(&link).expect("open");
        write(&output, 2).await;
        output.finish(true).await.expect("finish");
        assert!(link.is_symlink());
        assert_eq!(std::fs::read_to_string(&target).expect("read").lines().count(), 2);
    }

    #[tokio::test]
    async fn two_runs_do_not_write_the_same_file() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("out");
        let first = Output::file(&path).expect("open");
        assert!(matches!(Output::file(&path), Err(SinkError::Busy { .. })));
        first.finish(true).await.expect("finish");
        Output::file(&path).expect("free again");
    }

    #[tokio::test]
    async fn a_full_disk_is_an_error_and_a_directory_is_refused() {
        assert!(matches!(Output::file(std::path::Path::new("/tmp")), Err(SinkError::Open { .. })));
        let output = Output::file(std::path::Path::new("/dev/full")).expect("open");
        write(&output, 10_000).await;
        assert!(matches!(output.finish(true).await, Err(SinkError::Write { .. })));
    }
}
