//! A connection whose reader is away: it is answered for, what comes is kept in order, and its end is noticed.

mod common;

use std::thread;
use std::time::{Duration, Instant};

use common::*;
use raddle_core::{Error, OpCode};
use raddle_socket::{Cause, Close, CloseCode, Message, Options, Part, Progress, Role, SendError, State};

/// Longer than the 250 ms after which a reader is taken to be away, on a noisy machine too.
const NOTICED: Duration = Duration::from_secs(2);

fn defaults() -> Options {
    options(|_| ())
}

#[test]
fn pings_are_answered_while_the_handler_computes() {
    for role in [Role::Server, Role::Client] {
        let (mut connection, mut peer) = against_peer(role, defaults());
        peer.send(text("compute"));
        // The message is lent all the time, and stays as it is.
        let message = connection.next_message();
        for number in 0..5_u8 {
            peer.send(ping(&[number]));
            assert_eq!(peer.frame_within(NOTICED), Some(pong(&[number])), "{role:?}");
        }
        assert_eq!(message, Ok(Some(Message::Text("compute"))));
    }
}

#[test]
fn a_ping_behind_messages_is_answered_before_they_are_taken() {
    let (mut connection, mut peer) = against_peer(Role::Server, defaults());
    peer.send_all(&[text("compute"), text("another"), fragment(OpCode::Binary, b"half"), ping(b"behind")]);
    assert_eq!(connection.next_message(), Ok(Some(Message::Text("compute"))));
    assert_eq!(peer.frame_within(NOTICED), Some(pong(b"behind")));
    peer.send(last_fragment(b" and half"));
    assert_eq!(connection.next_message(), Ok(Some(Message::Text("another"))));
    assert_eq!(connection.next_message(), Ok(Some(Message::Binary(b"half and half"))));
}

#[test]
fn a_message_that_is_lent_does_not_change_while_others_are_read_ahead() {
    // Hostile input 282.
    let (mut connection, mut peer) = against_peer(Role::Server, defaults());
    for length in [10, 1_500, 40_000] {
        let first = pattern(length, 1);
        let (one, other) = (binary(&first), binary(&pattern(length, 2)));
        let mut bytes = peer.encode(&one);
        bytes.extend(peer.encode(&other));
        // The second one is cut, so that its first half is in the buffer of the lent one.
        let cut = bytes.len() - length / 2;
        peer.send_bytes(&bytes[..cut]);
        let message = connection.next_message();
        thread::sleep(Duration::from_millis(350));
        peer.send_bytes(&bytes[cut..]);
        peer.send(ping(b"parsed"));
        assert_eq!(peer.frame_within(NOTICED), Some(pong(b"parsed")));
        assert!(message == Ok(Some(Message::Binary(&first))), "{length} bytes have changed");
        assert!(connection.next_message() == Ok(Some(Message::Binary(&pattern(length, 2)))), "{length} bytes");
    }
}

#[test]
fn messages_keep_their_order_whoever_has_read_them() {
    // The reader comes and goes, so that it is sometimes away long enough, and often not.
    let (mut connection, mut peer) = against_peer(Role::Server, defaults());
    let sending = thread::spawn(move || {
        for number in 0..3_000_u32 {
            peer.send(text(&format!("message {number}")));
            if number % 16 == 0 {
                thread::sleep(Duration::from_millis(5));
            }
        }
        peer
    });
    for number in 0..3_000_u32 {
        assert_eq!(connection.next_message(), Ok(Some(Message::Text(&format!("message {number}")))));
        if number % 500 == 0 {
            thread::sleep(Duration::from_millis(300));
        }
    }
    drop(join(sending, LIMIT));
}

#[test]
fn what_is_read_ahead_is_bounded_and_the_peer_feels_it() {
    // Hostile input 226: 16 messages, and no more bytes than one message may have and the last one needs.
    for (length, most) in [(10, 16), (100_000, 11)] {
        let (mut connection, mut peer) = against_tcp_peer(Role::Server, defaults());
        peer.send(text("compute"));
        assert_eq!(connection.next_message(), Ok(Some(Message::Text("compute"))));
        let messages = peer.encode(&binary(&pattern(length, 1))).repeat(200_000 / length);
        peer.stream.set_write_timeout(Some(Duration::from_millis(600))).expect("a socket");
        let mut sent = 0;
        while sent < 40_000_000 && std::io::Write::write_all(&mut peer.stream, &messages).is_ok() {
            sent += messages.len();
        }
        let counted = connection.writer().traffic();
        assert!(sent < 40_000_000, "the peer could send {sent} bytes, {counted:?}");
        let kept = counted.received_messages - 1;
        assert_eq!(kept, most, "messages of {length} bytes are kept");
        // And none of those is lost.
        for number in 0..kept + 5 {
            assert!(connection.next_message() == Ok(Some(Message::Binary(&pattern(length, 1)))), "message {number}");
        }
    }
}

