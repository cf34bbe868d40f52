//! Topics and permessage-deflate (RFC 7692), with either engine: every peer inflates what it gets, by an inflater of the test's own.

#![cfg(feature = "deflate")]

mod common;
#[path = "../../core/tests/common/inflate.rs"]
mod inflate;

use std::io::Read;
use std::thread;

use common::*;
use inflate::Oracle;
use raddle_core::handshake::Offer;
use raddle_core::{Header, OpCode, Role, Rsv1};
use raddle_server::{Deflate, Server, Writer};

/// A client that has agreed on compression, or not, and inflates by the letter.
struct Inflating {
    client: Client,
    agreed: Option<Deflate>,
    oracle: Oracle,
    writer: Writer,
}

/// A server that compresses, and sends fragments.
fn compressing(engine: Engine) -> Server {
    publishing(engine, |builder| {
        let small = builder.with_options(|options| options.fragment_size = 3000);
        small.deflate(Deflate { level: 6, ..Deflate::default() })
    })
}

/// Clients of every kind, all of them subscribers.
fn members(server: &Server) -> Vec<Inflating> {
    let context = Deflate::default();
    [
        Some(context),
        Some(Deflate { server_max_window_bits: 9, ..context }),
        Some(Deflate { server_max_window_bits: 12, ..context }),
        Some(Deflate { server_no_context_takeover: true, ..context }),
        None,
        Some(context),
    ]
    .into_iter()
    .map(|deflate| {
        let (client, agreement) = Asking::with(server.local_addr(), &Offer { deflate, ..OFFER }).accepted();
        let address = client.stream.local_addr().expect("connected");
        let known = || server.connections().into_iter().find(|known| known.peer == Some(address));
        eventually("it is open", || known().is_some_and(|known| server.connection(known.id).is_some()));
        let writer = server.connection(known().expect("known").id).expect("open");
        assert_eq!(server.subscribe(&writer, "all"), Ok(true));
        let agreed = agreement.deflate;
        assert_eq!(agreed.is_some(), deflate.is_some());
        let bits = agreed.map_or(15, |agreed| agreed.window_bits(Role::Server));
        Inflating { client, agreed, oracle: Oracle::new(bits), writer }
    })
    .collect()
}

impl Inflating {
    /// Waits for the next message: what it says, and whether it was compressed.
    fn message(&mut self) -> (Vec<u8>, bool) {
        let (mut payload, mut compressed) = (Vec::new(), None);
        loop {
            let (header, bytes) = self.frame();
            assert!(!header.opcode.is_control(), "{header:?}");
            assert_eq!(header.opcode == OpCode::Continuation, compressed.is_some());
            assert!(!header.rsv1 || compressed.is_none(), "it stands on the first frame only");
            payload.extend(bytes);
            let compressed = *compressed.get_or_insert(header.rsv1);
            if !header.fin {
                continue;
            }
            if !compressed {
                return (payload, false);
            }
            let agreed = self.agreed.expect("it was agreed on");
            if agreed.server_no_context_takeover {
                self.oracle.forget();
            }
            return (self.oracle.message(&payload).expect("what can be inflated"), true);
        }
    }

    fn frame(&mut self) -> (Header, Vec<u8>) {
        let rsv1 = if self.agreed.is_some() { Rsv1::Compressed } else { Rsv1::Reserved };
        loop {
            let received = &mut self.client.received;
            if let Some((header, start)) = Header::parse(received, Role::Client, rsv1).expect("a valid header") {
                let end = start + header.length as usize;
                if received.len() >= end {
                    let payload = received[start..end].to_vec();
                    received.drain(..end);
                    return (header, payload);
                }
            }
            let mut bytes = [0; 16 * 1024];
            self.client.stream.set_read_timeout(Some(LIMIT)).expect("a socket");
            let count = self.client.stream.read(&mut bytes).expect("more of it");
            assert!(count > 0, "the stream has ended");
            self.client.received.extend_from_slice(&bytes[..count]);
        }
    }

    /// Waits for a message, which has to be this one.
    #[track_caller]
    fn expect(&mut self, message: &str) -> bool {
        let (payload, compressed) = self.message();
        assert_eq!(String::from_utf8_lossy(&payload), message, "{:?}", self.agreed);
        compressed
    }
}

/// Texts that refer back to each other, near and far, and are of all sizes.
fn json(kind: &str, index: usize) -> String {
    let repeated = 1 + index * 7 % 41;
    format!("{{\"{kind}\":{index},\"name\":\"name {}\",\"tags\":[\"one\",\"two\"]}}", index % 7).repeat(repeated)
}

