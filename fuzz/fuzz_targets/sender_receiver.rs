//! Any calls to a sender of either role, with writes of any size between them: what is written is what the other role
//! receives, in order, and never a failure.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../checks/sender_receiver.rs"]
mod sender_receiver;

fuzz_target!(|input: &[u8]| sender_receiver::check(input));
