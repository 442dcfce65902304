//! `dynacrawl serve`: crawls by schedule, tells what changed, and can be watched.

pub(crate) mod clock;
pub(crate) mod daemon;
#[cfg(test)]
mod daemon_tests;
mod due;
pub(crate) mod http;
mod listener;
pub(crate) mod metrics;
mod queue;
pub mod schedule;
pub(crate) mod shared;
#[cfg(test)]
mod soak_tests;
pub(crate) mod watch;
