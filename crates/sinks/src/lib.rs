//! Where records go. A sink takes records from a bounded channel until it is closed, and says how that went.

mod error;
mod journal;
mod json_lines;
mod layout;
mod output;
mod partial;

pub use error::SinkError;
pub use journal::{Entry, Journal, JournalError, Observed, Position};
pub use json_lines::{Written, write_records};
pub use layout::Layout;
pub use output::Output;
