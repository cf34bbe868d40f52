//! Connections that are taken by hand: accepted on the caller's thread, or adopted from something else.

mod common;

use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use common::*;
use raddle_core::Role;
use raddle_core::handshake::Offer;
use raddle_server::{Acceptance, Close, CloseCode, ConnectionId, Info, Message, Phase};

#[test]
fn accept_gives_connections_to_the_callers_thread() {
    let server = listening(|builder| builder);
    assert!(server.accept(Duration::from_millis(50)).expect("it listens").is_none(), "nobody has come");
    let accepting = thread::spawn({
        let server = server.clone();
        move || {
            let next = || server.accept(LIMIT).expect("it listens").expect("somebody comes");
            (next(), next())
        }
    });
    let (mut one, mut two) = (connect(&server), connect(&server));
    let (mut first, second) = join(accepting, LIMIT);
    assert_eq!(server.connections().len(), 2);
    one.send(text("Hello"));
    assert_eq!(first.next_message(), Ok(Some(Message::Text("Hello"))));
    first.send("Hello yourself").expect("open");
    assert_eq!(one.frame(), text("Hello yourself"));
    // The connection is the caller's, and ends with its handles.
    drop(first);
    assert_eq!(one.frame(), close(1001, ""));
    one.expect_end();
    let closing = thread::spawn(move || second.close(Close::code(CloseCode(4000))));
    assert_eq!(two.frame(), close(4000, ""));
    two.send(close(4000, ""));
    two.expect_end();
    assert!(join(closing, LIMIT).is_clean());
    finish(&server);
    assert!(server.accept(LIMIT).expect("it has listened").is_none(), "a stopped server gives no more");
}

#[test]
fn accept_ends_when_the_server_is_stopped() {
    // Hostile input 274.
    let server = listening(|builder| builder);
    let accepting = thread::spawn({
        let server = server.clone();
        move || server.accept(Duration::MAX).expect("it listens").is_none()
    });
    thread::sleep(Duration::from_millis(50));
    let start = Instant::now();
    server.stop(Duration::ZERO);
    assert!(join(accepting, LIMIT));
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
}

#[test]
fn requests_are_decided_on_by_who_accepts() {
    let decider = Arc::new(parking_lot::Mutex::new(None));
    let noted = Arc::clone(&decider);
    let server = listening(|builder| {
        builder.on_request(move |request| {
            *noted.lock() = Some(thread::current().id());
            let _ = if request.path() == "/in" { request.accept() } else { request.refuse(403) };
        })
    });
    let accepting = thread::spawn({
        let server = server.clone();
        move || server.accept(LIMIT).expect("it listens").map(|connection| connection.info().target.clone())
    });
    let deciding = accepting.thread().id();
    let refused = Asking::with(server.local_addr(), &Offer { target: "/out", ..OFFER });
    assert_eq!(refused.status(), 403);
    let accepted = Asking::with(server.local_addr(), &Offer { target: "/in", ..OFFER });
    drop(accepted.accepted());
    assert_eq!(join(accepting, LIMIT).as_deref(), Some("/in"));
    assert_eq!(*decider.lock(), Some(deciding));
    finish(&server);
}

#[test]
fn a_request_is_decided_on_by_the_thread_that_has_its_connection() {
    let server = listening(|builder| builder.subprotocol("chat").on_request(|_| panic!("nobody asks it")));
    assert!(server.next_request(Duration::from_millis(50)).expect("it listens").is_none(), "nobody has asked");
    let taking = thread::spawn({
        let server = server.clone();
        move || {
            let mut opened = None;
            for _ in 0..2 {
                let request = server.next_request(LIMIT).expect("it listens").expect("somebody asks");
                if request.path() == "/out" {
                    request.refuse(403).expect("it is in time");
                } else {
                    opened = request.open_with(Acceptance::new().header("X-Room", "1")).expect("it is in time");
                }
            }
            opened.expect("it can be opened")
        }
    });
    let out = Asking::with(server.local_addr(), &Offer { target: "/out", ..OFFER });
    let one = Asking::with(server.local_addr(), &Offer { target: "/in", subprotocols: &["chat"], ..OFFER });
    assert_eq!(out.status(), 403);
    let (mut one, _) = one.accepted();
    let mut connection = join(taking, LIMIT);
    assert_eq!(connection.info().target.as_ref(), "/in");
    assert_eq!(connection.info().subprotocol.as_deref(), Some("chat"));
    one.send(text("Hello"));
    assert_eq!(connection.next_message(), Ok(Some(Message::Text("Hello"))));
    drop(connection);
    assert_eq!(one.frame(), close(1001, ""));
    one.expect_end();
    // What is adopted is left to `accept`.
    let (stream, _client) = upgraded();
    server.adopt(stream, b"", Info::default()).expect("there is room");
    assert!(server.next_request(Duration::from_millis(50)).expect("it listens").is_none());
    assert!(server.accept(LIMIT).expect("it listens").is_some());
    finish(&server);
    assert!(server.next_request(LIMIT).expect("it has listened").is_none(), "a stopped server gives no more");
}

/// A stream that something else has upgraded, and its client.
fn upgraded() -> (TcpStream, Client) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
    (listener.accept().expect("accepted").0, Peer::new(client, Role::Client))
}

#[test]
fn an_adopted_connection_is_like_any_other() {
    let server = echoing(|builder| builder.max_connections(1));
    let (stream, mut client) = upgraded();
    let address = client.stream.local_addr().expect("connected");
    let mut info = Info::default();
    info.target = "/from/elsewhere".into();
    // Its first message has come together with the request.
    let received = client.encode(&text("early"));
    let id = server.adopt(stream, &received, info).expect("there is room");
    assert_eq!(client.frame(), text("early"));
    assert_echo(&mut client);
    let [connection] = server.connections().try_into().unwrap_or_else(|all| panic!("{all:?}"));
    assert_eq!((connection.id, connection.phase, connection.peer), (id, Phase::Open, Some(address)));
    assert_eq!(connection.info.expect("open").target.as_ref(), "/from/elsewhere");
    // It takes a place, and gives it back.
    let (second, mut refused) = upgraded();
    assert!(server.adopt(second, b"", Info::default()).is_err());
    refused.expect_end();
    assert_eq!(Asking::with(server.local_addr(), &OFFER).status(), 503);
    say_goodbye(client);
    eventually("the place is free", || server.metrics().connections == 0);
    assert_echo(&mut connect(&server));
    finish(&server);
    let (late, _client) = upgraded();
    assert!(server.adopt(late, b"", Info::default()).is_err());
}

#[test]
fn an_adopted_connection_waits_for_who_takes_it() {
    // Before the server is started, it is there for whoever serves or accepts.
    let server = listening(|builder| builder);
    let (stream, mut client) = upgraded();
    server.adopt(stream, b"", Info::default()).expect("there is room");
    client.send(text("early"));
    server.start(echo).expect("it starts");
    assert_eq!(client.frame(), text("early"));
    say_goodbye(client);
    finish(&server);

    let server = listening(|builder| builder);
    let (stream, mut client) = upgraded();
    let id = server.adopt(stream, b"", Info::default()).expect("there is room");
    let mut connection = server.accept(LIMIT).expect("it listens").expect("it is there");
    assert_eq!(ConnectionId::of(connection.info()), id);
    client.send(text("Hello"));
    assert_eq!(connection.next_message(), Ok(Some(Message::Text("Hello"))));
    drop(connection);
    finish(&server);
}
