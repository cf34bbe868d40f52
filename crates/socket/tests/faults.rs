//! A stream that does less than it is asked for, or fails: what was sent comes whole, or the connection ends and says why.

mod common;

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use common::*;
use raddle_socket::{
    Cause, Close, CloseCode, Connection, End, Interest, Message, Next, Opening, Patience, Readiness, Role, SendError,
    Socket, Transport,
};
use rustix::net::sockopt;

/// A call of a stream's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Receive,
    Send,
    Wait,
    Shutdown,
}

/// What is wrong with a stream.
#[derive(Clone, Copy)]
enum Fault {
    /// Each read and each write is of one byte.
    Short,
    /// Nothing can be written, and that is no error.
    WritesNothing,
    /// One call fails with this error number: the first of its kind, or a later one.
    Fails(Call, usize, i32),
}

struct Faulty {
    socket: Socket,
    fault: Fault,
    calls: Arc<AtomicUsize>,
}

impl Faulty {
    /// Counts a call, which may be the one that fails.
    fn called(&self, call: Call) -> io::Result<()> {
        match self.fault {
            Fault::Fails(kind, number, error) if kind == call => {
                let fails = self.calls.fetch_add(1, Ordering::Relaxed) == number;
                if fails { Err(io::Error::from_raw_os_error(error)) } else { Ok(()) }
            }
            _ => Ok(()),
        }
    }
}

impl Transport for Faulty {
    fn receive(&self, space: &mut [u8], patience: Patience) -> io::Result<usize> {
        self.called(Call::Receive)?;
        let space = if matches!(self.fault, Fault::Short) { &mut space[..1] } else { space };
        self.socket.receive(space, patience)
    }

    fn send(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.called(Call::Send)?;
        match self.fault {
            Fault::Short => {
                let first = parts.iter().find(|part| !part.is_empty()).expect("something is written");
                self.socket.send(&[IoSlice::new(&first[..1])])
            }
            Fault::WritesNothing => Ok(0),
            Fault::Fails(..) => self.socket.send(parts),
        }
    }

    fn wait(&self, interest: Interest, timeout: Option<Duration>) -> io::Result<Readiness> {
        self.called(Call::Wait)?;
        self.socket.wait(interest, timeout)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.called(Call::Shutdown)?;
        self.socket.shutdown(how)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.socket.descriptor()
    }
}

/// What has become of a connection that echoes over a faulty stream.
struct Outcome {
    /// How its client has found it to end, and after how many echoes.
    client: (usize, End),
    server: End,
    /// How often its end was told.
    told: usize,
    /// Calls of the kind that fails.
    calls: usize,
}

/// Five messages that are copied, written from where they are, and fragmented.
const LENGTHS: [usize; 5] = [20, 5_000, 20_000, 1, 40_000];

/// Has [`LENGTHS`] echoed over a faulty stream.
fn echo_over(role: Role, fault: Fault) -> Outcome {
    let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    let (calls, told) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let stream = Faulty { socket: Socket::unix(ours).expect("a socket"), fault, calls: Arc::clone(&calls) };
    let mut opening = Opening::new(role, options(|options| options.fragment_size = 30_000));
    let count = Arc::clone(&told);
    opening.on_end = Some(Box::new(move |_, _| {
        count.fetch_add(1, Ordering::Relaxed);
    }));
    let faulty = Connection::open(stream, opening).expect("a connection");
    let other = if role == Role::Server { Role::Client } else { Role::Server };
    let theirs = Socket::unix(theirs).expect("a socket");
    let mut client = Connection::new(theirs, other, b"", options(|_| ())).expect("a connection");

    let echoing = thread::spawn(move || {
        let (mut reader, writer) = faulty.split();
        loop {
            // With a wait of its own and without.
            let message = match reader.next_message_within(LIMIT) {
                Ok(Next::Message(message)) => message,
                Ok(Next::Closed) => return reader.end().expect("it was seen").clone(),
                Ok(Next::Timeout | Next::Signal) => panic!("nothing has come"),
                Err(end) => return end,
            };
            // That the connection has ended is the reader's to tell.
            if writer.send(message) == Err(SendError::Closed) {
                return reader.close(Close::code(CloseCode::NORMAL));
            }
            match reader.next_message() {
                Ok(Some(message)) => drop(writer.send(message)),
                Ok(None) => return reader.end().expect("it was seen").clone(),
                Err(end) => return end,
            }
        }
    });
    let client = thread::spawn(move || {
        let mut echoes = 0;
        for length in LENGTHS {
            let message = pattern(length, length as u64);
            if client.send(&message).is_err() {
                break;
            }
            match client.next_message() {
                Ok(Some(echo)) => assert!(echo == Message::Binary(&message), "the echo of {length} bytes is damaged"),
                _ => break,
            }
            echoes += 1;
        }
        (echoes, client.close(Close::code(CloseCode::NORMAL)))
    });
    let (client, server) = (join(client, LIMIT), join(echoing, LIMIT));
    eventually("its end is told", || told.load(Ordering::Relaxed) > 0);
    Outcome { client, server, told: told.load(Ordering::Relaxed), calls: calls.load(Ordering::Relaxed) }
}

