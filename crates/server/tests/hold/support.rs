//! What these tests share: a server that has to end, clients of bytes, and waits with a bound.

// Each test target uses a part of it.
#![allow(dead_code, unused_imports)]

use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Deref;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use raddle_core::Role;
use raddle_server::{Builder, Cause, HandlerError, Message, Reader, Refusal, Server, Writer};
use rustix::net::sockopt::set_socket_linger;

#[path = "../common/mod.rs"]
mod common;

pub(crate) use common::{
    Client, ENGINE, Engine, Frame, PATIENCE, Peer, Stream, WORKERS, answer as send_back, binary, close, descriptors,
    echo, eventually, fragment, is_the_attendant_alone, join, library_threads, serve_echo, start_echo, test_of, text,
    within,
};

/// A server under test. Dropped, it is stopped, and has to end with nothing left.
pub(crate) struct Host {
    server: Server,
}

/// A server that listens on a free port.
pub(crate) fn builder() -> Builder {
    Server::builder().bind("127.0.0.1:0").expect("a free port").workers(WORKERS)
}

impl Host {
    pub(crate) fn start(
        builder: Builder,
        handler: impl Fn(Reader, Writer) -> Result<(), HandlerError> + Send + Sync + 'static,
    ) -> Self {
        Self { server: builder.start(handler).expect("the server starts") }
    }

    /// A server that sends every message back.
    pub(crate) fn echo(builder: Builder) -> Self {
        let server = builder.build().expect("a server");
        start_echo(&server).expect("the server starts");
        Self { server }
    }

    /// A server that calls `open` for every connection, and `act` for every message.
    pub(crate) fn acting(
        builder: Builder,
        open: impl Fn(&Writer) -> Result<(), HandlerError> + Send + Sync + 'static,
        act: impl Fn(&Writer, Message<'_>) -> Result<(), HandlerError> + Send + Sync + 'static,
    ) -> Self {
        let server = builder.build().expect("a server");
        ENGINE.start_acting(&server, open, act).expect("the server starts");
        Self { server }
    }

    /// A server whose connections [`Server::accept`] gives. It listens already.
    pub(crate) fn accepting(builder: Builder) -> Self {
        let server = builder.build().expect("a server");
        assert!(server.accept(Duration::ZERO).expect("the server starts").is_none());
        Self { server }
    }

    /// Connects without a word.
    pub(crate) fn dial(&self) -> TcpStream {
        dial(self.local_addr())
    }

    /// Asks for a WebSocket, with further header lines.
    pub(crate) fn ask(&self, headers: &str) -> TcpStream {
        send_request(self.dial(), &request(headers))
    }

    pub(crate) fn ask_for(&self, target: &str) -> TcpStream {
        send_request(self.dial(), &request_for(target, ""))
    }

    /// Opens a WebSocket.
    pub(crate) fn open(&self) -> Client {
        self.open_with("")
    }

    pub(crate) fn open_with(&self, headers: &str) -> Client {
        opened(self.ask(headers))
    }

    /// Tells whether a WebSocket can be opened now; it is closed again.
    pub(crate) fn admits(&self) -> bool {
        let mut stream = self.dial();
        // Refused connections are closed unheard.
        if stream.write_all(request("").as_bytes()).is_err() {
            return false;
        }
        match answer(&mut stream) {
            Some((101, rest)) => {
                leave(Peer::with_received(stream, Role::Client, rest));
                true
            }
            _ => false,
        }
    }

    pub(crate) fn refused(&self, reason: Refusal) -> u64 {
        self.metrics().refused.get(&reason).copied().unwrap_or(0)
    }

    pub(crate) fn ended(&self, cause: Cause) -> u64 {
        self.metrics().ended.get(&cause).copied().unwrap_or(0)
    }

    /// Handlers that have not returned.
    pub(crate) fn handlers(&self) -> usize {
        self.join(Duration::ZERO).expect_err("the server has ended").handlers.len()
    }

    pub(crate) fn handle(&self) -> Server {
        self.server.clone()
    }
}

impl Deref for Host {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.server.stop(Duration::ZERO);
        if !std::thread::panicking() {
            self.server.join(PATIENCE).expect("all handlers have returned");
            eventually("nothing is left", || self.connections().is_empty() && self.metrics().connections == 0);
        }
    }
}

/// Connects to a server, without a word.
pub(crate) fn dial(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).expect("connected")
}

/// An opening handshake with further header lines.
pub(crate) fn request(headers: &str) -> String {
    request_for("/", headers)
}

pub(crate) fn request_for(target: &str, headers: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    )
}

