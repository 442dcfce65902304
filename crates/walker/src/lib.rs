//! Which tables a scope has, and which of them are wanted: ListTables to its last page, and the filters on names.
//!
//! This crate does not know how a table is described.

mod filter;
mod listing;

pub use filter::{InvalidPattern, TableFilter, Verdict};
pub use listing::Listing;
