//! `dynacrawl serve`: crawls by schedule, reports changes, and can be monitored.

mod answer;
mod causes;
pub mod clock;
pub mod daemon;
mod due;
pub mod http;
pub mod metrics;
pub mod queue;
pub mod schedule;
pub mod settings;
pub mod shared;
pub mod watch;
mod words;

pub use answer::answer_on;
