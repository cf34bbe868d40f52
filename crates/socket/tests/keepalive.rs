//! Keepalive and the time for a message: who is silent is asked, who stays silent is given up, who sends lives.

mod common;

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use common::*;
use raddle_core::OpCode;
use raddle_socket::{Cause, CloseCode, Connection, End, Message, Next, Options, Role};

const INTERVAL: Duration = Duration::from_millis(100);

fn pinging(timeout: Duration) -> Options {
    options(|options| {
        options.ping_interval = Some(INTERVAL);
        options.ping_timeout = timeout;
    })
}

/// Reads on a thread until the connection ends.
fn read_to_end(mut connection: Connection) -> JoinHandle<Result<(), End>> {
    thread::spawn(move || {
        while connection.next_message()?.is_some() {}
        Ok(())
    })
}

#[test]
fn a_silent_peer_is_asked_once_and_given_up() {
    // Hostile input 242: it is idle, and then it owes an answer.
    for role in [Role::Server, Role::Client] {
        let start = Instant::now();
        let (connection, mut peer) = against_peer(role, pinging(Duration::from_millis(200)));
        let reading = read_to_end(connection);
        let asked = peer.frame();
        assert_eq!((asked.opcode, asked.payload.len()), (OpCode::Ping, 8));
        // Hostile input 158: nothing more is said, and no Close either.
        peer.expect_end();
        let took = start.elapsed();
        assert!((Duration::from_millis(300)..Duration::from_secs(3)).contains(&took), "{took:?}");
        let end = join(reading, LIMIT).expect_err("it was given up");
        assert_eq!((end.cause, end.received.clone(), end.sent), (Cause::KeepaliveTimeout, None, None));
        assert_eq!((end.code(), end.to_string().as_str()), (CloseCode::ABNORMAL, "ping timeout"));
        assert!(end.silent_for >= Duration::from_millis(250), "{:?}", end.silent_for);
    }
}

#[test]
fn a_peer_that_was_given_up_and_comes_back_finds_a_reset_and_is_not_heard() {
    // Hostile input 243: its machine was suspended.
    let (connection, mut peer) = against_tcp_peer(
        Role::Server,
        options(|options| {
            options.ping_interval = Some(Duration::from_millis(100));
            options.ping_timeout = Duration::from_millis(100);
        }),
    );
    let (mut reader, writer) = connection.split();
    let reading = thread::spawn(move || {
        let end = reader.next_message().map(|_| ()).expect_err("it is given up");
        (reader, end)
    });
    let (mut reader, end) = join(reading, LIMIT);
    assert_eq!((end.cause, end.code()), (Cause::KeepaliveTimeout, CloseCode::ABNORMAL));
    let late = peer.encode(&text("late"));
    // The first of it may be taken by the system, whose answer is the reset.
    peer.stream.write_all(&late).expect("it is not known yet");
    for _ in 0..3 {
        thread::sleep(Duration::from_millis(20));
        assert_eq!(reader.next_message(), Err(end.clone()));
    }
    drop((reader, writer));
    eventually("it is told", || peer.stream.write_all(&late).is_err());
}

#[test]
fn a_peer_that_answers_is_asked_again_and_its_round_trip_is_known() {
    let start = Instant::now();
    let (connection, mut peer) = against_peer(Role::Server, pinging(Duration::from_secs(10)));
    let writer = connection.writer();
    let reading = read_to_end(connection);
    assert_eq!(writer.round_trip(), None);
    let mut asked = Vec::new();
    for longer in 0..3 {
        let question = peer.frame();
        assert_eq!(question.opcode, OpCode::Ping);
        // Each time another, so that the second round trip differs from the first.
        thread::sleep(Duration::from_millis(30 + 20 * longer));
        // Hostile input 154: only the answer to this question counts, and only once.
        peer.send(pong(b"another"));
        let before = writer.round_trip();
        peer.send(pong(&question.payload));
        eventually("the round trip is known", || writer.round_trip() != before);
        peer.send(pong(&question.payload));
        asked.push(question.payload);
    }
    // Three intervals and round trips, and not the time that an answer might have taken.
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    let time = writer.round_trip().expect("known");
    assert!((Duration::from_millis(30)..Duration::from_secs(3)).contains(&time), "{time:?}");
    assert!(asked[0] != asked[1] && asked[1] != asked[2], "each question is another");
    drop(peer);
    assert_eq!(join(reading, LIMIT).map_err(|end| end.cause), Err(Cause::EndOfStream));
}

