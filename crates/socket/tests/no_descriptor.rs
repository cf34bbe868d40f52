//! A stream without a descriptor, whose writes wait: its peer holds up nothing but it.

mod common;

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use common::*;
use raddle_core::OpCode;
use raddle_socket::{Cause, Connection, Interest, Opening, Options, Patience, Readiness, Role, Socket, Transport};

/// A stream that cannot be watched.
struct Unwatched {
    socket: Socket,
    /// The same socket.
    stream: UnixStream,
    /// A layer of the stream has output of its own, which leaves by itself once it was asked for.
    has_output: Arc<AtomicBool>,
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

    fn has_output(&self) -> bool {
        self.has_output.swap(false, Ordering::Relaxed)
    }
}

/// A connection whose peer reads nothing, and of whose socket the system takes no more; its Pings are the attendant's to write.
fn open(change: impl FnOnce(&mut Options)) -> (Connection, mpsc::Receiver<Cause>, UnixStream) {
    let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    ours.set_nonblocking(true).expect("an option");
    while (&ours).write(&[0; 4096]).is_ok() {}
    let (connection, told) = open_on(ours, Arc::default(), change);
    (connection, told, theirs)
}

fn open_on(
    ours: UnixStream,
    has_output: Arc<AtomicBool>,
    change: impl FnOnce(&mut Options),
) -> (Connection, mpsc::Receiver<Cause>) {
    let stream = ours.try_clone().expect("a descriptor");
    // Without waiting is one for all copies of the descriptor, and taken back here.
    let socket = Socket::unix(ours).expect("a socket");
    let (telling, told) = mpsc::channel();
    let mut opening = Opening::new(Role::Server, options(change));
    opening.on_end = Some(Box::new(move |end, _| {
        // It fails where nobody asks any more.
        let _ = telling.send(end.cause);
    }));
    let unwatched = Unwatched { socket, stream, has_output };
    (Connection::open(unwatched, opening).expect("a connection"), told)
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

#[test]
fn output_of_a_layer_that_has_left_before_its_turn_holds_up_nothing() {
    let (ours, mut theirs) = UnixStream::pair().expect("a pair of sockets");
    let has_output = Arc::new(AtomicBool::new(false));
    let (mut connection, _told) = open_on(ours, Arc::clone(&has_output), |options| options.ping_interval = None);
    has_output.store(true, Ordering::Relaxed);
    // Nobody reads yet, so the attendant does, and has a thread write what there is.
    let start = Instant::now();
    while has_output.load(Ordering::Relaxed) {
        assert!(start.elapsed() < LIMIT, "nobody has looked whether there is output");
        thread::sleep(Duration::from_millis(10));
    }
    thread::sleep(Duration::from_millis(100));
    let writer = connection.writer();
    let reading = thread::spawn(move || connection.next_message().map(drop));
    // Once there is a reader, the attendant does nothing more by itself.
    thread::sleep(Duration::from_millis(300));
    writer.try_send("later").expect("there is room");
    theirs.set_read_timeout(Some(Duration::from_secs(10))).expect("an option");
    let mut received = [0; 7];
    theirs.read_exact(&mut received).expect("it is written at once");
    assert_eq!(received, *b"\x81\x05later");
    drop(theirs);
    // Without a Close: it is not of interest here.
    let _ = join(reading, LIMIT);
}
