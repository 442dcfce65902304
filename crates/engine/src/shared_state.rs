//! The state that runs write, one after the other.

use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dynacrawl_sinks::DeliveryError;
use dynacrawl_state::{State, StateError};

/// A state that several runs use, one after the other.
pub type SharedState = Arc<Mutex<State>>;

/// Locks the state. A panic elsewhere must not keep it from being written.
pub fn opened(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Works on the state in a thread of its own: another run may be settling, which takes long.
///
/// # Errors
/// Those of `work`, with their causes.
pub(crate) async fn with_state<T: Send + 'static>(
    state: &SharedState,
    work: impl FnOnce(&SharedState) -> Result<T, StateError> + Send + 'static,
) -> Result<T, DeliveryError> {
    let state = state.clone();
    let done = tokio::task::spawn_blocking(move || work(&state)).await;
    let done = done.map_err(|error| DeliveryError::new(error.to_string()))?;
    done.map_err(|error| {
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        DeliveryError::new(format!("{error}{cause}"))
    })
}
