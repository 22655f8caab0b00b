#![no_main]

#[path = "../checks/route.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::route_of(data));
