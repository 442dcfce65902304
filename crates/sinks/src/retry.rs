//! Delivers events again that a destination refused.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use crate::dead_letters::{DeadLetter, DeadLetterError, Letters, append, aside, read_dead_letters};
use crate::driver::deliver_until;
use crate::kinds::SinkSettings;
use crate::sink::{Delivered, Sink};

/// What became of dead letters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retried {
    /// How many the destination has taken.
    pub delivered: u64,
    /// How many it refused again.
    pub refused: u64,
}

/// Delivers the dead letters of a sink again, in order. Those that the destination refuses again are
/// dead letters again. If it takes none now, all that are left stay in the file.
///
/// Another process may append to the file meanwhile: first it gets the name `FILE.retry`, which stays
/// until everything in it is delivered or appended to the file.
///
/// # Errors
/// If a file cannot be read or written, or the destination does not take them within `within`.
pub async fn retry_dead_letters(
    sink: &mut dyn Sink,
    settings: &SinkSettings,
    path: &Path,
    within: Duration,
) -> Result<Retried, DeadLetterError> {
    let aside = aside(path);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| DeadLetterError::File { path, source }
    };
    // What a retry that was killed has left comes first.
    if !aside.exists() {
        match std::fs::rename(path, &aside) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Retried::default()),
            renamed => renamed.map_err(failed(path))?,
        }
    }
    if let Err(error) = read_dead_letters(&aside, |_| true) {
        // Nothing was delivered. The file gets its name back, unless there is a new one.
        if !path.exists() {
            std::fs::rename(&aside, path).map_err(failed(path))?;
        }
        return Err(error);
    }
    let mut retried = Retried::default();
    let deadline = Instant::now() + within;
    let Some(mut letters) = Letters::open(&aside)? else { return Ok(retried) };
    loop {
        let mut batch = letters.batch(settings.at_once())?;
        if batch.is_empty() {
            break;
        }
        let events: Vec<_> = batch.iter().map(DeadLetter::event).collect();
        match deliver_until(sink, settings, &events, deadline).await {
            Ok(Delivered { refused }) => {
                retried.refused += refused.len() as u64;
                retried.delivered += (batch.len() - refused.len()) as u64;
            }
            Err(error) => {
                while !batch.is_empty() {
                    let mut lines = Vec::new();
                    for letter in &batch {
                        serde_json::to_writer(&mut lines, letter).map_err(io::Error::from).map_err(failed(path))?;
                        lines.push(b'\n');
                    }
                    append(path, &lines).map_err(failed(path))?;
                    batch = letters.batch(settings.at_once())?;
                }
                std::fs::remove_file(&aside).map_err(failed(&aside))?;
                return Err(DeadLetterError::Delivery(error));
            }
        }
    }
    std::fs::remove_file(&aside).map_err(failed(&aside))?;
    Ok(retried)
}
