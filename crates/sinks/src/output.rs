//! The file or stream that lines are written to, by a thread of its own: a slow reader of a pipe must not hold up the
//! network.

use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use tokio::sync::mpsc;

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
    chunks: mpsc::Sender<Vec<u8>>,
    thread: JoinHandle<Result<File, io::Error>>,
    /// For a regular file: where it is written until it is whole, and where it belongs then.
    replace: Option<(PathBuf, PathBuf)>,
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
        Self::start("-".to_owned(), file, None)
    }

    /// Opens a file. A regular file is written beside itself, as `FILE.partial`, and replaced when it is whole;
    /// anything else (a pipe, a device) is written directly.
    ///
    /// # Errors
    /// When the file cannot be opened, or another run is writing it.
    pub fn file(path: &Path) -> Result<Self, SinkError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| SinkError::Open { path, source }
        };
        let name = path.display().to_string();
        // A link stays, and what it points to is replaced.
        let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        match std::fs::metadata(&target) {
            Ok(there) if !there.is_file() && !there.is_dir() => {
                let file = File::options().write(true).open(&target).map_err(failed(path))?;
                return Self::start(name, file, None);
            }
            Ok(there) if there.is_dir() => {
                return Err(failed(path)(io::Error::from(io::ErrorKind::IsADirectory)));
            }
            _ => {}
        }
        let mut partial = target.clone().into_os_string();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let file = loop {
            let file =
                File::options().create(true).write(true).truncate(false).open(&partial).map_err(failed(&partial))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(SinkError::Busy { path: path.to_owned() }),
                Err(TryLockError::Error(source)) => return Err(failed(&partial)(source)),
            }
            // Between opening and locking, another run may have put this very file in its place.
            let ours = file.metadata().map_err(failed(&partial))?.ino();
            if std::fs::metadata(&partial).is_ok_and(|there| there.ino() == ours) {
                break file;
            }
        };
        file.set_len(0).map_err(failed(&partial))?;
        Self::start(name, file, Some((partial, target)))
    }

    fn start(name: String, mut file: File, replace: Option<(PathBuf, PathBuf)>) -> Result<Self, SinkError> {
        let (chunks, mut queue) = mpsc::channel::<Vec<u8>>(4);
        let spawned = std::thread::Builder::new().name("output".to_owned()).spawn(move || {
            while let Some(chunk) = queue.blocking_recv() {
                file.write_all(&chunk)?;
            }
            Ok(file)
        });
        let thread = spawned.map_err(|source| SinkError::Write { output: name.clone(), source })?;
        Ok(Self { name, chunks, thread, replace })
    }

    /// Hands a chunk to the writing thread. `false`: the thread has ended over an error, which [`Output::finish`] tells.
    pub(crate) async fn write(&self, chunk: Vec<u8>) -> bool {
        self.chunks.send(chunk).await.is_ok()
    }

    /// Waits until everything is written; with `replace`, puts a regular file in its place. Without, `FILE.partial` stays.
    ///
    /// # Errors
    /// When writing failed at any time.
    pub async fn finish(self, replace: bool) -> Result<(), SinkError> {
        let Self { name, chunks, thread, replace: paths } = self;
        drop(chunks);
        let work = move || {
            let file = thread.join().unwrap_or_else(|_| Err(io::Error::other("the writing thread failed")))?;
            let Some((partial, target)) = paths else { return Ok(()) };
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

/// Makes the new name last over a power failure, where the file system can.
fn sync_directory(file: &Path) {
    let directory = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let Ok(directory) = File::open(directory) {
        // Some file systems refuse this; the rename has happened all the same.
        let _ = directory.sync_all();
    }
}
