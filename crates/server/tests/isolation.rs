//! What one connection does, the others do not notice.

mod common;

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use common::*;
use raddle_core::OpCode;
use raddle_server::{Message, SendError, Server, WhenFull};

/// A client that asks again and again, until it is told to stop: gives the longest time that an answer has taken.
struct Polite {
    stop: Arc<AtomicBool>,
    asking: JoinHandle<Duration>,
}

impl Polite {
    fn of(server: &Server) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let mut client = connect(server);
        let stopped = Arc::clone(&stop);
        let asking = thread::spawn(move || {
            let mut longest = Duration::ZERO;
            while !stopped.load(Ordering::Relaxed) {
                let start = Instant::now();
                assert_echo(&mut client);
                longest = longest.max(start.elapsed());
                thread::sleep(Duration::from_millis(2));
            }
            longest
        });
        Self { stop, asking }
    }

    /// The machine may be busy with other things, but not for so long.
    #[track_caller]
    fn assert_undisturbed(self) {
        self.stop.store(true, Ordering::Relaxed);
        let longest = join(self.asking, LIMIT);
        assert!(longest < Duration::from_millis(500), "an answer took {longest:?}");
    }
}

#[test]
fn a_peer_that_never_reads_does_not_delay_the_others() {
    // Hostile input 227: it asks and does not take the answers, until the write deadline ends it.
    let server = echoing(|builder| {
        builder.with_options(|options| {
            options.write_timeout = Duration::from_secs(1);
            options.min_rate = u64::MAX;
        })
    });
    let polite = Polite::of(&server);
    let stuck: Vec<_> = (0..5)
        .map(|_| {
            let mut client = connect(&server);
            client.stream.set_write_timeout(Some(LIMIT)).expect("a socket");
            thread::spawn(move || {
                let message = client.encode(&binary(&vec![0; 100_000]));
                while client.stream.write_all(&message).is_ok() {}
            })
        })
        .collect();
    for thread in stuck {
        join(thread, LIMIT);
    }
    eventually("they have gone", || server.metrics().connections == 1);
    polite.assert_undisturbed();
    finish(&server);
}

#[test]
fn a_broadcast_reaches_those_who_read() {
    // Hostile input 229: some never read, and are given up by policy; the others get everything.
    let server = serving(
        |builder| {
            builder.with_options(|options| {
                options.when_full = WhenFull::Close;
                options.outgoing_limit = 200_000;
            })
        },
        |mut reader, _writer| {
            while reader.next_message()?.is_some() {}
            Ok(())
        },
    );
    let mut reading: Vec<_> = (0..20).map(|_| connect(&server)).collect();
    let stuck: Vec<_> = (0..5).map(|_| connect(&server)).collect();
    eventually("all are open", || server.metrics().opened == 25);
    let receiving: Vec<_> = reading
        .drain(..)
        .map(|mut client| {
            thread::spawn(move || {
                for number in 0..300_u32 {
                    let frame = client.frame();
                    assert_eq!(frame.payload[..4], number.to_be_bytes());
                }
                client
            })
        })
        .collect();
    for number in 0..300_u32 {
        let mut message = vec![0; 50_000];
        message[..4].copy_from_slice(&number.to_be_bytes());
        let start = Instant::now();
        for connection in server.connections() {
            let Some(writer) = server.connection(connection.id) else { continue };
            match writer.send(&message) {
                Ok(_) | Err(SendError::Closed) => {}
                Err(error) => panic!("{error}"),
            }
        }
        assert!(start.elapsed() < SOON, "the broadcast waits for somebody: {:?}", start.elapsed());
        // Those that read are given the time to do so.
        thread::sleep(Duration::from_millis(5));
    }
    let clients: Vec<_> = receiving.into_iter().map(|thread| join(thread, LIMIT)).collect();
    eventually("those that do not read are given up", || server.metrics().connections == 20);
    drop((clients, stuck));
    finish(&server);
}

