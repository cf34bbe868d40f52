//! Connections with permessage-deflate (RFC 7692): what passes, what is kept, and what is given back.

#![cfg(feature = "deflate")]

mod common;

use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use common::allocator::{Counting, held};
use common::*;
use parking_lot::Mutex;
use raddle_core::deflate::{Compressor, census};
use raddle_core::{Data, Event, OpCode, Receiver, Role};
use raddle_socket::{
    Cause, Close, CloseCode, Connection, Deflate, Limits, Message, Next, Options, SendError, WhenFull,
};

#[global_allocator]
static COUNTING: Counting = Counting;

/// The tests look at what the whole process has, one at a time.
static ALONE: Mutex<()> = Mutex::new(());

const TAKEOVER: Deflate = Deflate {
    level: 1,
    threshold: 0,
    server_no_context_takeover: false,
    client_no_context_takeover: false,
    server_max_window_bits: 15,
    client_max_window_bits: 15,
};
const NO_TAKEOVER: Deflate = Deflate { server_no_context_takeover: true, client_no_context_takeover: true, ..TAKEOVER };

fn json(index: usize) -> String {
    format!("{{\"id\":{index},\"name\":\"name {}\",\"tags\":[\"one\",\"two\",\"three\"]}}", index % 7).repeat(5)
}

/// A connection whose other end is scripted.
fn deflating_against_peer(role: Role, deflate: Deflate, options: Options) -> (Connection, Peer<UnixStream>) {
    let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    (deflating(ours, role, deflate, options), Peer::new(theirs, role.peer()))
}

/// The bytes of a compressed message, as a peer sends it.
fn compressed(peer: &Peer<UnixStream>, data: Data<'_>) -> Vec<u8> {
    let mut bytes = peer.encode(&binary(data.as_bytes()));
    bytes[0] |= 0x40;
    bytes
}

/// Reads what the connection sends, from `receiver` on, until it has had so many messages.
fn receive(receiver: &mut Receiver, stream: &mut UnixStream, count: usize) -> Vec<String> {
    use std::io::Read;
    stream.set_read_timeout(Some(LIMIT)).expect("a socket");
    let mut messages = Vec::new();
    while messages.len() < count {
        while receiver.advance().expect("what the connection sends is in order") {
            match receiver.event() {
                Some(Event::Text(text)) => messages.push(text.to_owned()),
                Some(Event::Binary(bytes)) => messages.push(format!("{} bytes", bytes.len())),
                Some(Event::Pong(_)) => messages.push("Pong".into()),
                other => panic!("{other:?}"),
            }
        }
        if messages.len() < count {
            let read = stream.read(receiver.space()).expect("more is sent");
            assert!(read > 0, "the stream has ended after {messages:?}");
            receiver.filled(read);
        }
    }
    messages
}

#[test]
fn messages_pass_both_ways_with_and_without_context() {
    let _alone = ALONE.lock();
    for deflate in [TAKEOVER, NO_TAKEOVER, Deflate { threshold: 200, server_max_window_bits: 9, ..TAKEOVER }] {
        let (client, server) = both_ends_deflating(deflate, options(|_| ()), options(|_| ()));
        let echoing = thread::spawn(move || {
            let (mut reader, writer) = server.split();
            while let Some(message) = reader.next_message().expect("in order") {
                writer.send(message).expect("the peer takes it");
            }
        });
        let (mut reader, writer) = client.split();
        for index in 0..1000 {
            let message = if index % 3 == 0 { format!("{index}") } else { json(index) };
            writer.send(&message).expect("open");
            assert_eq!(reader.next_message(), Ok(Some(Message::Text(&message))));
        }
        // Of the limit's size, and no smaller when it is compressed.
        let large = pattern(1 << 20, 1);
        let (writing, sent) = (writer.clone(), large.clone());
        let sending = thread::spawn(move || writing.send(&sent).map(drop));
        assert!(reader.next_message() == Ok(Some(Message::Binary(&large))));
        assert_eq!(join(sending, LIMIT), Ok(()));
        assert_eq!(reader.close(Close::code(CloseCode::NORMAL)).cause, Cause::LocalClose);
        join(echoing, LIMIT);
    }
}

