//! Memory: what an idle connection of engine `pool` takes, and that it gives back what a large message took.

mod common;

use std::iter;
use std::thread;
use std::time::Duration;

use common::allocator::{Counting, held};
use common::*;
use raddle_core::OpCode;
use raddle_server::{HandlerError, Message, Writer};

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn an_idle_connection_of_the_pool_takes_half_a_kilobyte() {
    // Hostile input 235: before and after messages, and when keepalive has been there.
    let server = listening(|builder| {
        let often = builder.with_options(|options| options.ping_interval = Some(Duration::from_secs(1)));
        often.max_connections(2 * CONNECTIONS).workers(2)
    });
    let echo = |connection: &Writer, message: Message<'_>| -> Result<(), HandlerError> {
        connection.send(message)?;
        Ok(())
    };
    server.start_pool(echo).expect("it starts");
    // What all connections share.
    let mut clients = Vec::with_capacity(CONNECTIONS);
    clients.extend((0..FIRST).map(|_| connect(&server)));
    for length in LENGTHS {
        clients.iter_mut().for_each(|client| exchange(client, length));
    }
    let before = at_rest();
    clients.extend((FIRST..CONNECTIONS).map(|_| connect(&server)));
    for length in LENGTHS {
        clients.iter_mut().for_each(|client| exchange(client, length));
        // Keepalive has been there.
        thread::sleep(Duration::from_secs(2));
        let each = (at_rest() - before) / (CONNECTIONS - FIRST) as isize;
        // With its share of the tables, which are full.
        assert!(each <= 512, "{each} bytes for each connection after a message of {length} bytes");
    }
    drop(clients);
    finish(&server);
}

/// Sends a message and takes its echo, and holds nothing afterwards.
fn exchange(client: &mut Client, length: usize) {
    let message = binary(&vec![b'a'; length]);
    client.send(message.clone());
    let echo = iter::repeat_with(|| client.frame()).find(|frame| frame.opcode != OpCode::Ping);
    assert!(echo == Some(message));
    (client.received, client.keys) = (Vec::new(), Vec::new());
}

/// What the process holds, once that has come to rest.
fn at_rest() -> isize {
    let mut before = held();
    loop {
        thread::sleep(Duration::from_millis(400));
        let now = held();
        if now == before {
            return now;
        }
        before = now;
    }
}

/// As many as fill tables that double in size, with those before.
const CONNECTIONS: usize = 256;
const FIRST: usize = 16;
/// Of messages, in bytes.
const LENGTHS: [usize; 3] = [0, 125, 64 * 1024];
