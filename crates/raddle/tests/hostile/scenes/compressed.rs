//! Cases about compressed messages that are more than an input.

use std::thread;

use raddle::Deflate;
use zlib_rs::{DeflateFlush, Inflate, InflateFlush};

use crate::case::Saw;
use crate::head::sample;
use crate::host::{At, Engine, Host};
use crate::peer::Peer;
use crate::wire::{frame, text};

/// Does the opening handshake with an offer of permessage-deflate.
fn shake_hands(peer: &mut Peer) {
    peer.shake_hands(&Vec::from(sample().add("Sec-WebSocket-Extensions", "permessage-deflate")));
}

#[test]
fn messages_that_become_a_thousand_times_as_large_do_not_hold_others_up() {
    // Hostile input 199.
    const COUNT: u64 = 500;
    let mut compressor = zlib_rs::Deflate::new(9, false, 15);
    let mut payload = vec![0; 64 * 1024];
    compressor.compress(&vec![0; 1 << 20], &mut payload, DeflateFlush::FullFlush).expect("there is room");
    payload.truncate(compressor.total_out() as usize - 4);
    assert!(payload.len() < 1100, "{} bytes for a mebibyte", payload.len());
    for engine in Engine::ALL {
        let host = Host::acting(
            engine,
            |builder, _| builder.deflate(Deflate::default()),
            |writer, at, _| {
                if let At::Message(message) = at
                    && message.as_bytes().len() < 1 << 20
                {
                    writer.uncompressed().send(message)?;
                }
                Ok(())
            },
        );
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut peer = Peer::connect(host.address);
                shake_hands(&mut peer);
                for _ in 0..COUNT {
                    peer.send_pieces([frame(0xc2, &payload)]);
                }
                // Each has arrived.
                peer.send_pieces([text("all")]);
                assert_eq!(peer.receive(1), [Saw::Text("all".into())]);
                peer.close();
            });
            // An honest client's messages are answered meanwhile, each in bounded time.
            let mut honest = Peer::open(host.address);
            for _ in 0..100 {
                honest.echo(&"x".repeat(1024));
            }
            honest.close();
        });
        host.finish();
    }
}

/// By a peer that is zlib alone: what the server compresses, it inflates, and the reverse.
#[test]
fn a_thousand_messages_each_way_refer_to_those_before() {
    // Hostile input 212.
    for engine in Engine::ALL {
        let host = Host::echo(engine, |builder, _| builder.deflate(Deflate { threshold: 0, ..Deflate::default() }));
        let mut peer = Peer::connect(host.address);
        shake_hands(&mut peer);
        let mut compressor = zlib_rs::Deflate::new(6, false, 15);
        let mut inflater = Inflate::new(false, 15);
        let mut numbers = crate::run::cuts::Numbers::new(212);
        let mut space = vec![0; 64 * 1024];
        let mut sent = 0;
        for index in 0..1000 {
            // Half of it was in a message some time ago.
            let words: Vec<String> = (0..20).map(|_| format!("\"word{}\":{index}", numbers.below(50))).collect();
            let message = words.join(",");
            let before = compressor.total_out();
            compressor.compress(message.as_bytes(), &mut space, DeflateFlush::SyncFlush).expect("there is room");
            let length = (compressor.total_out() - before) as usize - 4;
            peer.send_pieces([frame(0xc1, &space[..length])]);
            let answer = peer.receive_frame();
            assert_eq!(answer.first, 0xc1);
            sent += answer.payload.len();
            let before = inflater.total_out();
            let payload = [&answer.payload[..], b"\0\0\xff\xff"].concat();
            inflater.decompress(&payload, &mut space, InflateFlush::SyncFlush).expect("what zlib takes");
            let length = (inflater.total_out() - before) as usize;
            assert_eq!(std::str::from_utf8(&space[..length]), Ok(&*message));
        }
        // It has used what it knew.
        assert!(sent < 1000 * 150, "{sent} bytes for a thousand messages");
        peer.close();
        host.finish();
    }
}