/// A message that is larger than a fragment, and one that is sent fragment by fragment.
#[test]
fn fragments_are_of_one_compressed_message() {
    let _alone = ALONE.lock();
    for deflate in [TAKEOVER, NO_TAKEOVER] {
        let small = options(|options| options.fragment_size = 1000);
        let (mut client, server) = both_ends_deflating(deflate, options(|_| ()), small);
        let (_reader, writer) = server.split();
        for round in 0..3 {
            let noise = pattern(20_000, round);
            writer.send(&noise).expect("open");
            assert_eq!(client.next_message(), Ok(Some(Message::Binary(&noise))));
            let mut message = writer.begin();
            let mut whole = String::new();
            for index in 0..10 {
                message.send(&json(index)).expect("open");
                whole += &json(index);
            }
            // Nothing more, or the end of it.
            let end = if round == 1 { "" } else { "é" };
            message.finish(end).expect("open");
            assert_eq!(client.next_message(), Ok(Some(Message::Text(&(whole + end)))));
        }
    }
}

#[test]
fn threads_that_send_at_the_same_time_keep_the_context_in_order() {
    // Hostile input 217.
    let _alone = ALONE.lock();
    const THREADS: usize = 4;
    const COUNT: usize = 300;
    for deflate in [TAKEOVER, NO_TAKEOVER] {
        let (client, mut server) = both_ends_deflating(deflate, options(|_| ()), options(|_| ()));
        let (_reader, writer) = client.split();
        let senders: Vec<_> = (0..THREADS)
            .map(|thread| {
                let writer = writer.clone();
                thread::spawn(move || {
                    for index in 0..COUNT {
                        let message = format!("{thread} {index} {}", json(index));
                        match (index + thread) % 4 {
                            // Fragment by fragment, between which nothing else may come.
                            0 => {
                                let (one, other) = message.split_at(20);
                                let mut parts = writer.begin();
                                parts.send(one).expect("open");
                                parts.finish(other).expect("open");
                            }
                            1 => writer.uncompressed().send(&message).map(drop).expect("open"),
                            _ => writer.send(&message).map(drop).expect("open"),
                        }
                    }
                })
            })
            .collect();
        let mut next = [0; THREADS];
        for _ in 0..THREADS * COUNT {
            let Ok(Some(Message::Text(text))) = server.next_message() else { panic!("a message") };
            let mut words = text.splitn(3, ' ');
            let thread: usize = words.next().and_then(|word| word.parse().ok()).expect("its thread");
            let index: usize = words.next().and_then(|word| word.parse().ok()).expect("its number");
            assert_eq!((index, words.next()), (next[thread], Some(&*json(index))));
            next[thread] += 1;
        }
        senders.into_iter().for_each(|sender| join(sender, LIMIT));
    }
}

#[test]
fn what_is_not_to_be_compressed_is_not() {
    // Hostile input 221.
    let _alone = ALONE.lock();
    let (connection, mut peer) =
        deflating_against_peer(Role::Server, Deflate { threshold: 100, ..TAKEOVER }, options(|_| ()));
    let (_reader, writer) = connection.split();
    let (secret, short) = (json(1), "short");
    writer.uncompressed().send(&secret).expect("open");
    writer.uncompressed().try_send(&secret).expect("open");
    writer.uncompressed().begin().finish(&secret).expect("open");
    writer.send(short).expect("open");
    for expected in [&*secret, &secret, &secret, short] {
        assert_eq!(peer.frame(), text(expected));
    }
    // The compressor knows nothing of them.
    writer.send(&secret).expect("open");
    let mut fresh = Compressor::new(&TAKEOVER, Role::Server);
    let data = fresh.compress(Message::Text(&secret)).as_bytes().to_vec();
    let mut bytes = vec![0; 2 + data.len()];
    std::io::Read::read_exact(&mut peer.stream, &mut bytes).expect("a frame");
    assert_eq!(bytes, [&[0xc1, data.len() as u8], &data[..]].concat());
}

#[test]
fn a_reader_that_comes_back_finds_the_context_that_was_read_ahead_with() {
    let _alone = ALONE.lock();
    for role in ROLES {
        for deflate in [TAKEOVER, NO_TAKEOVER] {
            let (connection, mut peer) = deflating_against_peer(role, deflate, options(|_| ()));
            let (mut reader, writer) = connection.split();
            let mut compressor = Compressor::new(&deflate, role.peer());
            let mut messages = (0..).map(json);
            let mut received = 0;
            for _ in 0..3 {
                // The first is lent while the others come, the last of them in halves.
                let batch: Vec<String> = messages.by_ref().take(4).collect();
                let mut bytes: Vec<Vec<u8>> = Vec::new();
                for message in &batch {
                    bytes.push(compressed(
                        &peer,
                        compressor.compress_fragment(Message::Text(message), raddle_core::Progress::Last),
                    ));
                }
                peer.send_bytes(&bytes[0]);
                assert_eq!(reader.next_message(), Ok(Some(Message::Binary(batch[0].as_bytes()))));
                received += 1;
                let (half, rest) = bytes[3].split_at(bytes[3].len() / 2);
                peer.send_bytes(&[&bytes[1], &bytes[2], half].concat());
                received += 2;
                await_received(&writer, received);
                for message in &batch[1..3] {
                    assert_eq!(reader.next_message(), Ok(Some(Message::Binary(message.as_bytes()))));
                }
                assert_eq!(reader.next_message_within(Duration::ZERO), Ok(Next::Timeout));
                peer.send_bytes(rest);
                assert_eq!(reader.next_message(), Ok(Some(Message::Binary(batch[3].as_bytes()))));
                received += 1;
            }
        }
    }
}

