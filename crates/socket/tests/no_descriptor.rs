//! A stream without a descriptor, whose writes wait: its peer holds up nothing but it.

mod common;

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use common::*;
use raddle_core::OpCode;
use raddle_socket::{Cause, Connection, Interest, Opening, Options, Patience, Readiness, Role, Socket, Transport};

/// A stream that cannot be watched.
struct Unwatched {
    socket: Socket,
    /// The same socket.
    stream: UnixStream,
}

impl Transport for Unwatched {
    fn receive(&self, space: &mut [u8], patience: Patience) -> io::Result<usize> {
        self.socket.receive(space, patience)
    }

    fn send(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        (&self.stream).write_vectored(parts)
    }

    fn wait(&self, interest: Interest, timeout: Option<Duration>) -> io::Result<Readiness> {
        self.socket.wait(interest, timeout)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.shutdown(how)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// A connection whose peer reads nothing, and of whose socket the system takes no more; its Pings are the attendant's to write.
fn open(change: impl FnOnce(&mut Options)) -> (Connection, mpsc::Receiver<Cause>, UnixStream) {
    let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    let stream = ours.try_clone().expect("a descriptor");
    ours.set_nonblocking(true).expect("an option");
    while (&ours).write(&[0; 4096]).is_ok() {}
    // It is one for all copies of the descriptor, and taken back here.
    let socket = Socket::unix(ours).expect("a socket");
    let (telling, told) = mpsc::channel();
    let mut opening = Opening::new(Role::Server, options(change));
    opening.on_end = Some(Box::new(move |end, _| {
        // It fails where nobody asks any more.
        let _ = telling.send(end.cause);
    }));
    (Connection::open(Unwatched { socket, stream }, opening).expect("a connection"), told, theirs)
}

#[test]
fn a_peer_that_reads_nothing_keeps_no_other_from_being_attended_and_has_a_deadline() {
    let (connection, told, mut theirs) = open(|options| {
        options.ping_interval = Some(Duration::from_millis(50));
        options.write_timeout = Duration::from_millis(500);
    });
    thread::sleep(Duration::from_millis(100));
    let pinging = options(|options| options.ping_interval = Some(Duration::from_millis(50)));
    let (_other, mut peer) = against_peer(Role::Server, pinging);
    let asked = peer.frame_within(LIMIT);
    assert_eq!(asked.map(|frame| frame.opcode), Some(OpCode::Ping), "the others are asked for nothing any more");
    assert_eq!(told.recv_timeout(LIMIT), Ok(Cause::WriteTimeout));
    drop(connection);
    theirs.set_read_timeout(Some(LIMIT)).expect("an option");
    io::copy(&mut theirs, &mut io::sink()).expect("the end of the stream");
}

#[test]
fn what_waits_leaves_once_the_peer_reads() {
    let (connection, _told, mut theirs) = open(|options| options.ping_interval = Some(Duration::from_millis(50)));
    thread::sleep(Duration::from_millis(200));
    let writer = connection.writer();
    // Behind the Ping, whose thread writes it too.
    writer.try_send("later").expect("it is queued");
    theirs.set_read_timeout(Some(LIMIT)).expect("an option");
    let mut received = Vec::new();
    let mut buffer = [0; 4096];
    while !received.ends_with(b"\x81\x05later") {
        let count = theirs.read(&mut buffer).expect("more is to come");
        assert!(count > 0, "the stream has ended");
        received.extend_from_slice(&buffer[..count]);
    }
    let ping = received.iter().position(|byte| *byte != 0).expect("there is more than what was there before");
    assert_eq!(received[ping..][..2], [0x89, 8]);
}

#[test]
fn the_last_handle_of_a_connection_may_be_the_attendants() {
    let (connection, told, theirs) = open(|options| {
        options.ping_interval = Some(Duration::from_millis(50));
        options.write_timeout = Duration::from_millis(500);
    });
    // The thread that waits for room has a handle of its own.
    thread::sleep(Duration::from_millis(100));
    within(LIMIT, || drop(connection));
    assert_eq!(told.recv_timeout(LIMIT), Ok(Cause::WriteTimeout));
    drop(theirs);
}
