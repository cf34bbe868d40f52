//! A thousand connections that do the same again and again take no more of anything than at first. A process of its own, as it
//! counts all that it has.

mod common;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use common::allocator::{Counting, all_allocations, held};
use common::*;

#[global_allocator]
static COUNTING: Counting = Counting;

/// What the process has.
#[derive(Clone, Copy, Debug)]
struct Had {
    memory: isize,
    descriptors: usize,
    threads: usize,
}

impl Had {
    fn now() -> Self {
        Self { memory: held(), descriptors: descriptors(), threads: threads().len() }
    }
}

#[test]
fn a_thousand_connections_that_echo_take_no_more_than_at_first() {
    // Hostile input 378, scaled down to some thousand messages.
    for engine in ENGINES {
        let server = listening(|builder| {
            let builder = builder.max_connections(2 * CONNECTIONS).workers(2);
            builder.with_options(|options| options.ping_interval = None)
        });
        engine.start(&server, answer).expect("it starts");
        let message = connect(&server).encode(&binary(&pattern(1024, 1)));
        let mut clients: Vec<_> = (0..CONNECTIONS).map(|_| connect(&server).stream).collect();
        eventually("all are there, and nobody else", || server.metrics().connections == CONNECTIONS);
        // Whatever is needed once.
        exchange(&mut clients, &message, ROUNDS);
        let before = Had::now();
        let allocations: Vec<_> = (0..3)
            .map(|_| {
                let before = all_allocations();
                exchange(&mut clients, &message, ROUNDS);
                all_allocations() - before
            })
            .collect();
        let now = Had::now();
        assert_eq!((now.descriptors, now.threads), (before.descriptors, before.threads), "{engine:?}");
        assert!(now.memory < before.memory + 64 * 1024, "{engine:?}: {before:?}, and then {now:?}");
        // What was not used for a while is given back, and asked for again.
        let room = (CONNECTIONS * ROUNDS / 10) as u64;
        // Who polls has a list of each turn, of one message here.
        let most = if engine == Engine::Loop { 2 * (CONNECTIONS * ROUNDS) as u64 + room } else { room };
        let (least, largest) = (*allocations.iter().min().expect("three"), *allocations.iter().max().expect("three"));
        assert!(
            largest - least <= room && largest <= most,
            "{engine:?}: {allocations:?} for so many thousand messages"
        );
        drop(clients);
        finish(&server);
    }
}

/// Has the message sent back so many times to each client.
fn exchange(clients: &mut [TcpStream], message: &[u8], rounds: usize) {
    // The header of a server's frame is shorter by the masking key.
    let mut received = [0; 2048];
    for _ in 0..rounds {
        for client in &mut *clients {
            client.write_all(message).expect("it is taken");
            client.read_exact(&mut received[..message.len() - 4]).expect("it comes back");
        }
    }
}

const CONNECTIONS: usize = 1_000;
const ROUNDS: usize = 3;
