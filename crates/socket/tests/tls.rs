//! Connections over TLS: the same as over a plain socket, whatever the records are.
#![cfg(feature = "tls")]

mod common;

use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use common::*;
use raddle_socket::rustls::version::{TLS12, TLS13};
use raddle_socket::rustls::{self, ClientConnection, ServerConnection, SupportedProtocolVersion};
use raddle_socket::{
    Cause, Close, CloseCode, Connection, Driven, Driver, Error, Event, Events, Handshake, Interest, Message, Mode,
    Next, Options, Patience, Role, SendError, SendStatus, Socket, State, TlsStream, Transport, Turn, Watch,
};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];
const MIB: usize = 1 << 20;

/// Both ends of one connection: the client, and the server.
fn both_tls(version: &'static SupportedProtocolVersion, change: impl Fn(&mut Options)) -> (Connection, Connection) {
    let (client, server) = tls_pair(version);
    let open = |stream, role| Connection::new(stream, role, b"", options(&change)).expect("a connection");
    (open(client, Role::Client), open(server, Role::Server))
}

/// A connection, and rustls itself as its peer, whose frames are bytes.
struct Raw {
    tls: rustls::Connection,
    stream: TcpStream,
}

impl Raw {
    /// As the client of a server.
    fn against(change: impl Fn(&mut Options)) -> (Connection, Self) {
        let (server, client) = settings(&TLS13);
        let raw = ClientConnection::new(client, "localhost".try_into().expect("a name")).expect("a client");
        Self::open(raw.into(), Role::Server, change, |socket| TlsStream::server(socket, server).expect("a server"))
    }

    /// As the peer of a connection of this role.
    fn against_either(role: Role) -> (Connection, Self) {
        match role {
            Role::Server => Self::against(|_| ()),
            Role::Client => Self::against_client(|_| ()),
        }
    }

    /// As the server of a client.
    fn against_client(change: impl Fn(&mut Options)) -> (Connection, Self) {
        let (server, client) = settings(&TLS13);
        let raw = ServerConnection::new(server).expect("a server");
        let name = "localhost".try_into().expect("a name");
        Self::open(raw.into(), Role::Client, change, |socket| {
            TlsStream::client(socket, client, name).expect("a client")
        })
    }

    fn open(
        mut tls: rustls::Connection,
        role: Role,
        change: impl Fn(&mut Options),
        put_on: impl FnOnce(Socket) -> TlsStream,
    ) -> (Connection, Self) {
        let (mut stream, other) = tcp_pair();
        stream.set_read_timeout(Some(LIMIT)).expect("a socket");
        let ours = put_on(Socket::tcp(other).expect("a socket"));
        let handshake = thread::spawn(move || {
            shake_hands(&[&ours]);
            ours
        });
        while tls.is_handshaking() || tls.wants_write() {
            tls.complete_io(&mut stream).expect("a handshake");
        }
        let connection = Connection::new(join(handshake, LIMIT), role, b"", options(change)).expect("a connection");
        (connection, Self { tls, stream })
    }

    /// Encrypts `bytes`, and gives the records.
    fn seal(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.tls.writer().write_all(bytes).expect("it is little");
        let mut records = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut records).expect("memory");
        }
        records
    }

    fn send(&mut self, bytes: &[u8]) {
        let records = self.seal(bytes);
        self.stream.write_all(&records).expect("the server reads");
    }

    /// Says that nothing follows, and leaves the stream as it is.
    fn say_goodbye(&mut self) {
        self.tls.send_close_notify();
        self.send(b"");
    }

    /// What comes next.
    fn read_some(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; 4096];
        loop {
            match self.tls.reader().read(&mut bytes) {
                Ok(count) => return bytes[..count].to_vec(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error}"),
            }
            self.tls.read_tls(&mut self.stream).expect("something comes");
            self.tls.process_new_packets().expect("the peer plays by the rules");
        }
    }

    /// What the server sends until it has ended the stream.
    fn read_to_end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            match self.tls.reader().read_to_end(&mut bytes) {
                Ok(_) => return bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error}"),
            }
            self.tls.read_tls(&mut self.stream).expect("the stream goes on");
            self.tls.process_new_packets().expect("the server plays by the rules");
        }
    }
}

/// A text as it goes to this role.
fn text_to(role: Role, text: &str) -> Vec<u8> {
    match role {
        Role::Server => masked(text),
        Role::Client => [&[0x81, text.len() as u8], text.as_bytes()].concat(),
    }
}

/// A text as a client sends it, with a masking key of zeros.
fn masked(text: &str) -> Vec<u8> {
    assert!(text.len() < 126);
    [&[0x81, 0x80 | text.len() as u8, 0, 0, 0, 0], text.as_bytes()].concat()
}

