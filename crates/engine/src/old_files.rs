//! The files of earlier runs, whose number `crawl.keep_files` limits.

use std::path::Path;

use dynacrawl_model::Escaped;
use dynacrawl_sinks::{Output, SinkError};
use dynacrawl_state::{FileQuery, RunFile};

use super::run_plan::RunPlan;
use super::shared_state::{SharedState, opened};
use crate::settings::{Destination, Placeholder};

/// The files of earlier runs.
#[derive(Debug)]
pub struct OldFiles {
    state: SharedState,
    asked: FileQuery,
    keep: u32,
}

impl OldFiles {
    /// The files that the settings limit; `None` if all are kept.
    pub(super) fn new(plan: &RunPlan, state: &SharedState) -> Option<Self> {
        let Destination::File(path) = &plan.settings.crawl.output else { return None };
        let keep = plan.settings.crawl.keep_files;
        let asked = FileQuery {
            template: plan.settings.crawl.output.template().to_owned(),
            // A schedule deletes only its own files.
            schedule: path.has(Placeholder::Schedule).then(|| plan.request.schedule.clone()),
        };
        (keep > 0 && path.is_template()).then(|| Self { state: state.clone(), asked, keep })
    }

    /// Deletes the oldest files beyond the number to keep. If a file cannot be deleted, the next
    /// run tries again.
    pub(crate) async fn delete(self) {
        let deleting = tokio::task::spawn_blocking(move || {
            let old = opened(&self.state).old_files(&self.asked, self.keep)?;
            let (deleted, _): (Vec<_>, Vec<_>) = old.into_iter().partition(delete);
            opened(&self.state).files_are_deleted(&deleted)
        });
        match deleting.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the files of old runs cannot be deleted"),
            Err(error) => tracing::warn!(%error, "the files of old runs cannot be deleted"),
        }
    }
}

/// Deletes the files of a run, unless another run has replaced them.
fn delete(old: &RunFile) -> bool {
    let deleted =
        Output::delete(&old.path, &old.run_id, old.may_be_empty).and_then(|_| Output::discard(&old.path, &old.run_id));
    if let Err(error) = &deleted {
        warn(&old.path, error);
    }
    deleted.is_ok()
}

/// Deletes `FILE.partial` of an abandoned run.
pub(super) fn discard(path: &Path, run_id: &str) {
    match Output::discard(path, run_id) {
        // Another run is writing it now.
        Ok(_) | Err(SinkError::Busy { .. }) => {}
        Err(error) => warn(path, &error),
    }
}

/// Deletes the empty `FILE.partial` of a run that has not begun, while this process still holds its lock.
pub(super) fn delete_empty(path: &Path) {
    if let Ok(Some([partial, _])) = Output::files(path)
        && std::fs::metadata(&partial).is_ok_and(|there| there.len() == 0)
        && let Err(error) = std::fs::remove_file(&partial)
    {
        warn(&partial, &error);
    }
}

fn warn(path: &Path, error: &dyn std::error::Error) {
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    let (path, error) = (path.display().to_string(), format!("{error}: {cause}"));
    tracing::warn!(path = %Escaped(&path), error = %Escaped(&error), "a file of an old run cannot be deleted");
}
