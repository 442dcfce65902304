//! End-to-end tests: the real binary against the simulator and against servers that others wrote.

mod servers;