#[test]
fn messages_of_every_size_pass_both_ways_and_the_closing_handshake_is_clean() {
    for version in VERSIONS {
        let (mut client, server) = both_tls(version, |options| options.limits = large(8 * MIB as u64));
        let echo = thread::spawn(move || {
            let (mut reader, writer) = server.split();
            while let Some(message) = reader.next_message()? {
                writer.send(message).expect("the client takes it");
            }
            Ok::<_, raddle_socket::End>(reader.end().cloned().expect("it was seen"))
        });
        for size in [0, 1, 125, 126, 4096, 16_383, 16_384, 16_385, 70_000, 5 * MIB] {
            let sent = pattern(size, size as u64);
            client.send(&sent).expect("the server takes it");
            assert!(client.next_message().expect("open") == Some(Message::Binary(&sent)), "{size} bytes, {version:?}");
        }
        let end = client.close(Close::code(CloseCode::NORMAL));
        assert!(end.is_clean() && end.cause == Cause::LocalClose, "{end:?}");
        let end = join(echo, LIMIT).expect("a clean end");
        assert!(end.is_clean() && end.cause == Cause::PeerClose, "{end:?}");
    }
}

#[test]
fn both_sides_send_before_they_read_and_neither_locks_up() {
    // Hostile input 346: records that cannot be written, while records wait to be read.
    for version in VERSIONS {
        let (client, server) = both_tls(version, |options| options.limits = large(16 * MIB as u64));
        let exchange = |mut connection: Connection, seed: u64| {
            move || {
                let sent = pattern(8 * MIB, seed);
                connection.send(&sent).expect("the peer takes it");
                let expected = pattern(8 * MIB, 3 - seed);
                let received = connection.next_message().expect("the connection is open");
                assert!(received == Some(Message::Binary(&expected)), "it is not what was sent");
                connection
            }
        };
        let (one, other) = (thread::spawn(exchange(client, 1)), thread::spawn(exchange(server, 2)));
        let _both = (join(one, LIMIT), join(other, LIMIT));
    }
}

#[test]
fn a_reader_and_two_writers_on_each_side_mix_no_records_while_keys_change() {
    let (client, server) = tls_pair(&TLS13);
    let (client, server) = (Arc::new(client), Arc::new(server));
    let mut threads = Vec::new();
    let each = scaled("RADDLE_TLS_ROUNDS", 300) as u64;
    for (stream, seed) in [(client, 1_u64), (server, 2)] {
        let shared = Shared(Arc::clone(&stream));
        let role = if seed == 1 { Role::Client } else { Role::Server };
        let (mut reader, writer) = Connection::new(shared, role, b"", options(|_| ())).expect("a connection").split();
        for thread in 0..2_u64 {
            let writer = writer.clone();
            let stream = Arc::clone(&stream);
            threads.push(thread::spawn(move || {
                for round in 0..each {
                    let size = (round * 977 % 40_000) as usize;
                    let message = [&[thread as u8][..], &pattern(size, seed * 1000 + round)].concat();
                    writer.send(&message).expect("the peer takes it");
                    if round % 50 == 7 {
                        stream.update_keys().expect("it is TLS 1.3");
                    }
                }
            }));
        }
        threads.push(thread::spawn(move || {
            let mut rounds = [0_u64; 2];
            while rounds != [each, each] {
                let message = reader.next_message().expect("the connection is open").expect("it is not closed");
                let [thread, bytes @ ..] = message.as_bytes() else { panic!("an empty message") };
                let round = &mut rounds[usize::from(*thread)];
                let size = (*round * 977 % 40_000) as usize;
                assert!(bytes == pattern(size, (3 - seed) * 1000 + *round), "message {round} of thread {thread}");
                *round += 1;
            }
        }));
    }
    threads.into_iter().for_each(|thread| join(thread, LONG));
}

#[test]
fn four_threads_send_before_they_read_and_change_keys_all_the_while() {
    // Two connections, whose sockets take less than a message.
    let rounds = scaled("RADDLE_TLS_ROUNDS", 300) as u64;
    let mut threads = Vec::new();
    for pair in 0..2 {
        let (one, other) = tcp_pair();
        for socket in [&one, &other] {
            rustix::net::sockopt::set_socket_send_buffer_size(socket, 65_536).expect("a socket");
            rustix::net::sockopt::set_socket_recv_buffer_size(socket, 65_536).expect("a socket");
        }
        let (server, client) = settings(&TLS13);
        let server = TlsStream::server(Socket::tcp(other).expect("a socket"), server).expect("a server");
        let client = client_stream(one, client);
        shake_hands(&[&client, &server]);
        for (stream, role, seed) in [(client, Role::Client, 1_u64), (server, Role::Server, 2)] {
            let stream = Arc::new(stream);
            let shared = Shared(Arc::clone(&stream));
            let mut connection = Connection::new(shared, role, b"", options(|_| ())).expect("a connection");
            let size = move |round: u64| if round % 25 == pair { 600_000 } else { (round * 977 % 5000) as usize };
            threads.push(thread::spawn(move || {
                for round in 0..rounds {
                    connection.send(&pattern(size(round), seed * 1000 + round)).expect("the peer takes it");
                    if round % 7 == seed {
                        stream.update_keys().expect("it is TLS 1.3");
                    }
                    let message = connection.next_message().expect("the connection is open");
                    let expected = pattern(size(round), (3 - seed) * 1000 + round);
                    assert!(message == Some(Message::Binary(&expected)), "round {round}");
                }
                connection
            }));
        }
    }
    // Each stays open until its peer has done.
    drop(threads.into_iter().map(|thread| join(thread, LONG)).collect::<Vec<_>>());
}

