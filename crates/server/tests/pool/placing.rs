//! Which worker has which connection, and how connections come to be with it.

use std::collections::HashMap;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, ThreadId};
use std::time::Duration;

use parking_lot::Mutex;
use raddle_core::Role;
use raddle_server::{Info, Message};

use crate::common::*;
use crate::recorder::{At, Note, answer, recorded};

#[test]
fn connections_are_spread_over_the_workers_and_stay_there() {
    let places = Arc::<Mutex<HashMap<u64, ThreadId>>>::default();
    let noted = Arc::clone(&places);
    let host = recorded(
        |builder| builder.workers(4),
        move |writer, at| {
            let here = thread::current().id();
            let place = *noted.lock().entry(writer.info().id).or_insert(here);
            assert_eq!(place, here, "a call from another thread");
            if let At::Close = at {
                noted.lock().remove(&writer.info().id);
            }
            answer(writer, at)
        },
    );
    let count = || {
        let mut counts = HashMap::<ThreadId, usize>::new();
        places.lock().values().for_each(|place| *counts.entry(*place).or_default() += 1);
        let mut counts: Vec<_> = counts.into_values().collect();
        counts.sort_unstable();
        counts
    };
    let mut clients: Vec<_> = (0..40).map(|_| connect(&host.server)).collect();
    clients.iter_mut().for_each(assert_echo);
    assert_eq!(count(), [10; 4]);
    // Requests that are refused leave no trace in the count, and those that have left make room.
    for client in clients.drain(..20) {
        say_goodbye(client);
    }
    eventually("they have left", || host.server.connections().len() == 20 && places.lock().len() == 20);
    clients.extend((0..20).map(|_| connect(&host.server)));
    clients.iter_mut().for_each(assert_echo);
    assert_eq!(count(), [10; 4]);
    clients.into_iter().for_each(say_goodbye);
    host.finish();
}

#[test]
fn a_connection_that_something_else_has_upgraded_is_served() {
    let host = recorded(|builder| builder, answer);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let stream = TcpStream::connect(listener.local_addr().expect("it listens")).expect("it listens");
    let (ours, _) = listener.accept().expect("a client");
    let mut client = Peer::new(stream, Role::Client);
    // One message and the half of another were read with the request.
    let early = [client.encode(&text("early")), client.encode(&text("and late"))].concat();
    let (received, rest) = early.split_at(early.len() - 4);
    let id = host.server.adopt(ours, received, Info::default()).expect("there is a place");
    assert_eq!(client.frame(), text("early"));
    client.send_bytes(rest);
    assert_eq!(client.frame(), text("and late"));
    assert!(host.server.connection(id).is_some());
    assert_echo(&mut client);
    say_goodbye(client);
    host.log.story();
    host.finish();
}

#[test]
fn what_comes_with_the_request_is_heard_whatever_it_is() {
    // Hostile input 82: whole frames, a torn one, a Close, what breaks a rule, and nothing of it before the decision.
    let cases: [(&[Frame], usize, u16); 4] = [
        (&[text("one"), text("two"), close(1000, "")], 2, 1000),
        (&[text("one"), empty_close()], 1, 0),
        (&[text("one"), Frame { fin: true, opcode: raddle_core::OpCode::Ping, payload: vec![0; 126] }], 1, 1002),
        (&[], 0, 0),
    ];
    for (number, (frames, messages, code)) in cases.into_iter().enumerate() {
        let host = recorded(
            |builder| {
                builder.on_request(|request| {
                    thread::spawn(move || {
                        // From another thread, and later: the attendant may have looked at the connection before the worker.
                        thread::sleep(Duration::from_millis(20));
                        request.accept()
                    });
                })
            },
            answer,
        );
        let mut asking = Asking::silently(host.server.local_addr());
        let script = Peer::new(asking.stream.try_clone().expect("a descriptor"), Role::Client);
        let mut bytes = OFFER.encode().expect("valid");
        bytes.extend(frames.iter().flat_map(|frame| script.encode(frame)));
        asking.say(&bytes);
        let (mut client, _) = asking.accepted();
        for frame in &frames[..messages] {
            assert_eq!(client.frame(), *frame, "case {number}");
        }
        if frames.is_empty() {
            assert_echo(&mut client);
            say_goodbye(client);
        } else {
            let frame = client.frame();
            let said = frame.payload.first_chunk().map_or(0, |code| u16::from_be_bytes(*code));
            assert_eq!((frame.opcode, said), (raddle_core::OpCode::Close, code), "case {number}");
            client.expect_end();
            drop(client);
        }
        drop(script);
        host.log.story();
        host.finish();
    }
}