#[test]
fn a_close_is_answered_while_the_handler_computes_and_the_reader_learns_of_it_later() {
    let (mut connection, mut peer) = against_peer(Role::Server, defaults());
    let writer = connection.writer();
    peer.send(text("compute"));
    assert_eq!(connection.next_message(), Ok(Some(Message::Text("compute"))));
    peer.send_all(&[text("last words"), close(1000, "bye")]);
    assert_eq!(peer.frame_within(NOTICED), Some(close(1000, "")));
    peer.expect_end();
    eventually("the connection has ended", || writer.state() == State::Closed);
    assert_eq!(writer.send("too late"), Err(SendError::Closed));
    assert_eq!(connection.next_message(), Ok(Some(Message::Text("last words"))));
    assert_eq!(connection.next_message(), Ok(None));
    let end = connection.close(Close::code(CloseCode(4000)));
    assert_eq!((end.cause, end.sent), (Cause::PeerClose, Some(CloseCode::NORMAL)));
    assert_eq!(end.received, Some((CloseCode::NORMAL, "bye".into())));
}

#[test]
fn the_end_of_the_stream_is_noticed_while_the_handler_computes() {
    let (mut connection, mut peer) = against_peer(Role::Server, defaults());
    let writer = connection.writer();
    peer.send(text("compute"));
    assert_eq!(connection.next_message(), Ok(Some(Message::Text("compute"))));
    peer.send(text("last words"));
    drop(peer);
    let start = Instant::now();
    eventually("the end is noticed", || writer.state() == State::Closed);
    assert!(start.elapsed() < NOTICED, "{:?}", start.elapsed());
    assert_eq!(connection.next_message(), Ok(Some(Message::Text("last words"))));
    assert_eq!(connection.next_message().map_err(|end| end.cause), Err(Cause::EndOfStream));
}

#[test]
fn a_failure_is_answered_while_the_handler_computes() {
    let (mut connection, mut peer) = against_peer(Role::Server, defaults());
    peer.send(text("compute"));
    assert_eq!(connection.next_message(), Ok(Some(Message::Text("compute"))));
    peer.send(text("good"));
    peer.send_bytes(b"\x83\x80\0\0\0\0");
    let answer = peer.frame_within(NOTICED).expect("an answer");
    assert_eq!((answer.opcode, &answer.payload[..2]), (OpCode::Close, &1002_u16.to_be_bytes()[..]));
    assert_eq!(connection.next_message(), Ok(Some(Message::Text("good"))));
    let end = connection.next_message().expect_err("the connection has failed");
    assert_eq!((end.cause, end.sent), (Cause::Failed(Error::ReservedOpCode), Some(CloseCode::PROTOCOL_ERROR)));
}

#[test]
fn parts_go_on_where_they_were_when_the_reader_comes_back() {
    let (connection, mut peer) = against_peer(Role::Server, defaults());
    let (mut reader, _writer) = connection.split();
    peer.send(fragment(OpCode::Text, b"begun, "));
    let first = Part { payload: Message::Text("begun, "), progress: Progress::More };
    assert_eq!(reader.next_part(), Ok(Some(first)));
    thread::sleep(Duration::from_millis(350));
    peer.send_all(&[fragment(OpCode::Continuation, b"carried on "), ping(b"parsed")]);
    assert_eq!(peer.frame_within(NOTICED), Some(pong(b"parsed")));
    peer.send_all(&[last_fragment(b"and ended"), text("the next")]);
    let mut rest = String::new();
    loop {
        let Ok(Some(Part { payload: Message::Text(part), progress })) = reader.next_part() else { panic!("open") };
        rest.push_str(part);
        if progress == Progress::Last {
            break;
        }
    }
    assert_eq!(rest, "carried on and ended");
    assert_eq!(reader.next_message(), Ok(Some(Message::Text("the next"))));
}

#[test]
fn a_connection_without_a_reader_is_answered_for_and_closed_in_order() {
    let (connection, mut peer) =
        against_peer(Role::Client, options(|options| options.close_timeout = Duration::from_millis(500)));
    let (reader, writer) = connection.split();
    drop(reader);
    for number in 0..50_u32 {
        // Nobody asks for messages, so they must not stop what is behind them.
        peer.send(binary(&number.to_be_bytes()));
    }
    peer.send(ping(b"there?"));
    assert_eq!(peer.frame_within(NOTICED), Some(pong(b"there?")));
    writer.send("still sending").expect("open");
    assert_eq!(peer.frame(), text("still sending"));
    peer.send(close(1000, ""));
    assert_eq!(peer.frame_within(NOTICED), Some(close(1000, "")));
    drop(peer);
    eventually("the connection has ended", || writer.state() == State::Closed);
}

#[test]
fn a_handler_that_only_sends_hears_when_its_peer_has_gone() {
    let (connection, mut peer) = against_peer(Role::Server, defaults());
    let (_reader, writer) = connection.split();
    let sending = thread::spawn(move || {
        while writer.send("tick").is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
    });
    assert_eq!(peer.frame(), text("tick"));
    peer.send(close(1000, ""));
    let mut frame = peer.frame();
    while frame == text("tick") {
        frame = peer.frame();
    }
    assert_eq!(frame, close(1000, ""));
    join(sending, NOTICED);
}
