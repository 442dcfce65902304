//! The sink `file`: appends events to a file as JSON lines. Rotates the file when it is large
//! enough, or when a day begins.

use std::fs::{Metadata, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use dynacrawl_model::Timestamp;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rustix::fs::{Access, access};

use crate::event_json;
use crate::kind::{Destination, Kind};
use crate::lines::{Lines, directory_of, open_regular};
use crate::sink::{Delivered, DeliveryError, Event, Sink};

/// Where events go, and when the file is rotated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSettings {
    /// The file.
    pub path: PathBuf,
    /// The size in bytes from which on it is rotated before the next batch; 0: never.
    pub max_bytes: u64,
    /// Whether it is rotated before the first batch of a day, in UTC.
    pub daily: bool,
}

/// A file that events are appended to.
#[derive(Debug)]
pub(super) struct FileSink {
    settings: FileSettings,
}

impl FileSink {
    /// A sink that has not opened its file yet.
    pub(super) fn new(settings: FileSettings) -> Self {
        Self { settings }
    }

    async fn append(&self, batch: &[Event]) -> io::Result<Delivered> {
        let mut lines = Vec::new();
        for event in batch {
            event_json::append(&mut lines, event)?;
            lines.push(b'\n');
        }
        let settings = self.settings.clone();
        // A disk may be slow.
        let writing = move || {
            let file = Lines { path: &settings.path, begin: b"{\"type\":", mode: 0o666 };
            file.append(&lines, |metadata| rotated_name(&settings, metadata, Timestamp::now()))
        };
        tokio::task::spawn_blocking(writing).await.map_err(io::Error::other)??;
        Ok(Delivered::default())
    }

    fn failed(&self, error: &io::Error) -> DeliveryError {
        DeliveryError::new(format!("cannot append to {}: {error}", self.settings.path.display()))
    }
}

impl Kind for FileSettings {
    fn destination(&self) -> Destination {
        Destination::Events(Box::new(FileSink::new(self.clone())))
    }
}

impl Sink for FileSink {
    fn deliver<'a>(&'a mut self, batch: &'a [Event]) -> BoxFuture<'a, Result<Delivered, DeliveryError>> {
        async move { self.append(batch).await.map_err(|error| self.failed(&error)) }.boxed()
    }

    fn health(&mut self) -> BoxFuture<'_, Result<(), DeliveryError>> {
        async move {
            let path = self.settings.path.clone();
            let trying = tokio::task::spawn_blocking(move || can_append(&path));
            trying.await.map_err(io::Error::other).flatten().map_err(|error| self.failed(&error))
        }
        .boxed()
    }
}

/// Checks that a file can be appended to, or can be created. Does not create it.
fn can_append(path: &Path) -> io::Result<()> {
    match open_regular(OpenOptions::new().append(true), path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Ok(access(directory_of(path), Access::WRITE_OK | Access::EXEC_OK)?)
        }
        opened => opened.map(drop),
    }
}

/// The new name of the file if it is to be rotated: its own with the time of its last line.
fn rotated_name(settings: &FileSettings, metadata: &Metadata, now: Timestamp) -> Option<PathBuf> {
    let modified = metadata.modified().ok()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let written_at = i64::try_from(modified.as_millis()).ok().and_then(Timestamp::from_millis).unwrap_or(now);
    let is_large = settings.max_bytes > 0 && metadata.len() >= settings.max_bytes;
    let is_old = settings.daily && day(written_at) != day(now);
    (metadata.len() > 0 && (is_large || is_old)).then(|| free_name(&settings.path, written_at))
}

fn day(at: Timestamp) -> String {
    at.to_string().split('T').next().unwrap_or_default().to_owned()
}

/// `FILE.20260131T235959Z`, with a number if that file exists.
fn free_name(path: &Path, at: Timestamp) -> PathBuf {
    let time: String = at.to_string().chars().take_while(|c| *c != '.').filter(|c| !"-:".contains(*c)).collect();
    let name = |number: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(if number == 0 { format!(".{time}Z") } else { format!(".{time}Z-{number}") });
        PathBuf::from(name)
    };
    (0..u32::MAX).map(name).find(|name| !name.exists()).unwrap_or_else(|| name(u32::MAX))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::time::{Duration, SystemTime};

    use dynacrawl_model::{Outcome, Record, RunId, TargetFailed};

    use super::{FileSettings, FileSink};
    use crate::sink::{Event, Part, Sink};

    fn event(number: u32) -> Event {
        let failed = TargetFailed {
            target: format!("t{number}"),
            account_id: None,
            outcome: Outcome::Failed,
            code: "code".to_owned(),
            message: "message".to_owned(),
        };
        Event {
            id: format!("id{number}"),
            record: Record::of_run(RunId::generate(), failed),
            table: None,
            target: None,
            part: Part::Whole,
        }
    }

    async fn deliver(sink: &mut FileSink, number: u32) {
        let delivered = sink.deliver(&[event(number)]).await.expect("delivered");
        assert!(delivered.refused.is_empty());
    }

    #[tokio::test]
    async fn a_line_is_the_record_with_the_id_of_its_event() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("events.jsonl");
        let mut sink = FileSink::new(FileSettings { path: path.clone(), max_bytes: 0, daily: true });
        sink.health().await.expect("it can be written");
        deliver(&mut sink, 1).await;
        deliver(&mut sink, 2).await;
        let text = fs::read_to_string(&path).expect("read");
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!((&lines[1]["type"], &lines[1]["event_id"]), (&"target_failed".into(), &"id2".into()));
    }

    #[tokio::test]
    async fn a_file_that_is_large_or_of_another_day_is_rotated() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("events.jsonl");
        let names = || {
            let names = fs::read_dir(directory.path()).expect("read").map(|entry| entry.expect("one").file_name());
            let mut names: Vec<_> = names.map(|name| name.to_string_lossy().into_owned()).collect();
            names.sort();
            names
        };
        let mut sink = FileSink::new(FileSettings { path: path.clone(), max_bytes: 0, daily: true });
        deliver(&mut sink, 1).await;
        assert_eq!(names(), ["events.jsonl"]);
        // 2026-01-31, a second before midnight.
        let yesterday = SystemTime::UNIX_EPOCH + Duration::from_secs(1_769_903_999);
        File::options().append(true).open(&path).and_then(|file| file.set_modified(yesterday)).expect("a time");
        deliver(&mut sink, 2).await;
        assert_eq!(names(), ["events.jsonl", "events.jsonl.20260131T235959Z"]);
        let mut small = FileSink::new(FileSettings { path: path.clone(), max_bytes: 10, daily: false });
        File::options().append(true).open(&path).and_then(|file| file.set_modified(yesterday)).expect("a time");
        deliver(&mut small, 3).await;
        assert_eq!(names(), ["events.jsonl", "events.jsonl.20260131T235959Z", "events.jsonl.20260131T235959Z-1"]);
        assert_eq!(fs::read_to_string(&path).expect("read").lines().count(), 1);
    }

    #[tokio::test]
    async fn a_missing_directory_is_an_error_that_names_the_file() {
        let path = std::path::PathBuf::from("/nonexistent/events.jsonl");
        let mut sink = FileSink::new(FileSettings { path, max_bytes: 0, daily: false });
        for failed in
            [sink.health().await.expect_err("no directory"), sink.deliver(&[event(1)]).await.expect_err("none")]
        {
            assert!(failed.message.contains("/nonexistent/events.jsonl"), "{failed}");
        }
    }
}
