//! What a server counts, all connections together.

use std::thread;

use raddle_server::{Cause, Refusal, Response, SendError, Traffic};

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
    let over = Until::told();
    thread::scope(|scope| {
        let looking = scope.spawn(|| {
            let mut last = 0;
            while !over.is_told() {
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
        over.tell();
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
    eventually("all of it is counted", || host.metrics().traffic.sent_bytes == total);
}
