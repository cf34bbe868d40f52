//! What a reader promises: every message once, whole or in parts, however it arrives, and what it says at the end.

mod common;

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use common::*;
use raddle_core::{Error, OpCode};
use raddle_socket::{Cause, CloseCode, Connection, End, Message, Next, Part, Progress, Role, SendStatus, State};
use rustix::net::sockopt;

#[test]
fn a_time_out_of_0_finds_what_is_there() {
    // Hostile input 250, with the message in the connection's buffer and in the socket's.
    let (mut connection, mut peer) = against_peer(Role::Server, options(|_| ()));
    assert_eq!(connection.next_message_within(Duration::ZERO), Ok(Next::Timeout));
    let large = pattern(500_000, 1);
    peer.send_all(&[text("one"), text("two"), ping(b"amid"), text("three")]);
    let sending = thread::spawn(move || {
        peer.send(binary(&large));
        peer
    });
    for expected in ["one", "two", "three"] {
        assert_eq!(connection.next_message_within(Duration::ZERO), Ok(Next::Message(Message::Text(expected))));
    }
    let large = pattern(500_000, 1);
    eventually("the large message is there", || {
        connection.next_message_within(Duration::ZERO) == Ok(Next::Message(Message::Binary(&large)))
    });
    let mut peer = join(sending, LIMIT);
    assert_eq!(connection.next_message_within(Duration::ZERO), Ok(Next::Timeout));
    peer.send(close(1000, ""));
    assert_eq!(connection.next_message_within(LIMIT), Ok(Next::Closed));
}

#[test]
fn what_has_come_together_is_given_without_a_read_and_once_more() {
    let (connection, mut peer) = against_peer(Role::Server, options(|_| ()));
    let (mut reader, writer) = connection.split();
    assert_eq!(reader.next_received(), Ok(None));
    assert_eq!(reader.last_message(), None);
    peer.send_all(&[text("one"), text("two"), binary(b"three"), ping(b"amid"), text("four")]);
    assert_eq!(reader.next_message(), Ok(Some(Message::Text("one"))));
    assert_eq!(reader.last_message(), Some(Message::Text("one")));
    assert_eq!(reader.next_received(), Ok(Some(Message::Text("two"))));
    assert_eq!(reader.next_received(), Ok(Some(Message::Binary(b"three"))));
    assert_eq!(reader.last_message(), Some(Message::Binary(b"three")));
    // A Ping is before the next one, and what is sent waits for the answer to it.
    assert_eq!(reader.next_received(), Ok(None));
    assert_eq!(writer.send("answer"), Ok(SendStatus::Queued));
    assert_eq!(reader.next_message(), Ok(Some(Message::Text("four"))));
    assert_eq!(reader.next_received(), Ok(None));
    // Nor is anything read.
    peer.send(text("five"));
    assert_eq!(reader.next_received(), Ok(None));
    assert_eq!(reader.next_message(), Ok(Some(Message::Text("five"))));
    peer.send_all(&[text("six"), close(1000, "")]);
    assert_eq!(reader.next_message(), Ok(Some(Message::Text("six"))));
    assert_eq!(reader.next_received(), Ok(None));
    assert_eq!(reader.state(), State::Open);
    assert_eq!(reader.next_message(), Ok(None));
    assert_eq!(reader.next_received(), Ok(None));
}

#[test]
fn a_time_out_loses_nothing() {
    // Hostile input 249: each message comes about when the time is up, often in two pieces.
    let (mut connection, mut peer) = against_peer(Role::Server, options(|_| ()));
    let sending = thread::spawn(move || {
        for number in 0..200_u32 {
            let bytes = peer.encode(&text(&format!("message {number}")));
            let (one, other) = bytes.split_at(number as usize % bytes.len());
            peer.send_bytes(one);
            thread::sleep(Duration::from_micros(1_000));
            peer.send_bytes(other);
        }
        peer
    });
    let (mut received, mut timeouts) = (0, 0);
    while received < 200 {
        match connection.next_message_within(Duration::from_millis(1)) {
            Ok(Next::Message(message)) => {
                assert_eq!(message, Message::Text(&format!("message {received}")));
                received += 1;
            }
            Ok(Next::Timeout) => timeouts += 1,
            end => panic!("{end:?} after {received} messages"),
        }
        assert!(timeouts < 100_000, "{received} messages have come");
    }
    assert!(timeouts > 0, "the test is about time-outs");
    drop(join(sending, LIMIT));
}

