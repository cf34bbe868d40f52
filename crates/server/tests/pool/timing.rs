//! Time: what is counted, and what is not while a worker has other things to do.

use std::thread;
use std::time::Duration;

use raddle_core::OpCode;
use raddle_server::{Cause, Message};

use crate::common::*;
use crate::recorder::{At, Note, answer, facts, listen, recorded};

#[test]
fn each_message_has_its_own_time() {
    // Every read ends amid a message, and none of them takes long.
    let host = recorded(
        |builder| builder.with_options(|options| options.message_timeout = Duration::from_millis(400)),
        listen,
    );
    let mut client = connect(&host.server);
    let message = client.encode(&text("Hello"));
    let (start, rest) = message.split_at(8);
    client.send_bytes(start);
    for _ in 0..20 {
        thread::sleep(Duration::from_millis(100));
        client.send_bytes(&[rest, start].concat());
    }
    client.send_bytes(rest);
    say_goodbye(client);
    let (messages, end) = host.log.story();
    assert_eq!((messages.len(), end.cause), (21, Cause::PeerClose));
    host.finish();
}

#[test]
fn a_message_that_never_ends_is_given_up() {
    // Hostile inputs 147 and 241.
    let host = recorded(
        |builder| builder.with_options(|options| options.message_timeout = Duration::from_millis(300)),
        listen,
    );
    for start in [&b"\x81"[..], b"\x81\x85\0\0\0\0Hell", b"\x01\x80\0\0\0\0"] {
        let mut client = connect(&host.server);
        client.send_bytes(start);
        assert_eq!(client.frame().payload[..2], 1008_u16.to_be_bytes());
        client.expect_end();
        drop(client);
    }
    eventually("all were cut", || host.server.metrics().ended.get(&Cause::MessageTimeout) == Some(&3));
    host.finish();
}

#[test]
fn a_message_that_is_held_back_is_not_late() {
    let host = recorded(
        |builder| {
            builder.with_options(|options| {
                options.message_timeout = Duration::from_millis(300);
                options.outgoing_limit = 100_000;
            })
        },
        |writer, at| {
            if let At::Message(Message::Text("much")) = at {
                for _ in 0..200 {
                    writer.send(&[0x5a; 100_000])?;
                }
            }
            Ok(())
        },
    );
    let mut client = connect(&host.server);
    // It is waited for.
    client.send(fragment(OpCode::Text, b"mu"));
    thread::sleep(Duration::from_millis(50));
    let mut bytes = client.encode(&last_fragment(b"ch"));
    // The next one has begun when the first is answered, and its end is in the socket.
    bytes.extend(client.encode(&fragment(OpCode::Text, b"Hel")));
    client.send_bytes(&bytes);
    eventually("the answer waits", || host.server.metrics().queued_bytes > 100_000);
    client.send(last_fragment(b"lo"));
    thread::sleep(Duration::from_millis(1200));
    for _ in 0..200 {
        assert_eq!(client.frame().payload.len(), 100_000);
    }
    say_goodbye(client);
    let (messages, end) = host.log.story();
    assert_eq!((messages, end.cause), (vec![b"much".to_vec(), b"Hello".to_vec()], Cause::PeerClose));
    host.finish();
}

#[test]
fn a_peer_that_is_silent_is_cut_and_one_that_answers_lives() {
    // Hostile inputs 158, 242 and 243: it is silent, and comes back when it was given up.
    let host = recorded(
        |builder| {
            builder.with_options(|options| {
                options.ping_interval = Some(Duration::from_millis(100));
                options.ping_timeout = Duration::from_millis(300);
            })
        },
        answer,
    );
    let mut silent = connect(&host.server);
    let mut living = connect(&host.server);
    let start = std::time::Instant::now();
    while start.elapsed() < Duration::from_millis(1200) {
        let asked = living.frame();
        assert_eq!(asked.opcode, OpCode::Ping);
        living.send(pong(&asked.payload));
    }
    eventually("the silent one is cut", || host.server.metrics().ended.get(&Cause::KeepaliveTimeout) == Some(&1));
    assert_eq!(host.server.connections().len(), 1);
    // What it says now is answered by a reset, and told to nobody.
    let late = silent.encode(&text("late"));
    eventually("it is told", || std::io::Write::write_all(&mut silent.stream, &late).is_err());
    let messages = host.log.all().into_iter().flatten().filter(|note| matches!(note, Note::Message(_)));
    assert_eq!(messages.count(), 0);
    drop((silent, living));
    host.finish();
}

#[test]
fn a_worker_that_computes_cuts_nobody_whose_bytes_wait() {
    // Hostile input 234: all connections of the worker wait, and none is lost.
    let host = recorded(
        |builder| {
            builder.with_options(|options| {
                options.ping_interval = Some(Duration::from_millis(100));
                options.ping_timeout = Duration::from_millis(200);
            })
        },
        |writer, at| {
            match at {
                At::Message(Message::Text("compute")) => thread::sleep(Duration::from_millis(1500)),
                _ => answer(writer, at)?,
            }
            Ok(())
        },
    );
    let mut computing = connect(&host.server);
    let mut others: Vec<_> = (0..3).map(|_| connect(&host.server)).collect();
    eventually("all are with the worker", || host.log.all().len() == 4);
    computing.send(text("compute"));
    host.log.wait_for_messages(1);
    for client in &mut others {
        client.send(text("it waits"));
    }
    computing.send(text("mine too"));
    for client in others.iter_mut().chain([&mut computing]) {
        let mut frame = client.frame();
        while frame.opcode == OpCode::Ping {
            client.send(pong(&frame.payload));
            frame = client.frame();
        }
        assert_eq!(frame.opcode, OpCode::Text);
    }
    assert_eq!(host.server.connections().len(), 4);
    drop((computing, others));
    host.finish();
}

#[test]
fn a_peer_that_takes_nothing_is_cut() {
    // Hostile inputs 227 and 244.
    let host = recorded(
        |builder| {
            builder.with_options(|options| {
                options.write_timeout = Duration::from_millis(500);
                options.min_rate = u64::MAX;
                options.outgoing_limit = 100_000;
            })
        },
        answer,
    );
    let mut stuck = connect(&host.server);
    stuck.stream.set_write_timeout(Some(LIMIT)).expect("a socket");
    let message = stuck.encode(&binary(&[0; 100_000]));
    while std::io::Write::write_all(&mut stuck.stream, &message).is_ok() {}
    let (_, end) = host.log.story();
    assert_eq!(facts(&end), (Cause::WriteTimeout, None, None));
    host.finish();
}
