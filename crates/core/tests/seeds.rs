//! The checks that are fuzzed, with the inputs that fuzzing starts from and with what is close to them: cut off anywhere, and with
//! any bit changed.

#![cfg(feature = "deflate")]

use std::path::Path;
use std::{fs, panic};

#[path = "../../../fuzz/checks/receiver.rs"]
mod receiver;
#[path = "../../../fuzz/checks/request_head.rs"]
mod request_head;
#[path = "../../../fuzz/checks/sender_receiver.rs"]
mod sender_receiver;

#[test]
fn a_receiver_holds_to_its_promises_with_every_seed() {
    // Hostile input 371.
    replay("receiver", receiver::check);
}

#[test]
fn the_head_parsers_hold_to_their_promises_with_every_seed() {
    // Hostile input 371.
    replay("request_head", request_head::check);
}

#[test]
fn what_a_sender_writes_is_what_a_receiver_hears_with_every_seed() {
    // Hostile input 373.
    replay("sender_receiver", sender_receiver::check);
}

/// Checks every seed of a target, and what is close to it.
fn replay(target: &str, check: fn(&[u8])) {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target);
    let seeds: Vec<_> = fs::read_dir(&seeds).expect("its seeds").map(|seed| seed.expect("a file").path()).collect();
    assert!(seeds.len() >= 2, "{seeds:?}");
    for path in seeds {
        let seed = fs::read(&path).expect("a seed");
        let try_out = |input: &[u8], how: &str| {
            let held = panic::catch_unwind(|| check(input));
            assert!(held.is_ok(), "{}, {how}", path.display());
        };
        try_out(&seed, "as it is");
        for end in 0..seed.len() {
            try_out(&seed[..end], &format!("cut at {end}"));
        }
        for bit in 0..8 * seed.len() {
            let mut changed = seed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            try_out(&changed, &format!("bit {bit} changed"));
        }
    }
}
