//! What the tests of this crate share: both ends of a connection, of ours or scripted, and waits with a bound.

// Each test uses a part of it.
#![allow(dead_code, unused_imports)]

pub(crate) mod allocator;
mod end;
mod flood;
mod peer;
mod process;
mod tap;
#[cfg(feature = "tls")]
mod tls;
mod wait;

use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use raddle_socket::{
    Connection, Deflate, Info, Limits, Message, Opening, Options, Reader, Role, Socket, Transport, Writer,
};

pub(crate) use end::*;
pub(crate) use flood::Flood;
pub(crate) use peer::*;
pub(crate) use process::*;
pub(crate) use tap::{Seen, Tap, Write};
#[cfg(feature = "tls")]
pub(crate) use tls::*;
pub(crate) use wait::{eventually, join, pattern, within};

/// The default options, changed.
pub(crate) fn options(change: impl FnOnce(&mut Options)) -> Options {
    let mut options = Options::default();
    change(&mut options);
    options
}

/// Limits that let messages of `bytes` pass.
pub(crate) fn large(bytes: u64) -> Limits {
    Limits::default().message(bytes)
}

/// A connection over a Unix socket whose other end is scripted.
pub(crate) fn against_peer(role: Role, options: Options) -> (Connection, Peer<UnixStream>) {
    let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    let connection = Connection::new(Socket::unix(ours).expect("a socket"), role, b"", options).expect("a connection");
    (connection, Peer::new(theirs, other(role)))
}

/// As [`against_peer`], over TCP.
pub(crate) fn against_tcp_peer(role: Role, options: Options) -> (Connection, Peer<TcpStream>) {
    let (ours, theirs) = tcp_pair();
    let connection = Connection::from_upgraded(ours, role, b"", options).expect("a connection");
    (connection, Peer::new(theirs, other(role)))
}

/// As [`against_peer`], with a view of what the connection writes.
pub(crate) fn against_peer_observed(role: Role, options: Options) -> (Connection, Peer<UnixStream>, Arc<Seen>) {
    let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    let (tap, seen) = Tap::new(Socket::unix(ours).expect("a socket"));
    let connection = Connection::new(tap, role, b"", options).expect("a connection");
    (connection, Peer::new(theirs, other(role)), seen)
}

/// A connection whose reader has received the message "first", and is away from then on.
pub(crate) fn with_reader_away(role: Role, options: Options) -> (Reader, Writer, Peer<UnixStream>) {
    let (connection, mut peer) = against_peer(role, options);
    let (mut reader, writer) = connection.split();
    peer.send(text("first"));
    assert_eq!(reader.next_message(), Ok(Some(Message::Text("first"))));
    (reader, writer, peer)
}

/// Waits until `count` messages of a connection whose reader is away were received for it.
#[track_caller]
pub(crate) fn await_received(writer: &Writer, count: u64) {
    eventually("all is read ahead", || writer.traffic().received_messages >= count);
    assert_eq!(writer.traffic().received_messages, count);
}

/// Both ends of one connection: the client, and the server.
pub(crate) fn both_ends(client: Options, server: Options) -> (Connection, Connection) {
    let (one, other) = UnixStream::pair().expect("a pair of sockets");
    let open = |stream, role, options| {
        Connection::new(Socket::unix(stream).expect("a socket"), role, b"", options).expect("a connection")
    };
    (open(one, Role::Client, client), open(other, Role::Server, server))
}

/// As [`both_ends`], with permessage-deflate.
pub(crate) fn both_ends_deflating(deflate: Deflate, client: Options, server: Options) -> (Connection, Connection) {
    let (one, other) = UnixStream::pair().expect("a pair of sockets");
    (deflating(one, Role::Client, deflate, client), deflating(other, Role::Server, deflate, server))
}

/// A connection with permessage-deflate.
pub(crate) fn deflating(stream: UnixStream, role: Role, deflate: Deflate, options: Options) -> Connection {
    open_deflating(Socket::unix(stream).expect("a socket"), role, deflate, options)
}

/// As [`against_peer_observed`], with permessage-deflate.
pub(crate) fn deflating_observed(
    role: Role,
    deflate: Deflate,
    options: Options,
) -> (Connection, Peer<UnixStream>, Arc<Seen>) {
    let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    let (tap, seen) = Tap::new(Socket::unix(ours).expect("a socket"));
    (open_deflating(tap, role, deflate, options), Peer::new(theirs, other(role)), seen)
}

fn open_deflating(transport: impl Transport, role: Role, deflate: Deflate, options: Options) -> Connection {
    let mut info = Info::default();
    info.deflate = Some(deflate);
    Connection::open(transport, Opening { info, ..Opening::new(role, options) }).expect("a connection")
}

/// Two TCP sockets that are connected to each other.
pub(crate) fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let one = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
    let (other, _) = listener.accept().expect("accepted");
    (one, other)
}

fn other(role: Role) -> Role {
    match role {
        Role::Client => Role::Server,
        Role::Server => Role::Client,
    }
}

/// Both.
pub(crate) const ROLES: [Role; 2] = [Role::Server, Role::Client];
/// Soon enough that nobody would call it late, on a noisy machine.
pub(crate) const SOON: Duration = Duration::from_millis(500);
/// Longer than anything that works may take.
pub(crate) const LIMIT: Duration = PATIENCE;
