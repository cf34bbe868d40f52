//! Any bytes into a receiver of either role, cut as the input says: no panic, the same events at any cut, memory within
//! its bound, and silence after a failure.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../checks/receiver.rs"]
mod receiver;

fuzz_target!(|input: &[u8]| receiver::check(input));
