//! See `mlcls_data::fuzzing::voc_xml`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mlcls_data::fuzzing::voc_xml(bytes));
