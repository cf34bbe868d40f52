//! Memory per idle connection.

use std::error::Error;
use std::thread;
use std::time::Duration;

use crate::load::{Cell, Load};
use crate::options::Options;
use crate::peers::{self, Kind, Limit, Peer, RADDLE_POOL, RADDLE_POOL_TLS};
use crate::process::{self, Server};
use crate::report::{Table, Value};

/// Connections, payloads one after the other.
const FEW: usize = 1000;
const MANY: usize = 10_000;
const PAYLOADS: [usize; 2] = [125, 64 * 1024];
/// What a server may take to give memory back.
const REST: Duration = Duration::from_secs(2);

pub fn run(options: &Options) -> Result<Vec<Table>, Box<dyn Error>> {
    // Feeding instead of sending makes no difference here.
    let peers = options.peers(&peers::ALL).into_iter().filter(|peer| peer.name != "sockudo-ws feed");
    Ok(vec![table(&peers.collect::<Vec<_>>())])
}

pub fn table(peers: &[Peer]) -> Table {
    let limit = process::raise_descriptor_limit();
    let mut rows = Vec::new();
    for peer in peers {
        eprintln!("bench: idle {}", peer.name);
        let mut values = measure(peer, FEW);
        values.extend(match peer.limit {
            Limit::Threads | Limit::Poll => PAYLOADS.map(|_| Value::Absent("-", String::new())).to_vec(),
            Limit::Loop if limit < MANY as u64 + 100 => {
                let reason = format!("the system allows {limit} descriptors for a process");
                PAYLOADS.map(|_| Value::Absent("missing", reason.clone())).to_vec()
            }
            Limit::Loop => measure(peer, MANY),
        });
        rows.push((peer.name.to_owned(), values));
    }
    let columns = [FEW, MANY].iter().flat_map(|connections| {
        let names = ["125 B", "64 KiB"];
        names.map(|payload| format!("{connections}, after {payload}"))
    });
    Table {
        name: "idle",
        title: "Memory".to_owned(),
        explanation: "User memory in KiB per idle connection, two seconds after one message of 125 bytes on each, and \
            again after one of 64 KiB on each, with 1000 connections and, for event loops, with 10,000 (raddle's pool \
            then has two workers, and libwebsockets is on libuv)."
            .to_owned(),
        columns: columns.collect(),
        rows,
    }
}

/// For each payload.
fn measure(peer: &Peer, connections: usize) -> Vec<Value> {
    match grow(peer, connections) {
        Ok(found) => found.into_iter().map(|memory| Value::Found(memory, None)).collect(),
        Err(error) => vec![Value::absent(error); PAYLOADS.len()],
    }
}

/// KiB per connection after each of the payloads.
fn grow(peer: &Peer, connections: usize) -> Result<Vec<f64>, Box<dyn Error>> {
    let flags: &[&str] = match peer.kind {
        _ if connections < MANY => &[],
        _ if [RADDLE_POOL, RADDLE_POOL_TLS].contains(peer) => &["--workers", "2"],
        // Its own loop is the faster one, but looks at all connections each time.
        Kind::Libwebsockets => &["libuv"],
        _ => &[],
    };
    let server = Server::start(peer, flags)?;
    let cell = Cell { payload: PAYLOADS[0], connections, in_flight: 1 };
    // What the server needs for its first connections is not counted.
    let _few = Load::connect(peer, server.address, Cell { connections: 8, ..cell })?;
    let before = server.memory();
    let mut load = Load::open(peer, server.address, cell)?;
    let mut after = |payload: &usize| {
        load.exchange_all(*payload)?;
        thread::sleep(REST);
        Ok((server.memory() as f64 - before as f64) / connections as f64)
    };
    PAYLOADS.iter().map(&mut after).collect()
}
