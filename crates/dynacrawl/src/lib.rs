//! dynacrawl: a metadata crawler for Amazon DynamoDB. This library is what the binary and the benchmark are made of; the
//! output and the command line are the interface for everyone else.

mod advice;
#[cfg(test)]
mod any_input_tests;
pub mod check;
pub mod cli;
pub mod commands;
pub mod config;
pub mod demo;
pub mod exit;
pub mod policy;
pub mod signals;
pub mod telemetry;
pub mod terminal;
