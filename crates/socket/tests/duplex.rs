//! Both directions at once: neither waits for the other, and threads that send at the same time never mix.

mod common;

use std::collections::HashMap;
use std::thread;
use std::time::Duration;

use common::*;
use raddle_core::OpCode;
use raddle_socket::{Close, CloseCode, Connection, Message, Role, SendStatus};

const MIB: usize = 1 << 20;

#[test]
fn two_sides_that_both_send_64_mib_before_they_read_do_not_lock_up() {
    // Hostile input 228: a sender that waits for room reads ahead meanwhile.
    let roomy = || options(|options| options.limits = large(64 * MIB as u64));
    let (client, server) = both_ends(roomy(), roomy());
    let exchange = |mut connection: Connection, seed: u64| {
        move || {
            let sent = pattern(16 * MIB, seed);
            for _ in 0..4 {
                connection.send(&sent).expect("the peer takes it");
            }
            let expected = pattern(16 * MIB, 3 - seed);
            for number in 0..4 {
                let received = connection.next_message().expect("the connection is open");
                assert!(received == Some(Message::Binary(&expected)), "message {number} is not what was sent");
            }
            connection
        }
    };
    let client = thread::spawn(exchange(client, 1));
    let server = thread::spawn(exchange(server, 2));
    let _both = (join(client, LIMIT), join(server, LIMIT));
}

#[test]
fn with_a_reader_on_each_side_any_amount_passes_both_ways() {
    let (client, server) = both_ends(options(|_| ()), options(|_| ()));
    let mut threads = Vec::new();
    for (connection, seed) in [(client, 1), (server, 2)] {
        let (mut reader, writer) = connection.split();
        threads.push(thread::spawn(move || {
            let sent = pattern(MIB, seed);
            for _ in 0..64 {
                writer.send(&sent).expect("the peer takes it");
            }
        }));
        threads.push(thread::spawn(move || {
            let expected = pattern(MIB, 3 - seed);
            for number in 0..64 {
                let received = reader.next_message().expect("the connection is open");
                assert!(received == Some(Message::Binary(&expected)), "message {number} is not what was sent");
            }
        }));
    }
    threads.into_iter().for_each(|thread| join(thread, LIMIT));
}

/// Who hears the Ping that comes while a large message is being sent.
#[derive(Clone, Copy, Debug)]
enum Listener {
    /// Another thread, which waits for messages.
    Reader,
    /// Nobody but the sending thread itself.
    Sender,
}

/// Has a message of 8 MiB sent in fragments of `fragment_size`, and a Ping arrive amid it. Gives the frames that come.
fn ping_amid_a_large_message(listener: Listener, fragment_size: usize) -> Vec<Frame> {
    let (connection, mut peer, seen) =
        against_peer_observed(Role::Server, options(|options| options.fragment_size = fragment_size));
    let (mut reader, writer) = connection.split();
    let watcher = writer.clone();
    let reading = match listener {
        Listener::Reader => Some(thread::spawn(move || reader.next_message().map(|_| ()))),
        Listener::Sender => None,
    };
    let sending = thread::spawn(move || writer.send(&pattern(8 * MIB, 1)));
    eventually("the message is on its way", || !seen.writes().is_empty());
    peer.send(ping(b"amid"));
    // The peer reads nothing yet, so there is more of the message to be written, wherever the answer is by now: in the output, in what
    // the sending thread has taken from there, or in the socket.
    eventually("the Ping is heard", || watcher.traffic().received_bytes > 0);
    let mut frames = Vec::new();
    while frames.iter().filter(|frame: &&Frame| !frame.opcode.is_control()).all(|frame| !frame.fin)
        || !frames.contains(&pong(b"amid"))
    {
        frames.push(peer.frame());
    }
    join(sending, LIMIT).expect("the peer takes it");
    drop(peer);
    if let Some(reading) = reading {
        let _ = join(reading, LIMIT);
    }
    frames
}

