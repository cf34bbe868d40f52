//! The end of a connection whose reader is away: the peer is answered at once, and the reader finds out later.

mod common;

use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use common::*;
use raddle_core::{Error, OpCode};
use raddle_socket::{
    Cause, Close, CloseCode, End, Message, Next, Options, Reader, Role, SendError, SendStatus, State, Writer,
};
use rustix::net::sockopt;

/// How soon the end has to be known: a reader is found to stay away in a quarter of a second, on a machine with time.
const KNOWN: Duration = Duration::from_secs(2);

/// The reader comes back, and finds the messages that have come before the end.
#[track_caller]
fn end_after(reader: &mut Reader, messages: &[&str]) -> End {
    for message in messages {
        assert_eq!(reader.next_message(), Ok(Some(Message::Text(message))));
    }
    if let Ok(Some(message)) = reader.next_message() {
        panic!("{message:?} where the end was expected");
    }
    reader.end().expect("it was seen").clone()
}

/// Waits until nothing can be sent any more.
#[track_caller]
fn await_closed(writer: &Writer, state: State) {
    let start = Instant::now();
    eventually("the end is known", || writer.state() == state);
    assert!(start.elapsed() < KNOWN, "known after {:?}", start.elapsed());
    assert_eq!(writer.send("too late"), Err(SendError::Closed));
    assert_eq!(writer.ping(b"too late"), Err(SendError::Closed));
}

/// As [`with_reader_away`], and its application has answered.
fn with_nothing_to_answer(role: Role, options: Options) -> (Reader, Writer, Peer<UnixStream>) {
    let (reader, writer, mut peer) = with_reader_away(role, options);
    assert_eq!(writer.send("answer"), Ok(SendStatus::Sent));
    assert_eq!(peer.frame(), text("answer"));
    (reader, writer, peer)
}

#[test]
fn the_peers_close_is_answered_at_once_where_nothing_else_is_to_be_answered() {
    let (mut reader, writer, mut peer) = with_nothing_to_answer(Role::Server, options(|_| ()));
    let start = Instant::now();
    peer.send(close(4321, "bye"));
    assert_eq!(peer.frame(), close(4321, ""));
    peer.expect_end();
    assert!(start.elapsed() < KNOWN, "{:?}", start.elapsed());
    await_closed(&writer, State::Closed);
    let end = end_after(&mut reader, &[]);
    assert_eq!(end.received, Some((CloseCode(4321), "bye".to_owned())));
    assert_eq!((end.cause, end.sent, end.is_clean()), (Cause::PeerClose, Some(CloseCode(4321)), true));
}

#[test]
fn messages_before_the_peers_close_are_answered_before_it() {
    for role in [Role::Server, Role::Client] {
        // One of them is with the application, and the others wait for the reader.
        let (mut reader, writer, mut peer) = with_reader_away(role, options(|_| ()));
        peer.send_all(&[text("one"), text("two"), ping(b"before"), close(4321, "bye")]);
        // It is parsed together with what follows it.
        assert_eq!(peer.frame(), pong(b"before"));
        for next in [Some("one"), Some("two"), None] {
            // The handler takes its time over each, so that it is found to stay away each time.
            thread::sleep(Duration::from_millis(300));
            assert_eq!(writer.state(), State::Open);
            writer.send("answer").expect("open");
            if let Some(next) = next {
                assert_eq!(reader.next_message(), Ok(Some(Message::Text(next))));
            }
        }
        let reading = thread::spawn(move || end_after(&mut reader, &[]));
        for _ in 0..3 {
            assert_eq!(peer.frame(), text("answer"));
        }
        assert_eq!(peer.frame(), close(4321, ""));
        drop(peer);
        let end = join(reading, LIMIT);
        assert_eq!((end.cause, end.sent, end.is_clean()), (Cause::PeerClose, Some(CloseCode(4321)), true));
    }
}

