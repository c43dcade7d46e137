#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    meridian_fuzz::name_server::accepts(data);
});
