//! A connection whose reader was dropped: messages are dropped too, and everything else goes on.

mod common;

use std::net::Shutdown;
use std::time::Duration;

use common::*;
use raddle_socket::{Close, CloseCode, Connection, Message, Next, Role, SendError, State};

#[test]
fn pings_are_answered_behind_any_number_of_messages() {
    for role in [Role::Server, Role::Client] {
        let (connection, mut peer) = against_peer(role, options(|_| ()));
        let (reader, writer) = connection.split();
        drop(reader);
        for number in 0..40_u64 {
            let mut frames = vec![text("nobody reads this"); 50];
            frames.push(binary(&pattern(40_000, number)));
            frames.push(ping(&number.to_be_bytes()));
            peer.send_all(&frames);
            assert_eq!(peer.frame(), pong(&number.to_be_bytes()));
            assert_eq!(writer.traffic().received_messages, 51 * (number + 1));
        }
        writer.send("the other direction").expect("open");
        assert_eq!(peer.frame(), text("the other direction"));
    }
}

#[test]
fn what_waited_for_the_reader_goes_with_it() {
    // As many messages wait as are read ahead, none of them taken, or some of an earlier absence.
    for taken in [0, 1, 5] {
        let (mut reader, writer, mut peer) = with_reader_away(Role::Server, options(|_| ()));
        peer.send_all(&vec![text("waits"); 30]);
        await_received(&writer, 1 + 16);
        for _ in 0..taken {
            assert_eq!(reader.next_message(), Ok(Some(Message::Text("waits"))));
        }
        drop(reader);
        peer.send(ping(b"anybody?"));
        assert_eq!(peer.frame_within(Duration::from_secs(5)), Some(pong(b"anybody?")), "{taken} were taken");
        await_received(&writer, 1 + 30);
        // Whoever takes the reader's place begins with what comes then.
        peer.send_all(&[text("nobody reads this"), ping(b"still?")]);
        assert_eq!(peer.frame(), pong(b"still?"));
        let mut reader = writer.take_reader().expect("no event loop has it");
        assert_eq!(reader.next_message_within(Duration::from_millis(50)), Ok(Next::Timeout));
        peer.send(text("new"));
        assert_eq!(reader.next_message(), Ok(Some(Message::Text("new"))));
    }
}

#[test]
fn a_message_in_parts_is_dropped_to_its_end() {
    let (connection, mut peer) = against_peer(Role::Server, options(|_| ()));
    let (mut reader, writer) = connection.split();
    peer.send(fragment(raddle_core::OpCode::Text, b"begun, "));
    assert_eq!(reader.next_part().map(|part| part.map(|part| part.payload)), Ok(Some(Message::Text("begun, "))));
    drop(reader);
    peer.send_all(&vec![fragment(raddle_core::OpCode::Continuation, b"goes on, "); 100]);
    peer.send_all(&[ping(b"amid"), last_fragment(b"ends"), text("whole"), ping(b"behind")]);
    while peer.frame() != pong(b"behind") {}
    assert_eq!(writer.traffic().received_messages, 2);
}

#[test]
fn the_peers_close_is_answered_and_the_end_of_the_stream_is_known() {
    let (connection, mut peer) = against_peer(Role::Server, options(|_| ()));
    let (reader, writer) = connection.split();
    drop(reader);
    peer.send_all(&[text("nobody reads this"), close(1000, "")]);
    assert_eq!(peer.frame(), close(1000, ""));
    peer.expect_end();
    eventually("the end is known", || writer.state() == State::Closed);
    assert_eq!(writer.send("too late"), Err(SendError::Closed));

    let (connection, peer) = against_peer(Role::Server, options(|_| ()));
    let (reader, writer) = connection.split();
    drop(reader);
    peer.stream.shutdown(Shutdown::Write).expect("open");
    eventually("the end is known", || writer.state() == State::Closed);
    assert_eq!(writer.send("too late"), Err(SendError::Closed));
}

#[test]
fn a_client_knows_at_once_that_the_server_has_ended_the_stream_after_the_closes() {
    let patient = || options(|options| options.close_timeout = Duration::from_secs(60));
    for client_closes in [true, false] {
        let (connection, mut peer) = against_peer(Role::Client, patient());
        let (reader, writer) = connection.split();
        drop(reader);
        if client_closes {
            writer.close(Close::code(CloseCode::NORMAL)).expect("open");
            assert_eq!(peer.frame(), close(1000, ""));
            peer.send_all(&[text("was on its way"), close(1000, "")]);
        } else {
            peer.send_all(&[text("nobody reads this"), close(1000, "")]);
            assert_eq!(peer.frame(), close(1000, ""));
        }
        // The client has said all that it will say. What the server still sends does no harm.
        peer.expect_end();
        peer.send_bytes(b"not even a frame");
        assert_eq!(writer.state(), State::Closing);
        drop(peer);
        eventually("the end is known", || writer.state() == State::Closed);
    }
}

#[test]
fn our_close_is_completed() {
    let (connection, mut peer) = against_peer(Role::Server, options(|_| ()));
    let (reader, writer) = connection.split();
    drop(reader);
    writer.close(Close::code(CloseCode::GOING_AWAY)).expect("open");
    assert_eq!(peer.frame(), close(1001, ""));
    peer.send_all(&[text("was on its way"), close(1001, "")]);
    peer.expect_end();
    eventually("the end is known", || writer.state() == State::Closed);
    let end = within(LIMIT, move || {
        writer.take_reader().expect("no event loop has it").close(Close::code(CloseCode::NORMAL))
    });
    assert!(end.is_clean(), "{end:?}");
}

#[test]
fn a_silent_peer_is_given_up_and_one_that_answers_is_not() {
    let pinging = || {
        options(|options| {
            options.ping_interval = Some(Duration::from_millis(100));
            options.ping_timeout = Duration::from_millis(800);
        })
    };
    let (client, server) = both_ends(pinging(), pinging());
    let halves = [client, server].map(Connection::split).map(|(_, writer)| writer);
    let (connection, mut peer) = against_peer(Role::Server, pinging());
    let (_, writer) = connection.split();
    assert_eq!(peer.frame().opcode, raddle_core::OpCode::Ping);
    peer.expect_end();
    assert_eq!(writer.state(), State::Closed);
    for half in &halves {
        assert_eq!(half.state(), State::Open);
        assert!(half.round_trip().is_some());
    }
}