#[test]
fn what_other_threads_send_is_no_answer_to_what_came_before_the_peers_last_word() {
    let (broken, error) = BROKEN[0];
    for is_close in [true, false] {
        let (mut reader, writer, mut peer) = with_reader_away(Role::Server, options(|_| ()));
        let others = writer.clone();
        join(thread::spawn(move || assert!(others.send("of another").is_ok())), LIMIT);
        assert_eq!(peer.frame(), text("of another"));
        let last_word = if is_close { peer.encode(&close(4321, "bye")) } else { broken.to_vec() };
        peer.send_bytes(&[peer.encode(&ping(b"before")), last_word].concat());
        assert_eq!(peer.frame(), pong(b"before"));
        thread::sleep(Duration::from_millis(50));
        assert_eq!(writer.send("answer"), Ok(SendStatus::Sent));
        assert_eq!(peer.frame(), text("answer"));
        let reading = thread::spawn(move || end_after(&mut reader, &[]));
        if is_close {
            assert_eq!(peer.frame(), close(4321, ""));
        } else {
            expect_failure(&mut peer, error);
        }
        drop(peer);
        let end = join(reading, LIMIT);
        assert_eq!(end.cause, if is_close { Cause::PeerClose } else { Cause::Failed(error) });
    }
}

#[test]
fn a_peer_that_has_said_its_last_word_is_not_given_up_as_silent() {
    let pinging = options(|options| {
        options.ping_interval = Some(Duration::from_millis(300));
        options.ping_timeout = Duration::from_millis(300);
    });
    let (mut reader, writer, mut peer) = with_reader_away(Role::Server, pinging);
    peer.send_all(&[ping(b"before"), close(4321, "bye")]);
    // The attendant may have asked before it has read that.
    let mut frame = move || {
        loop {
            let frame = peer.frame();
            if frame.opcode != OpCode::Ping {
                return frame;
            }
        }
    };
    assert_eq!(frame(), pong(b"before"));
    thread::sleep(Duration::from_millis(1000));
    assert_eq!(writer.send("answer"), Ok(SendStatus::Sent));
    assert_eq!(frame(), text("answer"));
    let reading = thread::spawn(move || end_after(&mut reader, &[]));
    assert_eq!(frame(), close(4321, ""));
    drop(frame);
    let end = join(reading, LIMIT);
    assert_eq!((end.cause, end.sent, end.is_clean()), (Cause::PeerClose, Some(CloseCode(4321)), true));
}

#[test]
fn the_last_word_of_a_peer_does_not_wait_for_good() {
    let (broken, error) = BROKEN[0];
    for is_close in [true, false] {
        let (mut reader, writer, mut peer) = with_reader_away(Role::Server, options(|_| ()));
        let last_word = if is_close { peer.encode(&close(4321, "bye")) } else { broken.to_vec() };
        peer.send_bytes(&[peer.encode(&text("one")), peer.encode(&ping(b"before")), last_word].concat());
        assert_eq!(peer.frame(), pong(b"before"));
        thread::sleep(Duration::from_millis(200));
        assert_eq!(writer.send("late"), Ok(SendStatus::Sent));
        assert_eq!(peer.frame(), text("late"));
        // The handler stays away.
        if is_close {
            assert_eq!(peer.frame(), close(4321, ""));
        } else {
            expect_failure(&mut peer, error);
        }
        peer.expect_end();
        eventually("the end is known", || writer.state() == State::Closed);
        let end = end_after(&mut reader, &["one"]);
        assert_eq!(end.cause, if is_close { Cause::PeerClose } else { Cause::Failed(error) });
    }
}

#[test]
fn the_last_word_of_a_peer_does_not_wait_for_answers_behind_a_close_of_our_own() {
    let (mut reader, writer, mut peer) =
        with_reader_away(Role::Server, options(|options| options.close_timeout = Duration::from_secs(15)));
    peer.send_all(&[text("one"), ping(b"before"), close(4321, "bye")]);
    assert_eq!(peer.frame(), pong(b"before"));
    thread::sleep(Duration::from_millis(50));
    let start = Instant::now();
    writer.close(Close::code(CloseCode::NORMAL)).expect("open");
    assert_eq!(peer.frame(), close(1000, ""));
    peer.expect_end();
    assert!(start.elapsed() < Duration::from_millis(1500), "{:?}", start.elapsed());
    let end = end_after(&mut reader, &["one"]);
    assert_eq!((end.sent, end.is_clean()), (Some(CloseCode::NORMAL), true));
    assert_eq!(end.received.map(|(code, _)| code), Some(CloseCode(4321)));
}

