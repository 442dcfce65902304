//! Runs against the simulator inside the process, on simulated time. With
//! `DYNACRAWL_TEST_WORKERS=serialising` each worker gets its jobs and sends its events as JSON, as
//! if it were on another machine.

mod changes;
mod chaos;
mod fairness;
mod patience;
mod removals;
mod resume;
mod sink_starts;
mod sinks;
mod trust;
mod unselected;
mod upgrade;
mod worker;
