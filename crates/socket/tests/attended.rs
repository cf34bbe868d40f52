//! A connection whose reader is away: its peer gets its Pongs, and what it sends waits, whole, in order and within bounds.

mod common;

use std::io::{ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use common::*;
use raddle_core::OpCode;
use raddle_socket::{Message, Next, Part, Progress, Reader, Role, Writer};

/// Has the peer ping every 100 ms for `time`, and give up after 600 ms without a Pong. What else it receives is dropped.
fn keepalive_of_an_impatient_peer(peer: &mut Peer<UnixStream>, time: Duration) {
    let start = Instant::now();
    let mut answered = start;
    let mut number = 0_u32;
    while start.elapsed() < time {
        number += 1;
        peer.send(ping(&number.to_be_bytes()));
        let next = Instant::now() + Duration::from_millis(100);
        while let Some(frame) = peer.frame_within(next.saturating_duration_since(Instant::now())) {
            if frame.opcode == OpCode::Pong {
                answered = Instant::now();
            }
        }
        assert!(answered.elapsed() < Duration::from_millis(2000), "no answer to Ping {number}: the peer gives up");
    }
}

#[test]
fn an_impatient_peer_outlasts_a_busy_handler() {
    let [server, client] = ROLES.map(|role| {
        thread::spawn(move || {
            let (mut reader, _writer, mut peer) = with_reader_away(role, options(|_| ()));
            let handler = thread::spawn(move || {
                thread::sleep(Duration::from_millis(4000));
                assert_eq!(reader.next_message(), Ok(Some(Message::Text("meanwhile"))));
                reader
            });
            peer.send(text("meanwhile"));
            keepalive_of_an_impatient_peer(&mut peer, Duration::from_millis(4000));
            drop(join(handler, LIMIT));
        })
    });
    join(server, LIMIT);
    join(client, LIMIT);
}

#[test]
fn an_owner_who_only_sends_keeps_an_impatient_peer() {
    let (connection, mut peer) = against_peer(Role::Server, options(|_| ()));
    let owner = thread::spawn(move || {
        for _ in 0..40 {
            connection.send("news").expect("open");
            thread::sleep(Duration::from_millis(100));
        }
        connection
    });
    keepalive_of_an_impatient_peer(&mut peer, Duration::from_millis(4000));
    drop(join(owner, LIMIT));
}

#[test]
fn what_comes_meanwhile_is_whole_and_in_order_wherever_the_absence_cuts_it() {
    for role in ROLES {
        let frames = [
            text("é"),
            ping(b"1"),
            fragment(OpCode::Text, b"half \xc3"),
            ping(b"2"),
            fragment(OpCode::Continuation, b""),
            last_fragment(b"\xa9"),
            binary(b""),
            binary(&pattern(40, 1)),
        ];
        let (mut readers, mut writers, mut peers) = (Vec::new(), Vec::new(), Vec::new());
        let (_, scribe) = against_peer(role, options(|_| ()));
        let bytes: Vec<u8> = frames.iter().flat_map(|frame| scribe.encode(frame)).collect();
        // All the cuts at once: each takes an absence.
        for cut in 0..=bytes.len() {
            let (connection, mut peer) = against_peer(role, options(|_| ()));
            peer.send_bytes(&[&peer.encode(&text("first")), &bytes[..cut]].concat());
            let (reader, writer) = connection.split();
            readers.push(reader);
            writers.push(writer);
            peers.push(peer);
        }
        // The application works on the first message until all the others are there, and it stays as it is.
        let lent: Vec<_> = readers.iter_mut().map(Reader::next_message).collect();
        for (cut, peer) in peers.iter_mut().enumerate() {
            peer.send_bytes(&bytes[cut..]);
        }
        for (cut, (first, writer)) in lent.into_iter().zip(&writers).enumerate() {
            await_received(writer, 5);
            assert_eq!(first, Ok(Some(Message::Text("first"))), "cut at byte {cut}, of the {role:?}");
        }
        for (cut, (reader, peer)) in readers.iter_mut().zip(&mut peers).enumerate() {
            for expected in
                [Message::Text("é"), Message::Text("half é"), Message::Binary(b""), Message::Binary(&pattern(40, 1))]
            {
                assert_eq!(reader.next_message(), Ok(Some(expected)), "cut at byte {cut}, of the {role:?}");
            }
            // Where both Pings are there at once, the newer one is answered.
            while peer.frame() != pong(b"2") {}
            assert_eq!(reader.next_message_within(Duration::ZERO), Ok(Next::Timeout));
        }
    }
}

#[test]
fn a_large_message_that_is_lent_stays_as_it_is_while_others_are_read_ahead() {
    // Hostile input 282.
    let (mut connection, mut peer) = against_peer(Role::Server, options(|_| ()));
    for (number, length) in [10, 1_500, 40_000, 120_000].into_iter().enumerate() {
        let (one, other) = (pattern(length, 1), pattern(length, 2));
        let bytes = [peer.encode(&binary(&one)), peer.encode(&binary(&other))].concat();
        // The other one is cut, so that its first half is behind the lent one in the buffer.
        let cut = bytes.len() - length / 2;
        let sending = thread::spawn(move || {
            peer.send_bytes(&bytes[..cut]);
            (peer, bytes)
        });
        let writer = connection.writer();
        let lent = connection.next_message();
        let (back, bytes) = join(sending, LIMIT);
        peer = back;
        peer.send_bytes(&bytes[cut..]);
        await_received(&writer, 2 * (number as u64 + 1));
        assert!(lent == Ok(Some(Message::Binary(&one))), "{length} bytes have changed");
        assert!(connection.next_message() == Ok(Some(Message::Binary(&other))), "{length} bytes are damaged");
    }
}

#[test]
fn a_message_in_parts_goes_on_after_an_absence_wherever_that_cuts_it() {
    // Two frames of one text, and a message behind it.
    let frames = [fragment(OpCode::Text, "in parts, €".as_bytes()), last_fragment("uros é".as_bytes()), text("next")];
    let (_, scribe) = against_peer(Role::Server, options(|_| ()));
    let bytes: Vec<u8> = frames.iter().flat_map(|frame| scribe.encode(frame)).collect();
    let payloads = (b"\x01\x8d1234".len() + 1, bytes.len() - b"\x81\x84....next".len());
    let (mut readers, mut writers, mut peers) = (Vec::new(), Vec::new(), Vec::new());
    for cut in payloads.0..payloads.1 {
        let (connection, mut peer) = against_peer(Role::Server, options(|_| ()));
        peer.send_bytes(&bytes[..cut]);
        let (reader, writer) = connection.split();
        readers.push(reader);
        writers.push(writer);
        peers.push(peer);
    }
    let begun: Vec<_> = readers.iter_mut().map(|reader| reader.next_part().map(|part| part.map(copied))).collect();
    for (peer, cut) in peers.iter_mut().zip(payloads.0..) {
        peer.send_bytes(&bytes[cut..]);
    }
    for writer in &writers {
        await_received(writer, 2);
    }
    for ((reader, begun), cut) in readers.iter_mut().zip(begun).zip(payloads.0..) {
        let (mut text, mut progress) = begun.expect("open").expect("open");
        assert_eq!(progress, Progress::More, "cut at byte {cut}");
        // Every other reader asks for the next whole message instead, which passes the rest over.
        while progress == Progress::More && cut.is_multiple_of(2) {
            let (more, then) = reader.next_part().expect("open").map(copied).expect("open");
            text.push_str(&more);
            progress = then;
        }
        if cut.is_multiple_of(2) {
            assert_eq!(text, "in parts, €uros é", "cut at byte {cut}");
        }
        assert_eq!(reader.next_message(), Ok(Some(Message::Text("next"))), "cut at byte {cut}");
    }
}

/// The text of a part.
fn copied(part: Part<'_>) -> (String, Progress) {
    match part.payload {
        Message::Text(text) => (text.to_owned(), part.progress),
        Message::Binary(bytes) => panic!("{bytes:?} is part of a text"),
    }
}

#[test]
fn sixteen_messages_wait_and_the_others_stay_in_the_socket() {
    let (mut reader, writer, mut peer) = with_reader_away(Role::Server, options(|_| ()));
    // More than a read takes.
    let message = |number: u32| [&number.to_be_bytes()[..], &pattern(2_000, number.into())].concat();
    peer.send_all(&(0..60).map(|number| binary(&message(number))).collect::<Vec<_>>());
    await_received_and_no_more(&writer, 1 + 16);
    // What waits already counts in the next absence.
    let mut taken = 0;
    for absence in [3, 16, 1, 20] {
        for _ in 0..absence {
            assert_eq!(reader.next_message(), Ok(Some(Message::Binary(&message(taken)))));
            taken += 1;
        }
        await_received_and_no_more(&writer, 1 + u64::from(taken) + 16);
    }
    for number in taken..60 {
        assert_eq!(reader.next_message(), Ok(Some(Message::Binary(&message(number)))));
    }
    assert_eq!(reader.next_message_within(Duration::ZERO), Ok(Next::Timeout));
}

#[test]
fn bytes_up_to_the_message_limit_wait_and_the_others_stay_in_the_socket() {
    let (mut reader, writer, mut peer) =
        with_reader_away(Role::Server, options(|options| options.limits = large(25_000)));
    peer.send_all(&(0..10).map(|number| binary(&pattern(10_000, number))).collect::<Vec<_>>());
    // The third one reaches the limit.
    await_received_and_no_more(&writer, 1 + 3);
    assert_eq!(reader.next_message(), Ok(Some(Message::Binary(&pattern(10_000, 0)))));
    await_received_and_no_more(&writer, 1 + 4);
    for number in 1..10 {
        assert_eq!(reader.next_message(), Ok(Some(Message::Binary(&pattern(10_000, number)))));
    }
}

#[track_caller]
fn await_received_and_no_more(writer: &Writer, count: u64) {
    await_received(writer, count);
    thread::sleep(Duration::from_millis(200));
    assert_eq!(writer.traffic().received_messages, count);
}

#[test]
fn a_peer_that_floods_is_held_by_back_pressure() {
    // Hostile input 226. Tiny messages, some, and few that reach the message limit.
    let floods: Vec<_> = [1, 1_000, 400_000]
        .into_iter()
        .map(|length| {
            thread::spawn(move || {
                let (mut reader, _writer, mut peer) = with_reader_away(Role::Server, options(|_| ()));
                let message = pattern(length, 1);
                let frame = peer.encode(&binary(&message));
                let taken = write_until_held(&mut peer, &frame);
                // What waits is 16 messages, or a message more than the limit; then a read, and the two ends' sockets.
                let most = (16 * frame.len()).min(2 << 20) + 64 * 1024 + 2 * 256 * 1024;
                assert!(taken < most, "{taken} bytes are taken of a flood of messages of {length} bytes");
                for number in 0..taken / frame.len() {
                    let received = reader.next_message().expect("open");
                    assert!(received == Some(Message::Binary(&message)), "message {number} is damaged");
                }
            })
        })
        .collect();
    floods.into_iter().for_each(|flood| join(flood, LIMIT));
}

/// Writes `frame` over and over without waiting, until nothing was taken for 600 ms. Gives the number of bytes taken.
fn write_until_held(peer: &mut Peer<UnixStream>, frame: &[u8]) -> usize {
    peer.stream.set_nonblocking(true).expect("a socket");
    let (mut taken, mut since) = (0, Instant::now());
    while since.elapsed() < Duration::from_millis(600) {
        assert!(taken < 64 << 20, "nothing holds the peer");
        match peer.stream.write(&frame[taken % frame.len()..]) {
            Ok(count) => (taken, since) = (taken + count, Instant::now()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(Duration::from_millis(5)),
            Err(error) => panic!("{error} after {taken} bytes"),
        }
    }
    peer.stream.set_nonblocking(false).expect("a socket");
    taken
}

#[test]
fn a_busy_connection_is_not_read_ahead_for() {
    let (connection, mut peer, seen) = against_peer_observed(Role::Server, options(|_| ()));
    let (mut reader, writer) = connection.split();
    let handler = thread::spawn(move || {
        let mut number = 0_u32;
        while let Ok(Some(message)) = reader.next_message() {
            if message == Message::Text("stay away") {
                return reader;
            }
            // Some take their time, as long as many of the others together.
            if number.is_multiple_of(100) {
                thread::sleep(Duration::from_millis(60));
            }
            writer.send(message).expect("open");
            number += 1;
        }
        reader
    });
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(1500) {
        peer.send(text("ping-pong"));
        assert_eq!(peer.frame(), text("ping-pong"));
    }
    // None, where the machine leaves the handler the processor.
    let reads = seen.reads_ahead();
    assert!(reads <= 4, "{reads} reads for a reader that was there");
    peer.send_all(&[text("stay away"), ping(b"anybody?")]);
    assert_eq!(peer.frame(), pong(b"anybody?"));
    peer.send(ping(b"still?"));
    assert_eq!(peer.frame(), pong(b"still?"));
    assert!(seen.reads_ahead() > reads, "the test is about reads that are counted");
    drop(join(handler, LIMIT));
}