/// How much a test does: `usual`, or what a variable of the environment asks for, as `ci/tls-long` does.
fn scaled(variable: &str, usual: usize) -> usize {
    std::env::var(variable).map_or(usual, |value| value.parse().expect("a number"))
}

/// For what has much to do.
const LONG: Duration = Duration::from_secs(600);

/// One stream, as a connection's and as the test's.
struct Shared(Arc<TlsStream>);

impl Transport for Shared {
    fn receive(&self, space: &mut [u8], patience: raddle_socket::Patience) -> std::io::Result<usize> {
        self.0.receive(space, patience)
    }
    fn send(&self, parts: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
        self.0.send(parts)
    }
    fn wait(
        &self,
        interest: raddle_socket::Interest,
        timeout: Option<Duration>,
    ) -> std::io::Result<raddle_socket::Readiness> {
        self.0.wait(interest, timeout)
    }
    fn shutdown(&self, how: Shutdown) -> std::io::Result<()> {
        self.0.shutdown(how)
    }
    fn has_output(&self) -> bool {
        self.0.has_output()
    }
    fn has_input(&self) -> bool {
        self.0.has_input()
    }
    fn descriptor(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.0.descriptor()
    }
}

#[test]
fn what_a_peer_does_not_take_is_queued_and_leaves_when_it_does() {
    let (client, server) = both_tls(&TLS13, |options| {
        options.limits = large(MIB as u64);
        options.outgoing_limit = 64 * MIB;
    });
    let writer = server.writer();
    let message = pattern(MIB, 5);
    let mut queued = 0;
    while queued < 4 {
        match writer.try_send(&message).expect("there is room in the output") {
            SendStatus::Queued => queued += 1,
            SendStatus::Sent => assert_eq!(queued, 0, "it has left before those that wait"),
        }
    }
    let total = writer.traffic().sent_messages;
    // The socket takes some more of it meanwhile, on a slow machine more than a message.
    assert!(writer.queued() > MIB);
    let mut client = client;
    for _ in 0..total {
        assert!(client.next_message().expect("open") == Some(Message::Binary(&message)));
    }
    eventually("all has left", || writer.queued() == 0);
}

#[test]
fn what_the_socket_has_taken_in_part_is_not_all_taken() {
    // Whoever sends would not wait for room otherwise, and the rest would stay behind.
    let (client, server) = tls_pair(&TLS13);
    let (sent, mut received) = (pattern(8 * MIB, 9), Vec::new());
    let (mut at, mut blocked) = (0, 0);
    while at < sent.len() {
        let part = &sent[at..(at + 150_000).min(sent.len())];
        match client.send(&[IoSlice::new(part)]) {
            Ok(count) => {
                assert!(count < part.len() || !client.has_output(), "all {count} bytes are taken, and not written");
                at += count;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                assert!(client.has_output());
                blocked += 1;
                receive_some(&server, &mut received);
            }
        }
    }
    while received.len() < sent.len() {
        receive_some(&server, &mut received);
    }
    assert!(received == sent && blocked > 0);
}

fn receive_some(stream: &TlsStream, received: &mut Vec<u8>) {
    stream.wait(Interest::Read, Some(LIMIT)).expect("a socket");
    let mut space = [0; 50_000];
    if let Ok(count) = stream.receive(&mut space, Patience::DontWait) {
        received.extend_from_slice(&space[..count]);
    }
}

#[test]
fn records_that_come_byte_by_byte_are_put_together() {
    // Hostile input 335: of a session that stands. Its handshake comes so to a server's lobby.
    let (mut connection, mut raw) = Raw::against(|_| ());
    let records = [raw.seal(&masked("Hello")), raw.seal(&masked("again"))].concat();
    let mut stream = raw.stream.try_clone().expect("a descriptor");
    stream.set_nodelay(true).expect("a socket");
    let drip = thread::spawn(move || records.iter().for_each(|byte| stream.write_all(&[*byte]).expect("it is read")));
    assert_eq!(connection.next_message(), Ok(Some(Message::Text("Hello"))));
    assert_eq!(connection.next_message(), Ok(Some(Message::Text("again"))));
    join(drip, LIMIT);
}

