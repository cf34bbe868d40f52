//! Pausing what is received: nothing is delivered or read meanwhile, and nothing is lost.

mod common;

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use common::*;
use raddle_core::OpCode;
use raddle_socket::{Cause, Close, CloseCode, Message, Next, Role, Writer};

const A_WHILE: Duration = Duration::from_millis(150);

#[test]
fn nothing_is_delivered_while_reading_is_paused_and_all_of_it_afterwards() {
    for role in ROLES {
        let (connection, mut peer) = against_peer(role, options(|_| ()));
        let (mut reader, writer) = connection.split();
        // One read brings them all.
        let numbers: Vec<_> = (0..20).map(|number| format!("message {number}")).collect();
        peer.send_all(&numbers.iter().map(|number| text(number)).collect::<Vec<_>>());
        for number in &numbers {
            assert_eq!(reader.next_message(), Ok(Some(Message::Text(number))));
            for _ in 0..2 {
                writer.pause_reading();
                assert!(writer.is_reading_paused());
            }
            for timeout in [Duration::ZERO, Duration::from_millis(5)] {
                assert_eq!(reader.next_message_within(timeout), Ok(Next::Timeout));
            }
            for _ in 0..2 {
                writer.resume_reading();
                assert!(!writer.is_reading_paused());
            }
        }
        assert_eq!(reader.next_message_within(Duration::ZERO), Ok(Next::Timeout));
    }
}

#[test]
fn what_is_sent_and_held_back_leaves_when_the_reader_is_paused() {
    let (mut reader, writer, mut peer) = with_reader_away(Role::Server, options(|_| ()));
    peer.send_all(&[text("one"), text("two")]);
    assert_eq!(reader.next_message(), Ok(Some(Message::Text("one"))));
    // Corked, for there is another message to be answered.
    writer.send("answer").expect("open");
    writer.pause_reading();
    let reading =
        thread::spawn(move || reader.next_message().map(|message| message.map(|it| it == Message::Text("two"))));
    assert_eq!(peer.frame(), text("answer"));
    thread::sleep(A_WHILE);
    assert!(!reading.is_finished());
    writer.resume_reading();
    assert_eq!(join(reading, LIMIT), Ok(Some(true)));
}

/// Sends more than a socket takes, and gives what has to come out.
fn flood(mut peer: Peer<std::os::unix::net::UnixStream>) -> thread::JoinHandle<()> {
    let messages: Vec<_> = (0..500).map(|number| peer.encode(&binary(&pattern(10_000, number)))).collect();
    thread::spawn(move || messages.iter().try_for_each(|message| peer.stream.write_all(message)).expect("taken"))
}

/// Waits until nothing more is received, and gives how much was.
fn settled(writer: &Writer) -> u64 {
    let mut before = writer.traffic().received_bytes;
    loop {
        // Longer than it takes until a reader is found to be away.
        thread::sleep(Duration::from_millis(400));
        let now = writer.traffic().received_bytes;
        if now == before {
            return now;
        }
        before = now;
    }
}

#[test]
fn a_peer_that_sends_on_feels_it() {
    for reader_waits in [true, false] {
        let (mut reader, writer, peer) = with_reader_away(Role::Server, options(|_| ()));
        writer.pause_reading();
        let sending = flood(peer);
        let receive = move || {
            for number in 0..500 {
                let expected = pattern(10_000, number);
                assert!(reader.next_message() == Ok(Some(Message::Binary(&expected))), "message {number}");
            }
            reader
        };
        let receiving = if reader_waits { Ok(thread::spawn(receive)) } else { Err(receive) };
        // Nobody reads ahead for the reader that is away.
        assert!(settled(&writer) < 100, "{:?}", writer.traffic());
        assert_eq!(writer.traffic().received_messages, 1);
        assert!(!sending.is_finished());
        writer.resume_reading();
        let receiving = match receiving {
            Ok(receiving) => receiving,
            Err(receive) => {
                // Now somebody does.
                eventually("some are read ahead", || writer.traffic().received_messages > 1);
                thread::spawn(receive)
            }
        };
        drop(join(receiving, LIMIT));
        join(sending, LIMIT);
    }
}

#[test]
fn a_reader_that_waits_for_its_peer_is_paused_from_elsewhere() {
    let (connection, mut peer) = against_peer(Role::Server, options(|_| ()));
    let (mut reader, writer) = connection.split();
    let reading =
        thread::spawn(move || reader.next_message().map(|message| message.map(|it| it == Message::Text("late"))));
    thread::sleep(Duration::from_millis(50));
    writer.pause_reading();
    peer.send(text("late"));
    thread::sleep(A_WHILE);
    assert!(!reading.is_finished());
    writer.resume_reading();
    assert_eq!(join(reading, LIMIT), Ok(Some(true)));
}

