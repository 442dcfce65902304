//! Descriptions of tables.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| dynacrawl_fuzz::normalizer(data));