#[test]
fn a_pong_leaves_between_the_fragments_of_a_large_message() {
    for listener in [Listener::Reader, Listener::Sender] {
        let frames = ping_amid_a_large_message(listener, 64 * 1024);
        let place = frames.iter().position(|frame| *frame == pong(b"amid")).expect("it has come");
        assert!(place < frames.len() - 1, "the Pong waits for the end of the message ({listener:?})");
        let payload: Vec<u8> = frames
            .iter()
            .filter(|frame| frame.opcode != OpCode::Pong)
            .flat_map(|frame| frame.payload.clone())
            .collect();
        assert!(payload == pattern(8 * MIB, 1), "the Pong is inside a fragment ({listener:?})");
    }
}

#[test]
fn a_pong_leaves_behind_a_large_frame_and_not_inside_it() {
    for listener in [Listener::Reader, Listener::Sender] {
        let frames = ping_amid_a_large_message(listener, usize::MAX);
        assert!(frames == [binary(&pattern(8 * MIB, 1)), pong(b"amid")], "{listener:?}: {frames:?}");
    }
}

#[test]
fn messages_of_several_threads_never_mix_and_each_thread_keeps_its_order() {
    const THREADS: u64 = 8;
    const MESSAGES: u64 = 150;
    // Some of a few bytes, some that are written from where they are, some in fragments.
    let length = |number: u64| [20, 300, 9_000, 40_000, 100_000][number as usize % 5];
    let fragments = || options(|options| options.fragment_size = 32 * 1024);
    let (sending, mut receiving) = both_ends(fragments(), fragments());
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let writer = sending.writer();
            thread::spawn(move || {
                for number in 0..MESSAGES {
                    let mut message = pattern(length(number), thread << 32 | number);
                    message[0] = thread as u8;
                    writer.send(&message).expect("the peer takes it");
                    if number % 10 == 0 {
                        writer.ping(&number.to_be_bytes()).expect("the connection is open");
                    }
                }
            })
        })
        .collect();
    let receiving = thread::spawn(move || {
        let mut next = HashMap::<u8, u64>::new();
        for _ in 0..THREADS * MESSAGES {
            let message = receiving.next_message().expect("valid frames").expect("the connection is open");
            let thread = message.as_bytes()[0];
            let number = next.entry(thread).or_default();
            let mut expected = pattern(length(*number), u64::from(thread) << 32 | *number);
            expected[0] = thread;
            assert!(message == Message::Binary(&expected), "message {number} of thread {thread} is damaged");
            *number += 1;
        }
        receiving
    });
    threads.into_iter().for_each(|thread| join(thread, LIMIT));
    drop(join(receiving, LIMIT));
}

#[test]
fn what_is_sent_while_another_thread_writes_leaves_behind_it() {
    let (connection, mut peer, seen) = against_peer_observed(Role::Server, options(|_| ()));
    let (mut reader, writer) = connection.split();
    let reading = thread::spawn(move || reader.next_message().map(|_| ()));
    let late = [text("late"), ping(b"late"), pong(b"asked"), close(1000, "")];
    for late in late {
        // It is left to a thread that has begun to write and is about to be done.
        seen.hold();
        let sending = thread::spawn({
            let writer = writer.clone();
            move || writer.send("first")
        });
        seen.wait_for_held();
        match late.opcode {
            OpCode::Ping => writer.ping(b"late").expect("open"),
            OpCode::Close => writer.close(Close::code(CloseCode::NORMAL)).expect("open"),
            OpCode::Pong => {
                let before = writer.traffic().received_bytes;
                peer.send(ping(b"asked"));
                eventually("the Ping is heard", || writer.traffic().received_bytes > before);
                thread::sleep(Duration::from_millis(20));
            }
            _ => assert_eq!(writer.send("late"), Ok(SendStatus::Queued)),
        }
        seen.release();
        assert_eq!(peer.frame(), text("first"));
        assert_eq!(peer.frame_within(Duration::from_secs(2)), Some(late));
        join(sending, LIMIT).expect("open");
    }
    drop(peer);
    let _ = join(reading, LIMIT);
}
