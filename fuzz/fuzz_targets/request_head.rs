//! Any bytes as the head of a request and of a response: no panic, the same verdict at any cut, each byte looked at once,
//! and what is accepted keeps its promises.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../checks/request_head.rs"]
mod request_head;

fuzz_target!(|input: &[u8]| request_head::check(input));
