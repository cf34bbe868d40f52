//! The registry: what it tells of each connection, and that an id never names another one.

mod common;

use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, SystemTime};

use common::*;
use parking_lot::Mutex;
use raddle_core::OpCode;
use raddle_core::handshake::Offer;
use raddle_server::{Cause, Close, CloseCode, ConnectionId, Phase, SendError, Server, Snapshot};

/// The one connection of the server.
#[track_caller]
fn only(server: &Server) -> Snapshot {
    let connections = server.connections();
    let [connection] = connections.try_into().unwrap_or_else(|all| panic!("{all:?}"));
    connection
}

#[test]
fn a_connection_is_known_from_its_first_moment_to_its_last() {
    let (leave, requests) = mpsc::channel();
    let leave = Mutex::new(leave);
    let server =
        echoing(|builder| builder.subprotocol("chat").on_request(move |request| drop(leave.lock().send(request))));
    assert!(server.connections().is_empty());
    let before = SystemTime::now();
    let offer = Offer { target: "/room?name=x", subprotocols: &["chat"], ..OFFER };
    let mut asking = Asking::silently(server.local_addr());
    let address = asking.stream.local_addr().expect("connected");
    let bytes = offer.encode().expect("valid");
    asking.say(&bytes[..20]);
    eventually("it is known", || server.connections().len() == 1);
    let connecting = only(&server);
    assert_eq!((connecting.phase, connecting.peer), (Phase::Connecting, Some(address)));
    assert!(connecting.info.is_none() && connecting.round_trip.is_none());
    assert!(server.connection(connecting.id).is_none(), "there is nothing to write to yet");

    // Its request is complete, and undecided.
    asking.say(&bytes[20..]);
    let request: raddle_server::Request = requests.recv_timeout(LIMIT).expect("a request");
    assert_eq!(only(&server).phase, Phase::Connecting);
    request.accept().expect("it is in time");
    eventually("it is open", || only(&server).phase == Phase::Open);
    let open = only(&server);
    let info = open.info.expect("open");
    assert_eq!((open.id, info.id, info.peer), (connecting.id, connecting.id.get(), Some(address)));
    assert_eq!((info.target.as_ref(), info.subprotocol.as_deref()), ("/room?name=x", Some("chat")));
    assert!(info.since >= before && info.since <= SystemTime::now());

    let writer = server.connection(open.id).expect("it is open");
    writer.close(Close::code(CloseCode(4000))).expect("open");
    assert_eq!(only(&server).phase, Phase::Closing);
    drop(asking);
    eventually("it has left", || server.connections().is_empty());
    assert_eq!(writer.send("too late"), Err(SendError::Closed));
    assert!(server.connection(open.id).is_none());
    finish(&server);
}

#[test]
fn a_client_that_has_its_101_is_open_for_all() {
    for round in 0..300 {
        let server = echoing(|builder| builder);
        let clients: Vec<_> = (0..4).map(|_| connect(&server)).collect();
        let (connections, metrics) = (server.connections(), server.metrics());
        let phases: Vec<_> = connections.iter().map(|connection| connection.phase).collect();
        assert_eq!((phases, metrics.opened), (vec![Phase::Open; 4], 4), "round {round}");
        assert!(connections.iter().all(|connection| server.connection(connection.id).is_some()), "round {round}");
        drop(clients);
        finish(&server);
    }
}

#[test]
fn traffic_is_told_while_it_passes_and_afterwards() {
    let server = echoing(|builder| builder);
    let mut client = connect(&server);
    for _ in 0..10 {
        assert_echo(&mut client);
    }
    // A header of 2 bytes, and a client's masking key of 4.
    let expected = |length: u64| length + 10 * 2;
    let traffic = only(&server).traffic;
    assert_eq!((traffic.received_messages, traffic.received_bytes), (10, expected(40) + 40));
    assert_eq!(traffic.sent_messages, 10);
    // The last write is counted just after the client has it.
    eventually("all is counted", || only(&server).traffic.sent_bytes == expected(40));
    say_goodbye(client);
    eventually("it has left", || server.connections().is_empty());
    let metrics = server.metrics();
    assert_eq!((metrics.traffic.received_messages, metrics.traffic.sent_messages), (10, 10));
    assert_eq!((metrics.accepted, metrics.opened), (1, 1));
    assert_eq!(metrics.ended.get(&Cause::PeerClose), Some(&1), "{:?}", metrics.ended);
    finish(&server);
}

#[test]
fn the_round_trip_is_known_once_keepalive_has_measured_it() {
    let server =
        echoing(|builder| builder.with_options(|options| options.ping_interval = Some(Duration::from_millis(50))));
    let mut client = connect(&server);
    assert_eq!(only(&server).round_trip, None);
    let asked = client.frame();
    client.send(pong(&asked.payload));
    eventually("it is known", || only(&server).round_trip.is_some());
    drop(client);
    finish(&server);
}