#[test]
fn a_client_answers_the_close_and_the_server_ends_the_stream() {
    for server_ends_the_stream in [true, false] {
        // Where the server does, that is known at once, and not at the timeout.
        let timeout = Duration::from_millis(if server_ends_the_stream { 15_000 } else { 400 });
        let timeout = |options: &mut Options| options.close_timeout = timeout;
        let (mut reader, writer, mut peer) = with_nothing_to_answer(Role::Client, options(timeout));
        peer.send(close(1001, "going away"));
        assert_eq!(peer.frame(), close(1001, ""));
        if server_ends_the_stream {
            drop(peer);
        } else {
            await_closed(&writer, State::Closing);
            // It is waited for no longer than the close timeout.
            peer.expect_end();
        }
        await_closed(&writer, State::Closed);
        let end = end_after(&mut reader, &[]);
        assert_eq!((end.cause, end.sent, end.is_clean()), (Cause::PeerClose, Some(CloseCode::GOING_AWAY), true));
    }
}

#[test]
fn a_close_behind_queued_output_is_followed_by_the_end_of_the_stream() {
    let (mut reader, writer, mut peer) =
        with_reader_away(Role::Server, options(|options| options.close_timeout = Duration::from_secs(15)));
    let message = pattern(50_000, 1);
    let mut queued = 0;
    while writer.queued() < 300_000 {
        assert_ne!(writer.try_send(&message), Err(SendError::Full));
        queued += 1;
    }
    peer.send(close(1000, ""));
    await_closed(&writer, State::Closing);
    for _ in 0..queued {
        assert_eq!(peer.frame().payload.len(), message.len());
    }
    assert_eq!(peer.frame(), close(1000, ""));
    let start = Instant::now();
    peer.expect_end();
    assert!(start.elapsed() < KNOWN, "{:?}", start.elapsed());
    let end = end_after(&mut reader, &[]);
    assert_eq!((end.cause, end.sent), (Cause::PeerClose, Some(CloseCode::NORMAL)));
}

#[test]
fn the_end_of_the_stream_is_known() {
    for role in [Role::Server, Role::Client] {
        // Amid a message, which is dropped; and with a peer that goes on reading.
        for (amid, half) in [(&b""[..], false), (b"\x01", false), (b"", true)] {
            let (mut reader, writer, mut peer) = with_reader_away(role, options(|_| ()));
            peer.send(text("one"));
            peer.send_bytes(amid);
            peer.stream.shutdown(if half { Shutdown::Write } else { Shutdown::Both }).expect("open");
            await_closed(&writer, State::Closed);
            if half {
                peer.expect_end();
            }
            let end = end_after(&mut reader, &["one"]);
            assert_eq!((end.cause, end.received, end.sent), (Cause::EndOfStream, None, None));
        }
    }
}

#[test]
fn a_reset_is_known() {
    for waiting in [2, 40] {
        let (connection, mut peer) = against_tcp_peer(
            Role::Server,
            options(|options| {
                options.ping_interval = Some(Duration::from_millis(100));
                options.ping_timeout = Duration::from_secs(100);
            }),
        );
        let (mut reader, writer) = connection.split();
        peer.send(text("first"));
        assert_eq!(reader.next_message(), Ok(Some(Message::Text("first"))));
        for _ in 0..waiting {
            peer.send(text("before"));
        }
        // Where more has come than is read ahead, a write finds out.
        await_received(&writer, 1 + waiting.min(16));
        sockopt::set_socket_linger(&peer.stream, Some(Duration::ZERO)).expect("a socket");
        drop(peer);
        await_closed(&writer, State::Closed);
        let mut found = 0;
        let end = loop {
            match reader.next_message() {
                Ok(Some(message)) => assert_eq!(message, Message::Text("before")),
                Ok(None) => panic!("the connection was closed in order"),
                Err(end) => break end,
            }
            found += 1;
        };
        assert!((waiting.min(16)..=waiting).contains(&found), "{found} messages of {waiting}");
        assert!(matches!(end.cause, Cause::Io(io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)), "{end:?}");
    }
}