#[test]
fn a_time_out_is_kept_though_bytes_arrive() {
    let (mut connection, mut peer) = against_peer(Role::Server, options(|_| ()));
    let dripping = thread::spawn(move || {
        for byte in peer.encode(&binary(&[0; 60])) {
            peer.send_bytes(&[byte]);
            thread::sleep(Duration::from_millis(20));
        }
        peer
    });
    let start = Instant::now();
    assert_eq!(connection.next_message_within(Duration::from_millis(200)), Ok(Next::Timeout));
    let took = start.elapsed();
    assert!((Duration::from_millis(200)..Duration::from_secs(5)).contains(&took), "{took:?}");
    assert_eq!(connection.next_message(), Ok(Some(Message::Binary(&[0; 60]))));
    drop(join(dripping, LIMIT));
}

#[test]
fn a_message_that_comes_soon_is_waited_for_within_the_read() {
    let (mut connection, mut peer, seen) = against_peer_observed(Role::Server, options(|_| ()));
    // Where the machine is busy, it may not come soon.
    eventually("nobody has waited before the read", || {
        let before = seen.waits();
        peer.send(text("soon"));
        assert_eq!(connection.next_message_within(LIMIT), Ok(Next::Message(Message::Text("soon"))));
        seen.waits() == before
    });
    // And what does not come is waited for no longer than was said.
    let start = Instant::now();
    assert_eq!(connection.next_message_within(Duration::from_millis(150)), Ok(Next::Timeout));
    let took = start.elapsed();
    assert!((Duration::from_millis(150)..Duration::from_secs(3)).contains(&took), "{took:?}");
}

#[test]
fn a_message_comes_whole_wherever_it_is_cut() {
    for role in ROLES {
        let (mut connection, mut peer) = against_peer(role, options(|_| ()));
        let frames = [
            text("é is two bytes"),
            ping(b"1"),
            fragment(OpCode::Text, b"half \xc3"),
            ping(b"2"),
            last_fragment(b"\xa9"),
            binary(&pattern(200, 1)),
        ];
        let bytes: Vec<u8> = frames.iter().flat_map(|frame| peer.encode(frame)).collect();
        let cuts = bytes.len();
        let sending = thread::spawn(move || {
            for cut in 0..cuts {
                let (one, other) = bytes.split_at(cut);
                peer.send_bytes(one);
                // Long enough that the reader has most often taken the first part.
                thread::sleep(Duration::from_micros(300));
                peer.send_bytes(other);
                assert_eq!([peer.frame(), peer.frame()], [pong(b"1"), pong(b"2")], "cut at byte {cut}");
            }
            // And byte by byte.
            for byte in bytes {
                peer.send_bytes(&[byte]);
            }
            peer
        });
        for _ in 0..=cuts {
            assert_eq!(connection.next_message(), Ok(Some(Message::Text("é is two bytes"))));
            assert_eq!(connection.next_message(), Ok(Some(Message::Text("half é"))));
            assert_eq!(connection.next_message(), Ok(Some(Message::Binary(&pattern(200, 1)))));
        }
        drop(join(sending, LIMIT));
    }
}

#[test]
fn a_message_larger_than_memory_comes_in_parts() {
    const LENGTH: usize = 20 << 20;
    let (connection, mut peer) = against_peer(Role::Server, options(|options| options.limits = large(1 << 30)));
    let (mut reader, _writer) = connection.split();
    let expected = pattern(LENGTH, 1);
    let bytes = peer.encode(&binary(&expected));
    peer.send_bytes(&bytes[..1000]);
    let part = Part { payload: Message::Binary(&expected[..986]), progress: Progress::More };
    assert_eq!(reader.next_part(), Ok(Some(part)));
    let sending = thread::spawn(move || {
        peer.send_bytes(&bytes[1000..]);
        peer.send_all(&[fragment(OpCode::Text, "a text of €".as_bytes()), last_fragment(b"uros"), text("the next")]);
        peer
    });
    let mut received = 986;
    while received < LENGTH {
        let Part { payload, progress } = reader.next_part().expect("open").expect("open");
        let payload = payload.as_bytes();
        assert!(payload == &expected[received..received + payload.len()], "the part at byte {received} is damaged");
        assert!(payload.len() < 1 << 20, "a part of {} bytes", payload.len());
        received += payload.len();
        assert_eq!(progress == Progress::Last, received == LENGTH);
    }
    let mut text = String::new();
    while text != "a text of €uros" {
        match reader.next_part() {
            Ok(Some(Part { payload: Message::Text(part), .. })) => text.push_str(part),
            other => panic!("{other:?} after {text:?}"),
        }
    }
    assert_eq!(reader.next_message(), Ok(Some(Message::Text("the next"))));
    drop(join(sending, LIMIT));
}