/// Does what a handshake waits for until it is done, and tells how many times the socket was ready.
fn follow_handshake(stream: &TlsStream) -> usize {
    let mut steps = 0;
    while let Handshake::Waits(interest) = stream.handshake().expect("the peer plays by the rules") {
        let ready = stream.wait(interest, Some(LIMIT)).expect("a socket");
        assert!(ready.read || ready.write, "the handshake stands still");
        steps += 1;
    }
    steps
}

#[test]
fn a_handshake_that_comes_byte_by_byte_is_waited_for_record_by_record() {
    // Hostile input 239.
    for version in VERSIONS {
        let (server, client) = settings(version);
        let (mut stream, other) = tcp_pair();
        stream.set_nodelay(true).expect("a socket");
        let ours = TlsStream::server(Socket::tcp(other).expect("a socket"), server).expect("a server");
        let following = thread::spawn(move || (follow_handshake(&ours), ours));
        let mut tls = ClientConnection::new(client, "localhost".try_into().expect("a name")).expect("a client");
        let mut flight = Vec::new();
        while tls.is_handshaking() || tls.wants_write() {
            flight.clear();
            while tls.wants_write() {
                tls.write_tls(&mut flight).expect("memory");
            }
            for byte in &flight {
                stream.write_all(&[*byte]).expect("the server reads");
                // Whoever would take each of them has the time to.
                thread::sleep(Duration::from_micros(20));
            }
            if tls.is_handshaking() {
                assert_ne!(tls.read_tls(&mut stream).expect("a socket"), 0);
                tls.process_new_packets().expect("the server plays by the rules");
            }
        }
        let (steps, ours) = join(following, LIMIT);
        // Of each record its first byte, its header and its end; a client sends four of them at most.
        assert!(steps <= 3 * 4, "{steps} steps for a handshake");

        // What follows is not waited for in pieces.
        tls.writer().write_all(b"!").expect("it is little");
        while tls.wants_write() {
            tls.write_tls(&mut stream).expect("the server reads");
        }
        let reading = thread::spawn(move || {
            let mut space = [0; 1024];
            let count = ours.receive(&mut space, Patience::Block).expect("it comes");
            (space[..count].to_vec(), ours)
        });
        let (received, _ours) = join(reading, LIMIT);
        assert_eq!(received, b"!");
    }
}

#[test]
fn a_record_that_is_waited_for_hides_no_end_and_nothing_behind_a_failure() {
    let (server, _) = settings(&TLS13);
    let begin = |bytes: &[u8]| {
        let (mut stream, other) = tcp_pair();
        let ours = TlsStream::server(Socket::tcp(other).expect("a socket"), Arc::clone(&server)).expect("a server");
        stream.write_all(bytes).expect("the server reads");
        assert!(ours.wait(Interest::Read, Some(LIMIT)).expect("a socket").read);
        assert_eq!(ours.handshake().expect("it is the beginning of one"), Handshake::Waits(Interest::Read));
        (stream, ours)
    };
    for begun in [&[0x16][..], &[0x16, 3, 1, 1], &[0x16, 3, 1, 1, 0, 1]] {
        let (mut stream, ours) = begin(begun);
        stream.write_all(&[1]).expect("the server reads");
        stream.shutdown(Shutdown::Write).expect("a socket");
        // Once for the rest, where that is for itself, and once for the end.
        let error = (0..3).find_map(|_| {
            assert!(ours.wait(Interest::Read, Some(LIMIT)).expect("a socket").read);
            ours.handshake().err()
        });
        assert_eq!(error.expect("it has ended").kind(), ErrorKind::UnexpectedEof);
    }
    // A length that no record has.
    let (mut stream, ours) = begin(&[0x16, 3, 1]);
    stream.write_all(&[0xff, 0xff]).expect("the server reads");
    assert!(ours.wait(Interest::Read, Some(LIMIT)).expect("a socket").read);
    assert_eq!(ours.handshake().expect_err("it is none").kind(), ErrorKind::InvalidData);
    stream.write_all(&[0]).expect("it is heard out");
    assert!(ours.socket().wait(Interest::Read, Some(LIMIT)).expect("a socket").read);
}

#[test]
fn what_came_in_one_record_is_there_for_a_reader_that_looks_without_waiting() {
    let (mut connection, mut raw) = Raw::against(|_| ());
    let many: Vec<u8> = (0..1000).flat_map(|number| masked(&format!("{number:08}"))).collect();
    raw.send(&many);
    for number in 0..1000 {
        let timeout = if number == 0 { LIMIT } else { Duration::ZERO };
        let next = connection.next_message_within(timeout).expect("open");
        assert_eq!(next, Next::Message(Message::Text(&format!("{number:08}"))));
    }
    assert_eq!(connection.next_message_within(Duration::ZERO), Ok(Next::Timeout));
}

/// An event loop that leaves it to the test to do what is asked for.
struct Loop;

impl Driver for Loop {
    fn id(&self) -> u64 {
        0
    }