#[test]
fn every_peer_inflates_what_is_sent_and_published_in_turn() {
    for engine in ENGINES {
        let server = compressing(engine);
        let mut members = members(&server);
        for index in 0..120 {
            for member in &members {
                member.writer.send(&*json("own", index)).expect("open");
            }
            server.publish("all", &*json("shared", index));
            if index % 3 == 0 {
                server.publish("all", &*json("another", index));
            }
            if index % 10 == 0 {
                for member in &members {
                    // What is published meanwhile comes behind it.
                    let mut message = member.writer.begin();
                    message.send(&*json("begun", index)).expect("open");
                    server.publish_except("all", &*json("amid", index), other(&members, &member.writer));
                    message.finish(&*json("finished", index)).expect("open");
                }
            }
        }
        let count = members.len();
        for (place, member) in members.iter_mut().enumerate() {
            let deflates = member.agreed.is_some();
            for index in 0..120 {
                member.expect(&json("own", index));
                let shared = json("shared", index);
                assert_eq!(member.expect(&shared), deflates && shared.len() >= 64, "{engine:?}, {index}");
                if index % 3 == 0 {
                    member.expect(&json("another", index));
                }
                if index % 10 == 0 {
                    // All but the first get what is published amid the messages of others.
                    for sender in 0..count {
                        if sender == place {
                            member.expect(&[json("begun", index), json("finished", index)].concat());
                        }
                        if place != excluded(sender) {
                            member.expect(&json("amid", index));
                        }
                    }
                }
            }
        }
        drop(members);
        finish(&server);
    }
}

/// Who gets no part of what is published amid a message of `sender`.
fn excluded(sender: usize) -> usize {
    usize::from(sender == 0)
}

fn other(members: &[Inflating], sender: &Writer) -> raddle_server::ConnectionId {
    let sender = members.iter().position(|member| member.writer.info().id == sender.info().id).expect("one of them");
    raddle_server::ConnectionId::of(members[excluded(sender)].writer.info())
}

#[test]
fn every_peer_inflates_what_threads_send_and_publish_at_the_same_time() {
    const EACH: usize = 300;
    for engine in ENGINES {
        let server = compressing(engine);
        let mut members = members(&server);
        let publishing: Vec<_> = ["left", "right"]
            .into_iter()
            .map(|kind| {
                let server = server.clone();
                thread::spawn(move || (0..EACH).for_each(|index| server.publish("all", &*json(kind, index))))
            })
            .collect();
        let sending: Vec<_> = members
            .iter()
            .map(|member| {
                let writer = member.writer.clone();
                thread::spawn(move || {
                    (0..EACH).for_each(|index| match index % 5 {
                        0 => {
                            let text = json("own", index);
                            let (start, rest) = text.split_at(text.len() / 2);
                            let mut message = writer.begin();
                            message.send(start).expect("open");
                            message.finish(rest).expect("open");
                        }
                        1 => drop(writer.uncompressed().send(&*json("own", index)).expect("open")),
                        _ => drop(writer.send(&*json("own", index)).expect("open")),
                    });
                })
            })
            .collect();
        let receiving: Vec<_> = members
            .drain(..)
            .map(|mut member| {
                thread::spawn(move || {
                    let (mut next, mut compressed) = ([0; 3], 0);
                    while next != [EACH; 3] {
                        let (payload, is_compressed) = member.message();
                        let text = String::from_utf8(payload).expect("it is text");
                        let kinds = ["own", "left", "right"];
                        let place = kinds.iter().position(|kind| text.starts_with(&format!("{{\"{kind}\"")));
                        let place = place.expect("one of the three");
                        assert_eq!(text, json(kinds[place], next[place]), "{:?}", member.agreed);
                        next[place] += 1;
                        compressed += usize::from(place > 0 && is_compressed);
                    }
                    (member, compressed)
                })
            })
            .collect();
        publishing.into_iter().chain(sending).for_each(|thread| join(thread, LIMIT));
        for receiving in receiving {
            let (member, compressed) = join(receiving, LIMIT);
            let expected = if member.agreed.is_some() { EACH } else { 0 };
            assert!(compressed >= expected, "{compressed} of {} were compressed", 2 * EACH);
        }
        finish(&server);
    }
}

#[test]
fn a_publication_is_compressed_for_windows_that_somebody_has() {
    let server = compressing(Engine::Pool);
    let mut members = members(&server);
    server.publish("all", &*json("first", 30));
    for member in &mut members {
        assert_eq!(member.expect(&json("first", 30)), member.agreed.is_some());
    }
    // A window that nobody else has goes with its connection, and the others' stay.
    for gone in [1, 4, 1] {
        let member = members.remove(gone);
        let id = raddle_server::ConnectionId::of(member.writer.info());
        assert!(server.unsubscribe(&member.writer, "all"));
        assert!(server.topics_of(id).is_empty());
        server.publish("all", &*json("next", 30));
        for member in &mut members {
            assert_eq!(member.expect(&json("next", 30)), member.agreed.is_some());
        }
    }
    // Neither what does not get smaller nor what is not worth it.
    for plain in ["short".to_owned(), pattern(200, 1).iter().map(|byte| format!("{:x}", byte % 16)).collect::<String>()]
    {
        server.publish("all", &*plain);
        for member in &mut members {
            let compressed = member.expect(&plain);
            assert!(!compressed || plain.len() >= 64 && member.agreed.is_some());
        }
    }
    drop(members);
    finish(&server);
}
