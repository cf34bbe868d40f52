//! The closing handshake in every order, and what the end of a connection says of it.

mod common;

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use common::*;
use raddle_core::{Error, OpCode};
use raddle_socket::{Cause, Close, CloseCode, End, Message, Role, State};

#[test]
fn the_peers_close_is_answered_with_its_code() {
    // Hostile inputs 161, 163 and 165.
    let reason = "r".repeat(123);
    let assigned = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999];
    for role in ROLES {
        for (code, reason) in assigned.map(|code| (code, "")).into_iter().chain([(1000, "done\0"), (4000, &reason)]) {
            let (connection, mut peer) = against_peer(role, options(|_| ()));
            peer.send(close(code, reason));
            let peer = thread::spawn(move || {
                assert_eq!(peer.frame(), close(code, ""));
                if role == Role::Server {
                    // The server ends the stream, and the client waits for that (section 7.1.1).
                    peer.expect_end();
                }
            });
            let end = read_to_end(connection).expect("closed in order");
            join(peer, LIMIT);
            assert_end(&end, (Cause::PeerClose, Some((code, reason)), Some(code)));
            assert_eq!((end.code(), end.is_clean()), (CloseCode(code), true));
        }
    }
}

#[test]
fn a_close_without_a_code_is_answered_with_one_without_a_code() {
    let (connection, mut peer) = against_peer(Role::Server, options(|_| ()));
    peer.send(empty_close());
    let end = read_to_end(connection).expect("closed in order");
    assert_end(&end, (Cause::PeerClose, Some((1005, "")), Some(1005)));
    assert_eq!(end.code(), CloseCode::NO_STATUS);
    assert_eq!(peer.frame(), empty_close());
    peer.expect_end();
}

#[test]
fn a_close_that_breaks_a_rule_fails_the_connection() {
    // Hostile inputs 162 and 164 to 166.
    let with = |payload: &[u8]| Frame { payload: payload.into(), ..empty_close() };
    let codes = [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535];
    let mut cases: Vec<_> = codes.map(|code| (close(code, ""), Error::InvalidCloseCode, 1002)).into();
    cases.extend([
        (with(b"\x03"), Error::InvalidClose, 1002),
        (close(1000, &"r".repeat(124)), Error::ControlTooLong, 1002),
        // The first three bytes of a character of four; an overlong form; no text at all.
        (with(b"\x03\xe8\xf0\x9f\x98"), Error::InvalidUtf8, 1007),
        (with(b"\x03\xe8\xc0\x80"), Error::InvalidUtf8, 1007),
        (with(b"\x03\xe8\xff"), Error::InvalidUtf8, 1007),
        (Frame { fin: false, ..close(1000, "") }, Error::ControlFragmented, 1002),
    ]);
    for (frame, error, code) in cases {
        let (connection, mut peer) = against_peer(Role::Server, options(|_| ()));
        peer.send(frame.clone());
        let answering = thread::spawn(move || {
            let answer = peer.frame();
            peer.expect_end();
            answer
        });
        let end = read_to_end(connection).expect_err("the connection has failed");
        assert_end(&end, (Cause::Failed(error), None, Some(code)));
        let answer = join(answering, LIMIT);
        assert_eq!((answer.opcode, &answer.payload[..2]), (OpCode::Close, &code.to_be_bytes()[..]), "{frame:?}");
    }
}

#[test]
fn our_close_is_answered_by_the_peer() {
    for role in ROLES {
        let (connection, mut peer) = against_peer(role, options(|_| ()));
        let closing = thread::spawn(move || connection.close(Close { code: CloseCode(4321), reason: "enough" }));
        assert_eq!(peer.frame(), close(4321, "enough"));
        peer.send(close(4321, "likewise"));
        // Nothing answers the answer.
        if role == Role::Client {
            peer.stream.shutdown(std::net::Shutdown::Write).expect("open");
        }
        peer.expect_end();
        let end = join(closing, LIMIT);
        assert_end(&end, (Cause::LocalClose, Some((4321, "likewise")), Some(4321)));
        assert!(end.is_clean());
    }
}

