//! What a server counts.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use raddle_core::OpCode;
use raddle_core::handshake::HandshakeError;
use raddle_server::{
    Acceptance, AddressSource, Builder, Cause, Error, IdentityPolicy, Origins, Refusal, Request, Response, SendError,
    Surplus, Traffic, WhenFull,
};

use crate::support::*;

#[test]
fn what_comes_is_accepted_and_then_opened_answered_or_refused() {
    let host = Host::echo(builder().on_request(|request| match request.path() {
        "/page" => request.respond(Response::new(200).expect("a status").body("hello")).expect("in time"),
        "/moved" => request.respond(Response::new(302).expect("a status")).expect("in time"),
        "/secret" => request.refuse(403).expect("in time"),
        _ => request.accept().expect("in time"),
    }));
    let metrics = host.metrics();
    assert_eq!((metrics.accepted, metrics.opened, metrics.answered, metrics.connections), (0, 0, 0, 0));
    let mut open: Vec<_> = (0..3).map(|_| host.open()).collect();
    open.iter_mut().for_each(|client| echoes(client, "served"));
    assert_eq!(status(&mut host.ask_for("/page")), 200);
    assert_eq!(status(&mut host.ask_for("/moved")), 302);
    assert_eq!(status(&mut host.ask_for("/secret")), 403);
    let silent = host.dial();
    eventually("four are left", || host.metrics().accepted == 7 && host.metrics().connections == 4);
    let metrics = host.metrics();
    assert_eq!((metrics.accepted, metrics.opened, metrics.answered), (7, 3, 2));
    assert_eq!(metrics.refused, [(Refusal::Application, 1)].into());
    assert!(metrics.ended.is_empty());
    drop(silent);
    open.into_iter().for_each(leave);
    eventually("none is left", || host.metrics().connections == 0);
    let metrics = host.metrics();
    assert_eq!(metrics.ended, [(Cause::PeerClose, 3)].into());
    assert_eq!(metrics.refused, [(Refusal::Application, 1), (Refusal::Gone, 1)].into());
}

/// Why a connection is not opened, the server that says so, and what a client does.
type Refused = (Refusal, fn(Builder) -> Builder, fn(&Host));

const REFUSED: &[Refused] = &[
    (
        Refusal::ServerFull,
        |it| it.max_connections(1),
        |host| {
            let first = host.dial();
            eventually("it is there", || host.connections().len() == 1);
            assert_eq!(status(&mut host.ask("")), 503);
            drop(opened(send_request(first, &request(""))));
        },
    ),
    (
        Refusal::AddressFull,
        |it| it.max_connections_per_ip(1),
        |host| {
            let first = host.dial();
            assert_eq!(answer(&mut host.dial()), None);
            drop(opened(send_request(first, &request(""))));
        },
    ),
    (
        Refusal::AddressRate,
        |it| it.connection_rate_per_ip(1, Duration::from_secs(3600)),
        |host| {
            leave(host.open());
            assert_eq!(answer(&mut host.dial()), None);
        },
    ),
    (
        Refusal::Shed,
        |it| it.max_handshakes(1),
        |host| {
            let mut first = host.dial();
            leave(host.open());
            assert_eq!(answer(&mut first), None);
        },
    ),
    (
        Refusal::Timeout,
        |it| it.handshake_timeout(Duration::from_millis(50)),
        |host| {
            assert_eq!(answer(&mut host.dial()), None);
        },
    ),
    (Refusal::Gone, |it| it, |host| drop(send_request(host.dial(), "GET / HT"))),
    (Refusal::Handshake(HandshakeError::RequestLine), |it| it, |host| refused_with(host, "\x16\x03\x01", 400)),
    (
        Refusal::Handshake(HandshakeError::NoUpgrade),
        |it| it,
        |host| {
            refused_with(host, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 426);
        },
    ),
    (
        Refusal::Handshake(HandshakeError::ForeignHost),
        |it| it,
        |host| {
            refused_with(host, &request("").replace("localhost", "evil.example"), 403);
        },
    ),
    (
        Refusal::Handshake(HandshakeError::Origin),
        |it| it.origins(Origins::List(vec![])),
        |host| {
            refused_with(host, &request("Origin: http://localhost\r\n"), 403);
        },
    ),
    (
        Refusal::Proxy,
        |it| it.trusted_proxies(AddressSource::Forwarded, ["127.0.0.0/8".parse().expect("a network")]),
        |host| refused_with(host, &request("Forwarded: nobody\r\n"), 400),
    ),
    (
        Refusal::Application,
        |it| it.on_request(|request| request.refuse(404).expect("in time")),
        |host| {
            refused_with(host, &request(""), 404);
        },
    ),
    (Refusal::Application, |it| it.on_request(drop::<Request>), |host| refused_with(host, &request(""), 500)),
    (
        Refusal::Identity,
        |it| {
            it.identity_policy(IdentityPolicy { allowed: 1, surplus: Surplus::Refuse }).on_request(|request| {
                // The second one's is taken.
                let _ = request.accept_with(Acceptance::new().identity("ada"));
            })
        },
        |host| {
            let first = host.open();
            refused_with(host, &request(""), 409);
            leave(first);
        },
    ),
    (
        Refusal::Stopping,
        |it| it,
        |host| {
            let mut half = send_request(host.dial(), "GET / HT");
            eventually("it is there", || host.connections().len() == 1);
            host.stop(PATIENCE);
            assert_eq!(status(&mut half), 503);
        },
    ),
];

