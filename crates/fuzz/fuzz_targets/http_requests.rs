//! Requests to the daemon.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| dynacrawl_fuzz::http_requests(data));