#[test]
fn a_paused_peer_that_answers_lives_and_one_that_is_silent_does_not() {
    for reader_waits in [true, false] {
        for answers in [true, false] {
            let (mut reader, writer, mut peer) = with_reader_away(
                Role::Server,
                options(|options| {
                    options.ping_interval = Some(Duration::from_millis(100));
                    options.ping_timeout = Duration::from_millis(300);
                }),
            );
            writer.pause_reading();
            let waiting =
                reader_waits.then(|| thread::spawn(move || reader.next_message().map(|_| ()).map_err(|end| end.cause)));
            let start = Instant::now();
            while answers && start.elapsed() < Duration::from_millis(1500) {
                let asked = peer.frame();
                assert_eq!(asked.opcode, OpCode::Ping, "{start:?}");
                peer.send(pong(&asked.payload));
            }
            if answers {
                assert_eq!(writer.state(), raddle_socket::State::Open);
                drop(peer);
                writer.resume_reading();
            }
            if let Some(waiting) = waiting {
                let cause = if answers { Cause::EndOfStream } else { Cause::KeepaliveTimeout };
                assert_eq!(join(waiting, LIMIT), Err(cause));
            } else {
                eventually("it is cut", || writer.state() == raddle_socket::State::Closed);
            }
        }
    }
}

#[test]
fn a_paused_connection_is_closed_in_order_and_messages_before_the_end_are_dropped() {
    for role in ROLES {
        for reader_waits in [true, false] {
            let (mut reader, writer, mut peer) = with_reader_away(role, options(|_| ()));
            writer.pause_reading();
            peer.send_all(&[text("dropped"), ping(b"?"), text("this too")]);
            let reading = move || {
                let closed = reader.next_message().map(|message| message.is_none());
                (closed, reader.end().cloned())
            };
            let reading = if reader_waits { Ok(thread::spawn(reading)) } else { Err(reading) };
            thread::sleep(Duration::from_millis(50));
            writer.close(Close::code(CloseCode(4000))).expect("open");
            assert_eq!(peer.frame(), close(4000, ""));
            peer.send_all(&[text("and this"), close(4000, "")]);
            if role == Role::Client {
                eventually("the client ends its direction", || peer.next_frame(LIMIT).is_ok_and(|end| end.is_none()));
                peer.stream.shutdown(std::net::Shutdown::Both).expect("connected");
            }
            let (closed, end) = match reading {
                Ok(reading) => join(reading, LIMIT),
                Err(reading) => {
                    eventually("nobody is needed", || writer.state() == raddle_socket::State::Closed);
                    within(LIMIT, reading)
                }
            };
            assert_eq!(closed, Ok(true), "{role:?}");
            let end = end.expect("seen");
            assert!(end.is_clean() && end.cause == Cause::LocalClose, "{end:?}");
        }
    }
}

#[test]
fn a_reader_that_is_paused_learns_that_the_connection_was_cut() {
    let (mut reader, writer, _peer) = with_reader_away(Role::Server, options(|_| ()));
    writer.pause_reading();
    let reading = thread::spawn(move || reader.next_message().map(|_| ()).map_err(|end| end.cause));
    thread::sleep(Duration::from_millis(50));
    writer.cut(Cause::LocalClose);
    assert_eq!(join(reading, LIMIT), Err(Cause::LocalClose));
}

#[test]
fn a_message_that_is_paused_is_not_late() {
    let (mut reader, writer, mut peer) =
        with_reader_away(Role::Server, options(|options| options.message_timeout = Duration::from_millis(300)));
    let bytes = peer.encode(&text("in two halves"));
    peer.send_bytes(&bytes[..8]);
    assert_eq!(reader.next_message_within(Duration::from_millis(30)), Ok(Next::Timeout));
    writer.pause_reading();
    let reading = thread::spawn(move || {
        let whole = reader.next_message().map(|message| message.map(|it| it == Message::Text("in two halves")));
        (whole, reader)
    });
    peer.send_bytes(&bytes[8..12]);
    thread::sleep(Duration::from_millis(900));
    writer.resume_reading();
    peer.send_bytes(&bytes[12..]);
    assert_eq!(join(reading, LIMIT).0, Ok(Some(true)));
}

#[test]
fn a_pause_does_not_count_against_what_is_answered_before_the_peers_close() {
    let (mut reader, writer, mut peer) = with_reader_away(Role::Server, options(|_| ()));
    peer.send_all(&[text("one"), ping(b"before"), close(4321, "bye")]);
    assert_eq!(peer.frame(), pong(b"before"));
    writer.pause_reading();
    // Longer than the Close is left to a reader that may go on.
    thread::sleep(Duration::from_millis(2300));
    writer.resume_reading();
    assert_eq!(reader.next_message(), Ok(Some(Message::Text("one"))));
    assert!(writer.send("answer").is_ok());
    assert_eq!(peer.frame(), text("answer"));
    let closing = thread::spawn(move || assert_eq!(reader.next_message(), Ok(None)));
    assert_eq!(peer.frame(), close(4321, ""));
    drop(peer);
    join(closing, LIMIT);
}
