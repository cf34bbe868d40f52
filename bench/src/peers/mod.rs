//! The servers that are measured.

mod executor;
mod fastwebsockets;
pub mod launch;
pub mod provision;
mod raw;
mod raw_epoll;
mod raw_threads;
mod raw_tls;
mod sockudo;
mod tokio_websockets;
mod tungstenite;
pub mod versions;
mod wtx;

use std::error::Error;
use std::net::TcpListener;
use std::path::Path;

pub use provision::python;

use crate::wire::Wire;

/// A server that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    pub name: &'static str,
    pub wire: Wire,
    /// What it is compared to.
    pub limit: Limit,
    pub kind: Kind,
    /// Whether it speaks TLS.
    pub is_secure: bool,
}

/// What the operating system allows: with a thread for each connection, or with one thread for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    Threads,
    Loop,
    /// One thread that waits with poll(2), which the protocol object is embedded in.
    Poll,
}

/// Where a server comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An example of this project, with these flags.
    Example(&'static [&'static str]),
    /// An example of this project in C, with these flags.
    C(&'static str, &'static [&'static str]),
    /// An example of this project in C that embeds the protocol object: it has settings of its own.
    Embedded(&'static str),
    /// This program.
    Served,
    /// `c/libwebsockets.c`.
    Libwebsockets,
    /// `c/raw_poll.c`.
    RawPoll,
    /// `node/ws.js`.
    Node,
    /// This file of `python/`.
    Python(&'static str),
    /// An example of this project in Python, with these flags.
    PythonExample(&'static str, &'static [&'static str]),
}

/// What a server does with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// It sends it back.
    Echo,
    /// It sends it to all connections, the sender's too.
    Publish,
}

impl Peer {
    /// Tells whether it is what others are compared to.
    pub fn is_limit(&self) -> bool {
        self.wire == Wire::Raw
    }

    /// Tells whether a server of this kind is there for the task.
    pub fn can(&self, task: Task) -> bool {
        match (task, self.kind) {
            (Task::Echo, _) | (Task::Publish, Kind::Example(_) | Kind::Node) => true,
            (Task::Publish, _) => *self == RAW_EPOLL || *self == TUNGSTENITE,
        }
    }
}

/// The place of a peer's limit among `peers`.
pub fn limit_of(peers: &[Peer], place: usize) -> Option<usize> {
    peers.iter().position(|peer| peer.is_limit() && peer.limit == peers[place].limit)
}

/// One blocking thread a connection, which reads and writes.
pub const RAW_THREADS: Peer = served("raw threads", Wire::Raw, Limit::Threads);
/// One thread for all connections, with epoll.
pub const RAW_EPOLL: Peer = served("raw epoll", Wire::Raw, Limit::Loop);
/// The example with engine `threads` and limits that no measurement meets.
pub const RADDLE_THREADS: Peer = Peer {
    name: "raddle threads",
    wire: Wire::WebSocket,
    limit: Limit::Threads,
    kind: Kind::Example(&["--engine", "threads"]),
    is_secure: false,
};
/// The same with engine `pool`, on one thread.
pub const RADDLE_POOL: Peer = Peer {
    name: "raddle pool",
    wire: Wire::WebSocket,
    limit: Limit::Loop,
    kind: Kind::Example(&["--engine", "pool", "--workers", "1"]),
    is_secure: false,
};
pub const RADDLE_THREADS_TLS: Peer = secure("raddle threads TLS", RADDLE_THREADS);
pub const RADDLE_POOL_TLS: Peer = secure("raddle pool TLS", RADDLE_POOL);
const TUNGSTENITE: Peer = served("tungstenite", Wire::WebSocket, Limit::Threads);

/// All of them, by their limit.
pub const ALL: [Peer; 23] = [
    RAW_THREADS,
    RADDLE_THREADS,
    other("raddle C threads", Limit::Threads, Kind::C("echo_server.c", &["--engine", "threads"])),
    TUNGSTENITE,
    other("raddle python", Limit::Threads, Kind::PythonExample("echo_server.py", &[])),
    other("websockets sync", Limit::Threads, Kind::Python("websockets_sync.py")),
    RAW_EPOLL,
    RADDLE_POOL,
    other("raddle C pool", Limit::Loop, Kind::C("echo_server.c", &["--engine", "pool", "--workers", "1"])),
    other("raddle C queue", Limit::Loop, Kind::C("echo_server_poll.c", &[])),
    other("raddle C fed queue", Limit::Loop, Kind::C("echo_server_poll.c", &["--engine", "pool", "--workers", "1"])),
    served("fastwebsockets", Wire::WebSocket, Limit::Loop),
    served("tokio-websockets", Wire::WebSocket, Limit::Loop),
    served("sockudo-ws", Wire::WebSocket, Limit::Loop),
    served("sockudo-ws feed", Wire::WebSocket, Limit::Loop),
    served("wtx", Wire::WebSocket, Limit::Loop),
    other("libwebsockets", Limit::Loop, Kind::Libwebsockets),
    other("Node ws", Limit::Loop, Kind::Node),
    other("raddle python fast", Limit::Loop, Kind::PythonExample("echo_server_fast.py", MANY_CONNECTIONS)),
    other("picows", Limit::Loop, Kind::Python("picows_echo.py")),
    other("websockets asyncio", Limit::Loop, Kind::Python("websockets_asyncio.py")),
    Peer { wire: Wire::Raw, ..other("raw poll", Limit::Poll, Kind::RawPoll) },
    other("raddle C protocol", Limit::Poll, Kind::Embedded("embed_poll.c")),
];

/// Those that speak TLS, by their limit.
pub const SECURE: [Peer; 5] = [
    secure("raw threads TLS", RAW_THREADS),
    RADDLE_THREADS_TLS,
    secure("tungstenite TLS", TUNGSTENITE),
    secure("raw epoll TLS", RAW_EPOLL),
    RADDLE_POOL_TLS,
];

/// Serves as a peer that speaks TLS with the certificate in `folder`, until the process is ended.
pub fn serve_secure(name: &str, folder: &Path) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    crate::process::widen_backlog(&listener)?;
    let config = crate::secure::server(folder)?;
    println!("listening on wss://{}", listener.local_addr()?);
    match name {
        "raw threads TLS" => raw_tls::serve_threads(&listener, &config),
        "raw epoll TLS" => raw_tls::serve_epoll(&listener, &config),
        "tungstenite TLS" => tungstenite::serve_secure(&listener, &config),
        _ => Err(format!("there is no server {name} of TLS").into()),
    }
}

const MANY_CONNECTIONS: &[&str] = &["--max-connections", "100000"];

/// Serves as a peer, until the process is ended.
pub fn serve(name: &str, task: Task) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    crate::process::widen_backlog(&listener)?;
    println!("listening on ws://{}", listener.local_addr()?);
    match (name, task) {
        ("raw threads", Task::Echo) => raw_threads::serve(&listener),
        ("raw epoll", task) => raw_epoll::serve(&listener, task),
        ("tungstenite", Task::Echo) => tungstenite::serve(&listener),
        ("tungstenite", Task::Publish) => tungstenite::publish(&listener),
        ("fastwebsockets", Task::Echo) => executor::serve(listener, fastwebsockets::serve),
        ("tokio-websockets", Task::Echo) => executor::serve(listener, tokio_websockets::serve),
        ("sockudo-ws", Task::Echo) => executor::serve(listener, sockudo::serve),
        ("sockudo-ws feed", Task::Echo) => executor::serve(listener, sockudo::serve_feeding),
        ("wtx", Task::Echo) => executor::serve(listener, wtx::serve),
        _ => Err(format!("there is no server {name} for this task").into()),
    }
}

const fn served(name: &'static str, wire: Wire, limit: Limit) -> Peer {
    Peer { name, wire, limit, kind: Kind::Served, is_secure: false }
}

const fn secure(name: &'static str, plain: Peer) -> Peer {
    Peer { name, is_secure: true, ..plain }
}

const fn other(name: &'static str, limit: Limit, kind: Kind) -> Peer {
    Peer { name, wire: Wire::WebSocket, limit, kind, is_secure: false }
}
