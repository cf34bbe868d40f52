//! Many threads send to, close and cut connections that come and go, for some seconds: what arrives is whole and in order.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use raddle_core::OpCode;
use raddle_server::{Cause, Close, CloseCode, Message, Server};

use crate::common::*;
use crate::recorder::{Note, answer, recorded};

const SENDERS: u64 = 16;
const CLIENTS: u64 = 8;

/// Numbers that nobody has to foresee.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// Sends numbered messages to whatever connection there is, or to all that are told to get them, and now and then ends one.
fn send(server: &Server, own: u64, stop: &AtomicBool, sent: &AtomicU64) {
    let mut dice = Dice(own);
    for number in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let connections = server.connections();
        let Some(connection) = connections.get(dice.roll(connections.len().max(1) as u64) as usize) else {
            thread::yield_now();
            continue;
        };
        let Some(writer) = server.connection(connection.id) else { continue };
        let length = [0, 100, 5_000, 70_000][dice.roll(4) as usize];
        let message = [&own.to_be_bytes()[..], &number.to_be_bytes(), &pattern(length, own << 32 | number)].concat();
        let done = match dice.roll(24) {
            0 => writer.close(Close::code(CloseCode(4000 + own as u16))).map(|()| 0),
            1 => {
                writer.cut(Cause::LocalClose);
                Ok(0)
            }
            2..6 => {
                let mut parts = writer.begin();
                let (start, rest) = message.split_at(message.len() / 2);
                parts.send(start).and_then(|_| parts.finish(rest)).map(|_| 1)
            }
            6..10 => writer.try_send(&message).map(|_| 1),
            10 => writer.ping(&own.to_be_bytes()).map(|()| 0),
            11..14 => {
                server.subscribe(&writer, "all").expect("it has no other");
                Ok(0)
            }
            14 => {
                server.unsubscribe(&writer, "all");
                Ok(0)
            }
            15 => Ok(server.deliver("all", Message::Binary(&message), None).sent as u64),
            _ => writer.send(&message).map(|_| 1),
        };
        sent.fetch_add(done.unwrap_or(0), Ordering::Relaxed);
    }
}

/// Connects, listens, talks for a while, and leaves in one way or another. Gives how many messages have come.
fn come_and_go(server: &Server, own: u64, stop: &AtomicBool) -> u64 {
    let mut dice = Dice(1000 + own);
    let mut heard = 0;
    while !stop.load(Ordering::Relaxed) {
        let Some(mut client) = Asking::with(server.local_addr(), &OFFER).opened() else { continue };
        let mut last = HashMap::<u64, u64>::new();
        let mut begun = None::<Vec<u8>>;
        let until = Instant::now() + Duration::from_millis(dice.roll(100));
        let (mut asked, mut answered) = (0_u64, 0_u64);
        while Instant::now() < until {
            if asked - answered < 4 {
                let question = client.encode(&text(&asked.to_string()));
                if std::io::Write::write_all(&mut client.stream, &question).is_err() {
                    break;
                }
                asked += 1;
            }
            let frame = match client.next_frame(Duration::from_millis(5)) {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                    continue;
                }
                // It was cut, perhaps amid a frame.
                Err(_) => break,
            };
            let message = match frame.opcode {
                OpCode::Text => {
                    assert_eq!(frame.payload, answered.to_string().as_bytes(), "an answer is lost, or another's");
                    assert!(begun.is_none(), "a message within another");
                    answered += 1;
                    continue;
                }
                OpCode::Close => break,
                OpCode::Ping | OpCode::Pong => continue,
                OpCode::Binary => {
                    assert!(begun.is_none(), "a message within another");
                    frame.payload
                }
                OpCode::Continuation => [begun.take().expect("something has begun"), frame.payload].concat(),
            };
            if !frame.fin {
                begun = Some(message);
                continue;
            }
            let (sender, rest) = message.split_first_chunk().expect("the sender");
            let (number, payload) = rest.split_first_chunk().expect("the number");
            let (sender, number) = (u64::from_be_bytes(*sender), u64::from_be_bytes(*number));
            assert!(
                payload == pattern(payload.len(), sender << 32 | number),
                "message {number} of {sender} is damaged"
            );
            let before = last.insert(sender, number);
            assert!(before.is_none_or(|before| before < number), "{number} behind {before:?} of {sender}");
            heard += 1;
        }
        match dice.roll(3) {
            0 => drop(client),
            1 => {
                rustix::net::sockopt::set_socket_linger(&client.stream, Some(Duration::ZERO)).expect("a socket");
                drop(client);
            }
            _ => {
                let goodbye = client.encode(&close(1000, ""));
                let _ = std::io::Write::write_all(&mut client.stream, &goodbye);
                while let Ok(Some(_)) = client.next_frame(SOON) {}
            }
        }
    }
    heard
}

#[test]
fn whatever_many_threads_do_to_connections_that_come_and_go_what_arrives_is_whole_and_in_order() {
    // Hostile inputs 273 and 275 to 276: sends against closes, cuts and the last handle's end.
    let seconds = std::env::var("RADDLE_STRESS_SECONDS").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(3);
    let host = recorded(
        |builder| {
            builder.workers(4).with_options(|options| {
                options.outgoing_limit = 200_000;
                options.close_timeout = Duration::from_millis(500);
            })
        },
        |writer, at| {
            // That the output is full of what others have sent, or a message of theirs is under way, is no failure.
            match answer(writer, at) {
                Err(error) if error.is::<raddle_server::SendError>() => {
                    writer.cut(Cause::Dropped);
                    Ok(())
                }
                result => result,
            }
        },
    );
    let (stop, sent) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|own| {
            let (server, stop) = (host.server.clone(), Arc::clone(&stop));
            thread::spawn(move || come_and_go(&server, own, &stop))
        })
        .collect();
    let senders: Vec<_> = (0..SENDERS)
        .map(|own| {
            let (server, stop, sent) = (host.server.clone(), Arc::clone(&stop), Arc::clone(&sent));
            thread::spawn(move || send(&server, own, &stop, &sent))
        })
        .collect();
    thread::sleep(Duration::from_secs(seconds));
    stop.store(true, Ordering::Relaxed);
    senders.into_iter().for_each(|sender| join(sender, LIMIT + LIMIT));
    let heard: u64 = clients.into_iter().map(|client| join(client, LIMIT)).sum();
    assert!(heard > 100 && heard <= sent.load(Ordering::Relaxed), "{heard} of {sent:?}");
    eventually("all have left", || host.server.connections().is_empty());
    assert_eq!((host.server.metrics().queued_bytes, host.server.subscribers("all")), (0, 0));
    eventually("each was let go", || {
        host.log.all().iter().all(|notes| matches!(&notes[..], [Note::Open, .., Note::Close(_), Note::StateDropped]))
    });
    assert!(host.log.all().len() > 10);
    host.finish();
}
