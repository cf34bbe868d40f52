//! What many idle connections cost while they are pinged.

use std::error::Error;
use std::time::{Duration, Instant};

use crate::load::{Cell, Load};
use crate::options::Options;
use crate::peers::{Peer, RADDLE_POOL, RADDLE_THREADS};
use crate::process::{self, Server};
use crate::report::{Table, Value};

const CONNECTIONS: usize = 10_000;
/// Between Pings, in seconds.
const INTERVAL: &str = "20";
/// Two intervals, after one in which each was pinged once.
const TIME: Duration = Duration::from_secs(40);

pub fn run(options: &Options) -> Result<Vec<Table>, Box<dyn Error>> {
    process::pin_load();
    let peers = options.peers(&[RADDLE_POOL, RADDLE_THREADS]);
    let mut rows = Vec::new();
    for peer in &peers {
        eprintln!("bench: keepalive {}", peer.name);
        let values = measure(peer).unwrap_or_else(|error| vec![Value::absent(error); 2]);
        rows.push((peer.name.to_owned(), values));
    }
    Ok(vec![Table {
        name: "keepalive",
        title: "Keepalive".to_owned(),
        explanation: format!(
            "Share of one core in % that {CONNECTIONS} idle connections cost with a Ping each {INTERVAL} s, over {TIME:?} \
             (the pool with two workers), and the Pings that were answered in that time, in thousands."
        ),
        columns: vec!["% of a core".to_owned(), "thousand Pings".to_owned()],
        rows,
    }])
}

fn measure(peer: &Peer) -> Result<Vec<Value>, Box<dyn Error>> {
    let limit = process::raise_descriptor_limit();
    if limit < CONNECTIONS as u64 + 100 {
        return Err(format!("the system allows {limit} descriptors for a process").into());
    }
    let server = Server::start(peer, &["--workers", "2", "--ping-interval", INTERVAL])?;
    let cell = Cell { payload: 125, connections: CONNECTIONS, in_flight: 1 };
    let mut load = Load::connect(peer, server.address, cell)?;
    load.answer_pings(TIME / 2 + Duration::from_secs(2))?;
    let (before, start) = (server.cpu(), Instant::now());
    let pings = load.answer_pings(TIME)?;
    let share = (server.cpu() - before).as_secs_f64() / start.elapsed().as_secs_f64();
    Ok(vec![Value::Found(share * 100.0, None), Value::Found(pings as f64 / 1000.0, None)])
}
