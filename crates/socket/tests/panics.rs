//! What an application has given a connection panics: that connection ends, and nothing else does.

mod common;

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::*;
use raddle_core::OpCode;
use raddle_socket::{
    Cause, Connection, Interest, Opening, Options, Patience, Readiness, Role, SendError, Socket, State, Transport,
};

/// A stream of which one call panics, each time.
struct Panicking {
    socket: Socket,
    call: &'static str,
}

impl Panicking {
    fn called(&self, call: &str) {
        assert!(self.call != call, "as it is to");
    }
}

impl Transport for Panicking {
    fn receive(&self, space: &mut [u8], patience: Patience) -> io::Result<usize> {
        self.called("receive");
        self.socket.receive(space, patience)
    }

    fn send(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.called("send");
        self.socket.send(parts)
    }

    fn wait(&self, interest: Interest, timeout: Option<Duration>) -> io::Result<Readiness> {
        self.called("wait");
        self.socket.wait(interest, timeout)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.called("shutdown");
        self.socket.shutdown(how)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.socket.descriptor()
    }
}

impl Drop for Panicking {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.called("drop");
        }
    }
}

fn pinging() -> Options {
    options(|options| {
        options.ping_interval = Some(Duration::from_millis(50));
        options.ping_timeout = Duration::from_millis(50);
    })
}

/// A connection of which `call` panics, or what is called at its end; how often that was called, and the peer's end.
fn open(call: &'static str, options: Options) -> (Connection, Arc<AtomicUsize>, UnixStream) {
    let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    let told = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&told);
    let mut opening = Opening::new(Role::Server, options);
    opening.on_end = Some(Box::new(move |_, _| {
        count.fetch_add(1, Ordering::Relaxed);
        assert!(call != "on_end", "as it is to");
    }));
    let stream = Panicking { socket: Socket::unix(ours).expect("a socket"), call };
    (Connection::open(stream, opening).expect("a connection"), told, theirs)
}

/// Asks the process's attendant for a sign of life.
fn assert_attended(what: &str) {
    let (_connection, mut peer) = against_peer(Role::Server, pinging());
    let asked = peer.frame_within(LIMIT);
    assert_eq!(
        asked.map(|frame| frame.opcode),
        Some(OpCode::Ping),
        "{what}: the others are asked for nothing any more"
    );
}

#[test]
fn a_panic_of_what_is_called_for_one_connection_leaves_the_others_attended() {
    for call in ["on_end", "send", "shutdown", "wait", "receive", "drop"] {
        // Its reader is away, its peer says something and then nothing: so each call is the attendant's.
        let (connection, told, mut theirs) = open(call, pinging());
        let writer = connection.writer();
        io::Write::write_all(&mut theirs, b"\x89\x80\x00\x00\x00\x00").expect("room");
        eventually(call, || writer.state() == State::Closed);
        eventually(call, || told.load(Ordering::Relaxed) == 1);
        assert_attended(call);
        let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop((connection, writer))));
        assert_eq!(dropped.is_err(), call == "drop", "{call}");
        assert_attended(call);
        assert_eq!(told.load(Ordering::Relaxed), 1, "{call}");
    }
}

#[test]
fn a_panic_in_the_drop_of_a_connection_whose_last_handle_the_attendant_has_is_no_more() {
    // What waits to be written is kept by the attendant alone.
    for call in ["on_end", "drop"] {
        let (connection, told, theirs) = open(call, options(|options| options.outgoing_limit = 64 << 20));
        connection.writer().try_send(&pattern(8 << 20, 1)).expect("it may wait");
        drop(connection);
        assert_eq!(told.load(Ordering::Relaxed), 0, "{call}: it has not ended");
        drop(theirs);
        eventually(call, || told.load(Ordering::Relaxed) == 1);
        assert_attended(call);
    }
}

#[test]
fn a_panic_in_a_write_lets_the_others_go_and_ends_the_connection() {
    let (mut connection, told, _theirs) = open("send", options(|_| ()));
    let writer = connection.writer();
    let wrote = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| writer.send("one")));
    assert!(wrote.is_err(), "the panic is the sender's to see");
    // Large enough to wait for the baton.
    let large = pattern(1 << 20, 1);
    let other = writer.clone();
    assert_eq!(within(LIMIT, move || other.send(&large)), Err(SendError::Closed));
    assert_eq!(writer.try_send("two"), Err(SendError::Closed));
    eventually("it has ended", || writer.state() == State::Closed);
    eventually("its end is told", || told.load(Ordering::Relaxed) == 1);
    let end = connection.next_message().map(|_| ()).expect_err("it has failed");
    assert_eq!(end.cause, Cause::Io(io::ErrorKind::Other));
    assert_attended("send");
}
