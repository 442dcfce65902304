//! Columns of a state.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| dynacrawl_fuzz::state_columns(data));