    fn output_waits(&self, _key: usize) {}
    fn output_is_ready(&self, _key: usize) {}
    fn input_is_wanted(&self, _key: usize) {}
    fn release(&self, _key: usize, _heir: Box<dyn FnOnce(raddle_socket::Reader) + Send>) {}
    fn take_back(&self, _key: usize, _reader: raddle_socket::Reader) {}
    fn ended(&self, _key: usize) {}
}

#[test]
fn an_event_loop_is_told_of_what_one_read_has_brought_beyond_its_memory() {
    let (connection, mut raw) = Raw::against(|_| ());
    let (reader, writer) = connection.split();
    let mut driven = Driven::new(reader, Arc::new(Loop), 7);
    let frame = [&[0x82, 0xfe, 4, 0, 0, 0, 0, 0][..], &[7; 1024]].concat();
    // One record.
    raw.send(&frame.repeat(15));
    let (mut memory, mut delivered, mut more) = (vec![0; 4096], 0, false);
    while delivered < 15 {
        let arrived = more || readable(&driven);
        assert!(arrived, "the socket has no more after {delivered} messages, and nothing else was said");
        let turn = driven.read(&mut memory, |_, message| {
            assert_eq!(message, Message::Binary(&[7; 1024]));
            delivered += 1;
            ControlFlow::Continue(())
        });
        more = turn == Turn::More;
    }
    drop(writer);
}

/// Tells whether a poller would find the connection's socket to be readable, now or soon.
fn readable(driven: &Driven) -> bool {
    let watch = Watch::new().expect("a poller");
    watch.add(driven.descriptor().expect("it has one"), Event::readable(1), Mode::Level).expect("it is none of it yet");
    let mut events = Events::default();
    watch.wait(&mut events, Some(SOON));
    events.iter().next().is_some()
}

#[test]
fn a_reader_that_is_away_has_pings_answered_that_came_with_more_than_it_has_taken() {
    let (mut connection, mut raw) = Raw::against(|_| ());
    // One record: the message, and behind it what does not fit in the buffer of a connection that was idle.
    let mut bytes = masked("first");
    bytes.extend((0..12).flat_map(|_| [&[0x82, 0xfe, 4, 0, 0, 0, 0, 0][..], &[7; 1024]].concat()));
    bytes.extend([0x89, 0x81, 0, 0, 0, 0, b'?']);
    raw.send(&bytes);
    assert_eq!(connection.next_message(), Ok(Some(Message::Text("first"))));
    // The reader stays away, and nothing more comes through the socket.
    assert_eq!(raw.read_some(), [0x8a, 1, b'?']);
    for _ in 0..12 {
        assert_eq!(connection.next_message(), Ok(Some(Message::Binary(&[7; 1024]))));
    }
}

#[test]
fn an_end_that_is_said_is_told_from_one_that_is_not() {
    // Hostile inputs 336 and 337: between frames, and amid one.
    for role in [Role::Server, Role::Client] {
        let text = text_to(role, "Hello");
        for sent in [&[][..], &text[..4]] {
            let (mut connection, mut raw) = Raw::against_either(role);
            raw.send(sent);
            raw.say_goodbye();
            // The stream itself goes on: the word is enough.
            let end = connection.next_message().expect_err("no Close was sent");
            assert_eq!((end.cause, end.code()), (Cause::EndOfStream, CloseCode::ABNORMAL), "{role:?} after {sent:?}");

            let (mut connection, mut raw) = Raw::against_either(role);
            raw.send(sent);
            raw.stream.shutdown(Shutdown::Write).expect("it is open");
            let end = connection.next_message().expect_err("no Close was sent");
            let cut = Cause::Io(ErrorKind::UnexpectedEof);
            assert_eq!((end.cause, end.code()), (cut, CloseCode::ABNORMAL), "{role:?} after {sent:?}");
        }
        // Behind the Close frames nothing is lost.
        let (mut connection, mut raw) = Raw::against_either(role);
        raw.send(if role == Role::Server { &[0x88, 0x82, 0, 0, 0, 0, 3, 0xe8] } else { &[0x88, 2, 3, 0xe8] });
        raw.stream.shutdown(Shutdown::Write).expect("it is open");
        assert_eq!(connection.next_message(), Ok(None), "{role:?}");
        assert!(connection.next_message().is_ok(), "it is clean");
        // Ours was answered, and its end was said: `read_to_end` fails otherwise.
        let answer = raw.read_to_end();
        match role {
            Role::Server => assert_eq!(answer, [0x88, 2, 3, 0xe8]),
            Role::Client => assert!(answer.starts_with(&[0x88, 0x82]) && answer.len() == 8, "{answer:?}"),
        }
    }
}

