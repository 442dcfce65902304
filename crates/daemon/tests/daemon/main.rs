//! Tests of the daemon with the in-process simulator, on simulated time.

mod pages;
mod requests;
mod runs;
mod soak;
