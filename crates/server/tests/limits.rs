//! Limits of admission: who is turned away, how, and that a place is given back however a connection ends.

mod common;

use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use common::*;
use parking_lot::Mutex;
use raddle_core::handshake::Offer;
use raddle_server::{Acceptance, IdentityPolicy, Refusal, Server, Surplus};

/// How often the server has turned somebody away for this reason.
fn refused(server: &Server, reason: Refusal) -> u64 {
    server.metrics().refused.get(&reason).copied().unwrap_or_default()
}

#[test]
fn a_full_server_answers_503_and_a_place_is_given_back() {
    // Hostile input 222.
    let server = echoing(|builder| builder.max_connections(5));
    let mut clients: Vec<_> = (0..5).map(|_| connect(&server)).collect();
    for _ in 0..50 {
        let answer = Asking::with(server.local_addr(), &OFFER).answer().expect("an answer");
        assert_eq!(answer.status, 503);
    }
    assert_eq!(refused(&server, Refusal::ServerFull), 50);
    clients.iter_mut().for_each(assert_echo);
    // However one leaves: by a Close, by the end of its stream, before its request.
    say_goodbye(clients.pop().expect("open"));
    drop(clients.pop());
    eventually("two places are free", || server.metrics().connections == 3);
    let silent = Asking::silently(server.local_addr());
    eventually("it has a place", || server.metrics().connections == 4);
    clients.push(connect(&server));
    assert_eq!(Asking::with(server.local_addr(), &OFFER).status(), 503);
    drop(silent);
    eventually("a place is free", || server.metrics().connections == 4);
    clients.push(connect(&server));
    clients.iter_mut().for_each(assert_echo);
    drop(clients);
    finish(&server);
}

#[test]
fn those_that_are_turned_away_hold_up_nobody() {
    // They have connected and neither read nor leave.
    let server = echoing(|builder| builder.max_connections(2));
    let mut client = connect(&server);
    let _second = connect(&server);
    let turned_away: Vec<_> = (0..200).map(|_| Asking::silently(server.local_addr())).collect();
    eventually("all are turned away", || refused(&server, Refusal::ServerFull) == 200);
    let start = Instant::now();
    assert_echo(&mut client);
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    for asking in turned_away {
        let status = asking.status();
        assert!(matches!(status, 503 | 0), "{status}");
    }
    drop((client, _second));
    finish(&server);
}

#[test]
fn an_address_has_its_own_limit() {
    // Hostile input 224: more are closed unheard.
    let server = echoing(|builder| builder.max_connections_per_ip(3));
    let mut clients: Vec<_> = (0..3).map(|_| connect(&server)).collect();
    for _ in 0..20 {
        assert_eq!(Asking::silently(server.local_addr()).status(), 0);
    }
    assert_eq!(refused(&server, Refusal::AddressFull), 20);
    clients.iter_mut().for_each(assert_echo);
    // Another address of the loopback is another one.
    let socket = socket_from("127.0.0.2", &server);
    let mut other = asking_on(socket).accepted().0;
    assert_echo(&mut other);
    drop(clients.pop());
    eventually("a place is free", || server.metrics().connections == 3);
    assert_echo(&mut connect(&server));
    drop((clients, other));
    finish(&server);
}

/// Connects from an address of the loopback.
fn socket_from(address: &str, server: &Server) -> TcpStream {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    let address = format!("{address}:0").parse::<std::net::SocketAddrV4>().expect("an address");
    bind(&socket, &address).expect("all of 127.0.0.0/8 is ours");
    let std::net::SocketAddr::V4(server) = server.local_addr() else { panic!("it listens on IPv4") };
    connect(&socket, &server).expect("the server listens");
    socket.into()
}

fn asking_on(stream: TcpStream) -> Asking {
    let mut asking = Asking::on(stream);
    asking.say(&OFFER.encode().expect("valid"));
    asking
}

#[test]
fn an_address_may_come_so_often_and_no_more() {
    let server = echoing(|builder| builder.connection_rate_per_ip(5, Duration::from_secs(3600)));
    for _ in 0..5 {
        say_goodbye(connect(&server));
    }
    for _ in 0..5 {
        assert_eq!(Asking::silently(server.local_addr()).status(), 0);
    }
    assert_eq!(refused(&server, Refusal::AddressRate), 5);
    assert_echo(&mut asking_on(socket_from("127.0.0.2", &server)).accepted().0);
    finish(&server);
}

