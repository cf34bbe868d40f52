//! Sending compressed messages (RFC 7692, section 7.2.1), against a slow inflater that knows what the peer knows.

#![cfg(feature = "deflate")]

mod common;
#[path = "common/inflate.rs"]
mod inflate;

use common::{CLIENT, Owned, SERVER, assemble, receive, written};
use inflate::Oracle;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use raddle_core::deflate::{Compressor, census};
use raddle_core::{Deflate, Header, Limits, Message, Progress, Receiver, Rsv1, SendError, Sender};

const DEFLATE: Deflate = Deflate {
    level: 1,
    threshold: 0,
    server_no_context_takeover: false,
    client_no_context_takeover: false,
    server_max_window_bits: 15,
    client_max_window_bits: 15,
};

/// Messages that resemble each other, over distances that small windows do not reach.
fn messages() -> Vec<Vec<u8>> {
    let mut noise = 1_u32;
    let mut random = |length: usize| -> Vec<u8> {
        let mut next = || {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (noise >> 24) as u8
        };
        (0..length).map(|_| next()).collect()
    };
    let mut messages = vec![random(200)];
    for distance in [100, 300, 600, 1200, 2500, 5000, 10_000, 20_000, 40_000] {
        let repeated = messages[0].clone();
        messages.push([repeated, random(distance)].concat());
        messages.push(Vec::new());
        messages.push(b"{\"name\":\"value\",\"n\":12345}".repeat(10));
    }
    messages.push(vec![b'a'; 70_000]);
    messages.push(random(70_000));
    messages.push(b"a".to_vec());
    messages
}

#[test]
fn a_window_is_kept_to_at_each_size_and_level() {
    // Hostile input 220: each window, level and takeover; any messages and fragments below.
    for window_bits in 9..=15 {
        for level in [1, 2, 6, 9] {
            for no_takeover in [false, true] {
                let deflate = Deflate {
                    level,
                    client_max_window_bits: window_bits,
                    client_no_context_takeover: no_takeover,
                    ..DEFLATE
                };
                let mut compressor = Compressor::new(&deflate, CLIENT);
                let mut oracle = Oracle::new(window_bits);
                for (index, message) in messages().iter().enumerate() {
                    if no_takeover {
                        oracle.forget();
                    }
                    let payload = compressor.compress_fragment(Message::Binary(message), Progress::Last);
                    let inflated = oracle.message(payload.as_bytes());
                    assert!(
                        inflated.as_ref() == Ok(message),
                        "message {index} at level {level} with {window_bits} bits: {:?}",
                        inflated.map(|inflated| inflated.len())
                    );
                }
            }
        }
    }
}

#[test]
fn each_side_has_its_own_window_and_memory() {
    let deflate = Deflate { server_max_window_bits: 9, server_no_context_takeover: true, ..DEFLATE };
    let message = &messages()[1..3].concat();
    let far = [&message[..], &[7; 600], &message[..]].concat();
    let payload = |role| {
        let mut compressor = Compressor::new(&deflate, role);
        let first = compressor.compress(Message::Binary(&far)).as_bytes().len();
        (first, compressor.compress(Message::Binary(&far)).as_bytes().len())
    };
    let ((client, client_again), (server, server_again)) = (payload(CLIENT), payload(SERVER));
    // The client reaches back to the first half, and to the message before.
    assert!(client + 200 < server && client_again < 100 && server == server_again, "{client} {client_again} {server}");
}

#[test]
fn section_7_2_3_2_the_examples_are_sent_byte_for_byte() {
    let mut sender = Sender::server();
    let mut compressor = Compressor::new(&Deflate { level: 6, ..DEFLATE }, SERVER);
    for expected in [&b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00"[..], b"\xc1\x05\xf2\x00\x11\x00\x00"] {
        sender.send(compressor.compress(Message::Text("Hello"))).expect("nothing was closed");
        assert_eq!(written(&mut sender), expected);
    }
    // Section 7.2.3.6.
    sender.send(compressor.compress(Message::Text(""))).expect("nothing was closed");
    assert_eq!(written(&mut sender), b"\xc1\x01\x00");
    // Section 7.2.3.1, in two fragments: RSV1 on the first only.
    let mut compressor = Compressor::new(&Deflate { server_no_context_takeover: true, level: 6, ..DEFLATE }, SERVER);
    let data = compressor.compress(Message::Text("Hello Hello Hello Hello"));
    let (first, rest) = data.split(4);
    sender.send_fragment(first, Progress::More).expect("nothing was closed");
    sender.send_fragment(rest.expect("longer"), Progress::Last).expect("nothing was closed");
    let frames = written(&mut sender);
    assert_eq!((frames[0], frames[6]), (0x41, 0x80));
}

