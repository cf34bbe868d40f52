//! Groups A and F where they are about TCP and about pages: resets, floods, urgent data, answers.

use std::io::Write;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use raddle::{Response, Server, Writer};
use rustix::net::{self, SendFlags};

use crate::case::Saw;
use crate::head::{Answer, sample};
use crate::host::{At, Engine, Host, wait_until};
use crate::peer::{Ending, PATIENCE, Peer};
use crate::wire::{announce, text};

#[test]
fn clients_that_reset_before_they_are_accepted_stop_nothing() {
    // Hostile input 3.
    for engine in Engine::ALL {
        let server = Server::builder().bind("127.0.0.1:0").expect("a free port").hosts(raddle::Hosts::Any).workers(2);
        let server = server.build().expect("a server");
        let address = server.local_addr();
        // The server listens, and accepts nobody yet: these are dead when their turn comes.
        for sent in [&b""[..], b"GET /chat HT", &Vec::from(sample())].iter().cycle().take(30) {
            let mut peer = Peer::connect(address);
            peer.send(sent);
            peer.reset();
        }
        let echo = |writer: &Writer, at: At<'_>| {
            if let At::Message(message) = at {
                writer.send(message)?;
            }
            Ok(())
        };
        engine.start(&server, echo).expect("the server starts");
        // These reset at any moment.
        for _ in 0..50 {
            Peer::connect(address).reset();
        }
        let mut honest = Peer::open(address);
        honest.echo("accepted");
        assert_eq!(honest.close(), []);
        assert!(wait_until(|| server.connections().is_empty()), "left: {:?}", server.connections());
        server.stop(Duration::ZERO);
        server.join(PATIENCE).expect("all handlers have returned");
    }
}

#[test]
fn a_header_without_end_is_refused_at_the_limit() {
    // Hostile input 10.
    for engine in Engine::ALL {
        let host = Host::echo(engine, |builder, _| builder);
        let mut peer = Peer::connect(host.address);
        peer.send(&Vec::from(sample().end("")));
        peer.send(b"Cookie: ");
        // Without end. The server reads no more than the limit and what it lingers for, a few MiB; the rest is what sockets hold.
        let mut taken = 0;
        while (&mut peer.stream()).write_all(&[b'x'; 1 << 16]).is_ok() {
            taken += 1 << 16;
            assert!(taken < 64 << 20, "the server reads on behind its limit");
        }
        let (received, _) = peer.read_to_end();
        Answer::parse(received).expect("a whole answer").assert_refuses(431, &[]);
        host.finish();
    }
}

#[test]
fn urgent_data_is_no_part_of_the_stream() {
    // Hostile input 11.
    for engine in Engine::ALL {
        let host = Host::echo(engine, |builder, _| builder);
        let mut peer = Peer::connect(host.address);
        let urgent = |peer: &Peer| {
            net::send(peer.stream(), b"!", SendFlags::OOB).expect("a connected socket");
            thread::sleep(Duration::from_millis(20));
        };
        let head = Vec::from(sample());
        let (start, rest) = head.split_at(30);
        peer.send(start);
        urgent(&peer);
        peer.send(rest);
        peer.take_opening(|response| assert_eq!(response.status, 101));
        let frame = text("Hello").encode(raddle::Role::Server);
        // Inside the header, and inside the payload.
        for place in [1, 4, 8] {
            let (start, rest) = frame.split_at(place);
            peer.send(start);
            urgent(&peer);
            peer.send(rest);
            assert_eq!(peer.receive(1), [Saw::Text("Hello".into())]);
        }
        assert_eq!(peer.close(), []);
        host.finish();
    }
}

#[test]
fn a_connection_ends_with_the_first_refusal() {
    // Hostile input 83.
    for engine in Engine::ALL {
        let host = Host::echo(engine, |builder, _| builder);
        for (status, head) in [
            (400, sample().without("Host")),
            (400, sample().without("Sec-WebSocket-Key")),
            (400, sample().add("Content-Length", "5")),
            (400, sample().add("Transfer-Encoding", "chunked")),
            (400, sample().line("GET /chat")),
            (403, sample().add("Origin", "http://other.example")),
            (405, sample().line("POST /chat HTTP/1.1")),
            (426, sample().without("Upgrade")),
            (431, sample().filled_to(20_000)),
            (505, sample().line("GET /chat HTTP/2.0")),
        ] {
            let mut peer = Peer::connect(host.address);
            peer.send(&Vec::from(head));
            let (first, _) = peer.read_to_end();
            let answer = Answer::parse(first).expect("a whole answer");
            assert_eq!((answer.status, answer.rest), (status, &b""[..]));
            // A valid request on the same connection is never looked at.
            let length = first.len();
            peer.send(&Vec::from(sample()));
            assert_eq!(peer.read_to_end().0.len(), length);
        }
        host.finish();
    }
}

