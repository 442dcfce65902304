//! Why a scope cannot continue, and its run with it.

use dynacrawl_state::StateError;

/// Why a scope cannot continue, and its run with it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScopeError {
    /// The output takes no more records.
    #[error("the output takes no more records")]
    OutputClosed,
    /// The state cannot be read: everything would look new.
    #[error("the state cannot be read")]
    State(#[from] StateError),
}