#[test]
fn a_failure_in_what_is_read_ahead_fails_the_connection() {
    let _alone = ALONE.lock();
    let (connection, mut peer) = deflating_against_peer(Role::Server, TAKEOVER, options(|_| ()));
    let (mut reader, _writer) = connection.split();
    peer.send(text("first"));
    assert_eq!(reader.next_message(), Ok(Some(Message::Text("first"))));
    let mut broken = peer.encode(&binary(b"\x06\x00"));
    broken[0] |= 0x40;
    peer.send_bytes(&[&peer.encode(&ping(b"before"))[..], &broken].concat());
    assert_eq!(peer.frame(), pong(b"before"));
    // The reader finds it behind what it has to answer.
    let reading = thread::spawn(move || reader.next_message().map(drop).expect_err("it has failed"));
    assert_eq!(peer.frame().payload[..2], 1007_u16.to_be_bytes());
    drop(peer);
    assert_eq!(join(reading, LIMIT).cause, Cause::Failed(raddle_core::Error::InvalidCompression));
}

#[test]
fn a_pong_does_not_wait_for_what_is_being_compressed() {
    let _alone = ALONE.lock();
    let slow = Deflate { level: 9, ..TAKEOVER };
    let (connection, mut peer) =
        deflating_against_peer(Role::Server, slow, options(|options| options.ping_interval = None));
    let (mut reader, writer) = connection.split();
    let reading = thread::spawn(move || while let Ok(Some(_)) = reader.next_message() {});
    // Some seconds of work for a compressor: half of each byte is known.
    let large: Vec<u8> = pattern(16 << 20, 3).iter().map(|byte| byte & 0x0f).collect();
    let before = census().compressors;
    let sending = thread::spawn(move || writer.send(&large).map(drop));
    eventually("it is being compressed", || census().compressors > before);
    peer.send(ping(b"now"));
    let mut receiver = Receiver::new(Role::Client, large_limits()).with_deflate(Some(slow));
    let received = receive(&mut receiver, &mut peer.stream, 2);
    assert_eq!(received, ["Pong", &format!("{} bytes", 16 << 20)]);
    assert_eq!(join(sending, LIMIT), Ok(()));
    drop(peer);
    join(reading, LIMIT);
}

#[test]
fn a_message_that_finds_another_begun_is_compressed_anew() {
    let _alone = ALONE.lock();
    let slow = Deflate { level: 9, ..TAKEOVER };
    let limits = options(|options| options.limits = large_limits());
    let (mut client, server) = both_ends_deflating(slow, limits, options(|options| options.ping_interval = None));
    let (_reader, writer) = server.split();
    let large: Vec<u8> = pattern(8 << 20, 3).iter().map(|byte| byte & 0x0f).collect();
    let before = census().compressors;
    let (sending, sent) = (writer.clone(), large.clone());
    let sending = thread::spawn(move || sending.send(&sent).map(drop));
    eventually("it is being compressed", || census().compressors > before);
    let uncompressed = writer.uncompressed();
    let mut other = uncompressed.begin();
    other.send("begun ").expect("open");
    // What has compressed it goes, as the peer does not get to know it.
    eventually("it has found the other", || census().compressors == before);
    other.finish("and finished").expect("open");
    assert_eq!(client.next_message(), Ok(Some(Message::Text("begun and finished"))));
    assert!(client.next_message() == Ok(Some(Message::Binary(&large))));
    assert_eq!(join(sending, LIMIT), Ok(()));
}

fn large_limits() -> Limits {
    Limits::default().message(1 << 30)
}