/// A reserved bit, and text that is none; what follows is not looked at.
const BROKEN: [(&[u8], Error); 2] =
    [(b"\xc1\x80\0\0\0\0", Error::ReservedBits), (b"\x81\x81\0\0\0\0\xff\x81\x80\0\0\0\0", Error::InvalidUtf8)];

/// Waits for a Close that fails the connection.
#[track_caller]
fn expect_failure(peer: &mut Peer<UnixStream>, error: Error) {
    let frame = peer.frame();
    assert_eq!((frame.opcode, &frame.payload[..2]), (OpCode::Close, &error.close_code().0.to_be_bytes()[..]));
}

#[test]
fn a_rule_that_is_broken_behind_messages_fails_the_connection_once_they_are_answered() {
    // One of them is with the application, and the others wait for the reader, or there are none.
    for (messages, (bytes, error)) in
        [&["one", "two"][..], &[]].into_iter().flat_map(|some| BROKEN.map(|how| (some, how)))
    {
        let (mut reader, writer, mut peer) = with_reader_away(Role::Server, options(|_| ()));
        let frames: Vec<_> = messages.iter().map(|message| text(message)).chain([ping(b"before")]).collect();
        let frames = frames.iter().flat_map(|frame| peer.encode(frame));
        peer.send_bytes(&frames.chain(bytes.iter().copied()).collect::<Vec<_>>());
        // It is parsed together with what follows it.
        assert_eq!(peer.frame(), pong(b"before"));
        thread::sleep(Duration::from_millis(50));
        assert_eq!(writer.state(), State::Open);
        assert!(writer.send("answer to first").is_ok());
        for message in messages {
            assert_eq!(reader.next_message(), Ok(Some(Message::Text(message))));
            // The handler takes its time over each.
            thread::sleep(Duration::from_millis(400));
            assert!(writer.send(&format!("answer to {message}")).is_ok());
        }
        let reading = thread::spawn(move || end_after(&mut reader, &[]));
        for message in ["first"].iter().chain(messages) {
            assert_eq!(peer.frame(), text(&format!("answer to {message}")));
        }
        expect_failure(&mut peer, error);
        peer.expect_end();
        drop(peer);
        let end = join(reading, LIMIT);
        assert_eq!((end.cause, end.received, end.sent), (Cause::Failed(error), None, Some(error.close_code())));
        assert_eq!(writer.send("too late"), Err(SendError::Closed));
    }
}

#[test]
fn messages_that_were_taken_together_are_answered_before_what_breaks_a_rule_behind_them() {
    let (connection, mut peer) = against_peer(Role::Server, options(|_| ()));
    let (mut reader, writer) = connection.split();
    peer.send_all(&[text("one"), text("two")]);
    assert_eq!(reader.next_message(), Ok(Some(Message::Text("one"))));
    assert_eq!(reader.next_received(), Ok(Some(Message::Text("two"))));
    assert_eq!(reader.next_received(), Ok(None));
    let (bytes, error) = BROKEN[0];
    peer.send_bytes(&[&peer.encode(&ping(b"before")), bytes].concat());
    assert_eq!(peer.frame(), pong(b"before"));
    thread::sleep(Duration::from_millis(50));
    assert!(writer.send("answers").is_ok());
    assert_eq!(peer.frame(), text("answers"));
    let reading = thread::spawn(move || end_after(&mut reader, &[]));
    expect_failure(&mut peer, error);
    drop(peer);
    assert_eq!(join(reading, LIMIT).cause, Cause::Failed(error));
}

