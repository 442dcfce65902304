//! Makes a sink get again what the state has.

use dynacrawl_model::Timestamp;
use dynacrawl_state::{SinkProgress, State, StateError};

use super::follower_pages::{Phase, Progress};

/// Makes a sink get all tables again, or those that have changed, were removed or were left out since a time. Its
/// delivery finds that out by itself, and what it is owed is not affected. A sink that is in the middle of all
/// tables continues there: begun anew each time, it might never get through. Returns whether the state knows the
/// sink; one that it does not know begins with the next run.
///
/// # Errors
/// If the state cannot be read or written.
pub fn replay(state: &mut State, sink: &str, since: Option<Timestamp>) -> Result<bool, StateError> {
    let Some(sync) = state.sink_sync(sink)? else { return Ok(false) };
    let progress = sync.progress.as_deref().and_then(|text| serde_json::from_str::<Progress>(text).ok());
    if !sync.is_synced && progress.is_some() {
        return Ok(true);
    }
    let since = since.filter(|_| sync.is_synced).and_then(|since| match &progress {
        None => Some(since),
        // Statistics stay due.
        Some(progress) if progress.phase == Phase::Statistics => Some(since),
        Some(progress) => progress.changed_since.map(|before| before.min(since)),
    });
    // Without `since`, also a sink that has to remove the tables of a retired scope, which all tables include.
    let Some(since) = since else { return state.set_behind(sink).map(|()| true) };
    let all = Progress { changed_since: Some(since), ..Progress::of_all(Timestamp::now(), Some(since)) };
    let next = SinkProgress { progress: serde_json::to_string(&all).ok(), ..SinkProgress::default() };
    if !state.set_progress(sink, sync.progress.as_deref(), &next)? {
        state.set_behind(sink)?;
    }
    Ok(true)
}
