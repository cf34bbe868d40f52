//! CPU time per echoed message.

use std::error::Error;
use std::time::Duration;

use crate::Effort;
use crate::load::{Cell, Load};
use crate::peers::{Peer, RADDLE_POOL, RADDLE_THREADS, RAW_EPOLL, RAW_THREADS, TUNGSTENITE};
use crate::process::{self, Server};
use crate::report::{median, table};

/// Each with the place of its limit: what the operating system allows with as many threads.
const PEERS: [(Peer, usize); 5] =
    [(RAW_THREADS, 0), (RADDLE_THREADS, 0), (TUNGSTENITE, 0), (RAW_EPOLL, 3), (RADDLE_POOL, 3)];

const CELLS: [Cell; 9] = [
    Cell { payload: 125, connections: 16, in_flight: 1 },
    Cell { payload: 125, connections: 200, in_flight: 1 },
    Cell { payload: 125, connections: 1000, in_flight: 1 },
    Cell { payload: 125, connections: 200, in_flight: 16 },
    Cell { payload: 16384, connections: 16, in_flight: 1 },
    Cell { payload: 1 << 20, connections: 16, in_flight: 1 },
    Cell { payload: 1024, connections: 200, in_flight: 1 },
    Cell { payload: 1024, connections: 200, in_flight: 16 },
    Cell { payload: 16384, connections: 200, in_flight: 1 },
];

pub fn run(effort: Effort) -> Result<(), Box<dyn Error>> {
    process::pin_load();
    println!("echo: server CPU µs per message, and its ratio to the raw limit; medians of {} rounds", effort.rounds);
    println!("cell: payload bytes / connections / messages in flight on each\n");
    let mut rows = Vec::new();
    for (_, cell) in (1..).zip(CELLS).filter(|(number, _)| effort.cell.is_none_or(|only| only == *number)) {
        let costs = measure(cell, effort)?;
        let mut row = vec![format!("{} / {} / {}", cell.payload, cell.connections, cell.in_flight)];
        for (peer, (_, limit)) in costs.iter().zip(PEERS) {
            let ratios: Vec<f64> = peer.iter().zip(&costs[limit]).map(|(cost, raw)| cost / raw).collect();
            row.push(format!("{:.2} ({:.2})", median(peer), median(&ratios)));
        }
        rows.push(row);
    }
    let head: Vec<_> = ["cell"].into_iter().chain(PEERS.iter().map(|(peer, _)| peer.name)).map(str::to_owned).collect();
    table(&head, &rows);
    Ok(())
}

/// For each peer, the cost in each round, in µs.
fn measure(cell: Cell, effort: Effort) -> Result<Vec<Vec<f64>>, Box<dyn Error>> {
    let mut running = Vec::new();
    for (peer, _) in &PEERS {
        let server = Server::start(peer, &[])?;
        let load = Load::connect(peer.wire, server.address, cell)?;
        running.push((server, load));
    }
    let mut costs = vec![Vec::new(); PEERS.len()];
    for round in 0..=effort.rounds {
        let mut order: Vec<usize> = (0..PEERS.len()).collect();
        fastrand::shuffle(&mut order);
        for place in order {
            let (server, load) = &mut running[place];
            let before = server.cpu();
            let echoes = load.run(Duration::from_secs_f64(effort.seconds))?;
            let cost = (server.cpu() - before).as_secs_f64() * 1e6 / echoes as f64;
            // The first round warms up.
            if round > 0 {
                costs[place].push(cost);
            }
        }
    }
    Ok(costs)
}
