//! The file or stream that lines are written to. It has a thread of its own, so that a slow reader
//! of a pipe does not block the network.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use rustix::fs::OFlags;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use crate::SinkError;
use crate::partial::{self, Places};

/// An open output.
#[derive(Debug)]
pub struct Output {
    name: String,
    orders: mpsc::Sender<Order>,
    /// How many bytes the file had when it was opened.
    start: u64,
    thread: JoinHandle<Result<File, io::Error>>,
    /// Only for a regular file.
    replace: Option<Places>,
}

/// An order for the writing thread.
#[derive(Debug)]
enum Order {
    Write(Vec<u8>),
    /// Make everything that was written durable, and then answer.
    Sync(oneshot::Sender<()>),
}

impl Output {
    /// Opens standard output.
    ///
    /// # Errors
    /// If it is closed.
    pub fn stdout() -> Result<Self, SinkError> {
        use std::os::fd::AsFd;
        // The file descriptor itself, because std's `Stdout` searches everything for line ends.
        let file = io::stdout().as_fd().try_clone_to_owned().map(File::from);
        let file = file.map_err(|source| SinkError::Open { path: "-".into(), source })?;
        Self::start_at("-".to_owned(), file, None, 0)
    }

    /// An output that discards everything.
    ///
    /// # Errors
    /// If the system does not have the null device.
    pub fn nowhere() -> Result<Self, SinkError> {
        let open = File::options().write(true).open("/dev/null");
        let file = open.map_err(|source| SinkError::Open { path: "/dev/null".into(), source })?;
        Self::start_at("-".to_owned(), file, None, 0)
    }

    /// Opens a file. For a regular file, `FILE.partial` is written, and replaces the file when it
    /// is complete. Anything else, such as a pipe or a device, is written directly.
    ///
    /// # Errors
    /// If the file cannot be opened, another run is writing it, or no process reads the FIFO yet.
    pub fn file(path: &Path) -> Result<Self, SinkError> {
        let name = path.display().to_string();
        let Some(places) = Places::of(path)? else {
            return Self::start_at(name, open_stream(path)?, None, 0);
        };
        let file = places.open()?;
        file.set_len(0).map_err(|source| SinkError::Open { path: places.partial.clone(), source })?;
        Self::start_at(name, file, Some(places), 0)
    }

    /// Opens a file that another process was writing, and truncates `FILE.partial` to its first
    /// `offset` bytes. Anything but a regular file is opened as by [`Output::file`].
    ///
    /// # Errors
    /// If the partial file does not exist or is shorter than that, its first line does not contain
    /// `mark` (then it belongs to another run), it cannot be opened, or another run is writing it.
    pub fn resume(path: &Path, offset: u64, mark: &str) -> Result<Self, SinkError> {
        let Some(places) = Places::of(path)? else { return Self::file(path) };
        if !std::fs::metadata(&places.partial).is_ok_and(|there| there.len() >= offset) {
            return Err(SinkError::NotThere { path: places.partial });
        }
        let mut file = places.open()?;
        let failed = |source| SinkError::Open { path: places.partial.clone(), source };
        // Another process may have truncated it before it was locked.
        if file.metadata().map_err(failed)?.len() < offset {
            return Err(SinkError::NotThere { path: places.partial });
        }
        if offset > 0 && !partial::first_line(&places.partial).map_err(failed)?.contains(mark) {
            return Err(SinkError::NotThere { path: places.partial });
        }
        file.set_len(offset).and_then(|()| file.seek(SeekFrom::End(0))).map_err(failed)?;
        Self::start_at(path.display().to_string(), file, Some(places), offset)
    }

    /// Deletes `FILE.partial` of a run that was given up, if its first line contains that run's
    /// `mark` or if it is empty. Returns whether it was deleted.
    ///
    /// # Errors
    /// If it is being written, or cannot be read or deleted.
    pub fn discard(path: &Path, mark: &str) -> Result<bool, SinkError> {
        match Places::of(path)? {
            Some(places) => places.discard(mark),
            None => Ok(false),
        }
    }