#[test]
fn two_of_ours_keep_each_other_alive() {
    let (client, server) = both_ends(pinging(Duration::from_secs(1)), pinging(Duration::from_secs(1)));
    let writers = [client.writer(), server.writer()];
    let reading = [read_to_end(client), read_to_end(server)];
    thread::sleep(Duration::from_millis(2000));
    for writer in &writers {
        assert!(writer.round_trip().is_some());
        assert!(writer.traffic().received_bytes >= 20, "{:?}", writer.traffic());
    }
    writers[0].close(raddle_socket::Close::code(CloseCode::NORMAL)).expect("both are alive");
    for reading in reading {
        assert_eq!(join(reading, LIMIT), Ok(()));
    }
}

#[test]
fn whatever_arrives_is_life() {
    // Hostile input 159: the peer answers no Ping, for it is amid a message that takes long.
    let (mut connection, mut peer) = against_peer(Role::Server, pinging(Duration::from_millis(700)));
    let dripping = thread::spawn(move || {
        for byte in peer.encode(&binary(&[7; 50])) {
            peer.send_bytes(&[byte]);
            thread::sleep(Duration::from_millis(40));
        }
        peer
    });
    let received = within(LIMIT, move || {
        let received = connection.next_message().map(|message| message.map(|message| message.as_bytes().to_vec()));
        (received, connection)
    });
    assert_eq!(received.0, Ok(Some(vec![7; 50])));
    drop(join(dripping, LIMIT));
}

#[test]
fn without_an_interval_nobody_is_asked() {
    let (connection, mut peer) = against_peer(Role::Server, options(|options| options.ping_interval = None));
    let reading = read_to_end(connection);
    assert_eq!(peer.frame_within(Duration::from_millis(400)), None);
    drop(peer);
    assert_eq!(join(reading, LIMIT).map_err(|end| end.cause), Err(Cause::EndOfStream));
}

#[test]
fn a_peer_that_sends_is_not_asked() {
    let interval = options(|options| options.ping_interval = Some(Duration::from_millis(800)));
    let (connection, mut peer) = against_peer(Role::Server, interval);
    let reading = read_to_end(connection);
    for _ in 0..20 {
        peer.send(text("here"));
        assert_eq!(peer.frame_within(Duration::from_millis(80)), None);
    }
    drop(peer);
    assert_eq!(join(reading, LIMIT).map_err(|end| end.cause), Err(Cause::EndOfStream));
}

#[test]
fn somebody_who_only_sends_keeps_alive_too() {
    // The reader is never asked for anything; the peer's Pongs have to be heard all the same.
    let (client, server) = both_ends(pinging(Duration::from_secs(1)), options(|_| ()));
    let reading = read_to_end(server);
    let (reader, writer) = client.split();
    thread::sleep(Duration::from_millis(2000));
    assert!(writer.send("still here").is_ok(), "{writer:?}");
    assert!(writer.round_trip().is_some());
    writer.close(raddle_socket::Close::code(CloseCode::NORMAL)).expect("open");
    assert_eq!(join(reading, LIMIT), Ok(()));
    drop(reader);
}

/// How a reader waits for a message that never becomes complete.
#[derive(Clone, Copy, Debug)]
enum Waiting {
    Whole,
    /// In short waits, one after the other.
    InSlices,
    /// For parts of it.
    InParts,
}

#[test]
fn a_message_that_drips_ends_the_connection_in_its_time() {
    // Hostile inputs 147 and 241: the peer is alive all the time, and each read succeeds.
    for waiting in [Waiting::Whole, Waiting::InSlices, Waiting::InParts] {
        let (connection, peer) = against_peer(
            Role::Server,
            options(|options| {
                options.message_timeout = Duration::from_millis(400);
                options.min_rate = 1 << 20;
            }),
        );
        let start = Instant::now();
        let dripping = drip(peer);
        let end = within(LIMIT, move || read_until_end(connection, waiting));
        let took = start.elapsed();
        assert_eq!((end.cause, end.sent), (Cause::MessageTimeout, Some(CloseCode::POLICY)), "{waiting:?}");
        assert!((Duration::from_millis(350)..Duration::from_secs(5)).contains(&took), "{waiting:?}: {took:?}");
        let mut peer = join(dripping, LIMIT);
        let close = peer.frame();
        assert_eq!((close.opcode, &close.payload[..2]), (OpCode::Close, &1008_u16.to_be_bytes()[..]));
    }
}