#[test]
fn a_record_that_was_changed_ends_the_connection_behind_what_came_before_it() {
    for role in [Role::Server, Role::Client] {
        let (mut connection, mut raw) = Raw::against_either(role);
        let mut records = raw.seal(&text_to(role, "Hello"));
        let whole = records.len();
        records.extend(raw.seal(&text_to(role, "again")));
        records[whole + 9] ^= 1;
        raw.stream.write_all(&records).expect("it reads");
        assert_eq!(connection.next_message(), Ok(Some(Message::Text("Hello"))));
        let end = connection.next_message().expect_err("it was changed");
        assert_eq!(end.cause, Cause::Io(ErrorKind::InvalidData));
        // The peer is told why.
        let mut alert = Vec::new();
        let told = loop {
            match raw.tls.read_tls(&mut raw.stream).expect("an alert comes before the end") {
                0 => break "nothing".to_owned(),
                _ => match raw.tls.process_new_packets() {
                    Ok(_) => drop(raw.tls.reader().read_to_end(&mut alert)),
                    Err(error) => break error.to_string(),
                },
            }
        };
        assert!(told.contains("BadRecordMac") || told.contains("DecryptError"), "{told}");
    }
}

/// Sends what cannot be decrypted, and then more and more: none of that meets a reset. The stream is ended behind it.
fn send_on_behind_a_broken_record(raw: &mut Raw) {
    let mut record = raw.seal(&masked("Hello"));
    record[9] ^= 1;
    raw.stream.write_all(&record).expect("the server reads");
    let told = loop {
        raw.tls.read_tls(&mut raw.stream).expect("an alert comes before the end");
        if let Err(error) = raw.tls.process_new_packets() {
            break error.to_string();
        }
    };
    assert!(told.contains("BadRecordMac") || told.contains("DecryptError"), "{told}");
    for _ in 0..20 {
        raw.stream.write_all(&[7; 1 << 16]).expect("the server reads on");
        thread::sleep(Duration::from_millis(5));
    }
    raw.stream.shutdown(Shutdown::Write).expect("it is open");
}

#[test]
fn an_alert_is_not_overtaken_by_a_reset() {
    let (mut connection, mut raw) = Raw::against(|_| ());
    let writer = connection.writer();
    let reading = thread::spawn(move || connection.next_message().map(drop).expect_err("it was changed"));
    send_on_behind_a_broken_record(&mut raw);
    assert_eq!(join(reading, LIMIT).cause, Cause::Io(ErrorKind::InvalidData));
    assert_eq!(writer.send("too late"), Err(SendError::Closed));

    let (connection, mut raw) = Raw::against(|_| ());
    let (reader, writer) = connection.split();
    let mut driven = Driven::new(reader, Arc::new(Loop), 7);
    let driving = thread::spawn(move || {
        let mut memory = vec![0; 4096];
        while driven.writer().state() != State::Closed {
            driven.read(&mut memory, |_, message| panic!("{message:?}"));
            thread::sleep(Duration::from_millis(1));
        }
        driven.end()
    });
    send_on_behind_a_broken_record(&mut raw);
    assert_eq!(join(driving, LIMIT).cause, Cause::Io(ErrorKind::InvalidData));
    assert_eq!(writer.send("too late"), Err(SendError::Closed));
}

#[test]
fn a_flood_of_key_updates_ends_the_connection() {
    // Hostile input 340: those with data between them may go on for ever.
    for role in [Role::Server, Role::Client] {
        let (mut connection, mut raw) = Raw::against_either(role);
        for _ in 0..100 {
            raw.tls.refresh_traffic_keys().expect("it is TLS 1.3");
            raw.send(&text_to(role, "Hello"));
            assert_eq!(connection.next_message(), Ok(Some(Message::Text("Hello"))));
        }
        let mut flood = Vec::new();
        for _ in 0..1000 {
            raw.tls.refresh_traffic_keys().expect("it is TLS 1.3");
            flood.extend(raw.seal(b""));
        }
        // It may be cut before all is written.
        let _ = raw.stream.write_all(&flood);
        let end = connection.next_message().expect_err("they bring nothing");
        assert_eq!(end.cause, Cause::Io(ErrorKind::InvalidData));
    }
}

#[test]
fn a_large_message_is_encrypted_in_steps_and_whoever_reads_is_not_held_up_for_all_of_it() {
    let (client, server) = tls_pair(&TLS13);
    let (sent, mut received) = (pattern(MIB, 3), Vec::new());
    let mut at = 0;
    while at < sent.len() {
        let count = client.send(&[IoSlice::new(&sent[at..])]).expect("there is room: it is read at once");
        // The state is locked for so much at a time.
        assert!(count > 0 && count <= 64 * 1024, "{count} bytes at once");
        at += count;
        while received.len() < at {
            receive_some(&server, &mut received);
        }
    }
    assert!(received == sent);
}

