//! The text of errors in messages.

use dynacrawl_model::Escaped;

/// An error with its causes, without control characters.
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    Escaped(&text).to_string()
}
