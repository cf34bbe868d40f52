//! One connection in the hands of many threads, which send, receive, ask, close and let go of it at the same time.

mod common;

use std::collections::HashMap;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use common::*;
use parking_lot::Mutex;
use raddle_core::OpCode;
use raddle_socket::{
    Cause, Close, CloseCode, Connection, End, Message, Opening, Role, SendError, Socket, State, Traffic, Writer,
};

const MIB: usize = 1 << 20;

#[test]
fn each_message_of_many_threads_is_delivered_whole_or_reported_as_failed() {
    // Hostile input 273, scaled down: 8 threads send, one receives, one closes, one pings, one asks for the state.
    for round in 0..20_u64 {
        let (connection, mut peer) = both_ends(options(|_| ()), options(|options| options.fragment_size = 20_000));
        let (mut reader, writer) = connection.split();
        let sending: Vec<_> = (0..8)
            .map(|thread| {
                let writer = writer.clone();
                thread::spawn(move || send_until_closed(&writer, thread))
            })
            .collect();
        let of_closer = writer.clone();
        let closing = thread::spawn(move || {
            thread::sleep(Duration::from_millis(5 + round));
            of_closer.close(Close::code(CloseCode::NORMAL))
        });
        let of_pinger = writer.clone();
        let pinging = thread::spawn(move || while of_pinger.ping(b"now").is_ok() {});
        let asking = thread::spawn(move || {
            while writer.state() != State::Closed {
                assert!(writer.queued() <= 3 * MIB);
                let traffic = writer.traffic();
                assert!(writer.traffic().sent_messages >= traffic.sent_messages);
            }
        });
        let receiving = thread::spawn(move || while let Ok(Some(_)) = reader.next_message() {});

        let mut delivered = HashMap::<u8, u32>::new();
        while let Some(message) = peer.next_message().expect("valid frames, and a Close at their end") {
            let bytes = message.as_bytes();
            let number = delivered.entry(bytes[0]).or_default();
            assert!(bytes == message_of(bytes[0], *number), "message {number} of thread {} is damaged", bytes[0]);
            *number += 1;
        }
        drop(peer);
        for (thread, sending) in (0..).zip(sending) {
            let sent = join(sending, LIMIT);
            assert_eq!(delivered.get(&thread).copied().unwrap_or_default(), sent, "of thread {thread}, round {round}");
        }
        assert_eq!(join(closing, LIMIT), Ok(()));
        [pinging, asking, receiving].into_iter().for_each(|thread| join(thread, LIMIT));
    }
}

/// Gives the number of messages that were sent.
fn send_until_closed(writer: &Writer, thread: u8) -> u32 {
    for number in 0.. {
        match writer.send(&message_of(thread, number)) {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error, SendError::Closed);
                return number;
            }
        }
    }
    unreachable!("it is closed before")
}

/// Some of a few bytes, some that are written from where they are, some in fragments.
fn message_of(thread: u8, number: u32) -> Vec<u8> {
    let length = [20, 300, 9_000, 50_000][number as usize % 4];
    let mut message = pattern(length, u64::from(number));
    message[0] = thread;
    message
}

/// A connection whose end is told to the list.
fn told(role: Role) -> (Connection, Peer<UnixStream>, Arc<Mutex<Vec<Cause>>>) {
    let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    let ends = Arc::<Mutex<Vec<_>>>::default();
    let mut opening = Opening::new(role, options(|_| ()));
    opening.on_end = Some(Box::new({
        let ends = Arc::clone(&ends);
        move |end: End, _: Traffic| ends.lock().push(end.cause)
    }));
    let connection = Connection::open(Socket::unix(ours).expect("a socket"), opening).expect("a connection");
    let peer = if role == Role::Server { Role::Client } else { Role::Server };
    (connection, Peer::new(theirs, peer), ends)
}

#[test]
fn a_thread_inside_a_call_keeps_the_connection_though_all_others_let_go_of_it() {
    // Hostile input 275.
    for role in ROLES {
        // Inside a send, which the peer takes its time with.
        let (connection, mut peer, ends) = told(role);
        let (reader, writer) = connection.split();
        let message = pattern(MIB, 1);
        let sending = thread::spawn({
            let (writer, message) = (writer.clone(), message.clone());
            move || writer.send(&message).map(drop)
        });
        thread::sleep(Duration::from_millis(50));
        drop((reader, writer));
        assert!(!sending.is_finished() && ends.lock().is_empty());
        assert!(peer.frame() == binary(&message));
        assert_eq!(join(sending, LIMIT), Ok(()));
        assert_eq!(peer.frame(), close(1001, ""));
        peer.expect_end();
        eventually("its end is told", || *ends.lock() == [Cause::Dropped]);

        // Inside a receive.
        let (connection, mut peer, ends) = told(role);
        let (mut reader, writer) = connection.split();
        let receiving = thread::spawn(move || {
            let message = reader.next_message().map(|message| message == Some(Message::Text("for whoever is left")));
            message.map_err(|end| end.cause)
        });
        thread::sleep(Duration::from_millis(50));
        drop(writer);
        assert!(!receiving.is_finished() && ends.lock().is_empty());
        peer.send(text("for whoever is left"));
        assert_eq!(join(receiving, LIMIT), Ok(true));
        assert_eq!(peer.frame().opcode, OpCode::Close);
        eventually("its end is told", || *ends.lock() == [Cause::Dropped]);
    }
}
