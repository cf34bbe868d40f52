//! The end of a connection: its first cause counts, and every call after it has a defined result.

mod common;

use std::thread;
use std::time::Duration;

use common::*;
use raddle_socket::{Cause, Close, CloseCode, Message, Role, SendError, State};

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
    let late =
        within(LIMIT, move || writer.take_reader().expect("no event loop has it").close(Close::code(CloseCode(4001))));
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
        move || writer.take_reader().expect("no event loop has it")
    });
    drop(writer);
    peer.send(text("without a writer"));
    assert_eq!(reader.next_message(), Ok(Some(Message::Text("without a writer"))));
    reader.writer().send("from the reader").expect("open");
    assert_eq!(peer.frame(), text("from the reader"));
    drop(reader);
    assert_eq!(peer.frame(), close(1001, ""));
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
