//! For tests of runs: the simulator in place of a network, and estates that change.

pub mod inside;
pub mod sink_contract;
pub mod world;