#[test]
fn both_sides_close_at_once() {
    // Hostile input 168, against a script and against each other.
    for role in ROLES {
        let (connection, mut peer) = against_peer(role, options(|_| ()));
        connection.writer().close(Close::code(CloseCode::NORMAL)).expect("open");
        peer.send(close(3001, "me too"));
        if role == Role::Client {
            peer.stream.shutdown(std::net::Shutdown::Write).expect("open");
        }
        let end = read_to_end(connection).expect("closed in order");
        assert_end(&end, (Cause::LocalClose, Some((3001, "me too")), Some(1000)));
        assert_eq!(peer.frame(), close(1000, ""));
        peer.expect_end();
    }
    for _ in 0..50 {
        let (client, server) = both_ends(options(|_| ()), options(|_| ()));
        let client = thread::spawn(move || client.close(Close::code(CloseCode(4001))));
        let server = thread::spawn(move || server.close(Close::code(CloseCode(4002))));
        let (client, server) = (join(client, LIMIT), join(server, LIMIT));
        assert!(client.is_clean() && server.is_clean(), "{client}; {server}");
        let received = |end: &End| end.received.as_ref().map(|(code, _)| code.0);
        // Who was first is anybody's guess, but each has received what the other has sent.
        assert_eq!((received(&client), received(&server)), (server.sent.map(|it| it.0), client.sent.map(|it| it.0)));
    }
}

#[test]
fn what_follows_a_close_is_neither_delivered_nor_answered() {
    // Hostile input 167.
    let (mut connection, mut peer) = against_peer(Role::Server, options(|_| ()));
    let mut garbage = pattern(50_000, 1);
    garbage[0] = 0xff;
    let mut bytes: Vec<u8> = [text("before"), close(1000, ""), text("after"), ping(b"after"), close(1001, "")]
        .iter()
        .flat_map(|frame| peer.encode(frame))
        .collect();
    bytes.extend(garbage);
    let sending = thread::spawn(move || {
        // The connection may be closed before all of it is sent.
        let _ = peer.stream.write_all(&bytes);
        peer
    });
    assert_eq!(connection.next_message(), Ok(Some(Message::Text("before"))));
    let end = read_to_end(connection).expect("closed in order");
    assert_end(&end, (Cause::PeerClose, Some((1000, "")), Some(1000)));
    let mut peer = join(sending, LIMIT);
    assert_eq!(peer.frame(), close(1000, ""));
    assert!(matches!(peer.next_frame(LIMIT), Ok(None) | Err(_)), "nothing follows the Close");
}

#[test]
fn a_close_amid_a_message_drops_it() {
    // Hostile input 139.
    let (connection, mut peer) = against_peer(Role::Server, options(|_| ()));
    peer.send_all(&[fragment(OpCode::Text, b"half a"), close(1000, "")]);
    let end = read_to_end(connection).expect("closed in order");
    assert_end(&end, (Cause::PeerClose, Some((1000, "")), Some(1000)));
}

#[test]
fn messages_that_were_on_their_way_are_delivered_after_our_close() {
    let (connection, mut peer) = against_peer(Role::Server, options(|_| ()));
    connection.writer().close(Close::code(CloseCode::NORMAL)).expect("open");
    assert_eq!(connection.state(), State::Closing);
    assert_eq!(peer.frame(), close(1000, ""));
    peer.send_all(&[text("on its way"), ping(b"too"), close(1000, "")]);
    let (mut reader, writer) = connection.split();
    assert_eq!(reader.next_message(), Ok(Some(Message::Text("on its way"))));
    assert_eq!(reader.next_message(), Ok(None));
    assert_eq!(writer.state(), State::Closed);
    // The Ping gets no Pong: nothing is sent after a Close (section 5.5.1).
    peer.expect_end();
}