fn refused_with(host: &Host, request: &str, expected: u16) {
    assert_eq!(status(&mut send_request(host.dial(), request)), expected, "{request}");
}

#[test]
fn each_refusal_is_counted_once_under_its_own_name() {
    for (refusal, change, provoke) in REFUSED {
        let host = Host::echo(change(builder()));
        provoke(&host);
        eventually("it is counted", || host.refused(*refusal) == 1);
        assert_eq!(host.metrics().refused, [(*refusal, 1)].into());
    }
}

/// What ends a connection, on a server with these options, and what its client does; the server's part is its handler's.
type Ended = (Cause, &'static str, fn(Builder) -> Builder, fn(&Host, Client));

const SHORT: Duration = Duration::from_millis(100);

const ENDED: &[Ended] = &[
    (Cause::PeerClose, "/", |it| it, |_, client| leave(client)),
    (
        Cause::LocalClose,
        "/return",
        |it| it,
        |_, mut client| {
            assert_eq!(close_code(&mut client), 1000);
            client.send(close(1000, ""));
            client.expect_end();
        },
    ),
    (
        Cause::LocalClose,
        "/",
        |it| it.with_options(|it| it.close_timeout = SHORT),
        |host, mut client| {
            echoes(&mut client, "its handler runs");
            let id = host.connections()[0].id;
            let close = raddle_server::Close::code(raddle_server::CloseCode::GOING_AWAY);
            host.connection(id).expect("open").close(close).expect("open");
            // It does not answer.
            assert_eq!(close_code(&mut client), 1001);
            client.expect_end();
        },
    ),
    (
        Cause::Shutdown,
        "/",
        |it| it,
        |host, mut client| {
            host.stop(PATIENCE);
            assert_eq!(close_code(&mut client), 1001);
            client.send(close(1001, ""));
        },
    ),
    (
        Cause::Shutdown,
        "/",
        |it| it,
        |host, mut client| {
            host.stop(SHORT);
            assert_eq!(close_code(&mut client), 1001);
            // It does not answer, and is cut.
            client.expect_end();
        },
    ),
    (
        Cause::Replaced,
        "/",
        |it| {
            it.identity_policy(IdentityPolicy { allowed: 1, surplus: Surplus::ReplaceOldest })
                .on_request(|request| request.accept_with(Acceptance::new().identity("ada")).expect("in time"))
        },
        |host, mut client| {
            let second = host.open();
            assert_eq!(close_code(&mut client), 4409);
            drop(client);
            eventually("the first has ended", || host.ended(Cause::Replaced) == 1);
            // The second would be counted as well.
            std::mem::forget(second);
        },
    ),
    (
        Cause::Failed(Error::UnmaskedFrame),
        "/",
        |it| it,
        |_, mut client| {
            client.send_bytes(b"\x81\x00");
            assert_eq!(close_code(&mut client), 1002);
        },
    ),
    (
        Cause::Failed(Error::InvalidUtf8),
        "/",
        |it| it,
        |_, mut client| {
            let frame = Frame { payload: vec![0xff], ..text("") };
            client.send(frame);
            assert_eq!(close_code(&mut client), 1007);
        },
    ),
    (
        Cause::KeepaliveTimeout,
        "/",
        |it| {
            it.with_options(|options| {
                options.ping_interval = Some(SHORT);
                options.ping_timeout = SHORT;
            })
        },
        |_, mut client| {
            assert_eq!(client.frame().opcode, OpCode::Ping);
            client.expect_end();
        },
    ),
    (
        Cause::MessageTimeout,
        "/",
        |it| it.with_options(|it| it.message_timeout = SHORT),
        |_, mut client| {
            client.send(fragment(OpCode::Text, b"half of"));
            assert_eq!(close_code(&mut client), 1008);
        },
    ),
    (
        Cause::WriteTimeout,
        "/flood",
        |it| it.with_options(|it| it.write_timeout = SHORT),
        |host, client| {
            eventually("it is given up", || host.ended(Cause::WriteTimeout) == 1);
            drop(client);
        },
    ),
    (
        Cause::OutgoingFull,
        "/flood",
        |it| it.with_options(|it| it.when_full = WhenFull::Close),
        |host, client| {
            eventually("it is given up", || host.ended(Cause::OutgoingFull) == 1);
            drop(client);
        },
    ),
    (Cause::HandlerFailed, "/fail", |it| it, |_, mut client| assert_eq!(close_code(&mut client), 1011)),
    (Cause::EndOfStream, "/", |it| it, |_, client| drop(client)),
    (
        Cause::Io(ErrorKind::ConnectionReset),
        "/",
        |it| it,
        |_, mut client| {
            echoes(&mut client, "all is read");
            reset(client.stream);
        },
    ),
];

#[test]
fn each_end_is_counted_once_by_what_has_caused_it() {
    for (number, (cause, target, change, act)) in ENDED.iter().enumerate() {
        let builder = change(builder().with_options(|options| options.min_rate = u64::MAX));
        let host = Host::start(builder, |reader, writer| match &*reader.info().target {
            "/return" => Ok(()),
            "/fail" => Err("as asked".into()),
            "/flood" => loop {
                writer.send(&[0; 64 * 1024])?;
            },
            _ => echo(reader, writer),
        });
        let client = opened(host.ask_for(target));
        act(&host, client);
        eventually("it is counted", || !host.metrics().ended.is_empty());
        assert_eq!(host.metrics().ended, [(*cause, 1)].into(), "line {number}");
    }
}

#[test]
fn a_connection_that_whoever_accepted_it_drops_is_counted_as_dropped() {
    let host = Host::accepting(builder());
    let stream = host.ask("");
    let connection = host.accept(PATIENCE).expect("no failure").expect("a connection");
    let mut client = opened(stream);
    drop(connection);
    assert_eq!(close_code(&mut client), 1001);
    client.expect_end();
    assert_eq!(host.metrics().ended, [(Cause::Dropped, 1)].into());
}

#[test]
fn the_traffic_of_all_is_what_was_sent_while_they_are_open_and_after() {
    let host = Host::echo(builder());
    let mut sent = Traffic::default();
    let mut clients = Vec::new();
    for (number, size) in [0, 1, 125, 126, 65_535, 65_536, 200_000].into_iter().enumerate() {
        let mut client = host.open();
        let message = binary(&vec![number as u8; size]);
        let header = |masked: usize| {
            2 + masked
                + if size < 126 {
                    0
                } else if size < 65_536 {
                    2
                } else {
                    8
                }
        };
        for _ in 0..=number {
            client.send(message.clone());
            assert_eq!(client.frame(), message);
            sent += Traffic {
                received_bytes: (header(4) + size) as u64,
                received_messages: 1,
                sent_bytes: (header(0) + size) as u64,
                sent_messages: 1,
            };
        }
        clients.push(client);
    }
    // The last write is counted just after the client has it.
    eventually("all is counted", || host.metrics().traffic.sent_messages == sent.sent_messages);
    assert_eq!(host.metrics().traffic, sent);
    // Two of the seven leave, each with a Close of two bytes.
    clients.drain(2..4).for_each(leave);
    eventually("they have ended", || host.ended(Cause::PeerClose) == 2);
    sent += Traffic { received_bytes: 2 * (2 + 4 + 2), sent_bytes: 2 * (2 + 2), ..Traffic::default() };
    assert_eq!(host.metrics().traffic, sent);
    let of_those_left: u64 = host.connections().iter().map(|it| it.traffic.received_messages).sum();
    assert_eq!(of_those_left, sent.received_messages - 3 - 4);
}

#[test]
fn the_traffic_of_all_never_shrinks_and_is_never_counted_twice() {
    const CLIENTS: u64 = 4;
    const ROUNDS: u64 = 150;
    let host = Host::echo(builder());
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let looking = scope.spawn(|| {
            let mut last = 0;
            while !over.load(Ordering::Relaxed) {
                let now = host.metrics().traffic.received_messages;
                assert!(now >= last, "{now} after {last}");
                assert!(now <= CLIENTS * ROUNDS, "{now}");
                last = now;
            }
        });
        let clients = (0..CLIENTS).map(|_| {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    let mut client = host.open();
                    echoes(&mut client, "one message each");
                    leave(client);
                }
            })
        });
        let clients: Vec<_> = clients.collect();
        clients.into_iter().for_each(|client| client.join().expect("all are served"));
        over.store(true, Ordering::Relaxed);
        looking.join().expect("the count is right at every moment");
    });
    assert_eq!(host.metrics().traffic.received_messages, CLIENTS * ROUNDS);
}

