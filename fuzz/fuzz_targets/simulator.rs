#![no_main]

#[path = "../checks/simulator.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::simulator(data));
