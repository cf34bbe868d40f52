//! Memory as the system sees it: what large messages have taken does not stay with the allocator. A process of its own, as it
//! looks at all of it.

mod common;

use std::fs;
use std::io::{Read, Write};

use common::*;

#[test]
fn connections_that_have_had_a_large_message_give_its_pages_back() {
    // Hostile input 231.
    let server = echoing(|builder| builder);
    let mut clients: Vec<_> = (0..CONNECTIONS).map(|_| connect(&server)).collect();
    let mut received = vec![0; LARGE + 16];
    // All at about the same time: none can do with what another has left.
    let mut exchange = |length: usize| {
        let message = clients[0].encode(&binary(&vec![b'a'; length]));
        for client in &mut clients {
            client.stream.write_all(&message).expect("it is taken");
            // The header of a server's frame is shorter by its masking key.
            client.stream.set_read_timeout(Some(LIMIT)).expect("a socket");
            client.stream.read_exact(&mut received[..message.len() - 4]).expect("an echo");
        }
    };
    // Whatever is needed once: stacks, arenas of the allocator, and the buffers of a small message.
    exchange(125);
    let before = resident();
    exchange(LARGE);
    let more = || resident().saturating_sub(before) / CONNECTIONS;
    eventually("the pages of the messages are given back", || more() < 16 * 1024);
    finish(&server);
}

/// Bytes of memory that this process has written to and holds.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("a line of it");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * 1024
}

const CONNECTIONS: usize = 200;
/// Of a message, in bytes: less than what an allocator would take from the system by itself.
const LARGE: usize = 64 * 1024;
