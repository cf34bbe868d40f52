//! Servers of the project's own, with either engine, and waits with a bound.

use std::net::SocketAddr;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use raddle::{
    Builder, Client, ClientTls, Connection, HandlerError, Hosts, Message, Server, ServerTls, ServerTlsBuilder, Writer,
};

use crate::authority::{Authority, Issued};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Threads,
    Pool,
}

pub(crate) const ENGINES: [Engine; 2] = [Engine::Threads, Engine::Pool];

/// Longer than anything that works may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// A server that sends everything back, and that stops when dropped.
pub(crate) struct Echo {
    pub(crate) server: Server,
    pub(crate) address: SocketAddr,
}

impl Echo {
    pub(crate) fn start(engine: Engine, tls: &ServerTls) -> Self {
        Self::start_with(engine, tls, |builder| builder)
    }

    pub(crate) fn start_with(engine: Engine, tls: &ServerTls, change: impl FnOnce(Builder) -> Builder) -> Self {
        let builder = Server::builder().bind_tls("127.0.0.1:0", tls).expect("a free port").hosts(Hosts::Any);
        let server = change(builder).build().expect("its settings are in order");
        match engine {
            Engine::Threads => server.start(|mut reader, writer| {
                while let Some(message) = reader.next_message()? {
                    writer.send(message)?;
                }
                Ok(())
            }),
            Engine::Pool => server.start_pool(|writer: &Writer, message: Message<'_>| -> Result<(), HandlerError> {
                writer.send(message)?;
                Ok(())
            }),
        }
        .expect("it starts");
        Self { address: server.local_addr(), server }
    }

    /// Where it is, under this name of the loopback.
    pub(crate) fn url(&self, host: &str) -> String {
        format!("wss://{host}:{}/", self.address.port())
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.server.stop(Duration::from_millis(200));
        let ended = self.server.join(LIMIT);
        if !thread::panicking() {
            ended.expect("all handlers have returned");
        }
    }
}

pub(crate) fn tls(issued: &Issued) -> ServerTls {
    builder(issued).build().expect("the certificate is in order")
}

pub(crate) fn builder(issued: &Issued) -> ServerTlsBuilder {
    ServerTls::builder().certificate_pem(issued.chain.as_str(), issued.key.as_str())
}

/// What a client needs to trust this authority, and nobody else.
pub(crate) fn trusting(authority: &Authority) -> ClientTls {
    ClientTls::new().without_system_roots().add_roots_pem(authority.root()).expect("it is a root")
}

pub(crate) fn client(authority: &Authority) -> Client {
    Client::new().tls(trusting(authority))
}

/// Has a message sent back.
#[track_caller]
pub(crate) fn echo(connection: &mut Connection, text: &str) {
    connection.send(text).expect("the connection is open");
    assert_eq!(connection.next_message().expect("the connection is open"), Some(Message::Text(text)));
}

/// Waits until `condition` holds, which has to be soon.
#[track_caller]
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within {LIMIT:?}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// How much a test does: `usual`, or what a variable of the environment asks for, as `ci/tls-long` does.
pub(crate) fn scaled(variable: &str, usual: usize) -> usize {
    std::env::var(variable).map_or(usual, |value| value.parse().expect("a number"))
}

/// Waits for a thread, which has to return.
#[track_caller]
pub(crate) fn join<T>(thread: JoinHandle<T>) -> T {
    join_within(LIMIT, thread)
}

/// The same for one that has much to do.
#[track_caller]
pub(crate) fn join_within<T>(limit: Duration, thread: JoinHandle<T>) -> T {
    let deadline = Instant::now() + limit;
    while !thread.is_finished() {
        assert!(Instant::now() < deadline, "the thread has not returned within {limit:?}");
        thread::sleep(Duration::from_millis(1));
    }
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
