//! Each refusal and each end of a connection is counted under its own name.

use std::io::ErrorKind;
use std::time::Duration;

use raddle_core::OpCode;
use raddle_core::handshake::HandshakeError;
use raddle_server::{
    Acceptance, AddressSource, Builder, Cause, Close, CloseCode, Error, IdentityPolicy, Origins, Refusal, Request,
    Surplus, WhenFull,
};

use crate::support::*;

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
            let close = Close::code(CloseCode::GOING_AWAY);
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
