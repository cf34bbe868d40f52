//! The closing handshake in every order, and what the end of a connection says of it.

mod common;

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use common::*;
use raddle_core::{Error, OpCode};
use raddle_socket::{Cause, Close, CloseCode, Connection, End, Message, Options, Role, SendError, State};

const ROLES: [Role; 2] = [Role::Server, Role::Client];

/// What an end says, but for the time.
type Said<'a> = (Cause, Option<(u16, &'a str)>, Option<u16>);

#[track_caller]
fn assert_end(end: &End, (cause, received, sent): Said<'_>) {
    let received = received.map(|(code, reason)| (CloseCode(code), reason.to_owned()));
    assert_eq!((end.cause, end.received.clone(), end.sent), (cause, received, sent.map(CloseCode)));
}

/// Reads to the end, which has to come within `LIMIT`; `Ok`: the connection was closed by a closing handshake.
fn read_to_end(connection: Connection) -> Result<End, End> {
    within(LIMIT, move || {
        let (mut reader, _writer) = connection.split();
        loop {
            match reader.next_message() {
                Ok(Some(_)) => {}
                Ok(None) => return Ok(reader.end().expect("it was seen").clone()),
                Err(end) => return Err(end),
            }
        }
    })
}

fn closing_within(time: Duration) -> Options {
    options(|options| options.close_timeout = time)
}

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

#[test]
fn a_close_from_many_threads_is_one_close() {
    // Hostile input 276.
    for _ in 0..30 {
        let (connection, mut peer) = against_peer(Role::Server, options(|_| ()));
        let closing: Vec<_> = (4000..4008)
            .map(|code| {
                let writer = connection.writer();
                thread::spawn(move || writer.close(Close::code(CloseCode(code))).is_ok().then_some(code))
            })
            .collect();
        let first: Vec<_> = closing.into_iter().filter_map(|thread| join(thread, LIMIT)).collect();
        let [first] = first[..] else { panic!("{first:?} were all the first") };
        assert_eq!(peer.frame(), close(first, ""));
        peer.send(close(first, ""));
        let end = read_to_end(connection).expect("closed in order");
        assert_end(&end, (Cause::LocalClose, Some((first, "")), Some(first)));
        peer.expect_end();
    }
}

#[test]
fn the_first_cause_counts() {
    let (connection, mut peer) = against_peer(Role::Server, closing_within(Duration::from_millis(100)));
    let writer = connection.writer();
    writer.close_for(Close::code(CloseCode::GOING_AWAY), Cause::Shutdown).expect("open");
    // A failure, a cut and the close timeout come too late to be the cause.
    peer.send_bytes(b"\xff");
    let end = read_to_end(connection).expect_err("no Close has come");
    writer.cut(Cause::Dropped);
    assert_end(&end, (Cause::Shutdown, None, Some(1001)));

    let (connection, _peer) = against_peer(Role::Server, options(|_| ()));
    let writer = connection.writer();
    writer.cut(Cause::Shutdown);
    writer.cut(Cause::Dropped);
    assert_eq!(writer.close(Close::code(CloseCode::NORMAL)), Err(SendError::Closed));
    assert_end(&read_to_end(connection).expect_err("it was cut"), (Cause::Shutdown, None, None));
}

#[test]
fn a_cut_that_comes_after_the_closing_handshake_changes_nothing() {
    let (mut reader, writer, mut peer) = with_reader_away(Role::Server, options(|_| ()));
    peer.send(close(1000, "bye"));
    // The reader has not heard of it yet.
    eventually("the connection has ended", || writer.state() == State::Closed);
    writer.cut(Cause::Dropped);
    for _ in 0..2 {
        assert_eq!(reader.next_message(), Ok(None));
    }
    assert_end(reader.end().expect("it was seen"), (Cause::PeerClose, Some((1000, "bye")), Some(1000)));
}

#[test]
fn after_the_end_every_call_has_a_defined_result() {
    // Hostile input 181.
    let (connection, mut peer) = against_peer(Role::Server, options(|_| ()));
    let (mut reader, writer) = connection.split();
    peer.send(close(1000, "bye"));
    for _ in 0..3 {
        assert_eq!(reader.next_message(), Ok(None));
        assert_eq!(reader.next_part(), Ok(None));
        assert_eq!(reader.next_message_within(Duration::ZERO), Ok(raddle_socket::Next::Closed));
    }
    assert_eq!((reader.state(), writer.state(), writer.queued()), (State::Closed, State::Closed, 0));
    assert_eq!(writer.send("more"), Err(SendError::Closed));
    assert_eq!(writer.try_send("more"), Err(SendError::Closed));
    assert_eq!(writer.begin().send("more"), Err(SendError::Closed));
    assert_eq!(writer.ping(b""), Err(SendError::Closed));
    assert_eq!(writer.close(Close::code(CloseCode::NORMAL)), Err(SendError::Closed));
    writer.flush();
    writer.cut(Cause::Dropped);
    assert_eq!((writer.round_trip(), writer.traffic().received_messages), (None, 0));
    // The reader's last words are those of its first end.
    assert_end(&reader.close(Close::code(CloseCode(4000))), (Cause::PeerClose, Some((1000, "bye")), Some(1000)));
    // And one that comes later says the same.
    let late = within(LIMIT, move || writer.take_reader().close(Close::code(CloseCode(4001))));
    assert_end(&late, (Cause::PeerClose, Some((1000, "bye")), Some(1000)));
}

#[test]
fn a_connection_that_is_dropped_says_that_it_goes_away() {
    for role in ROLES {
        let (connection, mut peer) = against_peer(role, options(|_| ()));
        connection.send("last words").expect("open");
        drop(connection);
        assert_eq!([peer.frame(), peer.frame()], [text("last words"), close(1001, "")]);
        peer.expect_end();
    }
}

#[test]
fn a_close_that_may_not_be_sent_becomes_1011() {
    let reason = "r".repeat(124);
    for close_with in [Close::code(CloseCode(1006)), Close { code: CloseCode::NORMAL, reason: &reason }] {
        let (connection, mut peer) = against_peer(Role::Server, options(|_| ()));
        peer.send(close(1000, ""));
        let _ = connection.close(close_with);
        assert_eq!(peer.frame(), close(1011, ""));
    }
}

#[test]
fn the_halves_may_end_in_any_order() {
    let (connection, mut peer) = against_peer(Role::Server, options(|_| ()));
    let (reader, writer) = connection.split();
    drop(reader);
    writer.send("without a reader").expect("open");
    assert_eq!(peer.frame(), text("without a reader"));
    // Whoever takes the place of the dropped reader hears what has come meanwhile, or closes.
    let mut reader = within(LIMIT, {
        let writer = writer.clone();
        move || writer.take_reader()
    });
    drop(writer);
    peer.send(text("without a writer"));
    assert_eq!(reader.next_message(), Ok(Some(Message::Text("without a writer"))));
    reader.writer().send("from the reader").expect("open");
    assert_eq!(peer.frame(), text("from the reader"));
    drop(reader);
    assert_eq!(peer.frame(), close(1001, ""));
}
