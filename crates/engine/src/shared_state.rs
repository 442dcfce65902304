//! The state that runs write, one after the other.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dynacrawl_state::State;

/// A state that several runs use, one after the other.
pub type SharedState = Arc<Mutex<State>>;

/// Locks the state. A panic elsewhere must not keep it from being written.
pub fn opened(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
