//! The servers that are measured.

mod raw_epoll;
mod raw_threads;
mod tungstenite;

use std::error::Error;
use std::net::TcpListener;

use crate::wire::Wire;

/// A server that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    pub name: &'static str,
    pub wire: Wire,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The example of this project, with these flags.
    EchoServer(&'static [&'static str]),
    /// This program, as `serve NAME`.
    Served,
}

/// One blocking thread a connection, which reads and writes: what the operating system allows.
pub const RAW_THREADS: Peer = Peer { name: "raw threads", wire: Wire::Raw, kind: Kind::Served };
/// One thread for all connections, with epoll: what the operating system allows there.
pub const RAW_EPOLL: Peer = Peer { name: "raw epoll", wire: Wire::Raw, kind: Kind::Served };
/// `echo_server` with engine `threads` and limits that no measurement meets.
pub const RADDLE_THREADS: Peer = Peer {
    name: "raddle threads",
    wire: Wire::WebSocket,
    kind: Kind::EchoServer(&["--engine", "threads", "--max-message", "16777216", "--max-connections", "100000"]),
};
/// The same with engine `pool`, on one thread.
pub const RADDLE_POOL: Peer = Peer {
    name: "raddle pool",
    wire: Wire::WebSocket,
    kind: Kind::EchoServer(&[
        "--engine",
        "pool",
        "--workers",
        "1",
        "--max-message",
        "16777216",
        "--max-connections",
        "100000",
    ]),
};
/// tungstenite, as its documentation has it: one thread a connection, default settings.
pub const TUNGSTENITE: Peer = Peer { name: "tungstenite", wire: Wire::WebSocket, kind: Kind::Served };

/// Serves as a peer, until the process is ended.
pub fn serve(name: &str) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    crate::process::widen_backlog(&listener)?;
    println!("listening on ws://{}", listener.local_addr()?);
    match name {
        "raw threads" => raw_threads::serve(&listener),
        "raw epoll" => raw_epoll::serve(&listener),
        "tungstenite" => tungstenite::serve(&listener),
        _ => Err(format!("there is no peer {name}").into()),
    }
}