#[test]
fn the_rest_of_a_message_in_parts_is_passed_over() {
    let (connection, mut peer) = against_peer(Role::Server, options(|_| ()));
    let (mut reader, _writer) = connection.split();
    peer.send(fragment(OpCode::Binary, b"begun"));
    let part = Part { payload: Message::Binary(b"begun"), progress: Progress::More };
    assert_eq!(reader.next_part(), Ok(Some(part)));
    peer.send_all(&[fragment(OpCode::Continuation, b"more"), last_fragment(b"last"), text("the next")]);
    assert_eq!(reader.next_message(), Ok(Some(Message::Text("the next"))));
}

/// Reads to the end of the connection, which has to come.
fn end_of(mut connection: Connection) -> End {
    within(LIMIT, move || {
        loop {
            match connection.next_message() {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the connection was closed in order"),
                Err(end) => {
                    assert_eq!(connection.next_message(), Err(end.clone()), "the end is final");
                    assert_eq!(connection.state(), State::Closed);
                    return end;
                }
            }
        }
    })
}

#[test]
fn a_rule_that_is_broken_ends_the_connection_with_its_code() {
    let small = || options(|options| options.limits = large(100));
    // What a server is sent, as a client has to mask it.
    let cases: &[(&[u8], Error, u16)] = &[
        // An unmasked frame.
        (b"\x81\x05Hello", Error::UnmaskedFrame, 1002),
        // A reserved bit, a reserved opcode.
        (b"\xc1\x80", Error::ReservedBits, 1002),
        (b"\x83\x80", Error::ReservedOpCode, 1002),
        // A continuation of nothing.
        (b"\x80\x80\0\0\0\0", Error::UnexpectedContinuation, 1002),
        // Text that is none.
        (b"\x81\x81\0\0\0\0\xff", Error::InvalidUtf8, 1007),
        // 101 bytes in one frame, and a frame of 60 bytes behind one of 60.
        (b"\x82\xe5\0\0\0\0", Error::MessageTooBig, 1009),
        (&[&b"\x02\xbc\0\0\0\0"[..], &[0; 60], b"\x80\xbc\0\0\0\0"].concat(), Error::MessageTooBig, 1009),
    ];
    for (bytes, error, code) in cases {
        let (connection, mut peer) = against_peer(Role::Server, small());
        peer.send(text("before"));
        peer.send_bytes(bytes);
        peer.send_bytes(b"what follows is not looked at");
        let end = thread::spawn(move || end_of(connection));
        let answer = peer.frame();
        assert_eq!((answer.opcode, &answer.payload[..2]), (OpCode::Close, &code.to_be_bytes()[..]), "{error:?}");
        peer.expect_end();
        drop(peer);
        let end = join(end, LIMIT);
        let expected = (Cause::Failed(*error), None, Some(CloseCode(*code)));
        assert_eq!((end.cause, end.received.clone(), end.sent), expected, "{error:?}");
        assert_eq!((end.code(), end.is_clean()), (CloseCode::ABNORMAL, false));
    }
}

#[test]
fn nothing_of_a_message_that_breaks_a_rule_is_delivered_and_all_before_it_is() {
    let (mut connection, mut peer) = against_peer(Role::Server, options(|_| ()));
    let good = text("good");
    let mut bytes: Vec<u8> = (0..10).flat_map(|_| peer.encode(&good)).collect();
    bytes.extend_from_slice(b"\x81\x83\0\0\0\0ab\xff");
    bytes.extend(peer.encode(&text("behind it")));
    peer.send_bytes(&bytes);
    for _ in 0..10 {
        assert_eq!(connection.next_message(), Ok(Some(Message::Text("good"))));
    }
    drop(peer);
    assert_eq!(end_of(connection).cause, Cause::Failed(Error::InvalidUtf8));
}

#[test]
fn a_peer_that_sends_too_much_reads_why_and_gets_no_reset() {
    // Hostile input 177: the peer is still sending when it is refused, and does not look before it is done.
    let (connection, mut peer) = against_tcp_peer(Role::Server, options(|options| options.limits = large(1000)));
    let end = thread::spawn(move || end_of(connection));
    for piece in peer.encode(&binary(&[0; 50_000])).chunks(2_000) {
        peer.send_bytes(piece);
        thread::sleep(Duration::from_millis(10));
    }
    let answer = peer.frame();
    assert_eq!((answer.opcode, &answer.payload[..2]), (OpCode::Close, &1009_u16.to_be_bytes()[..]));
    peer.expect_end();
    drop(peer);
    assert_eq!(join(end, LIMIT).cause, Cause::Failed(Error::MessageTooBig));
}