#[test]
fn a_connection_that_waits_for_a_busy_worker_is_served_in_order() {
    // Longer than the attendant lets a reader be away. A few messages and many; nothing behind them, a Close, what breaks a rule.
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = Mutex::new(held);
    let host = recorded(
        |builder| builder,
        move |writer, at| {
            if let At::Message(Message::Text("hold")) = at {
                held.lock().recv()?;
            }
            answer(writer, at)
        },
    );
    let mut holding = connect(&host.server);
    let adopted = TcpListener::bind("127.0.0.1:0").expect("a port");
    let cases: [(u32, &[u8], Option<u16>); 5] = [
        (40, b"", None),
        (40, b"\x88\x82\0\0\0\0\x03\xe8", Some(1000)),
        (2, b"", None),
        (2, b"\x88\x82\0\0\0\0\x03\xe8", Some(1000)),
        (2, b"\x83\x80\0\0\0\0", Some(1002)),
    ];
    for (number, (count, last_word, code)) in cases.into_iter().enumerate() {
        holding.send(text("hold"));
        eventually("it is held", || {
            let holds = |note: &&Note| **note == Note::Message(b"hold".to_vec());
            host.log.all().iter().flatten().filter(holds).count() == number + 1
        });
        let stream = TcpStream::connect(adopted.local_addr().expect("it listens")).expect("it listens");
        let (ours, _) = adopted.accept().expect("a client");
        host.server.adopt(ours, b"", Info::default()).expect("there is a place");
        let mut client = Peer::new(stream, Role::Client);
        let messages: Vec<_> = (0..count).map(|number| text(&number.to_string())).collect();
        client.send_all(&messages);
        client.send(ping(b"there?"));
        client.send_bytes(last_word);
        thread::sleep(Duration::from_millis(400));
        release.send(()).expect("it waits");
        for message in messages {
            assert_eq!(client.frame(), message, "case {number}");
        }
        assert_eq!(client.frame(), pong(b"there?"), "case {number}");
        match code {
            None => assert_echo(&mut client),
            Some(code) => {
                assert_eq!(client.frame().payload[..2], code.to_be_bytes(), "case {number}");
                client.expect_end();
            }
        }
        assert_eq!(holding.frame(), text("hold"));
    }
    drop(holding);
    host.finish();
}

#[test]
fn of_two_that_cut_each_other_one_is_heard() {
    // Hostile input 265: both have input in one batch of events, and the second is of a connection that has ended.
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = Mutex::new(held);
    let writers = Mutex::new(Vec::<raddle_server::Writer>::new());
    let host = recorded(
        |builder| builder,
        move |writer, at| {
            match at {
                At::Open => writers.lock().push(writer.clone()),
                At::Message(Message::Text("hold")) => held.lock().recv()?,
                At::Message(_) => {
                    // Not the one that holds, which came first.
                    for other in writers.lock().drain(..).skip(1).filter(|other| other.info().id != writer.info().id) {
                        other.cut(raddle_server::Cause::Replaced);
                    }
                }
                _ => {}
            }
            Ok(())
        },
    );
    let mut clients: Vec<_> = (0..3).map(|_| connect(&host.server)).collect();
    eventually("all are with the worker", || host.log.all().len() == 3);
    clients[0].send(text("hold"));
    host.log.wait_for_messages(1);
    clients[1].send(text("cut"));
    clients[2].send(text("cut"));
    thread::sleep(Duration::from_millis(20));
    release.send(()).expect("it waits");
    eventually("one is cut", || host.server.metrics().ended.get(&raddle_server::Cause::Replaced) == Some(&1));
    // Its berth, and its descriptor, are taken by the next, which hears nothing of it.
    let mut next = connect(&host.server);
    next.send(text("next"));
    host.log.wait_for_messages(3);
    let cuts = |note: &&Note| **note == Note::Message(b"cut".to_vec());
    assert_eq!(host.log.all().iter().flatten().filter(cuts).count(), 1);
    drop((clients, next));
    host.finish();
}
