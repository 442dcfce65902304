//! The file or stream that lines are written to, by a thread of its own: a slow reader of a pipe must not hold up the
//! network.

use std::fs::{File, TryLockError};
use std::io::{self, BufRead, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

/// Why an output failed for good.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// The reader of the output has gone away, as `head` does.
    #[error("the output was closed by its reader")]
    Closed,
    /// The output could not be opened.
    #[error("cannot open the output {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another run is writing the file.
    #[error("the output {} is being written by another run", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// What was written before, and is to be continued, is not there any more.
    #[error("what was written to {} before is not there any more", path.display())]
    NotThere {
        /// The file.
        path: PathBuf,
    },
    /// What follows the output, so that a later process can go on after it, cannot be written.
    #[error("cannot remember how far the output is")]
    Journal(#[source] crate::JournalError),
    /// Writing failed.
    #[error("cannot write the output {output}")]
    Write {
        /// The file, or `-`.
        output: String,
        /// Why.
        source: io::Error,
    },
    /// A record could not be turned into JSON.
    #[error("a record cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}

/// An open output.
#[derive(Debug)]
pub struct Output {
    name: String,
    orders: mpsc::Sender<Order>,
    /// How many bytes were there before.
    start: u64,
    thread: JoinHandle<Result<File, io::Error>>,
    /// For a regular file.
    replace: Option<Places>,
}

/// How much of a first line is read; the mark is at its beginning.
const MOST_OF_A_LINE: u64 = 4096;

/// What the writing thread is asked to do.
#[derive(Debug)]
enum Order {
    Write(Vec<u8>),
    /// Make what was written last, and say so.
    Sync(oneshot::Sender<()>),
}

/// Where a regular file is written until it is whole, and where it belongs then.
#[derive(Debug)]
struct Places {
    partial: PathBuf,
    target: PathBuf,
}

impl Places {
    /// `None` for what is no regular file.
    fn of(path: &Path) -> Result<Option<Self>, SinkError> {
        // A link stays, and what it points to is replaced.
        let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        match std::fs::metadata(&target) {
            Ok(there) if there.is_dir() => {
                Err(SinkError::Open { path: path.to_owned(), source: io::Error::from(io::ErrorKind::IsADirectory) })
            }
            Ok(there) if !there.is_file() => Ok(None),
            _ => {
                let mut partial = target.clone().into_os_string();
                partial.push(".partial");
                Ok(Some(Self { partial: partial.into(), target }))
            }
        }
    }

    /// Opens the partial file and locks it.
    fn open(&self) -> Result<File, SinkError> {
        let failed = |source| SinkError::Open { path: self.partial.clone(), source };
        loop {
            let file = File::options().create(true).write(true).truncate(false).open(&self.partial).map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(SinkError::Busy { path: self.target.clone() }),
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
            // Between opening and locking, another run may have put this very file in its place.
            let ours = file.metadata().map_err(failed)?.ino();
            if std::fs::metadata(&self.partial).is_ok_and(|there| there.ino() == ours) {
                return Ok(file);
            }
        }
    }
}

impl Output {
    /// Opens standard output.
    ///
    /// # Errors
    /// When it is closed.
    pub fn stdout() -> Result<Self, SinkError> {
        use std::os::fd::AsFd;
        // The file descriptor itself: std's Stdout looks for line ends in everything that it is given.
        let file = io::stdout().as_fd().try_clone_to_owned().map(File::from);
        let file = file.map_err(|source| SinkError::Open { path: "-".into(), source })?;
        Self::start_at("-".to_owned(), file, None, 0)
    }

    /// Opens a file. A regular file is written beside itself, as `FILE.partial`, and replaced when it is whole;
    /// anything else (a pipe, a device) is written directly.
    ///
    /// # Errors
    /// When the file cannot be opened, or another run is writing it.
    pub fn file(path: &Path) -> Result<Self, SinkError> {
        let name = path.display().to_string();
        let Some(places) = Places::of(path)? else {
            let opened = File::options().write(true).open(path);
            return Self::start_at(
                name,
                opened.map_err(|source| SinkError::Open { path: path.to_owned(), source })?,
                None,
                0,
            );
        };
        let file = places.open()?;
        file.set_len(0).map_err(|source| SinkError::Open { path: places.partial.clone(), source })?;
        Self::start_at(name, file, Some(places), 0)
    }

    /// Opens a file that another process was writing, and cuts `FILE.partial` back to its first `offset` bytes. What is no
    /// regular file is opened as ever.
    ///
    /// # Errors
    /// When the partial file is not there or shorter than that, or its first line does not have `mark` in it (then it is
    /// another run's), or it cannot be opened, or another run is writing it.
    pub fn resume(path: &Path, offset: u64, mark: &str) -> Result<Self, SinkError> {
        let Some(places) = Places::of(path)? else { return Self::file(path) };
        if !std::fs::metadata(&places.partial).is_ok_and(|there| there.len() >= offset) {
            return Err(SinkError::NotThere { path: places.partial });
        }
        let mut file = places.open()?;
        let failed = |source| SinkError::Open { path: places.partial.clone(), source };
        // It may have been cut by somebody else between looking and locking.
        if file.metadata().map_err(failed)?.len() < offset {
            return Err(SinkError::NotThere { path: places.partial });
        }
        if offset > 0 && !first_line(&places.partial).map_err(failed)?.contains(mark) {
            return Err(SinkError::NotThere { path: places.partial });
        }
        file.set_len(offset).and_then(|()| file.seek(SeekFrom::End(0))).map_err(failed)?;
        Self::start_at(path.display().to_string(), file, Some(places), offset)
    }

    /// Whether the file is written beside itself, and replaced when it is whole.
    pub fn replaces(path: &Path) -> bool {
        matches!(Places::of(path), Ok(Some(_)))
    }

    fn start_at(name: String, mut file: File, replace: Option<Places>, start: u64) -> Result<Self, SinkError> {
        let (orders, mut queue) = mpsc::channel(4);
        // Also standard output may be one.
        let regular = file.metadata().is_ok_and(|file| file.is_file());
        let spawned = std::thread::Builder::new().name("output".to_owned()).spawn(move || {
            while let Some(order) = queue.blocking_recv() {
                match order {
                    Order::Write(chunk) => file.write_all(&chunk)?,
                    Order::Sync(done) => {
                        if regular {
                            file.sync_data()?;
                        }
                        // Whoever asked may have gone away.
                        let _ = done.send(());
                    }
                }
            }
            Ok(file)
        });
        let thread = spawned.map_err(|source| SinkError::Write { output: name.clone(), source })?;
        Ok(Self { name, orders, start, thread, replace })
    }

    /// How many bytes were there before.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Waits until everything is written and, in a regular file, lasts over a power failure. `false`: the thread has ended over
    /// an error, which [`Output::finish`] tells.
    pub(crate) async fn sync(&self) -> bool {
        let (done, synced) = oneshot::channel();
        if self.orders.send(Order::Sync(done)).await.is_err() {
            return false;
        }
        // Waited for where the runtime knows that something is under way: simulated time must not pass meanwhile.
        matches!(tokio::task::spawn_blocking(move || synced.blocking_recv()).await, Ok(Ok(())))
    }

    /// Hands a chunk to the writing thread. `false`: the thread has ended over an error, which [`Output::finish`] tells.
    pub(crate) async fn write(&self, chunk: Vec<u8>) -> bool {
        self.orders.send(Order::Write(chunk)).await.is_ok()
    }

    /// Waits until everything is written; with `replace`, puts a regular file in its place. Without, `FILE.partial` stays.
    ///
    /// # Errors
    /// When writing failed at any time.
    pub async fn finish(self, replace: bool) -> Result<(), SinkError> {
        let Self { name, orders, thread, replace: places, .. } = self;
        drop(orders);
        let work = move || {
            let file = thread.join().unwrap_or_else(|_| Err(io::Error::other("the writing thread failed")))?;
            let Some(Places { partial, target }) = places else { return Ok(()) };
            file.sync_all()?;
            if replace {
                std::fs::rename(&partial, &target)?;
                sync_directory(&target);
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

fn first_line(path: &Path) -> io::Result<String> {
    let mut line = Vec::new();
    io::BufReader::new(File::open(path)?).take(MOST_OF_A_LINE).read_until(b'\n', &mut line)?;
    Ok(String::from_utf8_lossy(&line).into_owned())
}

/// Makes the new name last over a power failure, where the file system can.
fn sync_directory(file: &Path) {
    let directory = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let Ok(directory) = File::open(directory) {
        // Some file systems refuse this; the rename has happened all the same.
        let _ = directory.sync_all();
    }
}
