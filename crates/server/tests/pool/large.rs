//! Messages that are larger than a read, or torn by it.

use std::thread;
use std::time::Duration;

use raddle_core::{Limits, OpCode};
use raddle_server::Cause;

use crate::common::*;
use crate::recorder::{answer, facts, recorded};

#[test]
fn messages_are_whole_wherever_they_are_cut() {
    let host = recorded(|builder| builder, answer);
    let mut client = connect(&host.server);
    let frames = [
        text("one"),
        fragment(OpCode::Text, b"\xe2\x82"),
        ping(b"amid"),
        last_fragment(b"\xac"),
        binary(&[7; 130]),
        text(""),
    ];
    let bytes: Vec<u8> = frames.iter().flat_map(|frame| client.encode(frame)).collect();
    for cut in 0..=bytes.len() {
        client.send_bytes(&bytes[..cut]);
        // So that the worker sees two reads.
        thread::sleep(Duration::from_millis(1));
        client.send_bytes(&bytes[cut..]);
        let (mut messages, mut pongs) = (Vec::new(), 0);
        while messages.len() < 4 {
            let frame = client.frame();
            if frame == pong(b"amid") { pongs += 1 } else { messages.push(frame) }
        }
        assert_eq!(messages, [text("one"), text("€"), binary(&[7; 130]), text("")], "cut at {cut}");
        assert_eq!(pongs, 1);
    }
    say_goodbye(client);
    host.finish();
}

#[test]
fn large_messages_pass_among_small_ones() {
    let limits = Limits::default().message(16 << 20);
    let host = recorded(
        |builder| {
            builder.with_options(|options| {
                options.limits = Limits { frame: 16 << 20, ..limits };
                options.outgoing_limit = 32 << 20;
            })
        },
        answer,
    );
    let clients: Vec<_> = [16 << 20, 1 << 20, 70_000, 16_384, 16_385]
        .into_iter()
        .map(|length| {
            let mut client = connect(&host.server);
            thread::spawn(move || {
                for (round, step) in [1_448, 65_536, length].into_iter().enumerate() {
                    let large = pattern(length, round as u64);
                    let bytes = [
                        client.encode(&text("before")),
                        client.encode(&binary(&large)),
                        client.encode(&text("behind")),
                    ];
                    for part in bytes.concat().chunks(step) {
                        client.send_bytes(part);
                    }
                    assert_eq!(client.frame(), text("before"));
                    let mut whole = client.frame();
                    // Above the fragment size it comes in several.
                    while !whole.fin {
                        let next = client.frame();
                        whole.payload.extend(next.payload);
                        whole.fin = next.fin;
                    }
                    assert!(whole.payload == large, "{length} bytes in round {round}");
                    assert_eq!(client.frame(), text("behind"));
                }
                say_goodbye(client);
            })
        })
        .collect();
    clients.into_iter().for_each(|client| join(client, LIMIT));
    host.finish();
}

#[test]
fn a_message_too_big_gets_its_close_and_no_reset() {
    let host = recorded(|builder| builder, answer);
    let mut client = connect(&host.server);
    let message = client.encode(&binary(&vec![0; 4 << 20]));
    let mut stream = client.stream.try_clone().expect("a descriptor");
    let sending = thread::spawn(move || std::io::Write::write_all(&mut stream, &message));
    let frame = client.frame();
    assert_eq!((frame.opcode, &frame.payload[..2]), (OpCode::Close, &1009_u16.to_be_bytes()[..]));
    client.expect_end();
    join(sending, LIMIT).expect("it is read to its end");
    drop(client);
    let (messages, end) = host.log.story();
    assert_eq!(messages.len(), 0);
    assert_eq!(facts(&end), (Cause::Failed(raddle_server::Error::MessageTooBig), None, Some(1009)));
    host.finish();
}