#[test]
fn a_peer_that_sends_for_ever_is_cut_at_the_close_timeout() {
    // Hostile input 169.
    let (connection, mut peer) = against_peer(Role::Server, closing_within(Duration::from_millis(400)));
    let flooding = thread::spawn(move || {
        let message = peer.encode(&text("more"));
        while peer.stream.write_all(&message).is_ok() {}
    });
    let start = Instant::now();
    let end = within(LIMIT, move || connection.close(Close::code(CloseCode::NORMAL)));
    let took = start.elapsed();
    assert_end(&end, (Cause::LocalClose, None, Some(1000)));
    assert_eq!((end.code(), end.is_clean()), (CloseCode::ABNORMAL, false));
    assert!((Duration::from_millis(400)..Duration::from_secs(4)).contains(&took), "{took:?}");
    join(flooding, LIMIT);
}

#[test]
fn a_peer_that_never_answers_is_cut_at_the_close_timeout() {
    // Hostile input 170: it reads, or it does not, with nothing or with a megabyte before the Close.
    for queued in [0, 64] {
        let (connection, _peer) = against_peer(Role::Server, closing_within(Duration::from_millis(300)));
        for _ in 0..queued {
            let _ = connection.writer().try_send(&[0; 64 * 1024]);
        }
        let start = Instant::now();
        let end = within(LIMIT, move || connection.close(Close::code(CloseCode::NORMAL)));
        let took = start.elapsed();
        // What was not written was not sent.
        assert_end(&end, (Cause::LocalClose, None, (queued == 0).then_some(1000)));
        assert!((Duration::from_millis(300)..Duration::from_secs(4)).contains(&took), "{took:?}");
    }
}

#[test]
fn a_peer_that_answers_and_keeps_the_stream_is_waited_for_by_the_client_only() {
    // Hostile input 171.
    for (role, close_timeout) in [(Role::Server, Duration::from_secs(5)), (Role::Client, Duration::from_millis(400))] {
        let (connection, mut peer) = against_peer(role, closing_within(close_timeout));
        peer.send(close(1000, ""));
        let start = Instant::now();
        let end = read_to_end(connection).expect("closed in order");
        let took = start.elapsed();
        assert!(end.is_clean());
        match role {
            Role::Server => assert!(took < Duration::from_secs(2), "{took:?}"),
            Role::Client => assert!((close_timeout..Duration::from_secs(3)).contains(&took), "{took:?}"),
        }
        assert_eq!(peer.frame(), close(1000, ""));
    }
}

#[test]
fn a_failure_waits_for_a_slow_peer_no_longer_than_a_second() {
    // Hostile input 176: a megabyte waits for a peer that does not read, and sends nonsense.
    let (connection, mut peer) = against_peer(Role::Server, options(|_| ()));
    while connection.writer().try_send(&[0; 64 * 1024]).is_ok() {}
    peer.send_bytes(b"\xff");
    let start = Instant::now();
    let end = read_to_end(connection).expect_err("the connection has failed");
    let took = start.elapsed();
    assert_eq!((end.cause, end.received, end.sent), (Cause::Failed(Error::ReservedOpCode), None, None));
    assert!(took < Duration::from_secs(4), "{took:?}");
}

#[test]
fn two_failures_in_one_read_are_one() {
    // Hostile input 178.
    let (connection, mut peer) = against_peer(Role::Server, options(|_| ()));
    peer.send_bytes(b"\xc1\x80\0\0\0\0\x83\x80\0\0\0\0\x81\x05Hello");
    let answering = thread::spawn(move || {
        let answer = peer.frame();
        peer.expect_end();
        answer
    });
    let end = read_to_end(connection).expect_err("the connection has failed");
    assert_end(&end, (Cause::Failed(Error::ReservedBits), None, Some(1002)));
    assert_eq!(join(answering, LIMIT).opcode, OpCode::Close);
}