#[test]
fn what_is_wrong_with_a_certificate_is_said_though_the_server_is_gone() {
    // Our alert cannot be sent, which is the server's business alone.
    let (server, client) = (settings(&TLS13).0, settings(&TLS13).1);
    let (one, mut stream) = tcp_pair();
    let client = client_stream(one, client);
    assert_eq!(client.handshake().expect("a hello"), Handshake::Waits(Interest::Read));
    let mut stranger = ServerConnection::new(server).expect("a server");
    while !stranger.wants_write() {
        stranger.read_tls(&mut stream).expect("a hello");
        stranger.process_new_packets().expect("it is in order");
    }
    while stranger.wants_write() {
        stranger.write_tls(&mut stream).expect("the client reads");
    }
    // What was received is still there behind a reset.
    stream.write_all(&[]).expect("a socket");
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).expect("a socket");
    drop(stream);
    let error = loop {
        match client.handshake() {
            Ok(Handshake::Waits(interest)) => drop(client.wait(interest, Some(LIMIT)).expect("a socket")),
            Ok(Handshake::Done) => panic!("the certificate is a stranger's"),
            Err(error) => break error,
        }
    };
    let inner = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    assert!(matches!(inner, Some(rustls::Error::InvalidCertificate(_))), "{error:?}");
}

#[test]
fn an_event_loop_is_told_of_what_is_left_behind_a_failure() {
    let (connection, mut raw) = Raw::against(|options| options.outgoing_limit = 64 * MIB);
    let (reader, writer) = connection.split();
    let mut driven = Driven::new(reader, Arc::new(Loop), 7);
    // The peer does not read, so the last word has to wait, and the stream goes on.
    let message = pattern(MIB, 1);
    while writer.try_send(&message).expect("there is room in the output") == SendStatus::Sent {}
    // One record: a frame that nobody may send, what would have followed it, and its peer's last word.
    let records = [raw.seal(&[&[0x8f, 0x80][..], &[0; 15_000]].concat()), {
        raw.tls.send_close_notify();
        raw.seal(b"")
    }]
    .concat();
    raw.stream.write_all(&records).expect("the server reads");
    let mut memory = vec![0; 4096];
    let mut turn = Turn::Done;
    for _ in 0..100 {
        assert!(turn == Turn::More || readable(&driven), "the socket has no more, and nothing else was said");
        turn = driven.read(&mut memory, |_, message| panic!("{message:?}"));
        if turn == Turn::Held {
            break;
        }
    }
    // It has found the end, and waits for its own word to leave.
    assert_eq!((turn, driven.end().cause), (Turn::Held, Cause::Failed(Error::ReservedOpCode)));
}

#[test]
fn a_client_that_is_away_sees_the_end_that_came_with_the_close() {
    let far = Duration::from_secs(600);
    let (connection, mut raw) = Raw::against_client(|options| options.close_timeout = far);
    let writer = connection.writer();
    // Together, and the stream itself does not end.
    let close = raw.seal(&[0x88, 2, 3, 0xe8]);
    raw.tls.send_close_notify();
    let goodbye = raw.seal(b"");
    raw.stream.write_all(&[close, goodbye].concat()).expect("the client reads");
    eventually("it has ended", || writer.state() == State::Closed);
    drop(connection);
}

#[test]
fn what_comes_behind_our_last_word_is_dropped_whatever_it_is() {
    for garbage in [&[0x17, 3, 3, 0, 20][..], b"\xff\xff\xff\xff\xff", b"GET / HTTP/1.1\r\n\r\n"] {
        let (mut connection, mut raw) = Raw::against(|_| ());
        let reading = thread::spawn(move || connection.next_message().map(drop).expect_err("it has failed"));
        // A frame that nobody may send, and in the same record more than there is space for.
        raw.send(&[&[0xf1, 0x80, 0, 0, 0, 0][..], &[0; 15_000]].concat());
        assert_eq!(raw.read_to_end()[..4], [0x88, 0x17, 3, 0xea]);
        raw.stream.write_all(&[garbage, &[7; 20]].concat()).expect("the server reads on");
        raw.stream.shutdown(Shutdown::Write).expect("it is open");
        assert_eq!(join(reading, LIMIT).cause, Cause::Failed(Error::ReservedBits));
    }
    // Nobody gets bytes for it, and nobody is kept by it.
    let (client, server) = tls_pair(&TLS13);
    server.shutdown(Shutdown::Write).expect("it is open");
    assert!(client.send(&[IoSlice::new(b"too late")]).is_ok_and(|count| count == 8));
    server.wait(Interest::Read, Some(LIMIT)).expect("a socket");
    let said = server.receive(&mut [0; 100], Patience::DontWait).map_err(|error| error.kind());
    assert_eq!(said, Err(ErrorKind::WouldBlock));
    client.shutdown(Shutdown::Write).expect("it is open");
    assert_eq!(server.receive(&mut [0; 100], Patience::Block).expect("the end"), 0);

    let (mut connection, mut raw) = Raw::against(|_| ());
    let reading = thread::spawn(move || connection.next_message().map(drop).expect_err("it has failed"));
    raw.send(&[0xf1, 0x80, 0, 0, 0, 0]);
    let flood = thread::spawn(move || while raw.stream.write_all(&[7; 1 << 16]).is_ok() {});
    assert_eq!(join(reading, LIMIT).cause, Cause::Failed(Error::ReservedBits));
    join(flood, LIMIT);
}