#[test]
fn a_rule_that_is_broken_while_nobody_has_a_message_fails_the_connection_at_once() {
    for (bytes, error) in BROKEN {
        // A reader that has not come yet, and one that has found nothing more.
        for has_waited in [false, true] {
            let (connection, mut peer) = against_peer(Role::Server, options(|_| ()));
            let (mut reader, writer) = connection.split();
            if has_waited {
                peer.send(text("first"));
                assert_eq!(reader.next_message(), Ok(Some(Message::Text("first"))));
                assert_eq!(reader.next_message_within(Duration::from_millis(5)), Ok(Next::Timeout));
            }
            let start = Instant::now();
            peer.send_bytes(bytes);
            expect_failure(&mut peer, error);
            assert!(start.elapsed() < KNOWN, "{:?}", start.elapsed());
            assert_eq!(writer.send("too late"), Err(SendError::Closed));
            // The peer is given a second to read it.
            peer.expect_end();
            await_closed(&writer, State::Closed);
            let end = end_after(&mut reader, &[]);
            assert_eq!((end.cause, end.received, end.sent), (Cause::Failed(error), None, Some(error.close_code())));
        }
    }
}

#[test]
fn a_rule_that_is_broken_behind_messages_fails_the_connection_at_once_where_none_can_be_answered() {
    let (bytes, error) = BROKEN[0];
    let with_messages = |peer: &Peer<UnixStream>| [&peer.encode(&text("one")), bytes].concat();
    // The reader is dropped.
    let (reader, writer, mut peer) = with_reader_away(Role::Server, options(|_| ()));
    drop(reader);
    let start = Instant::now();
    peer.send_bytes(&with_messages(&peer));
    expect_failure(&mut peer, error);
    assert!(start.elapsed() < KNOWN, "{:?}", start.elapsed());
    peer.expect_end();
    await_closed(&writer, State::Closed);
    // Our Close was sent, and the peer's is waited for no more.
    let closing = options(|options| options.close_timeout = LIMIT);
    let (mut reader, writer, mut peer) = with_reader_away(Role::Server, closing);
    writer.close(Close::code(CloseCode::NORMAL)).expect("open");
    assert_eq!(peer.frame(), close(1000, ""));
    peer.send_bytes(&with_messages(&peer));
    peer.expect_end();
    await_closed(&writer, State::Closed);
    assert_eq!(end_after(&mut reader, &["one"]).cause, Cause::LocalClose);
}

#[test]
fn a_reader_that_is_dropped_before_what_breaks_a_rule_leaves_that_to_the_attendant() {
    let (reader, writer, mut peer) = with_reader_away(Role::Server, options(|_| ()));
    let (bytes, error) = BROKEN[0];
    peer.send_bytes(&[&peer.encode(&ping(b"before")), bytes].concat());
    assert_eq!(peer.frame(), pong(b"before"));
    drop(reader);
    expect_failure(&mut peer, error);
    peer.expect_end();
    await_closed(&writer, State::Closed);
}

#[test]
fn a_reader_that_comes_back_amid_the_end_finds_all_of_it() {
    // The reader comes back about when the attendant acts on the Close, or on the end of the stream.
    let threads: Vec<_> = (0..48_u64)
        .map(|number| {
            thread::spawn(move || {
                let (mut reader, writer, mut peer) = with_reader_away(Role::Server, options(|_| ()));
                assert_eq!(writer.send("answer"), Ok(SendStatus::Sent));
                peer.send(text("one"));
                let clean = number.is_multiple_of(2);
                if clean {
                    peer.send(close(1000, ""));
                } else {
                    peer.stream.shutdown(Shutdown::Write).expect("open");
                }
                thread::sleep(Duration::from_millis(100 + number * 4));
                let end = end_after(&mut reader, &["one"]);
                assert_eq!(end.cause, if clean { Cause::PeerClose } else { Cause::EndOfStream });
                assert_eq!((end.is_clean(), writer.state()), (clean, State::Closed));
                assert_eq!(peer.frame(), text("answer"));
                if clean {
                    assert_eq!(peer.frame(), close(1000, ""));
                }
                peer.expect_end();
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| join(thread, LIMIT));
}
