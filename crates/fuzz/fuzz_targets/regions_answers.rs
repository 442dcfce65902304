//! Answers about Regions.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| dynacrawl_fuzz::regions_answers(data));
