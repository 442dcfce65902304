//! Why a scope, and its run with it, cannot continue.

use dynacrawl_state::StateError;

/// Why a scope, and its run with it, cannot continue.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScopeError {
    /// The output accepts no more records.
    #[error("the output takes no more records")]
    OutputClosed,
    /// The state cannot be read. Without it, every table would look new.
    #[error("the state cannot be read")]
    State(#[from] StateError),
}
