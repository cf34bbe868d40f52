//! How a topic's subscribers are served while as many others never read what is published.

use std::error::Error;
use std::fmt;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use crate::load::{Cell, Load};
use crate::options::Options;
use crate::peers::{Peer, RADDLE_POOL, RADDLE_THREADS, Task};
use crate::process::{self, Server};
use crate::report::{grid, median, quantile};
use crate::wire::Wire;

pub fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    process::pin_load();
    let time = Duration::from_secs_f64(options.seconds * 3.0);
    let mut too_much = Vec::new();
    for peer in options.peers(&[RADDLE_POOL, RADDLE_THREADS]) {
        println!(
            "\n{}: {SUBSCRIBERS} subscribers of a topic, alone and beside {SUBSCRIBERS} that never read",
            peer.name
        );
        let (mut rows, mut ratios, mut held) = (Vec::new(), Vec::new(), Vec::new());
        for round in 1..=options.rounds {
            let found = measure(&peer, time)?;
            ratios.push(found.beside.p99 / found.alone.p99);
            held.push(found.held);
            rows.push(vec![
                round.to_string(),
                found.alone.to_string(),
                found.beside.to_string(),
                format!("{} + {}", found.alone.deliveries, found.beside.deliveries),
                format!("{:.0}", found.held / 1024.0),
            ]);
        }
        let head = ["round", "alone: median / p99 µs", "beside", "deliveries", "KiB that wait for each"];
        print!("{}", grid(head.map(str::to_owned).to_vec(), rows));
        println!("p99 beside / alone: {:.2} (median)", median(&ratios));
        let share = median(&held) / (LIMIT + CELL.payload) as f64;
        println!("user memory for each that never reads: {share:.2} of its outgoing limit and one message");
        if share > MOST {
            too_much.push(peer.name);
        }
    }
    match too_much[..] {
        [] => Ok(()),
        _ => Err(format!("more is kept than may wait: {}", too_much.join(", ")).into()),
    }
}

/// How subscribers are served, and what those cost that never read.
struct Found {
    alone: Delays,
    beside: Delays,
    /// Bytes of user memory for each of these, above what it had when it had subscribed.
    held: f64,
}

/// From a message's leaving to its reaching a subscriber, in µs.
struct Delays {
    median: f64,
    p99: f64,
    deliveries: usize,
}

fn measure(peer: &Peer, time: Duration) -> Result<Found, Box<dyn Error>> {
    let limit = LIMIT.to_string();
    let server = Server::start_for(Task::Publish, peer, &["--outgoing-limit", &limit])?;
    let mut load = Load::open(peer, server.address, CELL)?;
    load.settle()?;
    let alone = Delays::of(load.time_deliveries(time)?);
    let before = server.descriptors();
    let connect = |_| Wire::WebSocket.connect_narrowly(server.address);
    let unread = (0..SUBSCRIBERS).map(connect).collect::<Result<Vec<TcpStream>, _>>()?;
    // The server subscribes the last of them a moment after they have connected.
    thread::sleep(Duration::from_millis(500));
    let memory = server.memory();
    let mut published = 0;
    while published * CELL.payload < LIMIT + SOCKET {
        published += load.publish(Duration::from_millis(100))? as usize / SUBSCRIBERS;
    }
    let held = (server.memory() as f64 - memory as f64) * 1024.0 / SUBSCRIBERS as f64;
    let beside = Delays::of(load.time_deliveries(time)?);
    // Those that have been given up take nothing any more, and would not be beside.
    let left = server.descriptors().saturating_sub(before);
    if left < unread.len() {
        return Err(format!("{left} of {SUBSCRIBERS} that never read are left").into());
    }
    Ok(Found { alone, beside, held })
}

impl Delays {
    fn of(delays: Vec<f64>) -> Self {
        Self { median: quantile(&delays, 0.5), p99: quantile(&delays, 0.99), deliveries: delays.len() }
    }
}

impl fmt::Display for Delays {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:.0} / {:.0}", self.median, self.p99)
    }
}

const SUBSCRIBERS: usize = 1000;
const CELL: Cell = Cell { payload: 1024, connections: SUBSCRIBERS, in_flight: 8 };
/// Bytes that may wait for each connection: a thousand of them stay within the server's budget.
const LIMIT: usize = 256 * 1024;
/// With what an allocator keeps of buffers that have grown.
const MOST: f64 = 1.5;
/// More bytes than the system takes for a client that never reads.
const SOCKET: usize = 512 * 1024;
