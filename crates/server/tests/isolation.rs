//! What one connection does, the others do not notice.

mod common;

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::*;
use raddle_core::OpCode;
use raddle_server::{Cause, SendError, WhenFull};

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
fn a_peer_that_takes_a_little_now_and_then_is_given_up_in_time() {
    // Hostile input 240.
    const LENGTH: usize = 8 << 20;
    let server = answering(
        |builder| {
            builder.with_options(|options| {
                options.write_timeout = Duration::from_millis(500);
                // At this rate the message may take a second more.
                options.min_rate = LENGTH as u64;
                options.fragment_size = usize::MAX;
            })
        },
        |writer, _message| Ok(writer.send(&vec![0; LENGTH]).map(drop)?),
    );
    let mut client = connect(&server);
    client.send(text("all of it"));
    let given_up = Arc::<AtomicBool>::default();
    let is_over = Arc::clone(&given_up);
    let start = Instant::now();
    let dripping = thread::spawn(move || {
        let mut some = [0; 4096];
        while !is_over.load(Ordering::Relaxed) && client.stream.read(&mut some).is_ok_and(|count| count > 0) {
            thread::sleep(Duration::from_millis(20));
        }
    });
    eventually("it is given up", || server.metrics().ended.get(&Cause::WriteTimeout) == Some(&1));
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    given_up.store(true, Ordering::Relaxed);
    join(dripping, LIMIT);
    finish(&server);
}

#[test]
fn a_broadcast_reaches_those_who_read() {
    // Hostile input 229: some never read, and are given up by policy; the others get everything.
    let server = answering(
        |builder| {
            builder.with_options(|options| {
                options.when_full = WhenFull::Close;
                options.outgoing_limit = 200_000;
            })
        },
        |_writer, _message| Ok(()),
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
fn a_flood_of_pings_is_answered_by_the_newest_and_delays_nobody() {
    // Hostile input 155: a million Pings, of whom nobody takes the Pongs.
    let server = echoing(|builder| builder);
    let polite = Polite::of(&server);
    let mut flooder = connect(&server);
    let queued = || server.metrics().queued_bytes;
    let mut most = 0;
    for thousand in 0..1_000_u32 {
        let pings: Vec<u8> = (0..1_000)
            .flat_map(|number| {
                // So long that the sockets' buffers hold only a part of the Pongs.
                let mut payload = [0x5a; 64];
                payload[..4].copy_from_slice(&(thousand * 1_000 + number).to_be_bytes());
                flooder.encode(&ping(&payload))
            })
            .collect();
        flooder.send_bytes(&pings);
        most = most.max(queued());
    }
    flooder.send(ping(b"the last"));
    most = most.max(queued());
    assert!(most < 100_000, "{most} bytes of Pongs wait");
    let mut answered = Vec::new();
    loop {
        let frame = flooder.frame();
        if frame == pong(b"the last") {
            break;
        }
        assert_eq!((frame.opcode, frame.payload.len()), (OpCode::Pong, 64));
        answered.push(u32::from_be_bytes(*frame.payload.first_chunk().expect("our payload")));
    }
    assert!(answered.is_sorted_by(|one, next| one < next), "an older Ping is answered behind a newer one");
    assert!(answered.len() < 500_000, "{} of a million Pings are answered", answered.len());
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
    // Hostile input 365, scaled down to 480 messages: each client knows its own canary.
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