#[test]
fn a_thousand_idle_ends_of_connections_without_context_hold_no_compressor() {
    // Hostile input 215.
    let _alone = ALONE.lock();
    let before = census();
    let connections: Vec<_> = (0..500)
        .map(|index| {
            let (mut client, mut server) = both_ends_deflating(NO_TAKEOVER, options(|_| ()), options(|_| ()));
            for _ in 0..2 {
                client.send(&json(index)).expect("open");
                assert_eq!(server.next_message(), Ok(Some(Message::Text(&json(index)))));
                server.send(&json(index)).expect("open");
                assert_eq!(client.next_message(), Ok(Some(Message::Text(&json(index)))));
            }
            (client, server)
        })
        .collect();
    let now = census();
    // The shared ones, of which each size and level has its own.
    assert!(now.compressors <= before.compressors.max(16) && now.inflaters <= before.inflaters.max(16), "{now:?}");
    drop(connections);
}

#[test]
fn a_compressor_is_made_for_the_first_message_and_given_back_when_it_rests() {
    let _alone = ALONE.lock();
    let often = || options(|options| options.ping_interval = Some(Duration::from_millis(100)));
    let before = census();
    let (client, mut server) = both_ends_deflating(TAKEOVER, often(), often());
    assert_eq!(census(), before);
    client.send(&json(1)).expect("open");
    assert_eq!(census().compressors, before.compressors + 1);
    assert_eq!(server.next_message(), Ok(Some(Message::Text(&json(1)))));
    assert!(census().inflaters <= before.inflaters + 1);
    let reading = thread::spawn(move || {
        // It answers Pings meanwhile.
        let message = server.next_message().map(|message| message.map(|message| message.as_bytes().to_vec()));
        (server, message)
    });
    let (mut reader, writer) = client.split();
    let answering = thread::spawn(move || while let Ok(Some(_)) = reader.next_message() {});
    eventually("the compressor is given back", || census().compressors == before.compressors);
    // The next message does without what it knew.
    writer.send(&json(1)).expect("open");
    let (server, message) = join(reading, LIMIT);
    assert_eq!(message, Ok(Some(json(1).into_bytes())));
    // The end of the connection gives it back, though a handle is left.
    writer.cut(Cause::LocalClose);
    eventually("the compressor is given back", || census().compressors == before.compressors);
    drop(server);
    join(answering, LIMIT);
}

#[test]
fn connections_that_come_and_go_leave_nothing() {
    // Hostile input 215.
    let _alone = ALONE.lock();
    let round = || {
        for deflate in [TAKEOVER, NO_TAKEOVER] {
            let (mut client, mut server) = both_ends_deflating(deflate, options(|_| ()), options(|_| ()));
            client.send(&json(1)).expect("open");
            assert!(server.next_message().expect("open").is_some());
            server.send(&json(1)).expect("open");
            assert!(client.next_message().expect("open").is_some());
        }
    };
    let at_rest = || {
        let mut now = (held(), census());
        eventually("all is given back", || {
            // Longer than the attendant remembers who has gone.
            thread::sleep(Duration::from_millis(400));
            std::mem::replace(&mut now, (held(), census())) == now
        });
        now
    };
    (0..50).for_each(|_| round());
    let (bytes, counted) = at_rest();
    (0..500).for_each(|_| round());
    let (bytes_after, counted_after) = at_rest();
    assert_eq!(counted_after, counted);
    assert!(bytes_after < bytes + 64 * 1024, "{bytes} bytes before, {bytes_after} after");
}

#[test]
fn a_large_message_is_not_kept_by_what_has_compressed_or_inflated_it() {
    // Hostile input 216.
    let _alone = ALONE.lock();
    for deflate in [TAKEOVER, NO_TAKEOVER] {
        let limits = options(|options| options.limits = large_limits());
        let (client, server) = both_ends_deflating(deflate, options(|_| ()), limits);
        let (client_reader, writer) = client.split();
        let (mut reader, _writer) = server.split();
        let (told, tell) = std::sync::mpsc::channel();
        let reading = thread::spawn(move || {
            while let Ok(Some(message)) = reader.next_message() {
                told.send(message.as_bytes().len()).expect("somebody listens");
            }
        });
        let send = |message: &[u8]| {
            writer.send(message).expect("the peer takes it");
            assert_eq!(tell.recv_timeout(LIMIT), Ok(message.len()));
        };
        send(&pattern(1000, 1));
        thread::sleep(Duration::from_millis(500));
        let before = held();
        send(&pattern(16 << 20, 1));
        eventually("the memory is given back", || held() < before + 300 * 1024);
        drop((client_reader, writer));
        join(reading, LIMIT);
    }
}

