//! See `mlcls_data::fuzzing::voc_lists`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mlcls_data::fuzzing::voc_lists(bytes));