    /// Deletes a finished file, if its first line contains `mark`: otherwise it belongs to another
    /// run. An empty file has no such line; it is deleted if `empty_too`. Returns whether the file
    /// was deleted.
    ///
    /// # Errors
    /// If it cannot be read or deleted.
    pub fn delete(path: &Path, mark: &str, empty_too: bool) -> Result<bool, SinkError> {
        partial::delete(path, mark, empty_too).map_err(|source| SinkError::Open { path: path.to_owned(), source })
    }

    /// The files that an output has while it is written and afterwards: `FILE.partial` and the
    /// file. `None` for a stream.
    ///
    /// # Errors
    /// If it is a directory.
    pub fn files(path: &Path) -> Result<Option<[PathBuf; 2]>, SinkError> {
        Ok(Places::of(path)?.map(|places| [places.partial, places.target]))
    }

    /// Whether `FILE.partial` is written, and replaces the file when it is complete.
    pub fn replaces(path: &Path) -> bool {
        matches!(Places::of(path), Ok(Some(_)))
    }

    fn start_at(name: String, mut file: File, replace: Option<Places>, start: u64) -> Result<Self, SinkError> {
        let (orders, mut queue) = mpsc::channel(4);
        // Standard output may be a regular file, too.
        let regular = file.metadata().is_ok_and(|file| file.is_file());
        let spawned = std::thread::Builder::new().name("output".to_owned()).spawn(move || {
            while let Some(order) = queue.blocking_recv() {
                match order {
                    Order::Write(chunk) => file.write_all(&chunk)?,
                    Order::Sync(done) => {
                        if regular {
                            file.sync_data()?;
                        }
                        // The caller may no longer wait.
                        let _ = done.send(());
                    }
                }
            }
            Ok(file)
        });
        let thread = spawned.map_err(|source| SinkError::Write { output: name.clone(), source })?;
        Ok(Self { name, orders, start, thread, replace })
    }

    /// The path of the output; `None` for standard output.
    pub fn path(&self) -> Option<&str> {
        Some(self.name.as_str()).filter(|name| *name != "-")
    }

    /// The file that has the lines until the output is complete, if it is a regular file.
    pub fn partial(&self) -> Option<&Path> {
        self.replace.as_ref().map(|places| places.partial.as_path())
    }

    /// How many bytes the file had when it was opened.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Waits until everything is written and, in a regular file, would survive a power failure.
    /// `false`: the thread has ended with an error, which [`Output::finish`] returns.
    pub(crate) async fn sync(&self) -> bool {
        let (done, synced) = oneshot::channel();
        if !self.order(Order::Sync(done)).await {
            return false;
        }
        // As in `order`.
        matches!(tokio::task::spawn_blocking(move || synced.blocking_recv()).await, Ok(Ok(())))
    }

    /// Hands a chunk to the writing thread. `false`: the thread has ended with an error, which
    /// [`Output::finish`] returns.
    pub(crate) async fn write(&self, chunk: Vec<u8>) -> bool {
        self.order(Order::Write(chunk)).await
    }

    async fn order(&self, order: Order) -> bool {
        match self.orders.try_send(order) {
            Ok(()) => true,
            Err(TrySendError::Closed(_)) => false,
            // Waits in a blocking task, so that the runtime counts it as work: paused time must not
            // advance meanwhile.
            Err(TrySendError::Full(order)) => {
                let orders = self.orders.clone();
                matches!(tokio::task::spawn_blocking(move || orders.blocking_send(order)).await, Ok(Ok(())))
            }
        }
    }

