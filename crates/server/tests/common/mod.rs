//! What the tests of this crate share: a client that is a script, and servers that echo.

// Each test uses a part of it.
#![allow(dead_code, unused_imports)]

#[path = "../../../socket/tests/common/allocator.rs"]
pub(crate) mod allocator;
mod engine;
mod http;
mod looping;
#[path = "../../../socket/tests/common/peer.rs"]
mod peer;
mod polite;
#[path = "../../../socket/tests/common/process.rs"]
mod process;
mod publishing;
#[path = "../../../socket/tests/common/wait.rs"]
mod wait;

use std::io;
use std::net::TcpStream;
use std::time::Duration;

use raddle_core::OpCode;
use raddle_server::{Builder, HandlerError, Message, Reader, Server, Writer};

pub(crate) use engine::{ENGINE, ENGINES, Engine, WORKERS};
pub(crate) use http::{Answer, Asking, OFFER};
pub(crate) use looping::{beside, looping};
pub(crate) use peer::*;
pub(crate) use polite::Polite;
pub(crate) use process::*;
pub(crate) use publishing::publishing;
pub(crate) use wait::{eventually, eventually_ok, join, pattern, within};

/// A client with the opening handshake behind it.
pub(crate) type Client = Peer<TcpStream>;

/// Starts a server that echoes.
pub(crate) fn start_echo(server: &Server) -> io::Result<()> {
    ENGINE.start(server, answer)
}

/// As [`start_echo`], and returns when the server has ended.
pub(crate) fn serve_echo(server: &Server) -> io::Result<()> {
    ENGINE.serve(server, answer)
}

/// Sends a message back.
pub(crate) fn answer(writer: &Writer, message: Message<'_>) -> Result<(), HandlerError> {
    writer.send(message)?;
    Ok(())
}

/// The echo that a server with a thread for each connection can be.
pub(crate) fn echo(mut reader: Reader, writer: Writer) -> Result<(), HandlerError> {
    while let Some(message) = reader.next_message()? {
        writer.send(message)?;
    }
    Ok(())
}

/// A server on a free port of the loopback, started.
pub(crate) fn echoing(set_up: impl FnOnce(Builder) -> Builder) -> Server {
    answering(set_up, answer)
}

/// As [`echoing`], with what is done for each message.
pub(crate) fn answering<F>(set_up: impl FnOnce(Builder) -> Builder, act: F) -> Server
where
    F: Fn(&Writer, Message<'_>) -> Result<(), HandlerError> + Send + Sync + 'static,
{
    let server = listening(set_up);
    ENGINE.start(&server, act).expect("it starts");
    server
}

/// As [`echoing`], with a handler that has a thread for each connection.
pub(crate) fn serving<H>(set_up: impl FnOnce(Builder) -> Builder, handler: H) -> Server
where
    H: Fn(Reader, Writer) -> Result<(), HandlerError> + Send + Sync + 'static,
{
    let server = listening(set_up);
    server.start(handler).expect("it starts");
    server
}

/// A server on a free port of the loopback, not started.
pub(crate) fn listening(set_up: impl FnOnce(Builder) -> Builder) -> Server {
    set_up(Server::builder().bind("127.0.0.1:0").expect("a port").workers(WORKERS)).build().expect("a server")
}

/// A client whose opening handshake the server has accepted.
pub(crate) fn connect(server: &Server) -> Client {
    Asking::with(server.local_addr(), &OFFER).accepted().0
}

/// Checks that the server serves this client.
pub(crate) fn assert_echo(client: &mut Client) {
    client.send(text("echo"));
    assert_eq!(client.frame(), text("echo"));
}

/// Closes from the client's side, and sees the connection to its end.
pub(crate) fn say_goodbye(mut client: Client) {
    client.send(close(1000, ""));
    let mut frame = client.frame();
    while frame.opcode != OpCode::Close {
        frame = client.frame();
    }
    client.expect_end();
}

/// Stops the server, which has to end.
#[track_caller]
pub(crate) fn finish(server: &Server) {
    server.stop(Duration::from_secs(1));
    server.join(LIMIT).expect("all handlers have returned");
}

/// Longer than anything that works may take.
pub(crate) const LIMIT: Duration = PATIENCE;
/// Soon enough that nobody would call it late, on a noisy machine.
pub(crate) const SOON: Duration = Duration::from_secs(5);