#[test]
fn reads_and_writes_of_one_byte_are_enough() {
    // Hostile input 261.
    for role in ROLES {
        let Outcome { client: (echoes, end), server, .. } = echo_over(role, Fault::Short);
        assert_eq!(echoes, LENGTHS.len());
        assert!(end.is_clean() && server.is_clean(), "{role:?}: {end}, {server}");
    }
}

#[test]
fn a_write_of_nothing_is_an_error_and_not_tried_for_ever() {
    // Hostile input 261.
    for role in ROLES {
        let Outcome { client: (echoes, _), server, .. } = echo_over(role, Fault::WritesNothing);
        assert_eq!((echoes, server.cause), (0, Cause::Io(io::ErrorKind::WriteZero)), "{role:?}");
    }
}

#[test]
fn a_call_that_fails_ends_the_connection_with_its_error_or_is_made_again() {
    // Hostile inputs 262 and 264: each call of a stream, each time that it is made, with each error that it may give.
    const FATAL: [i32; 8] = [
        libc::ECONNRESET,
        libc::ETIMEDOUT,
        libc::EHOSTUNREACH,
        libc::ENETUNREACH,
        libc::EPIPE,
        libc::ENOMEM,
        libc::ENOBUFS,
        libc::EIO,
    ];
    for role in ROLES {
        for call in [Call::Receive, Call::Send, Call::Wait, Call::Shutdown] {
            let mut reached = 0;
            for number in 0..12 {
                for error in FATAL.into_iter().chain([libc::EINTR, libc::EAGAIN]) {
                    // A poll is not told to come again.
                    if (call, error) == (Call::Wait, libc::EAGAIN) {
                        continue;
                    }
                    let what = format!("{call:?} number {number} of the {role:?} fails with {error}");
                    let outcome = echo_over(role, Fault::Fails(call, number, error));
                    let (echoes, end) = outcome.client;
                    assert_eq!(outcome.told, 1, "{what}");
                    let is_reached = outcome.calls > number;
                    reached += usize::from(is_reached);
                    // Where the end of the stream cannot be told, closing the socket tells it.
                    let is_harmless = call == Call::Shutdown || !FATAL.contains(&error);
                    if is_harmless || !is_reached {
                        assert_eq!(echoes, LENGTHS.len(), "{what}: {end}, {}", outcome.server);
                        assert!(end.is_clean() && outcome.server.is_clean(), "{what}: {end}, {}", outcome.server);
                    } else if outcome.server.received.is_some() {
                        // The client was closing already, which is the first cause.
                        assert_eq!((echoes, outcome.server.cause), (LENGTHS.len(), Cause::PeerClose), "{what}");
                    } else {
                        let kind = io::Error::from_raw_os_error(error).kind();
                        assert_eq!(outcome.server.cause, Cause::Io(kind), "{what}");
                        assert_eq!(outcome.server.code(), CloseCode::ABNORMAL, "{what}");
                    }
                }
            }
            assert!(reached >= 9, "{call:?} of the {role:?}: {reached} failures");
        }
    }
}

#[test]
fn the_smallest_buffers_make_a_connection_slower_and_nothing_else() {
    // Hostile input 263.
    let (one, other) = tcp_pair();
    for stream in [&one, &other] {
        sockopt::set_socket_send_buffer_size(stream, 1).expect("an option");
        sockopt::set_socket_recv_buffer_size(stream, 1).expect("an option");
    }
    let open = |stream, role| Connection::from_upgraded(stream, role, b"", options(|_| ())).expect("a connection");
    let (mut client, mut server) = (open(one, Role::Client), open(other, Role::Server));
    let echoing = thread::spawn(move || {
        for _ in LENGTHS {
            let message = server.next_message().expect("open").expect("open").as_bytes().to_vec();
            server.send(&message).expect("the peer takes it");
        }
        server.close(Close::code(CloseCode::NORMAL))
    });
    for length in LENGTHS {
        let message = pattern(length, 1);
        client.send(&message).expect("the peer takes it");
        assert!(client.next_message() == Ok(Some(Message::Binary(&message))), "{length} bytes");
    }
    assert_eq!(client.next_message(), Ok(None));
    assert!(join(echoing, LIMIT).is_clean());
}
