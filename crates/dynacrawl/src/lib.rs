//! dynacrawl: a metadata crawler for Amazon DynamoDB.

pub mod config;
pub mod run;