#[test]
fn every_answer_of_the_library_is_short_fixed_and_the_last() {
    // Hostile inputs 86, 293 and 368.
    for engine in Engine::ALL {
        let (keep, _kept) = mpsc::channel();
        let host = Host::echo(engine, |builder, _| {
            builder.handshake_timeout(Duration::from_millis(300)).on_request(move |request| {
                let status = match request.target() {
                    "/drop" => return,
                    "/panic" => panic!("the decision on a request panics"),
                    // Nobody decides on it before the deadline.
                    "/keep" => return keep.send(request).expect("the test keeps it"),
                    target => target[1..].parse().expect("a status"),
                };
                request.refuse(status).expect("not decided before");
            })
        });
        for (target, status) in [
            ("/400", 400),
            ("/401", 401),
            ("/403", 403),
            ("/404", 404),
            ("/409", 409),
            ("/426", 426),
            ("/429", 429),
            ("/431", 431),
            ("/500", 500),
            ("/503", 503),
            ("/599", 599),
            // Statuses that refuse nothing are not passed on.
            ("/101", 500),
            ("/99", 500),
            ("/600", 500),
            ("/drop", 500),
            ("/panic", 500),
            ("/keep", 503),
        ] {
            let mut peer = Peer::connect(host.address);
            peer.send(&Vec::from(sample().target(target).add("Cookie", "a secret")));
            let (received, ending) = peer.read_to_end();
            Answer::parse(received).expect("a whole answer").assert_refuses(status, &[]);
            assert_eq!(ending, Ending::Finished);
        }
        host.finish();

        let full = Host::echo(engine, |builder, _| builder.max_connections(1));
        let first = Peer::open(full.address);
        let mut second = Peer::connect(full.address);
        second.send(&Vec::from(sample()));
        Answer::parse(second.read_to_end().0).expect("a whole answer").assert_refuses(503, &[]);
        assert_eq!(first.close(), []);
        full.finish();
    }
}

#[test]
fn an_answer_that_is_not_taken_is_given_up() {
    // Hostile input 86.
    for engine in Engine::ALL {
        let host = Host::echo(engine, |builder, _| {
            builder.handshake_timeout(Duration::from_millis(300)).on_request(|request| {
                let page = Response::new(200).expect("a status").body(vec![b'x'; 16 << 20]);
                request.respond(page).expect("not decided before");
            })
        });
        let mut peer = Peer::connect_narrow(host.address);
        peer.send(&Vec::from(sample()));
        // Nothing is read, and the connection is gone all the same.
        host.assert_empty();
        host.finish();
    }
}

#[test]
fn a_refused_client_that_goes_on_sending_gets_its_answer() {
    // Hostile input 87.
    for engine in Engine::ALL {
        let host = Host::echo(engine, |builder, _| builder);
        for (more, taken) in [(48 << 10, true), (1 << 20, false)] {
            let mut peer = Peer::connect(host.address);
            peer.send(&Vec::from(sample().without("Host")));
            // The answer is there before the client looks for it.
            thread::sleep(Duration::from_millis(20));
            peer.send(&vec![b'x'; more]);
            Answer::parse(peer.read_to_end().0).expect("a whole answer").assert_refuses(400, &[]);
            // So many are read and dropped: no reset follows.
            assert!(!taken || !peer.is_reset_within(Duration::from_millis(50)));
        }
        host.finish();
    }
}

#[test]
fn a_client_that_goes_on_sending_a_frame_too_big_gets_the_close() {
    // Hostile input 177.
    for engine in Engine::ALL {
        let host = Host::echo(engine, |builder, _| builder);
        for (more, taken) in [(48 << 10, true), (8 << 20, false)] {
            let mut peer = Peer::open(host.address);
            peer.send_pieces([announce(0x82, 16 << 20)]);
            thread::sleep(Duration::from_millis(20));
            peer.send(&vec![b'x'; more]);
            let (sent, _) = peer.receive_to_end();
            assert!(matches!(&sent[..], [Saw::Close(Some((1009, _)))]), "{sent:?}");
            assert!(!taken || !peer.is_reset_within(Duration::from_millis(50)));
        }
        host.finish();
    }
}