/// Waits for an answer: its status, and what came behind its head. `None`: the connection was closed without a word.
#[track_caller]
pub(crate) fn answer<S: Stream>(stream: &mut S) -> Option<(u16, Vec<u8>)> {
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut received = Vec::new();
    let mut bytes = [0; 4096];
    loop {
        if let Some(end) = received.windows(4).position(|end| end == b"\r\n\r\n") {
            let status = std::str::from_utf8(&received[9..12]).expect("a status").parse().expect("a number");
            return Some((status, received.split_off(end + 4)));
        }
        match stream.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) => received.extend_from_slice(&bytes[..count]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => panic!("no answer: {error}"),
        }
    }
    assert!(received.is_empty(), "a torn answer: {}", received.escape_ascii());
    None
}

/// Waits for an answer, and gives its status.
#[track_caller]
pub(crate) fn status<S: Stream>(stream: &mut S) -> u16 {
    answer(stream).expect("an answer").0
}

/// The client on a stream whose request is answered with 101.
#[track_caller]
pub(crate) fn opened<S: Stream>(mut stream: S) -> Peer<S> {
    let (status, received) = answer(&mut stream).expect("an answer");
    assert_eq!(status, 101);
    Peer::with_received(stream, Role::Client, received)
}

/// Sends a message, which has to come back.
#[track_caller]
pub(crate) fn echoes<S: Stream>(client: &mut Peer<S>, message: &str) {
    client.send(text(message));
    assert_eq!(client.frame(), text(message));
}

/// Carries out the closing handshake.
#[track_caller]
pub(crate) fn leave<S: Stream>(mut client: Peer<S>) {
    client.send(close(1000, ""));
    assert_eq!(client.frame(), close(1000, ""));
    client.expect_end();
}

/// The code of the Close that has to come next.
#[track_caller]
pub(crate) fn close_code<S: Stream>(client: &mut Peer<S>) -> u16 {
    let frame = client.frame();
    assert_eq!(frame.opcode, raddle_core::OpCode::Close, "{frame:?}");
    u16::from_be_bytes(*frame.payload.first_chunk().expect("a code"))
}

/// Closes a stream so that the other side gets a reset.
pub(crate) fn reset(stream: TcpStream) {
    set_socket_linger(&stream, Some(Duration::ZERO)).expect("an option");
}

/// Tells whether the server has closed a connection on which it has said nothing.
pub(crate) fn is_closed(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).expect("a mode");
    let closed = match stream.peek(&mut [0]) {
        Ok(0) => true,
        Ok(_) => panic!("the server has said something"),
        Err(error) if error.kind() == ErrorKind::WouldBlock => false,
        Err(_) => true,
    };
    stream.set_nonblocking(false).expect("a mode");
    closed
}

/// Connects to a Unix socket and asks for a WebSocket.
pub(crate) fn ask_unix(path: &Path, headers: &str) -> UnixStream {
    send_request(UnixStream::connect(path).expect("connected"), &request(headers))
}

pub(crate) fn send_request<S: Write>(mut stream: S, request: &str) -> S {
    stream.write_all(request.as_bytes()).expect("the request is taken");
    stream
}

/// A directory that is removed with what is in it.
pub(crate) struct Directory(PathBuf);

impl Directory {
    /// `name` is that of the test module, which makes it the only one.
    pub(crate) fn new(name: &str) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("raddle-{name}-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).expect("a directory");
        Self(path)
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What a thread does beside a test goes on until it is told, or the test has failed.
pub(crate) struct Until {
    told: AtomicBool,
    at_latest: Instant,
}

impl Until {
    pub(crate) fn told() -> Self {
        Self { told: AtomicBool::new(false), at_latest: Instant::now() + 2 * PATIENCE }
    }

    pub(crate) fn tell(&self) {
        self.told.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_told(&self) -> bool {
        self.told.load(Ordering::Relaxed) || Instant::now() > self.at_latest
    }
}

/// What threads wait at until it is opened.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<GateState>, Condvar)>);

#[derive(Default)]
struct GateState {
    waiting: usize,
    open: bool,
}

impl Gate {
    pub(crate) fn wait(&self) {
        let (state, changed) = &*self.0;
        let mut state = state.lock();
        state.waiting += 1;
        changed.notify_all();
        let deadline = Instant::now() + PATIENCE;
        while !state.open {
            assert!(!changed.wait_until(&mut state, deadline).timed_out(), "nobody opens the gate");
        }
    }

    /// Waits until so many threads have come.
    #[track_caller]
    pub(crate) fn expect(&self, count: usize) {
        let (state, changed) = &*self.0;
        let mut state = state.lock();
        let deadline = Instant::now() + PATIENCE;
        while state.waiting < count {
            let late = changed.wait_until(&mut state, deadline).timed_out();
            assert!(!late, "{} of {count} threads have come", state.waiting);
        }
    }

    pub(crate) fn open(&self) {
        let (state, changed) = &*self.0;
        state.lock().open = true;
        changed.notify_all();
    }
}
