//! What TLS costs: CPU time per echoed message, and memory per idle connection, beside rustls without anything above it.

use std::error::Error;

use crate::load::Cell;
use crate::options::Options;
use crate::peers::{self, RADDLE_POOL_TLS, RADDLE_THREADS_TLS};
use crate::report::Table;
use crate::{echo, idle, process};

const CELLS: [Cell; 3] = [
    Cell { payload: 125, connections: 200, in_flight: 16 },
    Cell { payload: 16384, connections: 16, in_flight: 1 },
    Cell { payload: 1 << 20, connections: 16, in_flight: 1 },
];

pub fn run(options: &Options) -> Result<Vec<Table>, Box<dyn Error>> {
    let peers = options.peers(&peers::SECURE);
    // First, while this process may still use both cores for its part of the handshakes.
    let of_memory = peers.iter().filter(|peer| [RADDLE_POOL_TLS, RADDLE_THREADS_TLS].contains(peer) || peer.is_limit());
    let memory = Table {
        name: "tls-idle",
        title: "Memory with TLS".to_owned(),
        ..idle::table(&of_memory.copied().collect::<Vec<_>>())
    };
    process::pin_load();
    let echo = Table {
        name: "tls",
        title: "Echo with TLS 1.3 and AES-128-GCM".to_owned(),
        explanation:
            "Server CPU µs per message, and in parentheses its ratio to rustls without anything above it, which \
            sends back the bytes that each read has brought (with a thread for each connection, or one for all with \
            epoll), in the same round; medians. Columns: payload bytes / connections / messages in flight on each."
                .to_owned(),
        ..echo::table(&peers, &options.cells(&CELLS), options)
    };
    Ok(vec![echo, memory])
}