#[test]
fn a_handler_that_computes_delays_nobody() {
    // Hostile input 234.
    let server = serving(
        |builder| builder,
        |mut reader, writer| {
            while let Some(message) = reader.next_message()? {
                if message == Message::Text("compute") {
                    thread::sleep(Duration::from_secs(1));
                }
                writer.send(message)?;
            }
            Ok(())
        },
    );
    let polite = Polite::of(&server);
    let mut computing: Vec<_> = (0..10).map(|_| connect(&server)).collect();
    for client in &mut computing {
        client.send(text("compute"));
    }
    // Nor itself: its Pings are answered meanwhile.
    computing[0].send(ping(b"there?"));
    assert_eq!(computing[0].frame(), pong(b"there?"));
    for client in &mut computing {
        assert_eq!(client.frame(), text("compute"));
    }
    polite.assert_undisturbed();
    drop(computing);
    finish(&server);
}

#[test]
fn a_flood_of_tiny_messages_delays_nobody_and_is_held_back() {
    // Hostile input 226.
    let server = serving(
        |builder| builder,
        |mut reader, writer| {
            while let Some(message) = reader.next_message()? {
                if message == Message::Text("") {
                    // A slow handler, for the flooder's messages only.
                    thread::sleep(Duration::from_millis(1));
                } else {
                    writer.send(message)?;
                }
            }
            Ok(())
        },
    );
    let polite = Polite::of(&server);
    let mut flooder = connect(&server);
    let flood = flooder.encode(&text("")).repeat(10_000);
    flooder.stream.set_write_timeout(Some(Duration::from_secs(1))).expect("a socket");
    let mut sent = 0;
    while sent < 100_000_000 && flooder.stream.write_all(&flood).is_ok() {
        sent += flood.len();
    }
    assert!(sent < 100_000_000, "the flooder is not held back");
    polite.assert_undisturbed();
    drop(flooder);
    finish(&server);
}

#[test]
fn a_flood_of_pings_is_answered_by_the_newest_and_delays_nobody() {
    // Hostile input 155: a million Pings, of whom nobody takes the Pongs.
    let server = echoing(|builder| builder);
    let polite = Polite::of(&server);
    let mut flooder = connect(&server);
    let pings: Vec<u8> = (0..1_000_u32).flat_map(|number| flooder.encode(&ping(&number.to_be_bytes()))).collect();
    for _ in 0..1_000 {
        flooder.send_bytes(&pings);
    }
    flooder.send(ping(b"the last"));
    let queued = server.metrics().queued_bytes;
    assert!(queued < 500_000, "{queued} bytes of Pongs wait");
    let mut pongs = 0_u32;
    while flooder.frame() != pong(b"the last") {
        pongs += 1;
    }
    assert!(pongs <= 1_000_000, "{pongs}");
    assert_echo(&mut flooder);
    polite.assert_undisturbed();
    drop(flooder);
    finish(&server);
}

#[test]
fn handshakes_that_drip_delay_no_honest_client() {
    // Hostile input 238, scaled down.
    let server = echoing(|builder| builder.handshake_timeout(Duration::from_secs(60)));
    let polite = Polite::of(&server);
    let request = OFFER.encode().expect("valid");
    let mut dripping: Vec<_> = (0..400).map(|_| Asking::silently(server.local_addr())).collect();
    for byte in &request[..20] {
        for asking in &mut dripping {
            asking.say(&[*byte]);
        }
        let start = Instant::now();
        assert_echo(&mut connect(&server));
        assert!(start.elapsed() < SOON, "an honest handshake took {:?}", start.elapsed());
    }
    polite.assert_undisturbed();
    drop(dripping);
    finish(&server);
}

#[test]
fn messages_of_one_connection_are_never_seen_by_another() {
    // Hostile input 365: each client knows its own canary.
    let server = echoing(|builder| builder);
    let clients: Vec<_> = (0..8_u64)
        .map(|number| {
            let mut client = connect(&server);
            thread::spawn(move || {
                for round in 0..60 {
                    let length = [10, 200, 3_000, 70_000][round % 4];
                    let message = pattern(length, number << 32 | round as u64);
                    client.send(binary(&message));
                    let mut echo = client.frame();
                    while echo.opcode == OpCode::Ping {
                        echo = client.frame();
                    }
                    assert!(echo == binary(&message), "client {number}, round {round}");
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|thread| join(thread, LIMIT));
    finish(&server);
}
