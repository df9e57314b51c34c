//! See `mlcls_data::fuzzing::jpeg`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mlcls_data::fuzzing::jpeg(bytes));
