//! Memory per idle connection.

use std::error::Error;
use std::thread;
use std::time::Duration;

use crate::Effort;
use crate::load::{Cell, Load};
use crate::peers::{Peer, RADDLE_THREADS, RAW_THREADS, TUNGSTENITE};
use crate::process::Server;
use crate::report::{median, table};

const PEERS: [Peer; 3] = [RAW_THREADS, RADDLE_THREADS, TUNGSTENITE];
const CONNECTIONS: usize = 1000;

pub fn run(effort: Effort) -> Result<(), Box<dyn Error>> {
    println!(
        "idle: user memory in KiB per connection, {CONNECTIONS} connections, two seconds after one message on each\n"
    );
    let mut rows = Vec::new();
    for payload in [125, 16384] {
        let mut row = vec![format!("after {payload} bytes")];
        for peer in &PEERS {
            let mut found = Vec::new();
            for _ in 0..effort.rounds.min(3) {
                let server = Server::start(peer, &[])?;
                // What the server needs for its first connections is not counted.
                let few = Load::connect(peer.wire, server.address, Cell { payload, connections: 8, in_flight: 1 })?;
                let before = server.memory();
                let many =
                    Load::connect(peer.wire, server.address, Cell { payload, connections: CONNECTIONS, in_flight: 1 })?;
                thread::sleep(Duration::from_secs(2));
                found.push((server.memory() - before) as f64 / CONNECTIONS as f64);
                drop((few, many));
            }
            row.push(format!("{:.1}", median(&found)));
        }
        rows.push(row);
    }
    let head: Vec<_> = ["idle"].into_iter().chain(PEERS.iter().map(|peer| peer.name)).map(str::to_owned).collect();
    table(&head, &rows);
    Ok(())
}
