//! A server with permessage-deflate (RFC 7692), with either engine: whom it agrees with, what passes and what is kept.

#![cfg(feature = "deflate")]

mod common;

use common::*;
use parking_lot::Mutex;
use raddle_core::Role;
use raddle_core::deflate::census;
use raddle_core::handshake::Offer;
use raddle_server::{Connection, Deflate, Event, Info, Limits, Message, Options, Server};
use raddle_socket::{Opening, Socket};

/// The tests look at what the whole process has, one at a time.
static ALONE: Mutex<()> = Mutex::new(());

const NO_TAKEOVER: Deflate = Deflate {
    level: 1,
    threshold: 64,
    server_no_context_takeover: true,
    client_no_context_takeover: true,
    server_max_window_bits: 15,
    client_max_window_bits: 15,
};

/// A server that compresses as this says, or does not.
fn compressing(engine: Engine, deflate: Option<Deflate>) -> Server {
    publishing(engine, |builder| match deflate {
        Some(deflate) => builder.deflate(deflate),
        None => builder,
    })
}

/// A client that offers `deflate`.
fn connect_offering(server: &Server, deflate: Option<Deflate>) -> Connection {
    let (peer, agreement) = Asking::with(server.local_addr(), &Offer { deflate, ..OFFER }).accepted();
    let mut info = Info::default();
    info.deflate = agreement.deflate;
    let mut options = Options::default();
    options.limits = Limits::default().message(16 << 20);
    let opening = Opening { received: &peer.received, info, ..Opening::new(Role::Client, options) };
    Connection::open(Socket::tcp(peer.stream).expect("a socket"), opening).expect("a connection")
}

fn json(index: usize) -> String {
    format!("{{\"id\":{index},\"name\":\"name {}\",\"tags\":[\"one\",\"two\"]}}", index % 7).repeat(20)
}

#[track_caller]
fn assert_echoed(client: &mut Connection, message: &str) {
    client.send(message).expect("open");
    assert_eq!(client.next_message(), Ok(Some(Message::Text(message))));
}

#[test]
fn both_sides_compress_where_both_want_it() {
    let _alone = ALONE.lock();
    for engine in ENGINES {
        for deflate in [Deflate::default(), NO_TAKEOVER, Deflate { server_max_window_bits: 9, ..Deflate::default() }] {
            let server = compressing(engine, Some(deflate));
            let mut client = connect_offering(&server, Some(Deflate::default()));
            assert_eq!(
                client.info().deflate.map(|agreed| agreed.server_max_window_bits),
                Some(deflate.server_max_window_bits)
            );
            let known = server.connections()[0].info.clone().expect("it is open");
            assert_eq!(known.deflate, Some(deflate));
            (0..300).for_each(|index| assert_echoed(&mut client, &json(index)));
            // A message that is torn by every read of a pool, and does not compress.
            let large = pattern(900_000, 1);
            client.send(&large).expect("open");
            assert!(client.next_message() == Ok(Some(Message::Binary(&large))));
            let traffic = server.connections()[0].traffic;
            let plain = (300 * json(1).len() + large.len()) as u64;
            assert!(traffic.sent_bytes < plain - 200_000 && traffic.received_bytes < plain - 200_000, "{traffic:?}");
            drop(client);
            finish(&server);
        }
    }
}

#[test]
fn others_are_served_as_they_wish() {
    let _alone = ALONE.lock();
    for engine in ENGINES {
        for (wanted, offered) in [(None, Some(Deflate::default())), (Some(Deflate::default()), None)] {
            let server = compressing(engine, wanted);
            let mut client = connect_offering(&server, offered);
            assert_eq!(client.info().deflate, None);
            assert_echoed(&mut client, &json(1));
            let mut plain = connect(&server);
            assert_echo(&mut plain);
            drop((client, plain));
            finish(&server);
        }
    }
}

/// They are compressed once for all; what each gets of its own goes on as before.
#[test]
fn publications_pass_between_compressed_messages() {
    let _alone = ALONE.lock();
    for engine in ENGINES {
        let server = compressing(engine, Some(Deflate::default()));
        let mut client = connect_offering(&server, Some(Deflate::default()));
        let writer = server.connection(server.connections()[0].id).expect("open");
        assert_eq!(server.subscribe(&writer, "all"), Ok(true));
        for index in 0..50 {
            assert_echoed(&mut client, &json(index));
            assert_echoed(&mut client, &format!("all:{}", json(index)));
        }
        drop((client, writer));
        finish(&server);
    }
}

