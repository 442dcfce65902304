//! From a plan to an output that is in its place.

use std::sync::Arc;

use dynacrawl_model::RunOutcome;
use dynacrawl_sinks::{SinkError, Written, write_records};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::history::RunHistory;
use super::progress::Progress;
use super::report::RunReport;
use super::resume::PreparedRun;
use super::run_plan::RunPlan;
use super::scope_error::ScopeError;
use super::supervisor::run;

/// How many records wait for the output.
const QUEUED_RECORDS: usize = 256;

/// Crawls into an output, and puts the output in its place if the crawl deserves it.
pub async fn crawl_to_output(
    plan: &RunPlan,
    start: PreparedRun,
    stop: &CancellationToken,
    progress: &Arc<Progress>,
) -> (RunReport, Result<Written, SinkError>) {
    let PreparedRun { run_id, output, mut journal, detector, old_files, before, .. } = start;
    let remembered = RunHistory { before, journaled: journal.is_some(), detector: detector.map(Arc::new) };
    let (records, queue) = mpsc::channel(QUEUED_RECORDS);
    progress.queue(records.downgrade());
    let (mut report, written) = tokio::join!(
        Box::pin(run(plan, run_id, remembered, records, stop, progress))
            .instrument(tracing::debug_span!("run", %run_id)),
        write_records(&output, plan.settings.crawl.layout, queue, &mut journal),
    );
    let ended = report.ended_by.is_none() && report.outcome != RunOutcome::Cancelled;
    let written = match report.ended_by.take() {
        Some(ScopeError::State(error)) => Err(SinkError::Journal(error.into())),
        Some(ScopeError::OutputClosed) | None => written,
    };
    let whole = ended && matches!(report.outcome, RunOutcome::Complete | RunOutcome::Partial);
    let finished = output.finish(whole && written.is_ok()).await;
    let mut written = written.and_then(|written| finished.map(|()| written));
    // Only now: killed before, a later process finds the run unfinished, and its output where it was.
    // A reader that has seen enough will not come back for the rest.
    let outcome = match &written {
        Ok(_) if ended => Some(report.outcome),
        Err(SinkError::Closed) => Some(RunOutcome::Cancelled),
        _ => None,
    };
    if let (Some(outcome), Some(journal)) = (outcome, journal) {
        match journal.end(outcome, written.is_ok()).await {
            Ok(()) => {
                if let Some(files) = old_files.filter(|_| written.is_ok()) {
                    files.delete().await;
                }
            }
            Err(error) => written = Err(SinkError::Journal(error)),
        }
    }
    (report, written)
}
