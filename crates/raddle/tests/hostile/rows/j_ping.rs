//! Group J: Ping and Pong.

use crate::case::{Case, accept, fail, saw_ping, saw_pong};
use crate::wire::{announce, frame, ping, pong, raw};

pub(crate) fn rows() -> Vec<Case> {
    let mut rows = Vec::new();
    for length in [0, 1, 125] {
        let payload = vec![0xff; length];
        // Case 157 too: the application sends nothing.
        for number in [151, 157] {
            let name = format!("a Ping of {length} bytes");
            rows.push(accept(number, name, [ping(&payload)], [saw_ping(&payload)]));
        }
        let name = format!("a Pong of {length} bytes that nobody has asked for");
        rows.push(accept(153, name, [pong(&payload)], [saw_pong(payload)]));
    }
    let thousand = (0..1000).map(|_| pong("x"));
    rows.push(accept(153, "1,000 Pongs", thousand.clone(), (0..1000).map(|_| saw_pong("x"))));
    for (name, first) in [("Ping", 0x89), ("Pong", 0x8a)] {
        rows.push(fail(152, 1002, format!("a {name} of 126 bytes"), [frame(first, [0; 126])]));
        rows.push(fail(152, 1002, format!("a {name} of 64 KiB"), [announce(first, 65_536)]));
        rows.push(fail(152, 1002, format!("a {name} with 16 bits of length"), [frame(first, b"x").in_16_bits()]));
        rows.push(fail(152, 1002, format!("a {name} with 64 bits of length"), [frame(first, b"x").in_64_bits()]));
        rows.push(fail(152, 1002, format!("a {name} without FIN"), [frame(first & 0x7f, b"")]));
        rows.push(fail(152, 1002, format!("the first byte of a {name} without FIN"), [raw([first & 0x7f])]));
    }
    rows
}
