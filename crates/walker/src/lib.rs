//! Finds and filters the tables of a scope: ListTables to its last page, and the filters on names.
//!
//! This crate does not know how a table is described.

mod filter;
mod listing;

pub use filter::{InvalidPattern, TableFilter, Verdict};
pub use listing::Listing;
