//! CPU time per echoed message.

use std::error::Error;
use std::time::Duration;

use crate::load::{Cell, Load};
use crate::options::Options;
use crate::peers::{self, Peer, limit_of};
use crate::process::{self, Server};
use crate::report::{Table, Value};
use crate::rounds::{self, cpu_per};

const CELLS: [Cell; 9] = [
    Cell { payload: 125, connections: 16, in_flight: 1 },
    Cell { payload: 125, connections: 200, in_flight: 1 },
    Cell { payload: 125, connections: 1000, in_flight: 1 },
    Cell { payload: 125, connections: 200, in_flight: 16 },
    Cell { payload: 1024, connections: 200, in_flight: 1 },
    Cell { payload: 1024, connections: 200, in_flight: 16 },
    Cell { payload: 16384, connections: 16, in_flight: 1 },
    Cell { payload: 16384, connections: 200, in_flight: 1 },
    Cell { payload: 1 << 20, connections: 16, in_flight: 1 },
];

pub fn run(options: &Options) -> Result<Vec<Table>, Box<dyn Error>> {
    process::pin_load();
    Ok(vec![table(&options.peers(&peers::ALL), &options.cells(&CELLS), options)])
}

pub fn table(peers: &[Peer], cells: &[Cell], options: &Options) -> Table {
    let mut rows: Vec<_> = peers.iter().map(|peer| (peer.name.to_owned(), Vec::new())).collect();
    for cell in cells {
        eprintln!("bench: echo {cell}");
        for (row, value) in rows.iter_mut().zip(measure(*cell, peers, options)) {
            row.1.push(value);
        }
    }
    Table {
        name: "echo",
        title: "Echo".to_owned(),
        explanation:
            "Server CPU µs per message, and in parentheses its ratio to the raw limit of the same kind (those \
            with a thread for each connection to raw threads, event loops to raw epoll, the protocol object to raw poll) in the same round; medians. \
            Columns: payload bytes / connections / messages in flight on each."
                .to_owned(),
        columns: cells.iter().map(Cell::to_string).collect(),
        rows,
    }
}

fn measure(cell: Cell, peers: &[Peer], options: &Options) -> Vec<Value> {
    let start = |peer: &Peer| {
        let server = Server::start(peer, &[])?;
        let load = Load::connect(peer, server.address, cell)?;
        Ok((server, load))
    };
    let mut running: Vec<_> = peers.iter().map(|peer| start(peer).map_err(Value::absent)).collect();
    let time = Duration::from_secs_f64(options.seconds);
    let found = rounds::interleave(&mut running, options.rounds, |(server, load)| cpu_per(server, || load.echo(time)));
    rounds::summarize(&found, |place| limit_of(peers, place))
}