#[test]
fn for_one_handshake_more_the_oldest_goes() {
    // Hostile input 223: idle ones cannot keep honest ones out.
    let server = echoing(|builder| builder.max_handshakes(10));
    let mut idle: Vec<_> = (0..10).map(|_| Asking::silently(server.local_addr())).collect();
    eventually("all are known", || server.metrics().connections == 10);
    // An honest one needs a moment only: one place for all of them.
    let mut honest: Vec<_> = (0..5).map(|_| connect(&server)).collect();
    honest.iter_mut().for_each(assert_echo);
    assert_eq!(refused(&server, Refusal::Shed), 1);
    idle.extend((0..5).map(|_| Asking::silently(server.local_addr())));
    eventually("four more have gone", || refused(&server, Refusal::Shed) == 5);
    let young = idle.split_off(5);
    for asking in idle {
        assert_eq!(asking.status(), 0);
    }
    for mut asking in young {
        asking.say(&OFFER.encode().expect("valid"));
        assert_echo(&mut asking.accepted().0);
    }
    drop(honest);
    finish(&server);
}

#[test]
fn a_handshake_that_takes_too_long_is_closed() {
    // Hostile input 1: its place is given back, and nobody had to wait for it.
    let server = echoing(|builder| builder.handshake_timeout(Duration::from_millis(300)).max_connections(1));
    let start = Instant::now();
    let silent = Asking::silently(server.local_addr());
    let status = silent.status();
    assert!(matches!(status, 0 | 408), "{status}");
    let took = start.elapsed();
    assert!((Duration::from_millis(250)..Duration::from_secs(4)).contains(&took), "{took:?}");
    assert_eq!(refused(&server, Refusal::Timeout), 1);
    eventually("its place is free", || server.metrics().connections == 0);
    // An open connection has no such limit.
    let mut client = connect(&server);
    thread::sleep(Duration::from_millis(500));
    assert_echo(&mut client);
    drop(client);
    finish(&server);
}

#[test]
fn an_identity_has_so_many_connections_and_no_more() {
    let with = |surplus| {
        listening(|builder| {
            builder.identity_policy(IdentityPolicy { allowed: 1, surplus }).on_request(|request| {
                let identity = request.path().trim_start_matches('/').to_owned();
                let _ = request.accept_with(Acceptance::new().identity(identity));
            })
        })
    };
    let ask = |server: &Server, target| Asking::with(server.local_addr(), &Offer { target, ..OFFER });
    for surplus in [Surplus::Refuse, Surplus::Close, Surplus::ReplaceOldest] {
        let server = with(surplus);
        start_echo(&server).expect("it starts");
        let mut ada = ask(&server, "/ada").accepted().0;
        assert_echo(&mut ada);
        let mut bob = ask(&server, "/bob").accepted().0;
        assert_echo(&mut bob);
        let second = ask(&server, "/ada");
        match surplus {
            Surplus::Refuse => assert_eq!(second.status(), 409),
            Surplus::Close => {
                let mut second = second.accepted().0;
                assert_eq!(second.frame(), close(4409, "this client is connected already"));
            }
            Surplus::ReplaceOldest => {
                let mut second = second.accepted().0;
                assert_echo(&mut second);
                assert_eq!(ada.frame(), close(4409, "this client is connected already"));
                ada.send(close(4409, ""));
                ada.expect_end();
                eventually("it has one", || server.connections_of("ada").len() == 1);
                ada = second;
            }
        }
        assert_echo(&mut ada);
        assert_echo(&mut bob);
        assert_eq!(server.connections_of("ada").len(), 1);
        // A place that is given back can be taken.
        say_goodbye(ada);
        eventually("it has left", || server.connections_of("ada").is_empty());
        assert_echo(&mut ask(&server, "/ada").accepted().0);
        drop(bob);
        finish(&server);
    }
}

#[test]
fn of_many_at_once_only_the_allowed_number_gets_in() {
    let server = echoing(|builder| builder.max_connections(10));
    let statuses = Mutex::new(Vec::new());
    let clients = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| {
                let asking = Asking::with(server.local_addr(), &OFFER);
                match asking.outcome() {
                    Ok((client, _)) => clients.lock().push(client),
                    Err(status) => statuses.lock().push(status),
                }
            });
        }
    });
    let mut clients = clients.into_inner();
    assert_eq!((clients.len(), statuses.lock().len()), (10, 30));
    assert!(statuses.lock().iter().all(|status| *status == 503), "{statuses:?}");
    clients.iter_mut().for_each(assert_echo);
    drop(clients);
    finish(&server);
}
