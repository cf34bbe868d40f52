//! What the tests of this crate share: servers of the project's own, and waits with a bound.

// Each test uses a part of it.
#![allow(dead_code, unused_imports)]

#[path = "../../../socket/tests/common/wait.rs"]
mod wait;

use std::time::Duration;

use raddle_server::{Builder, HandlerError, Reader, Server, Writer};

pub(crate) use wait::{eventually, join, pattern, within};

/// A server on a free port of the loopback, started.
pub(crate) fn serving<H>(set_up: impl FnOnce(Builder) -> Builder, handler: H) -> Server
where
    H: Fn(Reader, Writer) -> Result<(), HandlerError> + Send + Sync + 'static,
{
    let builder = Server::builder().bind("127.0.0.1:0").expect("a port");
    set_up(builder).start(handler).expect("it starts")
}

/// Sends every message back.
pub(crate) fn echo(mut reader: Reader, writer: Writer) -> Result<(), HandlerError> {
    while let Some(message) = reader.next_message()? {
        writer.send(message)?;
    }
    Ok(())
}

/// Where the server is.
pub(crate) fn url(server: &Server, target: &str) -> String {
    format!("ws://{}{target}", server.local_addr())
}

/// Stops the server, which has to end.
#[track_caller]
pub(crate) fn finish(server: &Server) {
    server.stop(Duration::from_secs(1));
    server.join(LIMIT).expect("all handlers have returned");
}

/// Longer than anything that works may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);