#[test]
fn a_peer_whose_message_takes_too_long_reads_why_and_gets_no_reset() {
    // Hostile input 241: it goes on sending when it is refused, and does not look before it is done.
    for role in ROLES {
        let (connection, mut peer) = against_tcp_peer(
            role,
            options(|options| {
                options.message_timeout = Duration::from_millis(200);
                options.min_rate = 1 << 20;
            }),
        );
        let end = thread::spawn(move || read_until_end(connection, Waiting::Whole));
        let bytes = peer.encode(&binary(&[0; 10_000]));
        for piece in bytes.chunks(1_000) {
            peer.send_bytes(piece);
            // By a third of them it is refused, and long before the last one it would be cut.
            thread::sleep(Duration::from_millis(60));
        }
        let answer = peer.frame();
        assert_eq!(answer, close(1008, "the message took too long"));
        peer.expect_end();
        drop(peer);
        let end = join(end, LIMIT);
        assert_eq!((end.cause, end.sent), (Cause::MessageTimeout, Some(CloseCode::POLICY)));
    }
}

/// Sends a message a byte at a time, until the connection ends.
fn drip(mut peer: Peer<UnixStream>) -> JoinHandle<Peer<UnixStream>> {
    thread::spawn(move || {
        for byte in peer.encode(&binary(&[0; 10_000])) {
            if peer.stream.write_all(&[byte]).is_err() {
                break;
            }
            thread::sleep(Duration::from_millis(15));
        }
        peer
    })
}

fn read_until_end(connection: Connection, waiting: Waiting) -> End {
    let (mut reader, _writer) = connection.split();
    loop {
        let found = match waiting {
            Waiting::Whole => reader.next_message().map(|_| Next::Timeout),
            Waiting::InSlices => reader.next_message_within(Duration::from_millis(20)),
            Waiting::InParts => reader.next_part().map(|_| Next::Timeout),
        };
        match found {
            Ok(Next::Timeout) => {}
            Ok(other) => panic!("{other:?} has come"),
            Err(end) => return end,
        }
    }
}

#[test]
fn the_time_for_a_message_stops_while_nobody_waits_for_it() {
    let (mut connection, mut peer) =
        against_peer(Role::Server, options(|options| options.message_timeout = Duration::from_millis(300)));
    let bytes = peer.encode(&text("in two halves"));
    peer.send_bytes(&bytes[..8]);
    assert_eq!(connection.next_message_within(Duration::from_millis(30)), Ok(Next::Timeout));
    // The application has other things to do; meanwhile the message becomes complete, or does not.
    thread::sleep(Duration::from_millis(800));
    assert_eq!(connection.next_message_within(Duration::from_millis(30)), Ok(Next::Timeout));
    peer.send_bytes(&bytes[8..]);
    assert_eq!(connection.next_message(), Ok(Some(Message::Text("in two halves"))));
}

#[test]
fn a_large_message_gets_the_time_of_its_size() {
    let (mut connection, mut peer) = against_peer(
        Role::Server,
        options(|options| {
            options.message_timeout = Duration::from_millis(250);
            options.min_rate = 20_000;
        }),
    );
    let sending = thread::spawn(move || {
        // 60,000 bytes a second, three times as fast as it has to be.
        for piece in peer.encode(&binary(&pattern(60_000, 1))).chunks(1_500) {
            peer.send_bytes(piece);
            thread::sleep(Duration::from_millis(25));
        }
        peer
    });
    let received =
        within(LIMIT, move || connection.next_message().map(|message| message.map(|it| it.as_bytes().len())));
    assert_eq!(received, Ok(Some(60_000)));
    drop(join(sending, LIMIT));
}
