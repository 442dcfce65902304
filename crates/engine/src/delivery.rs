//! Crawls a plan into an output, and puts the output in place.

use std::sync::Arc;

use dynacrawl_model::RunOutcome;
use dynacrawl_sinks::{JournalError, Observed, Position, SinkError, Written, write_records};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::history::RunHistory;
use super::inline_sinks::InlineSinks;
use super::journal::Journal;
use super::progress::Progress;
use super::report::RunReport;
use super::resume::PreparedRun;
use super::run_event::RunEvent;
use super::run_plan::RunPlan;
use super::scope_error::ScopeError;
use super::supervisor::run;

/// How many records wait for the output.
const QUEUED_RECORDS: usize = 256;

/// Crawls into an output, and puts the output in place if the run is complete or partial.
pub async fn crawl_to_output(
    plan: &RunPlan,
    start: PreparedRun,
    stop: &CancellationToken,
    progress: &Arc<Progress>,
) -> (RunReport, Result<Written, SinkError>) {
    let PreparedRun { run_id, output, journal, detector, old_files, before, .. } = start;
    let crawl = &plan.settings.crawl;
    let is_inline = journal.is_none() && !crawl.dry_run;
    let sinks = if is_inline { plan.request.sinks.of(&plan.settings.sinks) } else { Vec::new() };
    let mut followers = Followers { journal, sinks: InlineSinks::new(&sinks, crawl.deliver_within) };
    let remembered = RunHistory { before, journaled: followers.journal.is_some(), detector: detector.map(Arc::new) };
    let (records, queue) = mpsc::channel(QUEUED_RECORDS);
    progress.queue(records.downgrade());
    let (mut report, written) = tokio::join!(
        Box::pin(run(plan, run_id, remembered, records, stop, progress))
            .instrument(tracing::debug_span!("run", %run_id)),
        write_records(&output, crawl.lines, queue, &mut followers),
    );
    let ended = report.ended_by.is_none() && report.outcome != RunOutcome::Cancelled;
    let written = match report.ended_by.take() {
        Some(ScopeError::State(error)) => Err(SinkError::Journal(error.into())),
        Some(ScopeError::OutputClosed) | None => written,
    };
    let whole = ended && matches!(report.outcome, RunOutcome::Complete | RunOutcome::Partial);
    let finished = output.finish(whole && written.is_ok()).await;
    let mut written = written.and_then(|written| finished.map(|()| written));
    if let Some(mut sinks) = followers.sinks {
        // The rest is delivered once the output is in place.
        let delivered = if written.is_ok() { sinks.finish().await } else { Ok(()) };
        report.without_place = sinks.without_place();
        written = match (written, delivered) {
            (Err(SinkError::Journal(error)), _) | (Ok(_), Err(error)) => Err(SinkError::Undelivered(error)),
            (written, _) => written,
        };
    }
    // The run ends only now: if the process is killed earlier, a later one finds the run
    // unfinished, and its output where it was. A reader that has closed the output will not come
    // back for the rest.
    let outcome = match &written {
        Ok(_) if ended => Some(report.outcome),
        Err(SinkError::Closed) => Some(RunOutcome::Cancelled),
        _ => None,
    };
    if let (Some(outcome), Some(journal)) = (outcome, followers.journal) {
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

/// What follows the written events: with a state its journal, without one the sinks.
struct Followers {
    journal: Option<Journal>,
    sinks: Option<InlineSinks>,
}

impl dynacrawl_sinks::Journal<RunEvent> for Followers {
    fn observe(&mut self, event: &mut RunEvent) -> Observed {
        match &mut self.sinks {
            Some(sinks) => sinks.observe(event),
            None => self.journal.observe(event),
        }
    }

    fn commit_at(&self) -> Option<Instant> {
        self.sinks.as_ref().map_or_else(|| self.journal.commit_at(), InlineSinks::commit_at)
    }

    async fn commit(&mut self, position: Position) -> Result<(), JournalError> {
        match &mut self.sinks {
            Some(sinks) => sinks.commit(position).await,
            None => self.journal.commit(position).await,
        }
    }
}
