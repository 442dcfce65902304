//! Answers of DynamoDB.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| dynacrawl_fuzz::dynamodb_answers(data));
