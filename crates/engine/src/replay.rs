//! Makes a sink get again what the state has.

use dynacrawl_model::Timestamp;
use dynacrawl_state::{SinkProgress, State, StateError};

use super::follower_pages::{Phase, Progress};

/// Makes a sink get all tables again, or those that have changed, were removed or were left out since a time. Its
/// delivery finds that out by itself, after what it is owed. A sink that is in the middle of all tables, or of those
/// since an earlier time, continues there: begun anew each time, it might never get through. Returns whether the state knows the
/// sink; one that it does not know begins with the next run.
///
/// # Errors
/// If the state cannot be read or written.
pub fn replay(state: &mut State, sink: &str, since: Option<Timestamp>) -> Result<bool, StateError> {
    let Some(sync) = state.sink_sync(sink)? else { return Ok(false) };
    let progress = sync.progress.as_deref().and_then(|text| serde_json::from_str::<Progress>(text).ok());
    let since = match (since, &progress) {
        (_, Some(_)) if !sync.is_synced => return Ok(true),
        (Some(since), Some(before)) if before.changed_since.is_some_and(|before| before <= since) => return Ok(true),
        // Statistics stay due.
        (Some(since), Some(before)) if before.changed_since.is_some() || before.phase == Phase::Statistics => since,
        (Some(since), None) if sync.is_synced => since,
        // Also a sink that has to remove the tables of a retired scope, which is a part of all tables.
        _ => return state.set_behind(sink).map(|()| true),
    };
    let all = Progress { changed_since: Some(since), ..Progress::of_all(Timestamp::now(), Some(since)) };
    let next = SinkProgress { progress: serde_json::to_string(&all).ok(), ..SinkProgress::default() };
    if !state.set_progress(sink, sync.progress.as_deref(), &next)? {
        state.set_behind(sink)?;
    }
    Ok(true)
}
