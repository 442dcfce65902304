//! `dynacrawl serve`: crawls by schedule, tells what changed, and can be watched.

pub(crate) mod clock;
pub(crate) mod daemon;
#[cfg(test)]
mod daemon_tests;
mod due;
mod host;
pub(crate) mod http;
pub(crate) mod metrics;
#[cfg(test)]
mod pages_tests;
mod queue;
pub mod schedule;
pub(crate) mod server;
pub(crate) mod shared;
#[cfg(test)]
mod soak_tests;
pub(crate) mod watch;
