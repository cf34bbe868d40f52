//! CPU time per delivery, where one connection publishes to all.

use std::error::Error;
use std::time::Duration;

use crate::load::{Cell, Load};
use crate::options::Options;
use crate::peers::{self, Peer, RAW_EPOLL, Task};
use crate::process::{self, Server};
use crate::report::{Table, Value};
use crate::rounds::{self, cpu_per};

const CELLS: [Cell; 2] =
    [Cell { payload: 64, connections: 1000, in_flight: 8 }, Cell { payload: 1024, connections: 1000, in_flight: 8 }];

pub fn run(options: &Options) -> Result<Vec<Table>, Box<dyn Error>> {
    process::pin_load();
    let peers: Vec<_> = peers::ALL
        .into_iter()
        .filter(|peer| peer.can(Task::Publish) && (*peer == RAW_EPOLL || options.is_wanted(peer.name)))
        .collect();
    let mut rows: Vec<_> = peers.iter().map(|peer| (peer.name.to_owned(), Vec::new())).collect();
    for cell in CELLS {
        eprintln!("bench: broadcast {cell}");
        for (row, value) in rows.iter_mut().zip(measure(cell, &peers, options)) {
            row.1.push(value);
        }
    }
    Ok(vec![Table {
        name: "broadcast",
        title: "Broadcast".to_owned(),
        explanation: "Server CPU µs per delivery, and in parentheses its ratio to raw epoll (which sends each message to \
            each subscriber with one write) in the same round; medians. One of the subscribers publishes. Columns: payload \
            bytes / subscribers / messages in flight."
            .to_owned(),
        columns: CELLS.iter().map(Cell::to_string).collect(),
        rows,
    }])
}

fn measure(cell: Cell, peers: &[Peer], options: &Options) -> Vec<Value> {
    let start = |peer: &Peer| {
        let server = Server::start_for(Task::Publish, peer, &[])?;
        let mut load = Load::open(peer, server.address, cell)?;
        load.settle()?;
        Ok((server, load))
    };
    let mut running: Vec<_> = peers.iter().map(|peer| start(peer).map_err(Value::absent)).collect();
    let time = Duration::from_secs_f64(options.seconds);
    let found =
        rounds::interleave(&mut running, options.rounds, |(server, load)| cpu_per(server, || load.publish(time)));
    let raw = peers.iter().position(|peer| *peer == RAW_EPOLL);
    rounds::summarize(&found, |_| raw)
}