#[test]
fn a_message_that_does_not_get_smaller_is_sent_as_it_is_where_that_costs_no_context() {
    let messages = messages();
    let large = &messages[messages.len() - 2];
    assert!(large.len() > 1 << 15);
    for (no_takeover, message, first) in
        [(false, &b"a\xffb"[..], 0xc2), (true, b"a\xffb", 0x82), (false, large, 0x82), (true, large, 0x82)]
    {
        let deflate = Deflate { server_no_context_takeover: no_takeover, ..DEFLATE };
        let (mut sender, mut compressor) = (Sender::server(), Compressor::new(&deflate, SERVER));
        sender.send(compressor.compress(Message::Binary(message))).expect("nothing was closed");
        assert_eq!(written(&mut sender)[0], first);
        if first == 0x82 {
            // The window is as if it had never seen what was sent as it is.
            let again = [&message[..message.len().min(500)], &[b'a'; 30]].concat();
            let payload = compressor.compress_fragment(Message::Binary(&again), Progress::Last);
            assert_eq!(Oracle::new(15).message(payload.as_bytes()), Ok(again));
        }
    }
}

#[test]
fn what_does_not_get_smaller_arrives_whatever_its_length_and_is_hardly_longer() {
    // Hostile input 219.
    let noise = messages().swap_remove(messages().len() - 2);
    for no_takeover in [false, true] {
        let deflate = Deflate { server_no_context_takeover: no_takeover, ..DEFLATE };
        let (mut sender, mut compressor) = (Sender::server(), Compressor::new(&deflate, SERVER));
        let mut oracle = Oracle::new(15);
        let (mut plain, mut compressed) = (0, 0);
        for length in [1, 300, 16_383, 16_384, 32_768, 65_535, 65_536, 70_000] {
            let message = &noise[..length];
            if no_takeover {
                oracle.forget();
            }
            sender.send(compressor.compress(Message::Binary(message))).expect("nothing was closed");
            let frame = written(&mut sender);
            let (header, start) =
                Header::parse(&frame, CLIENT, Rsv1::Compressed).expect("a valid header").expect("a whole header");
            let payload = &frame[start..];
            if header.rsv1 {
                compressed += 1;
                // Fixed codes have nine bits for a byte at most (RFC 1951, section 3.2.6).
                assert!(payload.len() <= length + length / 8 + 16, "{} bytes for {length}", payload.len());
                assert!(oracle.message(payload).as_deref() == Ok(message), "{length} bytes");
            } else {
                plain += 1;
                assert!(payload == message, "{length} bytes");
            }
            // The window is what the peer has, whichever way the message went.
            let again = [&message[..length.min(500)], &[b'a'; 30]].concat();
            if no_takeover {
                oracle.forget();
            }
            let data = compressor.compress_fragment(Message::Binary(&again), Progress::Last);
            assert_eq!(oracle.message(data.as_bytes()), Ok(again), "behind {length} bytes");
        }
        assert!(plain > 0 && (compressed > 0 || no_takeover), "{plain} plain, {compressed} compressed");
    }
}

#[test]
fn a_message_is_compressed_or_not_in_all_its_fragments() {
    let mut sender = Sender::server();
    let mut compressor = Compressor::new(&DEFLATE, SERVER);
    sender
        .send_fragment(compressor.compress_fragment(Message::Text("a"), Progress::More), Progress::More)
        .expect("nothing was closed");
    assert_eq!(sender.send_fragment(Message::Text("b"), Progress::Last), Err(SendError::MixedMessage));
    sender
        .send_fragment(compressor.compress_fragment(Message::Text("b"), Progress::Last), Progress::Last)
        .expect("of the same kind");
    sender.send_fragment(Message::Text("a"), Progress::More).expect("nothing was closed");
    let data = compressor.compress(Message::Text("b"));
    assert_eq!(sender.send_fragment(data, Progress::Last), Err(SendError::MixedMessage));
}

#[test]
fn what_was_not_sent_is_forgotten() {
    let mut compressor = Compressor::new(&DEFLATE, SERVER);
    let mut oracle = Oracle::new(15);
    let message = messages()[0].clone();
    for sent in [true, false, true, false, false, true, true] {
        let payload = compressor.compress(Message::Binary(&message)).as_bytes().to_vec();
        if sent {
            assert_eq!(oracle.message(&payload).as_ref(), Ok(&message));
        } else {
            compressor.reset();
        }
    }
}

#[test]
fn a_shared_compressor_goes_from_one_to_the_next_and_remembers_nothing() {
    let deflate = Deflate { server_no_context_takeover: true, level: 7, ..DEFLATE };
    let message = messages()[1].clone();
    let before = census().compressors;
    for _ in 0..100 {
        let mut lent = Compressor::lend(&deflate, SERVER);
        // Given up, amid a message.
        lent.compress_fragment(Message::Binary(&message), Progress::More);
        drop(lent);
        let mut lent = Compressor::lend(&deflate, SERVER);
        let payload = lent.compress_fragment(Message::Binary(&message), Progress::Last);
        assert_eq!(Oracle::new(15).message(payload.as_bytes()).as_ref(), Ok(&message));
    }
    // Other tests have some at the same time.
    assert!(census().compressors < before + 50);
}

