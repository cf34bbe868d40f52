//! Memory of engine `pool` as the system sees it: what large messages have taken does not stay with the allocator. A process of
//! its own, as it looks at all of it.

mod common;

use std::fs;
use std::io::{Read, Write};

use common::*;
use raddle_server::{HandlerError, Message, Writer};

#[test]
fn workers_that_have_received_large_messages_give_their_pages_back() {
    let server = listening(|builder| builder.workers(2));
    let echo = |connection: &Writer, message: Message<'_>| -> Result<(), HandlerError> {
        connection.send(message)?;
        Ok(())
    };
    server.start_pool(echo).expect("it starts");
    let mut clients: Vec<_> = (0..CONNECTIONS).map(|_| connect(&server)).collect();
    // What the test itself has, before it looks.
    let mut received = vec![b'a'; LARGE + 16];
    let [small, large] = [125, LARGE].map(|length| clients[0].encode(&binary(&vec![b'a'; length])));
    let mut exchange = |message: &[u8]| {
        // All are torn at the same time: none can do with what another has left.
        let (first, second) = message.split_at(message.len() - 1);
        clients.iter_mut().for_each(|client| client.stream.write_all(first).expect("it is taken"));
        for client in &mut clients {
            client.stream.write_all(second).expect("it is taken");
            // The header of a server's frame is shorter by its masking key.
            client.stream.set_read_timeout(Some(LIMIT)).expect("a socket");
            client.stream.read_exact(&mut received[..message.len() - 4]).expect("an echo");
        }
    };
    // Whatever is needed once: stacks, arenas of the allocator, and the buffers of a small message.
    exchange(&small);
    let before = resident();
    exchange(&large);
    let more = || resident().saturating_sub(before);
    // But for those that pieces begin and end amid.
    eventually("the pages of the messages are given back", || more() < 2 * LARGE);
    finish(&server);
}

/// Bytes of memory that this process has written to and holds.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("a line of it");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * 1024
}

const CONNECTIONS: usize = 100;
/// Of a message, in bytes: less than what an allocator would take from the system by itself.
const LARGE: usize = 64 * 1024;