#[test]
fn a_send_that_cannot_be_carried_out_leaves_the_context_as_it_was() {
    // Hostile input 218.
    let _alone = ALONE.lock();
    let full = options(|options| {
        options.when_full = WhenFull::Fail;
        options.outgoing_limit = 1000;
        options.ping_interval = None;
    });
    let (connection, mut peer) = deflating_against_peer(Role::Server, TAKEOVER, full);
    let (_reader, writer) = connection.split();
    let mut sent = Vec::new();
    // The peer reads nothing, until a message is refused.
    let mut refused = 0;
    for index in 0.. {
        let message = format!("{index} {:?} {}", pattern(2000, index as u64), json(index));
        match writer.send(&message) {
            Ok(_) => sent.push(message),
            Err(error) => {
                assert_eq!(error, SendError::Full);
                refused += 1;
            }
        }
        if refused == 3 {
            break;
        }
    }
    let mut receiver = Receiver::new(Role::Client, large_limits()).with_deflate(Some(TAKEOVER));
    assert_eq!(receive(&mut receiver, &mut peer.stream, sent.len()), sent);
    eventually("there is room again", || writer.queued() == 0);
    writer.send(&json(3)).expect("there is room again");
    assert_eq!(receive(&mut receiver, &mut peer.stream, 1), [json(3)]);
}

#[test]
fn a_send_that_times_out_ends_the_connection() {
    // Hostile input 218.
    let _alone = ALONE.lock();
    let impatient = options(|options| {
        options.write_timeout = Duration::from_millis(50);
        options.min_rate = u64::MAX;
        options.ping_interval = None;
    });
    let (connection, peer) = deflating_against_peer(Role::Server, TAKEOVER, impatient);
    let (reader, writer) = connection.split();
    assert_eq!(writer.send(&pattern(8 << 20, 1)), Err(SendError::Timeout));
    assert_eq!(writer.send(&json(1)), Err(SendError::Closed));
    assert_eq!(writer.begin().finish(&json(1)), Err(SendError::Closed));
    drop((reader, peer));
}

#[test]
fn frames_of_a_peer_that_does_not_keep_to_the_agreement_fail_the_connection() {
    let _alone = ALONE.lock();
    for (deflate, bytes, code) in [
        // A reference to a message that we do not remember.
        (Some(NO_TAKEOVER), &b"\xf2\x00\x11\x00\x00"[..], 1007_u16),
        (None, b"\xf2\x48\xcd\xc9\xc9\x07\x00", 1002),
    ] {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        let connection = match deflate {
            Some(deflate) => deflating(ours, Role::Server, deflate, options(|_| ())),
            None => both(ours),
        };
        let mut peer = Peer::new(theirs, Role::Client);
        let mut frame = peer.encode(&binary(bytes));
        frame[0] |= 0x40;
        let reading = thread::spawn(move || {
            let mut connection = connection;
            connection.next_message().map(drop).is_err()
        });
        peer.send_bytes(&frame);
        let frame = peer.frame();
        assert_eq!((frame.opcode, &frame.payload[..2]), (OpCode::Close, &code.to_be_bytes()[..]));
        drop(peer);
        assert!(join(reading, LIMIT));
    }
}

/// Without an agreement.
fn both(stream: UnixStream) -> Connection {
    let socket = raddle_socket::Socket::unix(stream).expect("a socket");
    Connection::new(socket, Role::Server, b"", options(|_| ())).expect("a connection")
}

#[test]
fn compressed_messages_that_have_come_together_are_given_without_a_read() {
    let _alone = ALONE.lock();
    for deflate in [TAKEOVER, NO_TAKEOVER] {
        let (client, server) = both_ends_deflating(deflate, options(|_| ()), options(|_| ()));
        for index in 0..3 {
            client.send(&json(index)).expect("open");
        }
        let (mut reader, _writer) = server.split();
        assert_eq!(reader.next_message(), Ok(Some(Message::Text(&json(0)))));
        assert_eq!(reader.next_received(), Ok(Some(Message::Text(&json(1)))));
        assert_eq!(reader.last_message(), Some(Message::Text(&json(1))));
        assert_eq!(reader.next_received(), Ok(Some(Message::Text(&json(2)))));
        assert_eq!(reader.next_received(), Ok(None));
    }
}

#[test]
fn what_writes_a_message_fragment_by_fragment_can_be_kept() {
    let _alone = ALONE.lock();
    for deflate in [TAKEOVER, NO_TAKEOVER] {
        let (client, mut server) = both_ends_deflating(deflate, options(|_| ()), options(|_| ()));
        let whole = json(1) + &json(2);
        let mut message = client.writer().begin_owned();
        message.send(&json(1)).expect("open");
        let sending = thread::spawn(move || message.finish(&json(2)));
        assert_eq!(server.next_message(), Ok(Some(Message::Text(&whole))));
        assert!(join(sending, LIMIT).is_ok());
    }
}