#[test]
fn an_id_is_never_given_again() {
    // Hostile input 287.
    let server = echoing(|builder| builder);
    let mut ids = HashSet::new();
    let mut writers = Vec::new();
    for _ in 0..200 {
        let mut client = connect(&server);
        assert_echo(&mut client);
        let id = only(&server).id;
        assert!(ids.insert(id), "{id} was given before");
        writers.push(server.connection(id).expect("it is open"));
        drop(client);
        eventually("it has left", || server.connections().is_empty());
    }
    let mut present = connect(&server);
    assert_echo(&mut present);
    for id in ids {
        assert!(server.connection(id).is_none(), "{id} names another connection");
    }
    // A handle of one that has ended is of no other either.
    for writer in writers {
        assert_eq!(writer.send("to the wrong one"), Err(SendError::Closed));
        writer.cut(Cause::Dropped);
    }
    assert_echo(&mut present);
    // Numbers that were never given name nothing.
    for number in [0, 1, u64::MAX, u64::from(u32::MAX), 1 << 32 | 999] {
        assert!(server.connection(ConnectionId::from(number)).is_none(), "{number}");
    }
    drop(present);
    finish(&server);
}

#[test]
fn any_thread_can_write_to_a_connection_by_its_id() {
    let server = echoing(|builder| builder);
    let mut clients: Vec<_> = (0..10).map(|_| connect(&server)).collect();
    clients.iter_mut().for_each(assert_echo);
    let broadcasting = thread::spawn({
        let server = server.clone();
        move || {
            for connection in server.connections() {
                let writer = server.connection(connection.id).expect("it is open");
                writer.send(&connection.id.to_string()).expect("open");
            }
        }
    });
    let mut heard = HashSet::new();
    for client in &mut clients {
        assert!(heard.insert(client.frame().payload), "each has its own id");
    }
    join(broadcasting, LIMIT);
    drop(clients);
    finish(&server);
}

#[test]
fn connections_that_come_and_go_are_told_one_at_a_time_or_not_at_all() {
    let server = echoing(|builder| builder);
    let coming: Vec<_> = (0..4)
        .map(|_| {
            let server = server.clone();
            thread::spawn(move || {
                for number in 0..40 {
                    let mut client = connect(&server);
                    assert_echo(&mut client);
                    if number % 2 == 0 {
                        say_goodbye(client);
                    }
                }
            })
        })
        .collect();
    while coming.iter().any(|thread| !thread.is_finished()) {
        let connections = server.connections();
        let ids: HashSet<_> = connections.iter().map(|connection| connection.id).collect();
        assert_eq!(ids.len(), connections.len(), "{connections:?}");
        for connection in connections {
            assert_eq!(connection.info.is_none(), connection.phase == Phase::Connecting, "{connection:?}");
        }
        assert!(server.metrics().connections <= 8);
    }
    coming.into_iter().for_each(|thread| join(thread, LIMIT));
    eventually("all have left", || server.connections().is_empty());
    finish(&server);
}

#[test]
fn whoever_comes_and_goes_hears_each_broadcast_of_its_time_once_and_in_order() {
    // Hostile input 286, as an application does it, by the registry.
    let server = echoing(|builder| builder);
    whoever_comes_and_goes_hears_each(&server, |server, message| {
        for connection in server.connections() {
            if let Some(writer) = server.connection(connection.id) {
                // It may be leaving.
                let _ = writer.send(message);
            }
        }
    });
    finish(&server);
}

#[test]
fn whoever_comes_and_goes_hears_each_message_to_all_once_and_in_order() {
    // Hostile input 286, by the library's broadcast.
    let server = echoing(|builder| builder);
    whoever_comes_and_goes_hears_each(&server, |server, message| {
        server.broadcast(message, None);
    });
    finish(&server);
}

/// Has `tell` tell one number after the other to all, while clients come, listen for a while and go.
fn whoever_comes_and_goes_hears_each(server: &Server, tell: fn(&Server, &str)) {
    let (begun, done) = (Arc::<AtomicU32>::default(), Arc::<AtomicU32>::default());
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (server, begun, done) = (server.clone(), Arc::clone(&begun), Arc::clone(&done));
            thread::spawn(move || {
                for round in 0..25_usize {
                    come_listen_and_go(&server, 1 + round % 7, &begun, &done);
                }
            })
        })
        .collect();
    let mut number = 0;
    while clients.iter().any(|thread| !thread.is_finished()) {
        number += 1;
        begun.store(number, Ordering::SeqCst);
        tell(server, &number.to_string());
        done.store(number, Ordering::SeqCst);
        // So that those who listen keep up.
        thread::sleep(Duration::from_micros(100));
    }
    clients.into_iter().for_each(|thread| join(thread, LIMIT));
    eventually("all have left", || server.connections().is_empty());
}

/// Hears so many numbers and what else comes before the server's Close: all that were told from the first moment to the last.
fn come_listen_and_go(server: &Server, count: usize, begun: &AtomicU32, done: &AtomicU32) {
    let mut client = connect(server);
    let at_first = begun.load(Ordering::SeqCst);
    let number = |frame: &Frame| -> u32 {
        assert!(frame.opcode == OpCode::Text && frame.fin, "{frame:?}");
        std::str::from_utf8(&frame.payload).expect("text").parse().expect("a number")
    };
    let mut heard: Vec<u32> = (0..count).map(|_| number(&client.frame())).collect();
    let at_last = done.load(Ordering::SeqCst);
    client.send(close(1000, ""));
    loop {
        let frame = client.frame();
        if frame.opcode == OpCode::Close {
            break;
        }
        heard.push(number(&frame));
    }
    client.expect_end();
    let (first, last) = (heard[0], heard[heard.len() - 1]);
    assert!(heard.iter().copied().eq(first..=last), "{heard:?}");
    assert!(first <= at_first + 1, "it was open when {at_first} was told, and has heard {first} first");
    assert!(last >= at_last, "it has heard {last} last, and was there when {at_last} had been told");
}