    /// Waits until everything is written. With `replace`, `FILE.partial` then replaces a regular
    /// file; otherwise it stays.
    ///
    /// # Errors
    /// If writing failed at any time.
    pub async fn finish(self, replace: bool) -> Result<(), SinkError> {
        let Self { name, orders, thread, replace: places, .. } = self;
        drop(orders);
        let work = move || {
            let file = thread.join().unwrap_or_else(|_| Err(io::Error::other("the writing thread failed")))?;
            match places {
                Some(places) if replace => places.put(&file)?,
                Some(_) => file.sync_all()?,
                None => {}
            }
            Ok(())
        };
        let done = tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)));
        done.map_err(|source: io::Error| {
            if source.kind() == io::ErrorKind::BrokenPipe {
                SinkError::Closed
            } else {
                SinkError::Write { output: name, source }
            }
        })
    }
}

/// Opens a FIFO or a device. Without `O_NONBLOCK` the whole process would wait until another
/// process reads a FIFO.
fn open_stream(path: &Path) -> Result<File, SinkError> {
    let failed = |source| SinkError::Open { path: path.to_owned(), source };
    let flags = OFlags::NONBLOCK.bits();
    #[expect(clippy::cast_possible_wrap, reason = "open(2) takes a C int, and the flags are bits")]
    let opened = File::options().write(true).custom_flags(flags as i32).open(path);
    let file = match opened {
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => {
            let is_fifo = std::fs::metadata(path).is_ok_and(|there| there.file_type().is_fifo());
            return Err(if is_fifo { SinkError::NoReader { path: path.to_owned() } } else { failed(error) });
        }
        opened => opened.map_err(failed)?,
    };
    // From here on the writing thread is to wait for a slow reader.
    let flags = rustix::fs::fcntl_getfl(&file).and_then(|now| rustix::fs::fcntl_setfl(&file, now - OFlags::NONBLOCK));
    flags.map_err(|error| failed(error.into()))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read};
    use std::os::unix::fs::OpenOptionsExt;
    use std::path::PathBuf;

    use super::{Output, SinkError};

    #[tokio::test]
    async fn a_fifo_without_a_reader_is_a_temporary_error() {
        let directory = tempfile::tempdir().expect("directory");
        let fifo = directory.path().join("fifo");
        // Without a child process such as mkfifo: before its exec it would hold the locks of
        // parallel tests.
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).expect("a FIFO");
        for opened in [Output::file(&fifo), Output::resume(&fifo, 7, "")] {
            let refused = opened.expect_err("no process reads it");
            assert!(matches!(&refused, SinkError::NoReader { path } if *path == fifo) && refused.may_pass());
        }
        #[expect(clippy::cast_possible_wrap, reason = "open(2) takes a C int, and the flags are bits")]
        let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
        let mut reader = std::fs::File::options().read(true).custom_flags(flags).open(&fifo).expect("open");
        let output = Output::file(&fifo).expect("open");
        // More than the pipe holds: the writing thread has to wait for the reader instead of
        // failing.
        let large = vec![b'x'; 300_000];
        assert!(output.write(large).await);
        let reading = tokio::task::spawn_blocking(move || {
            let flags = rustix::fs::fcntl_getfl(&reader).expect("flags") - rustix::fs::OFlags::NONBLOCK;
            rustix::fs::fcntl_setfl(&reader, flags).expect("flags");
            let mut read = Vec::new();
            reader.read_to_end(&mut read).map(|_| read.len())
        });
        output.finish(true).await.expect("written");
        assert_eq!(reading.await.expect("it ended").expect("read"), 300_000);
    }

    #[test]
    fn temporary_and_permanent_errors_are_distinguished() {
        let open = |kind: io::ErrorKind| SinkError::Open { path: PathBuf::from("out"), source: io::Error::from(kind) };
        for (error, passes) in [
            (open(io::ErrorKind::NotFound), true),
            (open(io::ErrorKind::StorageFull), true),
            (open(io::ErrorKind::ReadOnlyFilesystem), true),
            (open(io::ErrorKind::PermissionDenied), false),
            (open(io::ErrorKind::IsADirectory), false),
            (SinkError::Busy { path: PathBuf::from("out") }, true),
            (SinkError::NotAFile { path: PathBuf::from("out.partial") }, false),
        ] {
            assert_eq!(error.may_pass(), passes, "{error:?}");
        }
    }
}