#[test]
fn the_end_of_the_stream_is_1006_wherever_it_comes() {
    // Hostile input 172: idle, amid a header, a payload, a fragmented message.
    let amid: [&[u8]; 4] = [b"", b"\x81", b"\x81\x85\0\0\0\0Hel", b"\x01\x85\0\0\0\0Hello"];
    for bytes in amid {
        let (connection, mut peer) = against_peer(Role::Server, options(|_| ()));
        peer.send_bytes(bytes);
        drop(peer);
        let end = end_of(connection);
        assert_eq!((end.cause, end.received.clone(), end.sent), (Cause::EndOfStream, None, None), "{bytes:?}");
        assert_eq!((end.code(), end.is_clean()), (CloseCode::ABNORMAL, false));
    }
}

#[test]
fn a_reset_is_an_error_of_the_reader_and_of_the_sender() {
    // Hostile input 173.
    for amid in [&b""[..], b"\x81\x85\0\0\0\0Hel"] {
        let (connection, mut peer) = against_tcp_peer(Role::Server, options(|_| ()));
        let writer = connection.writer();
        peer.send_bytes(amid);
        let end = thread::spawn(move || end_of(connection));
        thread::sleep(Duration::from_millis(20));
        sockopt::set_socket_linger(&peer.stream, Some(Duration::ZERO)).expect("a socket");
        drop(peer);
        let end = join(end, LIMIT);
        assert_eq!(end.cause, Cause::Io(io::ErrorKind::ConnectionReset));
        assert_eq!((end.code(), end.is_clean()), (CloseCode::ABNORMAL, false));
        assert_eq!(writer.send("more"), Err(raddle_socket::SendError::Closed));
    }
}

#[test]
fn what_was_read_behind_the_opening_handshake_comes_first() {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().expect("a pair of sockets");
    let mut peer = Peer::new(theirs, Role::Client);
    let behind = [peer.encode(&text("one")), peer.encode(&text("two"))].concat();
    let (received, on_its_way) = behind.split_at(11);
    let socket = raddle_socket::Socket::unix(ours).expect("a socket");
    let mut connection = Connection::new(socket, Role::Server, received, options(|_| ())).expect("a connection");
    peer.send_bytes(on_its_way);
    assert_eq!(connection.next_message(), Ok(Some(Message::Text("one"))));
    assert_eq!(connection.next_message(), Ok(Some(Message::Text("two"))));
}

#[test]
fn the_longest_times_there_are_do_no_harm() {
    // Hostile input 248.
    let longest = options(|options| {
        options.ping_interval = Some(Duration::MAX);
        options.ping_timeout = Duration::MAX;
        options.close_timeout = Duration::MAX;
        options.write_timeout = Duration::MAX;
        options.message_timeout = Duration::MAX;
        options.min_rate = 0;
    });
    let (mut connection, mut peer) = against_peer(Role::Server, longest);
    peer.send_bytes(b"\x81");
    assert_eq!(connection.next_message_within(Duration::from_millis(50)), Ok(Next::Timeout));
    peer.send_bytes(b"\x82\0\0\0\0Hi");
    assert_eq!(connection.next_message_within(Duration::MAX), Ok(Next::Message(Message::Text("Hi"))));
    // More than the socket takes, so that a deadline is computed.
    let writer = connection.writer();
    let sending = thread::spawn(move || writer.send(&vec![0; 1 << 20]));
    assert_eq!(peer.frame().payload.len(), 1 << 20);
    assert!(join(sending, LIMIT).is_ok());
    let closing = thread::spawn(move || connection.close(raddle_socket::Close::code(CloseCode::NORMAL)));
    assert_eq!(peer.frame(), close(1000, ""));
    peer.send(close(1000, ""));
    assert!(join(closing, LIMIT).is_clean());
}

#[test]
fn the_shortest_times_there_are_do_no_harm() {
    // Hostile input 248.
    let shortest = options(|options| {
        options.ping_interval = Some(Duration::from_nanos(1));
        options.ping_timeout = Duration::from_secs(10);
        options.close_timeout = Duration::ZERO;
    });
    let (mut client, server) = both_ends(options(|_| ()), shortest);
    let server = thread::spawn(move || {
        let mut server = server;
        while let Ok(Some(message)) = server.next_message() {
            let message = message.as_bytes().to_vec();
            server.send(&message).expect("open");
        }
    });
    for _ in 0..20 {
        client.send(b"echo").expect("open");
        assert_eq!(client.next_message(), Ok(Some(Message::Binary(b"echo"))));
    }
    let end = client.close(raddle_socket::Close::code(CloseCode::NORMAL));
    assert_eq!(end.cause, Cause::LocalClose);
    join(server, LIMIT);
}
