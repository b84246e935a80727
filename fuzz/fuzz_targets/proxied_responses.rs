//! What an Endpoint sends back, through a real proxy.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fairlead_fuzz::driver::proxied_responses(data));
