//! CPU time per opening handshake.

use std::error::Error;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::Effort;
use crate::peers::{Peer, RADDLE_THREADS, RAW_THREADS, TUNGSTENITE};
use crate::process::{self, Server};
use crate::report::{median, table};
use crate::wire::{self, Wire};

const PEERS: [Peer; 3] = [RAW_THREADS, RADDLE_THREADS, TUNGSTENITE];
const AT_A_TIME: usize = 32;

pub fn run(effort: Effort) -> Result<(), Box<dyn Error>> {
    process::pin_load();
    println!("handshake: server CPU µs per connection from accept to its end, {AT_A_TIME} at a time");
    println!("(raw threads accept, and do nothing else); medians of {} rounds\n", effort.rounds);
    let servers = PEERS.iter().map(|peer| Server::start(peer, &[])).collect::<Result<Vec<_>, _>>()?;
    let mut costs = vec![Vec::new(); PEERS.len()];
    for round in 0..=effort.rounds {
        let mut order: Vec<usize> = (0..PEERS.len()).collect();
        fastrand::shuffle(&mut order);
        for place in order {
            let before = servers[place].cpu();
            let count = connect(PEERS[place].wire, &servers[place], Duration::from_secs_f64(effort.seconds))?;
            let cost = (servers[place].cpu() - before).as_secs_f64() * 1e6 / count as f64;
            if round > 0 {
                costs[place].push(cost);
            }
        }
    }
    let row = costs.iter().map(|costs| format!("{:.1}", median(costs)));
    let head: Vec<_> = ["handshake"].into_iter().chain(PEERS.iter().map(|peer| peer.name)).map(str::to_owned).collect();
    table(&head, &[["µs".to_owned()].into_iter().chain(row).collect()]);
    Ok(())
}

/// Connects again and again for `time`, and gives the number of connections.
fn connect(wire: Wire, server: &Server, time: Duration) -> Result<u64, Box<dyn Error>> {
    let until = Instant::now() + time;
    let mut count = 0;
    let mut space = [0; 1];
    while Instant::now() < until {
        let streams = (0..AT_A_TIME).map(|_| TcpStream::connect(server.address)).collect::<Result<Vec<_>, _>>()?;
        for stream in &streams {
            match wire {
                Wire::WebSocket => wire::shake_hands(stream)?,
                // The echo shows that the server has accepted.
                Wire::Raw => wire::round_trip(stream, b"x", &mut space)?,
            }
        }
        count += streams.len() as u64;
    }
    Ok(count)
}