#[test]
fn what_was_decrypted_and_not_read_when_we_have_ended_is_dropped() {
    let (mut connection, mut raw) = Raw::against(|_| ());
    let reading = thread::spawn(move || connection.next_message().map(drop).expect_err("it has failed"));
    // The frame that nobody may send is at the start of a record that is larger than the receive buffer.
    raw.send(&[&[0xf1, 0x80, 0, 0, 0, 0][..], &[7; 16_000]].concat());
    assert_eq!(raw.read_to_end()[..4], [0x88, 0x17, 3, 0xea]);
    raw.stream.write_all(&[7; 100_000]).expect("the server reads on");
    raw.stream.shutdown(Shutdown::Write).expect("it is open");
    assert_eq!(join(reading, LIMIT).cause, Cause::Failed(Error::ReservedBits));
}

#[test]
fn keys_that_have_served_their_time_end_the_connection_and_swallow_nothing() {
    // TLS 1.2 has no other keys to go on with: after 2^24 records with AES-GCM, here after a few.
    let (one, other) = tcp_pair();
    let (server, client) = settings_with(&TLS12, with_worn_keys());
    let server = TlsStream::server(Socket::tcp(other).expect("a socket"), server).expect("a server");
    let client = client_stream(one, client);
    shake_hands(&[&client, &server]);
    let message = [7; 1000];
    let mut taken = 0;
    let error = loop {
        match client.send(&[IoSlice::new(&message)]) {
            Ok(count) => taken += count,
            Err(error) => break error,
        }
        assert!(taken < 100 * message.len(), "the keys are of use for ever");
    };
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    let mut received = Vec::new();
    while received.len() < taken {
        receive_some(&server, &mut received);
    }
    assert!(taken > 0 && received == message.repeat(taken / message.len()));
    server.wait(Interest::Read, Some(LIMIT)).expect("a socket");
    assert_eq!(server.receive(&mut [0; 100], Patience::DontWait).expect("its peer has said so"), 0);
}

#[test]
fn the_answers_to_what_one_record_has_brought_leave_in_one() {
    let mut counts = Vec::new();
    // A machine that is busy lets some of it go before.
    while counts.len() < 20 && !counts.contains(&1) {
        let (server, mut raw) = Raw::against(|_| ());
        let echo = thread::spawn(move || {
            let (mut reader, writer) = server.split();
            while let Ok(Some(message)) = reader.next_message() {
                writer.send(message).expect("the client takes it");
            }
        });
        // Behind the session tickets, which are records too.
        raw.send(&masked("Hello"));
        assert_eq!(raw.read_some(), b"\x81\x05Hello");
        // More than an idle connection has space for.
        raw.send(&masked(&"x".repeat(100)).repeat(30));
        let (mut received, mut records) = (Vec::new(), 0);
        let mut bytes = 0;
        while bytes < 30 * 102 {
            let mut space = [0; 4096];
            let count = raw.stream.read(&mut space).expect("an answer");
            received.extend_from_slice(&space[..count]);
            (records, bytes) = count_records(&received);
        }
        counts.push(records);
        drop(raw);
        join(echo, LIMIT);
    }
    assert!(counts.contains(&1), "{counts:?}");
}

/// The records of bytes that are complete, and the bytes in them.
fn count_records(mut stream: &[u8]) -> (usize, usize) {
    let (mut records, mut bytes) = (0, 0);
    while let [kind, _, _, high, low, rest @ ..] = stream
        && let Some((record, rest)) = rest.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))
    {
        assert_eq!(*kind, 23, "it is encrypted");
        // Its type and its tag are in it too (RFC 8446, section 5.2).
        (records, bytes, stream) = (records + 1, bytes + record.len() - 17, rest);
    }
    (records, bytes)
}

#[test]
fn a_record_for_a_peer_that_has_gone_is_an_error_and_no_signal() {
    // Hostile input 259, over TLS. The process has to live on, as one in C does: the standard library has SIGPIPE ignored.
    // SAFETY: SIG_DFL is a disposition that every signal can have.
    let before = unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    assert_ne!(before, libc::SIG_ERR);
    for (connection, raw) in [Raw::against(|_| ()), Raw::against_client(|_| ())] {
        rustix::net::sockopt::set_socket_linger(&raw.stream, Some(Duration::ZERO)).expect("a socket");
        drop(raw);
        // The first write may go before the reset has come.
        while connection.send(&[0; 100_000]).is_ok() {}
        assert_eq!(connection.writer().close(Close::code(CloseCode::NORMAL)), Err(SendError::Closed));
    }
}
