//! dynacrawl, a metadata crawler for Amazon DynamoDB. The binary and the benchmark are built from
//! this library. For everyone else the interface is the command line and the output.

mod advice;
#[cfg(test)]
mod any_input_tests;
pub mod check;
pub mod cli;
pub mod commands;
pub mod config;
pub mod demo;
pub mod exit;
mod nearest;
pub mod policy;
pub mod signals;
pub mod telemetry;
pub mod terminal;