#[test]
fn idle_connections_without_context_hold_neither_compressor_nor_inflater() {
    let _alone = ALONE.lock();
    // Hostile input 215.
    for engine in ENGINES {
        let server = compressing(engine, Some(NO_TAKEOVER));
        let before = census();
        let mut clients: Vec<_> = (0..100).map(|_| connect_offering(&server, Some(NO_TAKEOVER))).collect();
        for (index, client) in clients.iter_mut().enumerate() {
            assert_echoed(client, &json(index));
        }
        let now = census();
        assert!(now.compressors <= before.compressors.max(16) && now.inflaters <= before.inflaters.max(16), "{now:?}");
        drop(clients);
        finish(&server);
    }
}

#[test]
fn an_event_loop_gives_what_was_inflated() {
    let _alone = ALONE.lock();
    for deflate in [Deflate::default(), NO_TAKEOVER] {
        let server = listening(|builder| builder.deflate(deflate));
        let handle = server.clone();
        let looping = std::thread::spawn(move || {
            let mut events = handle.event_loop().expect("it starts");
            while !events.is_over() {
                for event in events.poll(Some(LIMIT)) {
                    if let Event::Message(connection, message) = event {
                        connection.send(message).expect("there is room");
                    }
                }
            }
        });
        let mut client = connect_offering(&server, Some(Deflate::default()));
        for index in 0..50 {
            // Several of them in a turn.
            let messages: Vec<_> = (index..index + 5).map(json).collect();
            for message in &messages {
                client.send(&**message).expect("open");
            }
            for message in &messages {
                assert_eq!(client.next_message(), Ok(Some(Message::Text(message))));
            }
        }
        let large = pattern(900_000, 1);
        client.send(&large).expect("open");
        assert!(client.next_message() == Ok(Some(Message::Binary(&large))));
        assert_echoed(&mut client, &json(7));
        drop(client);
        finish(&server);
        join(looping, LIMIT);
    }
}

#[test]
fn a_turn_of_the_event_loop_ends_with_what_was_inflated_in_it_and_passes_over_nobody_for_long() {
    // On the wire half a kilobyte each: all of them are there at once.
    const LARGE: usize = 512 * 1024;
    const COUNT: usize = 10;
    const FLOODING: usize = 6;
    let _alone = ALONE.lock();
    for deflate in [Deflate::default(), NO_TAKEOVER] {
        let server = listening(|builder| builder.deflate(deflate));
        let mut events = server.event_loop().expect("it starts");
        let handle = server.clone();
        let (opened, is_open) = std::sync::mpsc::channel();
        let (sent, all_sent) = std::sync::mpsc::channel();
        let client = std::thread::spawn(move || {
            let connect = || connect_offering(&handle, Some(Deflate::default()));
            let (flooding, modest) = ([(); FLOODING].map(|()| connect()), connect());
            is_open.recv().expect("they are");
            for _ in 0..COUNT {
                for client in &flooding {
                    client.send(&vec![0; LARGE]).expect("open");
                }
            }
            modest.send("modest").expect("open");
            sent.send(()).expect("it waits");
            (flooding, modest)
        });
        let mut open = 0;
        while open < FLOODING + 1 {
            open += events.poll(Some(LIMIT)).filter(|event| matches!(event, Event::Open(_))).count();
        }
        opened.send(()).expect("it waits");
        all_sent.recv().expect("it is");
        let (mut turns, mut modest) = (Vec::new(), None);
        while turns.iter().sum::<usize>() < FLOODING * COUNT * LARGE || modest.is_none() {
            let mut bytes = 0;
            for event in events.poll(Some(LIMIT)) {
                match event {
                    Event::Message(_, Message::Text(_)) => modest = Some(turns.len()),
                    Event::Message(_, message) => bytes += message.as_bytes().len(),
                    event => panic!("{event:?}"),
                }
            }
            turns.push(bytes);
        }
        assert!(turns.iter().all(|bytes| *bytes <= (1 << 20) + LARGE), "{turns:?}");
        assert!(modest.is_some_and(|turn| turn < 8), "in turn {modest:?} of {turns:?}");
        let clients = join(client, LIMIT);
        drop(events);
        drop(clients);
        finish(&server);
    }
}
