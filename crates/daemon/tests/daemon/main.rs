//! The daemon against the simulator inside the process, on simulated time.

mod pages;
mod requests;
mod runs;
mod soak;
