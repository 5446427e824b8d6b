#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| virtio_fuzz::modern(data));