#[test]
fn queued_bytes_are_those_that_nobody_has_taken_yet() {
    const COUNT: usize = 256;
    let builder = builder().with_options(|options| options.outgoing_limit = 1 << 30);
    let host = Host::start(builder, |mut reader, writer| {
        while reader.next_message()?.is_some() {
            for _ in 0..COUNT {
                match writer.try_send(&[0x5a; 64 * 1024]) {
                    Ok(_) | Err(SendError::Closed) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    });
    let mut clients = [host.open(), host.open()];
    assert_eq!(host.metrics().queued_bytes, 0);
    for client in &mut clients {
        client.send(text("go"));
    }
    let messages = 2 * COUNT as u64;
    eventually("all is sent or queued", || host.metrics().traffic.sent_messages == messages);
    let metrics = host.metrics();
    // A frame of this size has a header of 10 bytes.
    let total = messages * (64 * 1024 + 10);
    assert!(metrics.queued_bytes > 1 << 20, "{}", metrics.queued_bytes);
    assert!(metrics.queued_bytes as u64 <= total);
    for client in &mut clients {
        (0..COUNT).for_each(|_| assert_eq!(client.frame().payload.len(), 64 * 1024));
    }
    eventually("all is taken", || host.metrics().queued_bytes == 0);
    assert_eq!(host.metrics().traffic.sent_bytes, total);
}
