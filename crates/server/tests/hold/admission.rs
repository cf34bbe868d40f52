//! Who may connect: places at a time, and connections in a time.

use std::io::Write;
use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::panic::resume_unwind;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use raddle_server::{Cause, Close, CloseCode, Refusal, Request, Response, Writer};

use crate::support::*;

#[test]
fn a_sixth_connection_of_an_address_is_closed_unheard() {
    let host = Host::echo(builder().max_connections_per_ip(5));
    // One that says nothing counts as one that is open does.
    let silent = host.dial();
    let mut open: Vec<_> = (0..4).map(|_| host.open()).collect();
    eventually("five are there", || host.connections().len() == 5);
    assert_eq!(answer(&mut host.dial()), None);
    assert_eq!(host.refused(Refusal::AddressFull), 1);
    assert_eq!(host.connections().len(), 5);
    open.iter_mut().for_each(|client| echoes(client, "still here"));
    drop(silent);
    eventually("the place is free again", || host.admits());
}

/// How a connection can die.
type Death = (&'static str, fn(&Host));

const DEATHS: &[Death] = &[
    ("it says nothing, and goes", |host| drop(host.dial())),
    ("it says nothing, and is reset", |host| reset(host.dial())),
    ("it says nothing until its time is up", |host| assert_eq!(answer(&mut host.dial()), None)),
    ("it goes amid its request", |host| {
        let mut stream = host.dial();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: loc").expect("taken");
    }),
    ("its request is malformed", |host| {
        let mut stream = host.dial();
        stream.write_all(b"BOGUS\r\n\r\n").expect("taken");
        assert_eq!(status(&mut stream), 400);
    }),
    ("its request is malformed, and it does not wait for the answer", |host| {
        let mut stream = host.dial();
        stream.write_all(b"BOGUS\r\n\r\n").expect("taken");
        reset(stream);
    }),
    ("it is refused", |host| assert_eq!(status(&mut host.ask_for("/refuse")), 403)),
    ("it gets a page", |host| assert_eq!(status(&mut host.ask_for("/page")), 200)),
    ("its request is dropped", |host| assert_eq!(status(&mut host.ask_for("/drop")), 500)),
    ("the decision panics", |host| assert_eq!(status(&mut host.ask_for("/panic-deciding")), 500)),
    ("nobody decides", |host| assert_eq!(status(&mut host.ask_for("/nothing")), 503)),
    ("nobody decides, and it is reset", |host| reset(host.ask_for("/nothing"))),
    ("it is reset with its request", |host| reset(host.ask(""))),
    ("it goes without a Close", |host| drop(host.open())),
    ("it is reset", |host| reset(host.open().stream)),
    ("it is reset amid a frame", |host| {
        let mut client = host.open();
        // Text, masked, of 64 KiB.
        client.send_bytes(b"\x81\xff\0\0\0\0\0\x01\0\0key!some");
        reset(client.stream);
    }),
    ("it breaks the protocol", |host| {
        let mut client = host.open();
        client.send_bytes(b"\x83\x80key!");
        assert_eq!(close_code(&mut client), 1002);
    }),
    ("it closes", |host| leave(host.open())),
    ("the server closes", |host| assert_eq!(close_code(&mut opened(host.ask_for("/close"))), 1000)),
    ("its handler fails", |host| assert_eq!(close_code(&mut opened(host.ask_for("/fail"))), 1011)),
    ("its handler panics", |host| assert_eq!(close_code(&mut opened(host.ask_for("/panic"))), 1011)),
    ("it is cut", |host| {
        let mut client = host.open();
        echoes(&mut client, "its handler runs");
        host.connection(host.connections()[0].id).expect("open").cut(Cause::LocalClose);
        client.expect_end();
    }),
];

#[test]
fn a_place_is_given_back_in_whatever_state_a_connection_dies() {
    // Hostile inputs 224 and 225.
    let kept = Mutex::new(Vec::new());
    let decide = move |request: Request| match request.path() {
        "/refuse" => request.refuse(403).expect("in time"),
        "/page" => request.respond(Response::new(200).expect("a status")).expect("in time"),
        "/drop" => drop(request),
        "/panic-deciding" => resume_unwind(Box::new("as asked")),
        "/nothing" => kept.lock().push(request),
        // The client may be gone, but nobody knows yet.
        _ => request.accept().expect("in time"),
    };
    let builder = builder().max_connections(1).handshake_timeout(Duration::from_millis(1500)).on_request(decide);
    let open = |writer: &Writer| match &*writer.info().target {
        "/close" => Ok(writer.close(Close::code(CloseCode::NORMAL))?),
        "/fail" => Err("as asked".into()),
        "/panic" => resume_unwind(Box::new("as asked")),
        _ => Ok(()),
    };
    let host = Host::acting(builder, open, send_back);
    for (death, die) in DEATHS {
        die(&host);
        eventually(death, || host.admits());
        eventually("its place is free", || host.connections().is_empty() && host.handlers() == 0);
    }
}

#[test]
fn an_address_that_connects_too_often_waits_for_its_allowance() {
    let hour = Duration::from_secs(3600);
    let host = Host::echo(builder().connection_rate_per_ip(3, hour));
    (0..3).for_each(|_| leave(host.open()));
    assert_eq!(answer(&mut host.dial()), None, "all that it has had are gone, and count all the same");
    assert_eq!(host.refused(Refusal::AddressRate), 1);
    eventually("none is left", || host.connections().is_empty());

    let host = Host::echo(builder().connection_rate_per_ip(2, Duration::from_millis(400)));
    assert!(host.admits());
    eventually("it has used up its allowance", || !host.admits());
    eventually("it has some again", || host.admits());
}

#[test]
fn an_ipv6_network_is_one_address_and_a_mapped_ipv4_address_is_itself() {
    // Hostile input 224.
    let over_ipv4 = TcpListener::bind("127.0.0.1:0").expect("a free port");
    // Takes both families, and shows the one as addresses of the other.
    let over_both = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).expect("a free port");
    let port = over_both.local_addr().expect("bound").port();
    let builder = raddle_server::Server::builder().tcp_listener(over_ipv4).and_then(|it| it.tcp_listener(over_both));
    let host = Host::echo(builder.expect("listeners").max_connections_per_ip(1));
    let first = host.open();
    assert_eq!(answer(&mut dial(SocketAddr::from(([127, 0, 0, 1], port)))), None, "127.0.0.1, as ::ffff:127.0.0.1");
    assert_eq!(host.refused(Refusal::AddressFull), 1);
    let mut other = dial(SocketAddr::from((Ipv6Addr::LOCALHOST, port)));
    other.write_all(request("").as_bytes()).expect("taken");
    leave(opened(other));
    leave(first);
}

#[test]
fn places_are_counted_right_under_a_storm() {
    let host = Host::echo(builder().max_connections_per_ip(8));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for round in 0..60 {
                    let mut stream = host.dial();
                    match round % 4 {
                        0 => reset(stream),
                        1 => drop(stream.write_all(b"GET / HTTP/1.1\r\n")),
                        _ => {
                            let _ = stream.write_all(request("").as_bytes());
                            if round % 4 == 3 {
                                // There may be no room at the moment.
                                let _ = answer(&mut stream);
                            }
                        }
                    }
                }
            });
        }
    });
    eventually("all have gone", || host.connections().is_empty());
    // If a place was lost, or given back twice, this shows it.
    let clients: Vec<_> = (0..8).map(|_| host.open()).collect();
    assert_eq!(answer(&mut host.dial()), None);
    clients.into_iter().for_each(leave);
}