/// Text and bytes, that compress well and not at all.
fn message() -> impl Strategy<Value = (bool, Vec<u8>)> {
    prop_oneof![
        any::<String>().prop_map(|text| (true, text.into_bytes())),
        vec(any::<u8>(), 0..3000).prop_map(|bytes| (false, bytes)),
        (vec(select(&b"abc"[..]), 0..20), 0..500_usize).prop_map(|(bytes, times)| (true, bytes.repeat(times))),
    ]
}

fn as_message(kind: bool, bytes: &[u8]) -> Message<'_> {
    if kind { Message::Text(std::str::from_utf8(bytes).expect("text")) } else { Message::Binary(bytes) }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Any messages, at any level, with any windows and takeover, in any fragments, from either side; some uncompressed, some
    /// given up before they were sent.
    #[test]
    fn what_one_side_compresses_the_other_receives(
        role in select(&[CLIENT, SERVER][..]),
        (level, window_bits, no_takeover) in (1..=9_u8, 9..=15_u8, any::<bool>()),
        messages in vec((message(), 0..8_u8, vec(0..100_usize, 0..3)), 0..12),
        size in 1..4000_usize,
        piece in 1..4000_usize,
    ) {
        let deflate = Deflate {
            level,
            server_no_context_takeover: no_takeover,
            client_no_context_takeover: no_takeover,
            server_max_window_bits: window_bits,
            client_max_window_bits: window_bits,
            threshold: 0,
        };
        let (mut sender, _) = if role == SERVER { (Sender::server(), common::Keys::default()) } else { common::Keys::client() };
        let mut compressor = Compressor::new(&deflate, role);
        let mut expected = Vec::new();
        for ((is_text, bytes), how, cuts) in &messages {
            let message = as_message(*is_text, bytes);
            match how {
                0 => sender.send(message).expect("nothing was closed"),
                1 => {
                    compressor.compress(message);
                    compressor.reset();
                    continue;
                }
                // Compressed fragment by fragment.
                2 => {
                    let mut rest = message;
                    for cut in cuts {
                        let Message::Binary(all) = rest else { break };
                        let (part, behind) = all.split_at(all.len() * cut / 100);
                        let data = compressor.compress_fragment(Message::Binary(part), Progress::More);
                        sender.send_fragment(data, Progress::More).expect("nothing was closed");
                        rest = Message::Binary(behind);
                    }
                    let data = compressor.compress_fragment(rest, Progress::Last);
                    sender.send_fragment(data, Progress::Last).expect("nothing was closed");
                }
                // Compressed, and cut into frames.
                _ => {
                    let mut rest = Some(compressor.compress(message));
                    while let Some(data) = rest {
                        let (first, behind) = data.split(size);
                        let progress = if behind.is_some() { Progress::More } else { Progress::Last };
                        sender.send_fragment(first, progress).expect("nothing was closed");
                        rest = behind;
                    }
                }
            }
            expected.push(Ok(match message {
                Message::Text(text) => Owned::Text(text.into()),
                Message::Binary(bytes) => Owned::Binary(bytes.into()),
            }));
        }
        let bytes = written(&mut sender);
        let receiver = || Receiver::new(role.peer(), Limits::default()).with_deflate(Some(deflate));
        prop_assert_eq!(&receive(receiver(), bytes.chunks(piece)), &expected);
        let (mut forked, mut said) = (receiver(), Vec::new());
        for piece in bytes.chunks(piece) {
            forked.feed(piece);
            let mut parts = Vec::new();
            while forked.advance_part().expect("in order") {
                parts.push(Ok(forked.event().expect("advance_part() has returned true").into()));
            }
            said.append(&mut parts);
            forked = forked.fork();
        }
        prop_assert_eq!(&assemble(said), &expected);
    }

    /// Whatever a peer sends as compressed data: no panic, no more than the limit, and nothing after a failure.
    #[test]
    fn any_bytes_are_deflate_data_or_refused(
        payloads in vec(vec(any::<u8>(), 0..200), 1..6),
        limit in 0..2000_u64,
        no_takeover in any::<bool>(),
    ) {
        let deflate = Deflate { client_no_context_takeover: no_takeover, ..DEFLATE };
        let frames: Vec<(u8, &[u8])> = payloads.iter().map(|payload| (0xc2, &payload[..])).collect();
        let bytes = common::frames(SERVER, &frames);
        let limits = Limits { message: limit, ..Limits::default() };
        let receiver = || Receiver::new(SERVER, limits).with_deflate(Some(deflate));
        let whole = receive(receiver(), [&bytes[..]]);
        for said in &whole {
            if let Ok(Owned::Binary(message)) = said {
                prop_assert!(message.len() as u64 <= limit);
            }
        }
        prop_assert_eq!(&receive(receiver(), bytes.chunks(1)), &whole);
    }
}
